"""Catalog: the tables, views and macros with the types and units of their columns, and the statements that make them.

Owns the description of `tickrec query --tables`, and what is to be made for a query, in which order. Does not know
files or connections.
"""

import datetime as dt
import functools
from collections.abc import Collection, Iterator
from typing import Final

from tickrec import schema
from tickrec.query.option_chains import MORE, SIDE
from tickrec.query.trades import OPENING
from tickrec.query.views import PRE_OPEN_LEFT_OUT, RELATIONS, VIEWS, Column, Relation

_TIME: Final = "TIMESTAMP WITH TIME ZONE"
_DATE: Final = Column("date", "DATE", "trading date, IST")
_EPOCH: Final = dt.date(1970, 1, 1)


def duckdb_type(table: str, column: str) -> str:
    """DuckDB's name for the type of a stored column."""
    return schema.duckdb_type(schema.TABLES[table].field(column).type)


@functools.cache
def _stored(table: str) -> tuple[Column, ...]:
    fields = schema.TABLES[table]
    return (_DATE, *(Column(f.name, duckdb_type(table, f.name), f.metadata[b"comment"].decode()) for f in fields))


_TICKS: Final = {column.name: column for column in _stored("ticks")}
_SIDES: Final = {
    f"{side}_{name}": Column(f"{side}_{name}", _TICKS[name].type, f"{side}: {_TICKS[name].comment}")
    for side in ("call", "put")
    for name in (*SIDE, *MORE)
}


def columns(relation: Relation) -> tuple[Column, ...]:
    """The columns of a table, view or macro, in order."""
    if not relation.sql:
        return _stored(relation.name)
    known = _TICKS | _SIDES
    named = [known[each] if isinstance(each, str) else each for each in relation.columns if each != "*"]
    rest = [column for column in _TICKS.values() if column not in named] if "*" in relation.columns else []
    return (*named, *rest)


@functools.cache
def names(relation: Relation) -> str:
    """The names of the columns in order, as SQL."""
    return ", ".join(column.name for column in columns(relation))


# What a query needs


def needed(used: Collection[str]) -> set[str]:
    """The names of the stored tables, views and macros that the names `used` come down to."""
    wanted = set(used)
    for view in reversed(VIEWS):
        if view.name in wanted:
            wanted.update(view.needs)
    return wanted


def statement(
    view: Relation, *, newest: dt.date | None, now_ns: int, pre_open: bool, replayed: dt.date | None = None
) -> str:
    """The SQL that makes a view or macro.

    `newest` is the newest date with ticks, `now_ns` the present, wall nanoseconds. `pre_open`: the market has a
    pre-open call auction, which does not belong in bars. `replayed`: the ticks are a replay of that date, of which
    the server's clock is the only one.
    """
    newest = newest or _EPOCH
    midnight, received, dated = "epoch_us(date) - 19800000000", "epoch_us(recv_ts)", 'CAST(stored.moment("at") AS DATE)'
    if replayed is not None:
        midnight = "(epoch_us(feed_ts) + 19800000000) // 86400000000 * 86400000000 - 19800000000"
        received, dated = "epoch_us(feed_ts)", f"DATE '{newest}'"
    return view.sql.format(
        ticks=names(RELATIONS["ticks"]),
        columns=names(view),
        midnight=midnight,
        received=received,
        newest=newest,
        today=replayed or newest,
        dated=dated,
        now=now_ns // 1000,
        session=PRE_OPEN_LEFT_OUT if pre_open else "",
        since=OPENING if pre_open else "0",
    )


# What people are told


def describe() -> str:
    """The tables, views and macros with their columns, one line each, for `tickrec query --tables`."""
    return "\n\n".join("\n".join([_title(each), *_lines(each)]) for each in RELATIONS.values())


def _title(relation: Relation) -> str:
    return f"{relation.usage}: {relation.comment}" + f"; {relation.more}" * bool(relation.more)


def _lines(relation: Relation) -> Iterator[str]:
    found = columns(relation)
    if "*" in relation.columns:
        yield "    all columns of ticks, symbol and prices first"
        found = tuple(column for column in found if column.name not in _TICKS)
    for column in found:
        yield f"    {column.name:<16} {column.type.replace(_TIME, 'TIMESTAMPTZ'):<12} {column.comment}"
