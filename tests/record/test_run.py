"""Whole recordings against the simulated broker: what was sent is what is stored."""

import asyncio
import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.clocks import ShiftedClock
from tests.recordings import FAST, Recording, messages, recording, until
from tickrec.clock import IST, SECOND, SystemClock, from_datetime
from tickrec.errors import ExitCode
from tickrec.files import Lock
from tickrec.journal import Journal
from tickrec.journal.entry import EntryKind
from tickrec.market.calendar import trading_date
from tickrec.record.plan import Options
from tickrec.serve.faults import Fault
from tickrec.status import status
from tickrec.store.coverage import coverage
from tickrec.store.parts import read_tail
from tickrec.upstox.decode.peek import count_feeds


def run(coroutine) -> None:  # type: ignore[no-untyped-def]
    asyncio.run(coroutine)


def stored_ticks(run: Recording) -> int:
    """Rows of `ticks` over all dates, in parts and in the journal's tail."""
    store, total = run.store, 0
    for date in store.dates():
        covered = coverage(store, date)
        total += sum(pq.read_metadata(part.path).num_rows for part in covered.parts)
        total += read_tail(store, date, covered).tables["ticks"].num_rows
    return total


def recorded(run: Recording) -> list[bytes]:
    return [entry.payload for date in run.store.dates() for entry in messages(run.store.journal(date))]


def sent(run: Recording, tmp_path: Path) -> list[bytes]:
    return [entry.payload for entry in messages(tmp_path / "sent")]


async def test_everything_sent_is_stored_byte_for_byte(tmp_path: Path) -> None:
    async with recording(tmp_path) as one:
        await one.sent(300)
        last = await one.stop()
        assert last.exit_code == ExitCode.DONE
        assert recorded(one) == sent(one, tmp_path)
        assert last.frames == len(recorded(one))
        assert last.ticks == stored_ticks(one) == sum(map(count_feeds, recorded(one))) >= 300
        assert last.unflushed_ticks == 0
        assert not last.gaps


async def test_a_dropped_connection_is_one_gap_and_everything_goes_on(tmp_path: Path) -> None:
    async with recording(tmp_path) as one:
        await one.sent(100)
        one.simulator.strike(Fault("drop"))
        await until(lambda: one.simulator.stats()["opened"] == 2)
        await one.sent(100)
        last = await one.stop()
        assert [gap.conn for gap in last.gaps] == [1]
        assert last.gaps[0].end_ns is not None
        assert last.gaps[0].end_ns > last.gaps[0].start_ns
        assert last.reconnects == 1
        assert set(recorded(one)) <= set(sent(one, tmp_path))


async def test_what_cannot_be_decoded_is_kept_and_costs_nothing_else(tmp_path: Path) -> None:
    async with recording(tmp_path) as one:
        await one.sent(60)
        one.simulator.strike(Fault("garbage"))
        one.simulator.strike(Fault("garbage", "text"))
        await one.sent(60)
        last = await one.stop()
        assert recorded(one) == sent(one, tmp_path)
        assert last.rejected == 2
        assert not last.gaps


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
        assert recorded(one) == sent(one, tmp_path)
        assert read_tail(one.store, tuesday, coverage(one.store, tuesday)).tables["ticks"].num_rows == 0


async def test_a_second_run_continues_the_date_and_the_pause_is_a_gap(tmp_path: Path) -> None:
    for _ in range(2):
        async with recording(tmp_path) as one:
            await one.sent(50)
            await one.stop()
    (date,) = one.store.dates()
    entries = list(Journal(one.store.journal(date)).entries())
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    part_gaps = [
        row for path in coverage(one.store, date).small_parts["gaps"] for row in pq.ParquetFile(path).read().to_pylist()
    ]
    assert [gap["reason"] for gap in part_gaps] == ["stopped"]


async def test_instruments_that_only_an_earlier_run_recorded_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for symbols in (("RELIANCE", "TCS", "NIFTY"), ("TCS",), ("TCS", "NIFTY", "RELIANCE")):
        options = Options(symbols=symbols, mode="full", now=True)
        async with recording(tmp_path, options=options) as one:
            await one.sent(10)
            await one.stop()
    told = [line for line in caplog.messages if "recorded earlier today" in line]
    assert told == ["2 instruments recorded earlier today, but not by this run: RELIANCE, NIFTY"]


