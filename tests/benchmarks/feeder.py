"""Feeder: a broker that sends ready-made messages as fast as they are taken, or so many a second.

`python -m tests.benchmarks.feeder POOL` in a process of its own. REST is the simulator's; the websocket has the
broker's protocol, but sending a message costs no more than copying its bytes, so that the feeder is not what is
measured. It begins when every instrument of the pool has been asked for. Each event is a JSON line on stdout, with
CLOCK_MONOTONIC in ns: {"api_url", "assets_url"}, {"began"}, and {"taken", "sums", "cpu"} when everything has been read
by the other side.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as Received
from websockets.http11 import Response
from websockets.protocol import State

from tests.benchmarks.pool import INSTRUMENTS, Pool, Quotes, Sums
from tickrec.clock import SystemClock
from tickrec.serve.access import Access
from tickrec.serve.endpoints import FEED_PATH, Endpoints, read
from tickrec.serve.faults import Lasting
from tickrec.serve.subscriptions import NORMAL_CAPS, Subscriptions
from tickrec.serve.synthetic.messages import market_info_frame
from tickrec.serve.synthetic.simulator import Settings, Synthetic

HOST: Final = "127.0.0.1"


class Feeder:
    """Serves one recorder after the other; `rate` is messages a second, 0 for as many as are taken."""

    def __init__(self, pool: Pool, messages: int, rate: float) -> None:
        self.pool = pool
        self.quotes = Quotes()
        self._messages = messages
        self._rate = rate
        self._clock = SystemClock()
        self._source = Synthetic(Settings())

    async def run(self) -> None:
        """Serve until cancelled."""
        options: dict[str, Any] = {"compression": None, "ping_interval": None, "max_size": None}
        async with serve(self._websocket, HOST, 0, process_request=self._process, **options) as server:
            host = f"{HOST}:{next(iter(server.sockets)).getsockname()[1]}"
            access = Access(None)
            self._rest = Endpoints(self._source, access, Lasting(), self._clock, host=host, stats=dict, strike=None)
            tell(api_url=f"http://{host}", assets_url=f"http://{host}")
            await server.serve_forever()

    async def _process(self, _connection: ServerConnection, received: Received) -> Response | None:
        request = read(received)
        if request.path == FEED_PATH:
            return None
        answer = await self._rest.answer(request)
        return answer.response(self._clock.wall_ns())

    async def _websocket(self, connection: ServerConnection) -> None:
        """One websocket: subscriptions, their snapshots, then the live messages and a ping to know when they were
        read."""
        quotes, snapshots, subscriptions = self.quotes, Sums(), Subscriptions(NORMAL_CAPS)
        info = quotes.market.hours.market_info(quotes.wall_ns)
        broadcast([connection], market_info_frame(info, quotes.wall_ns // 1_000_000))
        try:
            while len(subscriptions.modes) < INSTRUMENTS:
                asked = subscriptions.take(await connection.recv(decode=False))
                payload, sums = quotes.snapshot(asked.snapshot)
                broadcast([connection], payload)
                snapshots = snapshots.plus(sums)
            tell(began=time.monotonic_ns())
            await self._send(connection)
            await (await connection.ping())
            tell(taken=time.monotonic_ns(), sums=self.sums().plus(snapshots), cpu=time.process_time())
            await connection.wait_closed()
        except (ConnectionClosed, OSError):
            pass  # the other side was stopped

    async def _send(self, connection: ServerConnection) -> None:
        """Send the live messages, whose frames are ready: past the library, which would make them again, and which does
        not say that the other side closes, either."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number, chunk in enumerate(self._chunks()):
            if self._rate:
                await asyncio.sleep(max(0.0, start + number / self._rate - loop.time()))
            if connection.state is not State.OPEN:
                return
            connection.transport.write(chunk)
            await connection.drain()

    def _chunks(self) -> Iterator[memoryview]:
        """What is written at a time: one message where there is a rate."""
        if not self._rate:
            return self.pool.chunks(self._messages)
        return map(self.pool.frame, range(self._messages))

    def sums(self) -> Sums:
        """What the live messages add up to."""
        return self.pool.sums(self._messages)


def tell(**facts: Any) -> None:
    """One JSON line for whoever started the feeder."""
    print(json.dumps(facts), flush=True)


def main() -> None:
    """Run a feeder until killed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("pool", type=Path)
    options.add_argument("--messages", type=int, required=True)
    options.add_argument("--rate", type=float, default=0.0)
    chosen = options.parse_args()
    try:
        asyncio.run(Feeder(Pool(chosen.pool), chosen.messages, chosen.rate).run())
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
