"""Instruments: the broker's list of everything that can be subscribed, one Parquet file a day.

Owns which file is a day's, what stands in for one that cannot be had, and access to its rows. They stay an Arrow table
and become Instrument objects only when they were chosen. The broker's file is converted, and compared with the day
before's, in a child process, `python -m tickrec.market.instruments SOURCE DESTINATION NS [DATE STORED]...`, so that the
recorder never holds it. Knows no selectors and opens no socket; what the broker's own file looks like is in
`upstox.master`, when a list is too short in `short_list`.
"""

import datetime as dt
import logging
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from tickrec import children
from tickrec.clock import from_datetime, ist
from tickrec.errors import DataError, TickrecError
from tickrec.files import TemporaryFolder, publish
from tickrec.market.short_list import filled_up, shortage, unexpired
from tickrec.schema import INSTRUMENTS
from tickrec.upstox.master import read_master

log = logging.getLogger("tickrec")

REFRESHED: Final = dt.time(6, 30)
"""IST; the broker renews its file about 06:00 (docs: instruments, 2026-09)."""
BACK_DAYS: Final = 30
"""How old a stored file may be to stand in for today's."""

NO_LIST: Final = 1
"""The child's exit code for a source that is no list of instruments."""
NOT_WRITTEN: Final = 6
"""The child's exit code for a destination that cannot be written."""
_COMPARED: Final = 3
"""How many earlier lists the child is given; those that are damaged are passed over."""
_BATCH_ROWS: Final = 8192
"""Rows in a row group of a stored file."""
_STAND_IN: Final = b"tickrec.stand_in_of"
"""Parquet metadata: the date of the file that this one is a copy of, because the day's own could not be had."""
_SHORT: Final = b"tickrec.short"
"""Parquet metadata: in what the broker's list was too short, so that it was filled up from an earlier one."""
DOWNLOADED: Final = b"tickrec.downloaded_ns"
"""Parquet metadata: when the broker's file was downloaded."""
_REPEATED: Final = (
    *("segment", "exchange", "name", "instrument_type", "security_type"),
    *("underlying_key", "underlying_symbol", "underlying_type"),
)
"""Columns in which values repeat, read as dictionaries to save memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One row of the instruments table; None where the broker says nothing. The schema describes the fields."""

    instrument_key: str
    segment: str
    exchange: str | None
    symbol: str
    name: str | None
    instrument_type: str | None
    expiry: dt.date | None
    strike: float | None
    lot_size: int | None
    tick_size: float | None
    underlying_key: str | None
    underlying_symbol: str | None
    underlying_type: str | None
    isin: str | None
    exchange_token: str | None
    freeze_quantity: float | None
    qty_multiplier: float | None
    weekly: bool | None
    cas_eligible: bool | None
    security_type: str | None
    short_name: str | None


class UnusableList(DataError):
    """What the broker sent is no list of instruments."""


class Master:
    """A day's instruments: an Arrow table with the columns of the schema.

    `stand_in_of` is the date of the file these rows are really from, when the day's own could not be had, or that some
    of them are from, when it was too short: then `short` says in what.
    """

    def __init__(self, table: pa.Table, *, stand_in_of: dt.date | None = None, short: str = "") -> None:
        self.table = table.unify_dictionaries()
        self.stand_in_of = stand_in_of
        self.short = short

    @classmethod
    def read(cls, path: Path) -> Self:
        """The stored instruments of a day. Raises DataError if the file cannot be read.

        Read in small pieces by one thread: read at once, 30 MB more stay with the process when the table is gone.
        """
        try:
            file = pq.ParquetFile(path, read_dictionary=list(_REPEATED), page_checksum_verification=True)
            groups = [file.read_row_group(group, use_threads=False) for group in range(file.num_row_groups)]
            table = pa.concat_tables(groups) if groups else file.schema_arrow.empty_table()
            metadata = table.schema.metadata or {}
            stand_in = dt.date.fromisoformat(metadata[_STAND_IN].decode()) if _STAND_IN in metadata else None
            return cls(table, stand_in_of=stand_in, short=metadata.get(_SHORT, b"").decode())
        except (OSError, ValueError, pa.ArrowException) as error:
            raise DataError(f"the stored instruments cannot be read: {error}", where=str(path)) from None

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> pa.Array:
        """A column in row order, as plain (not dictionary-encoded) values."""
        column = self.table.column(name)
        plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        return plain.combine_chunks()

    def plain(self) -> pa.Table:
        """The whole table with plain values, as the schema has it."""
        return pa.table([self.column(name) for name in INSTRUMENTS.names], schema=INSTRUMENTS)

    def rows(self, indices: Sequence[int]) -> list[Instrument]:
        """The instruments in the rows with these numbers, in the order asked."""
        if not indices:
            return []
        taken = self.table.take(pa.array(indices, pa.int64())).to_pylist()
        return [Instrument(**{name: row.get(name) for name in INSTRUMENTS.names}) for row in taken]

    def find(self, keys: Sequence[str]) -> list[int]:
        """Row numbers of the instrument keys that are in the master, in the order asked."""
        import pyarrow.compute as pc  # a third of what the children that import this take to start

        found = pc.index_in(pa.array(keys, pa.string()), value_set=self.column("instrument_key"))
        return [row for row in found.to_pylist() if row is not None]

    def by_key(self, key: str) -> Instrument | None:
        """The instrument with this key."""
        return next(iter(self.rows(self.find([key]))), None)


