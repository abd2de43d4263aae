"""What the commands have in common: their options, the configuration, what is said where.

stdout is data; everything else goes to stderr. Heavy imports stay inside the functions.
"""

import contextlib
import dataclasses
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from tickrec.cli.plain import PlainGroup
from tickrec.errors import UsageError

if TYPE_CHECKING:
    import datetime as dt

    from tickrec.config import Config
    from tickrec.upstox.rest import Progress

Result = TypeVar("Result")

app = typer.Typer(
    cls=PlainGroup,
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


def log_to_stderr() -> None:
    """Send the log to stderr."""
    from tickrec.logs import log_to_stderr

    log_to_stderr()


def configured(config: Path | None, data: Path | None, simulate: bool) -> "Config":
    """The configuration that the three common options select."""
    from tickrec.config import load

    _given.update(config=config, data=data, simulate=simulate)
    if options_given():
        _complete_log()
    return load(config, data=data, simulate=simulate, environ=os.environ)


_given: dict[str, Path | bool | None] = {}
"""The common options of this process."""
_COMMAND = re.compile(r"`tickrec (\w+)([^`]*)`")


def options_given(*, store: bool = True) -> str:
    """The common options as this command was given them, with a space before each; without those about the store."""
    import shlex

    config, data = _given.get("config"), _given.get("data")
    options = f" --config {shlex.quote(str(config))}" if config else ""
    if store:
        options += f" --data {shlex.quote(str(data))}" if data else ""
        options += " --simulate" if _given.get("simulate") else ""
    return options


def again(text: str) -> str:
    """The text with this command's options in each `tickrec ...` that it says to run: it is about the same store."""

    def complete(found: re.Match[str]) -> str:
        command, rest = found.groups()
        if "--help" in rest or "--tables" in rest or "--simulate" in rest:
            return found[0]
        return f"`tickrec {command}{rest}{options_given(store=command not in ('login', 'simulate'))}`"

    return _COMMAND.sub(complete, text) if options_given() else text


def _complete_log() -> None:
    """Let what is logged name the same options."""
    import logging

    def complete(record: logging.LogRecord) -> bool:
        record.msg, record.args = again(record.getMessage()), None
        return True

    logging.getLogger("tickrec").addFilter(complete)


def say(text: str) -> None:
    """Tell a person, if somebody listens."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(again(text), file=sys.stderr)


def answer(text: str) -> None:
    """Print what was asked for."""
    print(text)


@contextlib.contextmanager
def broker(config: "Config", simulate: bool) -> "Iterator[tuple[Config, Mapping[str, str]]]":
    """The configuration and environment to reach the broker with; for `--simulate`, a market of our own."""
    if not simulate:
        yield config, os.environ
        return
    from tickrec.serve.child import TOKEN, simulated_market

    with simulated_market() as addresses:
        upstox = dataclasses.replace(config.upstox, api_url=addresses.api_url, assets_url=addresses.assets_url)
        yield dataclasses.replace(config, upstox=upstox), {**os.environ, "UPSTOX_ACCESS_TOKEN": TOKEN}


def selectors_of(config: "Config", given: Sequence[str] | None) -> tuple[str, ...]:
    """The selectors of the command line, else those of the configuration."""
    return tuple(given) if given else config.record.symbols


def mode_of(text: str) -> str:
    """A mode's name, checked. Raises ValueError."""
    from tickrec import values
    from tickrec.config import MODES

    read = values.choice(*MODES)
    return str(read(text, Path()))


def value_of(name: str, read: Callable[[str], Result], text: str | None) -> Result | None:
    """The value that an option's text stands for. Raises UsageError."""
    try:
        return None if text is None else read(text)
    except ValueError as error:
        raise UsageError(f"{name} {error}") from None


def seconds_of(name: str, text: str | None) -> float | None:
    """The seconds that an option such as 30s or 250ms stands for. Raises UsageError."""
    from tickrec.values import duration

    length = value_of(name, duration, text)
    return None if length is None else length.total_seconds()


def date_of(name: str, text: str | None) -> "dt.date | None":
    """The date that 2026-11-23, today or yesterday stands for. Raises UsageError."""
    import datetime as dt

    from tickrec.clock import SystemClock
    from tickrec.market.calendar import trading_date

    today = trading_date(SystemClock.wall_ns())
    if text is None or text in ("today", "yesterday"):
        return today - dt.timedelta(days=text == "yesterday") if text else None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name} must be a date such as 2026-11-23, today or yesterday, not {text}") from None


@contextlib.contextmanager
def progress_line(what: str = "") -> "Iterator[Callable[..., None] | None]":
    """A line on stderr for what takes long, where somebody looks at it; gone when it is done or something is logged."""
    if not sys.stderr.isatty():
        yield None
        return
    import logging

    shown, log = False, logging.getLogger("tickrec")

    def show(percent: float, step: str = "") -> None:
        nonlocal shown
        shown = True
        print(
            f"\r{what} {'#' * int(percent / 4):<25} {percent:3.0f} %  {step}\x1b[K", end="", file=sys.stderr, flush=True
        )

    def clear(_record: object = None) -> bool:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        return True

    log.addFilter(clear)
    try:
        yield show
    finally:
        log.removeFilter(clear)
        clear()


@contextlib.contextmanager
def download_line() -> "Iterator[Progress | None]":
    """A line on stderr for the download of the day's instruments, where somebody looks at it."""
    from tickrec.formatting import size

    with progress_line("instruments") as show:

        def draw(received: int, total: int | None) -> None:
            if show is not None and total:
                show(100 * received / total, f"{size(received)} of {size(total)}")

        yield None if show is None else draw


@contextlib.contextmanager
def step_line(what: str) -> "Iterator[Callable[[str, float], None] | None]":
    """A line on stderr for the steps of something long, where somebody looks at it."""
    with progress_line(what) as show:
        yield None if show is None else (lambda step, share: show(share * 100, step))
