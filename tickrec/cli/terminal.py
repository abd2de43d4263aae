"""What a recording has of the terminal: lines and a progress bar first, the live table once there is one to show."""

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tickrec import logs
from tickrec.cli.progress_bars import download_line
from tickrec.screen import display

if TYPE_CHECKING:
    from tickrec.record.run import Show
    from tickrec.screen.live import LiveView
    from tickrec.upstox.rest import Progress


class Terminal:
    """stdout and stderr, from `with` to the end of it.

    With `live`, `show` takes the screen when it is first called: until then, and it can be long when the broker does
    not answer, warnings are on stderr as they are without it.
    """

    def __init__(self, environ: Mapping[str, str], *, live: bool) -> None:
        self._screen = display.Screen(sys.stdout, environ) if live else None
        self._log = logs.log_to_stderr()
        self._log.setLevel(logging.WARNING if live else logging.INFO)
        self._lines = True
        """Whether lines may still be written."""
        self._drawing = False

    @property
    def show(self) -> "Show | None":
        """Shows a view on the screen; None without a live table."""
        return None if self._screen is None else self._show

    @contextlib.contextmanager
    def bar(self) -> "Iterator[Progress | None]":
        """A bar for a download, unless the screen is taken or nobody looks."""
        with contextlib.ExitStack() as stack:
            draw = stack.enter_context(download_line()) if self._lines else None

            def progress(received: int, total: int | None) -> None:
                if self._lines and draw is not None:
                    self._drawing = True
                    draw(received, total)

            stack.callback(lambda: setattr(self, "_drawing", False))

            yield None if draw is None else progress

    def close(self) -> None:
        """Give the screen back. Can be repeated."""
        self._lines = False
        if self._drawing:  # the download is given up, and its thread with it
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        if self._screen is not None:
            self._screen.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _show(self, view: "LiveView") -> None:
        assert self._screen is not None
        if self._lines:
            self._lines = False
            logging.getLogger("tickrec").removeHandler(self._log)
            self._screen.__enter__()
        self._screen.show(view)
