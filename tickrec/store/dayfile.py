"""Day file: the tables of one date in one file that DuckDB 1.4 and later read with no tickrec at hand.

Owns how rows get into it: appended part by part while recording, or built anew in sorted order. An append is one
transaction that takes every published part after the last entry the file covers, so repeating it, killing it, or
running it twice does no harm. The file is derived data: what is wrong with it is mended by building it again.

`python -m tickrec.store.dayfile DATA DATE` appends in a process of its own, because DuckDB takes 100 MB and a
crash in it must not reach the recording: once for every line on stdin, and says so with an empty line each. Exit code
7: another program has the file open; 6: it could not be written. Nothing is lost, and the next append catches up.
"""

import contextlib
import datetime as dt
import logging
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Self

import duckdb
import pyarrow as pa

from tickrec import __version__, schema
from tickrec.children import lower_priority
from tickrec.errors import DataError, ExitCode, TickrecError, to_run
from tickrec.files import Lock, make_folder, move, publish
from tickrec.market.instruments import write
from tickrec.store import parquet
from tickrec.store.coverage import Coverage, coverage, sealed_tables
from tickrec.store.day_contents import (
    LIMITS,
    META,
    is_open_elsewhere,
    open_elsewhere_error,
    parquet_source,
    quoted,
    read_instruments,
    table_names,
)
from tickrec.store.paths import DRAFT_SUFFIX, Store
from tickrec.store.space import Room

log = logging.getLogger("tickrec")

STORAGE_VERSION: Final = "v1.4.0"
"""Oldest DuckDB that must read the file; without it a newer DuckDB writes its own newest format."""
ROW_GROUP_ROWS: Final = 61_440
"""Half of what DuckDB takes by itself. A row group is held uncompressed while it grows, 85 MB of 30 levels; one that
does not fit into the memory that DuckDB may take goes to a file in the current folder."""

GROWTH: Final = 3
"""How many times the size of a Parquet part its rows take in a day file, at most."""
_META_COLUMNS: Final = "last_seq BIGINT, schema_version INTEGER, version VARCHAR, instruments VARCHAR"


class Meta(NamedTuple):
    """What a day file says about itself."""

    last_seq: int = 0
    """Every entry up to here is in the file."""
    schema_version: int = schema.SCHEMA_VERSION
    version: str = __version__
    instruments: str = ""
    """Size and time of the instruments file that was loaded; empty for none."""


def append(store: Store, date: dt.date) -> None:
    """Add to the day file what was published after its last covered entry; make the file if it is missing.

    A file that ends inside what is one part now (another was there, and damaged) is made anew. Raises
    AlreadyRecording when another program has the file open, DataError when it is no day file (`rebuild` replaces it),
    duckdb.Error and OSError when it cannot be written.
    """
    covered = coverage(store, date)
    path = store.duckdb_path(date)
    with _writing(store, date), DayFile(path, date) as day:
        meta = day.meta
        if meta.schema_version == schema.SCHEMA_VERSION and _goes_on(meta.last_seq, covered):
            with day.transaction():
                _require_room(store, date, covered.parts_after(meta.last_seq))
                day.load(store, covered)
            return
    rebuild(store, date)


def _require_room(store: Store, date: dt.date, files: Iterable[Path]) -> None:
    """Raise OSError unless the rows of some Parquet files of ticks can be inserted, and the journal goes on."""
    Room(store, date, ended=False).require(GROWTH * sum(path.stat().st_size for path in files))


def _goes_on(last_seq: int, covered: Coverage) -> bool:
    """Whether the entries after `last_seq` can be added: one of the published files begins there, or none does."""
    inside = any(part.first <= last_seq < part.last for part in covered.parts)
    return not inside and not 0 < last_seq < covered.sealed_last


def rebuild(store: Store, date: dt.date) -> None:
    """Replace the day file by one made of everything published, in the order it is stored in. Raises as `append`."""
    path = store.duckdb_path(date)
    draft = path.with_name(f".{date}.duckdb{DRAFT_SUFFIX}")
    with _writing(store, date):  # the draft is of one writer, too
        covered = coverage(store, date)
        keep_instruments(store, date)
        remove(draft)
        _require_room(store, date, covered.ticks_files)
        try:
            with DayFile(draft, date) as day, day.transaction():
                day.load(store, covered)
                day.insert_exchange_bars(store.exchange_bars_path(date))
            _replace(path, draft)
        finally:
            remove(draft)


