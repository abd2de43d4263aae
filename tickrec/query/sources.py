"""What a query reads: at one moment, the files and the journal tails that together hold each table once.

Owns the choice of files by date and table, and the SQL that unites them. A date whose sealed file is all there is
costs two listings of folders; a date that goes on costs a look at what its files cover, and its tail is read from the
journal only when a query really scans it. The tail is read after the files were listed, from the first entry that
none of them covers, so no row comes twice and none is missing. Does not know DuckDB: it writes SQL and offers Arrow.
"""

import contextlib
import datetime as dt
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import pyarrow as pa

from tickrec import schema
from tickrec.errors import DataError, TickrecError, to_run
from tickrec.query.unflushed import LostTable, Unflushed, UnflushedTable
from tickrec.store.last_rows import from_text
from tickrec.store.parquet import opened
from tickrec.store.paths import Store

if TYPE_CHECKING:
    from tickrec.store.coverage import Coverage

_MANIFEST_HEAD: Final = 4096
"""Bytes of a manifest in which its schema version is looked for before the whole is read."""
_VERSION: Final = re.compile(rb'"schema_version"\s*:\s*(\d+)')


Rows: TypeAlias = UnflushedTable | LostTable | pa.Table
Mark: TypeAlias = tuple[int, int]


class Source(NamedTuple):
    """Rows of one table: Parquet files, or rows of one date that DuckDB scans under a name.

    `below` leaves out rows of a file that another source brings: only those with seq <= `below` count. `version` is
    the schema version the files were written with, None where it has to be looked up in them.
    """

    files: tuple[str, ...] = ()
    version: int | None = schema.SCHEMA_VERSION
    below: int | None = None
    date: dt.date | None = None
    rows: Rows | None = None
    name: str = ""
    """Of the rows in the schema `stored`, once they are there."""


