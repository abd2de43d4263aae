"""Evidence: what a store knows of each instrument of a date, and of what it misses.

Owns the questions, in SQL. The ticks are read twice: once to see in which quarters of a minute each instrument ticked,
which tells nearly everything, and once for the rows on both sides of what is missing.

The volume that is missing is what `vtt` has grown by across an interval; when the first row behind it is a tick, less
what that tick tells itself (`ltq`). Intervals without a row between them are one.
A gap begins where data ended, so that ticks which came late may lie in it: those were recorded.
Before its first row an instrument had traded nothing, unless it was followed: then nobody knows.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from tickrec.query.missing import CELL_US, NEEDS, STEPS
from tickrec.query.session import Session

_CELLS_A_MINUTE: Final = 60_000_000 // CELL_US
_MOST: Final = 12
"""Intervals that are named of one instrument: the longest."""

_INSTRUMENTS: Final = f"""
WITH {STEPS}, wanted AS (
    SELECT instrument_key, any_value(symbol) AS symbol, bool_or(is_first AND followed) AS followed
    FROM asked GROUP BY instrument_key
), gone AS MATERIALIZED (
    SELECT instrument_key, conn, epoch_us(start_ts) AS begins, epoch_us(end_ts) AS ends, why FROM intervals
), islands AS (
    SELECT instrument_key, min(begins) AS begins, max(ends) AS ends
    FROM (
        SELECT *, sum(CAST(is_apart AS INT)) OVER (PARTITION BY instrument_key ORDER BY begins) AS island
        FROM (
            SELECT *, begins IS DISTINCT FROM lag(ends) OVER (PARTITION BY instrument_key ORDER BY begins) AS is_apart
            FROM gone
        )
    )
    GROUP BY instrument_key, island
), sides AS MATERIALIZED (
    SELECT i.instrument_key, begins, ends,
        max(cell) FILTER (first_at <= begins OR (first_at < ends AND NOT snapshot)) AS cell_before,
        min(cell) FILTER (last_at >= ends) AS cell_after
    FROM islands i JOIN cells c ON c.instrument_key = i.instrument_key
    GROUP BY i.instrument_key, begins, ends
), near AS (
    SELECT instrument_key, cell, seq, received, snapshot, CASE WHEN snapshot THEN 0 ELSE coalesce(ltq, 0) END AS own,
        CASE WHEN epoch_us(ltt) < epoch_us(date) - 19800000000 THEN 0 ELSE vtt END AS volume
    FROM (SELECT *, epoch_us(recv_ts) AS received, received // {CELL_US} AS cell FROM main.ticks)
    SEMI JOIN (SELECT instrument_key, unnest([cell_before, cell_after]) AS cell FROM sides) USING (instrument_key, cell)
    WHERE vtt IS NOT NULL
), grown AS (
    SELECT s.instrument_key, begins, ends, max(seq) FILTER (is_before) AS seq_before,
        min(seq) FILTER (received >= ends) AS seq_after, arg_max(volume, seq) FILTER (is_before) AS before,
        arg_min(volume, seq) FILTER (received >= ends) AS after, arg_min(own, seq) FILTER (received >= ends) AS own
    FROM (
        SELECT s.*, n.* EXCLUDE (instrument_key), received <= begins OR (received < ends AND NOT snapshot) AS is_before
        FROM sides s JOIN near n ON n.instrument_key = s.instrument_key AND n.cell IN (cell_before, cell_after)
    ) s
    GROUP BY s.instrument_key, begins, ends
), traded AS (
    SELECT instrument_key, begins, greatest(after - own - CASE
        WHEN before <= after THEN before
        WHEN before IS NULL AND followed THEN after
        ELSE 0 END, 0) AS volume
    FROM grown JOIN wanted USING (instrument_key)
    QUALIFY row_number() OVER (PARTITION BY instrument_key, seq_before, seq_after ORDER BY begins) = 1
), lost AS (
    SELECT instrument_key, sum(ends - begins) AS missing_us, sum(volume) AS missing_volume, count(*) AS intervals,
        arg_max({{conn: conn, begins: begins, ends: ends, why: why, volume: volume}}, ends - begins, {_MOST}) AS longest
    FROM gone LEFT JOIN traded USING (instrument_key, begins)
    GROUP BY instrument_key
), sessions AS (
    SELECT instrument_key, min(begins) AS begins, max(ends) AS ends, sum(ends - begins) AS session_us
    FROM key_sessions GROUP BY instrument_key
), silences AS (
    SELECT instrument_key, max(greatest(first_at - silent_from, silent_to - last_at)) AS silence_us
    FROM (
        SELECT instrument_key, first_at, last_at, coalesce(lag(last_at) OVER w, begins) AS silent_from,
            coalesce(lead(first_at) OVER w, ends) AS silent_to
        FROM cells JOIN key_sessions USING (date, instrument_key)
        WHERE NOT snapshot AND last_at >= begins AND first_at < ends
        WINDOW w AS (PARTITION BY instrument_key, begins ORDER BY cell)
    )
    GROUP BY instrument_key
), ticked AS (
    SELECT instrument_key, sum(ticks) FILTER (NOT snapshot) AS ticks, min(first_at) FILTER (NOT snapshot) AS first_us,
        max(last_at) FILTER (NOT snapshot) AS last_us, arg_max(last_vtt, last_at) AS volume
    FROM cells GROUP BY instrument_key
), counted AS (
    SELECT instrument_key, list(minute) AS minutes, list(ticks) AS ticks_by_minute
    FROM (
        SELECT instrument_key, cell // {_CELLS_A_MINUTE} AS minute, CAST(sum(ticks) AS BIGINT) AS ticks
        FROM cells WHERE NOT snapshot GROUP BY ALL
    )
    GROUP BY instrument_key
)
SELECT instrument_key, coalesce(symbol, instrument_key) AS symbol, begins, ends,
    CAST(coalesce(session_us, 0) AS BIGINT) AS session_us, CAST(coalesce(ticks, 0) AS BIGINT) AS ticks,
    first_us, last_us, volume, CAST(coalesce(silence_us, session_us) AS BIGINT) AS silence_us,
    CAST(coalesce(missing_us, 0) AS BIGINT) AS missing_us, CAST(missing_volume AS BIGINT) AS missing_volume,
    CAST(coalesce(intervals, 0) AS BIGINT) AS intervals, longest, minutes, ticks_by_minute
FROM wanted
LEFT JOIN sessions USING (instrument_key) LEFT JOIN ticked USING (instrument_key)
LEFT JOIN silences USING (instrument_key) LEFT JOIN lost USING (instrument_key)
LEFT JOIN counted USING (instrument_key)
ORDER BY symbol, instrument_key
"""

Minutes: TypeAlias = Mapping[int, int]
"""Ticks by minute since the epoch."""


class Interval(NamedTuple):
    """An interval that was not recorded. Instants are microseconds since the epoch."""

    conn: int
    begins: int
    ends: int
    why: str
    """One of `query.missing.WHYS`."""
    volume: int | None
    """Units traded across it; None where that is not known, or told of the interval before."""

    @property
    def length(self) -> int:
        """Microseconds."""
        return self.ends - self.begins


class Known(NamedTuple):
    """What is known of an instrument that was asked for. Instants and lengths are microseconds."""

    instrument_key: str
    symbol: str
    begins: int | None
    """Of its first session of the date; None: it has none."""
    ends: int | None
    """Of its last, now at most."""
    session_us: int
    ticks: int
    """Without snapshots."""
    first_us: int | None
    last_us: int | None
    volume: int | None
    """Units traded on the date, as far as it was seen; None: the feed sends no volume of it."""
    silence_us: int | None
    """The longest time of a session without a tick."""
    missing_us: int
    missing_volume: int | None
    intervals: int
    longest: tuple[Interval, ...]
    """The longest of its intervals, in order of time."""


class Lost(NamedTuple):
    """A row of `gaps`. Instants are microseconds."""

    conn: int
    begins: int
    ends: int | None
    reason: str


class Evidence:
    """What an open session, of one date, knows. Raises DataError as soon as something cannot be read."""

    def __init__(self, session: Session) -> None:
        self._session = session
        rows = session.read(_INSTRUMENTS, NEEDS)
        self.minutes = {row["instrument_key"]: _minutes(row) for row in rows}
        """When how much came, of each instrument."""
        self.instruments = [_known(row) for row in rows]
        """In order of their symbols."""

    def gaps(self) -> list[Lost]:
        """The gaps of the date, in order."""
        sql = "SELECT conn, epoch_us(start_ts), epoch_us(end_ts), reason FROM main.gaps ORDER BY start_ts, conn"
        return [Lost(*row) for row in self._session.look_up(sql, {"gaps"})]

    def recorded(self) -> tuple[int, int | None] | None:
        """From when to when there was a connection, microseconds; None: never, or until now."""
        sql = """
            SELECT epoch_us(min(opened_ts)), CASE WHEN bool_and(closed_ts IS NOT NULL) THEN epoch_us(max(closed_ts)) END
            FROM main.connections
        """
        ((begins, ends),) = self._session.look_up(sql, {"connections"})
        return None if begins is None else (begins, ends)


def _minutes(row: dict[str, Any]) -> Minutes:
    return dict(zip(row.pop("minutes") or (), row.pop("ticks_by_minute") or (), strict=True))


def _known(row: dict[str, Any]) -> Known:
    intervals = (Interval(**each) for each in row.pop("longest") or ())
    return Known(**row, longest=tuple(sorted(intervals, key=lambda each: each.begins)))
