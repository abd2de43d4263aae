"""The day file, appended to in a process of its own: beside a recorder that flushes, held by readers, and killed."""

import datetime as dt
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.clocks import HandClock
from tests.days import DATE, Recording
from tests.processes import reading
from tests.record.fixtures import feeds
from tests.recordings import until
from tests.store.test_dayfile import assert_same_rows, flushed, grow
from tickrec.clock import SECOND
from tickrec.errors import ExitCode
from tickrec.journal.entry import Entry, EntryKind
from tickrec.record.day import Day
from tickrec.record.flush import APPEND_EVERY_NS, Appending, Flushing
from tickrec.store import dayfile
from tickrec.store.parts import PART_TICKS, PartWriter
from tickrec.store.paths import Store

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


@pytest.fixture
def starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many children were started."""
    started = tmp_path / "started"
    (tmp_path / "sitecustomize.py").write_text(f"open({str(started)!r}, 'a').write('one\\n')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lambda: started.read_text().count("one")


async def test_parts_are_appended_by_the_child_that_is_there_and_one_full_of_ticks_is_worth_it(
    store: Store, starts: Callable[[], int]
) -> None:
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
    assert starts() == 1


async def test_nothing_asked_while_the_child_takes_its_leave_is_forgotten(store: Store) -> None:
    recording, appending = begin(store), Appending(store.root, HandClock())
    for _ in range(2):
        appending.ask(DATE, publish(store, recording))
        appending.let_child_end()
        await until(lambda: appending.ticks == recording.written.ticks)
    last = publish(store, recording)  # the child has answered, and now ends
    appending.ask(DATE, last)
    await appending.wait()
    assert rows(store) == appending.ticks == last


async def test_at_midnight_the_days_are_appended_one_after_the_other(store: Store) -> None:
    today, tomorrow, appending = begin(store), begin(store, NEXT), Appending(store.root, HandClock())
    before = publish(store, today)
    appending.ask(DATE, before)
    after = publish(store, tomorrow, NEXT)
    appending.ask(NEXT, after)
    await appending.wait()
    assert (rows(store), rows(store, NEXT)) == (before, after)
    assert appending.ticks == before + after


async def test_a_file_that_a_reader_holds_is_caught_up_with_when_asked_again_and_not_made_up_for_by_another(
    store: Store,
) -> None:
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


def test_the_child_appends_whenever_it_is_told_to(store: Store) -> None:
    recording = flushed(store)
    command = [sys.executable, "-m", "tickrec.store.dayfile", str(store.root), str(DATE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for _ in range(2):
            child.stdin.write("\n")
            child.stdin.flush()
            assert child.stdout.readline() == "\n"
            assert_same_rows(store)
            grow(store, recording)
        assert child.communicate()[0] == ""
    assert child.returncode == ExitCode.DONE


def test_an_append_killed_anywhere_is_as_if_it_had_not_begun(store: Store) -> None:
    seed = 20261123
    print("seed", seed)
    rng = random.Random(seed)
    recording = flushed(store)
    dayfile.append(store, DATE)
    for _ in range(2):
        grow(store, recording)
        command = [sys.executable, "-m", "tickrec.store.dayfile", str(store.root), str(DATE)]
        quiet = subprocess.DEVNULL
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet)
        try:
            child.communicate(b"\n", rng.uniform(0.2, 0.9))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    dayfile.append(store, DATE)
    assert_same_rows(store)


async def test_a_file_that_cannot_be_written_is_said_once_asked(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    recording, appending = begin(store), Appending(store.root, HandClock())
    published = publish(store, recording)
    store.duckdb_path(DATE).parent.write_text("in the way of a folder")
    appending.ask(DATE, published)
    await appending.wait()
    assert appending.ticks == 0
    assert f"appending to the DuckDB file of {DATE} failed" in caplog.text
