"""The standard streams of a process: stdin, stdout and stderr, as commands rely on them."""

import codecs
import io
import os
import sys
from typing import Final

_ESCAPE: Final = "tickrec.escape"
"""The name of how what cannot be encoded is written."""
_MODES: Final = {"stdin": "r", "stdout": "w", "stderr": "w"}


def prepare_streams() -> None:
    """Let every text be printed, and let the three streams be there, leading nowhere where the process has none.

    A service, pythonw and a shell's `>&-` leave file descriptors 0 to 2 closed. The next files that are opened, such as
    a journal, would then get these numbers, and what a library writes to stderr would land in them.
    """
    for number, (name, mode) in enumerate(_MODES.items()):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  open as long as the process lives
    if isinstance(sys.stdout, io.TextIOWrapper):
        codecs.register_error(_ESCAPE, _escape)
        sys.stdout.reconfigure(errors=_ESCAPE)


def _escape(error: UnicodeError) -> tuple[str, int]:
    r"""What an encoding lacks, such as a rupee sign in cp1252, as \u20b9, which JSON understands."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True)), error.end
