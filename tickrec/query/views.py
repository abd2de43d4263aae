"""Views: everything a query can read by its name, one entry each: what it is, its columns, and the SQL that makes it.

Owns what a bar, a spike and an option chain are; `trades` says what a trade is. Does not know files or connections.
Loads nothing heavy, so that `tickrec query --help` is fast; `catalog` gives the columns their types and makes the
statements.
"""

from typing import Final, NamedTuple, TypeAlias

from tickrec.query import bars, missing, option_chains
from tickrec.query.trades import NEEDED, PRICES, bar_at


class Column(NamedTuple):
    """A column that a view makes."""

    name: str
    type: str
    comment: str


class Parameter(NamedTuple):
    """What a macro takes: SQL that is true of a good `$text`, what any other is in words, and how to write it."""

    name: str
    test: str = ""
    what: str = ""
    hint: str = ""
    optional: bool = False
    """It may be left out, and is given by its name: `expiry := '2026-11-24'`."""


Columns: TypeAlias = tuple[str | Column, ...]
"""Columns in order; a text is the name of a column of ticks, `*` all of those that are not named."""


class Relation(NamedTuple):
    """Something a query can read: a stored table (which has no SQL here), a view, or a macro (which takes parameters).

    Names that begin with `stored.` are steps on the way, which no query can name.
    """

    name: str
    comment: str = ""
    """What it is, in a few words."""
    more: str = ""
    usage: str = ""
    """How it is written behind FROM."""
    parameters: tuple[Parameter, ...] = ()
    columns: Columns = ()
    needs: tuple[str, ...] = ()
    """The tables and views that it is made of; `stored.calendar` has the sessions of each date by the calendar, and
    `stored.last_ticks` the last rows of the newest date with ticks."""
    of_newest_date: bool = False
    """Whether it is about the newest date with ticks."""
    sql: str = ""


_WHO: Final = ("symbol", "instrument_key", "date")
_TIME: Final = "TIMESTAMP WITH TIME ZONE"
_INTERVAL: Final = "Write it as '30 seconds', '5 minutes' or '1 hour'"
_PRICE: Final = "TRY_CAST($text AS DOUBLE) IS NOT NULL"
_SPAN: Final = Parameter(
    "interval",
    "epoch_us(TRY_CAST($text AS INTERVAL)) BETWEEN 1000000 AND 86400000000",
    "no interval from 1 second to 1 day",
    _INTERVAL,
)
CANDLE: Final[Columns] = (
    *_WHO,
    Column("start", _TIME, "start of the bar; of a daily bar, the date"),
    Column("open", "DOUBLE", "first price, rupees"),
    Column("high", "DOUBLE", "highest price, rupees"),
    Column("low", "DOUBLE", "lowest price, rupees"),
    Column("close", "DOUBLE", "last price, rupees"),
    Column("volume", "BIGINT", "units traded; NULL for indices"),
    Column("vwap", "DOUBLE", "price weighted by quantity, rupees; NULL for indices"),
    Column("oi", "DOUBLE", "open interest at the end, units"),
    Column("ticks", "BIGINT", "rows of ticks the bar is made of"),
    Column("iv", "DOUBLE", "implied volatility at the end, a fraction; options only"),
)

# The SQL. `{columns}` are those of the view, `{newest}` is the newest date with ticks and `{today}` that date to the
# market, `{received}` and `{midnight}` are our clock and the beginning of the date, or the server's in a replay,
# `{now}` is the present in microseconds, `{since}` the open of a segment, `{session}` the condition on times of day.
# Those are counted in microseconds from midnight IST, 19,800 seconds before midnight UTC.

_LATEST: Final = """
CREATE OR REPLACE VIEW main.latest AS
SELECT {columns} FROM stored.last_ticks
JOIN (SELECT instrument_key, max(seq) AS seq FROM stored.last_ticks GROUP BY instrument_key) USING (instrument_key, seq)
ORDER BY symbol, instrument_key
"""

_PRICES: Final = PRICES.replace("{columns}", ", ".join((*NEEDED, "oi", "iv")))
"""Written into what asks for it: as a view it would be bound once more."""

_TRADES: Final = f"""
CREATE OR REPLACE VIEW main.trades AS
SELECT {{columns}} FROM ({PRICES.replace("{columns}", "{ticks}")}) WHERE qty > 0
"""