class Listing:
    """The files and tails of some dates, listed once; a table's files are chosen when the table is asked for.

    What cannot be read, or is gone, fails whoever needs its rows, and nobody else.
    """

    def __init__(self, store: Store, dates: Sequence[dt.date], scratch: Path) -> None:
        """`scratch` is a folder for rows of the journal that do not fit in memory."""
        self.dates = tuple(dates)
        self.unflushed: dict[dt.date, Unflushed] = {}
        """By date, oldest first: the dates that go on."""
        self._store = store
        self._covered: dict[dt.date, Coverage] = {}
        self._sealed: dict[str, Mark | None] = {}
        self._parts: set[str] = set()
        self._unreadable: dict[dt.date, DataError] = {}
        self._lost: list[LostTable] = []
        self._last: dict[dt.date, pa.Table | None] = {}
        for date in dates:
            if not store.settled(date):
                from tickrec.store.coverage import coverage  # what reads a journal is loaded for a date that goes on

                try:
                    self._covered[date] = coverage(store, date)
                    self.unflushed[date] = Unflushed(store, self._covered[date], scratch)
                except DataError as error:
                    self._unreadable[date] = error

    def failure(self) -> TickrecError | None:
        """Why rows that were asked for could not be had, if that happened."""
        read: list[Unflushed | LostTable] = [*self.unflushed.values(), *self._lost]
        return next((each.failure for each in read if each.failure is not None), None)

    def cancel(self) -> None:
        """Let whoever reads the journal for these rows stop soon."""
        for unflushed in self.unflushed.values():
            unflushed.cancel()

    def sources(self, table: str) -> list[Source]:
        """Where the rows of a table are, oldest date first."""
        return _joined([source for date in self.dates for source in self._of_date(table, date)])

    def last_sources(self, date: dt.date) -> list[Source]:
        """Where the last tick of every instrument of a date is, with no more others than the footers say it takes.

        Raises UnreadableFile, FileNotFoundError.
        """
        sealed = str(self._store.sealed_path("ticks", date))
        found: list[Source] = []
        for source in self._of_date("ticks", date):
            if source.files == (sealed,) and (rows := self._last_rows(date)) is not None:
                found.append(Source(below=source.below, date=date, rows=rows))
            elif source.files and source.files != (sealed,):
                files = tuple(map(str, self._covered[date].parts_with_last()))
                found += [source._replace(files=files)] if files else []
            else:
                found.append(source)
        return found

    def _of_date(self, table: str, date: dt.date) -> list[Source]:
        path = f"{self._store.root}/{table}/date={date}/{table}.parquet"
        if table in schema.SOURCE_TABLES:
            return self._files([path], date)
        if date in self._unreadable:
            return [self._lost_rows(table, date, self._unreadable[date])]
        if date in self._covered:
            return list(self._growing(table, date, self._covered[date]))
        return self._files([path], date) or self._gone(table, date, path)

    def without_damaged(
        self, table: str, sources: Iterable[Source], damage: Callable[[str], str | None]
    ) -> list[Source]:
        """The same sources, but for files of which `damage` says why they cannot be read: only who asks for their
        dates is told."""
        found: list[Source] = []
        for source in sources:
            why = {path: damage(path) for path in source.files}
            files = tuple(path for path in source.files if why[path] is None)
            found += [source._replace(files=files)] if files or source.date else []
            found += [self._damaged(table, path, text) for path, text in why.items() if text is not None]
        return found

    def _damaged(self, table: str, path: str, why: str) -> Source:
        date = next(date for date in self.dates if f"/date={date}/" in path.replace("\\", "/"))
        hint = f"{to_run('rebuild', date)} makes it anew from the journal"
        if table == "instruments":
            hint = "It is the broker's list of that day, which nothing makes anew; without it the rest is answered"
        elif table == "exchange_bars":
            hint = f"{to_run('backfill', date)} asks the broker for what it held again"
        return self._lost_rows(table, date, DataError(f"a Parquet file cannot be read: {why}", where=path, hint=hint))

    def _gone(self, table: str, date: dt.date, path: str) -> list[Source]:
        """What stands for a file that should be there; nothing for a table that is younger than the date."""
        rows = _manifest(self._store, date).get("rows")
        if isinstance(rows, dict) and table not in rows:
            return []
        return [self._lost_rows(table, date, _is_gone(date, path))]

    def _lost_rows(self, table: str, date: dt.date, error: DataError) -> Source:
        self._lost.append(LostTable(error, table))
        return Source(date=date, rows=self._lost[-1])

    def _growing(self, table: str, date: dt.date, covered: "Coverage") -> Iterator[Source]:
        """The sources of a date that may still be recorded."""
        if covered.sealed is not None:
            sealed = str(covered.sealed if table == "ticks" else self._store.sealed_path(table, date))
            yield from self._files([sealed], date, covered.sealed_last) or self._gone(table, date, sealed)
        paths = [part.path for part in covered.parts] if table == "ticks" else covered.small_parts.get(table, ())
        if paths:
            files = tuple(map(str, paths))
            self._parts.update(files)
            yield Source(files, version=None)
        yield Source(date=date, rows=UnflushedTable(self.unflushed[date], table))

    def _files(self, paths: Iterable[str], date: dt.date, below: int | None = None) -> list[Source]:
        for path in paths:
            self._sealed[path] = mark(path)
        return [Source((path,), _version(self._store, date), below) for path in paths if self._sealed[path]]

    def newest(self) -> dt.date | None:
        """The newest date with a tick. Raises DataError when that cannot be told; FileNotFoundError."""
        return next((date for date in reversed(self.dates) if self._has_ticks(date)), None)

    def _has_ticks(self, date: dt.date) -> bool:
        if date in self._unreadable:
            raise self._unreadable[date]
        covered = self._covered.get(date)
        if covered is not None and (covered.last_in or any(map(_rows, covered.parts_with_last()))):
            return True
        if covered is None or covered.sealed:
            last = self._last_rows(date)
            if last.num_rows if last is not None else _rows(self._store.sealed_path("ticks", date)):
                return True
        return covered is not None and self.unflushed[date].has_ticks()

    def _last_rows(self, date: dt.date) -> pa.Table | None:
        """The last rows that the footer of a sealed file holds; None when its version put none there."""
        if date not in self._last:
            from tickrec.store.coverage import read_footer

            path = self._store.sealed_path("ticks", date)
            try:
                text = read_footer(path).last_rows
            except FileNotFoundError:
                if date in self._covered:
                    raise
                raise _is_gone(date, str(path)) from None
            self._last[date] = None if text is None else from_text(text)
        return self._last[date]

    def replaced(self) -> bool:
        """Whether a sealed file has become another one since it was listed: what was read may be of both."""
        return any(known is not None and mark(path) not in (known, None) for path, known in self._sealed.items())

    def vanished(self) -> bool:
        """Whether a file is gone or another one, as happens when a date is sealed: list again."""
        gone = any(known is not None and mark(path) != known for path, known in self._sealed.items())
        return gone or not all(map(os.path.exists, self._parts))


