"""Session: asks SQL of everything recorded: sealed files, parts and the journal's tail at once, also while recording.

Owns a DuckDB connection in memory over a store, and the way of a statement: checked by `sandbox`, its names bound to
the files of a `sources.Listing`, run, and run again when files were sealed away under it. Writes nothing.
"""

import atexit
import contextlib
import datetime as dt
import os
import re
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import duckdb
import pyarrow as pa

from tickrec import schema
from tickrec.config import SIMULATED
from tickrec.errors import DataError, TickrecError, UsageError, to_run
from tickrec.files import TemporaryFolder
from tickrec.query import views
from tickrec.query.attached import attach
from tickrec.query.database import MEMORY_LIMIT, check_memory, connect, lock
from tickrec.query.date_range import EVERY_DATE, DateRange, elsewhere, recorded
from tickrec.query.duckdb_errors import EXPLAIN, usage_error
from tickrec.query.forms import FORMS
from tickrec.query.interruptible import Running, Values
from tickrec.query.locations import Locations
from tickrec.query.sandbox import Statement, check
from tickrec.query.sources import Listing
from tickrec.query.stored_views import UNREADABLE, StoredViews
from tickrec.query.words import tokens
from tickrec.store.paths import Store

_HELD_BYTES: Final = 32 * 1024 * 1024
"""Of a result that are held back before the first row is handed out. Until then a query whose files were sealed away
under it starts again unseen."""
_ATTEMPTS: Final = 20
_LOOK_UP_SECONDS: Final = 10
"""That may be spent on what to say of an answer."""
_FEW_DATES: Final = 20
_LISTS_TABLES: Final = frozenset(["show", "information_schema", "pg_catalog", "duckdb_tables", "duckdb_views"])
"""Words of a statement that looks at the list of tables."""
_DATE_IN_PATH: Final = re.compile(r"/date=(\d{4}-\d{2}-\d{2})/")


def yield_to_recorder() -> None:
    """Let a query never take what a recorder wants: lower priority, and the first to go when memory is short."""
    if hasattr(os, "nice"):
        os.nice(10)
    with contextlib.suppress(OSError):  # Linux only
        Path("/proc/self/oom_score_adj").write_text("1000")


