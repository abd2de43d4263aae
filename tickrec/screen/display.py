"""Display: pages that are printed once, in colour on a terminal."""

from typing import Final, TextIO

from rich.console import Console

from tickrec.screen.lines import Page

_WIDE: Final = 160
"""Characters of a line where there is no terminal: enough for everything."""


def page_width(stream: TextIO) -> int:
    """Characters of a line there: those of the terminal, or enough for everything."""
    console = Console(file=stream)
    return console.width if console.is_terminal else _WIDE


def put(page: Page, stream: TextIO) -> None:
    """Print a page; in colour on a terminal, unless NO_COLOR is set."""
    Console(file=stream, highlight=False, width=page.width).print(page, soft_wrap=True)