def mark(path: str) -> Mark | None:
    """What tells a file from its replacement; None when there is no such file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def _is_gone(date: dt.date, path: str) -> DataError:
    hint = f"{to_run('rebuild', date)} makes it anew from the journal"
    return DataError("a file of a sealed date is gone", where=path, hint=hint)


def _rows(path: Path) -> int:
    with opened(path) as file:
        return int(file.metadata.num_rows)


def _version(store: Store, date: dt.date) -> int | None:
    """The schema version of a sealed date, from its manifest; None when it says none."""
    with contextlib.suppress(OSError), open(f"{store.root}/manifest/{date}.json", "rb") as file:
        if match := _VERSION.search(file.read(_MANIFEST_HEAD)):
            return int(match[1])
    version = _manifest(store, date).get("schema_version")
    return version if isinstance(version, int) else None


def _manifest(store: Store, date: dt.date) -> dict[str, Any]:
    """What the manifest of a date says; nothing when there is none, or it is damaged."""
    try:
        facts = json.loads(store.manifest_path(date).read_bytes())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _joined(sources: Sequence[Source]) -> list[Source]:
    """The same sources, those taken whole and of one version put together: one scan of many files, not many."""
    joined: list[Source] = []
    for source in sources:
        last = joined[-1] if joined else None
        if last and source.files and last.files and (last.version, last.below) == (source.version, None):
            joined[-1] = Source((*last.files, *source.files), last.version)
        else:
            joined.append(source)
    return joined


def union(
    table: str,
    sources: Sequence[Source],
    columns_of: Callable[[str], frozenset[str]],
    path_of: Callable[[str], str],
) -> str:
    """The SELECT that yields a table, `date` first, from its sources, of which there must be one.

    `columns_of` looks up the columns of a Parquet file; it is asked only for files not of the current version.
    `path_of` is where DuckDB reads it.
    """
    parts = (part for source in sources for part in _versions(source, columns_of))
    return "\nUNION ALL\n".join(_select(table, part, columns_of, path_of) for part in parts)


def _versions(source: Source, columns_of: Callable[[str], frozenset[str]]) -> list[Source]:
    """Parts of a date that an upgrade fell into, told apart by what their first and last files hold."""
    if source.version is not None or len(source.files) < 2:
        return [source]
    if columns_of(source.files[0]) == columns_of(source.files[-1]):
        return [source]
    return [Source((path,), None, source.below) for path in source.files]


def _select(
    table: str, source: Source, columns_of: Callable[[str], frozenset[str]], path_of: Callable[[str], str]
) -> str:
    names = schema.TABLES[table].names
    where = f" WHERE seq <= {source.below}" if source.below is not None else ""
    if source.rows is not None:
        return f'''SELECT DATE '{source.date}' AS date, {", ".join(names)} FROM stored."{source.name}"{where}'''
    have = frozenset(names) if source.version == schema.SCHEMA_VERSION else columns_of(source.files[0])
    columns = ", ".join(
        field.name if field.name in have else f"CAST(NULL AS {schema.duckdb_type(field.type)}) AS {field.name}"
        for field in schema.TABLES[table]
    )
    files = ", ".join("'" + path_of(path).replace("'", "''") + "'" for path in source.files)
    scan = f"read_parquet([{files}], hive_partitioning = true, hive_types = {{'date': DATE}})"
    return f"SELECT date, {columns} FROM {scan}{where}"
