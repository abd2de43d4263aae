"""Totals: what was recorded of a date altogether, over all of its runs.

Owns where that is looked up cheaply: the manifest and the small tables of a sealed date; the footers of Parquet parts
and the end of the journal otherwise. What cannot be read is not known; it is for `verify` to say why.
"""

import datetime as dt
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self, TypeAlias

from tickrec import schema
from tickrec.clock import from_datetime
from tickrec.errors import DataError
from tickrec.journal.entry import EntryKind
from tickrec.journal.gaps import Gap
from tickrec.journal.tail import read_from_seq
from tickrec.status.disk_use import DiskUse
from tickrec.status.runstatus import RunStatus
from tickrec.store import manifest, parquet
from tickrec.store.coverage import Coverage, coverage
from tickrec.store.paths import Store
from tickrec.upstox.decode.peek import count_feeds

LONG_DAY: Final = dt.timedelta(hours=4)
"""A date recorded for less is not taken for a usual day."""
LOOKED_AT: Final = 10
"""How many of the newest sealed dates are looked at."""
COUNTED_BYTES: Final = 64 * 1024 * 1024
"""More journal than this beyond Parquet is not counted, for the sake of a quick answer."""
_USUAL_DAYS: Final = 5


Row: TypeAlias = Mapping[str, Any]
"""A row of a small table."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What a sealed date holds."""

    ticks: int
    gaps: tuple[Gap, ...]
    recorded: dt.timedelta
    """How long at least one connection was open."""
    span: tuple[dt.datetime, dt.datetime] | None = None
    """From when to when, all pauses included."""
    grade: str | None = None
    """How complete it was when it was sealed, A to F; None where nobody could tell."""

    @classmethod
    def of(cls, ticks: int, connections: Iterable[Row], gaps: Iterable[Row], until: dt.datetime | None = None) -> Self:
        """The totals of stored rows. A connection that is open lasts until `until`, if that is known."""
        ends = ((row["opened_ts"], row["closed_ts"] or until) for row in connections)
        spans = sorted((start, end) for start, end in ends if start and end)
        span = (spans[0][0], max(end for _, end in spans)) if spans else None
        return cls(ticks, tuple(map(_stored_gap, gaps)), covered_time(spans), span)

    @property
    def gap_ns(self) -> int:
        """Length of all gaps together, as far as they have an end."""
        return sum(gap.end_ns - gap.start_ns for gap in self.gaps if gap.end_ns is not None)

    @property
    def endless_gaps(self) -> int:
        """Gaps without an end: a run died, and none came after it."""
        return sum(gap.end_ns is None for gap in self.gaps)


class Present(NamedTuple):
    """The ticks of a date that are there now, each counted once."""

    stored: int
    """In Parquet."""
    covered: int
    """The last journal entry that Parquet covers."""
    waiting: int | None
    """In the journal only; None when that is too much to be counted."""


def newest_totals(store: Store, kept: Sequence[DiskUse]) -> dict[dt.date, Totals]:
    """The totals of the newest sealed dates, as far as they can be read. Raises OSError."""
    sealed = [each.date for each in kept if each.sealed][-LOOKED_AT:]
    found = {date: totals(store, date) for date in sealed}
    return {date: each for date, each in found.items() if each is not None}


def totals(store: Store, date: dt.date) -> Totals | None:
    """The totals of a sealed date; None when what would tell is not there or damaged. Raises OSError."""
    try:
        sealed = manifest.load(store, date)
        if sealed is None:
            return None
        spans = connected(store, date)
        span = (spans[0][0], max(end for _, end in spans)) if spans else None
        return Totals(sealed.rows["ticks"], tuple(map(_gap, sealed.gaps)), covered_time(spans), span, sealed.grade)
    except (DataError, FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def connected(store: Store, date: dt.date) -> list[tuple[dt.datetime, dt.datetime]]:
    """From when to when each connection of a sealed date was open, in that order. Raises OSError, DataError."""
    path = store.sealed_path("connections", date)
    parquet.require_whole(path)
    times = parquet.read(path, schema.CONNECTIONS).select(["opened_ts", "closed_ts"])
    return sorted(pair for pair in zip(*(column.to_pylist() for column in times.columns), strict=True) if all(pair))


def usual_day(kept: Iterable[DiskUse], known: Mapping[dt.date, Totals]) -> int | None:
    """Bytes that a sealed day takes: the median of the newest five that were recorded for long; None without any."""
    sizes = [each.total for each in kept if each.date in known and known[each.date].recorded >= LONG_DAY]
    return int(statistics.median(sizes[-_USUAL_DAYS:])) if sizes else None


def ticks_of(store: Store, run: RunStatus, *, most: int = COUNTED_BYTES) -> tuple[int | None, int]:
    """Ticks of the run's date over all runs, None where that cannot be told, and how many are not in Parquet yet.

    Counted from the files, whatever the run said: parts may have been published since, or the date sealed. Only what
    is too much to be counted is taken from the run, if it knew the newest part. Raises OSError.
    """
    there = None
    if run.date and run.position is not None:
        there = present(store, dt.date.fromisoformat(run.date), most=most)
    if there is None:
        return None, run.unflushed_ticks
    if there.waiting is not None:
        return there.stored + there.waiting, there.waiting
    return there.stored + run.unflushed_ticks if run.flushed_seq == there.covered else None, run.unflushed_ticks


def present(store: Store, date: dt.date, *, most: int = COUNTED_BYTES) -> Present | None:
    """The ticks of a date in Parquet, and those that the journal has beyond.

    `most` bytes of the journal are read at most. None when a Parquet file cannot be read. Raises OSError.
    """
    import pyarrow.parquet as pq

    try:
        covered = coverage(store, date)
        parts = [part.path for part in covered.parts]
        paths = [covered.sealed, *parts] if covered.sealed is not None else parts
        stored = sum(int(pq.read_metadata(path).num_rows) for path in paths)
        return Present(stored, covered.next_seq - 1, _waiting(store, covered, most))
    except (DataError, FileNotFoundError, ValueError):
        return None  # sealed at this moment, or damaged


def _waiting(store: Store, covered: Coverage, most: int) -> int | None:
    if store.settled(covered.date):
        return 0
    entries = read_from_seq(store.journal(covered.date), covered.next_seq, covered.position, most)
    if entries is None:
        return None
    return sum(count_feeds(entry.payload) for entry in entries if entry.kind is EntryKind.MESSAGE)


def covered_time(spans: Iterable[tuple[dt.datetime, dt.datetime]]) -> dt.timedelta:
    """How long the union of sorted spans is."""
    length, until = dt.timedelta(), None
    for start, end in spans:
        start = start if until is None else max(start, until)
        length += max(end - start, dt.timedelta())
        until = end if until is None else max(end, until)
    return length


def _gap(row: Row) -> Gap:
    """A gap of a manifest. Raises KeyError, ValueError or TypeError when it is none."""
    end_ns = None if row["end_ts"] is None else _instant(row["end_ts"])
    return Gap(row["seq"], row["conn"], _instant(row["start_ts"]), end_ns, row["reason"], row["keys"])


def _stored_gap(row: Row) -> Gap:
    """A gap of the stored table."""
    end_ns = None if row["end_ts"] is None else from_datetime(row["end_ts"])
    return Gap(row["seq"], row["conn"], from_datetime(row["start_ts"]), end_ns, row["reason"], row["keys"])


def _instant(text: str) -> int:
    return from_datetime(dt.datetime.fromisoformat(text))
