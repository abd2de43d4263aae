"""Display: what is printed once, in colour on a terminal: the status page, and the summary of a run."""

from typing import TYPE_CHECKING, Final, TextIO

from rich.console import Console

from tickrec.screen.lines import Page

if TYPE_CHECKING:
    from tickrec.status.runstatus import RunStatus
    from tickrec.status.status import StatusReport
    from tickrec.store.paths import Store

_WIDE: Final = 160
"""Characters of a line where there is no terminal: enough for everything."""


def page_width(stream: TextIO) -> int:
    """Characters of a line there: those of the terminal, or enough for everything."""
    console = Console(file=stream)
    return console.width if console.is_terminal else _WIDE


def put(page: Page, stream: TextIO) -> None:
    """Print a page; in colour on a terminal, unless NO_COLOR is set."""
    Console(file=stream, highlight=False, width=page.width).print(page, soft_wrap=True)


def print_status(report: "StatusReport", stream: TextIO, *, option: str = "") -> None:
    """Print one screen about a store; `option` is what selects the store on the command line."""
    from tickrec.screen.report import status_page

    put(status_page(report, page_width(stream), option=option), stream)


def print_summary(run: "RunStatus", store: "Store", stream: TextIO, *, option: str = "") -> None:
    """Print what a run leaves behind; `option` is what selects the store on the command line."""
    from tickrec.screen.report import summary_page
    from tickrec.status.totals import ticks_of

    page = summary_page(run, store, page_width(stream), option=option, date_ticks=ticks_of(store, run)[0])
    put(page, stream)
