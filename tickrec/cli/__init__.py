"""The command line: parse, call, print, exit code. One module a command.

`common` has what all commands share: the options --config, --data and --simulate, and where what is said goes.
Everything heavy is imported inside the commands, so that `--help` and a refused option answer at once. Knows nothing
of what a command does.
"""

import os
from typing import Final

# isort: off
from tickrec.cli import garbage_collection  # noqa: F401

# Importing a command adds it to the app; help lists them in this order.
from tickrec.cli import record  # noqa: F401
from tickrec.cli import status  # noqa: F401
from tickrec.cli import query  # noqa: F401
from tickrec.cli import symbols  # noqa: F401
from tickrec.cli import login  # noqa: F401
from tickrec.cli import doctor  # noqa: F401
from tickrec.cli import schedule  # noqa: F401
from tickrec.cli import seal  # noqa: F401
from tickrec.cli import rebuild  # noqa: F401
from tickrec.cli import verify  # noqa: F401
from tickrec.cli import check  # noqa: F401
from tickrec.cli import backfill  # noqa: F401
from tickrec.cli import simulate  # noqa: F401
from tickrec.cli import replay  # noqa: F401
from tickrec.cli import relay  # noqa: F401
from tickrec.cli import help as help_command  # noqa: F401

# isort: on
from tickrec.cli.common import app, say
from tickrec.cli.stdio import prepare_streams
from tickrec.errors import ExitCode, TickrecError

ALLOCATOR: Final = ("ARROW_DEFAULT_MEMORY_POOL", "system")
"""Arrow's own allocator keeps 15 to 30 MB more of a flush and 100 MB more of a sealing, and is no faster for us
(measured with pyarrow 26 and glibc)."""


def main() -> None:
    """Run a command; the exit code is ExitCode's."""
    os.environ.setdefault(*ALLOCATOR)  # before anything imports Arrow; children inherit it
    prepare_streams()
    try:
        app()
    except TickrecError as error:
        say(f"tickrec: {error}")
        raise SystemExit(error.code) from None
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        say(f"tickrec: {error.strerror or error}{where}. Check that it is there, and that you may use it")
        raise SystemExit(ExitCode.STORAGE) from None
