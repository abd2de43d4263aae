"""Stored views: let the names in a statement stand for files and journal tails, on one DuckDB connection.

Owns the views that DuckDB reads through: one a stored table, over what a `Listing` found, and those of the catalog over
them. Does not run the statement. What is made is out of a query's sight in the schema `stored`, but for the names that
a query may use.
"""

import datetime as dt
import functools
from collections.abc import Collection
from typing import Final, TypeAlias

import duckdb

from tickrec import schema
from tickrec.clock import SystemClock
from tickrec.config import SIMULATED
from tickrec.query import catalog
from tickrec.query.duckdb_errors import usage_error
from tickrec.query.locations import Locations
from tickrec.query.replay_date import replayed_date
from tickrec.query.sources import Listing, Mark, Source, mark, union
from tickrec.query.views import VIEWS
from tickrec.store.paths import Store

UNREADABLE: Final = (duckdb.IOException, duckdb.InvalidInputException)
"""What DuckDB says of a file that is gone, or is no Parquet."""
Bound: TypeAlias = list[tuple[Source, list[Mark | None]]]
"""Sources of a view, and what tells their files from others."""


class StoredViews:
    """The tables, views and macros of a connection. `now_ns` is the present, if not that of each statement."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, store: Store, locations: Locations, now_ns: int | None
    ) -> None:
        self._connection = connection
        self._store = store
        self._locations = locations
        self._now_ns = now_ns
        self._made: dict[str, str] = {}
        """The statements that made the views and macros that there are."""
        self._bound: dict[str, Bound] = {}
        """What the tables stand for."""
        self._real = store.root.name != SIMULATED
        """The simulated market is always open: it has no call auction, and no calendar."""
        self._stored = connection.cursor()
        """A connection whose tables are made in the schema `stored`."""
        self._stored.execute("SET schema = 'stored'")

    def close(self) -> None:
        """Let go of the second connection."""
        self._stored.close()

    def forget(self, names: Collection[str]) -> None:
        """Make all tables, these views, and what they are made of, anew when they are asked for: somebody else may have
        made others of their names."""
        self._bound.clear()
        for name in catalog.needed(names):
            self._made.pop(name, None)

    def bind(self, names: Collection[str], listing: Listing) -> None:
        """Make the tables, views and macros that `names` come down to. Raises duckdb.Error, DataError,
        FileNotFoundError.

        A view is made while the tables that it needs are still empty: it is bound when it is made, and hundreds of
        files make that slow. One that is there, and would be the same again, stays.
        """
        wanted = catalog.needed(names)
        tables = [table for table in schema.TABLES if table in wanted]
        views = [view for view in VIEWS if view.name in wanted]
        newest = listing.newest() if any(view.of_newest_date for view in views) else None
        now_ns = SystemClock.wall_ns() if self._now_ns is None else self._now_ns
        replayed = replayed_date(self._store) if views and self._real else None
        texts = {
            view.name: catalog.statement(view, newest=newest, now_ns=now_ns, pre_open=self._real, replayed=replayed)
            for view in views
        }
        changed = {name: text for name, text in texts.items() if self._made.get(name) != text}
        for table in {each for view in views if view.name in changed for each in view.needs if each in schema.TABLES}:
            self._empty(table)
        if "stored.calendar" in wanted:
            from tickrec.query.calendar_sessions import sessions_by_calendar

            rows = sessions_by_calendar(self._store, listing.dates if self._real else ())
            self._stored.from_arrow(rows).create_view("calendar", replace=True)
        if "stored.last_ticks" in wanted:
            self._bind_last_ticks(newest, listing)
        for name, text in changed.items():
            self._connection.execute(text)
            self._made[name] = text
        for table in tables:
            self._bind_table(table, listing)

    def _empty(self, table: str) -> None:
        """Let a table stand for no rows."""
        if self._bound.get(table) == []:
            return
        columns = ", ".join(f"{name} {catalog.duckdb_type(table, name)}" for name in schema.TABLES[table].names)
        self._connection.execute(f'CREATE TABLE IF NOT EXISTS stored."no {table}" (date DATE, {columns})')
        # DuckDB sees that `WHERE false` is empty, and leaves out all that is only made to be joined with it.
        self._connection.execute(f'CREATE OR REPLACE VIEW {table} AS FROM stored."no {table}" WHERE false')
        self._bound[table] = []

    def _bind_last_ticks(self, date: dt.date | None, listing: Listing) -> None:
        """Let `stored.last_ticks` stand for rows of ticks of a date among which are the last of every instrument."""
        none = Source(date=dt.date.min, rows=schema.TICKS.empty_table())
        sources = [none] if date is None else listing.last_sources(date)
        self._bind("ticks", "stored.last_ticks", listing, sources)

    def _bind_table(self, table: str, listing: Listing) -> None:
        """Let a table stand for its files and tails."""
        if sources := listing.sources(table):
            self._bind(table, table, listing, sources)
        else:
            self._empty(table)

    def _bind(self, table: str, view: str, listing: Listing, sources: list[Source]) -> None:
        """Let a view stand for sources of a table. One that does, and whose files are the same, stays as it is."""
        try:
            self._bind_sources(table, view, sources)
        except UNREADABLE:  # DuckDB looks into the first file, whatever the dates that are asked for
            if listing.vanished():
                raise
            self._bind_sources(table, view, listing.without_damaged(table, sources, self._damage))

    def _bind_sources(self, table: str, view: str, sources: list[Source]) -> None:
        named = [source._replace(name=f"rows {number} of {view}") for number, source in enumerate(sources)]
        for source in named:
            if source.rows is not None:
                self._stored.from_arrow(source.rows).create_view(source.name, replace=True)
        bound = [(source._replace(rows=None), [*map(mark, source.files)]) for source in named]
        if self._bound.get(view) != bound:
            select = union(table, named, functools.cache(self._columns_of), self._locations.path)
            self._connection.execute(f"CREATE OR REPLACE VIEW {view} AS {select}")
            self._bound[view] = bound

    def _damage(self, path: str) -> str | None:
        """Why a Parquet file cannot be read, if so."""
        try:
            self._columns_of(path)
        except UNREADABLE as error:
            return usage_error(error, "").what
        return None

    def _columns_of(self, path: str) -> frozenset[str]:
        """The columns of a Parquet file."""
        rows = self._connection.execute("SELECT name FROM parquet_schema(?)", [self._locations.path(path)]).fetchall()
        return frozenset(name for (name,) in rows)
