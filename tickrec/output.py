"""Write the rows of a query: a table for people, csv, json, jsonl or markdown to stdout, or a file of any format.

Owns the formats and how a table fits a terminal. Rows are written as they come, so that a result larger than memory
can be written. Does not know DuckDB.
"""

import csv
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Protocol

import pyarrow as pa

from tickrec.cells import Cells, plain, readable, to_json
from tickrec.errors import UsageError
from tickrec.files import publish
from tickrec.format import grouped

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
_WORDS: Final = frozenset("NTF'\"{")
"""What a list holds that is not only numbers: None, True, False, text, structures."""
_GAP: Final = 2
_CUT: Final = "…"
_NARROWEST: Final = 10
"""Characters of a text column at least, when columns are cut to fit."""


class Rows(Protocol):
    """What is written: `tickrec.query.Result`."""

    plan: bool
    store_root: Path

    @property
    def schema(self) -> pa.Schema:
        """The columns."""

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

    def line(self, seconds: float) -> str:
        """The line that ends a query on stderr: `3 rows (0.04 s)`, `100 of 13,636 rows (0.04 s)`."""
        noun = "row" if self.total == 1 else "rows"
        count = f"{'more than ' if self.more else ''}{grouped(self.total)} {noun}"
        if self.rows < self.total:
            count = f"{grouped(self.rows)} of {count}"
        if self.columns < self.all_columns:
            count += f", {self.columns} of {self.all_columns} columns"
        return f"{count} ({seconds:.2f} s)"


def write_stdout(
    result: Rows,
    format: str = "table",
    limit: int | None = None,
    width: int | None = None,
    is_tty: bool = False,
    out: IO[str] | None = None,
) -> Written:
    """Write a result to stdout (or `out`) in one of `FORMATS`.

    `limit` is the number of rows, None all; a table in a terminal shows `SCREEN_ROWS` then and counts the rest.
    `width` is the terminal's, None for no limit. A reader that closes the pipe ends it silently. Raises UsageError
    for an unknown format, and what the result raises.
    """
    if format not in FORMATS:
        raise UsageError(f"unknown format {format}", hint=f"One of: {', '.join(FORMATS)}")
    out = out or sys.stdout
    try:
        if format == "table":
            written = _write_table(result, limit, width, is_tty, out)
        else:
            writer = {"csv": _csv, "json": _json, "jsonl": _jsonl, "markdown": _markdown}[format]
            counted = _Counted(result, limit)
            writer(counted, out)
            written = Written(counted.rows, counted.rows)
        out.flush()
        return written
    except BrokenPipeError:
        _forget(out)
        return Written(0, 0)
    finally:
        result.close()


