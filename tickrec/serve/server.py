"""Server: a broker that speaks the Market Data Feed V3 on one loopback port, REST and websocket, with a source behind.

Owns the port, who gets in, the schedule of faults, and the log of everything sent. What goes over the websockets is for
`stream`, what REST answers for `endpoints`, what there is to serve for the source. Behaves like the broker's feed of
2026-09; where that was never observed (close codes, the interval of pings, the life of a code) it does the simplest
thing.
"""

import asyncio
import contextlib
import functools
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from websockets.asyncio.server import Server as Listener
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as Received
from websockets.http11 import Response

from tickrec.clock import SECOND, Clock, SystemClock
from tickrec.errors import TickrecError, UsageError
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.serve.access import Access
from tickrec.serve.client import WRITE_LIMIT, Client, Connection
from tickrec.serve.endpoints import FEED_PATH, Answer, Endpoints, Request, read
from tickrec.serve.faults import Fault, Lasting
from tickrec.serve.source import Moment, Source
from tickrec.serve.stream import Stream
from tickrec.serve.subscriptions import NO_CAPS

if TYPE_CHECKING:
    from tickrec.journal import JournalWriter

SENT: Final = "simulator"
"""The source named in the header of the log of everything sent."""
HOST: Final = "127.0.0.1"
MOST_CONNECTIONS: Final = 500
"""TCP connections at a time, beyond which a new one is turned away."""
MOST_REQUEST: Final = 1024 * 1024
"""Bytes of a message from a client."""
GOODBYE_S: Final = 2.0
"""For clients to answer a goodbye; one that does not read cannot even be told."""

