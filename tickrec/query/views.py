"""The views and macros of a query, in SQL over the stored tables.

Owns what a trade, a bar, a spike and an option chain are. Does not know files or connections; `relations` says what
their columns mean.

A trade is what the feed lets through of one: it sends the state of an instrument a few times a second, so a row
counts as a trade when the volume traded today (vtt) has grown since the row before, and its quantity is that growth.
Where the feed sends no volume (indices, mode ltpc), a row counts when its last trade time is new. Snapshots are no
trades, but their volume is what later rows grow from. Rows that still repeat the trade of an earlier day are not even
that: the first trade of an instrument that was idle all morning is as large as its volume of today, whatever volume
of yesterday it showed before. (How the feed shows all this was observed 2025-03 to 2026-10.)
"""

import datetime as dt
from collections.abc import Collection
from typing import Final

from tickrec import schema
from tickrec.query.relations import CHAIN_SIDE, columns_of

# The SQL. `{newest}` is the newest date with ticks, `{pre_open}` whether prices from before the open may be in the
# ticks. Times of day are counted in microseconds from midnight IST, 19,800 seconds before midnight UTC.

_PRICES: Final = """
CREATE OR REPLACE VIEW stored.prices AS
SELECT {ticks}, vtt - base AS qty, epoch_us(ltt) - midnight AS time_of_day, midnight,
    CASE WHEN instrument_key[2:4] = 'SE_' AND instrument_key[5:6] IN ('EQ', 'FO', 'IN')
         THEN 33300000000 ELSE 32400000000 END AS opening
FROM (
    SELECT *, greatest(
        lag(mark IGNORE NULLS) OVER (PARTITION BY date, instrument_key, symbol, vtt IS NULL ORDER BY seq),
        max(mark) OVER (PARTITION BY date, instrument_key, symbol, vtt IS NULL ORDER BY seq
                        ROWS BETWEEN 256 PRECEDING AND 1 PRECEDING)) AS base
    FROM (
        SELECT *, CASE WHEN vtt IS NULL THEN CASE WHEN NOT old THEN epoch_us(ltt) END
                       WHEN old THEN 0 WHEN ltp IS NOT NULL THEN vtt END AS mark
        FROM (
            SELECT *, epoch_us(date) - 19800000000 AS midnight,
                epoch_us(ltt) < least(epoch_us(date) - 19800000000, epoch_us(recv_ts) - 21600000000) AS old
            FROM ticks
        )
    )
)
WHERE NOT old AND NOT snapshot AND ltp > 0 AND (mark > base OR (vtt IS NULL AND base IS NULL))
"""
"""The rows that count as trades. `old`: the row still shows the last trade of an earlier day; around midnight, the
trade of a moment ago is not that. `mark` is what grows with a trade: the volume, or the last trade time. A row without
prices (a book-only message) has none and leaves its growth to the next. A message that comes late shows less than one
before it: the largest mark of the rows before counts. (Of the last 256, which costs half of what all would.)"""

_LATEST: Final = """
CREATE OR REPLACE VIEW latest AS
SELECT {latest} FROM ticks
JOIN (SELECT instrument_key, max(seq) AS seq FROM ticks WHERE date = DATE '{newest}' GROUP BY instrument_key)
USING (instrument_key, seq)
WHERE date = DATE '{newest}'
ORDER BY symbol, instrument_key
"""

_TRADES: Final = """
CREATE OR REPLACE VIEW trades AS
SELECT {trades} FROM stored.prices WHERE qty > 0
"""

_WIDTH: Final = """
CREATE OR REPLACE MACRO stored.width(span) AS
CASE WHEN epoch_us(CAST(span AS INTERVAL)) BETWEEN 1000000 AND 86400000000 THEN epoch_us(CAST(span AS INTERVAL))
     ELSE error('candles: the interval must be from 1 second to 1 day') END
"""

_CANDLES: Final = """
CREATE OR REPLACE MACRO candles("interval") AS TABLE
SELECT symbol, instrument_key, date, make_timestamptz(bar) AS start,
    arg_min(ltp, seq) AS open, max(ltp) AS high, min(ltp) AS low, arg_max(ltp, seq) AS close,
    CAST(sum(qty) AS BIGINT) AS volume, sum(ltp * qty) / sum(qty) AS vwap, arg_max(oi, seq) AS oi, count(*) AS ticks
FROM (
    SELECT symbol, instrument_key, date, seq, ltp, qty, oi,
        midnight + CASE WHEN width = 86400000000 THEN 0
            ELSE time_of_day - ((time_of_day - opening) % width + width) % width END AS bar
    FROM (SELECT *, stored.width("interval") AS width FROM stored.prices)
    WHERE time_of_day >= 0 {session}
)
GROUP BY symbol, instrument_key, date, bar
ORDER BY symbol, instrument_key, start
"""

_SESSION: Final = "AND NOT (opening = 33300000000 AND time_of_day >= 32400000000 AND time_of_day < opening)"
"""Leaves out the pre-open call auction, 09:00 to 09:15."""

_FEED_BARS: Final = """
CREATE OR REPLACE VIEW feed_bars AS
SELECT symbol, instrument_key, date, min_ts, arg_max(min_open, seq) AS min_open, arg_max(min_high, seq) AS min_high,
    arg_max(min_low, seq) AS min_low, arg_max(min_close, seq) AS min_close, arg_max(min_volume, seq) AS min_volume
FROM ticks WHERE epoch_us(min_ts) >= epoch_us(date) - 19800000000
GROUP BY symbol, instrument_key, date, min_ts
ORDER BY symbol, instrument_key, min_ts
"""

