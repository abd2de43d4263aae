"""Bar differences: the minute bars of a date that ticks make, against the exchange's own.

Owns which minutes can be compared: those that were recorded whole, up to the last that the exchange's bars reach. The
feed lets through the state of an instrument a few times a second, so that a high or a low may have passed between two
messages; volume should agree. The broker's two endpoints are known to disagree with each other in a quarter of the bars
(observed 2026-09), so differences are told and never graded.
"""

from typing import Final, NamedTuple

from tickrec.query.missing import LOST_MINUTES, NEEDS
from tickrec.query.session import Session

_SQL: Final = f"""
WITH reach AS (
    SELECT instrument_key, min(start_ts) AS since, max(start_ts) AS until FROM exchange_bars GROUP BY instrument_key
), ours AS (
    SELECT c.* FROM candles('1 minute') c JOIN reach USING (instrument_key) WHERE c.start BETWEEN since AND until
), compared AS (
    SELECT coalesce(o.instrument_key, e.instrument_key) AS instrument_key,
        coalesce(o.start, e.start_ts) AS start_ts,
        greatest(abs(o.open - e.open), abs(o.high - e.high), abs(o.low - e.low), abs(o.close - e.close)) AS apart,
        e.close AS price, coalesce(o.volume, 0) - coalesce(e.volume, 0) AS volume_apart,
        e.start_ts IS NOT NULL AND e.volume IS NULL AS volume_unknown
    FROM ours o FULL JOIN exchange_bars e ON o.instrument_key = e.instrument_key AND o.start = e.start_ts
)
SELECT instrument_key, count(*) AS bars, count(*) FILTER (prices_differ OR volumes_differ) AS differing,
    count(*) FILTER (prices_differ) AS in_price, count(*) FILTER (volumes_differ) AS in_volume,
    max(apart / abs(price) * 100) AS widest_percent,
    CAST(coalesce(sum(volume_apart) FILTER (volumes_differ), 0) AS BIGINT) AS volume_apart
FROM (
    SELECT *, apart IS NULL OR apart > 0.00005 AS prices_differ,
        NOT volume_unknown AND volume_apart != 0 AS volumes_differ
    FROM compared ANTI JOIN ({LOST_MINUTES}) USING (instrument_key, start_ts)
)
GROUP BY instrument_key
"""


class BarDifferences(NamedTuple):
    """How an instrument's minutes compare with the exchange's."""

    bars: int
    """Minutes compared: those that either side has, and that were recorded whole."""
    differing: int
    in_price: int
    """Of those, where open, high, low or close differ, or one side has no bar."""
    in_volume: int
    widest_percent: float | None
    """The largest difference between two prices, percent; None where no minute is on both sides."""
    volume_apart: int
    """Ours less the exchange's, over the minutes in which it differs, units."""


def bar_differences(session: Session) -> dict[str, BarDifferences]:
    """By instrument key, of those that the exchange's bars are stored of. For a session of one date.

    Raises DataError.
    """
    rows = session.read(_SQL, {*NEEDS, "exchange_bars", "candles"})
    return {row.pop("instrument_key"): BarDifferences(**row) for row in rows}
