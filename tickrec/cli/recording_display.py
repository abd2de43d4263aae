"""What a recording shows: lines and a progress bar first, the viewer once there is something to see."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tickrec import logs
from tickrec.cli.progress_bars import download_line
from tickrec.screen.beside import Beside
from tickrec.screen.terminal import Lines

if TYPE_CHECKING:
    from tickrec.upstox.rest import Progress

log = logging.getLogger("tickrec")


class Terminal:
    """stdout and stderr of a recording, until `close`.

    With `live`, the viewer takes the screen at `show`: until then, and it can be long when the broker does not answer,
    warnings are on stderr as they are without it. When the viewer is gone, whoever ended it, every line is.
    """

    def __init__(self, data: Path, *, live: bool, colours: str, level: int = logging.INFO) -> None:
        self._viewer = Beside(data, colours=colours, gone=self._gone) if live else None
        self._level = level
        waits = sys.platform == "win32" or not sys.stderr.isatty()
        self._log = logs.log_to_stderr(None if waits else Lines(sys.stderr.fileno(), sys.stderr.encoding), level)
        if live:
            self._log.setLevel(max(level, logging.WARNING))
        self._log.addFilter(lambda _: not self._hidden)
        self._drawing = False

    @property
    def _hidden(self) -> bool:
        """Whether the viewer has the terminal that lines would go to."""
        return self._viewer is not None and self._viewer.is_shown and sys.stderr.isatty()

    def show(self) -> None:
        """Let the viewer have the screen, if there is to be one. Can be repeated."""
        if self._viewer is not None:
            self._viewer.start()

    @contextlib.contextmanager
    def bar(self) -> "Iterator[Progress | None]":
        """A bar for a download, unless the screen is taken or nobody looks."""
        with contextlib.ExitStack() as stack:
            draw = None if self._hidden else stack.enter_context(download_line())

            def progress(received: int, total: int | None) -> None:
                if draw is not None and not self._hidden:
                    self._drawing = True
                    draw(received, total)

            stack.callback(lambda: setattr(self, "_drawing", False))

            yield None if draw is None else progress

    def close(self) -> None:
        """Have the terminal as it was found. Can be repeated."""
        if self._drawing:  # the download is given up, and its thread with it
            self._drawing = False
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        if self._viewer is not None:
            self._viewer.close()

    def _gone(self, said: str) -> None:
        self._log.setLevel(self._level)
        if said:
            log.warning("the live table has ended, the recording goes on: %s", said)
        else:
            log.info("the live table has ended, the recording goes on")
