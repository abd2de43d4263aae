"""The commands around a recording: record, status, symbols, login, schedule, doctor, simulate."""

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from tickrec.cli.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ModeOption,
    SimulateOption,
    SymbolsOption,
    again,
    answer,
    app,
    broker,
    configured,
    download_line,
    log_to_stderr,
    mode_of,
    options_given,
    say,
    seconds_of,
    selectors_of,
    value_of,
)
from tickrec.errors import ExitCode, UsageError

if TYPE_CHECKING:
    import datetime as dt

    from tickrec.config import Config
    from tickrec.record.plan import Options
    from tickrec.status.runstatus import RunStatus


@app.command()
def record(
    symbols: SymbolsOption = None,
    mode: ModeOption = None,
    duration: Annotated[str | None, typer.Option("--for", help="Record for so long: 30s, 5m, 6h.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Record until then, IST: 15:45.")] = None,
    now: Annotated[
        bool, typer.Option("--now", help="Begin at once, without the calendar; end at --until, --for or `stop`.")
    ] = False,
    live: Annotated[bool | None, typer.Option("--live/--no-live", help="The live table.")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    simulate: SimulateOption = False,
) -> None:
    """Record the market data feed until the session ends.

    Ctrl-C stops it in good order; a second one at once.
    """
    from tickrec import values
    from tickrec.config import SIMULATED
    from tickrec.record.plan import Options

    settings = configured(config, data, simulate)
    if duration is not None and until is not None:
        raise UsageError("--for and --until both say when to end", hint="Give one of them")
    if settings.store.data.name == SIMULATED and not simulate:
        raise UsageError(f"{settings.store.data} is for the simulated market", hint="Add --simulate, or choose another")
    options = Options(
        symbols=selectors_of(settings, symbols),
        mode=value_of("--mode", mode_of, mode) or settings.record.mode,
        duration=value_of("--for", _span, duration),
        until=value_of("--until", values.time_of_day, until),
        now=now or simulate,
    )
    with broker(settings, simulate) as (settings, environ):
        raise SystemExit(_record(settings, options, environ, live))


def _record(config: "Config", options: "Options", environ: Mapping[str, str], live: bool | None) -> ExitCode:
    """Run the recorder with a log or a live table; its exit code."""
    import asyncio

    from tickrec import logs
    from tickrec.cli.terminal import Terminal
    from tickrec.clock import Stopped, SystemClock
    from tickrec.record.signals import Signals
    from tickrec.record.start import Record
    from tickrec.screen import display
    from tickrec.store.paths import Store

    logs.log_to_file(config.store.data / "state" / "tickrec.log")
    wanted = display.suits_live(sys.stdout, environ) if live is None else live and display.can_show(sys.stdout, environ)
    with Terminal(environ, live=wanted) as terminal:

        def abandon() -> None:
            terminal.close()
            say("stopped at once; everything received is in the journal, and the next recording goes on from there")
            os._exit(ExitCode.DONE)

        async def run() -> "RunStatus":
            clock, stopping = SystemClock(), signals.event()
            return await Record(config, options, environ, clock, stopping, terminal.show, bar=terminal.bar).run()

        try:
            with Signals(abandon) as signals:
                last = asyncio.run(run())
        except Stopped:
            terminal.close()
            say("stopped before the recording began")
            return ExitCode.DONE
    with contextlib.suppress(OSError, ValueError, AttributeError):  # nobody reads stderr: the recording is no worse
        last = dataclasses.replace(last, reason=again(last.reason))
        display.print_summary(last, Store(config.store.data), sys.stderr, option=options_given())
    return ExitCode(last.exit_code)


def _span(text: str) -> "dt.timedelta":
    """How long to record. Raises ValueError."""
    from tickrec import values

    span: dt.timedelta = values.span("100ms", "30d")(text, Path())
    return span


@app.command()
def status(
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="The live table of a recorder running elsewhere.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    simulate: SimulateOption = False,
) -> None:
    """Say whether it records, how far it is, and what is kept."""
    import asyncio

    from tickrec.clock import SystemClock
    from tickrec.config import SIMULATED
    from tickrec.screen import display
    from tickrec.status import status as reports
    from tickrec.status.as_json import to_json
    from tickrec.store.paths import Store

    store, clock = Store(configured(config, data, simulate).store.data), SystemClock()
    if watch:
        if not display.can_show(sys.stdout, os.environ):
            hint = "`tickrec status` says how it is once, and with --json for programs"
            raise UsageError("--watch needs a terminal", hint=hint)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(display.watch(store, clock, sys.stdout, os.environ))
    report = reports.collect(store, clock)
    if as_json:
        answer(json.dumps(to_json(report), indent=2))
    else:
        said = dataclasses.replace(report, reason=again(report.reason))
        display.print_status(said, sys.stdout, option=options_given())
        if not store.dates() and Store(store.root / SIMULATED).dates():
            say("the simulated market has been recorded: see `tickrec status --simulate`")
    raise SystemExit(report.exit_code)


@app.command()
def symbols(
    selectors: Annotated[list[str], typer.Argument(metavar="SEL...", help="fno, RELIANCE, NIFTY:opt:10, @file, ...")],
    mode: ModeOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    simulate: SimulateOption = False,
) -> None:
    """Show what a selector means today, and what it needs."""
    from tickrec.clock import SystemClock
    from tickrec.record import selection
    from tickrec.record.plan import Options

    settings = configured(config, data, simulate)
    options = Options(symbols=tuple(selectors), mode=value_of("--mode", mode_of, mode) or settings.record.mode)
    log_to_stderr()
    with broker(settings, simulate) as (settings, environ):
        found = selection.select(settings, options, environ, SystemClock(), download_line)
    if as_json:
        answer(json.dumps(selection.to_json(found), indent=1, ensure_ascii=False))
    else:
        answer("\n".join(selection.to_lines(found)))


@app.command()
def login(
    analytics: Annotated[bool, typer.Option("--analytics", help="Store a pasted one-year analytics token.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    simulate: SimulateOption = False,
) -> None:
    """Log in to the broker and store the access token.

    The file can be read by you only.
    """
    from tickrec.clock import SystemClock, ist
    from tickrec.upstox.login import App, Talk, log_in, store_analytics_token
    from tickrec.upstox.rest import Rest

    settings = configured(config, data, simulate)
    with broker(settings, simulate) as (settings, environ):
        account = settings.upstox
        rest = Rest(account.api_url, account.assets_url)
        talk = Talk(say=say)
        if analytics:
            token = store_analytics_token(_pasted(), account.token_file, rest, environ, talk, SystemClock.wall_ns())
        else:
            secret = account.client_secret.reveal() if account.client_secret else None
            app_ = App(client_id=account.client_id, client_secret=secret, redirect_uri=account.redirect_uri)
            token = log_in(app_, account.token_file, rest, environ, talk)
    until = f", valid until {ist(token.expires_ns):%a %d %b %Y %H:%M} IST" if token.expires_ns is not None else ""
    say(f"stored in {account.token_file}{until}")


def _pasted() -> str:
    """A line that is not shown while it is typed; empty when there is none."""
    import getpass

    if not sys.stdin.isatty():
        return sys.stdin.readline()
    try:
        return getpass.getpass("Analytics token (not shown): ")
    except EOFError:
        say("")
        return ""


@app.command()
def schedule(
    at: Annotated[str | None, typer.Option("--at", help="One start a day instead, IST: 9:15.")] = None,
    install: Annotated[bool, typer.Option("--install", help="Put it into your crontab.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take it out of your crontab again.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    simulate: SimulateOption = False,
) -> None:
    """Have the machine start the recorder every day.

    Prints a crontab entry, a systemd timer, or a task for Windows.
    """
    from tickrec import values
    from tickrec.clock import SystemClock
    from tickrec.schedule import schedule as schedules
    from tickrec.schedule.crontab import Crontab

    settings = configured(config, data, simulate)
    if install and remove:
        raise UsageError("--install and --remove exclude each other")
    if remove:
        return say(schedules.remove(schedules.mark_of(settings), Crontab()))
    now_ns, start = SystemClock.wall_ns(), value_of("--at", values.time_of_day, at)
    machine = schedules.this_machine(os.environ, now_ns)
    planned = schedules.plan_schedule(settings, machine, os.environ, now_ns, simulate=simulate, at=start)
    if as_json:
        answer(json.dumps(schedules.to_json(planned), indent=2))
    else:
        answer("\n".join(schedules.crontab_lines(planned)) if install else schedules.text(planned).rstrip())
        for note in planned.notes:
            say(f"\n{note}")
    if install:
        say(schedules.install(planned, Crontab()))


@app.command()
def doctor(
    as_json: JsonOption = False, config: ConfigOption = None, data: DataOption = None, simulate: SimulateOption = False
) -> None:
    """Look at everything that a recording depends on.

    Says what to do about what is wrong; exit code 5 if something fails.
    """
    from tickrec.clock import SystemClock
    from tickrec.doctor import examine as examination
    from tickrec.screen import display

    settings = configured(config, data, simulate)
    with broker(settings, simulate) as (settings, environ):
        found = examination.examine(settings, environ, SystemClock(), simulate=simulate)
        checks = [dataclasses.replace(check, hint=again(check.hint)) for check in found]
    if as_json:
        answer(json.dumps(examination.to_json(checks), indent=2))
    else:
        display.put(examination.page(checks, display.page_width(sys.stdout)), sys.stdout)
    raise SystemExit(examination.exit_code(checks))


class _WithFaults(TyperCommand):
    """`simulate`, whose help lists the faults; what knows them is loaded only then."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Put the faults below the options."""
        from tickrec.serve.faults import describe

        self.epilog = describe()
        super().format_epilog(ctx, formatter)


@app.command(cls=_WithFaults)
def simulate(
    port: Annotated[int, typer.Option("--port", help="Loopback port; 0: any free one.")] = 8788,
    rate: Annotated[float, typer.Option("--rate", help="Ticks a second over all subscribed instruments.")] = 1100.0,
    interval: Annotated[
        str, typer.Option("--interval", help="Between two messages, in which an instrument moves once.")
    ] = "200ms",
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same market.")] = 1,
    plus: Annotated[bool, typer.Option("--plus", help="An Upstox Plus account.")] = False,
    real_hours: Annotated[bool, typer.Option("--real-hours", help="Keep the exchanges' hours.")] = False,
    fault: Annotated[
        list[str] | None, typer.Option("--fault", help="What goes wrong, and when: see below (repeatable).")
    ] = None,
    sent_log: Annotated[Path | None, typer.Option("--sent-log", help="Journal of every message sent.")] = None,
    until_eof: Annotated[bool, typer.Option("--until-eof", help="End when stdin closes.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    simulate: SimulateOption = False,
) -> None:
    """Serve a synthetic market in the broker's protocol.

    On a loopback port of this machine only, REST and websocket alike. It prints where: both addresses belong into
    [upstox] of a config.toml of its own. Any access token will do.
    """
    import asyncio

    from tickrec.serve.faults import parse_fault
    from tickrec.serve.server import run
    from tickrec.serve.synthetic.simulator import Settings, Simulator

    configured(config, data, simulate)  # every command refuses a configuration that it does not understand
    settings = Settings(
        port=port,
        rate=rate,
        interval=seconds_of("--interval", interval) or 0.2,
        seed=seed,
        plus=plus,
        always_open=not real_hours,
        faults=tuple(map(parse_fault, fault or ())),
        sent_log=sent_log,
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(Simulator(settings), lambda line: print(line, flush=True), until_eof))