def ensure_master(
    download: Callable[[Path], None], path_for: Callable[[dt.date], Path], now_ns: int, *, anew: bool = False
) -> Master:
    """The instruments of the day that `now_ns` lies in, from the store or else from the broker.

    `download` fills a path with the broker's file; `path_for` names the stored file of a date. A stored file is used
    again unless the broker has renewed its own since, or it is damaged, or `anew` is asked for. A list that is too
    short is filled up from the latest whole one. When the download or its conversion fails, the latest stored file of
    the last BACK_DAYS that can be read stands in. Either is stored as the day's, marked (`Master.stand_in_of`), and
    the next call asks again. A list that cannot be stored is used all the same.

    Raises, when there is nothing to stand in, what `download` raises, UnusableList for what is no list, and OSError
    when it cannot be converted. Logs why a file could not be had; that an older one is used is the caller's to say.
    """
    today = ist(now_ns).date()
    path = path_for(today)
    if not anew and _is_current(path, now_ns):
        try:
            return Master.read(path)
        except DataError as error:
            log.warning("%s; another is asked for", error.brief)
    try:
        with TemporaryFolder("reading the broker's instruments") as folder:
            source, fresh = folder / "complete.json.gz", folder / "instruments.parquet"
            download(source)
            convert(source, fresh, now_ns, _own_lists(path_for, today))
            return _keep(fresh, path)
    except (TickrecError, OSError) as error:
        dates = (today - dt.timedelta(days=back) for back in range(BACK_DAYS + 1))
        stored = next((date for date in dates if _is_whole(path_for(date))), None)
        if stored is None:
            raise
        why = error.brief if isinstance(error, TickrecError) else error.strerror or error
        log.warning("the broker's instrument file could not be had: %s", why)
        if stored == today:
            return Master.read(path)
        with TemporaryFolder("reading the broker's instruments") as folder:
            return _keep(_stand_in(path_for(stored), stored, folder / "instruments.parquet"), path)


def latest_before(path_for: Callable[[dt.date], Path], today: dt.date) -> Master | None:
    """The latest stored instruments of an earlier day that can be read; None if there are none."""
    paths = (path_for(today - dt.timedelta(days=back)) for back in range(1, BACK_DAYS + 1))
    for path in filter(os.path.exists, paths):  # which takes what may not be looked at as absent, as all Pythons do
        try:
            return Master.read(path)
        except DataError:
            continue
    return None


def _own_lists(path_for: Callable[[dt.date], Path], today: dt.date) -> list[tuple[dt.date, Path]]:
    """The latest lists of the last BACK_DAYS that are the broker's own, whole ones, newest first."""
    dates = (today - dt.timedelta(days=back) for back in range(BACK_DAYS + 1))
    stored = [(date, path_for(date)) for date in dates]
    return [each for each in stored if (found := _metadata(each[1])) is not None and _STAND_IN not in found][:_COMPARED]


def _keep(fresh: Path, path: Path) -> Master:
    """Store a day's file as `path`, if that can be done, and read it."""
    try:
        publish(path, partial(_copy, fresh))
    except OSError as error:
        log.warning("the day's instruments could not be stored in %s: %s", path, error.strerror or error)
        return Master.read(fresh)
    return Master.read(path)


def _copy(source: Path, destination: Path) -> None:
    shutil.copyfile(source, destination)


