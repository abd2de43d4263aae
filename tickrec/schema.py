"""Schema: the Arrow schemas of every table, with the unit and origin of each column.

Prices are rupees, quantities are units, times are instants stored in UTC. NULL: not sent. 0: sent as zero, or left
at proto3's zero. `date` is the partition (`date=2026-11-23/`) and not a column of the Parquet files; in the DuckDB
day file it is a real column. Columns are only ever added, each addition raising SCHEMA_VERSION.
"""

from typing import Final

import pyarrow as pa

SCHEMA_VERSION: Final = 2

_US = pa.timestamp("us", tz="UTC")
_MS = pa.timestamp("ms", tz="UTC")
_PRICES = pa.list_(pa.float64())
_QTYS = pa.list_(pa.int64())


def _schema(*columns: tuple[str, pa.DataType, str]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, metadata={"comment": comment}) for name, kind, comment in columns])


def _bar(prefix: str, what: str) -> list[tuple[str, pa.DataType, str]]:
    return [
        (f"{prefix}_open", pa.float64(), f"{what}: open, rupees"),
        (f"{prefix}_high", pa.float64(), f"{what}: high, rupees"),
        (f"{prefix}_low", pa.float64(), f"{what}: low, rupees"),
        (f"{prefix}_close", pa.float64(), f"{what}: close, rupees"),
        (f"{prefix}_volume", pa.int64(), f"{what}: volume, units"),
        (f"{prefix}_ts", _MS, f"{what}: start of the bar"),
    ]


TICKS: Final = _schema(
    ("seq", pa.int64(), "journal sequence of the message; (seq, instrument_key) is unique within a date"),
    ("conn", pa.int16(), "which connection, from 1"),
    ("recv_ts", _US, "our clock when the message was read from the socket"),
    ("feed_ts", _MS, "the server's clock when it made the message (currentTs)"),
    ("instrument_key", pa.string(), "the broker's key, such as NSE_EQ|INE002A01018"),
    ("symbol", pa.string(), "trading symbol as subscribed; NULL if unknown"),
    ("mode", pa.string(), "ltpc, full_d5, option_greeks or full_d30"),
    ("snapshot", pa.bool_(), "part of the first answer to a subscription, not an event"),
    ("ltp", pa.float64(), "last traded price, rupees"),
    ("ltt", _MS, "last trade time; NULL when there was none"),
    ("ltq", pa.int64(), "quantity of the last trade, units"),
    ("cp", pa.float64(), "previous close, rupees"),
    ("ltpc_iep", pa.float64(), "indicative equilibrium price beside the last price, rupees; call auctions only"),
    ("bid", pa.float64(), "best bid, rupees"),
    ("bid_qty", pa.int64(), "quantity at the best bid, units"),
    ("ask", pa.float64(), "best ask, rupees"),
    ("ask_qty", pa.int64(), "quantity at the best ask, units"),
    ("bid_prices", _PRICES, "bid prices of all levels, best first, rupees"),
    ("bid_qtys", _QTYS, "bid quantities of all levels, units"),
    ("ask_prices", _PRICES, "ask prices of all levels, best first, rupees"),
    ("ask_qtys", _QTYS, "ask quantities of all levels, units"),
    ("atp", pa.float64(), "average traded price of the day, rupees"),
    ("vtt", pa.int64(), "volume traded today, units"),
    ("oi", pa.float64(), "open interest, units"),
    ("iv", pa.float64(), "implied volatility, a fraction: 0.13 is 13 %"),
    ("tbq", pa.float64(), "total pending buy quantity over all levels, units"),
    ("tsq", pa.float64(), "total pending sell quantity over all levels, units"),
    ("iep", pa.float64(), "indicative equilibrium price, rupees; 0 outside call auctions"),
    ("rp", pa.float64(), "reference price of the auction band, rupees"),
    ("ieq", pa.int64(), "quantity executable at iep, units"),
    ("iiq_total", pa.int64(), "net unmatched quantity at iep, units; positive is buy excess"),
    ("iiq_m", pa.int64(), "part of the imbalance from market orders, units"),
    ("cas_eligible", pa.bool_(), "takes part in the closing call auction"),
    ("delta", pa.float64(), "option greek, per share"),
    ("theta", pa.float64(), "option greek, per share and day"),
    ("gamma", pa.float64(), "option greek, per share"),
    ("vega", pa.float64(), "option greek, per share and volatility point"),
    ("rho", pa.float64(), "option greek, per share"),
    *_bar("day", "the day so far (1d)"),
    *_bar("min", "the last completed minute (I1)"),
)

GAPS: Final = _schema(
    ("seq", pa.int64(), "journal sequence of the entry that ended the gap"),
    ("conn", pa.int16(), "which connection"),
    ("start_ts", _US, "receive time of the last message before"),
    ("end_ts", _US, "receive time of the first data after; NULL while the gap lasts"),
    ("reason", pa.string(), "why nothing was recorded"),
    ("keys", pa.int64(), "instruments of that connection"),
)

CONNECTIONS: Final = _schema(
    ("seq", pa.int64(), "journal sequence of the entry that ended the connection"),
    ("conn", pa.int16(), "which connection"),
    ("opened_ts", _US, "when the websocket was open"),
    ("closed_ts", _US, "when it ended; NULL while it lives"),
    ("close_code", pa.int32(), "websocket close code; 1006: no close frame; NULL while it lives"),
    ("reason", pa.string(), "why it ended"),
    ("messages", pa.int64(), "messages received"),
    ("keys", pa.int64(), "instruments asked for"),
)

