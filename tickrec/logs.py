"""Logs: one line for each thing that matters, to stderr and to a rotated file in the store.

The package only ever calls `logging.getLogger("tickrec")`; the command line decides here where lines go. Times are
IST like everything that tickrec shows.
"""

import contextlib
import logging
import logging.handlers
import os
import shutil
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from tickrec.clock import ist
from tickrec.errors import TickrecError

LOG_BYTES: Final = 2_000_000
LOG_FILES: Final = 5
_SHORT: Final = {"WARNING": "WARN", "CRITICAL": "FATAL"}


class _IstFormatter(logging.Formatter):
    """`09:00:12 INFO  text`; with `dated`, the date too, for a file that spans days; with `traced`, tracebacks."""

    def __init__(self, *, dated: bool, traced: bool) -> None:
        super().__init__()
        self._traced = traced
        self._when = "%Y-%m-%d %H:%M:%S" if dated else "%H:%M:%S"

    def format(self, record: logging.LogRecord) -> str:
        moment = ist(int(record.created * 1_000_000_000)).strftime(self._when)
        text = f"{moment} {_SHORT.get(record.levelname, record.levelname):<5} {record.getMessage()}"
        trace = getattr(record, "trace", "") if self._traced else ""
        return f"{text}\n{trace.rstrip()}" if trace else text


class SupportsWrite(Protocol):
    """What lines can be written to."""

    def write(self, text: str, /) -> int:
        """Take a text."""

    def flush(self) -> None:
        """Let it be seen."""


class _LogFile(logging.handlers.RotatingFileHandler):
    """A rotated file that begins with the first line that finds its folder there."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, unless the folder does not exist yet."""
        if self.stream is not None or Path(self.baseFilename).parent.is_dir():
            super().emit(record)


def log_to_stderr(stream: SupportsWrite | None = None, level: int = logging.INFO) -> logging.Handler:
    """Send the log from a level on to stderr, or to a stream that writes there in its own way.

    With DEBUG, that is every step and every traceback.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_IstFormatter(dated=False, traced=level <= logging.DEBUG))
    _add(handler, level)
    return handler


def log_to_file(path: Path, max_bytes: int = LOG_BYTES) -> logging.Handler:
    """Also keep the log in `path`, at most LOG_FILES of `max_bytes`.

    Lines are kept from when its folder exists: a command that fails before there is a store leaves nothing behind. A
    log that cannot be written, as on a full disk, never disturbs the recording.
    """
    handler = _LogFile(path, maxBytes=max_bytes, backupCount=LOG_FILES - 1, encoding="utf-8", delay=True)
    handler.setFormatter(_IstFormatter(dated=True, traced=True))
    handler.handleError = lambda record: None  # type: ignore[method-assign]
    _add(handler)
    return handler


def keep_error(handler: logging.Handler, error: Exception) -> None:
    """Keep in one place of the log what is told elsewhere in other words."""
    facts = {"name": "tickrec", "levelno": logging.ERROR, "levelname": "ERROR", "msg": "%s", "args": (str(error),)}
    handler.handle(logging.makeLogRecord(facts))


def keep_short(path: Path, max_bytes: int = LOG_BYTES) -> None:
    """Move what a log of others' writing holds to `path`.1 when it is longer than `max_bytes`.

    It is emptied, not renamed: a shell may have it open for appending. A log that cannot be moved stays as it is.
    """
    with contextlib.suppress(OSError):
        if path.stat().st_size > max_bytes:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            os.truncate(path, 0)


def log_unexpected(text: str, error: BaseException, hide: Callable[[str], str] = str) -> None:
    """Log an error that nobody expected: one line for people, and its traceback for the file.

    `hide` takes secrets out of what is logged.
    """
    trace = hide("".join(traceback.format_exception(error)))
    logging.getLogger("tickrec").error("%s", hide(text), extra={"trace": trace})


def internal_error(error: BaseException, hide: Callable[[str], str] = str) -> TickrecError:
    """What is told to the user of an error that nobody expected; it is logged with its traceback."""
    text = hide(f"an unexpected error: {type(error).__name__}: {error}")
    log_unexpected(text, error, hide)
    return TickrecError(text, hint="The log of the store, state/tickrec.log, has the traceback: please report it")


def _add(handler: logging.Handler, level: int = logging.INFO) -> None:
    logger = logging.getLogger("tickrec")
    handler.setLevel(level)
    logger.setLevel(min(level, logger.level or logging.INFO, logging.INFO))
    logger.addHandler(handler)


class Once(logging.Filter):
    """Within `with`, lets each line through once, over all of its uses: for what is tried again and again.

    Lines of other threads are left alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()
        self._thread = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is news."""
        if record.thread != self._thread:
            return True
        text = record.getMessage()
        news = text not in self._said
        self._said.add(text)
        return news

    def __enter__(self) -> None:
        self._thread = threading.get_ident()
        logging.getLogger("tickrec").addFilter(self)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("tickrec").removeFilter(self)


class Warnings(logging.Handler):
    """Remembers the newest lines that were warnings or worse, for whoever has no log before them."""

    def __init__(self, most: int = 20) -> None:
        super().__init__(logging.WARNING)
        self._lines: deque[str] = deque(maxlen=most)
        self.setFormatter(_IstFormatter(dated=False, traced=False))
        _add(self, logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        self._lines.append(self.format(record))

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines, each with its clock time, the newest last."""
        return tuple(self._lines)