class Session:
    """A store that can be asked questions, as of the moment of each question.

    `dates` narrows every table. `memory_limit` is DuckDB's (`"2GB"`, `"50%"`). `locked` also keeps DuckDB itself from
    files outside the store, but those `attached` under a name; what `execute` runs is checked in any case. `now_ns` is
    the present, wall nanoseconds, if not that of each question. Use it as a context manager, or call `close`.
    """

    def __init__(
        self,
        store: Store,
        dates: DateRange | None = None,
        *,
        memory_limit: str | None = None,
        locked: bool = True,
        attached: Mapping[str, Path] | None = None,
        now_ns: int | None = None,
    ) -> None:
        """Raises UsageError for a memory limit that is none, and for an attached file that cannot be read."""
        self.store = store
        self._dates = dates or EVERY_DATE
        check_memory(memory_limit or MEMORY_LIMIT)
        self._spill = TemporaryFolder("asking a query")
        self._remove_spill = weakref.finalize(self, self._spill.remove)
        recorded_dates = self.dates()
        few = len(recorded_dates) <= _FEW_DATES
        limit = memory_limit or MEMORY_LIMIT
        self._connection = connect(self._spill.path, limit, few_files=few, variables=not locked)
        self._owned = self._connection.cursor()
        self._made: set[str] = set()
        """The tables, views and macros that the owner has used."""
        self._is_shared = False
        """Whether the owner has the connection, and may make or drop what they like."""
        locations = Locations(store, self._spill.path)
        self._stored_views = StoredViews(self._connection, store, locations, now_ns)
        self._attached = attached or {}
        self._files = {
            attach(self._connection, name, path, self._spill.path): path for name, path in self._attached.items()
        }
        """The attached files by the paths that DuckDB reads them by."""
        if locked:
            lock(self._connection, locations.folders(recorded_dates), self._files)
        _open.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of memory and temporary files; relations made by `sql` end too. A second call does nothing."""
        self._stored_views.close()
        self._owned.close()
        self._connection.close()
        self._remove_spill()

    def dates(self) -> list[dt.date]:
        """The recorded dates that questions are about, oldest first."""
        return [date for date in self.store.dates() if self._dates.holds(date)]

    def notice(self) -> str | None:
        """What a user should know when there is nothing to ask, or None."""
        if self.dates():
            return None
        if self.store.dates():
            return f"nothing was recorded {self._dates} in {self.store.root}. Recorded: {recorded(self.store.dates())}"
        if Store(self.store.root / SIMULATED).dates():
            return f"nothing is recorded in {self.store.root} yet; --simulate asks the simulated market's days"
        return f"nothing is recorded in {self.store.root} yet. {elsewhere(self.store.root)}"

    def look_up(self, sql: str, names: Collection[str], values: Mapping[str, object] | None = None) -> list[Any]:
        """The rows of a quick statement of our own, as tuples; otherwise as `read`."""
        return self._read(sql, names, values, _LOOK_UP_SECONDS)[1]

    def read(self, sql: str, names: Collection[str]) -> list[dict[str, Any]]:
        """The rows of a statement of our own, which is not checked, over the tables, views and macros `names`.

        It has no instants, and another name for each column. Raises as `execute` does.
        """
        columns, rows = self._read(sql, names)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def _read(
        self,
        sql: str,
        names: Collection[str],
        values: Mapping[str, object] | None = None,
        timeout: float | None = None,
    ) -> Values:
        statement = Statement(sql, frozenset(names), catalog=False, plan=False)
        for _ in range(_ATTEMPTS):
            listing = Listing(self.store, self.dates(), self._spill.path)
            if not self._prepare(statement, listing):
                continue
            rows = Running(self._connection, sql, timeout, values=values, on_close=listing.cancel)
            try:
                return rows.all()
            except duckdb.Error as error:
                if not listing.vanished():
                    raise self._failure(error, sql, listing) from None
            finally:
                rows.close()
        raise self._too_fast()

    def execute(
        self,
        sql: str,
        timeout: float | None = None,
        progress: Callable[[float], None] | None = None,
        *,
        format: str = "arrow",
    ) -> "Result":
        """Run one reading statement and return its rows, the first of them at hand.

        `timeout` is in seconds, counted until the last row was taken. `progress` is called some times a second with
        the percentage done, from the thread that takes the rows, once that takes longer than two seconds. `format` is
        what they are to be written as, one of `forms.FORMS`. Ctrl-C cancels. Raises UsageError, with the place in the
        text, for a statement that is refused or wrong or takes too long; DataError when stored data cannot be read.
        """
        statement = self._checked(sql)
        for _ in range(_ATTEMPTS):
            rows = self._start(statement, timeout, progress, format)
            if rows is not None:
                return rows
        raise self._too_fast()

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The owner's DuckDB connection: to register frames, attach databases, create views and change settings.

        All tables, views and macros are in it, as of now; `sql` renews those that were used before. Raises DataError.
        """
        self._make(views.RELATIONS)
        self._is_shared = True
        return self._owned

    def sql(self, sql: str) -> duckdb.DuckDBPyRelation:
        """A DuckDB relation over a statement: `.df()` for pandas, `.pl()` for Polars, `.to_arrow_table()`.

        The statement is not checked: it may use the owner's frames, by the names of variables or as registered with
        `connection`, and any file. Rows as Python values are `.to_arrow_table().to_pylist()`: DuckDB's own fetching
        takes instants only where the package pytz is installed. The relation is lazy, and sees what was recorded until
        the last call of `sql`. Raises as `execute` does, and DuckDB's own errors when it is used.
        """
        words = {word.strip('"').lower() for _, word in tokens(sql)}
        names = views.RELATIONS if words & _LISTS_TABLES else words & views.RELATIONS.keys()
        for _ in range(_ATTEMPTS):
            listing = self._make(names)
            try:
                return self._relation(sql)
            except duckdb.Error as error:
                if not listing.vanished():
                    raise self._failure(error, sql, listing) from None
        raise self._too_fast()

    def _relation(self, sql: str) -> duckdb.DuckDBPyRelation:
        """On a connection of its own, so that open results do not stand in the way of the next statement."""
        try:
            return self._connection.cursor().sql(sql)
        except duckdb.CatalogException:
            with contextlib.suppress(duckdb.CatalogException):  # a frame is registered with one connection only
                return self._owned.sql(sql)
            raise

    def _make(self, names: Collection[str]) -> Listing:
        """Renew tables, views and macros for the owner, and all that were used before.

        Views that the names do not come down to stay as they are, also where the owner made others of their names.
        """
        self._made.update(names)
        if self._is_shared:
            self._stored_views.forget(names)
        statement = Statement("", frozenset(self._made), catalog=False, plan=False)
        for _ in range(_ATTEMPTS):
            listing = Listing(self.store, self.dates(), self._spill.path)
            if self._prepare(statement, listing):
                return listing
        raise self._too_fast()

    def _too_fast(self) -> DataError:
        return DataError("the files of the store change too fast to be read", where=str(self.store.root))

    def _checked(self, sql: str) -> Statement:
        """The statement, when it is one that may run. Raises UsageError."""
        return check(self._connection, sql, views.TABLES | self._attached.keys(), views.MACROS)

    def _start(
        self, statement: Statement, timeout: float | None, progress: Callable[[float], None] | None, format: str
    ) -> "Result | None":
        """One attempt; None when the files have changed and it has to be made again."""
        listing = Listing(self.store, self._dates_of(statement), self._spill.path)
        if not self._prepare(statement, listing):
            return None
        form = FORMS[format]
        rows = Running(self._connection, statement.sql, timeout, progress, form=form, on_close=listing.cancel)
        try:
            rows.prefetch(_HELD_BYTES)
        except duckdb.Error as error:
            rows.close()
            if listing.vanished():
                return None
            raise self._failure(error, statement.sql, listing) from None
        except BaseException:
            rows.close()
            raise
        if rows.complete and listing.replaced():
            rows.close()
            return None
        return Result(self, statement, listing, rows, format)

    def _dates_of(self, statement: Statement) -> list[dt.date]:
        """The dates whose files a statement has to look into."""
        wanted = statement.dates if statement.names <= views.BY_DATE else EVERY_DATE
        return [date for date in self.dates() if wanted.holds(date)]

    def _prepare(self, statement: Statement, listing: Listing) -> bool:
        """Make the tables, views and macros that a statement uses. False when a file is gone and the listing old."""
        try:
            self._stored_views.bind(views.RELATIONS if statement.catalog else statement.names, listing)
        except FileNotFoundError:
            return False
        except UNREADABLE as error:
            if listing.vanished():
                return False
            if isinstance(error, duckdb.IOException) or self._names_a_file(str(error)):
                raise self._failure(error, statement.sql, listing) from None
            raise  # a mistake of ours
        return True

    def _failure(self, error: duckdb.Error, sql: str, listing: Listing) -> TickrecError:
        """What to tell of an error of DuckDB's."""
        if (lost := listing.failure()) is not None:
            return lost
        text = str(error)
        if text.startswith("Out of Memory Error"):
            return UsageError("the query needs more memory than it may take", hint="Ask for fewer dates or columns")
        if (mine := next((path for read_as, path in self._files.items() if read_as in text), None)) is not None:
            what = usage_error(error, sql).what if mine.exists() else "the file cannot be read: it is gone"
            return UsageError(what, where=str(mine))
        if text.startswith("IO Error") or self._names_a_file(text):
            date = match[1] if (match := _DATE_IN_PATH.search(text)) else "DATE"
            hint = f"{to_run('rebuild', date)} makes it anew from the journal, {to_run('verify', date)} tells more"
            return DataError(usage_error(error, sql).what, hint=hint)
        return usage_error(self._placed(error, sql), sql)

    def _names_a_file(self, text: str) -> bool:
        """Whether an error is about a file of the store."""
        return any(f"/{table}/date=" in text for table in schema.TABLES)

    def _placed(self, error: duckdb.Error, sql: str) -> duckdb.Error:
        """The same error with its place in the text, which DuckDB leaves out where it makes a relation."""
        if "\n\nLINE " in str(error):
            return error
        try:
            self._connection.cursor().execute(EXPLAIN + sql).close()
        except duckdb.Error as same:
            if str(same).startswith(str(error)):
                return same
        return error


