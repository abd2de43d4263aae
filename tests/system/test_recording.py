"""Whole recordings against the simulated broker: what was sent is what is stored."""

import dataclasses
import datetime as dt
import os
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.days import read_tail
from tests.recordings import FAST, Recording, recorded, recording, sent, until
from tickrec.clock import SECOND
from tickrec.errors import ExitCode
from tickrec.journal import Journal
from tickrec.record.plan import Options
from tickrec.serve.faults import Fault
from tickrec.status import status
from tickrec.store.coverage import coverage
from tickrec.upstox.decode.peek import count_feeds


def stored_ticks(run: Recording) -> int:
    """Rows of `ticks` over all dates, in parts and in the journal's tail."""
    store, total = run.store, 0
    for date in store.dates():
        covered = coverage(store, date)
        total += sum(pq.read_metadata(part.path).num_rows for part in covered.parts)
        total += read_tail(store, date, covered).tables["ticks"].num_rows
    return total


async def test_everything_sent_is_stored_byte_for_byte(tmp_path: Path) -> None:
    """What cannot be decoded is kept, and costs nothing else; the DuckDB file has the ticks, too."""
    async with recording(tmp_path, config='[record]\nflush_interval = "1s"\n') as one:
        await one.sent(150)
        one.simulator.strike(Fault("garbage"))
        one.simulator.strike(Fault("garbage", "text"))
        await one.sent(150)
        last = await one.stop()
        assert last.exit_code == ExitCode.DONE
        assert recorded(one) == sent(tmp_path)
        assert last.frames == len(recorded(one))
        assert last.ticks == stored_ticks(one) == sum(map(count_feeds, recorded(one))) >= 300
        assert (last.rejected, last.unflushed_ticks, last.duckdb_lag_ticks) == (2, 0, 0)
        assert not last.gaps
        (date,) = one.store.dates()
        with duckdb.connect(str(one.store.duckdb_path(date)), read_only=True) as day:
            assert day.execute("SELECT count(*) FROM ticks").fetchall() == [(last.ticks,)]


async def test_further_runs_continue_the_date_the_pauses_are_gaps_and_what_only_an_earlier_one_recorded_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for symbols in (("RELIANCE", "TCS", "NIFTY"), ("TCS",), ("TCS", "NIFTY", "RELIANCE")):
        options = Options(symbols=symbols, mode="full", now=True)
        async with recording(tmp_path, options=options) as one:
            await one.sent(10)
            await one.stop()
        (date,) = one.store.dates()
        with one.store.journal_files(date)[-1].open("ab") as file:
            file.write(bytes(10))  # as a power cut leaves it
    seqs = [entry.seq for entry in Journal(one.store.journal(date)).entries()]
    assert seqs == list(range(1, len(seqs) + 1))
    gaps = [row for path in coverage(one.store, date).small_parts["gaps"] for row in pq.read_table(path).to_pylist()]
    assert [gap["reason"] for gap in gaps] == ["stopped"] * 2
    assert caplog.text.count("the last run ended within an entry: 10 bytes were set aside in ") == 2
    told = [line for line in caplog.messages if "recorded earlier today" in line]
    assert told == ["2 instruments recorded earlier today, but not by this run: RELIANCE, NIFTY"]


async def test_a_token_refused_twice_ends_the_run_and_is_safe(tmp_path: Path) -> None:
    async with recording(tmp_path, token="yesterday") as one:
        last = await one.result()
        assert last.exit_code == ExitCode.TOKEN
        assert "yesterday" not in last.reason
        assert recorded(one) == []


async def test_the_planned_end_ends_the_run(tmp_path: Path) -> None:
    options = Options(symbols=("RELIANCE",), mode="ltpc", duration=dt.timedelta(seconds=1), now=True)

    async with recording(tmp_path, options=options) as one:
        last = await one.result()
        assert last.exit_code == ExitCode.DONE
        assert last.stop_ns is not None
        assert last.written_ns >= last.stop_ns


async def test_a_broker_that_never_opens_a_websocket_is_unreachable(tmp_path: Path) -> None:
    options = Options(symbols=("RELIANCE",), mode="full", duration=dt.timedelta(seconds=2), now=True)

    async with recording(
        tmp_path, options=options, settings=dataclasses.replace(FAST, faults=(Fault("refuse", "60"),))
    ) as one:
        last = await one.result()
        assert last.exit_code == ExitCode.UNREACHABLE
        assert "403" in last.reason


async def test_parts_a_status_and_a_day_file_that_cannot_be_written_change_nothing(tmp_path: Path) -> None:
    async with recording(tmp_path, config='[record]\nflush_interval = "1s"\n') as one:
        # Files where folders should be, and a folder where a file should be.
        one.store.status_path.mkdir(parents=True)
        ticks = one.store.root / "ticks"
        for folder in (ticks, one.store.root / "duckdb"):
            folder.write_text("in the way")
        await one.sent(900)
        assert not one.task.done()  # type: ignore[union-attr]
        ticks.unlink()
        await one.sent(300)
        last = await one.stop()
        assert last.exit_code == ExitCode.DONE
        assert recorded(one) == sent(tmp_path)
        assert stored_ticks(one) == last.ticks
        assert last.unflushed_ticks == 0


def counted_syncs(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often each file is synced from now on, by its inode."""
    counted: Counter[int] = Counter()

    def counting(sync: Callable[[int], None], fd: int) -> None:
        sync(fd)
        counted[os.fstat(fd).st_ino] += 1

    for name in ("fsync", "fdatasync"):
        if hasattr(os, name):
            monkeypatch.setattr(os, name, partial(counting, getattr(os, name)))
    return counted


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac is asked by another call")
async def test_the_journal_is_durable_within_the_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = counted_syncs(monkeypatch)
    async with recording(tmp_path, config='[record]\nsync_interval = "200ms"\n[store]\nduckdb = false\n') as one:
        seen: dict[int, int] = {}

        def look() -> bool:
            run = status.read(one.store.status_path)
            if run is not None and run.durable_ns is not None:
                seen[run.written_ns] = run.durable_ns
            return len(seen) >= 4

        await until(look)
        (file,) = one.store.journal_files(one.store.dates()[0])
        assert syncs[file.stat().st_ino] >= len(set(seen.values()))
        await one.stop()
        assert all(written - durable < SECOND for written, durable in seen.items())
        assert len(set(seen.values())) == len(seen)
