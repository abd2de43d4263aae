"""The command record: what and how long, with a log or a live table."""

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tickrec.cli.common import ColoursOption, Common, ModeOption, command, say
from tickrec.cli.completion import complete_symbol
from tickrec.cli.options import colours_of, mode_of, positive_of, trend_of, value_of
from tickrec.errors import AlreadyRecording, ExitCode, NothingToRecord, TickrecError, UsageError, options_given

if TYPE_CHECKING:
    import datetime as dt

    from tickrec.config import Config
    from tickrec.record.plan import Options
    from tickrec.status.runstatus import RunStatus
    from tickrec.store.paths import Store

SymbolsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--symbols",
        autocompletion=complete_symbol,
        help="What to record: fno, RELIANCE, NIFTY:opt:10, ... (repeatable)",
        metavar="SEL",
    ),
]
MisplacedArgument = Annotated[list[str] | None, typer.Argument(hidden=True, metavar="--symbols SEL")]
"""What is to be recorded, given as other commands take it."""
ForOption = Annotated[str | None, typer.Option("--for", metavar="TIME", help="Record for so long: 30s, 5m, 6h.")]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="HH:MM", help="Record until then, IST: 15:45.")]
NowOption = Annotated[
    bool, typer.Option("--now", help="Begin at once, without the calendar; end at --until, --for or `stop`.")
]
RateOption = Annotated[
    str | None, typer.Option("--rate", metavar="N", help="With --simulate: ticks a second, as in `simulate`.")
]
TrendOption = Annotated[
    str | None, typer.Option("--trend", metavar="SHARE", help="With --simulate: how far prices move: 2%, 2%/10m.")
]
FaultOption = Annotated[
    list[str] | None,
    typer.Option("--fault", metavar="KIND", help="With --simulate: what goes wrong: see `simulate` (repeatable)."),
]
ScheduledOption = Annotated[
    bool, typer.Option("--scheduled", hidden=True, help="Started by a schedule: silent when there is nothing to do.")
]


@command()
def record(
    common: Common,
    misplaced: MisplacedArgument = None,
    symbols: SymbolsOption = None,
    mode: ModeOption = None,
    duration: ForOption = None,
    until: UntilOption = None,
    now: NowOption = False,
    rate: RateOption = None,
    trend: TrendOption = None,
    fault: FaultOption = None,
    live: Annotated[bool | None, typer.Option("--live/--no-live", help="The live table.")] = None,
    colours: ColoursOption = None,
    scheduled: ScheduledOption = False,
) -> None:
    """Record the market data feed until the session ends.

    Ctrl-C stops it in good order; a second one at once.
    """
    from tickrec import values
    from tickrec.record.plan import Options
    from tickrec.schedule.schedule import keep_cron_log_short

    settings = common.settings
    if misplaced:
        raise UsageError(f"{misplaced[0]} is no option", hint=f"Name it so: --symbols {','.join(misplaced)}")
    if duration is not None and until is not None:
        raise UsageError("--for and --until both say when to end", hint="Give one of them")
    market = _market_options(rate, trend, fault or [])
    if not common.simulate:
        _require_no_simulation(settings.store.data, market)
    options = Options(
        symbols=tuple(symbols or settings.record.symbols),
        mode=value_of("--mode", mode_of, mode) or settings.record.mode,
        duration=value_of("--for", _span, duration),
        until=value_of("--until", values.time_of_day, until),
        now=now or common.simulate,
        kept=not symbols,
        scheduled=scheduled,
    )
    palette = colours_of(colours)
    with common.broker(market) as (settings, environ):
        if not scheduled:
            raise SystemExit(_record(common, settings, options, environ, live, palette))
        keep_cron_log_short(settings)
        try:
            raise SystemExit(_record(common, settings, options, environ, live, palette))
        except (AlreadyRecording, NothingToRecord) as error:  # as for most starts of a day
            raise SystemExit(error.code) from None


def _require_no_simulation(data: Path, market: Sequence[str]) -> None:
    """Raise UsageError where the store, or an option, is for the simulated market."""
    from tickrec.config import SIMULATED

    if data.name == SIMULATED:
        raise UsageError(f"{data} is for the simulated market", hint="Add --simulate, or choose another")
    if market:
        raise UsageError(f"{market[0].partition('=')[0]} is for the simulated market", hint="Add --simulate")


def _market_options(rate: str | None, trend: str | None, faults: Sequence[str]) -> list[str]:
    """The options of the simulated market, checked, as its command takes them. Raises UsageError."""
    from tickrec.serve.faults import parse_fault

    options = []
    if rate is not None:
        positive_of("--rate", rate)
        options.append(f"--rate={rate}")
    if trend is not None:
        trend_of("--trend", trend)
        options.append(f"--trend={trend}")
    for fault in faults:
        parse_fault(fault)
        options.append(f"--fault={fault}")
    return options


def _record(
    common: Common, config: "Config", options: "Options", environ: Mapping[str, str], live: bool | None, colours: str
) -> ExitCode:
    """Run the recorder with a log or a live table; its exit code."""
    import asyncio

    from tickrec import logs
    from tickrec.cli import allocator
    from tickrec.cli.recording_display import Terminal
    from tickrec.clock import Stopped, SystemClock
    from tickrec.record.signals import Signals
    from tickrec.record.start import Record
    from tickrec.screen.beside import can_show, suits_viewer
    from tickrec.store.paths import Store

    allocator.share()
    file = logs.log_to_file(config.store.data / "state" / "tickrec.log")
    wanted = suits_viewer(sys.stdout, environ) if live is None else live and can_show(sys.stdout, environ)
    terminal = Terminal(config.store.data, live=wanted, colours=colours, level=common.log_level)
    with contextlib.closing(terminal):

        def abandon() -> None:
            terminal.close()
            say("stopped at once; everything received is in the journal, and the next recording goes on from there")
            os._exit(ExitCode.DONE)

        async def run() -> "RunStatus":
            clock, stopping = SystemClock(), signals.event()
            record = Record(config, options, environ, clock, stopping, planned=terminal.show, bar=terminal.bar)
            return await record.run()

        try:
            with Signals(abandon) as signals:
                last = asyncio.run(run())
        except Stopped:
            terminal.close()
            say("stopped before the recording began")
            return ExitCode.DONE
        except (AlreadyRecording, NothingToRecord):
            raise
        except TickrecError as error:  # stderr may lead nowhere
            logs.keep_error(file, error)
            raise
    with contextlib.suppress(OSError, ValueError):  # nobody reads stderr: the recording is no worse
        if common.quiet:
            return ExitCode(last.exit_code)
        _print_summary(last, Store(config.store.data))
    return ExitCode(last.exit_code)


def _print_summary(run: "RunStatus", store: "Store") -> None:
    """Say on stderr what a run leaves behind."""
    from tickrec.screen import display
    from tickrec.screen.report import summary_page
    from tickrec.status.totals import ticks_of

    width, date_ticks = display.page_width(sys.stderr), ticks_of(store, run)[0]
    display.put(summary_page(run, store, width, option=options_given(), date_ticks=date_ticks), sys.stderr)


def _span(text: str) -> "dt.timedelta":
    """How long to record. Raises ValueError."""
    from tickrec import values

    span: dt.timedelta = values.span("100ms", "30d")(text, Path())
    return span
