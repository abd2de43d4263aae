import datetime as dt
import errno
import logging
import os
import sys
from pathlib import Path

import pytest

from tests.clocks import HandClock
from tests.days import DATE
from tests.record.fixtures import feeds
from tickrec.errors import StorageError
from tickrec.journal.entry import Entry, EntryKind
from tickrec.record.day import Day
from tickrec.record.flush import Flushing
from tickrec.store.coverage import coverage
from tickrec.store.paths import Store

DEADLINE = 30.0
NEXT = DATE + dt.timedelta(days=1)


async def test_a_flush_that_fails_is_said_once_and_for_as_long_as_it_does(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tickrec")
    day, flushing = Day(store, DATE, HandClock()), Flushing(store, HandClock(), interval=60, duckdb=False)
    day.append_messages([Entry(EntryKind.MESSAGE, 1, 0, 0, feeds({"NSE_EQ|A": 1.0}))])
    in_the_way = store.root / "ticks"
    in_the_way.write_text("no folder")
    for _ in range(2):
        assert not await flushing.flush(day)
        assert flushing.failure
    in_the_way.unlink()
    assert await flushing.flush(day)
    assert not flushing.failure
    assert caplog.text.count("not flushed, the journal keeps everything until it works again") == 1
    assert caplog.text.count("flushing works again") == 1
    day.close()
    flushing.close()


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac is asked by another call")
async def test_no_part_covers_what_the_disk_does_not_take_of_the_journal(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    day, flushing = Day(store, DATE, HandClock()), Flushing(store, HandClock(), interval=60, duckdb=False)
    day.append_messages([Entry(EntryKind.MESSAGE, 1, 0, 0, feeds({"NSE_EQ|A": 1.0}))])
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, refuse, raising=False)
    with pytest.raises(StorageError, match="could not be made durable"):
        await flushing.flush(day)
    assert not coverage(store, DATE).parts
    with pytest.raises(StorageError):
        day.append(Entry(EntryKind.NOTE, 0, 0, 0, b"{}"))
    day.close()
    flushing.close()


async def test_what_else_the_child_says_that_removes_old_journals_is_logged(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "nonsense")  # of which Python says something on stderr
    (tmp_path / "sitecustomize.py").write_text("print('a library says on stdout')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    flushing = Flushing(store, HandClock(), interval=60, duckdb=False)
    await flushing.expire(dt.timedelta(days=1))
    assert "removing old journals: Invalid -W option ignored" in caplog.text
    assert "removing old journals: a library says on stdout" in caplog.text
    flushing.close()


async def test_a_child_that_hangs_is_ended(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    flushing = Flushing(store, HandClock(), interval=60, duckdb=False, child_seconds=0.0)
    await flushing.expire(dt.timedelta(days=1))
    assert "old journals could not be removed: it took more than 0.0s" in caplog.text
    assert not await flushing.seal(DATE)
    flushing.close()
