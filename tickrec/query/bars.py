"""Bars: candles in which the minutes that were not recorded are the exchange's own.

Owns the macro `bars`, in SQL over trades, the view `missing` and the table `exchange_bars`. A minute is the exchange's
when any part of it is missing and the exchange's bar is at hand; everything that ticks say of it then counts for
nothing, for the first message after a gap brings all the volume of the gap. Any other minute is made from ticks. A bar
with a minute of the exchange in it says so. Nothing is ever mixed into ticks or candles.
"""

from typing import Final

from tickrec.query.missing import LOST_MINUTES
from tickrec.query.trades import OPENING, bar_at

WIDTH: Final = """
CREATE OR REPLACE MACRO stored.bar_width(span) AS
CASE WHEN epoch_us(CAST(span AS INTERVAL)) BETWEEN 60000000 AND 86400000000
          AND epoch_us(CAST(span AS INTERVAL)) % 60000000 = 0 THEN epoch_us(CAST(span AS INTERVAL))
     ELSE error('bars: the interval must be whole minutes, 1 day at most') END
"""

_FILLED: Final = f"""
SELECT date, instrument_key, symbol, epoch_us(start_ts) AS minute, open, high, low, close, oi,
    CASE WHEN instrument_key[5:9] != 'INDEX' THEN volume END AS volume,
    epoch_us(date) - 19800000000 AS midnight, {OPENING} AS opening
FROM main.exchange_bars SEMI JOIN ({LOST_MINUTES}) USING (date, instrument_key, start_ts)
"""
"""The exchange's bars of the minutes in which the instrument was not recorded, or not all of the time."""

BARS: Final = f"""
CREATE OR REPLACE MACRO main.bars("interval") AS TABLE
WITH filled AS ({_FILLED}), ticked AS (
    SELECT symbol, instrument_key, date, minute, midnight, opening, width,
        arg_min(ltp, seq) AS open, max(ltp) AS high, min(ltp) AS low, arg_max(ltp, seq) AS close,
        sum(qty) AS volume, sum(ltp * qty) AS turnover, arg_max(oi, seq) AS oi, count(*) AS ticks,
        arg_max(iv, seq) AS iv, min(seq) AS first_seq, max(seq) AS last_seq
    FROM (
        SELECT *, midnight + time_of_day // 60000000 * 60000000 AS minute, stored.bar_width("interval") AS width
        FROM ({{prices}})
    )
    {{session}}
    GROUP BY ALL
), minutes AS (
    FROM ticked ANTI JOIN filled USING (date, instrument_key, minute)
    UNION ALL BY NAME
    SELECT *, stored.bar_width("interval") AS width, 0 AS ticks FROM filled
), placed AS (
    SELECT *, {bar_at("(minute - midnight)")} AS bar FROM minutes
)
SELECT symbol, instrument_key, date, make_timestamptz(bar) AS start,
    CASE WHEN exchange THEN first_open ELSE open END AS open, high, low,
    CASE WHEN exchange THEN last_close ELSE close END AS close,
    volume, vwap, CASE WHEN exchange THEN last_oi ELSE oi END AS oi, ticks, iv,
    CASE WHEN exchange THEN 'exchange' ELSE 'ticks' END AS source
FROM (
    SELECT symbol, instrument_key, date, bar, bool_or(ticks = 0) AS exchange,
        arg_min(open, minute) AS first_open, arg_min(open, first_seq) AS open, max(high) AS high, min(low) AS low,
        arg_max(close, minute) AS last_close, arg_max(close, last_seq) AS close,
        CAST(sum(volume) AS BIGINT) AS volume, CASE WHEN NOT exchange THEN sum(turnover) / sum(volume) END AS vwap,
        arg_max(oi, minute) AS last_oi, arg_max(oi, last_seq) AS oi, CAST(sum(ticks) AS BIGINT) AS ticks,
        arg_max(iv, last_seq) AS iv
    FROM placed
    GROUP BY symbol, instrument_key, date, bar
)
ORDER BY symbol, instrument_key, start
"""
"""A bar that is all ticks goes by the order of messages, as in candles; one with a minute of the exchange in it, by
minutes."""
