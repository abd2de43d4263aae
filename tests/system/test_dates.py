"""A recording over midnight, and over a clock that is set: everything is on its date, and what is missing on both."""

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.clocks import ShiftedClock
from tests.days import read_tail
from tests.recordings import Recording, messages, recorded, recording, sent, until
from tickrec.clock import IST, SECOND, SystemClock, from_datetime
from tickrec.files import Lock
from tickrec.journal import Journal
from tickrec.journal.entry import EntryKind
from tickrec.market.calendar import trading_date
from tickrec.serve.faults import Fault
from tickrec.status import status
from tickrec.store.coverage import coverage


def gap_rows(one: Recording, date: dt.date) -> list[dict[str, Any]]:
    paths = coverage(one.store, date).small_parts["gaps"]
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


async def test_midnight_begins_a_new_date_with_its_own_numbers(tmp_path: Path) -> None:
    midnight = from_datetime(dt.datetime(2026, 11, 24, tzinfo=IST))
    clock = ShiftedClock(midnight - 3600 * SECOND - SystemClock.wall_ns())

    async with recording(tmp_path, clock=clock) as one:
        await one.sent(100)
        clock.shift_ns += midnight - clock.wall_ns() - SECOND // 5
        await until(lambda: clock.wall_ns() > midnight)
        await one.sent(200)
        await one.stop()
        monday, tuesday = one.store.dates()
        assert (monday, tuesday) == (dt.date(2026, 11, 23), dt.date(2026, 11, 24))
        for date in (monday, tuesday):
            entries = list(Journal(one.store.journal(date)).entries())
            assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
            assert {trading_date(entry.wall_ns) for entry in entries if entry.kind is EntryKind.MESSAGE} == {date}
            assert [entry.kind for entry in entries].count(EntryKind.CONNECTED) == 1
            assert any(entry.kind is EntryKind.SUBSCRIBED for entry in entries)
            assert coverage(one.store, date).next_seq == len(entries) + 1
        assert recorded(one) == sent(tmp_path)
        assert read_tail(one.store, tuesday, coverage(one.store, tuesday)).tables["ticks"].num_rows == 0


async def test_an_outage_over_midnight_is_a_gap_on_both_dates(tmp_path: Path) -> None:
    midnight = from_datetime(dt.datetime(2026, 11, 24, tzinfo=IST))
    clock = ShiftedClock(midnight - 3600 * SECOND - SystemClock.wall_ns())

    async with recording(tmp_path, clock=clock) as one:
        await one.sent(60)
        one.simulator.strike(Fault("refuse", "2"))
        one.simulator.strike(Fault("drop"))
        await until(lambda: one.simulator.stats()["connections"] == 0)
        clock.shift_ns += midnight - clock.wall_ns() + SECOND
        await until(lambda: one.simulator.stats()["opened"] == 2)
        await one.sent(60)
        await one.stop()
        monday, tuesday = (gap_rows(one, date) for date in one.store.dates())
        assert [gap["end_ts"].date() for gap in monday] == [dt.date(2026, 11, 23)]
        assert len(tuesday) == 1
        assert monday[0]["reason"] == tuesday[0]["reason"]
        assert tuesday[0]["end_ts"] > tuesday[0]["start_ts"] >= monday[0]["end_ts"]


async def test_a_connection_that_was_never_opened_is_missed_on_both_sides_of_midnight(tmp_path: Path) -> None:
    """The account has two connections to give; a third is asked for all the time."""
    midnight = from_datetime(dt.datetime(2026, 11, 24, tzinfo=IST))
    clock = ShiftedClock(midnight - 3600 * SECOND - SystemClock.wall_ns())

    config = 'plan = "plus"\nconnections = 3\n[store]\nduckdb = false\n'
    async with recording(tmp_path, clock=clock, config=config) as one:
        await until(lambda: bool((said := status.read(one.store.status_path)) and said.gaps))
        clock.shift_ns += midnight - clock.wall_ns() + SECOND
        await until(lambda: len(one.store.dates()) == 2)
        await one.sent(60)
        last = await one.stop()
        (gap,) = last.gaps
        assert gap.start_ns >= midnight
        for date in one.store.dates():
            (row,) = gap_rows(one, date)
            assert (row["conn"], row["keys"], row["reason"]) == (gap.conn, gap.keys, "403 on handshake")
            asked = pa.concat_tables(map(pq.read_table, coverage(one.store, date).small_parts["subscriptions"]))
            assert sum(each["asked_ts"] is None for each in asked.to_pylist()) == gap.keys


async def test_a_clock_set_forward_over_midnight_and_back_leaves_every_tick_on_its_date(tmp_path: Path) -> None:
    noon = from_datetime(dt.datetime(2026, 11, 23, 12, tzinfo=IST))
    clock = ShiftedClock(noon - SystemClock.wall_ns())

    async with recording(tmp_path, clock=clock) as one:
        for step in (24 * 3600, -24 * 3600, 0):
            await one.sent(60)
            clock.shift_ns += step * SECOND
        await one.sent(60)
        await one.stop()
        for date in one.store.dates():
            entries = messages(one.store.journal(date))
            assert {trading_date(entry.wall_ns) for entry in entries} == {date}
        assert sorted(recorded(one)) == sorted(sent(tmp_path))


async def test_a_date_that_somebody_else_holds_is_not_begun_before_it_is_free(tmp_path: Path) -> None:
    """Nothing stops the recording: what comes meanwhile is kept on the date before."""
    midnight = from_datetime(dt.datetime(2026, 11, 24, tzinfo=IST))
    clock = ShiftedClock(midnight - 3600 * SECOND - SystemClock.wall_ns())
    tuesday = dt.date(2026, 11, 24)

    async with recording(tmp_path, clock=clock) as one:
        await one.sent(60)
        lock = Lock(one.store.day_lock(tuesday))
        lock.acquire({"doing": f"sealing {tuesday}"})
        clock.shift_ns += midnight - clock.wall_ns()
        await one.sent(60)
        assert one.store.dates() == [dt.date(2026, 11, 23)]
        lock.release()
        await one.sent(60)
        await one.stop()
        assert one.store.dates() == [dt.date(2026, 11, 23), tuesday]
        assert recorded(one) == sent(tmp_path)
