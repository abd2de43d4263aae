"""The command line: parse, call, print, exit code.

Everything heavy is imported inside the commands, so that `--help` and a refused option answer at once. stdout is
data; everything else goes to stderr.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from tickrec import examples
from tickrec.errors import ExitCode, TickrecError, UsageError

if TYPE_CHECKING:
    import datetime as dt

    from tickrec.config import Config
    from tickrec.layout import Store
    from tickrec.manifest import Manifest
    from tickrec.plan import Options
    from tickrec.runstatus import RunStatus

Result = TypeVar("Result")

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Record every tick of the Upstox market data feed, and ask questions of it, also while it records.",
)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="Configuration file.", metavar="FILE")]
DataOption = Annotated[Path | None, typer.Option("--data", help="Folder of the store.", metavar="DIR")]
SimulateOption = Annotated[bool, typer.Option("--simulate", help="The simulated market and its own store.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SymbolsOption = Annotated[
    list[str] | None,
    typer.Option("--symbols", help="What to record: fno, RELIANCE, NIFTY:opt:10, ... (repeatable)", metavar="SEL"),
]
ModeOption = Annotated[str | None, typer.Option("--mode", help="ltpc, option_greeks, full or full_d30.")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="DATE", help="Every stored date from DATE to this one.")]
DateArgument = Annotated[str, typer.Argument(metavar="DATE", help="2026-11-23, today or yesterday.")]


def _log_to_stderr() -> None:
    from tickrec.logs import log_to_stderr

    log_to_stderr()


def _config(config: Path | None, data: Path | None, simulate: bool) -> "Config":
    """The configuration that the three common options select."""
    from tickrec.config import load

    return load(config, data=data, simulate=simulate, environ=os.environ)


def _say(text: str) -> None:
    """Tell a person, if somebody listens."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(text, file=sys.stderr)


def _answer(text: str) -> None:
    print(text)