def _forget(out: IO[str]) -> None:
    """Point a closed pipe at nothing, so that the interpreter can flush it when it ends."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, out.fileno())
    os.close(nothing)


class _Counted:
    """The batches of a result up to a limit, counted."""

    def __init__(self, result: Rows, limit: int | None) -> None:
        self.schema = result.schema
        self.rows = 0
        self._result = result
        self._limit = limit

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._result.batches():
            if self._limit is not None:
                batch = batch.slice(0, self._limit - self.rows)
            self.rows += batch.num_rows
            yield batch
            if self.rows == self._limit:
                return


def _csv(batches: _Counted, out: IO[str]) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(batches.schema.names)
    for batch in batches:
        writer.writerows(zip(*map(_csv_column, batch.columns), strict=True))


def _csv_column(column: pa.Array) -> list[Any]:
    values = plain(column)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_string(column.type):
        return values
    return [value if value is None or isinstance(value, str) else _csv_text(value) for value in values]


def _csv_text(value: Any) -> str:
    """JSON; lists of numbers look the same in Python, where they are written in a fifth of the time."""
    text = str(value)
    return text if text.startswith("[") and text.isascii() and not _WORDS & set(text) else to_json(value)


def _objects(batches: _Counted) -> Iterator[str]:
    names = batches.schema.names
    for batch in batches:
        for row in zip(*map(plain, batch.columns), strict=True):
            yield to_json(dict(zip(names, row, strict=True)))


def _json(batches: _Counted, out: IO[str]) -> None:
    separator = "[\n"
    for text in _objects(batches):
        out.write(separator + text)
        separator = ",\n"
    out.write("[]\n" if separator == "[\n" else "\n]\n")


def _jsonl(batches: _Counted, out: IO[str]) -> None:
    out.writelines(text + "\n" for text in _objects(batches))


def _markdown(batches: _Counted, out: IO[str]) -> None:
    columns = _columns(pa.Table.from_batches(batches, batches.schema))
    rule = ["---:" if cells.number else "---" for cells in columns]
    for row in (batches.schema.names, rule, *zip(*(cells.texts for cells in columns), strict=True)):
        out.write("| " + " | ".join(text.replace("|", "\\|") for text in row) + " |\n")


# Tables


def _write_table(result: Rows, limit: int | None, width: int | None, is_tty: bool, out: IO[str]) -> Written:
    shown = SCREEN_ROWS if limit is None and is_tty else limit
    batches = result.batches()
    first, rest = _first(batches, result.schema, min(shown, _LAID_OUT) if shown is not None else _LAID_OUT)
    if result.plan:
        out.writelines(f"{text}\n" for text in first.columns[-1].to_pylist())
        return Written(first.num_rows, first.num_rows)
    layout = _Layout(first, width)
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
    rows: int, limit: int | None, layout: "_Layout", rest: pa.RecordBatch, batches: Iterator[pa.RecordBatch]
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


def _columns(table: pa.Table) -> list[Cells]:
    """The columns as text; times beside a date do not repeat it."""
    day = next((column.to_pylist() for column in table.columns if pa.types.is_date(column.type)), None)
    return [
        readable(column.combine_chunks() if column.num_chunks != 1 else column.chunk(0), day)
        for column in table.columns
    ]


class _Layout:
    """Where the columns of a table stand, fixed by its first rows.

    In a width, texts are cut and marked, the widest first; numbers and times never are. Columns that still do not
    fit are left out from the right. One row that does not fit is shown as a list instead.
    """

    def __init__(self, first: pa.Table, width: int | None) -> None:
        columns = _columns(first)
        self._names = [_header(name) for name in first.schema.names]
        self._numbers = [cells.number for cells in columns]
        self._natural = [max(map(len, [name, *cells.texts])) for name, cells in zip(self._names, columns, strict=True)]
        self._limited = width is not None
        self._listed = width is not None and first.num_rows == 1 and _total(self._natural) > width
        self._listed_width = width or 0
        soft = [_soft(field.type) for field in first.schema]
        self._widths = _fit(self._natural, soft, width) if width is not None else self._natural
        shown = len(self._natural) if self._listed else len(self._widths)
        self.counts = (shown, len(self._natural))

    def head(self, out: IO[str]) -> None:
        """The names of the columns."""
        if self._listed:
            return
        names = self._names[: len(self._widths)]
        self._line(names, out, tail=_CUT if len(names) < len(self._names) else "")

    def rows(self, table: pa.Table, out: IO[str]) -> None:
        """Some rows."""
        columns = _columns(table)
        if self._listed:
            return self._list(columns, out)
        for row in zip(*(cells.texts for cells in columns[: len(self._widths)]), strict=True):
            self._line(row, out)

    def _line(self, texts: Sequence[str], out: IO[str], tail: str = "") -> None:
        cells = [
            _cell(text, width, number, self._limited)
            for text, width, number in zip(texts, self._widths, self._numbers, strict=False)
        ]
        out.write((" " * _GAP).join([*cells, tail]).rstrip() + "\n")

    def _list(self, columns: Sequence[Cells], out: IO[str]) -> None:
        label = max(map(len, self._names))
        room = max(self._listed_width - label - _GAP, _NARROWEST)
        for name, cells in zip(self._names, columns, strict=True):
            for text in cells.texts:
                out.write(f"{name:<{label + _GAP}}{_cell(text, min(len(text), room), False, True)}\n")


def _header(name: str) -> str:
    return name if name.isprintable() else repr(name)


def _soft(kind: pa.DataType) -> bool:
    """Whether a column's cells may be cut: text and lists, not numbers, times, dates and truths."""
    tests = (pa.types.is_string, pa.types.is_binary, pa.types.is_nested, pa.types.is_dictionary)
    return any(bool(test(kind)) for test in tests)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _fit(natural: Sequence[int], soft: Sequence[bool], width: int) -> list[int]:
    """The widths of the columns that fit, from the left."""
    widths = list(natural)
    count = len(widths)
    narrowest = [min(have, _NARROWEST) if cut else have for have, cut in zip(natural, soft, strict=True)]
    while count > 1 and _total(narrowest[:count]) + (_GAP + len(_CUT)) * (count < len(widths)) > width:
        count -= 1
    room = width - (_GAP + len(_CUT)) * (count < len(widths))
    widths = widths[:count]
    while (excess := _total(widths) - room) > 0:
        cuttable = [index for index in range(count) if widths[index] > narrowest[index]]
        if not cuttable:
            break
        widest = max(cuttable, key=widths.__getitem__)
        others = [widths[index] for index in cuttable if widths[index] < widths[widest]]
        step = max(1, min(excess, widths[widest] - max([*others, narrowest[widest]])))
        widths[widest] -= step
    return widths


def _cell(text: str, width: int, number: bool, limited: bool) -> str:
    if limited and len(text) > width and not number:
        text = text[: width - 1] + _CUT
    return text.rjust(width) if number else text.ljust(width)


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
        counted = _Counted(result, limit)
        try:
            publish(path, partial(write, counted))
        except OSError as error:
            raise UsageError(f"the file cannot be written: {error.strerror or error}", where=str(path)) from error
        return Written(counted.rows, counted.rows)
    finally:
        result.close()


def _text_file(write: Callable[[_Counted, IO[str]], None], batches: _Counted, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        write(batches, file)


def _parquet(batches: _Counted, path: Path) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, batches.schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)


def _arrow(batches: _Counted, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


_WRITERS: Final[dict[str, Callable[[_Counted, Path], Any]]] = {
    ".csv": partial(_text_file, _csv),
    ".json": partial(_text_file, _json),
    ".jsonl": partial(_text_file, _jsonl),
    ".parquet": _parquet,
    ".arrow": _arrow,
}
