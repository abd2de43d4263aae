"""Paths: the tree of files of a store.

Owns the names: which folder and which file a table, a journal, a day file or a lock of a date has. Opens no file.
"""

import datetime as dt
import os
import re
from pathlib import Path
from typing import Final

PART: Final = re.compile(r"part-(\d{12})-(\d{12})\.parquet")
"""The name of a part: the first and the last journal entry that it covers."""
_DATE: Final = re.compile(r"(?:date=)?(\d{4}-\d{2}-\d{2})")
_JOURNAL: Final = re.compile(r"\d+\.journal(\.zst)?")

DRAFT_SUFFIX: Final = ".draft"
"""End of the name of a file that is being written and was never published."""
DAMAGED_SUFFIX: Final = ".damaged"
"""End of the name of a file that was set aside."""
SEALING: Final = "sealing"
"""The key by which the holder of a date's lock says that the files of the date are being replaced."""


class Store:
    """The folder that holds everything recorded; `root` need not exist yet.

    `journals` is where the journals are; elsewhere only while a date is made anew beside what is published.
    """

    def __init__(self, root: Path, *, journals: Path | None = None) -> None:
        self.root = root
        self.journals = root / "journal" if journals is None else journals
        self.state = root / "state"
        self.status_path = self.state / "status.json"
        self.record_lock = self.state / "record.lock"
        """Held by the process that records into the store."""
        self.exchange_bars_lock = self.state / "backfill.lock"
        """Held by the process that adds candles of the exchange."""

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    def day_lock(self, date: dt.date) -> Path:
        """The file locked by whoever records, seals or rebuilds the date."""
        return self.state / f"{date}.lock"

    def duckdb_lock(self, date: dt.date) -> Path:
        """The file locked by whoever writes the DuckDB day file."""
        return self.state / f"{date}.duckdb.lock"

    def journal(self, date: dt.date) -> Path:
        """The folder of the date's journal files."""
        return self.journals / f"{date}"

    def folder(self, table: str, date: dt.date) -> Path:
        """The folder of the date's Parquet files of a table."""
        return self.root / table / f"date={date}"

    def sealed_path(self, table: str, date: dt.date) -> Path:
        """The table's one file of a sealed date."""
        return self.folder(table, date) / f"{table}.parquet"

    def part_path(self, table: str, date: dt.date, first: int, last: int) -> Path:
        """The part of a table that covers the journal entries from `first` to `last`."""
        return self.folder(table, date) / f"part-{first:012}-{last:012}.parquet"

    def draft_path(self, date: dt.date, first: int) -> Path:
        """A part of `ticks` that is being written. Other programs pass over names that begin with a dot."""
        return self.folder("ticks", date) / f".part-{first:012}{DRAFT_SUFFIX}"

    def instruments_path(self, date: dt.date) -> Path:
        """The date's instruments: source data, never derived and never removed."""
        return self.sealed_path("instruments", date)

    def exchange_bars_path(self, date: dt.date) -> Path:
        """The exchange's minute candles of the date: source data, never derived and never removed."""
        return self.sealed_path("exchange_bars", date)

    def duckdb_path(self, date: dt.date) -> Path:
        """The DuckDB day file."""
        return self.root / "duckdb" / f"{date}.duckdb"

    def scratch(self, date: dt.date) -> Path:
        """The folder in which a date is sealed before anything of it is published."""
        return self.state / f"{date}.sealing"

    def manifest_path(self, date: dt.date) -> Path:
        """What was sealed."""
        return self.root / "manifest" / f"{date}.json"

    def dates(self) -> list[dt.date]:
        """Every date with a journal or with ticks, oldest first."""
        names = {name for folder in (self.journals, self.root / "ticks") for name in names_in(folder)}
        return sorted({date for name in names if (date := _date(name)) is not None})

    def journal_files(self, date: dt.date) -> list[Path]:
        """The date's journal files, compressed or not, in order."""
        folder = self.journal(date)
        return [folder / name for name in sorted(names_in(folder)) if _JOURNAL.fullmatch(name)]

    def settled(self, date: dt.date) -> bool:
        """Whether `ticks.parquet` is all there is: sealed, no parts, nothing journalled since. From names alone."""
        root = str(self.root)  # joined as text: a query asks this of every date on disk
        names = names_in(f"{root}/ticks/date={date}")
        if "ticks.parquet" not in names or any(PART.fullmatch(name) for name in names):
            return False
        return not any(name.endswith(".journal") for name in names_in(f"{root}/journal/{date}"))


def _date(name: str) -> dt.date | None:
    """The date that a folder is named after; None for any other name."""
    match = _DATE.fullmatch(name)
    try:
        return dt.date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def names_in(folder: Path | str) -> list[str]:
    """The names in a folder, sorted; none when there is no such folder."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
