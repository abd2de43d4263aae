import asyncio
import datetime as dt
import errno
import logging
import os
import sys
from pathlib import Path

import duckdb
import pytest

from tests.clocks import HandClock
from tests.days import DATE, Recording
from tests.processes import reading
from tests.record.fixtures import feeds
from tests.recordings import until
from tickrec.clock import SECOND
from tickrec.errors import StorageError
from tickrec.journal.entry import Entry, EntryKind
from tickrec.record.day import Day
from tickrec.record.flush import APPEND_EVERY_NS, Appending, Flushing
from tickrec.store import dayfile
from tickrec.store.coverage import coverage
from tickrec.store.parts import PART_TICKS, PartWriter
from tickrec.store.paths import Store

DEADLINE = 30.0
NEXT = DATE + dt.timedelta(days=1)


def begin(store: Store, date: dt.date = DATE) -> Recording:
    """A day that goes on."""
    recording = Recording(store, date=date, instruments=8)
    recording.run()
    recording.connect()
    return recording


def publish(store: Store, recording: Recording, date: dt.date = DATE) -> int:
    """One more part; all ticks published so far."""
    recording.updates(2)
    PartWriter(store, date).flush(recording.written.last_seq)
    return recording.written.ticks


def rows(store: Store, date: dt.date = DATE) -> int:
    with duckdb.connect(str(store.duckdb_path(date)), read_only=True) as session:
        (found,) = session.execute("SELECT count(*) FROM ticks").fetchall()
        return int(found[0])


def test_parts_are_appended_by_the_child_that_is_there_and_one_full_of_ticks_is_worth_it(store: Store) -> None:
    async def scenario() -> None:
        recording, appending = begin(store), Appending(store.root, HandClock())
        first = publish(store, recording)
        assert appending.is_due(DATE, first)
        appending.ask(DATE, first)
        assert not appending.is_due(DATE, first + PART_TICKS - 1)
        assert appending.is_due(DATE, first + PART_TICKS)
        await until(lambda: appending.ticks == first)
        assert rows(store) == first
        second = publish(store, recording)
        appending.ask(DATE, second)
        await appending.wait()
        assert rows(store) == appending.ticks == second

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE))


def test_nothing_asked_while_the_child_takes_its_leave_is_forgotten(store: Store) -> None:
    async def scenario() -> None:
        recording, appending = begin(store), Appending(store.root, HandClock())
        for _ in range(2):
            appending.ask(DATE, publish(store, recording))
            appending.let_child_end()
            await until(lambda: appending.ticks == recording.written.ticks)
        last = publish(store, recording)  # the child has answered, and now ends
        appending.ask(DATE, last)
        await appending.wait()
        assert rows(store) == appending.ticks == last

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE))


def test_at_midnight_the_days_are_appended_one_after_the_other(store: Store) -> None:
    async def scenario() -> None:
        today, tomorrow, appending = begin(store), begin(store, NEXT), Appending(store.root, HandClock())
        before = publish(store, today)
        appending.ask(DATE, before)
        after = publish(store, tomorrow, NEXT)
        appending.ask(NEXT, after)
        await appending.wait()
        assert (rows(store), rows(store, NEXT)) == (before, after)
        assert appending.ticks == before + after

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE))


def test_a_file_that_a_reader_holds_is_caught_up_with_when_asked_again_and_not_made_up_for_by_another(
    store: Store,
) -> None:
    async def scenario() -> None:
        today, tomorrow, appending = begin(store), begin(store, NEXT), Appending(store.root, HandClock())
        first = publish(store, today)
        dayfile.append(store, DATE)
        second = publish(store, today)
        with reading(store.duckdb_path(DATE)):
            appending.ask(DATE, second)
            await appending.wait()
            assert appending.ticks == 0
        assert rows(store) == first
        after = publish(store, tomorrow, NEXT)
        appending.ask(NEXT, after)
        await appending.wait()
        assert appending.ticks == after
        appending.ask(DATE, second)
        await appending.wait()
        assert rows(store) == second
        assert appending.ticks == second + after

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE))


def test_a_file_that_cannot_be_written_is_said_once_asked(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        recording, appending = begin(store), Appending(store.root, HandClock())
        published = publish(store, recording)
        store.duckdb_path(DATE).parent.write_text("in the way of a folder")
        appending.ask(DATE, published)
        await appending.wait()
        assert appending.ticks == 0

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE))
    assert f"appending to the DuckDB file of {DATE} failed" in caplog.text


async def test_the_day_file_is_made_at_once_and_then_waits_for_enough(store: Store) -> None:
    clock = HandClock()
    day, flushing = Day(store, DATE, clock), Flushing(store, clock, interval=60, duckdb=True)

    async def flush() -> None:
        now_ns = clock.wall_ns()
        day.append_messages([Entry(EntryKind.MESSAGE, 1, now_ns, now_ns, feeds({"NSE_EQ|A": 1.0}))])
        await flushing.flush(day)

    await flush()
    await until(lambda: flushing.duckdb_lag == 0)
    assert rows(store) == 1
    clock.pass_s(60)
    await flush()
    await flush()
    assert (rows(store), flushing.duckdb_lag) == (1, 2)
    clock.pass_s(APPEND_EVERY_NS / SECOND)
    await flush()
    await until(lambda: flushing.duckdb_lag == 0)
    assert rows(store) == 4
    await flush()
    assert flushing.duckdb_lag == 1
    await flushing.finish(day)
    assert (rows(store), flushing.duckdb_lag) == (5, 0)
    day.close()
    flushing.close()


async def test_the_last_part_does_not_wait_for_enough_to_be_appended(store: Store) -> None:
    """So the child that appends what was before it does that, too."""
    clock = HandClock()
    day, flushing = Day(store, DATE, clock), Flushing(store, clock, interval=60, duckdb=True)
    for number in range(2):
        now_ns = clock.wall_ns()
        day.append_messages([Entry(EntryKind.MESSAGE, 1, now_ns, now_ns, feeds({"NSE_EQ|A": 1.0}))])
        await flushing.flush(day, final=number == 1)
    await until(lambda: flushing.duckdb_lag == 0)
    assert rows(store) == 2
    await flushing.finish(day)
    day.close()
    flushing.close()


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
