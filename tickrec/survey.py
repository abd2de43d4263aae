"""What files of `ticks` hold, counted from their rows, and in what that differs from the journal."""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.compute as pc

from tickrec import parquet
from tickrec.upstox.census import Census

_BATCH_ROWS: Final = 131_072
_NAMED: Final = 5
"""Instruments named in one line."""


@dataclass(slots=True)
class Survey:
    """What Parquet files of `ticks` hold, counted from their rows."""

    rows: int = 0
    by_key: Counter[str] = field(default_factory=Counter)
    orphans: Counter[str] = field(default_factory=Counter)
    """Those of messages that the journal has lost: it was damaged after they were written here."""
    first: int = 0
    last: int = 0
    """The lowest and highest seq that is no orphan's."""
    in_order: bool = True
    """Sorted by instrument, and by seq for each."""
    _previous: tuple[str, int] = ("", 0)

    @classmethod
    def of(cls, paths: Iterable[Path], lost: Sequence[tuple[int, int]] = (), *, whole: bool = False) -> Self:
        """Read files; what they hold together. `lost` are ranges of seq that the journal no longer has.

        `whole`: every column is read and held against its checksums, not only those that are counted. Raises
        UnreadableFile when one cannot be read, OSError.
        """
        survey = cls()
        for path in paths:
            with parquet.opened_ticks(path) as file:
                for batch in file.iter_batches(_BATCH_ROWS, columns=None if whole else ["instrument_key", "seq"]):
                    if batch.num_rows:
                        survey._take(batch, lost)
        return survey

    def _take(self, batch: pa.RecordBatch, lost: Sequence[tuple[int, int]]) -> None:
        keys, seqs = batch.column("instrument_key"), batch.column("seq")
        self.rows += batch.num_rows
        self.by_key.update(_counts(keys))
        self.in_order = self.in_order and self._follows(keys, seqs)
        self._previous = keys[-1].as_py(), seqs[-1].as_py()
        if lost:
            is_lost = _within(seqs, lost)
            self.orphans.update(_counts(keys.filter(is_lost)))
            seqs = seqs.filter(pc.invert(is_lost))
        if len(seqs):
            low, high = (bound.as_py() for bound in pc.min_max(seqs).values())
            self.first = min(self.first or low, low)
            self.last = max(self.last, high)

    def _follows(self, keys: pa.Array, seqs: pa.Array) -> bool:
        if (keys[0].as_py(), seqs[0].as_py()) <= self._previous:
            return False
        up, same = pc.less(keys[:-1], keys[1:]), pc.equal(keys[:-1], keys[1:])
        return bool(pc.all(pc.or_(up, pc.and_(same, pc.less(seqs[:-1], seqs[1:]))), min_count=0).as_py())


def orphans(paths: Iterable[Path], lost: Sequence[tuple[int, int]]) -> Counter[int]:
    """The ticks of each message within the ranges `lost`; those that are in several files count once.

    Raises UnreadableFile when a file cannot be read, OSError.
    """
    found: Counter[int] = Counter()
    for path in paths:
        with parquet.opened_ticks(path) as file:
            batches = file.iter_batches(_BATCH_ROWS, columns=["seq"])
            seqs = pa.chunked_array([batch.column("seq") for batch in batches], pa.int64())
        found |= Counter(_counts(seqs.filter(_within(seqs, lost))))
    return found


def _counts(values: pa.Array) -> dict[Any, int]:
    return {pair["values"]: pair["counts"] for pair in pc.value_counts(values).to_pylist()}


def _within(seqs: pa.Array, ranges: Sequence[tuple[int, int]]) -> pa.Array:
    inside = (pc.and_(pc.greater_equal(seqs, first), pc.less_equal(seqs, last)) for first, last in ranges)
    return functools.reduce(pc.or_, inside)


def differing(census: Census, survey: Survey, name: str) -> list[str]:
    """In what the ticks that the journal holds and the rows of `name` differ; orphans are no difference."""
    found = []
    rows = survey.rows - survey.orphans.total()
    if census.ticks != rows:
        found.append(f"{name}: {rows} ticks, the journal has {census.ticks}")
    if (census.first_tick, census.last_tick) != (survey.first, survey.last):
        ours, theirs = f"{survey.first} to {survey.last}", f"{census.first_tick} to {census.last_tick}"
        found.append(f"{name}: ticks of entries {ours}, the journal's are {theirs}")
    return found + differing_keys(census.by_key, survey.by_key - survey.orphans, name)


def differing_keys(expected: Mapping[str, int], found: Mapping[str, int], name: str) -> list[str]:
    """The instruments with another number of ticks than expected, in one line."""
    keys = sorted(key for key in expected.keys() | found.keys() if expected.get(key, 0) != found.get(key, 0))
    if not keys:
        return []
    named = ", ".join(f"{key} has {found.get(key, 0)} of {expected.get(key, 0)} ticks" for key in keys[:_NAMED])
    more = f", and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return [f"{name}: {named}{more}"]
