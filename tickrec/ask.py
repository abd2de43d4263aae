"""One question asked on the command line: run it, write the answer, say what a person wants to know beside it.

stdout gets the rows and nothing else; the row count, notices and the progress bar go to stderr.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from tickrec.clock import SECOND, Clock
from tickrec.layout import Store
from tickrec.output import file_format, write_file, write_stdout
from tickrec.query import DateRange, Session

_PATIENCE_NS: Final = SECOND
"""A query that takes longer shows how far it is."""
_BAR: Final = 30


def ask(
    store: Store,
    sql: str,
    clock: Clock,
    *,
    out: IO[str],
    err: IO[str],
    dates: DateRange | None = None,
    format: str = "table",
    file: Path | None = None,
    limit: int | None = None,
    timeout: float | None = None,
) -> None:
    """Answer `sql` on `out`, or in `file`, and say on `err` how many rows in how long.

    `timeout` is in seconds. Raises UsageError and DataError as `Session.execute`,
    `write_stdout` and `write_file` do; Ctrl-C cancels the query and goes on as KeyboardInterrupt.
    """
    if file is not None:
        file_format(file)
    began = clock.monotonic_ns()
    terminal = out.isatty()
    bar = Bar(err, clock) if err.isatty() else None
    with Session(store, dates) as session:
        if (notice := session.notice()) is not None:
            print(notice, file=err)
        try:
            result = session.execute(sql, timeout, bar)
        finally:
            if bar is not None:
                bar.clear()
        if file is not None:
            written = write_file(result, file, limit)
        else:
            width = shutil.get_terminal_size().columns if terminal else None
            written = write_stdout(result, format, limit, width, terminal, out)
    print(written.line((clock.monotonic_ns() - began) / SECOND), file=err)


class Bar:
    """How far a query is, on the last line of a terminal; nothing for one that is quick."""

    def __init__(self, err: IO[str], clock: Clock) -> None:
        self._write: Callable[[str], object] = err.write
        self._flush = err.flush
        self._clock = clock
        self._began = clock.monotonic_ns()
        self._shown = ""

    def __call__(self, percent: float) -> None:
        """Show a percentage; negative: nobody knows yet."""
        if self._clock.monotonic_ns() - self._began < _PATIENCE_NS or percent < 0:
            return
        done = int(_BAR * min(percent, 100.0) / 100)
        text = f"{'#' * done}{'.' * (_BAR - done)} {percent:3.0f} %"
        if text != self._shown:
            self._write("\r" + text)
            self._flush()
            self._shown = text

    def clear(self) -> None:
        """Leave an empty line."""
        if self._shown:
            self._write("\r" + " " * len(self._shown) + "\r")
            self._flush()
            self._shown = ""