def keep_instruments(store: Store, date: dt.date) -> bool:
    """Whether the date's list of instruments can be read; if not, and the day file has its rows, it is written again.

    To be asked before a day file is replaced: nothing else has them, the journal neither. Raises AlreadyRecording when
    another program is writing the day file, OSError.
    """
    path, day = store.instruments_path(date), store.duckdb_path(date)
    if _readable(path, schema.INSTRUMENTS):
        return True
    if not day.exists():
        return False
    try:
        rows = read_instruments(day)
    except DataError:
        return False
    if not rows.num_rows:
        return False
    log.warning("%s cannot be read; its rows are taken from the DuckDB file", path)
    write(rows, path)
    return True


def put_in_place(draft: Path, store: Store, date: dt.date) -> None:
    """Make a finished file the date's day file. Programs that have the old one open go on reading that.

    Raises AlreadyRecording when it is just being appended to, OSError (on Windows also when it is open elsewhere).
    """
    with _writing(store, date):
        _replace(store.duckdb_path(date), draft)


def _replace(path: Path, draft: Path) -> None:
    _wal(path).unlink(missing_ok=True)  # of the old file: an append that was killed; the new file has its rows
    publish(path, partial(move, draft))


def remove(path: Path) -> None:
    """Remove a DuckDB file and what belongs to it, if it is there."""
    path.unlink(missing_ok=True)
    _wal(path).unlink(missing_ok=True)