async def test_a_token_refused_twice_ends_the_run_and_is_safe(tmp_path: Path) -> None:
    async with recording(tmp_path, token="yesterday") as one:
        last = await one.result()
        assert last.exit_code == ExitCode.TOKEN
        assert "yesterday" not in last.reason
        assert recorded(one) == []


async def test_the_planned_end_ends_the_run(tmp_path: Path) -> None:
    options = Options(symbols=("RELIANCE",), mode="ltpc", duration=dt.timedelta(seconds=3), now=True)

    async with recording(tmp_path, options=options) as one:
        last = await one.result()
        assert last.exit_code == ExitCode.DONE
        assert last.stop_ns is not None
        assert last.written_ns >= last.stop_ns


async def test_a_broker_that_never_opens_a_websocket_is_unreachable(tmp_path: Path) -> None:
    options = Options(symbols=("RELIANCE",), mode="full", duration=dt.timedelta(seconds=4), now=True)

    async with recording(
        tmp_path, options=options, settings=dataclasses.replace(FAST, faults=(Fault("refuse", "60"),))
    ) as one:
        last = await one.result()
        assert last.exit_code == ExitCode.UNREACHABLE
        assert "403" in last.reason


async def test_a_part_that_cannot_be_written_never_stops_the_recording(tmp_path: Path) -> None:
    async with recording(tmp_path, config='[record]\nflush_interval = "1s"\n[store]\nduckdb = false\n') as one:
        # A file where the folder of the parts should be.
        ticks = one.store.root / "ticks"
        ticks.parent.mkdir(parents=True, exist_ok=True)
        ticks.write_text("in the way")
        await one.sent(900)
        assert not one.task.done()  # type: ignore[union-attr]
        ticks.unlink()
        await one.sent(300)
        last = await one.stop()
        assert recorded(one) == sent(one, tmp_path)
        assert stored_ticks(one) == last.ticks
        assert last.unflushed_ticks == 0


async def test_the_journal_is_durable_within_the_interval(tmp_path: Path) -> None:
    async with recording(tmp_path, config='[record]\nsync_interval = "200ms"\n[store]\nduckdb = false\n') as one:
        seen: dict[int, int] = {}

        def look() -> bool:
            run = status.read(one.store.status_path)
            if run is not None and run.durable_ns is not None:
                seen[run.written_ns] = run.durable_ns
            return len(seen) >= 4

        await until(look)
        await one.stop()
        assert all(written - durable < SECOND for written, durable in seen.items())
        assert len(set(seen.values())) == len(seen)


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


def gap_rows(one: Recording, date: dt.date) -> list[dict[str, Any]]:
    paths = coverage(one.store, date).small_parts["gaps"]
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


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
        assert sorted(recorded(one)) == sorted(sent(one, tmp_path))


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
        assert recorded(one) == sent(one, tmp_path)


async def test_an_unwritable_status_file_and_a_child_that_cannot_start_change_nothing(
    tmp_path: Path,
) -> None:
    config = '[record]\nflush_interval = "1s"\n[store]\nduckdb = true\n'
    async with recording(tmp_path, config=config) as one:
        one.store.status_path.mkdir(parents=True)
        (one.store.root / "duckdb").write_text("in the way")
        await one.sent(600)
        last = await one.stop()
        assert last.exit_code == ExitCode.DONE
        assert recorded(one) == sent(one, tmp_path)
        assert stored_ticks(one) == last.ticks


async def test_after_the_run_the_duckdb_file_has_everything(tmp_path: Path) -> None:
    async with recording(tmp_path, config='[record]\nflush_interval = "1s"\n') as one:
        await one.sent(400)
        last = await one.stop()
        assert last.duckdb_lag_ticks == 0
        (date,) = one.store.dates()
        with duckdb.connect(str(one.store.duckdb_path(date)), read_only=True) as day:
            assert day.execute("SELECT count(*) FROM ticks").fetchall() == [(last.ticks,)]
