import datetime as dt
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.days import DATE, Recording, write_day
from tickrec import __version__, schema
from tickrec.errors import DataError
from tickrec.files import publish
from tickrec.store.coverage import Coverage, Footer, coverage, leftovers, read_footer
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store


def put(path: Path, footer: Footer) -> None:
    """A Parquet file without rows that says what it covers."""

    def write(temp: Path) -> None:
        with pq.ParquetWriter(temp, pa.schema([("seq", pa.int64())])) as writer:
            writer.add_key_value_metadata(footer.to_metadata())

    publish(path, write)


def part(store: Store, first: int, last: int, table: str = "ticks") -> Path:
    path = store.part_path(table, DATE, first, last)
    put(path, Footer(first, last))
    return path


def sealed(store: Store, last: int) -> Path:
    path = store.sealed_path("ticks", DATE)
    put(path, Footer(1, last))
    return path


def test_paths_are_those_of_the_documented_tree(tmp_path: Path) -> None:
    store = Store(tmp_path)
    paths = [
        store.journal(DATE),
        store.part_path("ticks", DATE, 1, 250),
        store.sealed_path("ticks", DATE),
        store.sealed_path("gaps", DATE),
        store.instruments_path(DATE),
        store.duckdb_path(DATE),
        store.manifest_path(DATE),
    ]
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "journal/2026-11-23",
        "ticks/date=2026-11-23/part-000000000001-000000000250.parquet",
        "ticks/date=2026-11-23/ticks.parquet",
        "gaps/date=2026-11-23/gaps.parquet",
        "instruments/date=2026-11-23/instruments.parquet",
        "duckdb/2026-11-23.duckdb",
        "manifest/2026-11-23.json",
    ]


def test_nothing_is_covered_where_nothing_is(store: Store) -> None:
    assert coverage(store, DATE) == Coverage(DATE)
    assert coverage(store, DATE).next_seq == 1
    assert store.dates() == []


def test_parts_count_as_far_as_they_follow_each_other(store: Store) -> None:
    part(store, 1, 10)
    part(store, 11, 15)
    part(store, 17, 20)
    covered = coverage(store, DATE)
    assert [(each.first, each.last) for each in covered.parts] == [(1, 10), (11, 15)]
    assert covered.next_seq == 16


def test_parts_inside_the_sealed_file_do_not_count(store: Store) -> None:
    path = sealed(store, 15)
    part(store, 1, 10)
    part(store, 11, 15)
    part(store, 16, 30)
    covered = coverage(store, DATE)
    assert (covered.sealed, covered.sealed_last) == (path, 15)
    assert [(each.first, each.last) for each in covered.parts] == [(16, 30)]
    assert covered.next_seq == 31


def test_parts_of_small_tables_count_beside_their_part_of_ticks_only(store: Store) -> None:
    part(store, 1, 10)
    gaps = part(store, 1, 10, "gaps")
    part(store, 11, 14, "gaps")
    part(store, 1, 9, "connections")
    covered = coverage(store, DATE)
    assert covered.small_parts["gaps"] == (gaps,)
    assert covered.small_parts["connections"] == ()


def test_what_belongs_to_no_range_is_left_over(store: Store) -> None:
    sealed(store, 10)
    old = part(store, 1, 10)
    old_gaps = part(store, 1, 10, "gaps")
    part(store, 11, 20)
    part(store, 11, 20, "gaps")
    crashed = part(store, 11, 15, "rejected")
    drafts = {store.draft_path(DATE, 21), store.folder("ticks", DATE) / "part-000000000021.draft"}
    for draft in drafts:
        draft.touch()
    found = list(leftovers(store, coverage(store, DATE)))
    assert set(found) == {old, old_gaps, crashed, *drafts}
    assert found.index(old) < found.index(old_gaps)


def test_a_footer_says_what_the_file_covers(store: Store) -> None:
    written = write_day(store)
    PartWriter(store, DATE).flush(written.last_seq)
    path = coverage(store, DATE).parts[0].path
    footer = read_footer(path)
    assert (footer.first, footer.last) == (1, written.last_seq)
    assert footer.schema_version == schema.SCHEMA_VERSION
    assert footer.position is not None
    assert footer.position.file == 2
    assert pq.read_metadata(path).metadata[b"tickrec.version"].decode() == __version__


def test_a_file_that_is_not_ours_is_named(store: Store) -> None:
    path = store.part_path("ticks", DATE, 1, 10)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1 this is nothing")
    with pytest.raises(DataError, match=r"part-000000000001-000000000010.*tickrec rebuild"):
        coverage(store, DATE)
    path.unlink()
    pq.write_table(pa.table({"seq": [1]}), path)
    with pytest.raises(DataError, match="part-000000000001-000000000010"):
        coverage(store, DATE)


def test_dates_are_those_with_a_journal_or_ticks(store: Store) -> None:
    write_day(store, dt.date(2026, 11, 20), messages=3)
    part(store, 1, 10)
    (store.root / "ticks" / "notes.txt").touch()
    (store.root / "gaps" / "date=2026-11-01").mkdir(parents=True)
    for name in ("date=2026-13-45", "date=2026-02-30", "date=0000-01-01", "date=", "date=２０２６-11-20", "2026-11"):
        (store.root / "ticks" / name).mkdir()
        (store.root / "journal" / name).mkdir()
    assert store.dates() == [dt.date(2026, 11, 20), DATE]


def test_a_date_is_settled_when_only_the_sealed_file_is_left(store: Store) -> None:
    assert not store.settled(DATE)
    sealed(store, 10)
    assert store.settled(DATE)
    extra = part(store, 11, 20)
    assert not store.settled(DATE)
    extra.unlink()
    recording = Recording(store)
    recording.run()
    recording.die()
    assert not store.settled(DATE)
    journal = store.journal_files(DATE)[0]
    journal.rename(journal.with_name(journal.name + ".zst"))
    assert store.settled(DATE)


def test_coverage_is_whole_while_parts_are_sealed_under_it(store: Store) -> None:
    """A thread publishes parts, then the sealed file, then removes the parts, over and over."""
    stop = threading.Event()
    low = 1

    def churn() -> None:
        last = 0
        for _ in range(15):
            for _ in range(4):
                part(store, last + 1, last + 5, "gaps")
                part(store, last + 1, last + 5)
                last += 5
            sealed(store, last)
            for table in ("ticks", "gaps"):
                for path in store.folder(table, DATE).glob("part-*"):
                    path.unlink()
        stop.set()

    thread = threading.Thread(target=churn)
    thread.start()
    looks = 0
    while not stop.is_set():
        covered = coverage(store, DATE)
        assert covered.next_seq >= low
        if covered.parts:
            assert covered.parts[0].first == covered.sealed_last + 1
            assert len(covered.small_parts["gaps"]) == len(covered.parts)
        low = covered.next_seq
        looks += 1
    thread.join()
    assert looks > 5
    assert coverage(store, DATE).next_seq == 15 * 4 * 5 + 1