_SPAN_US: Final = 'epoch_us(CAST("interval" AS INTERVAL))'
_WIDTH: Final = f"""CASE WHEN {_SPAN_US} BETWEEN 1000000 AND 86400000000 THEN {_SPAN_US}
    ELSE error('candles: the interval must be from 1 second to 1 day') END"""

_CANDLES: Final = f"""
CREATE OR REPLACE MACRO main.candles("interval") AS TABLE
SELECT symbol, instrument_key, date, make_timestamptz(bar) AS start,
    arg_min(ltp, seq) AS open, max(ltp) AS high, min(ltp) AS low, arg_max(ltp, seq) AS close,
    CAST(sum(qty) AS BIGINT) AS volume, sum(ltp * qty) / sum(qty) AS vwap, arg_max(oi, seq) AS oi, count(*) AS ticks,
    arg_max(iv, seq) AS iv
FROM (
    SELECT symbol, instrument_key, date, seq, ltp, qty, oi, iv,
        {bar_at("time_of_day")} AS bar
    FROM (SELECT *, {_WIDTH} AS width FROM ({_PRICES}))
    {{session}}
)
GROUP BY symbol, instrument_key, date, bar
ORDER BY symbol, instrument_key, start
"""

PRE_OPEN_LEFT_OUT: Final = """
WHERE width = 86400000000 OR opening != 33300000000 OR time_of_day NOT BETWEEN 32400000000 AND opening - 1
"""
"""A condition that leaves the pre-open call auction, 09:00 to 09:15, out of bars. A daily candle is the exchange's: the
auction makes its open and counts in its volume."""

_FEED_BARS: Final = """
CREATE OR REPLACE VIEW main.feed_bars AS
SELECT symbol, instrument_key, date, min_ts, arg_max(min_open, seq) AS min_open, arg_max(min_high, seq) AS min_high,
    arg_max(min_low, seq) AS min_low, arg_max(min_close, seq) AS min_close, arg_max(min_volume, seq) AS min_volume
FROM main.ticks WHERE epoch_us(min_ts) >= {midnight}
GROUP BY symbol, instrument_key, date, min_ts
ORDER BY symbol, instrument_key, min_ts
"""

_DEPTH: Final = """
CREATE OR REPLACE VIEW main.depth AS
SELECT date, symbol, recv_ts, unnest(range(1, 1 + greatest(len(bid_prices), len(ask_prices)))) AS level,
    unnest(bid_prices) AS bid, unnest(bid_qtys) AS bid_qty, unnest(ask_prices) AS ask, unnest(ask_qtys) AS ask_qty,
    instrument_key, seq, conn, feed_ts
FROM main.ticks WHERE bid_prices IS NOT NULL OR ask_prices IS NOT NULL
"""

_SPIKES: Final = f"""
CREATE OR REPLACE MACRO main.spikes("window", percent) AS TABLE
SELECT symbol, instrument_key, date, seq, ltt, ltp, from_ltp, change_percent
FROM (
    SELECT *, lag(moment_ts) OVER (
            PARTITION BY date, instrument_key, symbol, change_percent > 0 ORDER BY moment_ts, seq
        ) AS beyond_before
    FROM (
        SELECT *, CASE WHEN CASE WHEN lowest > 0 THEN ltp / lowest >= highest / ltp
                                 ELSE (ltp - lowest) / abs(lowest) >= (highest - ltp) / abs(highest) END
                       THEN lowest ELSE highest END AS from_ltp,
            (ltp - from_ltp) / abs(from_ltp) * 100 AS change_percent
        FROM (
            SELECT *, min(ltp) OVER span AS lowest, max(ltp) OVER span AS highest
            FROM ({_PRICES})
            WINDOW span AS (
                PARTITION BY date, instrument_key, symbol ORDER BY moment_ts
                RANGE BETWEEN CAST("window" AS INTERVAL) PRECEDING AND CURRENT ROW
            )
        )
    )
    WHERE abs(change_percent) >= percent
)
WHERE beyond_before IS NULL OR beyond_before < moment_ts - CAST("window" AS INTERVAL)
ORDER BY moment_ts, seq
"""
"""A move is told once, by the trade that made it: another begins when for the length of the window no trade was so far
from its lowest or highest price in the same direction."""


