"""Sorted runs: rows of `ticks` in the order (instrument_key, seq), sorted so many at a time and merged.

Owns the merging, and where rows are cut into row groups. Rows come in sorted pieces, each of later messages than the
one before, so that a piece is a run as it is, and runs only have to be told apart by instrument.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from tickrec import schema
from tickrec.upstox.decode.parsed import by_instrument

_MERGED_ROWS: Final = 16_384
"""Rows that are merged at a time, about: 9 MB in full mode. With fewer, it is the pieces of many runs that cost."""
_STORED_ROWS: Final = 2_048
"""Rows of a stored run that are read at a time, of each of the runs that are merged: some 25 where much was missed."""


class Run(NamedTuple):
    """Sorted rows, in one chunk, and how many each instrument has, in their order."""

    rows: pa.Table
    counts: Mapping[str, int]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows."""
        yield from self.rows.to_batches()


class StoredRun:
    """A run that lies in a file without a name, which goes when the process does.

    It is compressed: some 110 bytes a row in full mode instead of 550, for no more processor time.
    """

    def __init__(self, run: Run, folder: Path) -> None:
        """Write a run into `folder`. Raises OSError."""
        self.counts = run.counts
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(pa.PythonFile(self._file, mode="w"), run.rows.schema, options=options) as writer:
            writer.write_table(run.rows, max_chunksize=_STORED_ROWS)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, a piece at a time."""
        with pa.ipc.open_file(pa.PythonFile(self._file, mode="r")) as reader:
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


class _Sorted(Protocol):
    @property
    def counts(self) -> Mapping[str, int]: ...

    def batches(self) -> Iterator[pa.RecordBatch]: ...


class Runs:
    """The rows of a file, in as many runs as come; the newest is in memory, those before it in `folder`.

    A run has `group_rows` at least, and a row group of the file as many at most.
    """

    def __init__(self, folder: Path, group_rows: int) -> None:
        self._folder = folder
        self._group_rows = group_rows
        self._counts: Counter[str] = Counter()
        self._waiting: list[pa.Table] = []
        """Too few rows for a run."""
        self._stored: list[StoredRun] = []
        self._newest: Run | None = None

    def add(self, rows: pa.Table) -> None:
        """Take sorted rows that follow what was added before. Raises OSError."""
        self._waiting.append(rows)
        if sum(table.num_rows for table in self._waiting) >= self._group_rows:
            self._end_run()

    def counts(self) -> dict[str, int]:
        """The rows of each instrument so far, in order. Raises OSError."""
        self._end_run()
        return {key: self._counts[key] for key in sorted(self._counts)}

    def groups(self) -> Iterator[pa.Table]:
        """All rows in order, by row group: whole instruments, or a piece of one that has more."""
        counts = self.counts()
        runs: list[_Sorted] = list(self._stored)
        if self._newest is not None:
            runs.append(self._newest)
        sources = [(run.counts, _Cursor(run.batches())) for run in runs]
        for stretch in _stretches(counts, self._group_rows):
            keys = [key for bundle in stretch for key in bundle]
            # Sorting them again is cheaper than slicing out each instrument's.
            rows = [row for found, run in sources for row in run.take(sum(found.get(key, 0) for key in keys))]
            merged = sort([pa.Table.from_batches(rows)]).rows
            del rows
            begin = 0
            for bundle in stretch:
                end = begin + sum(counts[key] for key in bundle)
                for at in range(begin, end, self._group_rows):
                    yield merged.slice(at, min(self._group_rows, end - at))
                begin = end

    def close(self) -> None:
        """Remove what was stored."""
        for run in self._stored:
            run.close()

    def _end_run(self) -> None:
        """Make what waits the newest run."""
        tables, self._waiting = [table for table in self._waiting if table.num_rows], []
        if not tables:
            return
        if self._newest is not None:
            self._stored.append(StoredRun(self._newest, self._folder))
            self._newest = None
        self._newest = sort(tables) if len(tables) > 1 else Run(tables[0], _counts(tables[0]["instrument_key"]))
        self._counts.update(self._newest.counts)


class _Cursor:
    """Rows of batches that follow each other, taken so many at a time."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._batch: pa.RecordBatch | None = None
        self._at = 0

    def take(self, count: int) -> list[pa.RecordBatch]:
        taken = []
        while count:
            if self._batch is None or self._at == self._batch.num_rows:
                self._batch, self._at = next(self._batches), 0
            piece = self._batch.slice(self._at, count)
            self._at += piece.num_rows
            count -= piece.num_rows
            taken.append(piece)
        return taken


def _bundles(counts: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """Instruments in order, those together that have no more than `most` rows together."""
    bundle: list[str] = []
    rows = 0
    for key in sorted(counts):
        if bundle and rows + counts[key] > most:
            yield bundle
            bundle, rows = [], 0
        bundle.append(key)
        rows += counts[key]
    if bundle:
        yield bundle


def _stretches(counts: Mapping[str, int], most: int) -> Iterator[list[list[str]]]:
    """Bundles of at most `most` rows, those together that are merged at a time."""
    stretch: list[list[str]] = []
    rows = 0
    for bundle in _bundles(counts, most):
        more = sum(counts[key] for key in bundle)
        if stretch and rows + more > _MERGED_ROWS:
            yield stretch
            stretch, rows = [], 0
        stretch.append(bundle)
        rows += more
    if stretch:
        yield stretch


def sort(tables: list[pa.Table]) -> Run:
    """The rows of tables that follow each other in seq, in whatever order of instruments each.

    Empties the list, and holds each column twice only while it sorts that: the rows of a minute are 30 MB.
    """
    columns = [[*chunks] for chunks in zip(*(table.columns for table in tables), strict=True)]
    tables.clear()
    keys = pa.chunked_array([chunk for column in columns[_KEY] for chunk in column.chunks], pa.string())
    order, codes = by_instrument(keys.combine_chunks())
    sorted_columns = []
    for number, field in enumerate(schema.TICKS):
        column = pa.chunked_array([chunk for each in columns[number] for chunk in each.chunks], field.type)
        columns[number] = []
        sorted_columns.append(pc.take(column.combine_chunks(), order))
        del column
    return Run(pa.Table.from_arrays(sorted_columns, schema=schema.TICKS), _counts(codes))


def _counts(keys: pa.Array | pa.ChunkedArray) -> dict[str, int]:
    """The rows of each key, in the order in which they come first."""
    return {pair["values"]: pair["counts"] for pair in pc.value_counts(keys).to_pylist()}


_KEY = schema.TICKS.get_field_index("instrument_key")
