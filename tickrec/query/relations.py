"""What can be asked: the tables, views and macros of a query with their columns, types and units.

Owns their description, for people (`tickrec query --tables`) and for whoever checks a name. Does not know how they
are made.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from tickrec import schema
from tickrec.query.examples import ASKED
from tickrec.query.sandbox import Macro
from tickrec.query.sources import duckdb_type


class Column(NamedTuple):
    """A column as it is described."""

    name: str
    type: str
    comment: str


class Relation(NamedTuple):
    """Something a query can read: a table, a view or a table macro."""

    name: str
    usage: str
    """How it is written behind FROM."""
    comment: str
    more: str
    columns: tuple[Column, ...]


_DATE: Final = Column("date", "DATE", "trading date, IST")
_TIME: Final = "TIMESTAMP WITH TIME ZONE"


def _stored(table: str) -> tuple[Column, ...]:
    fields = schema.TABLES[table]
    return (_DATE, *(Column(f.name, duckdb_type(table, f.name), f.metadata[b"comment"].decode()) for f in fields))


_TICKS: Final = {column.name: column for column in _stored("ticks")}


def _of_ticks(*names: str) -> tuple[Column, ...]:
    return tuple(_TICKS[name] for name in names)


def _ticks_from(*first: str | Column) -> tuple[Column, ...]:
    """All columns of ticks and others, some of them first."""
    ahead = tuple(_TICKS[each] if isinstance(each, str) else each for each in first)
    return (*ahead, *(column for column in _TICKS.values() if column not in ahead))


_WHO: Final = _of_ticks("symbol", "instrument_key", "date")
CHAIN_SIDE: Final = ("oi", "vtt", "iv", "delta", "bid", "ask", "ltp")
"""What an option chain shows of a call, from the outside in; of a put, the other way round."""


def _side(what: str) -> tuple[Column, ...]:
    names = CHAIN_SIDE if what == "call" else CHAIN_SIDE[::-1]
    return tuple(Column(f"{what}_{name}", _TICKS[name].type, f"{what}: {_TICKS[name].comment}") for name in names)


_COLUMNS: Final = {
    "ticks": _stored("ticks"),
    "latest": _ticks_from("date", "symbol", "ltp", "bid", "ask", "vtt", "oi", "ltt", "recv_ts"),
    "trades": _ticks_from(
        "date",
        "symbol",
        "ltt",
        "ltp",
        Column("qty", "BIGINT", "units traded since the row before"),
        *("bid", "ask", "vtt", "oi", "recv_ts"),
    ),
    "candles": (
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
    ),
    "feed_bars": (*_WHO, *_of_ticks("min_ts", "min_open", "min_high", "min_low", "min_close", "min_volume")),
    "depth": (
        *_of_ticks("date", "symbol", "recv_ts"),
        Column("level", "BIGINT", "1 is the best"),
        Column("bid", "DOUBLE", "bid price of the level, rupees"),
        Column("bid_qty", "BIGINT", "quantity bid at the level, units"),
        Column("ask", "DOUBLE", "ask price of the level, rupees"),
        Column("ask_qty", "BIGINT", "quantity asked at the level, units"),
        *_of_ticks("instrument_key", "seq", "conn", "feed_ts"),
    ),
    "option_chain": (
        Column("expiry", "DATE", "last day of the contracts"),
        *_side("call"),
        Column("strike", "DOUBLE", "strike price, rupees"),
        *_side("put"),
        Column("underlying_ltp", "DOUBLE", "last price of the underlying, if it was recorded, rupees"),
    ),
    "spikes": (
        *_WHO,
        *_of_ticks("seq", "ltt", "ltp"),
        Column("from_ltp", "DOUBLE", "the price it came from: the lowest or highest within the window, rupees"),
        Column("change_percent", "DOUBLE", "the move, percent of from_ltp"),
    ),
    **{name: _stored(name) for name in schema.TABLES if name != "ticks"},
}

RELATIONS: Final = {name: Relation(name, *said, _COLUMNS[name]) for name, said in ASKED.items()}
"""Everything a query can read by its name, in the order in which it is described."""
_PARAMETERS: Final = {
    "candles": ("interval",),
    "option_chain": ("underlying", "at"),
    "spikes": ("window", "percent"),
}
MACROS: Final = {name: Macro(RELATIONS[name].usage, parameters) for name, parameters in _PARAMETERS.items()}
TABLES: Final = frozenset(RELATIONS) - MACROS.keys()
"""What is written without arguments."""


def columns_of(name: str) -> str:
    """The columns of a view in order, as SQL."""
    return ", ".join(column.name for column in _COLUMNS[name])


def describe() -> str:
    """The tables, views and macros with their columns, one line each, for `tickrec query --tables`."""
    return "\n\n".join("\n".join([_title(each), *_lines(each)]) for each in RELATIONS.values())


def _title(relation: Relation) -> str:
    return f"{relation.usage}: {relation.comment}" + f"; {relation.more}" * bool(relation.more)


def _lines(relation: Relation) -> Iterator[str]:
    columns = relation.columns
    if relation.name != "ticks" and _TICKS.keys() <= {column.name for column in columns}:
        yield "    all columns of ticks, symbol and prices first"
        columns = tuple(column for column in columns if column.name not in _TICKS)
    for column in columns:
        yield f"    {column.name:<16} {column.type.replace(_TIME, 'TIMESTAMPTZ'):<12} {column.comment}"
