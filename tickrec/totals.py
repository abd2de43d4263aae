"""Totals: what was recorded of a date altogether, over all of its runs.

Owns where that is looked up cheaply: the manifest and the small tables of a sealed date, the footers of Parquet parts
otherwise. What cannot be read is not known; it is for `verify` to say why.
"""

import datetime as dt
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tickrec import manifest
from tickrec.clock import from_datetime
from tickrec.errors import DataError
from tickrec.holdings import Holding
from tickrec.layout import Store, coverage

LONG_DAY: Final = dt.timedelta(hours=4)
"""A date recorded for less is not taken for a usual day."""
LOOKED_AT: Final = 10
"""How many of the newest sealed dates are looked at."""
_USUAL_DAYS: Final = 5


@dataclass(frozen=True, slots=True)
class Totals:
    """What a sealed date holds."""

    ticks: int
    gaps: int
    gap_ns: int
    """Length of all gaps together, as far as they have an end."""
    recorded: dt.timedelta
    """How long at least one connection was open."""


def newest_totals(store: Store, kept: Sequence[Holding]) -> dict[dt.date, Totals]:
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
        spans = [(_instant(gap["start_ts"]), _instant(gap["end_ts"])) for gap in sealed.gaps if gap["end_ts"]]
        lost_ns = sum(end_ns - start_ns for start_ns, end_ns in spans)
        return Totals(sealed.rows["ticks"], len(sealed.gaps), lost_ns, recorded(store, date))
    except (DataError, FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def recorded(store: Store, date: dt.date) -> dt.timedelta:
    """How long at least one connection was open on a sealed date. Raises OSError, ValueError."""
    import pyarrow.parquet as pq

    table = pq.read_table(store.sealed_path("connections", date), columns=["opened_ts", "closed_ts"])
    spans = sorted(pair for pair in zip(*(column.to_pylist() for column in table.columns), strict=True) if all(pair))
    return _covered(spans)


def usual_day(kept: Iterable[Holding], known: Mapping[dt.date, Totals]) -> int | None:
    """Bytes that a sealed day takes: the median of the newest five that were recorded for long; None without any."""
    sizes = [each.total for each in kept if each.date in known and known[each.date].recorded >= LONG_DAY]
    return int(statistics.median(sizes[-_USUAL_DAYS:])) if sizes else None


def ticks_through(store: Store, date: dt.date, seq: int) -> int | None:
    """Ticks of a date in Parquet files of entries up to `seq`; None when one cannot be read. Raises OSError."""
    import pyarrow.parquet as pq

    try:
        covered = coverage(store, date)
        parts = [part.path for part in covered.parts if part.last <= seq]
        paths = [covered.sealed, *parts] if covered.sealed is not None else parts
        return sum(int(pq.read_metadata(path).num_rows) for path in paths)
    except (DataError, FileNotFoundError, ValueError):
        return None  # sealed at this moment, or damaged


def _covered(spans: Iterable[tuple[dt.datetime, dt.datetime]]) -> dt.timedelta:
    """How long the union of sorted spans is."""
    length, until = dt.timedelta(), None
    for start, end in spans:
        start = start if until is None else max(start, until)
        length += max(end - start, dt.timedelta())
        until = end if until is None else max(end, until)
    return length


def _instant(text: str) -> int:
    return from_datetime(dt.datetime.fromisoformat(text))
