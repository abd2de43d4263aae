"""The command line: parse, call, print, exit code.

Everything heavy is imported inside the commands, so that `--help` and a refused option answer at once.
"""

import os
from typing import Annotated, Final

import typer

from tickrec import __version__

# Importing the commands is what adds them to the app; help lists them in this order.
# isort: off
from tickrec.cli import recording  # noqa: F401
from tickrec.cli import query  # noqa: F401
from tickrec.cli import days  # noqa: F401
from tickrec.cli import replay  # noqa: F401

# isort: on
from tickrec.cli.common import answer, app, say
from tickrec.errors import ExitCode, TickrecError

ALLOCATOR: Final = ("ARROW_DEFAULT_MEMORY_POOL", "system")
"""Arrow's own allocator keeps 15 to 30 MB more of a flush and 100 MB more of a sealing, and is no faster for us
(measured with pyarrow 26 and glibc)."""


@app.callback(invoke_without_command=True)
def tickrec(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Record every tick of the Upstox market data feed, and ask questions of it, also while it records."""
    if version:
        answer(__version__)
        raise SystemExit(ExitCode.DONE)


def main() -> None:
    """Run a command; the exit code is ExitCode's."""
    os.environ.setdefault(*ALLOCATOR)  # before anything imports Arrow; children inherit it
    try:
        app()
    except TickrecError as error:
        say(f"tickrec: {error}")
        raise SystemExit(error.code) from None
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        say(f"tickrec: {error.strerror or error}{where}. Check that it is there, and that you may use it")
        raise SystemExit(ExitCode.STORAGE) from None