_DEPTH: Final = """
CREATE OR REPLACE VIEW depth AS
SELECT date, symbol, recv_ts, unnest(range(1, 1 + greatest(len(bid_prices), len(ask_prices)))) AS level,
    unnest(bid_prices) AS bid, unnest(bid_qtys) AS bid_qty, unnest(ask_prices) AS ask, unnest(ask_qtys) AS ask_qty,
    instrument_key, seq, conn, feed_ts
FROM ticks WHERE bid_prices IS NOT NULL OR ask_prices IS NOT NULL
"""

_MOMENT: Final = """
CREATE OR REPLACE MACRO stored.moment("at") AS coalesce(
    TRY_CAST(CAST("at" AS VARCHAR) AS TIMESTAMPTZ),
    timezone('Asia/Kolkata', DATE '{newest}' + TRY_CAST(CAST("at" AS VARCHAR) AS TIME)),
    CAST(CAST("at" AS VARCHAR) AS TIMESTAMPTZ))
"""

_OPTION_CHAIN: Final = """
CREATE OR REPLACE MACRO option_chain(underlying, "at") AS TABLE
WITH contracts AS (
    SELECT instrument_key, expiry, strike, instrument_type, underlying_key FROM instruments
    WHERE date = CAST(stored.moment("at") AS DATE) AND instrument_type IN ('CE', 'PE')
        AND (upper(underlying_symbol) = upper(underlying) OR underlying_key = underlying)
), known AS (
    SELECT instrument_key, {known} FROM ticks
    WHERE date = CAST(stored.moment("at") AS DATE) AND recv_ts <= stored.moment("at")
        AND instrument_key IN (SELECT unnest([instrument_key, underlying_key]) FROM contracts)
    GROUP BY instrument_key
)
SELECT expiry, {calls}, strike, {puts},
    any_value(spot) AS underlying_ltp
FROM contracts JOIN known USING (instrument_key)
LEFT JOIN (SELECT instrument_key AS underlying_key, ltp AS spot FROM known) USING (underlying_key)
GROUP BY expiry, strike ORDER BY expiry, strike
"""

_SPIKES: Final = """
CREATE OR REPLACE MACRO spikes("window", percent) AS TABLE
SELECT symbol, instrument_key, date, seq, ltt, ltp, from_ltp, (ltp / from_ltp - 1) * 100 AS change_percent
FROM (
    SELECT *, coalesce(lag(way) OVER (PARTITION BY date, instrument_key, symbol ORDER BY seq), 0) AS way_before
    FROM (
        SELECT *, CASE WHEN ltp / lowest >= highest / ltp THEN lowest ELSE highest END AS from_ltp,
            CASE WHEN (ltp / from_ltp - 1) * 100 >= percent THEN 1
                 WHEN (1 - ltp / from_ltp) * 100 >= percent THEN -1 ELSE 0 END AS way
        FROM (
            SELECT *, min(ltp) OVER span AS lowest, max(ltp) OVER span AS highest
            FROM stored.prices
            WINDOW span AS (
                PARTITION BY date, instrument_key, symbol ORDER BY ltt
                RANGE BETWEEN CAST("window" AS INTERVAL) PRECEDING AND CURRENT ROW
            )
        )
    )
)
WHERE way != 0 AND way != way_before
ORDER BY ltt
"""


def _last_known(prefix: str, kind: str) -> str:
    names = CHAIN_SIDE if prefix == "call" else CHAIN_SIDE[::-1]
    return ", ".join(f"any_value({name}) FILTER (instrument_type = '{kind}') AS {prefix}_{name}" for name in names)


_NEEDS: Final = {
    "stored.prices": ("ticks",),
    "latest": ("ticks",),
    "trades": ("stored.prices",),
    "stored.width": (),
    "candles": ("stored.prices", "stored.width"),
    "feed_bars": ("ticks",),
    "depth": ("ticks",),
    "stored.moment": (),
    "option_chain": ("ticks", "instruments", "stored.moment"),
    "spikes": ("stored.prices",),
}
"""What each view and macro is made of, every one after what it needs."""

OF_THE_NEWEST_DATE: Final = frozenset(["latest", "option_chain"])
"""What has to be told the newest date."""


def needed(names: Collection[str]) -> tuple[list[str], list[str]]:
    """The stored tables that `names` come down to, and the views and macros to make, in order."""
    wanted = set(names)
    for name in reversed(_NEEDS):
        if name in wanted:
            wanted.update(_NEEDS[name])
    return [name for name in schema.TABLES if name in wanted], [name for name in _NEEDS if name in wanted]


def create(name: str, *, newest: dt.date | None, pre_open: bool) -> str:
    """The statement that makes a view or macro. `pre_open`: the market has a pre-open call auction, which does not
    belong in bars."""
    template = {
        "stored.prices": _PRICES,
        "latest": _LATEST,
        "trades": _TRADES,
        "stored.width": _WIDTH,
        "candles": _CANDLES,
        "feed_bars": _FEED_BARS,
        "depth": _DEPTH,
        "stored.moment": _MOMENT,
        "option_chain": _OPTION_CHAIN,
        "spikes": _SPIKES,
    }[name]
    return template.format(
        ticks=columns_of("ticks"),
        latest=columns_of("latest"),
        trades=columns_of("trades"),
        newest=newest or dt.date(1970, 1, 1),
        session=_SESSION if pre_open else "",
        known=", ".join(f"arg_max({name}, seq) AS {name}" for name in CHAIN_SIDE),
        calls=_last_known("call", "CE"),
        puts=_last_known("put", "PE"),
    )