def _wal(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


@contextlib.contextmanager
def _writing(store: Store, date: dt.date) -> Iterator[None]:
    """The lock between our own writers of a day file; DuckDB's own knows nothing of a file that is replaced."""
    with Lock(store.duckdb_lock(date)) as lock:
        lock.acquire({"doing": f"writing the DuckDB file of {date}"})
        yield
        lock.remove()


class DayFile:
    """A day file opened for writing; a context manager. Makes the file and its tables where they are missing."""

    def __init__(self, path: Path, date: dt.date) -> None:
        """Raises AlreadyRecording, DataError, duckdb.Error, OSError as `append` does."""
        make_folder(path.parent)
        self._date = date
        self._session = duckdb.connect(config=LIMITS)
        try:
            self._attach(path)
            self._create_tables()
        except BaseException:
            self._session.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._session.execute("DETACH day")
        finally:
            self._session.close()

    @property
    def meta(self) -> Meta:
        """What the file says about itself."""
        row = self._session.execute(f"SELECT * FROM day.{META}").fetchone()
        return Meta(*row) if row else Meta()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside counts together or not at all."""
        self._session.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._session.execute("ROLLBACK")
            raise
        self._session.execute("COMMIT")

    def load(self, store: Store, covered: Coverage) -> None:
        """Insert everything published after the last covered entry, in the order it is stored in, and cover it."""
        last_seq = self.meta.last_seq
        if covered.next_seq - 1 > last_seq:
            self._forget_open_rows()
            if covered.sealed is not None and not last_seq:
                # Of a date that goes on, rows without a seq were open when it was sealed, and are settled since.
                where = f"WHERE seq <= {covered.sealed_last}" if covered.parts else ""
                for table, path in {"ticks": covered.sealed, **sealed_tables(store, self._date)}.items():
                    self._insert(table, f"{parquet_source([path])} {where}")
            for table, paths in _parts_after(covered, last_seq).items():
                if paths:
                    self._insert(table, parquet_source(paths))
        self.finish(store.instruments_path(self._date), max(last_seq, covered.next_seq - 1))

    def insert(self, table: str, rows: Iterator[pa.RecordBatch]) -> None:
        """Insert rows that have the columns of `schema`, holding on to one batch at a time.

        What the iterator raises is raised here.
        """
        failure: list[BaseException] = []

        def guarded() -> Iterator[pa.RecordBatch]:
            try:
                yield from rows
            except BaseException as error:
                failure.append(error)  # DuckDB only passes its text on
                raise

        reader = pa.RecordBatchReader.from_batches(schema.TABLES[table], guarded())
        self._session.register("rows_to_insert", reader)
        try:
            self._insert(table, "rows_to_insert")
        except duckdb.Error:
            if failure:
                raise failure[0] from None
            raise
        self._session.unregister("rows_to_insert")  # not in a transaction that was aborted: that would be the error

    def finish(self, instruments: Path, last_seq: int) -> None:
        """Say that entries up to `last_seq` are in, and bring the instruments up to date with their file.

        A damaged file of instruments, which nothing can make anew, does not keep the ticks out: `verify` tells of it.
        """
        loaded = self.meta.instruments
        found = _stamp(instruments)
        if found and found != loaded and _readable(instruments, schema.INSTRUMENTS):
            self._session.execute("DELETE FROM day.instruments")
            self._insert("instruments", parquet_source([instruments]))
            loaded = found
        meta = Meta(last_seq, schema.SCHEMA_VERSION, __version__, loaded)
        self._session.execute(f"DELETE FROM day.{META}")
        self._session.execute(f"INSERT INTO day.{META} VALUES (?, ?, ?, ?)", list(meta))

    def insert_exchange_bars(self, path: Path) -> None:
        """Insert the exchange's candles into a new file; none if their own file is missing or damaged."""
        if _readable(path, schema.EXCHANGE_BARS):
            self._insert("exchange_bars", parquet_source([path]))

    def _attach(self, path: Path) -> None:
        try:
            options = f"STORAGE_VERSION '{STORAGE_VERSION}', ROW_GROUP_SIZE {ROW_GROUP_ROWS}"
            self._session.execute(f"ATTACH {quoted(str(path))} AS day ({options})")
        except duckdb.IOException as error:
            if is_open_elsewhere(error, path):
                raise open_elsewhere_error(path) from error
            if "not a valid DuckDB" in str(error):
                hint = f"{to_run('rebuild', self._date)} makes it anew"
                raise DataError("this is not a DuckDB file", where=str(path), hint=hint) from error
            raise

    def _create_tables(self) -> None:
        self._session.execute(f"CREATE TABLE IF NOT EXISTS day.{META} ({_META_COLUMNS})")
        present = table_names(self._session)
        for table, columns in schema.TABLES.items():
            if table not in present:
                with self.transaction():
                    self._create(table, columns)

    def _create(self, table: str, columns: pa.Schema) -> None:
        declared = ", ".join(f"{column.name} {schema.duckdb_type(column.type)}" for column in columns)
        self._session.execute(f"CREATE TABLE day.{table} (date DATE, {declared})")
        for column in columns:
            comment = quoted(column.metadata[b"comment"].decode())
            self._session.execute(f"COMMENT ON COLUMN day.{table}.{column.name} IS {comment}")

    def _insert(self, table: str, source: str) -> None:
        self._session.execute(f"INSERT INTO day.{table} BY NAME SELECT DATE '{self._date}' AS date, * FROM {source}")

    def _forget_open_rows(self) -> None:
        """Rows without a seq were open when the date was sealed; now that it goes on they are settled later."""
        for table in schema.SMALL_TABLES:
            self._session.execute(f"DELETE FROM day.{table} WHERE seq IS NULL")


def _parts_after(covered: Coverage, last_seq: int) -> dict[str, list[Path]]:
    """The parts of each table with the entries after `last_seq`, where one of them ends."""
    parts = covered.parts_after(last_seq)
    names = {path.name for path in parts}
    small = {table: [path for path in found if path.name in names] for table, found in covered.small_parts.items()}
    return {"ticks": parts, **small}


def _stamp(path: Path) -> str:
    """Changes when the file changes; empty when there is none."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return ""
    return f"{facts.st_size} {facts.st_mtime_ns}"


def _readable(path: Path, fields: pa.Schema) -> bool:
    try:
        parquet.read(path, fields)
    except (parquet.UnreadableFile, pa.ArrowException, FileNotFoundError):
        return False
    return True


def main(arguments: list[str]) -> int:
    """`python -m tickrec.store.dayfile DATA DATE`: append for every line on stdin."""
    root, date = arguments
    store, day = Store(Path(root)), dt.date.fromisoformat(date)
    lower_priority()
    try:
        for _ in sys.stdin:
            append(store, day)
            sys.stdout.write("\n")
            sys.stdout.flush()
    except TickrecError as error:
        sys.stderr.write(f"{error}\n")
        return error.code
    except (duckdb.Error, OSError) as error:
        sys.stderr.write(f"the DuckDB file of {date} could not be written: {error}\n")
        return ExitCode.STORAGE
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
