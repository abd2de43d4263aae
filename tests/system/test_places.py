"""Where a store lies is never data: folders that look like partitions or patterns, and links to another disk."""

import shutil
from pathlib import Path

import pytest

from tests.days import DATE, Recording
from tickrec.seal.seal import rebuild, seal
from tickrec.seal.verify import verify
from tickrec.store import dayfile
from tickrec.store.day_contents import contents
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store

FOLDER = """date=2025-01-01/mode=zzz/{a,b}/it's/seq=1/symbol=x/*/%41 #1/[ab]/a"b/₹"""
LINKS = ["ticks", f"journal/{DATE}", "duckdb", f"ticks/date={DATE}"]


def go_on(recording: Recording) -> None:
    recording.run()
    recording.connect()
    recording.updates(1, 2)
    recording.die()
    PartWriter(recording.store, DATE).flush(recording.written.last_seq, final=True)


def assert_all_work(store: Store, recording: Recording) -> None:
    """Append, seal, go on, append, seal again and rebuild; after each everything agrees."""
    for work in (dayfile.append, seal, dayfile.append, seal, rebuild):
        if work is dayfile.append:
            go_on(recording)
        work(store, DATE)
        report = verify(store, DATE)
        assert (report.differences, report.skipped, report.ticks) == ((), (), recording.written.ticks)
        assert contents(store.duckdb_path(DATE)).by_key == recording.written.by_key


def test_a_store_below_any_folder_is_appended_sealed_verified_and_rebuilt(tmp_path: Path) -> None:
    store = Store(tmp_path / FOLDER / "data")
    assert_all_work(store, Recording(store, instruments=3))


def test_a_store_below_a_question_mark_does_without_the_day_file(tmp_path: Path) -> None:
    """DuckDB 2.0.0 takes what follows one in the path of a database for options, and finds no place for its log."""
    store = Store(tmp_path / "what?" / "data")
    go_on(recording := Recording(store, instruments=3))
    for work in (seal, rebuild):
        assert work(store, DATE, duckdb=False).rows["ticks"] == recording.written.ticks
        assert verify(store, DATE).differences == ()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_folders_on_another_disk_are_followed(store: Store, tmp_path: Path) -> None:
    disk = Path("/dev/shm") / f"tickrec-{tmp_path.name}"
    disk.mkdir()
    links = {store.root / place: disk / place.replace("/", "-") for place in LINKS}
    try:
        for link, folder in links.items():
            folder.mkdir()
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(folder)
        assert_all_work(store, Recording(store, instruments=3))
        for link, folder in links.items():
            assert link.is_symlink()
            assert any(folder.iterdir())
    finally:
        shutil.rmtree(disk)


def test_a_sealed_file_in_whose_place_a_link_is_counts_and_its_damage_is_told(store: Store, tmp_path: Path) -> None:
    go_on(recording := Recording(store, instruments=3))
    seal(store, DATE)
    moved = {store.sealed_path(table, DATE): tmp_path / f"moved {table}" for table in ("ticks", "gaps")}
    for path, elsewhere in moved.items():
        path.rename(elsewhere)
        path.symlink_to(elsewhere)
    assert verify(store, DATE).differences == ()
    for path, elsewhere in moved.items():
        data = bytearray(elsewhere.read_bytes())
        data[len(data) // 3] ^= 1
        elsewhere.write_bytes(data)
        assert any(path.name in line for line in verify(store, DATE).differences)
    rebuild(store, DATE)
    report = verify(store, DATE)
    assert (report.differences, report.ticks) == ((), recording.written.ticks)
