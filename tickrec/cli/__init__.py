"""The command line: parse, call, print, exit code.

Everything heavy is imported inside the commands, so that `--help` and a refused option answer at once.
"""

# Importing the commands is what adds them to the app; help lists them in this order.
from tickrec.cli import recording, days  # noqa: F401, I001
from tickrec.cli.common import app, say
from tickrec.errors import ExitCode, TickrecError


def main() -> None:
    """Run a command; the exit code is ExitCode's."""
    try:
        app()
    except TickrecError as error:
        say(f"tickrec: {error}")
        raise SystemExit(error.code) from None
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        say(f"tickrec: {error.strerror or error}{where}. Check that it is there, and that you may use it")
        raise SystemExit(ExitCode.STORAGE) from None
