import asyncio
import datetime as dt
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tests.clocks import HandClock
from tests.days import DATE, Recording, write_day
from tickrec.clock import SystemClock, from_datetime
from tickrec.errors import ExitCode
from tickrec.files import Lock
from tickrec.formatting import size as size_text
from tickrec.record.flush import Flushing
from tickrec.seal.retention import Expired, expire
from tickrec.seal.seal import seal
from tickrec.seal.verify import verify
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store

MONTH = dt.timedelta(days=30)


def after(days: int) -> HandClock:
    """Noon, India, some days after DATE."""
    noon = dt.datetime.combine(DATE, dt.time(6, 30), dt.UTC)
    return HandClock(from_datetime(noon + dt.timedelta(days=days)))


def test_the_journal_of_an_old_sealed_date_goes_and_everything_else_stays(store: Store) -> None:
    write_day(store)
    seal(store, DATE)
    size = sum(path.stat().st_size for path in store.journal_files(DATE))
    kept = {path for path in store.root.rglob("*") if path.is_file() and "journal" not in path.parts}
    (expired,) = expire(store, MONTH, after(31))
    assert (expired.date, expired.bytes, expired.removed) == (DATE, size, True)
    assert store.journal_files(DATE) == []
    assert not store.journal(DATE).exists()
    assert {path for path in store.root.rglob("*") if path.is_file()} == kept
    assert verify(store, DATE).differences == ()
    assert list(expire(store, MONTH, after(31))) == []


def test_a_date_is_kept_for_as_long_as_asked(store: Store) -> None:
    write_day(store)
    seal(store, DATE)
    assert list(expire(store, MONTH, after(30))) == []
    assert len(store.journal_files(DATE)) == 2


def test_a_date_that_is_not_sealed_is_kept(store: Store) -> None:
    last = write_day(store).last_seq
    PartWriter(store, DATE).flush(last, final=True)
    assert list(expire(store, MONTH, after(365))) == []
    seal(store, DATE)
    recording = Recording(store)
    recording.written.last_seq = last
    recording.run()
    recording.close()
    assert list(expire(store, MONTH, after(365))) == []
    assert len(store.journal_files(DATE)) == 3


def test_a_date_whose_files_do_not_agree_is_kept_and_named(store: Store) -> None:
    write_day(store)
    seal(store, DATE)
    store.sealed_path("gaps", DATE).unlink()
    (expired,) = expire(store, MONTH, after(31))
    assert not expired.removed
    assert any("gaps.parquet" in line for line in expired.differences)
    assert len(store.journal_files(DATE)) == 2


def test_one_date_that_cannot_be_read_does_not_keep_the_others(store: Store) -> None:
    dates = [DATE - dt.timedelta(days=days) for days in (4, 3, 0)]
    for date in dates:
        write_day(store, date, messages=6)
        seal(store, date)
    store.manifest_path(dates[0]).write_bytes(b"[]")
    store.sealed_path("ticks", dates[1]).write_bytes(b"PAR1")
    expired = list(expire(store, MONTH, after(31)))
    assert [(each.date, each.removed) for each in expired] == [(dates[0], False), (dates[1], False), (dates[2], True)]
    assert "the manifest cannot be read" in expired[0].differences[0]
    assert "ticks.parquet" in expired[1].differences[0]
    assert [bool(store.journal_files(date)) for date in dates] == [True, True, False]


def test_what_its_owner_does_with_the_day_file_is_no_reason_to_keep_the_journal(store: Store) -> None:
    old = dt.date(2020, 1, 6)
    write_day(store, old, messages=6)
    seal(store, old)
    with duckdb.connect(str(store.duckdb_path(old))) as session:
        session.execute("CREATE VIEW mine AS FROM ticks WHERE ltp > 100")
        command = [sys.executable, "-m", "tickrec.seal.retention", str(store.root), str(MONTH.total_seconds())]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (ExitCode.DONE, "")
    assert Expired.from_json(done.stderr).removed
    assert store.journal_files(old) == []


@pytest.mark.parametrize("table", ["ticks", "gaps"])
def test_a_parquet_file_that_is_not_the_sealed_one_keeps_the_journal(store: Store, table: str) -> None:
    write_day(store, messages=6)
    seal(store, DATE)
    path = store.sealed_path(table, DATE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (expired,) = expire(store, MONTH, after(31))
    assert expired.differences == (f"{table}/date={DATE}/{table}.parquet: not the file that was sealed",)
    assert len(store.journal_files(DATE)) == 2


def test_a_journal_on_another_disk_goes_with_its_link(store: Store, tmp_path: Path) -> None:
    write_day(store, messages=6)
    seal(store, DATE)
    elsewhere = tmp_path / "disk"
    store.journal(DATE).rename(elsewhere)
    store.journal(DATE).symlink_to(elsewhere)
    (expired,) = expire(store, MONTH, after(31))
    assert expired.removed
    assert not elsewhere.exists()
    assert list(store.journals.iterdir()) == []


def test_a_date_that_somebody_works_on_is_left_alone(store: Store) -> None:
    write_day(store)
    seal(store, DATE)
    with Lock(store.day_lock(DATE)) as lock:
        lock.acquire({"doing": "sealing 2026-11-23"})
        assert list(expire(store, MONTH, after(31))) == []
    assert len(store.journal_files(DATE)) == 2


def test_a_removal_that_was_interrupted_is_finished(store: Store) -> None:
    write_day(store)
    seal(store, DATE)
    leaving = store.journals / f".{DATE}.expired"
    store.journal(DATE).rename(leaving)
    assert store.dates() == [DATE]
    assert list(expire(store, MONTH, after(31))) == []
    assert not leaving.exists()


def test_the_recorder_logs_what_was_removed_and_why_something_was_not(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    dates = [dt.date(2020, 1, day) for day in (6, 7, 8)]
    for date in dates:
        write_day(store, date, messages=6)
        seal(store, date)
    store.sealed_path("gaps", dates[0]).unlink()
    store.sealed_path("ticks", dates[2]).write_bytes(b"PAR1")
    size = sum(path.stat().st_size for path in store.journal_files(dates[1]))
    with caplog.at_level("INFO", "tickrec"):
        _expire(store)
    kept, removed, unreadable = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert kept[0] == unreadable[0] == "WARNING"
    assert kept[1].startswith("kept the old journal of 2020-01-06: gaps/date=2020-01-06/gaps.parquet: ")
    assert kept[1].endswith("; `tickrec verify 2020-01-06` tells more")
    assert removed == ("INFO", f"removed the journal of 2020-01-07, {size_text(size)}")
    assert unreadable[1].startswith("kept the old journal of 2020-01-08: ")
    assert [bool(store.journal_files(date)) for date in dates] == [True, False, True]


def test_the_recorder_logs_what_ended_the_removal(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    write_day(store, dt.date(2020, 1, 6))
    seal(store, dt.date(2020, 1, 6))
    (store.journals / ".2020-01-05.expired").write_bytes(b"no folder")
    _expire(store)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("old journals could not be removed: ")
    assert "2020-01-05.expired" in record.getMessage()
    assert "Traceback" not in caplog.text


def _expire(store: Store) -> None:
    """Remove journals as the recorder does."""
    flushing = Flushing(store, SystemClock(), interval=60.0, duckdb=True)
    try:
        asyncio.run(flushing.expire(MONTH))
    finally:
        flushing.close()
