"""Serving: a recorded day replayed as fast as it is taken, and the day being recorded relayed to five programs."""

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks.bench import Bench, module
from tests.benchmarks.machine import usage
from tests.benchmarks.pool import TICKS_A_MESSAGE, Pool, Quotes
from tests.benchmarks.sealing import write_day
from tests.benchmarks.table import Row
from tickrec.clock import SystemClock
from tickrec.journal import JournalWriter
from tickrec.journal.entry import Entry, EntryKind
from tickrec.market.calendar import trading_date
from tickrec.store.paths import Store
from tickrec.upstox.auth import Token
from tickrec.upstox.protocol import Wanted, subscribe
from tickrec.upstox.rest import SOURCE, Rest
from tickrec.upstox.websocket import Message, Websocket, open_websocket

LISTENERS: Final = 5
MESSAGES_A_SECOND: Final = 1_000 / TICKS_A_MESSAGE
TOKEN: Final = Token("any")
Take = Callable[[Sequence[Message]], None]


def rows(bench: Bench) -> Iterator[Row]:
    """Replay, then relay."""
    with bench.scratch("replay") as folder:
        write_day(Store(folder), bench.pool, bench.ticks)
        speeds = [asyncio.run(replay(folder, bench.pool)) for _ in range(bench.turns)]
    ticks, speed = bench.pool.sums(len(bench.pool)).ticks, max(speeds)
    yield Row(
        f"replay of {ticks:,} ticks to one client", f"{speed:,.0f} ticks/s", target="150,000", met=speed >= 150_000
    )
    with bench.scratch("relay") as folder:
        late, share = asyncio.run(relay(folder, bench.pool, 10.0 if bench.quick else 60.0))
    yield Row(
        f"relay of 1,000 ticks/s to {LISTENERS} clients, journal to client, 99 of 100",
        f"{late * 1000:.0f} ms, {share:.1%} of a core",
        target="20 ms, 3%",
        met=late <= 0.020 and share <= 0.03,
    )


async def replay(folder: Path, pool: Pool) -> float:
    """Ticks a second from the first message to the last, as one client takes them."""
    date = trading_date(Quotes().wall_ns)
    with serving("replay", date, "--speed", "max", folder=folder) as (_, url):
        times: list[float] = []
        count, done = len(pool), asyncio.Event()

        def take(messages: Sequence[Message]) -> None:
            times.extend([time.perf_counter()] * len(messages))
            if len(times) >= count:
                done.set()

        async with listening(url, take):
            await done.wait()
    return pool.sums(count).ticks / (times[count - 1] - times[1])


async def relay(folder: Path, pool: Pool, seconds: float) -> tuple[float, float]:
    """How late 99 of 100 messages are, in seconds, and the share of a core that the relay takes."""
    clock, store = SystemClock(), Store(folder)
    date = trading_date(clock.wall_ns())
    writer = JournalWriter(store.journal(date), source=SOURCE, next_seq=1, start_ns=clock.wall_ns())
    written: dict[bytes, float] = {}
    late: list[float] = []

    def take(messages: Sequence[Message]) -> None:
        now = time.perf_counter()
        late.extend(now - written[message.data] for message in messages if message.data in written)

    with serving("relay", folder=folder) as (process, url):
        listeners = contextlib.AsyncExitStack()
        for _ in range(LISTENERS):
            await listeners.enter_async_context(listening(url, take))
        before, begin = usage(process.pid).cpu, time.perf_counter()
        for number in range(int(seconds * MESSAGES_A_SECOND)):
            await asyncio.sleep(max(0.0, begin + number / MESSAGES_A_SECOND - time.perf_counter()))
            payload = pool.payload(number % len(pool))
            written[payload] = time.perf_counter()
            writer.append(Entry(EntryKind.MESSAGE, 1, clock.wall_ns(), clock.monotonic_ns(), payload))
        await asyncio.sleep(0.5)
        share = (usage(process.pid).cpu - before) / (time.perf_counter() - begin)
        await listeners.aclose()
    writer.close()
    return sorted(late)[len(late) * 99 // 100], share


@contextlib.contextmanager
def serving(*command: object, folder: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A server of ours as a process, and its address."""
    arguments = module("tickrec", *command, "--port", 0, "--data", folder)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())["api_url"]
        finally:
            process.kill()


@contextlib.asynccontextmanager
async def listening(url: str, take: Take) -> AsyncIterator[Websocket]:
    """A client that asks for everything."""
    rest = Rest(url, url)
    uri = await asyncio.to_thread(rest.authorize, TOKEN)
    websocket = await open_websocket(uri, rest, TOKEN, open_timeout=10, close_timeout=1)
    task = asyncio.create_task(websocket.receive(take))
    await websocket.send(subscribe([Wanted(key, key, "full") for key in Quotes().keys]).payload)
    yield websocket
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await websocket.close()
