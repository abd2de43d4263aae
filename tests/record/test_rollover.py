"""The dates of one run: midnight, a clock that is set, and what turns out to be missing after a date was left."""

import asyncio
import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clocks import HandClock, at
from tests.record.fixtures import feeds
from tests.recordings import until
from tests.upstox.feed_fixtures import make_feed
from tickrec.clock import SECOND
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.journal.gaps import Gap
from tickrec.logs import Warnings
from tickrec.market.calendar import Calendar
from tickrec.record.alerts import Alerts
from tickrec.record.day import MIDNIGHT, Day
from tickrec.record.flush import Flushing
from tickrec.record.plan import Plan, Times
from tickrec.record.progress import RunProgress
from tickrec.record.rollover import LATE_SECONDS, Rollover
from tickrec.store.coverage import coverage
from tickrec.store.paths import Store
from tickrec.store.rows import stored_rows

MONDAY, TUESDAY = dt.date(2026, 11, 23), dt.date(2026, 11, 24)
MIDNIGHT_NS = at("2026-11-24T00:00")
KEYS = [["NSE_EQ|A", "A", "full"], ["NSE_EQ|B", "B", "full"]]


class Run:
    """A run that entries are fed to by hand, a minute before midnight."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = HandClock(MIDNIGHT_NS - 60 * SECOND)
        self.flushing = Flushing(store, self.clock, interval=60, duckdb=False)
        alerts = Alerts(None, self.clock, store.state / "alerts.json")
        day = Day(store, MONDAY, self.clock)
        self.rollover = Rollover(store, self.clock, day, self.flushing, alerts, dt.timedelta(days=30))

    def append(self, kind: EntryKind, conn: int = 1, **facts: Any) -> None:
        now_ns = self.clock.wall_ns()
        self.rollover.append(Entry(kind, conn, now_ns, now_ns, encode_facts(**facts)))

    def want(self, conn: int = 1) -> None:
        self.append(EntryKind.NOTE, conn, event="wanted", keys=KEYS)

    def open(self, conn: int = 1) -> None:
        self.append(EntryKind.CONNECTED, conn, host="h", attempt=1, keys=2)
        self.append(EntryKind.SUBSCRIBED, conn, mode="full", keys=[each[:2] for each in KEYS])

    def receive(self, conn: int = 1) -> None:
        now_ns = self.clock.wall_ns()
        self.rollover.append_messages([Entry(EntryKind.MESSAGE, conn, now_ns, now_ns, feeds({"NSE_EQ|A": 1.0}))])

    def drop(self, conn: int = 1, **facts: Any) -> None:
        self.append(EntryKind.DISCONNECTED, conn, code=1006, reason="reset", stopped=False, **facts)

    def at(self, second: float) -> None:
        """So many seconds after midnight."""
        self.clock.now_ns = MIDNIGHT_NS + int(second * SECOND)

    async def end(self) -> dict[dt.date, list[tuple[int, float, float | None, str, int]]]:
        """Say goodbye; the gaps of each date in seconds after midnight."""
        self.rollover.current.say_goodbye("stopped")
        await self.rollover.finish_left(at_once=True)
        await self.flushing.finish(self.rollover.current)
        self.rollover.current.close()
        return {date: self.rows(date) for date in self.store.dates()}

    def rows(self, date: dt.date) -> list[tuple[int, float, float | None, str, int]]:
        rows = stored_rows(self.store, coverage(self.store, date), "gaps")
        begin = dt.datetime.fromtimestamp(MIDNIGHT_NS // SECOND, dt.UTC)
        return [
            (
                row["conn"],
                (row["start_ts"] - begin).total_seconds(),
                row["end_ts"] and (row["end_ts"] - begin).total_seconds(),
                row["reason"],
                row["keys"],
            )
            for row in rows
        ]


@pytest.fixture
def run(store: Store) -> Iterator[Run]:
    one = Run(store)
    yield one
    one.flushing.close()


async def test_a_connection_that_lives_over_midnight_has_no_gap(run: Run) -> None:
    run.want()
    run.open()
    run.receive()
    run.at(0.2)
    run.receive()
    assert run.rollover.current.date == TUESDAY
    assert await run.end() == {MONDAY: [], TUESDAY: []}


async def test_what_was_added_goes_on_over_midnight(run: Run) -> None:
    run.want()
    run.open()
    run.receive()
    run.append(EntryKind.NOTE, event="added", keys=[["NSE_EQ|C", "C", "full"]], followed=["NSE_EQ|C"])
    run.append(EntryKind.SUBSCRIBED, mode="full", keys=[["NSE_EQ|C", "C"]], followed=["NSE_EQ|C"])
    run.at(1)
    run.receive()
    run.at(2)
    run.drop()
    run.at(3)
    assert await run.end() == {MONDAY: [], TUESDAY: [(1, 1, 3, "reset", 3)]}
    for date in (MONDAY, TUESDAY):
        asked = stored_rows(run.store, coverage(run.store, date), "subscriptions")
        assert {row["instrument_key"]: row["followed"] for row in asked} == {
            "NSE_EQ|A": False,
            "NSE_EQ|B": False,
            "NSE_EQ|C": True,
        }


async def test_what_was_added_while_the_connection_was_lost_is_known_after_midnight(run: Run) -> None:
    run.want()
    run.open()
    run.at(-20)
    run.drop()
    run.append(EntryKind.NOTE, event="added", keys=[["NSE_EQ|C", "C", "full"]], followed=["NSE_EQ|C"])
    run.at(1)
    run.append(EntryKind.NOTE, event="attempt", reason="403", retry_s=1)
    await run.end()
    asked = stored_rows(run.store, coverage(run.store, TUESDAY), "subscriptions")
    assert [(row["instrument_key"], row["followed"]) for row in asked] == [
        ("NSE_EQ|A", False),
        ("NSE_EQ|B", False),
        ("NSE_EQ|C", True),
    ]


async def test_what_was_lost_before_midnight_is_missing_on_both_dates_and_its_instruments_are_named(run: Run) -> None:
    run.want()
    run.open()
    run.receive()
    run.at(-20)
    run.drop(since_ns=MIDNIGHT_NS - 25 * SECOND)
    run.at(30)
    run.append(EntryKind.NOTE, event="attempt", reason="403", retry_s=1)
    run.at(60)
    assert await run.end() == {MONDAY: [(1, -25, 0, "reset", 2)], TUESDAY: [(1, 0, 60, "reset", 2)]}
    asked = stored_rows(run.store, coverage(run.store, TUESDAY), "subscriptions")
    assert [(row["instrument_key"], row["asked_ts"]) for row in asked] == [("NSE_EQ|A", None), ("NSE_EQ|B", None)]


async def test_a_connection_without_data_since_it_came_back_is_missing_until_its_first_data(run: Run) -> None:
    run.want()
    run.open()
    run.receive()
    run.at(-20)
    run.drop()
    run.at(-1)
    run.open()
    run.at(5)
    run.append(EntryKind.NOTE, event="silent", keys=["NSE_EQ|A"])
    run.at(7)
    run.receive()
    assert await run.end() == {MONDAY: [(1, -60, 0, "reset", 2)], TUESDAY: [(1, 0, 7, "reset", 2)]}


async def test_a_first_attempt_under_way_over_midnight_is_missing_on_both_dates(run: Run) -> None:
    run.want()
    run.at(-10)
    run.want(2)
    run.at(4)
    run.open()
    run.receive()
    run.at(6)
    rows = await run.end()
    assert [row[:3] for row in rows[MONDAY]] == [(1, -60, 0), (2, -10, 0)]
    assert [row[:3] for row in rows[TUESDAY]] == [(1, 0, 4), (2, 0, 6)]


async def test_data_that_turns_out_to_have_ended_before_midnight_is_missing_on_both_dates(run: Run) -> None:
    """A process that stood still over midnight, or a line that was found dead after it."""
    run.want()
    run.open()
    run.receive()
    run.at(40)
    run.receive()
    run.drop(since_ns=MIDNIGHT_NS - 15 * SECOND)
    run.at(41)
    run.open()
    run.receive()
    assert await run.end() == {MONDAY: [(1, -15, 0, "reset", 2)], TUESDAY: [(1, 0, 41, "reset", 2)]}


async def test_a_machine_that_slept_over_midnight_ends_the_date_at_its_end(run: Run) -> None:
    run.want()
    run.want(2)
    run.open()
    run.open(2)
    run.receive()
    run.receive(2)
    run.drop(2)
    run.at(8 * 3600)
    run.drop(since_ns=MIDNIGHT_NS - 50 * SECOND)
    run.open()
    run.receive()
    rows = await run.end()
    assert [row[:3] for row in rows[MONDAY]] == [(2, -60, 0), (1, -50, 0)]
    assert [row[:3] for row in rows[TUESDAY]] == [(1, 0, 8 * 3600), (2, 0, 8 * 3600)]
    (closed,) = stored_rows(run.store, coverage(run.store, MONDAY), "connections")[1:]
    assert closed["reason"] == MIDNIGHT


async def test_a_date_that_was_left_is_finished_when_nothing_more_can_turn_out(run: Run) -> None:
    run.want()
    run.open()
    run.receive()
    run.at(1)
    run.receive()
    finishing = asyncio.create_task(run.rollover.keep_finishing())
    await until(lambda: coverage(run.store, MONDAY).next_seq > 1)
    assert run.clock.now_ns >= MIDNIGHT_NS + LATE_SECONDS * SECOND
    finishing.cancel()
    await asyncio.gather(finishing, return_exceptions=True)
    await run.end()


async def test_a_date_is_not_said_to_be_flushed_as_far_as_the_one_before(run: Run) -> None:
    plan = Plan("full", (), (), Calendar(), None, Times(0, None))
    progress, feed = RunProgress(run.store, plan, run.clock, 0, Warnings()), make_feed("http://127.0.0.1:1", [])

    def flushed() -> tuple[int, int | None]:
        told = progress.status(run.rollover.current, feed, run.flushing)
        return told.flushed_seq, told.parquet_ns

    async def receive_and_flush() -> tuple[int, int | None]:
        run.receive()
        await run.flushing.flush(run.rollover.current)
        return flushed()

    run.want()
    run.open()
    assert await receive_and_flush() == (5, run.clock.now_ns)
    run.at(1)
    run.receive()
    assert flushed() == (0, None)
    today = await receive_and_flush()
    run.at(LATE_SECONDS + 2)
    await run.rollover.finish_left()
    assert flushed() == today
    await run.end()


async def test_a_clock_set_back_over_midnight_goes_on_in_the_date_it_had_left(run: Run) -> None:
    run.want()
    run.open()
    run.receive()
    run.at(1)
    run.receive()
    run.at(-30)
    run.receive()
    assert run.rollover.current.date == MONDAY
    rows = await run.end()
    assert [row[:4] for row in rows[MONDAY]] == [(1, -60, -30, MIDNIGHT)]


async def test_the_gaps_of_a_date_left_lately_are_known_as_well(run: Run) -> None:
    run.want()
    run.open()
    run.receive()
    run.drop()
    run.at(1)
    run.append(EntryKind.NOTE, event="attempt", reason="403", retry_s=1)
    found = [(gap.start_ns - MIDNIGHT_NS, gap.end_ns) for gap in run.rollover.gaps()]
    assert found == [(-60 * SECOND, MIDNIGHT_NS), (0, None)]
    assert [gap.seq for gap in run.rollover.gaps() if isinstance(gap, Gap)][-1] is None
    await run.end()