SUBSCRIPTIONS: Final = _schema(
    ("seq", pa.int64(), "journal sequence of the entry that settled the subscription"),
    ("conn", pa.int16(), "which connection"),
    ("instrument_key", pa.string(), "the broker's key"),
    ("symbol", pa.string(), "trading symbol"),
    ("mode", pa.string(), "requested mode: ltpc, option_greeks, full or full_d30"),
    ("asked_ts", _US, "when it was first asked for on this connection; NULL: that was never opened"),
    ("answered_ts", _US, "receive time of the first data; NULL: silent"),
    ("followed", pa.bool_(), "asked for because the money moved; NULL where an earlier version recorded it"),
)

MARKET_STATUS: Final = _schema(
    ("seq", pa.int64(), "journal sequence of the message"),
    ("recv_ts", _US, "our clock when the message was read from the socket"),
    ("feed_ts", _MS, "the server's clock when it made the message"),
    ("kind", pa.string(), "segment, cas or preopen"),
    ("segment", pa.string(), "exchange segment, such as NSE_EQ"),
    ("status", pa.string(), "the broker's word, such as NORMAL_OPEN"),
    ("updated_ts", _MS, "when the status changed; NULL for kind segment"),
)

REJECTED: Final = _schema(
    ("seq", pa.int64(), "journal sequence of the message"),
    ("recv_ts", _US, "our clock when the message was read from the socket"),
    ("size", pa.int64(), "bytes"),
    ("error", pa.string(), "why it could not be decoded; its bytes stay in the journal"),
)

SESSIONS: Final = _schema(
    ("seq", pa.int64(), "journal sequence of the entry that says so; of a segment those with the highest count"),
    ("segment", pa.string(), "exchange segment, such as NSE_EQ"),
    ("start_ts", _US, "when continuous trading begins"),
    ("end_ts", _US, "when it ends"),
    ("source", pa.string(), "who says so: timings or holidays (the broker), feed, built-in or assumed"),
)

INSTRUMENTS: Final = _schema(
    ("instrument_key", pa.string(), "the broker's key; F&O keys are reused after expiry"),
    ("segment", pa.string(), "exchange segment, such as NSE_FO"),
    ("exchange", pa.string(), "NSE, BSE, MCX or GLOBAL"),
    ("symbol", pa.string(), "trading symbol"),
    ("name", pa.string(), "name of the company, index or commodity"),
    ("instrument_type", pa.string(), "EQ and other series, FUT, CE, PE, INDEX"),
    ("expiry", pa.date32(), "last day of the contract, IST"),
    ("strike", pa.float64(), "strike price, rupees; options only"),
    ("lot_size", pa.int64(), "units in a lot"),
    ("tick_size", pa.float64(), "smallest price step, rupees"),
    ("underlying_key", pa.string(), "key of the underlying"),
    ("underlying_symbol", pa.string(), "symbol of the underlying"),
    ("underlying_type", pa.string(), "EQUITY, INDEX, COM, CUR or IRD"),
    ("isin", pa.string(), "ISIN of an equity"),
    ("exchange_token", pa.string(), "the exchange's own number"),
    ("freeze_quantity", pa.float64(), "largest order, units"),
    ("qty_multiplier", pa.float64(), "units a quantity of one stands for"),
    ("weekly", pa.bool_(), "a weekly contract"),
    ("cas_eligible", pa.bool_(), "takes part in the closing call auction"),
    ("security_type", pa.string(), "NORMAL, SME, RELIST, PCA or IPO"),
    ("short_name", pa.string(), "short name"),
)

EXCHANGE_BARS: Final = _schema(
    ("instrument_key", pa.string(), "the broker's key"),
    ("symbol", pa.string(), "trading symbol as recorded; NULL if unknown"),
    ("start_ts", _MS, "start of the minute"),
    ("open", pa.float64(), "first price, rupees"),
    ("high", pa.float64(), "highest price, rupees"),
    ("low", pa.float64(), "lowest price, rupees"),
    ("close", pa.float64(), "last price, rupees"),
    ("volume", pa.int64(), "units traded"),
    ("oi", pa.float64(), "open interest, units"),
    ("source", pa.string(), "historical, or intraday: as served on the day itself"),
    ("fetched_ts", _US, "when the broker was asked for it"),
)

SMALL_TABLES: Final = {
    "gaps": GAPS,
    "connections": CONNECTIONS,
    "subscriptions": SUBSCRIPTIONS,
    "market_status": MARKET_STATUS,
    "rejected": REJECTED,
    "sessions": SESSIONS,
}
"""The tables derived from the journal beside `ticks`, by name."""

SOURCE_TABLES: Final = {"instruments": INSTRUMENTS, "exchange_bars": EXCHANGE_BARS}
"""What the broker was asked for beside the feed: one file a date, which no journal has and nothing makes anew."""

LATER_TABLES: Final = frozenset({"sessions", "exchange_bars"})
"""Those that a date sealed by an earlier version does not have."""

TABLES: Final = {"ticks": TICKS, **SMALL_TABLES, **SOURCE_TABLES}
"""Every stored table by name, without its partition column `date`."""

_DUCKDB: Final = {
    pa.bool_(): "BOOLEAN",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.date32(): "DATE",
}


def duckdb_type(kind: pa.DataType) -> str:
    """DuckDB's name for the type of a column of these tables."""
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP WITH TIME ZONE"
    if pa.types.is_list(kind):
        return duckdb_type(kind.value_type) + "[]"
    return _DUCKDB[kind]
