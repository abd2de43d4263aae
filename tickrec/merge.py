"""The ticks of a date in the order (instrument_key, seq), out of core.

Owns the sorting. Parts come in the order of seq, so rows only have to be told apart by instrument: runs of rows are
sorted one by one and kept in a scratch file, cut into ranges of instruments; then range after range is gathered over
all runs. What is held in memory is some runs, however large the day. Does not know where the parts come from nor what
becomes of the rows.
"""

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from tickrec import parquet, schema

RUN_ROWS: Final = 131_072
"""Rows of a run: about 70 MB in full mode, some of which are in memory while runs are sorted."""
RANGE_ROWS: Final = 65_536
"""Rows aimed at in a range of instruments; less than a run, because others need memory while ranges are gathered."""
_READ_ROWS: Final = 32_768
_AHEAD: Final = 1
"""Steps of work done beside the one whose result is in use."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Place(NamedTuple):
    """A batch of the scratch file."""

    number: int
    rows: int


class _Portion(NamedTuple):
    """Instruments and batches that hold them, in the order of seq for each instrument."""

    keys: Sequence[str]
    places: Sequence[_Place]


class Merge:
    """The rows of some Parquet files of `ticks`, which follow each other in seq, sorted."""

    def __init__(self, paths: Sequence[Path], scratch: Path) -> None:
        """`scratch` is the file to sort in; it takes about 90 bytes a tick. Raises OSError, pyarrow.ArrowException."""
        self._paths = paths
        self._scratch = scratch
        counts: Counter[str] = Counter()
        for path in paths:
            counts += count_keys(path)
        self.counts = {key: counts[key] for key in sorted(counts)}
        """Rows of each instrument, in order."""
        self.rows = sum(self.counts.values())

    def groups(self, size: int) -> Iterator[pa.Table]:
        """All rows in order, `size` at a time, each table in one chunk; fewer only in the last."""
        waiting: list[pa.Table] = []
        rows = 0
        for table in self._ranges_in_order():
            waiting.append(table)
            rows += table.num_rows
            while rows >= size:
                whole = pa.concat_tables(waiting)
                yield whole.slice(0, size).combine_chunks()
                rows -= size
                waiting = [whole.slice(size)] if rows else []
        if rows:
            yield pa.concat_tables(waiting).combine_chunks()

    def _ranges_in_order(self) -> Iterator[pa.Table]:
        ranges = _ranges(self.counts)
        with ThreadPoolExecutor(_AHEAD) as pool:
            places = self._write_runs(pool, ranges)
            with pa.OSFile(str(self._scratch)) as file:
                reader = pa.ipc.open_file(file)
                portions = [
                    _Portion(keys, portion)
                    for keys, found in zip(ranges, places, strict=True)
                    for portion in _portions(found, one=len(keys) == 1)
                ]
                yield from ahead(pool, lambda portion: _gather(reader, portion), portions)

    def _write_runs(self, pool: ThreadPoolExecutor, ranges: Sequence[Sequence[str]]) -> list[list[_Place]]:
        """Sort run after run into the scratch file; where in it the batches of each range are."""
        keys = pa.array(itertools.chain.from_iterable(ranges), pa.string())
        ends = list(itertools.accumulate(map(len, ranges)))
        places: list[list[_Place]] = [[] for _ in ranges]
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        written = 0
        with (
            pa.OSFile(str(self._scratch), "wb") as file,
            pa.ipc.new_file(file, schema.TICKS, options=options) as writer,
        ):
            for batches in ahead(pool, lambda run: _cut(run, keys, ends), _runs(self._paths)):
                for number, batch in batches:
                    writer.write_batch(batch)
                    places[number].append(_Place(written, batch.num_rows))
                    written += 1
        return places


def _portions(places: Iterable[_Place], *, one: bool) -> Iterator[list[_Place]]:
    """The batches of a range; those of `one` large instrument, which follow each other, a few at a time."""
    portion: list[_Place] = []
    rows = 0
    for place in places:
        if one and portion and rows + place.rows > RANGE_ROWS:
            yield portion
            portion, rows = [], 0
        portion.append(place)
        rows += place.rows
    if portion:
        yield portion


def _gather(reader: pa.ipc.RecordBatchFileReader, portion: _Portion) -> pa.Table:
    table = pa.Table.from_batches([reader.get_batch(place.number) for place in portion.places], schema.TICKS)
    if len(portion.keys) == 1:
        return table
    table = table.combine_chunks()
    codes = pc.index_in(table["instrument_key"], pa.array(portion.keys, pa.string()))
    return table.take(pc.sort_indices(codes))  # stable: an instrument's rows keep their order


def _ranges(counts: dict[str, int]) -> list[list[str]]:
    """The instruments in order, put together to ranges of about RANGE_ROWS rows."""
    ranges: list[list[str]] = []
    rows = RANGE_ROWS
    for key, count in counts.items():
        if rows + count > RANGE_ROWS:
            ranges.append([])
            rows = 0
        ranges[-1].append(key)
        rows += count
    return ranges


def _runs(paths: Iterable[Path]) -> Iterator[pa.RecordBatch]:
    """The rows of the files, in their order, about RUN_ROWS at a time."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in _tables(paths):
        if rows + table.num_rows > RUN_ROWS:
            yield _one_batch(waiting)
            waiting, rows = [], 0
        waiting.append(table)
        rows += table.num_rows
    if rows:
        yield _one_batch(waiting)


def _tables(paths: Iterable[Path]) -> Iterator[pa.Table]:
    import pyarrow.parquet as pq

    for path in paths:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(_READ_ROWS):
                yield parquet.conform(pa.Table.from_batches([batch]), schema.TICKS)


def _one_batch(tables: list[pa.Table]) -> pa.RecordBatch:
    return pa.concat_tables(tables).combine_chunks().to_batches()[0]


def _cut(run: pa.RecordBatch, keys: pa.Array, ends: Sequence[int]) -> list[tuple[int, pa.RecordBatch]]:
    """A run sorted by instrument and cut at the ends of the ranges: (number of the range, its rows)."""
    codes = pc.index_in(run.column("instrument_key"), keys)
    rows = run.take(pc.sort_indices(codes))
    counted = sorted((pair["values"], pair["counts"]) for pair in pc.value_counts(codes).to_pylist())
    cut = []
    number = start = length = 0
    for code, count in counted:
        if code >= ends[number] and length:
            cut.append((number, rows.slice(start, length)))
            start, length = start + length, 0
        while code >= ends[number]:
            number += 1
        length += count
    if length:
        cut.append((number, rows.slice(start, length)))
    return cut


def count_keys(path: Path) -> Counter[str]:
    """Rows of each instrument in a Parquet file of `ticks`."""
    import pyarrow.parquet as pq

    column = pq.read_table(path, columns=["instrument_key"], partitioning=None)["instrument_key"]
    return Counter({pair["values"]: pair["counts"] for pair in pc.value_counts(column).to_pylist()})


def ahead(pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`work` done for each item in the pool, a few in advance; the results in order."""
    under_way: deque[Future[Result]] = deque()
    for item in items:
        under_way.append(pool.submit(work, item))
        if len(under_way) > _AHEAD:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()
