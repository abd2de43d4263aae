"""A recorded day, served again and recorded again: every recorded day is a test of the recorder."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.days import everything, write_day
from tests.processes import called, running
from tests.recordings import DEADLINE, SELECTORS, Recording, config_for, recording, until
from tickrec.clock import SystemClock
from tickrec.errors import ExitCode, UsageError
from tickrec.record.plan import Options
from tickrec.record.start import Record
from tickrec.serve.faults import Fault
from tickrec.serve.replay import Pace, Replay
from tickrec.serve.server import Server, Terms
from tickrec.store.manifest import stored_source
from tickrec.store.paths import Store

OPTIONS = Options(symbols=SELECTORS, mode="full", now=True)
OURS = ("seq", "conn", "recv_ts")
"""What a recording adds of its own."""


def values(store: Store) -> pa.Table:
    """The ticks of the store's only date, as the broker sent them, in an order of their own."""
    (date,) = store.dates()
    ticks = everything(store, date)["ticks"]
    number = pc.rank(ticks["seq"], tiebreaker="dense")
    ticks = ticks.append_column("message", number).sort_by([("message", "ascending"), ("instrument_key", "ascending")])
    return ticks.drop_columns(list(OURS))


@asynccontextmanager
async def replayed(store: Store) -> AsyncIterator[tuple[Server, Replay]]:
    """The store's only date, served as fast as it is taken."""
    (date,) = store.dates()
    source = Replay(store, [date], Pace(speed=None))
    async with Server(source, Terms()) as server:
        yield server, source


def record(folder: Path, server: Server, options: Options, stopping: asyncio.Event) -> Record:
    """A recorder into a store of its own."""
    config = config_for(folder, server, "[store]\nduckdb = false\n")
    return Record(config, options, {"UPSTOX_ACCESS_TOKEN": "any"}, SystemClock(), stopping)


async def test_a_recording_of_a_replay_has_the_ticks_of_the_day_and_nothing_of_the_broker(tmp_path: Path) -> None:
    async with recording(tmp_path / "day") as first:
        await first.sent(500)
        first.simulator.strike(Fault("garbage"))
        first.simulator.strike(Fault("drop"))
        await first.sent(500)
        await first.stop()
        await replay_and_record(first, tmp_path)
        with pytest.raises(UsageError, match=r"holds data of replay .*, not of upstox.v3"):
            await record(tmp_path / "again", first.simulator, OPTIONS, asyncio.Event()).run()
    assert not (tmp_path / "third" / "data").exists()


async def replay_and_record(first: Recording, tmp_path: Path) -> None:
    """Record the day again, and be refused where it does not belong."""
    day, again = first.store, Store(tmp_path / "again" / "data")
    async with replayed(day) as (server, source):
        stopping = asyncio.Event()
        task = asyncio.create_task(record(tmp_path / "again", server, OPTIONS, stopping).run())
        await until(lambda: source.ended or task.done())
        stopping.set()
        async with asyncio.timeout(DEADLINE):
            await task
        assert values(again).equals(values(day))
        assert values(day).num_rows > 1000
        assert stored_source(again) == source.name
        with pytest.raises(UsageError, match=f"holds data of upstox.v3, not of {source.name}"):
            await record(tmp_path / "day", server, OPTIONS, asyncio.Event()).run()
        options = Options(symbols=SELECTORS, mode="full")
        with pytest.raises(UsageError, match="--now"):
            await record(tmp_path / "third", server, options, asyncio.Event()).run()


def test_the_command_says_where_it_serves_and_what_it_cannot(tmp_path: Path) -> None:
    write_day(Store(tmp_path / "data"))
    refused = called("replay", "2026-11-22", folder=tmp_path, check=ExitCode.DATA)
    assert "nothing was recorded on 2026-11-22" in refused.stderr
    for wrong in ("0", "fast", "-1", "nan"):
        called("replay", "2026-11-23", "--speed", wrong, folder=tmp_path, check=ExitCode.USAGE)
    with running("replay", "2026-11-23", "--port", "0", folder=tmp_path) as process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        assert facts["api_url"] == facts["assets_url"]
        assert facts["api_url"].startswith("http://127.0.0.1:")
        process.terminate()