@app.command()
def record(
    symbols: SymbolsOption = None,
    mode: ModeOption = None,
    duration: Annotated[str | None, typer.Option("--for", help="Record for so long: 30s, 5m, 6h.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Record until then, IST: 15:45.")] = None,
    now: Annotated[bool, typer.Option("--now", help="Begin at once, whatever the exchange calendar says.")] = False,
    live: Annotated[bool | None, typer.Option("--live/--no-live", help="The live table.")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    simulate: SimulateOption = False,
) -> None:
    """Record the market data feed until the session ends, or Ctrl-C."""
    from tickrec import values
    from tickrec.plan import Options

    settings = _config(config, data, simulate)
    options = Options(
        symbols=_symbols(settings, symbols),
        mode=_option("--mode", _mode, mode) or settings.record.mode,
        duration=_option("--for", _span, duration),
        until=_option("--until", values.time_of_day, until),
        now=now or simulate,
    )
    with _broker(settings, simulate) as (settings, environ):
        raise SystemExit(_record(settings, options, environ, live))


def _record(config: "Config", options: "Options", environ: Mapping[str, str], live: bool | None) -> ExitCode:
    """Run the recorder with a log or a live table; its exit code."""
    import asyncio

    from tickrec import display, logs
    from tickrec.clock import SystemClock
    from tickrec.layout import Store
    from tickrec.record import Record
    from tickrec.recorder import Stopped
    from tickrec.signals import Signals

    logs.log_to_file(config.store.data / "state" / "tickrec.log")
    wanted = display.suits_live(sys.stdout, environ) if live is None else live and display.can_show(sys.stdout, environ)
    with contextlib.ExitStack() as stack:
        screen = stack.enter_context(display.Screen(sys.stdout, environ)) if wanted else None

        def abandon() -> None:
            if screen is not None:
                screen.close()
            os._exit(ExitCode.DONE)

        async def run() -> "RunStatus":
            show = screen.show if screen is not None else None
            return await Record(config, options, environ, SystemClock(), signals.event(), show).run()

        if screen is None:
            _log_to_stderr()
        signals = stack.enter_context(Signals(abandon))
        try:
            last = asyncio.run(run())
        except Stopped:
            stack.close()
            _say("stopped before the recording began")
            return ExitCode.DONE
    with contextlib.suppress(OSError, ValueError, AttributeError):  # nobody reads stderr: the recording is no worse
        display.print_summary(last, Store(config.store.data), sys.stderr)
    return ExitCode(last.exit_code)


@contextlib.contextmanager
def _broker(config: "Config", simulate: bool) -> "Iterator[tuple[Config, Mapping[str, str]]]":
    """The configuration and environment to reach the broker with; for `--simulate`, a market of our own."""
    if not simulate:
        yield config, os.environ
        return
    from tickrec.simulated import TOKEN, simulated_market

    with simulated_market() as addresses:
        upstox = dataclasses.replace(config.upstox, api_url=addresses.api_url, assets_url=addresses.assets_url)
        yield dataclasses.replace(config, upstox=upstox), {**os.environ, "UPSTOX_ACCESS_TOKEN": TOKEN}


def _symbols(config: "Config", given: Sequence[str] | None) -> tuple[str, ...]:
    """The selectors of the command line, else those of the configuration."""
    return tuple(given) if given else config.record.symbols


def _span(text: str) -> "dt.timedelta":
    from tickrec import values

    span: dt.timedelta = values.span("100ms", "30d")(text, Path())
    return span


def _mode(text: str) -> str:
    from tickrec import values
    from tickrec.config import MODES

    read = values.choice(*MODES)
    return str(read(text, Path()))


def _option(name: str, read: Callable[[str], Result], text: str | None) -> Result | None:
    """The value that an option's text stands for. Raises UsageError."""
    try:
        return None if text is None else read(text)
    except ValueError as error:
        raise UsageError(f"{name} {error}") from None


def _seconds(name: str, text: str | None) -> float | None:
    """The seconds that an option such as 30s or 250ms stands for. Raises UsageError."""
    from tickrec.values import duration

    length = _option(name, duration, text)
    return None if length is None else length.total_seconds()


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

    from tickrec import display
    from tickrec import status as reports
    from tickrec.clock import SystemClock
    from tickrec.layout import Store

    store, clock = Store(_config(config, data, simulate).store.data), SystemClock()
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(display.watch(store, clock, sys.stdout, os.environ))
    report = reports.collect(store, clock)
    if as_json:
        _answer(json.dumps(reports.to_json(report), indent=2))
    else:
        display.print_status(report, sys.stdout, simulate=simulate)
    raise SystemExit(report.exit_code)


@app.command(epilog=examples.text())
def query(
    sql: Annotated[str | None, typer.Argument(metavar="SQL", help="One statement that only reads.")] = None,
    form: Annotated[str, typer.Option("--format", help="table, csv, json, jsonl or markdown.")] = "table",
    output: Annotated[Path | None, typer.Option("--output", help="Write .csv .json .jsonl .parquet .arrow.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="Rows at most.", min=0)] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Read the statement from a file; - is stdin.")] = None,
    date: Annotated[str | None, typer.Option("--date", help="One date: 2026-11-23, today, yesterday.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First date.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last date.")] = None,
    timeout: Annotated[str | None, typer.Option("--timeout", help="Give up after so long: 30s.")] = None,
    memory: Annotated[str | None, typer.Option("--memory", help="Memory at most: 2GB.")] = None,
    tables: Annotated[bool, typer.Option("--tables", help="Describe the tables, views and macros.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    simulate: SimulateOption = False,
) -> None:
    """Ask the ticks anything, in SQL, also while they are being recorded."""
    if tables:
        from tickrec.views import describe

        return _answer(describe())
    from tickrec import output as out
    from tickrec.clock import SECOND, SystemClock
    from tickrec.layout import Store
    from tickrec.query import DateRange, Session, yield_to_recorder

    if output is not None:
        out.file_format(output)
    statement = _statement(sql, file)
    seconds = _seconds("--timeout", timeout)
    dates = DateRange(_date("--from", first or date), _date("--to", last or date))
    store = Store(_config(config, data, simulate).store.data)
    yield_to_recorder()
    begun_ns = SystemClock.monotonic_ns()
    with Session(store, dates, memory_limit=memory) as session:
        if (notice := session.notice()) is not None:
            _say(notice)
        with _progress() as progress, session.execute(statement, seconds, progress) as result:
            if output is not None:
                written = out.write_file(result, output, limit)
            else:
                width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
                written = out.write_stdout(result, form, limit, width, sys.stdout.isatty())
    if sys.stderr.isatty() or output is not None:
        _say(written.line((SystemClock.monotonic_ns() - begun_ns) / SECOND))


def _statement(sql: str | None, file: Path | None) -> str:
    """The statement from the argument or from a file. Raises UsageError."""
    if (sql is None) == (file is None):
        raise UsageError("give a statement, or a file of one with --file", hint="See `tickrec query --help`")
    if sql is not None:
        return sql
    try:
        return sys.stdin.read() if str(file) == "-" else Path(str(file)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the statement cannot be read: {error}", where=str(file)) from None


@contextlib.contextmanager
def _progress(what: str = "") -> "Iterator[Callable[..., None] | None]":
    """A line on stderr for what takes long, where somebody looks at it; gone when it is done."""
    if not sys.stderr.isatty():
        yield None
        return
    shown = False

    def show(percent: float, step: str = "") -> None:
        nonlocal shown
        shown = True
        print(
            f"\r{what} {'#' * int(percent / 4):<25} {percent:3.0f} %  {step}\x1b[K", end="", file=sys.stderr, flush=True
        )

    try:
        yield show
    finally:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _date(name: str, text: str | None) -> "dt.date | None":
    """The date that 2026-11-23, today or yesterday stands for. Raises UsageError."""
    import datetime as dt

    from tickrec.calendar import trading_date
    from tickrec.clock import SystemClock

    today = trading_date(SystemClock.wall_ns())
    if text is None or text in ("today", "yesterday"):
        return today - dt.timedelta(days=text == "yesterday") if text else None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name} must be a date such as 2026-11-23, today or yesterday, not {text}") from None


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
    from tickrec import selection
    from tickrec.clock import SystemClock
    from tickrec.plan import Options

    settings = _config(config, data, simulate)
    options = Options(symbols=tuple(selectors), mode=_option("--mode", _mode, mode) or settings.record.mode)
    _log_to_stderr()
    with _broker(settings, simulate) as (settings, environ):
        found = selection.select(settings, options, environ, SystemClock())
    if as_json:
        _answer(json.dumps(selection.to_json(found), indent=1, ensure_ascii=False))
    else:
        _answer("\n".join(selection.to_lines(found)))


@app.command()
def login(
    analytics: Annotated[bool, typer.Option("--analytics", help="Store a pasted one-year analytics token.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    simulate: SimulateOption = False,
) -> None:
    """Log in to the broker and store the access token, readable by you only."""
    import getpass

    from tickrec.clock import SystemClock, ist
    from tickrec.upstox.login import Talk, log_in, store_analytics_token
    from tickrec.upstox.rest import Rest

    settings = _config(config, data, simulate)
    with _broker(settings, simulate) as (settings, environ):
        rest = Rest(settings.upstox.api_url, settings.upstox.assets_url)
        talk = Talk(say=_say)
        if analytics:
            text = getpass.getpass("Analytics token (not shown): ") if sys.stdin.isatty() else sys.stdin.readline()
            token = store_analytics_token(text, settings.upstox, rest, environ, talk, SystemClock.wall_ns())
        else:
            token = log_in(settings.upstox, rest, environ, talk)
    until = f", valid until {ist(token.expires_ns):%a %d %b %Y %H:%M} IST" if token.expires_ns is not None else ""
    _say(f"stored in {settings.upstox.token_file}{until}")


@app.command()
def seal(
    date: DateArgument,
    to: ToOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    simulate: SimulateOption = False,
) -> None:
    """Make one sorted Parquet file and one DuckDB file of a date, checked against its journal."""
    from tickrec.seal import seal as seal_date

    _make_days(seal_date, "sealed", date, to, as_json, _config(config, data, simulate))


@app.command()
def rebuild(
    date: DateArgument,
    to: ToOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    simulate: SimulateOption = False,
) -> None:
    """Make the Parquet and DuckDB files of a date anew from its journal."""
    from tickrec.seal import rebuild as rebuild_date

    _make_days(rebuild_date, "rebuilt", date, to, as_json, _config(config, data, simulate))


def _make_days(
    make: "Callable[..., Manifest]", done: str, first: str, last: str | None, as_json: bool, config: "Config"
) -> None:
    """Seal or rebuild each date of a range, and say what came out."""
    from tickrec.format import plural
    from tickrec.layout import Store

    store = Store(config.store.data)
    for date in _dates(store, first, last):
        with _steps(f"{date}") as progress:
            manifest = make(store, date, progress, duckdb=config.store.duckdb)
        if as_json:
            _answer(manifest.to_json().decode().rstrip())
        else:
            ticks, count = manifest.rows["ticks"], len(manifest.instruments)
            _answer(f"{done} {date}: {plural(ticks, 'tick')} of {plural(count, 'instrument')}")


@app.command()
def verify(
    date: DateArgument,
    to: ToOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    simulate: SimulateOption = False,
) -> None:
    """Read everything of a date again: journal against Parquet against DuckDB."""
    from tickrec.format import plural
    from tickrec.layout import Store
    from tickrec.verify import verify as verify_date

    store, ok = Store(_config(config, data, simulate).store.data), True
    for day in _dates(store, date, to):
        with _steps(f"{day}") as progress:
            report = verify_date(store, day, progress)
        ok = ok and not report.differences
        if as_json:
            _answer(json.dumps(report.to_json()))
            continue
        kind = "sealed" if report.sealed else "not sealed"
        against = "" if report.journal else ", journal gone"
        verdict = plural(len(report.differences), "difference") if report.differences else "everything agrees"
        _answer(f"{day} {kind}{against}: {plural(report.ticks, 'tick')}, {verdict}")
        for difference in report.differences:
            _answer(f"  {difference}")
    raise SystemExit(ExitCode.DONE if ok else ExitCode.DATA)


def _dates(store: "Store", first: str, last: str | None) -> "list[dt.date]":
    """The date, or the stored dates of a range. Raises UsageError."""
    begin, end = _date("DATE", first), _date("--to", last)
    assert begin is not None
    if end is None:
        return [begin]
    found = [date for date in store.dates() if begin <= date <= end]
    if not found:
        raise UsageError(f"nothing is stored from {begin} to {end}", where=str(store.root))
    return found


@contextlib.contextmanager
def _steps(what: str) -> "Iterator[Callable[[str, float], None] | None]":
    """A line on stderr for the steps of something long, where somebody looks at it."""
    with _progress(what) as show:
        yield None if show is None else (lambda step, share: show(share * 100, step))


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
    """Have the machine start the recorder every day: cron, a systemd timer, or Windows' Task Scheduler."""
    from tickrec import schedule as schedules
    from tickrec import values
    from tickrec.clock import SystemClock
    from tickrec.schedule.crontab import Crontab

    settings = _config(config, data, simulate)
    if install and remove:
        raise UsageError("--install and --remove exclude each other")
    if remove:
        return _say(schedules.remove(schedules.mark_of(settings), Crontab()))
    now_ns, start = SystemClock.wall_ns(), _option("--at", values.time_of_day, at)
    machine = schedules.this_machine(os.environ, now_ns)
    planned = schedules.plan_schedule(settings, machine, os.environ, now_ns, simulate=simulate, at=start)
    if as_json:
        _answer(json.dumps(schedules.to_json(planned), indent=2))
    else:
        _answer("\n".join(schedules.crontab_lines(planned)) if install else schedules.text(planned).rstrip())
        for note in planned.notes:
            _say(f"\n{note}")
    if install:
        _say(schedules.install(planned, Crontab()))


@app.command()
def doctor(
    as_json: JsonOption = False, config: ConfigOption = None, data: DataOption = None, simulate: SimulateOption = False
) -> None:
    """Look at everything that a recording depends on, and say what to do about it."""
    from tickrec import display
    from tickrec import doctor as examination
    from tickrec.clock import SystemClock

    settings = _config(config, data, simulate)
    with _broker(settings, simulate) as (settings, environ):
        checks = list(examination.examine(settings, environ, SystemClock(), simulate=simulate))
    if as_json:
        _answer(json.dumps(examination.to_json(checks), indent=2))
    else:
        display.put(examination.page(checks, display.page_width(sys.stdout)), sys.stdout)
    raise SystemExit(examination.exit_code(checks))


@app.command()
def simulate(
    port: Annotated[int, typer.Option("--port", help="Loopback port; 0: any free one.")] = 0,
    rate: Annotated[float, typer.Option("--rate", help="Ticks a second over all subscribed instruments.")] = 1000.0,
    interval: Annotated[
        str, typer.Option("--interval", help="Between two messages, in which an instrument moves once.")
    ] = "200ms",
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same market.")] = 1,
    plus: Annotated[bool, typer.Option("--plus", help="An Upstox Plus account.")] = False,
    real_hours: Annotated[bool, typer.Option("--real-hours", help="Keep the exchanges' hours.")] = False,
    fault: Annotated[list[str] | None, typer.Option("--fault", help="KIND[:ARG]@SECONDS (repeatable).")] = None,
    sent_log: Annotated[Path | None, typer.Option("--sent-log", help="Journal of every message sent.")] = None,
    until_eof: Annotated[bool, typer.Option("--until-eof", help="End when stdin closes.")] = False,
) -> None:
    """Serve a synthetic market in the broker's own protocol, on this machine only."""
    import asyncio

    from tickrec.upstox.simulator import Settings, serve
    from tickrec.upstox.simulator.faults import parse_fault

    settings = Settings(
        port=port,
        rate=rate,
        interval=_seconds("--interval", interval) or 0.2,
        seed=seed,
        plus=plus,
        always_open=not real_hours,
        faults=tuple(map(parse_fault, fault or ())),
        sent_log=sent_log,
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(settings, lambda line: print(line, flush=True), until_eof))


def main() -> None:
    """Run a command; the exit code is ExitCode's."""
    try:
        app()
    except TickrecError as error:
        _say(f"tickrec: {error}")
        raise SystemExit(error.code) from None
