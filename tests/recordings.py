"""Whole recordings for tests: the simulated broker on a loopback port, recorded over the ordinary path."""

import asyncio
import dataclasses
import datetime as dt
import functools
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.clocks import FastClock
from tickrec.clock import Clock, SystemClock
from tickrec.config import Config, load
from tickrec.journal import Journal
from tickrec.journal.entry import Entry, EntryKind
from tickrec.market import instruments
from tickrec.market.calendar import trading_date
from tickrec.market.hours import at
from tickrec.record.plan import Options
from tickrec.record.start import Record
from tickrec.serve.faults import Fault
from tickrec.serve.server import Server
from tickrec.serve.synthetic.listings import master_of
from tickrec.serve.synthetic.records import master_file
from tickrec.serve.synthetic.simulator import Settings, Simulator
from tickrec.status.runstatus import RunStatus
from tickrec.store.paths import Store
from tickrec.upstox.feed import TIMING, Timing

DEADLINE = 30.0
"""Seconds after which a test gives up waiting."""
FAST = Settings(interval=0.02, token="simulated", strikes=2)
"""A market that moves often enough for tests to be short, takes one token only, and has a short list."""
SELECTORS = ("RELIANCE", "TCS", "NIFTY", "NIFTY:fut")


def config_for(tmp_path: Path, simulator: Server, text: str = "", data: Path | None = None) -> Config:
    """The configuration of a user whose broker is the simulator."""
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "config.toml"
    upstox = f'[upstox]\napi_url = "{simulator.api_url}"\nassets_url = "{simulator.api_url}"\n'
    path.write_text(upstox + text)
    return load(path, data=data, simulate=False, environ={"HOME": str(tmp_path)})


async def until(condition: Callable[[], bool]) -> None:
    """Let everything else run until `condition` holds; fails after DEADLINE."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process or object
            await asyncio.sleep(0.01)


@dataclass
class Recording:
    """A recording that runs beside its test."""

    config: Config
    simulator: Simulator
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[RunStatus] | None" = None

    @property
    def store(self) -> Store:
        return Store(self.config.store.data)

    async def sent(self, ticks: int) -> None:
        """Wait until the simulator has sent so many more ticks."""
        goal = self.simulator.stats()["ticks"] + ticks
        await until(lambda: self.simulator.stats()["ticks"] >= goal or self._over())

    async def stop(self) -> RunStatus:
        """Stop the recording like a signal does."""
        self.stopping.set()
        return await self.result()

    async def result(self) -> RunStatus:
        assert self.task is not None
        async with asyncio.timeout(DEADLINE):
            return await self.task

    def _over(self) -> bool:
        assert self.task is not None
        return self.task.done()


@functools.cache
def day_list(date: dt.date) -> bytes:
    """The list of FAST's market of a date as a store keeps it, downloaded at noon."""
    noon_ns = at(date, dt.time(12))
    with tempfile.TemporaryDirectory() as folder:
        source, stored = Path(folder) / "complete.json.gz", Path(folder) / "instruments.parquet"
        source.write_bytes(master_file("complete", master_of(date, FAST.strikes).listings.values()))
        assert instruments.main([str(source), str(stored), str(noon_ns)]) == 0
        return stored.read_bytes()


@asynccontextmanager
async def recording(
    tmp_path: Path,
    *,
    settings: Settings | None = None,
    options: Options | None = None,
    config: str = "[store]\nduckdb = false\n",
    clock: Clock | None = None,
    token: str = "simulated",
    data: Path | None = None,
    timing: Timing = TIMING,
    listed: bool = True,
) -> AsyncIterator[Recording]:
    """A recording of a simulated market, stopped at the end of the block if it still runs.

    Unless not `listed`, the store has the day's instruments already, as after an earlier start of the day.
    """
    clock = clock or SystemClock()
    settings = dataclasses.replace(settings or FAST, sent_log=tmp_path / "sent", clock=clock)
    options = options or Options(symbols=SELECTORS, mode="full", now=True)
    async with Simulator(settings) as simulator:
        run = Recording(config_for(tmp_path, simulator, config, data), simulator)
        path = run.store.instruments_path(trading_date(clock.wall_ns()))
        if listed and not path.exists():
            path.parent.mkdir(parents=True)
            path.write_bytes(day_list(trading_date(clock.wall_ns())))
        environ = {"UPSTOX_ACCESS_TOKEN": token}
        run.task = asyncio.create_task(Record(run.config, options, environ, clock, run.stopping, timing=timing).run())
        try:
            yield run
        finally:
            run.stopping.set()
            await asyncio.wait((run.task,), timeout=DEADLINE)


async def record_through_an_outage(run: Recording, clock: FastClock, seconds: float) -> RunStatus:
    """So many seconds, a connection that is lost and then refused for a while, and so many seconds more."""
    await until(lambda: run.simulator.stats()["ticks"] > 3)
    await clock.sleep(seconds)
    run.simulator.strike(Fault("refuse", "20"))
    run.simulator.strike(Fault("drop"))
    await until(lambda: run.simulator.stats()["opened"] == 2)
    await clock.sleep(seconds)
    return await run.stop()


def messages(folder: Path) -> list[Entry]:
    """The broker's messages in a journal."""
    return [entry for entry in Journal(folder).entries() if entry.kind is EntryKind.MESSAGE]


def recorded(run: Recording) -> list[bytes]:
    """The payloads in the journals of a recording, over all dates."""
    return [entry.payload for date in run.store.dates() for entry in messages(run.store.journal(date))]


def sent(folder: Path) -> list[bytes]:
    """The payloads that the simulated broker of a test's folder has sent."""
    return [entry.payload for entry in messages(folder / "sent")]
