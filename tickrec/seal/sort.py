"""Sort: the ticks of a date in the order (instrument_key, seq), out of core.

Owns the sorting. Files come in the order of seq, so rows only have to be told apart by instrument: so many rows at a
time are kept in a scratch file, cut into ranges of instruments, which for the sorted runs of our parts is no more than
slicing them; then range after range is gathered over all of it. What is held in memory is a few such pieces or ranges,
however large the day. Does not know where the files come from nor what becomes of the rows.
"""

import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple, Self, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from tickrec import schema
from tickrec.store import parquet, sorted_runs
from tickrec.store.coverage import read_footer

RUN_ROWS: Final = 65_536
"""Rows that are cut at a time: about 36 MB in full mode."""
GROUP_ROWS: Final = 65_536
"""Rows of a group at most. Groups become row groups: as they end with an instrument, reading one skips all others."""
_WORKERS: Final = 2
_PORTIONS: Final = 4
"""Of an instrument that has more rows than a group, so many make one: what is left over of one group waits for the
next, beside what is gathered for it."""
_FEW_SLICES: Final = 16
"""Slices of a range that are put together; of more, as of rows in the order of arrival, the rows are picked."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Sizes(NamedTuple):
    """How many rows are held at a time."""

    run: int = RUN_ROWS
    group: int = GROUP_ROWS


class _Place(NamedTuple):
    """A batch of the scratch file."""

    number: int
    rows: int


class _Portion(NamedTuple):
    """Instruments, and batches that hold all their rows, or the next ones of a single instrument."""

    keys: Sequence[str]
    places: Sequence[_Place]


class _Ranges(NamedTuple):
    """Which range an instrument is in."""

    keys: pa.StringArray
    numbers: pa.Int32Array
    """Of each key, the number of its range."""

    @classmethod
    def of(cls, ranges: Sequence[Sequence[str]]) -> Self:
        pairs = [(key, number) for number, keys in enumerate(ranges) for key in keys]
        return cls(pa.array([key for key, _ in pairs], pa.string()), pa.array([each for _, each in pairs], pa.int32()))

    def find(self, keys: pa.ChunkedArray) -> pa.Int32Array:
        """The number of the range of each key. Raises pyarrow.ArrowInvalid for one that was not counted."""
        codes = pc.index_in(keys, self.keys)
        if codes.null_count:
            raise pa.ArrowInvalid("it has instruments that its footer does not count")
        return pc.take(self.numbers, codes.combine_chunks())


class _Slice(NamedTuple):
    """Row groups of a Parquet file."""

    path: Path
    groups: list[int]


class SortedTicks:
    """The rows of some Parquet files of `ticks`, which follow each other in seq, sorted."""

    def __init__(self, paths: Sequence[Path], scratch: Path, sizes: Sizes | None = None) -> None:
        """`scratch` is the file to sort in; it takes about as much as the files themselves.

        Everything here raises UnreadableFile for a damaged file, OSError, and pyarrow.ArrowException.
        """
        self._paths = paths
        self._scratch = scratch
        self._sizes = Sizes() if sizes is None else sizes
        counts: Counter[str] = Counter()
        for path in paths:
            parquet.require_whole(path)
            said = read_footer(path).counts
            counts.update(count_keys(path) if said is None else said)
        self.counts = {key: counts[key] for key in sorted(counts)}
        """Rows of each instrument, in order."""
        self.rows = sum(self.counts.values())
        self._ranges = _ranges(self.counts, self._sizes.group)
        self._places: list[list[_Place]] = [[] for _ in self._ranges]

    def sort_runs(self, tell: Callable[[float], None]) -> None:
        """Sort run after run into the scratch file; `tell` is told the share that is done."""
        done = 0
        ranges = _Ranges.of(self._ranges)
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        scratch = pa.OSFile(str(self._scratch), "wb")
        written = 0
        with (
            ThreadPoolExecutor(_WORKERS) as pool,
            scratch,
            pa.ipc.new_file(scratch, schema.TICKS, options=options) as writer,
        ):
            for batches in ahead(pool, lambda run: _cut(_read(run), ranges), _runs(self._paths, self._sizes.run)):
                for number, batch in batches:
                    writer.write_batch(batch)
                    self._places[number].append(_Place(written, batch.num_rows))
                    written += 1
                    done += batch.num_rows
                tell(done / self.rows)

    def groups(self) -> Iterator[pa.Table]:
        """All rows in order, each table in one chunk; after `sort_runs`.

        Where a table ends only depends on the rows of each instrument: with an instrument, or after so many of one
        that has more.
        """
        portions = [
            _Portion(keys, portion)
            for keys, found in zip(self._ranges, self._places, strict=True)
            for portion in _portions(found, self._sizes.group // _PORTIONS, one=len(keys) == 1)
        ]
        with ThreadPoolExecutor(1) as pool, pa.OSFile(str(self._scratch)) as file:
            reader = pa.ipc.open_file(file)
            # One in advance is enough: whoever takes them is slower.
            gathered = ahead(pool, lambda portion: _gather(reader, portion), portions, most=1)
            for keys, pairs in itertools.groupby(zip(portions, gathered, strict=True), lambda pair: pair[0].keys):
                tables = (table for _, table in pairs)
                yield from _cut_evenly(tables, self._sizes.group, one=len(keys) == 1)


def _ranges(counts: dict[str, int], most: int) -> list[list[str]]:
    """The instruments in order, put together to ranges of at most so many rows, or of one instrument."""
    ranges: list[list[str]] = []
    rows = most
    for key, count in counts.items():
        if rows + count > most:
            ranges.append([])
            rows = 0
        ranges[-1].append(key)
        rows += count
    return ranges


def _runs(paths: Iterable[Path], most: int) -> Iterator[list[_Slice]]:
    """The row groups of the files, in their order, about so many rows at a time."""
    run: list[_Slice] = []
    rows = 0
    for path in paths:
        with parquet.opened_ticks(path) as file:
            metadata = file.metadata
        for number in range(metadata.num_row_groups):
            count = metadata.row_group(number).num_rows
            if rows and rows + count > most:
                yield run
                run, rows = [], 0
            if not run or run[-1].path != path:
                run.append(_Slice(path, []))
            run[-1].groups.append(number)
            rows += count
    if rows:
        yield run


def _read(run: Sequence[_Slice]) -> pa.Table:
    tables = []
    for path, groups in run:
        with parquet.opened_ticks(path) as file:
            tables.append(parquet.conform(file.read_row_groups(groups, use_threads=False), schema.TICKS))
    return pa.concat_tables(tables)


def _cut(rows: pa.Table, ranges: _Ranges) -> list[tuple[int, pa.RecordBatch]]:
    """Rows by range: (number of the range, its rows in their order)."""
    numbers = ranges.find(rows["instrument_key"])
    slices = _slices(numbers)
    if max(map(len, slices.values())) > _FEW_SLICES:
        order = pc.sort_indices(numbers)  # stable
        rows, slices = rows.combine_chunks().take(order), _slices(pc.take(numbers, order))
    return [
        (number, pa.concat_tables(rows.slice(*each) for each in slices[number]).combine_chunks().to_batches()[0])
        for number in sorted(slices)
    ]


def _slices(numbers: pa.Int32Array) -> dict[int, list[tuple[int, int]]]:
    """Where each number stands: (offset, length) of every stretch of it."""
    encoded = pc.run_end_encode(numbers)
    slices: dict[int, list[tuple[int, int]]] = defaultdict(list)
    begin = 0
    for number, end in zip(encoded.values.to_pylist(), encoded.run_ends.to_pylist(), strict=True):
        slices[number].append((begin, end - begin))
        begin = end
    return slices


def _portions(places: Iterable[_Place], most: int, *, one: bool) -> Iterator[list[_Place]]:
    """The batches of a range; those of `one` instrument, which follow each other, a few at a time."""
    portion: list[_Place] = []
    rows = 0
    for place in places:
        if one and portion and rows + place.rows > most:
            yield portion
            portion, rows = [], 0
        portion.append(place)
        rows += place.rows
    if portion:
        yield portion


def _gather(reader: pa.ipc.RecordBatchFileReader, portion: _Portion) -> pa.Table:
    tables = [pa.Table.from_batches([reader.get_batch(place.number)], schema.TICKS) for place in portion.places]
    return pa.concat_tables(tables).combine_chunks() if len(portion.keys) == 1 else sorted_runs.sort(tables).rows


def _cut_evenly(tables: Iterable[pa.Table], most: int, *, one: bool) -> Iterator[pa.Table]:
    """The tables as they are; those of `one` instrument, whose sizes are those of the runs, so many rows at a time."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        del table
        while one and rows >= most:
            whole = pa.concat_tables(waiting)
            group = whole.slice(0, most).combine_chunks()
            rows -= most
            waiting = [whole.slice(most)] if rows else []
            del whole  # the group is a copy, and as large
            yield group
            del group
    if rows:
        yield pa.concat_tables(waiting).combine_chunks()


def count_keys(path: Path) -> Counter[str]:
    """Rows of each instrument in a Parquet file of `ticks`. Raises UnreadableFile, OSError."""
    counts: Counter[str] = Counter()
    with parquet.opened_ticks(path) as file:
        for batch in file.iter_batches(RUN_ROWS, columns=["instrument_key"], use_threads=False):
            found = pc.value_counts(batch.column("instrument_key")).to_pylist()
            counts.update({pair["values"]: pair["counts"] for pair in found})
    return counts


def ahead(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], most: int = _WORKERS
) -> Iterator[Result]:
    """`work` done for each item in the pool, at most so many in advance; the results in order."""
    under_way: deque[Future[Result]] = deque()
    for item in items:
        if len(under_way) == most:
            yield under_way.popleft().result()
        under_way.append(pool.submit(work, item))
    while under_way:
        yield under_way.popleft().result()
