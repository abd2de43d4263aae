"""Day contents: what a DuckDB day file holds, counted, compared with those of Parquet files, and taken out again.

Owns how a day file is opened for reading, and how files are named to DuckDB.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import duckdb
import pyarrow as pa

from tickrec import schema
from tickrec.errors import AlreadyRecording, DataError
from tickrec.store import parquet

META: Final = "tickrec"
"""The table with one row about the file itself."""
LIMITS: Final[dict[str, str | bool | int | float | list[str]]] = {"memory_limit": "112MB", "threads": 1}
"""One thread: two that keep the order compress every row group twice, and two that do not mix the instruments of the
sorted parts, which takes as long and makes files half as large again (measured with 2.0.1)."""

_IN_USE: Final = ("Could not set lock on file", "being used by another process")
"""What DuckDB says, on Windows the second, of a file that another program has open."""


class Contents(NamedTuple):
    """What a day file holds, counted from the rows themselves."""

    last_seq: int
    rows: dict[str, int]
    """By table."""
    by_key: dict[str, int]
    """Ticks of each instrument."""


def contents(path: Path) -> Contents:
    """Count what a day file holds.

    Raises AlreadyRecording when another program is writing it, DataError when it cannot be read, OSError.
    """
    with opened(path) as session:
        return counted(session)


def counted(session: duckdb.DuckDBPyConnection) -> Contents:
    """Count what a day file that is `opened` holds."""
    last_seq = whole_number(session, f"SELECT max(last_seq) FROM day.{META}")
    there = table_names(session)  # a file that an earlier version made has fewer
    tables = [table for table in schema.TABLES if table not in schema.LATER_TABLES or table in there]
    rows = {table: whole_number(session, f"SELECT count(*) FROM day.{table}") for table in tables}
    by_key = session.execute("SELECT instrument_key, count(*) FROM day.ticks GROUP BY 1").fetchall()
    return Contents(last_seq, rows, dict(by_key))


def differing_tables(
    session: duckdb.DuckDBPyConnection, files: Mapping[str, Sequence[Path]], below: int | None = None
) -> list[str]:
    """The names of the tables whose rows in a day file that is `opened` are not those of their Parquet files, whatever
    the order.

    `below`: only the rows with seq <= `below` are compared.
    """
    return [table for table, paths in files.items() if not _same_rows(session, table, paths, below)]


def _same_rows(session: duckdb.DuckDBPyConnection, table: str, paths: Sequence[Path], below: int | None) -> bool:
    where = "" if below is None else f"WHERE seq <= {below}"
    sources = f"day.{table}", parquet_source(paths) if paths else f"(FROM day.{table} LIMIT 0)"
    have = [session.sql(f"FROM {source}").columns for source in sources]
    columns = ", ".join(name for name in schema.TABLES[table].names if all(name in names for names in have))
    rows = (f"(SELECT {columns} FROM {source} {where})" for source in sources)
    sums = [session.execute(f"SELECT count(*), sum(hash(row)::HUGEINT) FROM {each} AS row").fetchone() for each in rows]
    return sums[0] == sums[1]


def read_instruments(path: Path) -> pa.Table:
    """The broker's list of instruments that was loaded into a day file; no rows when none was. Raises as `contents`."""
    with opened(path) as session:
        known = session.sql("FROM day.instruments").columns
        fields = [column for column in schema.INSTRUMENTS if column.name in known]
        names = ", ".join(column.name for column in fields)
        rows: pa.Table = session.sql(f"SELECT {names} FROM day.instruments ORDER BY rowid").to_arrow_table()
    return parquet.conform(rows.cast(pa.schema(fields)), schema.INSTRUMENTS)


def whole_number(session: duckdb.DuckDBPyConnection, query: str) -> int:
    """The first value of the first row that a query answers with; 0 when there is none."""
    row = session.execute(query).fetchone()
    return int(row[0] or 0) if row else 0


def table_names(session: duckdb.DuckDBPyConnection) -> set[str]:
    """The tables of the file that is attached as `day`. `duckdb_tables()` would look through all of DuckDB's own."""
    return {name for (name,) in session.execute("SHOW TABLES FROM day").fetchall()}


@contextlib.contextmanager
def opened(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A day file opened read-only, as `day`. Raises as `contents`, also for what fails while it is open."""
    with duckdb.connect(config=LIMITS) as session:
        try:
            session.execute(f"ATTACH {quoted(str(path))} AS day (READ_ONLY)")
            yield session
        except duckdb.Error as error:
            if is_open_elsewhere(error, path):
                raise open_elsewhere_error(path) from error
            said = str(error).partition("\n")[0]  # the statement follows
            raise DataError(f"the DuckDB file cannot be read: {said}", where=str(path)) from error


def is_open_elsewhere(error: duckdb.Error, path: Path) -> bool:
    """Whether the error says that another program has the file at `path` open."""
    said = str(error).replace(str(path), "")  # a path may say anything
    return isinstance(error, duckdb.IOException) and any(each in said for each in _IN_USE)


def open_elsewhere_error(path: Path) -> AlreadyRecording:
    """The error for a day file that another program has open."""
    return AlreadyRecording(
        "another program has the DuckDB file open",
        where=str(path),
        hint="Nothing is lost: it is caught up with once that program lets go",
    )


def quoted(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def parquet_source(paths: Iterable[Path]) -> str:
    """A table function over files, whose names are not taken for patterns, nor their folders for columns."""
    literal = ("".join(f"[{char}]" if char in "[*?" else char for char in str(path)) for path in paths)
    return f"read_parquet([{', '.join(map(quoted, literal))}], hive_partitioning=false, union_by_name=true)"