def convert(
    source: Path, destination: Path, downloaded_ns: int = 0, before: Sequence[tuple[dt.date, Path]] = ()
) -> None:
    """Turn the broker's .json.gz into the day's Parquet file, in a child process.

    `before` are stored lists of dates, newest first: one that is too short beside the first of them that can be read is
    filled up from it. Raises UnusableList for a file that is no list, OSError when the result cannot be written.
    """
    compared = [str(each) for date, path in before for each in (date, path)]
    arguments = (str(source), str(destination), str(downloaded_ns), *compared)
    command = children.command("tickrec.market.instruments", *arguments)
    child = subprocess.run(
        command,
        env=children.without_secrets(),
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
    )
    said = child.stderr.strip().splitlines()[-1:] or [f"exit code {child.returncode}"]
    if child.returncode == NOT_WRITTEN:
        raise OSError(None, f"the instruments could not be converted: {said[0]}", str(destination))
    if child.returncode:
        hint = "Try again in a minute: what came may have been cut short"
        raise UnusableList(f"the broker's instrument file could not be used: {said[0]}", hint=hint)
    for line in child.stderr.splitlines():
        log.warning("%s", line)


def _is_current(path: Path, now_ns: int) -> bool:
    """Whether the stored file is what the broker would send now."""
    metadata = _metadata(path)
    if metadata is None or _STAND_IN in metadata:
        return False
    renewed = from_datetime(dt.datetime.combine(ist(now_ns), REFRESHED, ist(now_ns).tzinfo))
    return now_ns < renewed or downloaded_ns(path) >= renewed


def _is_whole(path: Path) -> bool:
    """Whether the stored file is there and every row of it can be read."""
    try:
        Master.read(path)
    except DataError:
        return False
    return True


def downloaded_ns(path: Path) -> int:
    """When the stored file came from the broker; 0 when that is not known."""
    try:
        return int((_metadata(path) or {}).get(DOWNLOADED, b"0"))
    except ValueError:
        return 0


def _metadata(path: Path) -> Mapping[bytes, bytes] | None:
    """The stored file's metadata; None if there is no file that can be read."""
    try:
        return pq.read_schema(path).metadata or {}
    except (OSError, ValueError, pa.ArrowException):
        return None


def _stand_in(stored: Path, date: dt.date, path: Path) -> Path:
    """Write a copy of an older day's instruments to `path`, marked with the date they are from."""
    table = pq.ParquetFile(stored).read()
    write(table.replace_schema_metadata({_STAND_IN: date.isoformat().encode(), **(table.schema.metadata or {})}), path)
    return path


def write(table: pa.Table, path: Path) -> None:
    """Store a table of instruments as the file `path`, whole or not at all. Raises OSError."""

    def fill(temp: Path) -> None:
        pq.write_table(
            table,
            temp,
            compression="zstd",
            compression_level=3,
            row_group_size=_BATCH_ROWS,
            write_page_checksum=True,
        )

    publish(path, fill)


def main(arguments: Sequence[str]) -> int:
    """The child: convert SOURCE to DESTINATION, filled up from the first STORED that can be read if it is too short.

    Says on stderr, in lines, what is wrong. Returns NO_LIST for a source that is no list.
    """
    source, destination, downloaded_ns, *compared = arguments
    try:
        table, odd = read_master(Path(source))
    except (OSError, EOFError, ValueError, RecursionError, zlib.error, pa.ArrowException) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return NO_LIST
    if odd:
        print(f"{odd} odd records of the broker's instrument list are left out", file=sys.stderr)  # noqa: T201
    metadata: dict[bytes, bytes] = {DOWNLOADED: downloaded_ns.encode()}
    before = _first_readable(compared)
    if before is not None:
        date, stored = before
        expected = unexpired(stored.plain(), ist(int(downloaded_ns)).date())
        if short := shortage(table, expected):
            table = filled_up(table, expected)
            metadata |= {_STAND_IN: date.encode(), _SHORT: short.encode()}
    try:
        write(table.replace_schema_metadata(metadata), Path(destination))
    except (OSError, pa.ArrowException) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return NOT_WRITTEN
    return 0


def _first_readable(compared: Sequence[str]) -> tuple[str, Master] | None:
    for date, path in zip(compared[::2], compared[1::2], strict=True):
        try:
            return date, Master.read(Path(path))
        except DataError:
            continue
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
