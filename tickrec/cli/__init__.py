"""The command line: parse, call, print, exit code. One module a command.

`common` has what all commands share: the options --config, --data and --simulate, and where what is said goes.
Everything heavy is imported inside the commands, so that `--help` and a refused option answer at once. Knows nothing
of what a command does.
"""

import sys
from importlib import import_module
from typing import Final

from tickrec.cli import allocator, garbage_collection  # noqa: F401  before anything else
from tickrec.cli.common import app, say
from tickrec.cli.stdio import prepare_streams
from tickrec.errors import ExitCode, TickrecError

COMMANDS: Final = (
    "record",
    "status",
    "query",
    "symbols",
    "login",
    "doctor",
    "schedule",
    "seal",
    "rebuild",
    "verify",
    "check",
    "backfill",
    "simulate",
    "replay",
    "relay",
)
"""Each is a module, which adds itself to the app when it is imported; help lists them in this order."""


def main() -> None:
    """Run a command; the exit code is ExitCode's."""
    allocator.choose()
    prepare_streams()
    _import(sys.argv[1] if len(sys.argv) > 1 else "")
    try:
        app()
    except TickrecError as error:
        say(f"tickrec: {error}")
        raise SystemExit(error.code) from None
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        say(f"tickrec: {error.strerror or error}{where}. Check that it is there, and that you may use it")
        raise SystemExit(ExitCode.STORAGE) from None


def _import(word: str) -> None:
    """Import the command that a first word names, or else all of them: the others take as long as many an answer."""
    for name in [word] if word in COMMANDS else [*COMMANDS, "help"]:
        import_module(f"tickrec.cli.{name}")