log = logging.getLogger("tickrec.serve")
log.setLevel(logging.CRITICAL)  # the library's: it writes down whatever the other side says


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On which terms a server serves."""

    port: int = 0
    """0: any free one."""
    token: str | None = field(default=None, repr=False)
    """The only access token accepted; None: any."""
    clients: int = 256
    """Websockets at a time; one more gets 403. Each may have a MiB that it has not read."""
    caps: Mapping[str, tuple[int, int]] = field(default_factory=lambda: NO_CAPS)
    """Keys of a websocket by mode, when it is the only one and when several are mixed."""
    faults: tuple[Fault, ...] = ()
    faults_on_demand: bool = False
    """Whether a request can cause a fault."""
    sent_log: Path | None = None
    """An empty folder for a journal of every message sent."""
    clock: Clock = field(default_factory=SystemClock)


class Server:
    """A running server. Use it as an asynchronous context, or call start and stop from the same task."""

    def __init__(self, source: Source, terms: Terms) -> None:
        self.terms = terms
        self.port = 0
        self._source = source
        self._clock = terms.clock
        self._lasting = Lasting()
        self._access = Access(terms.token)
        self._stream = Stream(source, self._lasting, self._clock)
        self._endpoints: Endpoints | None = None
        self._log: JournalWriter | None = None
        self._listener: Listener | None = None
        self._connections: set[Connection] = set()
        self._stack = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._over = asyncio.Event()
        self._joined = asyncio.Event()
        """Whether there has been a websocket."""
        self._opened = 0
        self._turned_away = 0
        self._frames = 0
        self._bytes = 0

    @property
    def api_url(self) -> str:
        """The base address of the REST calls, and of the instrument files."""
        return f"http://{HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the port and let the source run.

        Raises UsageError when the port is taken, StorageError when the log cannot be written.
        """
        if self.terms.sent_log is not None:
            from tickrec.journal import JournalWriter  # loads what nothing else here needs

            self._log = JournalWriter(self.terms.sent_log, source=SENT, next_seq=1, start_ns=self._clock.wall_ns())
            self._stack.callback(self._log.close)
        self._listener = await self._listen()
        self._stack.push_async_callback(self._close, self._listener)
        self._endpoints = Endpoints(
            self._source,
            self._access,
            self._lasting,
            self._clock,
            host=f"{HOST}:{self.port}",
            stats=self.stats,
            strike=self.strike if self.terms.faults_on_demand else None,
        )
        await self._listener.start_serving()
        tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._tasks = [tasks.create_task(self._run_stream()), tasks.create_task(self._run_faults())]

    async def stop(self) -> None:
        """Close every connection and the port."""
        for task in self._tasks:
            task.cancel()
        await self._stack.aclose()

    async def goodbye(self) -> None:
        """Close every websocket as one that goes away (1001), and wait for their clients, though not for long."""
        if self._listener is not None:
            self._listener.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await self._listener.wait_closed()

    async def over(self) -> None:
        """Return when the source has ended and the last client has left."""
        await self._over.wait()

    def stats(self) -> dict[str, Any]:
        """What was sent so far, and what is connected and subscribed now."""
        counts = {"opened": self._opened, "turned_away": self._turned_away}
        return {**counts, "frames": self._frames, "bytes": self._bytes, **self._stream.stats()}

    def strike(self, fault: Fault) -> None:
        """Let something go wrong now."""
        if fault.kind == "token":
            self._access.token = fault.arg
            self._lasting.forgive()
        else:
            self._lasting.inject(fault, self._clock.monotonic_ns(), self._stream.strike)

    async def _listen(self) -> Listener:
        try:
            listener = await listen(
                self._serve,
                HOST,
                self.terms.port,
                process_request=self._process,
                create_connection=functools.partial(Connection, self._connections),  # type: ignore[arg-type]
                compression=None,  # it would cost more than everything else, and nothing is saved on a loopback port
                ping_interval=None,
                close_timeout=1,
                max_size=MOST_REQUEST,
                write_limit=WRITE_LIMIT,
                server_header=None,
                logger=log,
                start_serving=False,
            )
        except OSError as error:
            await self._stack.aclose()
            raise UsageError(f"port {self.terms.port} cannot be opened: {error.strerror}", where=HOST) from None
        self.port = next(iter(listener.sockets)).getsockname()[1]
        return listener

    async def _run_stream(self) -> None:
        while True:
            now = Moment(self._clock.wall_ns(), self._clock.monotonic_ns())
            await self._clock.sleep(self._source.pause_s(now))
            await self._stream.turn()
            self._end_if_over()

    async def _run_faults(self) -> None:
        """Strike those without a time now, the others counted from the first websocket."""
        faults = sorted(self.terms.faults, key=lambda x: x.at)
        for fault in (each for each in faults if not each.at):
            self.strike(fault)
        await self._joined.wait()
        begin = self._clock.monotonic_ns()
        for fault in (each for each in faults if each.at):
            passed = (self._clock.monotonic_ns() - begin) / SECOND
            await self._clock.sleep(max(0.0, fault.at - passed))
            self.strike(fault)

    async def _process(self, _connection: ServerConnection, received: Received) -> Response | None:
        """The answer to a request; None: it becomes a websocket."""
        assert self._endpoints is not None
        if len(self._connections) > MOST_CONNECTIONS:
            return Answer(503, b"too many connections").response(self._clock.wall_ns())
        request = read(received)
        if request.path != FEED_PATH or not request.upgrade or not request.from_here:
            answer = await self._endpoints.answer(request)
            return answer.response(self._clock.wall_ns(), self._source.name)
        refusal = self._refusal(request)
        return Answer(403, refusal.encode()).response(self._clock.wall_ns()) if refusal else None

    def _refusal(self, request: Request) -> str:
        """Why a websocket gets 403, or an empty text. The code is used up either way."""
        now = self._clock.monotonic_ns()
        fresh = self._access.use_code(request.query.get("code", ""), now)
        if self._lasting.holds("refuse", now):
            return "refused"
        if not fresh:
            return "the code is unknown, used or too old"
        if len(self._stream) >= self.terms.clients:
            self._turned_away += 1
            return "too many connections"
        return ""

    async def _serve(self, connection: ServerConnection) -> None:
        """One websocket, until it ends."""
        self._opened += 1
        client = Client(self._opened, connection, self.terms.caps, self._note_sent)
        self._note(EntryKind.CONNECTED, client.number, encode_facts(host=HOST, attempt=1, keys=0))
        self._stream.join(client)
        self._joined.set()
        try:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    message = await connection.recv()
                    if isinstance(message, bytes):  # a text message is ignored, as by the broker
                        self._stream.request(client, message)
        finally:
            self._stream.leave(client)
            facts = encode_facts(code=connection.close_code, reason=connection.close_reason)
            self._note(EntryKind.DISCONNECTED, client.number, facts)
            self._end_if_over()

    def _end_if_over(self) -> None:
        if self._source.ended and not len(self._stream):
            self._over.set()

    def _note_sent(self, number: int, payload: bytes, text: bool) -> None:
        self._frames += 1
        self._bytes += len(payload)
        self._note(EntryKind.MESSAGE, number, payload, text=text)

    def _note(self, kind: EntryKind, number: int, payload: bytes, *, text: bool = False) -> None:
        if self._log is not None:
            wall, mono = self._clock.wall_ns(), self._clock.monotonic_ns()
            self._log.append(Entry(kind, number, wall, mono, payload, text))

    async def _close(self, listener: Listener) -> None:
        self._stream.end()
        for connection in [*self._connections]:
            connection.transport.abort()
        # The log is closed after this, and the end of each connection belongs in it.
        listener.close()
        await listener.wait_closed()


async def run(server: Server, announce: Callable[[str], None], until_eof: bool = False) -> None:
    """Run a server until it is over or cancelled, until SIGTERM or until stdin closes, and let it say goodbye.

    `announce` gets one JSON line when it is up.

    Raises UsageError when the port is taken, and what the source raises.
    """
    try:
        await _run(server, announce, until_eof)
    except* (TickrecError, OSError) as errors:
        raise errors.exceptions[0] from None


async def _run(server: Server, announce: Callable[[str], None], until_eof: bool) -> None:
    async with server:
        announce(json.dumps({"api_url": server.api_url, "assets_url": server.api_url}))
        ended = asyncio.ensure_future(server.over())
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError):  # Windows has no such signal
            loop.add_signal_handler(signal.SIGTERM, ended.cancel)
        if until_eof:
            # A daemon, so that a stdin that never closes cannot keep the process alive.
            threading.Thread(target=_wait_for_eof, args=(loop, ended), daemon=True).start()
        try:
            await asyncio.wait((ended,))
        finally:
            await server.goodbye()


def _wait_for_eof(loop: asyncio.AbstractEventLoop, ended: "asyncio.Future[None]") -> None:
    while os.read(sys.stdin.fileno(), 65536):  # a buffered read would hold a lock that the end of the process wants
        pass
    with contextlib.suppress(RuntimeError):  # the loop may have ended first
        loop.call_soon_threadsafe(ended.cancel)
