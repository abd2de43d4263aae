import datetime as dt
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tests.clocks import HandClock
from tests.days import DATE, Recording, Written, copy_sealed
from tickrec.clock import from_datetime
from tickrec.errors import ExitCode
from tickrec.files import Lock
from tickrec.seal.retention import Expired, expire
from tickrec.seal.verify import verify
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store

MONTH = dt.timedelta(days=30)
OLD = dt.date(2020, 1, 6)
"""More than a month ago on any clock."""


def after(days: int) -> HandClock:
    """Noon, India, some days after DATE."""
    noon = dt.datetime.combine(DATE, dt.time(6, 30), dt.UTC)
    return HandClock(from_datetime(noon + dt.timedelta(days=days)))


def test_the_journal_of_an_old_sealed_date_goes_and_everything_else_stays(sealed: Store) -> None:
    size = sum(path.stat().st_size for path in sealed.journal_files(DATE))
    kept = {path for path in sealed.root.rglob("*") if path.is_file() and "journal" not in path.parts}
    (expired,) = expire(sealed, MONTH, after(31))
    assert (expired.date, expired.bytes, expired.removed) == (DATE, size, True)
    assert sealed.journal_files(DATE) == []
    assert not sealed.journal(DATE).exists()
    assert {path for path in sealed.root.rglob("*") if path.is_file()} == kept
    assert verify(sealed, DATE).differences == ()
    assert list(expire(sealed, MONTH, after(31))) == []


def test_a_date_is_kept_for_as_long_as_asked(sealed: Store) -> None:
    assert list(expire(sealed, MONTH, after(30))) == []
    assert len(sealed.journal_files(DATE)) == 2


def test_a_date_that_is_not_sealed_is_kept(journalled: Store, written: Written) -> None:
    PartWriter(journalled, DATE).flush(written.last_seq, final=True)
    assert list(expire(journalled, MONTH, after(365))) == []
    assert len(journalled.journal_files(DATE)) == 2


def test_a_date_that_goes_on_after_it_was_sealed_is_kept(sealed: Store, written: Written) -> None:
    recording = Recording(sealed, instruments=2)
    recording.written.last_seq = written.last_seq
    recording.run()
    recording.close()
    assert list(expire(sealed, MONTH, after(365))) == []
    assert len(sealed.journal_files(DATE)) == 3


def test_a_date_whose_files_do_not_agree_is_kept_and_named(sealed: Store) -> None:
    sealed.sealed_path("gaps", DATE).unlink()
    (expired,) = expire(sealed, MONTH, after(31))
    assert not expired.removed
    assert any("gaps.parquet" in line for line in expired.differences)
    assert len(sealed.journal_files(DATE)) == 2


def test_one_date_that_cannot_be_read_does_not_keep_the_others(sealed: Store) -> None:
    store = sealed
    dates = [DATE - dt.timedelta(days=days) for days in (4, 3, 0)]
    for date in dates[:2]:
        copy_sealed(store, store, date)
    store.manifest_path(dates[0]).write_bytes(b"[]")
    store.sealed_path("ticks", dates[1]).write_bytes(b"PAR1")
    expired = list(expire(store, MONTH, after(31)))
    assert [(each.date, each.removed) for each in expired] == [(dates[0], False), (dates[1], False), (dates[2], True)]
    assert "the manifest cannot be read" in expired[0].differences[0]
    assert "ticks.parquet" in expired[1].differences[0]
    assert [bool(store.journal_files(date)) for date in dates] == [True, True, False]


def test_what_its_owner_does_with_the_day_file_is_no_reason_to_keep_the_journal(with_day_file: Store) -> None:
    store = with_day_file
    copy_sealed(store, store, OLD)
    with duckdb.connect(str(store.duckdb_path(OLD))) as session:
        session.execute("CREATE VIEW mine AS FROM ticks WHERE ltp > 100; CHECKPOINT")
        command = [sys.executable, "-m", "tickrec.seal.retention", str(store.root), str(MONTH.total_seconds())]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (ExitCode.DONE, "")
    expired = Expired.from_json(done.stdout.splitlines()[0])
    assert (expired.date, expired.removed) == (OLD, True)
    assert store.journal_files(OLD) == []


@pytest.mark.parametrize("table", ["ticks", "gaps"])
def test_a_parquet_file_that_is_not_the_sealed_one_keeps_the_journal(sealed: Store, table: str) -> None:
    path = sealed.sealed_path(table, DATE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (expired,) = expire(sealed, MONTH, after(31))
    assert expired.differences == (f"{table}/date={DATE}/{table}.parquet: not the file that was sealed",)
    assert len(sealed.journal_files(DATE)) == 2


def test_a_journal_on_another_disk_goes_with_its_link(sealed: Store, tmp_path: Path) -> None:
    elsewhere = tmp_path / "disk"
    sealed.journal(DATE).rename(elsewhere)
    sealed.journal(DATE).symlink_to(elsewhere)
    (expired,) = expire(sealed, MONTH, after(31))
    assert expired.removed
    assert not elsewhere.exists()
    assert list(sealed.journals.iterdir()) == []


def test_a_date_that_somebody_works_on_is_left_alone(sealed: Store) -> None:
    with Lock(sealed.day_lock(DATE)) as lock:
        lock.acquire({"doing": "sealing 2026-11-23"})
        assert list(expire(sealed, MONTH, after(31))) == []
    assert len(sealed.journal_files(DATE)) == 2


def test_a_removal_that_was_interrupted_is_finished(sealed: Store) -> None:
    leaving = sealed.journals / f".{DATE}.expired"
    sealed.journal(DATE).rename(leaving)
    assert sealed.dates() == [DATE]
    assert list(expire(sealed, MONTH, after(31))) == []
    assert not leaving.exists()
