"""Holdings: what a store keeps of each date, and what a day costs on the disk.

Owns the sums. Looks at names and sizes only; opens no file.
"""

import datetime as dt
import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tickrec.layout import Store
from tickrec.schema import TABLES

_USUAL_DAYS: Final = 5


@dataclass(frozen=True, slots=True)
class Holding:
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


def holdings(store: Store) -> tuple[Holding, ...]:
    """What the store keeps, oldest date first. Files that go away meanwhile count as nothing. Raises OSError."""
    return tuple(
        Holding(
            date,
            journal=sum(_sizes(store.journal(date))),
            parquet=sum(size for table in TABLES for size in _sizes(store.folder(table, date))),
            duckdb=_size(store.duckdb_path(date)),
            sealed=store.settled(date),
        )
        for date in store.dates()
    )


def usual_day(kept: Sequence[Holding]) -> int | None:
    """Bytes that a sealed day takes: the median of the newest five; None when there is none."""
    sealed = [each.total for each in kept if each.sealed]
    return int(statistics.median(sealed[-_USUAL_DAYS:])) if sealed else None


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
