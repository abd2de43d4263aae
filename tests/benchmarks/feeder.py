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
from pathlib import Path
from typing import Any, Final

from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Upgrade
from websockets.server import ServerProtocol

from tests.benchmarks.pool import INSTRUMENTS, TICKS_A_MESSAGE, Pool, Quotes, Sums
from tickrec.clock import SystemClock
from tickrec.serve.access import Access
from tickrec.serve.client import Subscriptions
from tickrec.serve.endpoints import FEED_PATH, Rest
from tickrec.serve.faults import Lasting
from tickrec.serve.http import MAX_HEAD, Request, read_request
from tickrec.serve.synthetic.messages import market_info_frame

HOST: Final = "127.0.0.1"
TOKEN: Final = "simulated"


class Feeder:
    """Serves one recorder after the other; `rate` is ticks a second, 0 for as many as are taken."""

    def __init__(self, pool: Pool, messages: int, rate: float) -> None:
        self.pool = pool
        self.quotes = Quotes()
        self._messages = messages
        self._rate = rate
        self._clock = SystemClock()
        self._access = Access(TOKEN, code_ttl=60.0, seed=1)

    async def run(self) -> None:
        """Serve until cancelled."""
        server = await asyncio.start_server(self._connection, HOST, 0, limit=MAX_HEAD)
        host = f"{HOST}:{server.sockets[0].getsockname()[1]}"
        self._rest = Rest(
            self.quotes.market,
            self._access,
            Lasting(),
            self._clock,
            host=host,
            bodies={},
            stats=dict,
            strike=lambda fault: None,
        )
        tell(api_url=f"http://{host}", assets_url=f"http://{host}")
        async with server:
            await server.serve_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await read_request(reader)) is not None:
                if request.upgrade and request.path == FEED_PATH:
                    await Websocket(self, reader, writer).serve(request)
                    return
                writer.write(self._rest.answer(request).encode(self._clock.wall_ns()))
                await writer.drain()
                if request.close:
                    return
        except ConnectionError:
            pass  # the other side was stopped
        finally:
            writer.close()

    async def send(self, writer: asyncio.StreamWriter) -> None:
        """Send the live messages."""
        if not self._rate:
            for chunk in self.pool.chunks(self._messages):
                writer.write(chunk)
                await writer.drain()
            return
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number in range(self._messages):
            await asyncio.sleep(max(0.0, start + number * TICKS_A_MESSAGE / self._rate - loop.time()))
            writer.write(self.pool.frame(number))
            await writer.drain()

    def sums(self) -> Sums:
        """What the live messages add up to."""
        return self.pool.sums(self._messages)


class Websocket:
    """One websocket: subscriptions, their snapshots, then the live messages and a ping to know when they were read."""

    def __init__(self, feeder: Feeder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._feeder = feeder
        self._reader = reader
        self._writer = writer
        self._protocol = ServerProtocol(max_size=16 * 1024 * 1024)
        self._subscriptions = Subscriptions(plus=False)
        self._snapshots = Sums()
        self._sending: asyncio.Task[None] | None = None

    async def serve(self, request: Request) -> None:
        """Answer what comes until the other side goes."""
        self._protocol.receive_data(request.head)
        try:
            while self._answer():
                await self._writer.drain()
                data = await self._reader.read(65536)
                self._protocol.receive_data(data) if data else self._protocol.receive_eof()
        finally:
            if self._sending is not None:
                self._sending.cancel()

    def _answer(self) -> bool:
        """Take what has come, write what is due; False when it is over."""
        for event in self._protocol.events_received():
            if isinstance(event, Upgrade):
                self._protocol.send_response(self._protocol.accept(event))
                quotes = self._feeder.quotes
                info = quotes.market.hours.market_info(quotes.wall_ns)
                self._protocol.send_binary(market_info_frame(info, quotes.wall_ns // 1_000_000))
            elif isinstance(event, Frame):
                self._take(event)
        open_still = True
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)
            else:
                open_still = False
        return open_still

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PONG:
            total = self._feeder.sums().plus(self._snapshots)
            tell(taken=time.monotonic_ns(), sums=total, cpu=time.process_time())
        elif frame.opcode in (Opcode.BINARY, Opcode.TEXT):
            asked = self._subscriptions.take(bytes(frame.data))
            payload, sums = self._feeder.quotes.snapshot(asked.snapshot)
            self._protocol.send_binary(payload)
            self._snapshots = self._snapshots.plus(sums)
            if len(self._subscriptions.modes) == INSTRUMENTS and self._sending is None:
                self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        tell(began=time.monotonic_ns())
        await self._feeder.send(self._writer)
        self._protocol.send_ping(b"")
        self._answer()


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