STORED: Final = (
    Relation("ticks", "one row per instrument per message"),
    Relation("gaps", "when a connection brought nothing, and why"),
    Relation("connections", "every websocket connection"),
    Relation("subscriptions", "every key asked for, and when it answered"),
    Relation("sessions", "when each segment traded, and who says so"),
    Relation("market_status", "what the broker said about sessions"),
    Relation("rejected", "messages that could not be decoded"),
    Relation("instruments", "the broker's list: expiry, strike, lot size", "recorded or not"),
    Relation("exchange_bars", "the exchange's minute candles", "those that `tickrec backfill` has fetched"),
)
"""The tables; their columns are those of `tickrec.schema`."""

VIEWS: Final = (
    Relation("stored.moment", of_newest_date=True, sql=option_chains.MOMENT),
    Relation("stored.summary_width", sql=option_chains.WIDTH),
    Relation(
        "latest",
        "every instrument's newest row, newest date",
        columns=("date", "symbol", "ltp", "bid", "ask", "vtt", "oi", "ltt", "recv_ts", "*"),
        needs=("stored.last_ticks",),
        of_newest_date=True,
        sql=_LATEST,
    ),
    Relation(
        "trades",
        "ticks in which volume grew, with the growth",
        "trades between two messages come as one",
        columns=(
            *("date", "symbol", "ltt", "ltp"),
            Column("qty", "BIGINT", "units traded since the row before"),
            *("bid", "ask", "vtt", "oi", "recv_ts", "*"),
        ),
        needs=("ticks",),
        sql=_TRADES,
    ),
    Relation(
        "candles",
        "bars from ticks, 1 second to 1 day",
        "counted from the segment's open: 09:15, MCX and currency 09:00; daily ones with the pre-open",
        usage="candles('1 minute')",
        parameters=(_SPAN,),
        columns=CANDLE,
        needs=("ticks",),
        sql=_CANDLES,
    ),
    Relation(
        "feed_bars",
        "the broker's own minute bars",
        "one row per finished minute",
        columns=(*_WHO, "min_ts", "min_open", "min_high", "min_low", "min_close", "min_volume"),
        needs=("ticks",),
        sql=_FEED_BARS,
    ),
    Relation(
        "depth",
        "the book, one row per level",
        columns=(
            *("date", "symbol", "recv_ts"),
            Column("level", "BIGINT", "1 is the best"),
            Column("bid", "DOUBLE", "bid price of the level, rupees"),
            Column("bid_qty", "BIGINT", "quantity bid at the level, units"),
            Column("ask", "DOUBLE", "ask price of the level, rupees"),
            Column("ask_qty", "BIGINT", "quantity asked at the level, units"),
            *("instrument_key", "seq", "conn", "feed_ts"),
        ),
        needs=("ticks",),
        sql=_DEPTH,
    ),
    Relation(
        "option_chain",
        "calls and puts by strike at a moment",
        "as last known then, a time alone is of the newest date; all expiries and strikes but for "
        "expiry := '2026-11-24', lowest := 24000, highest := 24500",
        usage="option_chain('NIFTY', '10:30')",
        parameters=(
            Parameter("underlying"),
            Parameter(
                "at",
                "TRY_CAST($text AS TIMESTAMPTZ) IS NOT NULL OR TRY_CAST($text AS TIME) IS NOT NULL",
                "no moment",
                "Write it as '10:30', a time of the newest date, or as '2026-11-23 10:30:05'",
            ),
            Parameter("expiry", "TRY_CAST($text AS DATE) IS NOT NULL", "no date", "Write it as '2026-11-24'", True),
            Parameter("lowest", _PRICE, "no price", "Write it as 24000", True),
            Parameter("highest", _PRICE, "no price", "Write it as 24500", True),
        ),
        columns=(
            Column("expiry", "DATE", "last day of the contracts"),
            *(f"call_{name}" for name in option_chains.SIDE),
            Column("strike", "DOUBLE", "strike price, rupees"),
            *(f"put_{name}" for name in option_chains.SIDE[::-1]),
            Column("underlying_ltp", "DOUBLE", "last price of the underlying, if it was recorded, rupees"),
            *(f"{side}_{name}" for side in ("call", "put") for name in option_chains.MORE),
            *(
                Column(f"{side}_{name}_change", "DOUBLE", f"{side}: {name} less the first since the open")
                for side in ("call", "put")
                for name in option_chains.CHANGES
            ),
        ),
        needs=("ticks", "instruments", "stored.moment"),
        of_newest_date=True,
        sql=option_chains.CHAIN,
    ),
    Relation(
        "option_summary",
        "open interest of calls and puts, put-call ratio and max pain",
        "as last known at the end of each interval, a row an expiry; of the newest date, or of day := '2026-11-23'",
        usage="option_summary('NIFTY', '5 minutes')",
        parameters=(
            Parameter("underlying"),
            _SPAN,
            Parameter("day", "TRY_CAST($text AS DATE) IS NOT NULL", "no date", "Write it as '2026-11-23'", True),
        ),
        columns=(
            "date",
            Column("expiry", "DATE", "last day of the contracts"),
            Column("start", _TIME, "start of the interval; of a daily one, the date"),
            Column("call_oi", "DOUBLE", "open interest of all recorded calls, units"),
            Column("put_oi", "DOUBLE", "open interest of all recorded puts, units"),
            Column("put_call_ratio", "DOUBLE", "put_oi / call_oi; NULL without calls"),
            Column("max_pain", "DOUBLE", "the recorded strike at which, by their oi, all would pay least at expiry"),
            Column("strikes", "BIGINT", "how many strikes have open interest that is known"),
            Column("underlying_ltp", "DOUBLE", "last price of the underlying, if it was recorded, rupees"),
        ),
        needs=("ticks", "instruments", "stored.summary_width"),
        of_newest_date=True,
        sql=option_chains.SUMMARY,
    ),
    Relation(
        "spikes",
        "moves of so many percent within so long",
        "a row a move: the trade that made it",
        usage="spikes('1 minute', 0.5)",
        parameters=(
            Parameter("window", "epoch_us(TRY_CAST($text AS INTERVAL)) > 0", "no length of time", _INTERVAL),
            Parameter(
                "percent",
                "TRY_CAST($text AS DOUBLE) > 0",
                "no percentage above 0",
                "Write it as 0.5 or 2",
            ),
        ),
        columns=(
            *(*_WHO, "seq", "ltt", "ltp"),
            Column("from_ltp", "DOUBLE", "the price it came from: the lowest or highest within the window, rupees"),
            Column("change_percent", "DOUBLE", "the move, percent of from_ltp"),
        ),
        needs=("ticks",),
        sql=_SPIKES,
    ),
    Relation("stored.now", sql=missing.NOW),
    Relation(
        "missing",
        "what was not recorded of an instrument's session, and why",
        "the time of a session in which it could not have come; nothing of it is in ticks",
        columns=(
            *("date", "instrument_key", "symbol"),
            Column("conn", "SMALLINT", "the connection that should have brought it; 0: lost from the journal"),
            Column("start_ts", _TIME, "from when on nothing was recorded"),
            Column("end_ts", _TIME, "until when; of a day that goes on, until now at most"),
            Column("why", "VARCHAR", ", ".join(missing.WHYS)),
        ),
        needs=missing.NEEDS,
        sql=missing.MISSING,
    ),
    Relation("stored.bar_width", sql=bars.WIDTH),
    Relation(
        "bars",
        "candles, with the exchange's bars where nothing was recorded",
        "`tickrec backfill` fetches those; 1 minute to 1 day",
        usage="bars('5 minutes')",
        parameters=(
            Parameter(
                "interval",
                "epoch_us(TRY_CAST($text AS INTERVAL)) BETWEEN 60000000 AND 86400000000"
                " AND epoch_us(TRY_CAST($text AS INTERVAL)) % 60000000 = 0",
                "no interval of whole minutes up to 1 day",
                "Write it as '5 minutes' or '1 hour'",
            ),
        ),
        columns=(
            *CANDLE,
            Column("source", "VARCHAR", "ticks, or exchange: with minutes of the exchange in it, and no vwap"),
        ),
        needs=(*missing.NEEDS, "exchange_bars", "stored.bar_width"),
        sql=bars.BARS.replace("{prices}", _PRICES),
    ),
)
"""Views and macros, every one after what it needs."""

RELATIONS: Final = {
    each.name: each._replace(usage=each.usage or each.name)
    for each in (STORED[0], *VIEWS, *STORED[1:])
    if not each.name.startswith("stored.")
}
"""Everything that a query can name, in the order in which it is described."""
MACROS: Final = {name: each for name, each in RELATIONS.items() if each.parameters}
TABLES: Final = frozenset(RELATIONS) - MACROS.keys()
"""What is written without arguments."""
BY_DATE: Final = frozenset(name for name, each in RELATIONS.items() if each.needs in ((), ("ticks",)))
"""What has in its rows of a date nothing of the files of another."""