_open: Final[weakref.WeakSet[Session]] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """What a notebook leaves open would make DuckDB complain when Python ends."""
    for session in list(_open):
        session.close()


class Result:
    """The rows of a query, handed out once, in batches. It ends when all are taken, when closed, and when dropped."""

    def __init__(self, session: Session, statement: Statement, listing: Listing, rows: Running, format: str) -> None:
        self.plan = statement.plan
        """The rows are a plan (EXPLAIN): text."""
        self.format = format
        """What they are to be written as."""
        self.columns = rows.columns
        """The columns as the statement made them."""
        self.store_root = session.store.root
        self.statement = statement
        self._session = session
        self._listing = listing
        self._rows = rows
        self._settled = rows.complete
        """All rows are at hand, and were looked at: what happens to the files is nothing to them."""
        weakref.finalize(self, rows.close)

    @property
    def schema(self) -> pa.Schema:
        """The columns of the batches, under names that are all different.

        Of format arrow and parquet they are those of the statement; times are instants, shown in Asia/Kolkata.
        """
        return self._rows.schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows.

        Raises UsageError when the statement fails or the time is up. Raises DataError when files were sealed away
        after the first rows had been handed out: those are right, but they are not all.
        """
        try:
            yield from self._rows
            if self._settled or not self._listing.replaced():
                return
        except duckdb.Error as error:
            if not self._listing.vanished():
                raise self._session._failure(error, self.statement.sql, self._listing) from None
        finally:
            self._rows.close()
        raise DataError("a date was sealed while the query read it: the answer is not whole", hint="Ask again")

    def close(self) -> None:
        """Cancel what is still running."""
        self._rows.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
