"""Write the rows of a query: a table for people, csv, json, jsonl or markdown to stdout, or a file of any format.

Owns the formats and how many rows there are. Rows are written as they come, so that a result larger than memory
can be written; lines of text come as such (`forms`) and go as they are.
"""

import csv
import io
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias

import pyarrow as pa

from tickrec.errors import UsageError
from tickrec.files import publish
from tickrec.formatting import grouped, size
from tickrec.query.grid import Grid, columns_of
from tickrec.query.interruptible import Columns
from tickrec.store.paths import Store

if TYPE_CHECKING:
    from tickrec.store.space import Room

FORMATS: Final = ("table", "csv", "json", "jsonl", "markdown")
"""What `write_stdout` writes."""
FILES: Final = (".csv", ".json", ".jsonl", ".parquet", ".arrow")
"""What `write_file` writes, by the ending of the name."""
SCREEN_ROWS: Final = 100
"""Rows shown in a terminal when nobody asked for a number."""

_COUNTED: Final = 100_000
"""Rows behind the shown ones that are counted before giving up."""
_LAID_OUT: Final = 10_000
"""Rows after which the widths of a table are fixed."""
_ASKED_BYTES: Final = 32 * 1024 * 1024
"""Of an export after which it is asked again whether there is room for as much."""
_GROUP_ROWS: Final = 65_536
"""Rows of a row group of a Parquet file, at least."""

Write: TypeAlias = Callable[[memoryview], Any]
"""Takes whole lines, in UTF-8."""


class Rows(Protocol):
    """What is written: `tickrec.query.Result`."""

    plan: bool
    format: str
    """What they are to be written as: one of `forms.FORMS`."""
    store_root: Path

    @property
    def columns(self) -> Columns:
        """The columns of the statement."""

    @property
    def schema(self) -> pa.Schema:
        """The columns of the batches."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, once."""

    def close(self) -> None:
        """Cancel what is still running."""


class Written(NamedTuple):
    """What was written: rows, and how many there were; `more` says that there were at least so many."""

    rows: int
    total: int
    more: bool = False
    columns: int = 0
    """Columns shown in a table; 0 for formats that have them all."""
    all_columns: int = 0
    left: bool = False
    """The reader went away, so the counts say nothing."""
    file: str = ""
    """The file that was written, with its size."""

    @property
    def cut(self) -> bool:
        """Whether something is not shown that was not asked to be left out."""
        return self.rows < self.total or self.columns < self.all_columns

    def line(self, seconds: float) -> str:
        """The line that ends a query on stderr: `3 rows (0.04 s)`, `bars.csv, 1.2 MB: 13,636 rows (0.04 s)`."""
        noun = "row" if self.total == 1 else "rows"
        count = f"{'more than ' if self.more else ''}{grouped(self.total)} {noun}"
        if self.rows < self.total:
            count = f"{grouped(self.rows)} of {count}, --limit shows more"
        line = f"{self.file + ': ' if self.file else ''}{count} ({seconds:.2f} s)"
        if self.columns < self.all_columns:
            line += f"; {self.columns} of {self.all_columns} columns fit: name the others, or --format csv"
        return line


def write_stdout(
    result: Rows,
    limit: int | None = None,
    width: int | None = None,
    is_tty: bool = False,
    out: IO[str] | None = None,
) -> Written:
    """Write a result to stdout (or `out`) in its format, which is one of `FORMATS`.

    `limit` is the number of rows, None all; a table in a terminal shows `SCREEN_ROWS` then and counts the rest.
    `width` is the terminal's, None for no limit. A reader that closes the pipe ends it silently. Raises what the
    result raises.
    """
    out = out or sys.stdout
    try:
        if result.format == "table":
            written = _write_table(result, limit, width, is_tty, out)
        elif result.format == "markdown":
            written = _markdown(result, limit, out)
        else:
            text = out
            counted = _Counted(result, limit)
            _LINES[result.format](counted, lambda lines: text.write(str(lines, "utf-8")))
            written = Written(counted.rows, counted.rows)
        out.flush()
        return written
    except BrokenPipeError:
        _point_at_nothing(out)
        return Written(0, 0, left=True)
    finally:
        result.close()


