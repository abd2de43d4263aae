"""What the commands have in common: their options, the configuration, what is said where.

stdout is data; everything else goes to stderr. Heavy imports stay inside the functions.
"""

import contextlib
import dataclasses
import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, ParamSpec

import typer

from tickrec import __version__
from tickrec.cli.unchecked import PlainCommand, PlainGroup
from tickrec.errors import ExitCode, set_options

if TYPE_CHECKING:
    from tickrec.config import Config

P = ParamSpec("P")

ConfigOption = Annotated[Path | None, typer.Option("--config", help="Configuration file.", metavar="FILE")]
DataOption = Annotated[Path | None, typer.Option("--data", help="Folder of the store.", metavar="DIR")]
SimulateOption = Annotated[bool, typer.Option("--simulate", help="The simulated market and its own store.")]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Say warnings and errors only.")]
VerboseOption = Annotated[bool, typer.Option("-v", "--verbose", help="Say every step.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ModeOption = Annotated[
    str | None, typer.Option("--mode", metavar="MODE", help="ltpc, option_greeks, full or full_d30.")
]
ColoursOption = Annotated[
    str | None, typer.Option("--colours", metavar="NAME", help="Of the live table: calm, or market for green and red.")
]

_COMMON: Final = {
    "config": (ConfigOption, None),
    "data": (DataOption, None),
    "simulate": (SimulateOption, False),
    "quiet": (QuietOption, False),
    "verbose": (VerboseOption, False),
}
"""What every command takes beside what is its own, before its name or after it, with what it is otherwise."""

app = typer.Typer(
    cls=PlainGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass(frozen=True, slots=True)
class Common:
    """What the common options select."""

    settings: "Config"
    simulate: bool
    quiet: bool = False
    verbose: bool = False

    @property
    def log_level(self) -> int:
        """From which level on the log is for stderr."""
        import logging

        return logging.WARNING if self.quiet else logging.DEBUG if self.verbose else logging.INFO

    def log_to_stderr(self) -> None:
        """Send the log to stderr, as far as it was asked for."""
        from tickrec.logs import log_to_stderr

        log_to_stderr(level=self.log_level)

    @contextlib.contextmanager
    def broker(self, simulate: Sequence[str] = ()) -> "Iterator[tuple[Config, Mapping[str, str]]]":
        """The configuration and environment to reach the broker with; for `--simulate`, a market of our own, which
        gets these options of the command simulate."""
        if not self.simulate:
            yield self.settings, os.environ
            return
        from tickrec.serve.child import TOKEN, simulated_market

        with simulated_market(simulate) as (api_url, assets_url):
            upstox = dataclasses.replace(self.settings.upstox, api_url=api_url, assets_url=assets_url)
            yield dataclasses.replace(self.settings, upstox=upstox), {**os.environ, "UPSTOX_ACCESS_TOKEN": TOKEN}


@app.callback(invoke_without_command=True)
def tickrec(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    simulate: SimulateOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Record every tick of the Upstox market data feed, and ask questions of it, also while it records."""
    if version:
        answer(__version__)
        raise SystemExit(ExitCode.DONE)
    context.obj = {"config": config, "data": data, "simulate": simulate, "quiet": quiet, "verbose": verbose}


def command(
    *, cls: type[PlainCommand] = PlainCommand, epilog: str | None = None
) -> Callable[[Callable[Concatenate[Common, P], None]], Callable[Concatenate[Common, P], None]]:
    """Make a function a command of its name, with the common options; it gets what they select first.

    The function's docstring is the command's help, its other parameters are its own options and arguments.
    """

    def register(function: Callable[Concatenate[Common, P], None]) -> Callable[Concatenate[Common, P], None]:
        @functools.wraps(function)
        def run(context: typer.Context, **given: Any) -> None:
            common = {name: given.pop(name) or context.obj[name] for name in _COMMON}
            function(_selected(**common), **given)  # type: ignore[call-arg]

        _, *own = inspect.signature(function, eval_str=True).parameters.values()
        by_name = inspect.Parameter.KEYWORD_ONLY
        parameters = [
            *(each.replace(kind=by_name) for each in own),
            inspect.Parameter("context", by_name, annotation=typer.Context),
            *(inspect.Parameter(name, by_name, default=none, annotation=of) for name, (of, none) in _COMMON.items()),
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        app.command(cls=cls, epilog=epilog)(run)
        return function

    return register


def _selected(*, config: Path | None, data: Path | None, simulate: bool, quiet: bool, verbose: bool) -> Common:
    """What the common options select."""
    from tickrec.config import load

    set_options(config=config, data=data, simulate=simulate)
    return Common(load(config, data=data, simulate=simulate, environ=os.environ), simulate, quiet, verbose)


def say(text: str) -> None:
    """Tell a person, if somebody listens."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr)


def answer(text: str) -> None:
    """Print what was asked for."""
    print(text)
