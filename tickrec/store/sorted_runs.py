"""Sorted runs: rows of `ticks` in the order (instrument_key, seq), sorted so many at a time and merged.

Owns the sorting, and where rows are cut into row groups. Rows come in the order of seq, so they only have to be told
apart by instrument.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from tickrec import schema


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

    def __init__(self, run: Run, folder: Path, most: int) -> None:
        """Write a run into `folder`, in pieces of about `most` rows. Raises OSError."""
        self.counts = run.counts
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(pa.PythonFile(self._file, mode="w"), run.rows.schema, options=options) as writer:
            writer.write_table(run.rows, max_chunksize=most)

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
    """The rows of a file, in as many runs as come; the newest is in memory, those before it in `folder`."""

    def __init__(self, folder: Path, most: int) -> None:
        self.counts: Counter[str] = Counter()
        """The rows of each instrument so far."""
        self._folder = folder
        self._most = most
        self._stored: list[StoredRun] = []
        self._newest: Run | None = None

    def add(self, tables: list[pa.Table]) -> None:
        """Sort the rows of tables that follow what was added before; empties the list. Raises OSError."""
        if self._newest is not None:
            self._stored.append(StoredRun(self._newest, self._folder, self._most))
            self._newest = None
        self._newest = sort(tables)
        self.counts.update(self._newest.counts)

    def groups(self) -> Iterator[pa.Table]:
        """All rows in order, at most `most` at a time: whole instruments, or a piece of one that has more."""
        runs: list[_Sorted] = list(self._stored)
        if self._newest is not None:
            runs.append(self._newest)
        sources = [(run.counts, _Cursor(run.batches())) for run in runs]
        for bundle in _bundles(self.counts, self._most):
            # Sorting them again is cheaper than slicing out each instrument's.
            rows = [row for counts, run in sources for row in run.take(sum(counts.get(key, 0) for key in bundle))]
            group = sort([pa.Table.from_batches(rows)]).rows
            for begin in range(0, group.num_rows, self._most):
                yield group.slice(begin, self._most)

    def close(self) -> None:
        """Remove what was stored."""
        for run in self._stored:
            run.close()


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


def sort(tables: list[pa.Table]) -> Run:
    """The rows of tables that follow each other in seq.

    Empties the list, and holds each column twice only while it sorts that: the rows of a minute are 30 MB.
    """
    columns = [[*chunks] for chunks in zip(*(table.columns for table in tables), strict=True)]
    tables.clear()
    keys = pa.chunked_array([chunk for column in columns[_KEY] for chunk in column.chunks], pa.string())
    known = pc.unique(keys)
    known = known.take(pc.sort_indices(known))
    codes = pc.index_in(keys, known).combine_chunks()
    order = pc.sort_indices(codes)  # stable: an instrument's rows keep their order
    counts = {pair["values"]: pair["counts"] for pair in pc.value_counts(codes).to_pylist()}
    sorted_columns = []
    for number, field in enumerate(schema.TICKS):
        column = pa.chunked_array([chunk for each in columns[number] for chunk in each.chunks], field.type)
        columns[number] = []
        sorted_columns.append(pc.take(column.combine_chunks(), order))
        del column
    named = known.to_pylist()
    rows = pa.Table.from_arrays(sorted_columns, schema=schema.TICKS)
    return Run(rows, {named[code]: counts[code] for code in sorted(counts)})


_KEY = schema.TICKS.get_field_index("instrument_key")