def check_format(name: str) -> None:
    """Raise UsageError for what is none of `FORMATS`."""
    if name not in FORMATS:
        raise UsageError(f"unknown format {name}", hint=f"One of: {', '.join(FORMATS)}")


def _point_at_nothing(out: IO[str]) -> None:
    """Point a closed pipe at nothing, so that the interpreter can flush it when it ends."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, out.fileno())
    os.close(nothing)


class _Counted:
    """The batches of a result up to a limit, counted. They end with OSError when `room` has none for them."""

    def __init__(self, result: Rows, limit: int | None, room: "Room | None" = None) -> None:
        self.columns = result.columns
        self.schema = result.schema
        self.rows = 0
        self._result = result
        self._limit = limit
        self._room = room

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        unasked = _ASKED_BYTES
        for batch in self._result.batches():
            if self._limit is not None:
                batch = batch.slice(0, self._limit - self.rows)
            unasked += batch.nbytes
            if self._room is not None and unasked >= _ASKED_BYTES:
                self._room.require(_ASKED_BYTES)
                unasked = 0
            self.rows += batch.num_rows
            yield batch
            if self.rows == self._limit:
                return


def _csv(batches: _Counted, write: Write) -> None:
    head = io.StringIO()
    csv.writer(head, lineterminator="\n").writerow(batches.columns.names)
    write(memoryview(head.getvalue().encode()))
    for batch in batches:
        write(_lines(batch))


def _json(batches: _Counted, write: Write) -> None:
    """An array: the end of each line but the last is a comma and the end of a line."""
    begin = b"[\n"
    for batch in batches:
        if batch.num_rows:
            write(memoryview(begin + bytes(_lines(batch)[:-1]).replace(b"\n", b",\n")))
            begin = b",\n"
    write(memoryview(b"[]\n" if begin == b"[\n" else b"\n]\n"))


def _jsonl(batches: _Counted, write: Write) -> None:
    for batch in batches:
        write(_lines(batch))


def _lines(batch: pa.RecordBatch) -> memoryview:
    """The lines of a batch, of which Arrow has one after the other in memory."""
    _, offsets, text = batch.column(0).buffers()
    if not batch.num_rows or text is None:
        return memoryview(b"")
    first = batch.column(0).offset
    ends = memoryview(offsets).cast("i")
    return memoryview(text)[ends[first] : ends[first + batch.num_rows]]


_LINES: Final[dict[str, Callable[[_Counted, Write], None]]] = {"csv": _csv, "json": _json, "jsonl": _jsonl}


def _markdown(result: Rows, limit: int | None, out: IO[str]) -> Written:
    batches = _Counted(result, limit)
    columns = columns_of(pa.Table.from_batches(batches, batches.schema), batches.columns.kinds)
    rule = ["---:" if cells.number else "---" for cells in columns]
    for row in (batches.columns.names, rule, *zip(*(cells.texts for cells in columns), strict=True)):
        out.write("| " + " | ".join(text.replace("|", "\\|") for text in row) + " |\n")
    return Written(batches.rows, batches.rows)


# Tables


def _write_table(result: Rows, limit: int | None, width: int | None, is_tty: bool, out: IO[str]) -> Written:
    shown = SCREEN_ROWS if limit is None and is_tty else limit
    batches = result.batches()
    first, rest = _first(batches, result.schema, min(shown, _LAID_OUT) if shown is not None else _LAID_OUT)
    if result.plan:
        out.writelines(f"{text}\n" for text in first.columns[-1].to_pylist())
        return Written(first.num_rows, first.num_rows)
    layout = Grid(first, result.columns.kinds, width, whole=rest is None or (shown is not None and shown <= _LAID_OUT))
    layout.head(out)
    layout.rows(first, out)
    rows = first.num_rows
    for batch in _more(rest, batches):
        if shown is not None and rows >= shown:
            return _count(rows, limit, layout, batch, batches)
        more = pa.Table.from_batches([batch if shown is None else batch.slice(0, shown - rows)])
        layout.rows(more, out)
        rows += more.num_rows
    return Written(rows, rows, False, *layout.counts)


def _first(batches: Iterator[pa.RecordBatch], columns: pa.Schema, rows: int) -> tuple[pa.Table, pa.RecordBatch | None]:
    """So many rows as one table, and what was left of the last batch taken."""
    taken: list[pa.RecordBatch] = []
    for batch in batches:
        room = rows - sum(part.num_rows for part in taken)
        taken.append(batch.slice(0, room))
        if batch.num_rows > room:
            return pa.Table.from_batches(taken, columns), batch.slice(room)
    return pa.Table.from_batches(taken, columns), None


def _more(rest: pa.RecordBatch | None, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    if rest is not None:
        yield rest
    yield from batches


def _count(
    rows: int, limit: int | None, layout: Grid, rest: pa.RecordBatch, batches: Iterator[pa.RecordBatch]
) -> Written:
    """How many rows there are beyond those shown; they are counted only if nobody asked for so many."""
    total, more = rows + rest.num_rows, False
    if limit is not None:
        return Written(rows, rows, False, *layout.counts)
    for batch in batches:
        total += batch.num_rows
        if total > _COUNTED:
            total, more = _COUNTED, True
            break
    return Written(rows, total, more, *layout.counts)


# Files


def file_format(path: Path) -> str:
    """The ending that says what to write into a file. Raises UsageError when it says nothing."""
    ending = path.suffix.lower()
    if ending not in FILES:
        raise UsageError(f"cannot tell the format of {path.name}", hint=f"End its name in one of: {' '.join(FILES)}")
    return ending


def write_file(result: Rows, path: Path, limit: int | None = None) -> Written:
    """Write a result to a file, which appears whole or not at all; an old file of that name is replaced.

    Raises UsageError when the ending is unknown or the file would lie in the store, and what the result raises.
    """
    try:
        write = _WRITERS[file_format(path)]
        if not path.resolve().parent.is_dir():
            raise UsageError("the folder of the output does not exist", where=str(path.parent), hint="Make it first")
        if result.store_root.resolve() in path.resolve().parents:
            raise UsageError("a query writes nothing into the store", where=str(path), hint="Choose another folder")
        if result.format != file_format(path)[1:]:
            raise ValueError(f"rows in the form of {result.format} are no {path.suffix}")
        try:
            counted = _Counted(result, limit, _room(Store(result.store_root), path))
            publish(path, partial(write, counted))
        except OSError as error:
            raise UsageError(f"the file cannot be written: {error.strerror or error}", where=str(path)) from error
        return Written(counted.rows, counted.rows, file=f"{path}, {size(path.stat().st_size)}")
    finally:
        result.close()


def _room(store: Store, path: Path) -> "Room | None":
    """What a recording leaves of the disk that a file is to be written to; None when it is another disk."""
    from tickrec.store.space import Room

    dates = store.dates()
    if not dates or path.resolve().parent.stat().st_dev != store.root.stat().st_dev:
        return None
    return Room(store, dates[-1], ended=False)


def _text_file(format: str, batches: _Counted, path: Path) -> None:
    with path.open("wb") as file:
        _LINES[format](batches, file.write)


def _parquet(batches: _Counted, path: Path) -> None:
    import pyarrow.parquet as pq

    rows = pa.Table.from_batches([], batches.schema)
    try:
        with pq.ParquetWriter(path, batches.schema, compression="zstd") as writer:
            for group in _groups(batches):
                rows = pa.Table.from_batches(group)
                writer.write_table(rows, rows.num_rows)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        what = f"Parquet cannot hold the column {_refused(rows)}: {error}"
        raise UsageError(what, hint="Make it text with ::VARCHAR, or write .arrow") from None


def _groups(batches: _Counted) -> Iterator[list[pa.RecordBatch]]:
    group: list[pa.RecordBatch] = []
    for batch in batches:
        group.append(batch)
        if sum(each.num_rows for each in group) >= _GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


def _refused(rows: pa.Table) -> str:
    """The name of the first column that cannot be written as Parquet by itself."""
    import pyarrow.parquet as pq

    for name, column in zip(rows.column_names, rows.columns, strict=True):
        try:
            pq.write_table(pa.table([column], names=[name]), pa.BufferOutputStream())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return str(name)
    return ""


def _arrow(batches: _Counted, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


_WRITERS: Final[dict[str, Callable[[_Counted, Path], Any]]] = {
    **{f".{format}": partial(_text_file, format) for format in _LINES},
    ".parquet": _parquet,
    ".arrow": _arrow,
}
