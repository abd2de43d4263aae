"""Display: pages in colour, and the screen that the live table is on.

The only importer of rich besides the command line. One accent colour; red is for what needs a person. A frame is the
text of its rows with rich's styles put in: a rich Table costs sixty times as much, and a rich Text twice.
"""

import os
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TextIO

from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style

from tickrec.clock import Clock
from tickrec.screen.live import LiveView
from tickrec.screen.page import Page, Tone
from tickrec.screen.painter import Painter, resume_output, terminal_writer
from tickrec.screen.table import live_page
from tickrec.status.runstatus import RunStatus

if TYPE_CHECKING:
    from tickrec.status.status import StatusReport
    from tickrec.store.paths import Store

_STYLES: Final = {
    Tone.STRONG: Style(bold=True),
    Tone.FAINT: Style(dim=True),
    Tone.ACCENT: Style(color="cyan", bold=True),
    Tone.ALARM: Style(color="red", bold=True),
}


def _codes(style: Style) -> tuple[str, str]:
    """The escape sequences that begin and end a style."""
    on, _, off = style.render("|", color_system=ColorSystem.STANDARD).partition("|")
    return on, off


_CODES: Final = {tone: _codes(style) for tone, style in _STYLES.items()}
_COLOURLESS: Final = {tone: _codes(style.without_color) for tone, style in _STYLES.items()}
_WIDE: Final = 160
_ASCII: Final = str.maketrans({"▲": "^", "▼": "v", "…": "~"})
_DUMB: Final = ("", "dumb", "unknown")


def can_show(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Whether the live table can be shown there: a terminal that can move its cursor."""
    if stream is None or not stream.isatty():  # None: started with the stream closed
        return False
    if sys.platform == "win32":
        return not Console(file=stream).legacy_windows
    return environ.get("TERM", "") not in _DUMB


def suits_live(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Whether to show the live table there unasked: where it can be shown, unless NO_COLOR is set."""
    return can_show(stream, environ) and not environ.get("NO_COLOR")


def page_width(stream: TextIO) -> int:
    """Characters of a line there: those of the terminal, or enough for everything."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or _WIDE
    except (OSError, ValueError):
        return _WIDE


def put(page: Page, stream: TextIO) -> None:
    """Print a page; in colour on a terminal, unless NO_COLOR is set."""
    console = Console(file=stream, highlight=False)
    lines = _escaped(page, colour=not console.no_color) if console.is_terminal else page.text
    print(*(line.rstrip() for line in lines.split("\n")), sep="\n", file=stream)


def print_status(report: "StatusReport", stream: TextIO, *, option: str = "") -> None:
    """Print one screen about a store; `option` is what selects the store on the command line."""
    from tickrec.screen.report import status_page

    put(status_page(report, page_width(stream), option=option), stream)


def print_summary(run: RunStatus, store: "Store", stream: TextIO, *, option: str = "") -> None:
    """Print what a run leaves behind; `option` is what selects the store on the command line."""
    from tickrec.screen.report import summary_page
    from tickrec.status.totals import ticks_of

    page = summary_page(run, store, page_width(stream), option=option, date_ticks=ticks_of(store, run)[0])
    put(page, stream)


async def watch(store: "Store", clock: Clock, stream: TextIO, environ: Mapping[str, str]) -> "StatusReport":
    """Show the live table of the recorder that works on the store until it ends; how it ended.

    Returns at once when there is none. The stream must pass `can_show`. Raises OSError, DataError.
    """
    from tickrec.screen.watch import Watch
    from tickrec.status.status import collect

    watching = Watch(store, clock)
    if watching.going:
        with Screen(stream, environ) as screen:
            await watching.until_over(screen.show)
    return collect(store, clock)


class Screen:
    """The live table on a terminal, from `with` to the end of it, when the terminal is given back as it was.

    `show` never waits for the terminal. Leaving takes at most about a second, also when the terminal has stopped.
    """

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        self._fd = stream.fileno()
        self._colour = not environ.get("NO_COLOR")
        self._unicode = (stream.encoding or "").lower().startswith("utf")
        self._painter = Painter(terminal_writer(self._fd))

    def show(self, view: LiveView) -> None:
        """Put the view on the screen in its present size, some milliseconds later."""
        lines = _escaped(live_page(view, *self._size()), colour=self._colour)
        self._painter.offer((lines if self._unicode else lines.translate(_ASCII)).split("\n"))

    def close(self) -> None:
        """Give the terminal back. Can be repeated."""
        if not self._painter.close():
            resume_output(self._fd)
            self._painter.close()

    def __enter__(self) -> Self:
        self._painter.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _size(self) -> tuple[int, int]:
        try:
            width, height = os.get_terminal_size(self._fd)
        except OSError:
            width, height = 0, 0
        return width or 80, height or 24


def _escaped(page: Page, *, colour: bool) -> str:
    """The page's text with escape sequences; every line stands for itself."""
    text, codes = page.text, _CODES if colour else _COLOURLESS
    pieces: list[str] = []
    at = 0
    for begin, end, tone in page.marks:
        on, off = codes[tone]
        pieces += (text[at:begin], on, text[begin:end], off)
        at = end
    return "".join(pieces) + text[at:]
