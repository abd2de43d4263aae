"""What derived files leave of a disk to the journal."""

import datetime as dt
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.days import DATE, Recording, Written, copy_sealed
from tickrec.errors import StorageError
from tickrec.files import Lock
from tickrec.seal.seal import rebuild, seal
from tickrec.store import dayfile
from tickrec.store.day_contents import contents
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store
from tickrec.store.space import RESERVE_BYTES, Room, journalled_bytes

FRIDAY = dt.date(2026, 11, 20)


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the disk has free, to be set: of several values one for each time that it is asked, then the last."""
    left = [10**12]

    def usage(_path: object) -> tuple[int, int, int]:
        return 2 * 10**12, 10**12, left.pop(0) if len(left) > 1 else left[0]

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(*usage(path)))
    return left


@pytest.fixture
def recording(store: Store, days_to_copy: Path) -> Iterator[Store]:
    """A store that is being recorded into today, with Friday sealed behind it."""
    copy_sealed(Store(days_to_copy / "sealed"), store, FRIDAY)
    today = Recording(store)
    today.run()
    with Lock(store.record_lock) as lock:
        lock.acquire({})
        yield store


def test_a_session_is_expected_to_journal_what_the_largest_of_the_days_before_did(recording: Store) -> None:
    usual, now = journalled_bytes(recording, FRIDAY), journalled_bytes(recording, DATE)
    assert usual > 10 * now
    assert Room(recording, FRIDAY, ended=True).reserved == RESERVE_BYTES + usual - now
    assert Room(recording, DATE, ended=False).reserved == RESERVE_BYTES + usual - now
    assert Room(recording, DATE, ended=True).reserved == RESERVE_BYTES  # its session is over
    recording.manifest_path(FRIDAY).write_bytes(b"{")
    assert Room(recording, FRIDAY, ended=True).reserved > RESERVE_BYTES
    recording.record_lock.unlink()
    assert Room(recording, FRIDAY, ended=True).reserved == RESERVE_BYTES  # nobody records


def test_a_journal_that_has_outgrown_the_usual_size_reserves_the_least(recording: Store) -> None:
    (recording.journal(DATE) / "0002.journal").write_bytes(bytes(10_000_000))
    assert Room(recording, FRIDAY, ended=True).reserved == RESERVE_BYTES


def test_what_a_compressed_journal_had_is_known_without_its_manifest(recording: Store) -> None:
    known = journalled_bytes(recording, FRIDAY)
    recording.manifest_path(FRIDAY).unlink()
    assert 0.3 < journalled_bytes(recording, FRIDAY) / known < 3


def files_in(store: Store) -> list[Path]:
    return sorted(path for path in store.root.rglob("*") if path.is_file() and store.state not in path.parents)


def test_sealing_without_room_for_it_and_for_the_journal_does_not_begin_or_ends_and_leaves_no_scratch(
    journalled: Store, written: Written, free: list[int]
) -> None:
    store = journalled
    PartWriter(store, DATE).flush(written.last_seq, final=True)
    before = files_in(store)
    for work in (seal, rebuild):
        free[:] = [RESERVE_BYTES + 1000]
        with pytest.raises(StorageError, match=r"the disk is full.*Free space, then seal again"):
            work(store, DATE)
        assert files_in(store) == before
        assert not store.scratch(DATE).exists()
    for asked in (4, 16):  # the disk fills up meanwhile
        free[:] = [*[10**12] * asked, RESERVE_BYTES - 1]
        with pytest.raises(StorageError, match="the disk is full"):
            seal(store, DATE)
        assert files_in(store) == before
        assert not store.scratch(DATE).exists()
    free[:] = [10**12]
    assert seal(store, DATE, duckdb=False).last_seq == written.last_seq


def test_a_day_file_is_not_appended_to_without_room(store: Store, free: list[int]) -> None:
    recording = Recording(store, instruments=8)
    recording.run()
    recording.connect()
    for _ in range(2):
        PartWriter(store, DATE).flush(recording.written.last_seq)
        free[:] = [RESERVE_BYTES + 1000]
        with pytest.raises(OSError, match="No space left") as failed:
            dayfile.append(store, DATE)
        assert failed.value.errno == errno.ENOSPC
        free[:] = [10**12]
        dayfile.append(store, DATE)
        assert contents(store.duckdb_path(DATE)).last_seq == recording.written.last_seq
        assert [path.name for path in store.duckdb_path(DATE).parent.iterdir()] == [f"{DATE}.duckdb"]
        recording.updates(2)
