"""A local broker that speaks the Market Data Feed V3: REST and websocket on one loopback port, a synthetic market.

Owns the server: its port, who gets in, the schedule of faults, and the log of everything sent. The market, the stream
of messages and the REST answers live in the modules beside it. Behaves like the broker's feed of 2026-09; where that
was never observed (close codes, the interval of pings, the life of a code) it does the simplest thing.
"""

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from tickrec.clock import SECOND, Clock, SystemClock
from tickrec.errors import UsageError
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.serve.access import Access
from tickrec.serve.broadcast import Broadcast
from tickrec.serve.client import Session
from tickrec.serve.endpoints import FEED_PATH, Rest
from tickrec.serve.faults import Fault, Lasting
from tickrec.serve.http import MAX_HEAD, Request, Response, read_request
from tickrec.serve.synthetic.phases import Hours
from tickrec.serve.synthetic.prices import Market

if TYPE_CHECKING:
    from tickrec.journal import JournalWriter

SOURCE: Final = "simulator"
"""The source named in the header of the sent log."""
HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the simulated broker behaves."""

    port: int = 0
    """0: any free one."""
    rate: float = 1000.0
    """Most instrument updates a second, over all subscribed keys."""
    interval: float = 0.25
    """Seconds between frames; in each an instrument changes at most once."""
    seed: int = 1
    token: str = field(default="simulated", repr=False)
    """The only access token accepted."""
    plus: bool = False
    """A Plus account: 5 connections instead of 2, and full_d30."""
    always_open: bool = True
    """False: the exchanges keep their real hours."""
    faults: tuple[Fault, ...] = ()
    sent_log: Path | None = None
    """An empty folder for a journal of every message sent."""
    code_ttl: float = 60.0
    """Seconds that an authorized address stays good."""
    ping_interval: float = 20.0
    """Seconds of silence after which a connection is pinged."""
    bodies: Mapping[str, object] = field(default_factory=dict)
    """Whole JSON bodies for paths, such as {"/v2/market/timings/2026-11-24": {...}}."""
    clock: Clock = field(default_factory=SystemClock)


class Simulator:
    """The running server. Use it as an asynchronous context, or call start and stop from the same task."""

    def __init__(self, settings: Settings) -> None:
        if settings.rate <= 0 or settings.interval <= 0:
            raise UsageError("the simulator's rate and interval must be above zero")
        self.settings = settings
        self.port = 0
        self._clock = settings.clock
        self._stack = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._open: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = {}
        self._opened = 0
        self._frames = 0
        self._bytes = 0

    @property
    def api_url(self) -> str:
        """The base address of the REST calls."""
        return f"http://{HOST}:{self.port}"

    @property
    def assets_url(self) -> str:
        """The base address of the instrument files."""
        return self.api_url

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the port and let the market run.

        Raises UsageError when the port is taken, StorageError when the log cannot be written.
        """
        settings, wall = self.settings, self._clock.wall_ns()
        self._log = _open_log(settings.sent_log, wall) if settings.sent_log else None
        if self._log is not None:
            self._stack.callback(self._log.close)
        server = await self._bind()
        market = Market(settings.seed, Hours(always_open=settings.always_open), wall)
        self._lasting = Lasting()
        self._access = Access(settings.token, code_ttl=settings.code_ttl, seed=settings.seed)
        self._broadcast = Broadcast(
            market,
            self._lasting,
            self._clock,
            rate=settings.rate,
            ping_interval=settings.ping_interval,
            seed=settings.seed,
        )
        self._rest = Rest(
            market,
            self._access,
            self._lasting,
            self._clock,
            host=f"{HOST}:{self.port}",
            bodies=settings.bodies,
            stats=self.stats,
            strike=self.strike,
        )
        self._stack.push_async_callback(self._close, server)
        await server.start_serving()
        tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._tasks = [tasks.create_task(self._run_market()), tasks.create_task(self._run_faults())]

    async def _bind(self) -> asyncio.Server:
        port = self.settings.port
        try:
            server = await asyncio.start_server(self._serve_connection, HOST, port, limit=MAX_HEAD, start_serving=False)
        except OSError as error:
            await self._stack.aclose()
            raise UsageError(f"port {port} cannot be opened: {error.strerror}", where=HOST) from None
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def stop(self) -> None:
        """Close every connection and the port."""
        for task in self._tasks:
            task.cancel()
        await self._stack.aclose()

    def stats(self) -> dict[str, Any]:
        """What was sent so far, and what is connected and subscribed now."""
        return {"opened": self._opened, "frames": self._frames, "bytes": self._bytes, **self._broadcast.stats()}

    def strike(self, fault: Fault) -> None:
        """Let something go wrong now."""
        if fault.kind == "token":
            self._access.token = fault.arg
            self._lasting.forgive()
        elif not self._lasting.begin(fault, self._clock.monotonic_ns()):
            self._broadcast.strike(fault)

    async def _run_market(self) -> None:
        """A frame each interval, counted from the first so that delays do not add up."""
        interval = int(self.settings.interval * SECOND)
        longest = max(1.0, 2 * self.settings.interval)
        before = due = self._clock.monotonic_ns()
        while True:
            due = max(due + interval, before)
            await self._clock.sleep(max(0, due - self._clock.monotonic_ns()) / SECOND)
            now = self._clock.monotonic_ns()
            self._broadcast.flush(min((now - before) / SECOND, longest), now)
            before = now

    async def _run_faults(self) -> None:
        begin = self._clock.monotonic_ns()
        for fault in sorted(self.settings.faults, key=lambda x: x.at):
            passed = (self._clock.monotonic_ns() - begin) / SECOND
            await self._clock.sleep(max(0.0, fault.at - passed))
            self.strike(fault)

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One TCP connection: requests until it ends or becomes a websocket."""
        self._open[writer] = asyncio.current_task()
        try:
            while (request := await self._read(reader, writer)) is not None:
                if request.upgrade and request.path == FEED_PATH:
                    await self._serve_websocket(request, reader, writer)
                    return
                writer.write(self._rest.answer(request).encode(self._clock.wall_ns()))
                await writer.drain()
                if request.close:
                    return
        except ConnectionError:
            pass  # the client went away; there is nobody to tell
        finally:
            del self._open[writer]
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
        """The next request; None when there is none, with a complaint if what came is no HTTP."""
        try:
            return await read_request(reader)
        except ValueError:
            writer.write(Response(400).encode(self._clock.wall_ns()))
            return None

    async def _serve_websocket(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        refusal = self._refusal(request)
        session = Session(self._opened + 1, writer, plus=self.settings.plus, on_send=self._note_sent)
        if not session.shake_hands(request, refusal):
            return
        self._opened += 1
        self._note(EntryKind.CONNECTED, session.number, encode_facts(host=HOST, attempt=1, keys=0))
        self._broadcast.join(session)
        try:
            async for message in session.requests(reader):
                self._broadcast.hear(session, message)
        finally:
            self._broadcast.leave(session)
            code, reason = session.ending
            self._note(EntryKind.DISCONNECTED, session.number, encode_facts(code=code, reason=reason))

    def _refusal(self, request: Request) -> str:
        """Why a websocket gets 403, or an empty text. The code is used up either way."""
        now = self._clock.monotonic_ns()
        fresh = self._access.use_code(request.query.get("code", ""), now)
        if self._lasting.refuse(now):
            return "refused"
        if not fresh:
            return "the code is unknown, used or too old"
        if self._broadcast.connections >= (5 if self.settings.plus else 2):
            return "too many connections"
        return ""

    def _note_sent(self, number: int, payload: bytes, text: bool) -> None:
        self._frames += 1
        self._bytes += len(payload)
        self._note(EntryKind.MESSAGE, number, payload, text=text)

    def _note(self, kind: EntryKind, number: int, payload: bytes, *, text: bool = False) -> None:
        if self._log is not None:
            wall, mono = self._clock.wall_ns(), self._clock.monotonic_ns()
            self._log.append(Entry(kind, number, wall, mono, payload, text))

    async def _close(self, server: asyncio.Server) -> None:
        server.close()
        for writer in self._open:
            writer.transport.abort()
        # The log is closed after this, and the end of each connection belongs in it.
        await asyncio.gather(*(task for task in self._open.values() if task), return_exceptions=True)
        await server.wait_closed()


def _open_log(folder: Path, wall_ns: int) -> "JournalWriter":
    from tickrec.journal import JournalWriter  # only tests keep a log, and it loads what nothing else here needs

    return JournalWriter(folder, source=SOURCE, next_seq=1, start_ns=wall_ns)


async def serve(settings: Settings, announce: Callable[[str], None], until_eof: bool) -> None:
    """Run a simulator until cancelled, or until stdin closes; `announce` gets one JSON line when it is ready."""
    async with Simulator(settings) as simulator:
        announce(json.dumps({"api_url": simulator.api_url, "assets_url": simulator.assets_url}))
        ended = asyncio.Event()
        if until_eof:
            loop = asyncio.get_running_loop()
            # A daemon, so that a stdin that never closes cannot keep the process alive.
            threading.Thread(target=_wait_for_eof, args=(loop, ended), daemon=True).start()
        await ended.wait()


def _wait_for_eof(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    while sys.stdin.buffer.read(65536):
        pass
    with contextlib.suppress(RuntimeError):  # the loop may have ended first
        loop.call_soon_threadsafe(ended.set)
