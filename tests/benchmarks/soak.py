"""A soak: a recorder and its relay for hours, with clients that come, go, stall and misbehave. Run by hand:

`python -m tests.benchmarks.soak --hours 2` prints what both take every minute, and at the end the most of each quarter.
One client is well-behaved and takes everything: it must never lose its connection.
"""

import argparse
import asyncio
import contextlib
import json
import random
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import websockets

from tests.benchmarks.bench import module, output
from tests.benchmarks.machine import MB, usage
from tests.benchmarks.running import environment

MODES: Final = ("ltpc", "option_greeks", "full")
RUBBISH: Final = (b"\x00" * 70_000, b"{", b'{"method": "sub"}', b'{"guid": 1, "method": "sub", "data": {"mode": []}}')
REQUESTS: Final = (
    b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"POST /latest HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\n\r\n",
    b"GET /latest HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 100_000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /health",
)
BESIDE: Final = 6
"""Clients at a time, beside the steady one."""
STALL_SECONDS: Final = 45


class Clients:
    """What programs do with a relay, and how often each was done."""

    def __init__(self, api_url: str, keys: list[str], chance: random.Random, *, candles: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._url = api_url
        self._address = api_url.removeprefix("http://").split(":")
        self._keys = keys
        self._chance = chance
        self._acts = [self.come_and_go, self.come_and_go, self.stall, self.misbehave, self.knock, self.ask]
        if candles:
            self._acts.append(self.ask_candles)

    async def steady(self) -> None:
        """Take everything, for ever."""
        async with self._joined(self._keys, "full") as feed:
            with contextlib.suppress(websockets.ConnectionClosed):
                async for _ in feed:
                    self.counts["messages to the steady client"] += 1
            self.counts["steady client lost"] += 1

    async def others(self) -> None:
        """One client after another, whatever it is."""
        while True:
            act = self._chance.choice(self._acts)
            with contextlib.suppress(websockets.WebSocketException, OSError, TimeoutError, asyncio.IncompleteReadError):
                await act()
            self.counts[act.__name__] += 1

    async def come_and_go(self) -> None:
        """Ask for some, listen for a while, and leave, politely or not."""
        keys = self._chance.sample(self._keys, self._chance.randint(1, len(self._keys)))
        async with self._joined(keys, self._chance.choice(MODES)) as feed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._chance.uniform(0.1, 20)):
                    async for _ in feed:
                        pass
            if self._chance.random() < 0.5:
                feed.transport.abort()

    async def stall(self) -> None:
        """Ask for everything and read nothing of it for long, then what is there."""
        async with self._joined(self._keys, "full", max_queue=1) as feed:
            feed.transport.pause_reading()
            await asyncio.sleep(STALL_SECONDS)
            feed.transport.resume_reading()
            await feed.recv()

    async def misbehave(self) -> None:
        """Send what is no subscription."""
        async with self._joined(self._keys[:1], "full") as feed:
            await feed.send(self._chance.choice(RUBBISH))
            async with asyncio.timeout(2):
                await feed.wait_closed()

    async def knock(self) -> None:
        """Send what is no request of ours, or half of one."""
        reader, writer = await asyncio.open_connection(*self._address)
        writer.write(self._chance.choice(REQUESTS))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await reader.read()
        writer.close()

    async def ask(self) -> None:
        """Ask for a number."""
        for path in ("/health", "/status", "/latest?symbols=RELIANCE,NIFTY,NONE"):
            await self._get(path)

    async def ask_candles(self) -> None:
        """Ask for today's minutes of an instrument."""
        key = self._chance.choice(self._keys).replace("|", "%7C").replace(" ", "%20")
        await self._get(f"/v3/historical-candle/intraday/{key}/minutes/1")
        await asyncio.sleep(self._chance.uniform(1, 10))

    async def _get(self, path: str) -> Any:
        request = urllib.request.Request(self._url + path, headers={"Authorization": "Bearer any"})

        def get() -> Any:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)

        return await asyncio.to_thread(get)

    @contextlib.asynccontextmanager
    async def _joined(self, keys: list[str], mode: str, **options: Any) -> Any:
        data = (await self._get("/v3/feed/market-data-feed/authorize"))["data"]
        async with websockets.connect(data["authorized_redirect_uri"], max_size=None, **options) as feed:
            ask = {"guid": "1", "method": "sub", "data": {"mode": mode, "instrumentKeys": keys}}
            await feed.send(json.dumps(ask).encode())
            yield feed


@contextlib.contextmanager
def running(folder: Path, *command: object) -> Iterator["subprocess.Popen[str]"]:
    """A command of tickrec's, ended as Ctrl-C ends it."""
    arguments = module("tickrec", *command, "--simulate", "--data", folder / "data")
    with subprocess.Popen(arguments, env=environment(folder), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


async def soak(folder: Path, seconds: float, *, candles: bool) -> None:
    """Print what the recorder and the relay take, every minute."""
    taken: dict[str, list[float]] = {"recorder": [], "relay": []}
    with (
        running(folder, "record", "--no-live", "--symbols", "fno", "--rate", 900) as recorder,
        running(folder, "relay", "--port", 0) as relay,
    ):
        assert relay.stdout is not None
        api_url = json.loads(relay.stdout.readline())["api_url"]
        sql = "SELECT DISTINCT instrument_key AS key FROM subscriptions ORDER BY 1"
        command = module("tickrec", "query", sql, "--simulate", "--data", folder / "data", "--format", "json")
        keys: list[str] = []
        while not keys:
            await asyncio.sleep(5)
            keys = [row["key"] for row in json.loads(await asyncio.to_thread(output, command))]
        clients = Clients(api_url, keys, random.Random(1), candles=candles)
        acting = [asyncio.create_task(act()) for act in (clients.steady, *[clients.others] * BESIDE)]
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            await asyncio.sleep(60)
            for name, process in (("recorder", recorder), ("relay", relay)):
                taken[name].append(usage(process.pid).resident / MB)
            now = ", ".join(f"{name} {values[-1]:.0f} MB" for name, values in taken.items())
            print(f"{(time.monotonic() - begun) / 60:.0f} min: {now}; {dict(clients.counts)}", flush=True)
            if broken := [task for task in acting if task.done()]:
                broken[0].result()
                break
        for task in acting:
            task.cancel()
        await asyncio.gather(*acting, return_exceptions=True)
        for name, process in (("recorder", recorder), ("relay", relay)):
            cost = usage(process.pid).cpu / (time.monotonic() - begun)
            quarter = max(1, len(taken[name]) // 4)
            most = [f"{max(taken[name][at : at + quarter]):.0f}" for at in range(0, len(taken[name]), quarter)]
            print(f"{name}: at most {', '.join(most)} MB by quarters, {cost:.1%} of a core with children")


def main() -> None:
    """Read the options and soak in a folder that is removed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--candles", action="store_true", help="some clients also ask for candles")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tickrec-soak-") as folder:
        asyncio.run(soak(Path(folder), given.hours * 3600, candles=given.candles))


if __name__ == "__main__":
    main()
