"""What is kept of each date, and which dates are left unsealed."""

import datetime as dt
from pathlib import Path

from tickrec.status.disk_use import DiskUse, disk_use, left_unsealed
from tickrec.store.paths import Store

DATE = dt.date(2026, 11, 23)


def put(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))


def day(number: int, total: int, *, sealed: bool = True) -> DiskUse:
    return DiskUse(dt.date(2026, 11, number), journal=0, parquet=total, duckdb=0, sealed=sealed)


def test_an_empty_store_keeps_nothing(tmp_path: Path) -> None:
    assert disk_use(Store(tmp_path / "none")) == ()


def test_sizes_are_summed_by_date_and_kind(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store.journal(DATE) / "0001.journal", 100)
    put(store.journal(DATE) / "0002.journal", 20)
    put(store.part_path("ticks", DATE, 1, 5), 30)
    put(store.part_path("gaps", DATE, 1, 5), 4)
    put(store.instruments_path(DATE), 5)
    put(store.duckdb_path(DATE), 7)
    earlier = DATE - dt.timedelta(days=3)
    put(store.sealed_path("ticks", earlier), 50)
    put(store.journal(earlier) / "0001.journal.zst", 10)
    assert disk_use(store) == (
        DiskUse(earlier, journal=10, parquet=50, duckdb=0, sealed=True),
        DiskUse(DATE, journal=120, parquet=39, duckdb=7, sealed=False),
    )
    assert disk_use(store)[1].total == 166


def test_a_date_is_left_unsealed_when_it_is_over_and_not_sealed() -> None:
    kept = [day(20, 1), day(21, 1, sealed=False), day(22, 1), day(23, 1, sealed=False)]
    assert left_unsealed(kept, DATE) == [dt.date(2026, 11, 21)]
    assert left_unsealed((), DATE) == []
