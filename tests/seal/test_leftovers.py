"""What killed work has left behind goes with the next work on any date."""

import datetime as dt
from pathlib import Path

from tests.days import DATE
from tickrec.files import Lock
from tickrec.seal.leftovers import remove_all
from tickrec.seal.seal import seal
from tickrec.store.paths import Store

OTHER = dt.date(2026, 11, 20)


def leave(store: Store, date: dt.date) -> list[Path]:
    """What is left when sealing is killed between or inside its steps."""
    files = [
        store.scratch(date) / "runs.arrow",
        store.scratch(date) / "ticks" / f"date={date}" / "part.parquet",
        store.duckdb_path(date).with_name(f".{date}.duckdb.draft"),
        store.duckdb_path(date).with_name(f".{date}.duckdb.draft.wal"),
        store.manifest_path(date).with_name(f".{date}.json.17-3.tmp"),
        store.journal(date) / ".0001.journal.zst.17-4.tmp",
        store.day_lock(date),
        store.duckdb_lock(date),
    ]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half of it")
    return files


def test_sealing_removes_what_is_left_of_every_date_and_nothing_else(sealed: Store) -> None:
    """Also a sealing that finds nothing else to do."""
    store = sealed
    before = sorted(store.journal(DATE).iterdir())
    files = leave(store, DATE) + leave(store, OTHER)
    kept = [store.state / "record.lock", store.state / "status.json", store.duckdb_path(DATE).with_name("mine.duckdb")]
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    seal(store, DATE, duckdb=False)
    assert [path for path in files if path.exists()] == []
    assert all(path.exists() for path in kept)
    assert sorted(store.journal(DATE).iterdir()) == before
    assert sorted(path.name for path in store.state.iterdir()) == ["record.lock", "status.json"]


def test_a_date_that_somebody_works_on_is_left_alone(store: Store) -> None:
    files = leave(store, OTHER)
    with Lock(store.day_lock(OTHER)) as lock:
        lock.acquire({})
        remove_all(store)
        assert all(path.exists() for path in files)
    remove_all(store)
    assert not any(path.exists() for path in files)


def test_the_draft_of_a_day_file_that_is_being_written_stays(store: Store) -> None:
    leave(store, OTHER)
    draft = store.duckdb_path(OTHER).with_name(f".{OTHER}.duckdb.draft")
    with Lock(store.duckdb_lock(OTHER)) as lock:
        lock.acquire({})
        remove_all(store)
        assert draft.exists()


def test_nothing_is_made_where_nothing_is_left(store: Store) -> None:
    remove_all(store)
    assert not store.root.exists()
