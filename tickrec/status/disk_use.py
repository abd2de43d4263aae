"""Disk use: what a store keeps of each date, in bytes, and which dates are left unsealed.

Owns the sums. Looks at names and sizes only; opens no file.
"""

import datetime as dt
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tickrec.schema import TABLES
from tickrec.store.paths import Store


@dataclass(frozen=True, slots=True)
class DiskUse:
    """What is on the disk of one date, in bytes."""

    date: dt.date
    journal: int
    parquet: int
    """All tables."""
    duckdb: int
    sealed: bool

    @property
    def total(self) -> int:
        """All of it."""
        return self.journal + self.parquet + self.duckdb


def disk_use(store: Store) -> tuple[DiskUse, ...]:
    """What the store keeps, oldest date first. Files that go away meanwhile count as nothing. Raises OSError."""
    return tuple(
        DiskUse(
            date,
            journal=sum(_sizes(store.journal(date))),
            parquet=sum(size for table in TABLES for size in _sizes(store.folder(table, date))),
            duckdb=_size(store.duckdb_path(date)),
            sealed=store.settled(date),
        )
        for date in store.dates()
    )


def left_unsealed(kept: Iterable[DiskUse], today: dt.date) -> list[dt.date]:
    """Dates before `today` that have nothing but a journal and parts, or more of them than was sealed."""
    return [each.date for each in kept if each.date < today and not each.sealed]


def _sizes(folder: Path) -> Iterator[int]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield _size(Path(entry.path))
    except FileNotFoundError:
        return


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
