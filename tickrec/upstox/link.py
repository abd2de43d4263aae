"""Link: one connection to the feed: its instruments, its websocket while it has one, and its way back when it has not.

Owns authorize, connect, subscribe, receive, stamp, and connect again. What a failure means is decided in `protocol`. A
message costs a place in a list; nothing is decoded here but to find out which instruments answer.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed

from tickrec.clock import SECOND, Clock, Stopped, unless_stopped
from tickrec.errors import TokenError
from tickrec.formatting import grouped, plural
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.upstox.auth import HINT, Access, Token, expired_error, in_thread
from tickrec.upstox.decode.peek import carries_feeds, served_keys
from tickrec.upstox.protocol import Backoff, Failure, Request, Situation, Subscription, Verdict, classify
from tickrec.upstox.rest import Rest, RestError
from tickrec.upstox.websocket import Message, Refused, Websocket, of_closed, open_websocket

log = logging.getLogger("tickrec")

Sink = Callable[[Sequence[Entry]], None]
"""Takes entries of one connection that came together, at least one."""
Quiet = Callable[[int], bool]
"""Whether no data is to be expected at a wall time."""

LOOK_NS: Final = SECOND // 50
"""While instruments have not answered, live messages are looked into this often at most, snapshots always."""
PROMPT_NS: Final = 10 * SECOND
"""A tick within this time of connecting shows that instruments are busy, and silence is a bad sign."""
PATIENCE: Final = 16
"""How much longer than `Timing.mute` silence is put up with at most where instruments seem to be quiet ones."""
LIVE_FEED: Final = b"\x08\x01"
"""How a message of type live_feed begins; a snapshot has the type's zero value, which is not sent."""

CONNECTING: Final = "connecting"
CONNECTED: Final = "connected"
WAITING: Final = "waiting"
STOPPED: Final = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things may take, in seconds."""

    authorize: float = 30.0
    open: float = 10.0
    """TCP, TLS and the websocket handshake."""
    close: float = 2.0
    mute: float = 60.0
    """A connection without a snapshot or tick for this long is replaced; each time that the next one has a snapshot
    and is as silent, twice as long."""
    ping_interval: float = 20.0
    ping_timeout: float = 20.0


class ConnectionState(NamedTuple):
    """A connection at one moment. Instants are wall nanoseconds."""

    conn: int
    state: str
    """CONNECTING, CONNECTED, WAITING or STOPPED."""
    keys: int
    answered: int
    """Keys that have been answered on the current websocket."""
    frames: int
    """Messages of the whole run."""
    since_ns: int
    """When this state began."""
    attempt: int
    """Failed attempts in a row since the connection last proved itself."""
    retry_ns: int | None
    """When the next attempt is due; None unless WAITING."""
    reason: str
    """Why it is not connected; empty while it is."""
    last_message_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all connections of a feed have in common."""

    rest: Rest
    access: Access
    clock: Clock
    timing: Timing
    quiet: Quiet
    chance: random.Random
    stopping: asyncio.Event
    """Set when the run is to end."""


class Link:
    """One connection: its instruments, its websocket while it has one, and its way back when it has lost it."""

    def __init__(self, conn: int, subscription: Subscription, shared: Shared) -> None:
        self.conn = conn
        self.subscription = subscription
        self.opened = 0
        """Websockets opened."""
        self.last_reason = ""
        """Why the last attempt or websocket failed, at monotonic time `failed_ns`."""
        self.failed_ns = 0
        self._shared, self._clock, self._timing = shared, shared.clock, shared.timing
        self._backoff = Backoff(shared.chance)
        self._token: Token | None = None
        self._refused_token: Token | None = None
        self._renewals = 0
        self._proven = False
        self._mute = self._ticking = False
        self._patience = self._timing.mute
        self._alive_ns = self._opened_ns = 0
        self._look_ns = self._begun_ns = 0
        self._frames = 0
        self._message_ns: int | None = None
        self._attempt = 0
        self._retry_ns: int | None = None
        self._state, self._since_ns = CONNECTING, self._clock.wall_ns()

    def state(self) -> ConnectionState:
        """The connection as it is now."""
        keys, connected = len(self.subscription.wanted), self._state == CONNECTED
        return ConnectionState(
            self.conn,
            self._state,
            keys,
            self.subscription.answered if connected else 0,
            self._frames,
            self._since_ns,
            self._attempt,
            self._retry_ns,
            "" if connected else self.last_reason,
            self._message_ns,
        )

    @property
    def unasked(self) -> tuple[str, ...]:
        """Keys that could not be asked for in this run, when the second attempt to connect has failed too."""
        if self.opened or self._attempt < 2:
            return ()
        return self.subscription.unanswered

    async def run(self, sink: Sink) -> None:
        """Connect, receive, and connect again, until stopped. Raises TokenError."""
        self._sink = sink
        with contextlib.suppress(Stopped):
            while not self._shared.stopping.is_set():
                failure = await self._attempt_once()
                if failure is not None:
                    await self._recover(failure)
        self._enter(STOPPED)

    async def _attempt_once(self) -> Failure | None:
        """Connect and receive; why that ended, or None when it was wanted."""
        try:
            return await self._live(*await self._open())
        except Refused as failed:
            return failed.failure

    # Getting a websocket

    async def _open(self) -> tuple[Websocket, str]:
        """A fresh authorization and a websocket to the address it gave; the host comes with it."""
        self._enter(CONNECTING)
        self._begun_ns = self._clock.monotonic_ns()
        stopping = self._shared.stopping
        self._token = await unless_stopped(stopping, self._shared.access.token())
        uri = await unless_stopped(stopping, self._authorize(self._token))
        return await unless_stopped(stopping, self._connect(uri, self._token)), urlsplit(uri).hostname or ""

    async def _authorize(self, token: Token) -> str:
        try:
            async with asyncio.timeout(self._timing.authorize):
                return await in_thread(lambda: self._shared.rest.authorize(token))
        except RestError as error:
            raise Refused(error.failure) from None
        except TimeoutError:
            raise Refused(Failure(Situation.TIMEOUT, "authorize")) from None

    async def _connect(self, uri: str, token: Token) -> Websocket:
        timing = self._timing
        return await open_websocket(
            uri,
            self._shared.rest,
            token,
            open_timeout=timing.open,
            close_timeout=timing.close,
            ping_interval=timing.ping_interval,
            ping_timeout=timing.ping_timeout,
        )

    # Living with it

    async def _live(self, socket: Websocket, host: str) -> Failure | None:
        """Subscribe and receive until the websocket ends; None when that was on purpose."""
        self._opened(host)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._watch(socket)), group.create_task(self._close_when_stopped(socket))]
                closed = await socket.receive(self._take)
                for task in tasks:
                    task.cancel()
        finally:
            socket.transport.abort()
        failure = None if self._shared.stopping.is_set() else self._why(closed)
        code = closed.rcvd.code if closed.rcvd else 1006
        self._write(EntryKind.DISCONNECTED, code=code, reason=failure.reason if failure else "stopped")
        return failure

    def _opened(self, host: str) -> None:
        now = self._clock.monotonic_ns()
        again = self.opened or self._attempt
        tries = f" after {plural(self._attempt + 1, 'attempt')}" if again else ""
        log.info("conn %d connected in %.1fs%s", self.conn, (now - self._begun_ns) / SECOND, tries)
        self.opened += 1
        self._refused_token, self._renewals = None, 0
        self._proven, self._mute, self._ticking = False, False, False
        self._alive_ns = self._opened_ns = now
        self._write(EntryKind.CONNECTED, host=host, attempt=self._attempt + 1, keys=len(self.subscription.wanted))
        self._enter(CONNECTED)

    def _take(self, messages: Sequence[Message]) -> None:
        """Stamp what has come and hand it to the sink."""
        wall, mono, conn = self._clock.wall_ns(), self._clock.monotonic_ns(), self.conn
        self._sink([Entry(EntryKind.MESSAGE, conn, wall, mono, data, text) for data, text in messages])
        self._message_ns = wall
        self._frames += len(messages)
        for data, text in reversed(messages):
            if not text and carries_feeds(data):
                self._alive_ns = mono
                if not self._ticking and data.startswith(LIVE_FEED):
                    self._tick(mono)
                if self._proven and self.subscription.complete:
                    return
                self._learn(data, mono)

    def _tick(self, mono_ns: int) -> None:
        """The first tick after the snapshot."""
        self._ticking = True
        if mono_ns - self._opened_ns < PROMPT_NS:
            self._patience = self._timing.mute

    def _learn(self, message: bytes, mono_ns: int) -> None:
        """Take in what a message with data says about the connection and its instruments."""
        if not self._proven:
            self._proven, self._attempt = True, 0
            self._backoff.reset()
        if self.subscription.complete or (message.startswith(LIVE_FEED) and mono_ns < self._look_ns):
            return
        self._look_ns = mono_ns + LOOK_NS
        self.subscription.serve(served_keys(message))
        if self.subscription.complete:
            keys = len(self.subscription.wanted)
            log.info("conn %d: %s of %s answered", self.conn, grouped(keys), plural(keys, "instrument"))

    async def _watch(self, socket: Websocket) -> None:
        """Subscribe, then look after instruments that do not answer and a feed that says nothing."""
        try:
            await self._ask(socket, self.subscription.requests())
            while not self._is_mute():
                await self._clock.sleep(self._pause())
                await self._ask(socket, self.subscription.ask_again(self._clock.monotonic_ns()))
                self._name_silent()
            self._mute = True
            await socket.close()
        except ConnectionClosed:
            return  # the receiving side says why

    async def _ask(self, socket: Websocket, requests: Sequence[Request]) -> None:
        for request in requests:
            keys = [[each.instrument_key, each.symbol] for each in request.wanted]
            self._write(EntryKind.SUBSCRIBED, mode=request.mode, keys=keys)
            await socket.send(request.payload)
        if requests:
            self.subscription.asked(self._clock.monotonic_ns())

    def _name_silent(self) -> None:
        silent = self.subscription.name_silent(self._clock.monotonic_ns())
        if silent:
            self._write(EntryKind.NOTE, event="silent", keys=silent)
            shown = ", ".join(silent[:5]) + (", ..." if len(silent) > 5 else "")
            log.warning("conn %d: %s silent: %s", self.conn, plural(len(silent), "instrument"), shown)

    def _is_mute(self) -> bool:
        now = self._clock.monotonic_ns()
        if self._shared.quiet(self._clock.wall_ns()):
            self._alive_ns = now
        return now - self._alive_ns >= self._allowed * SECOND

    @property
    def _allowed(self) -> float:
        """Seconds of silence. Without even a snapshot it is not for want of trades."""
        return self._patience if self._proven else self._timing.mute

    def _pause(self) -> float:
        """Seconds until there may be something to do; at most one, so that silence is counted from the end of a quiet
        time and not from before it."""
        due = self._alive_ns + int(self._allowed * SECOND)
        deadline_ns = self.subscription.deadline_ns
        if deadline_ns is not None:
            due = min(due, deadline_ns)
        return min(max((due - self._clock.monotonic_ns()) / SECOND, 0.01), 1.0)

    async def _close_when_stopped(self, socket: Websocket) -> None:
        await self._shared.stopping.wait()
        await socket.close()

    def _why(self, closed: ConnectionClosed) -> Failure:
        """Why the websocket has ended, when that was not on purpose."""
        if self._mute:
            allowed = self._allowed
            if self._proven:
                self._patience = min(2 * allowed, PATIENCE * self._timing.mute)
            return Failure(Situation.MUTE, what=f"no data for {allowed:g} s")
        assert self._token is not None
        return of_closed(closed, self._token, had_data=self._proven)

    # Getting it back

    async def _recover(self, failure: Failure) -> None:
        """Wait as long as a failure asks for. Raises TokenError when it is final."""
        renewed = False
        if classify(failure) is Verdict.REREAD_TOKEN:
            failure, renewed = await self._refused(failure)
        self.last_reason, self.failed_ns = failure.reason, self._clock.monotonic_ns()
        if failure.stage or not self._proven:
            self._attempt += 1
        final = classify(failure) is Verdict.GIVE_UP
        delay = 0.0 if renewed or final else self._backoff.next_seconds()
        if failure.stage:
            retry = None if final else round(delay, 3)
            self._write(EntryKind.NOTE, event="attempt", reason=failure.reason, retry_s=retry, **self._unopened())
        if final:
            raise self._last_word(failure)
        what = "could not connect" if failure.stage else "lost"
        log.warning("conn %d %s: %s; retry in %.1fs", self.conn, what, failure.reason, delay)
        self._enter(WAITING, self._clock.wall_ns() + int(delay * SECOND))
        await unless_stopped(self._shared.stopping, self._clock.sleep(delay))

    def _unopened(self) -> dict[str, object]:
        """What the first failed attempt has to tell: since when which instruments are not recorded."""
        if self.opened or self._attempt > 1:
            return {}
        return {"since_ns": self._since_ns, "keys": [list(each) for each in self.subscription.wanted]}

    async def _refused(self, failure: Failure) -> tuple[Failure, bool]:
        """What it means that the token was refused, and whether there is another one to be tried at once."""
        assert self._token is not None
        token = await unless_stopped(self._shared.stopping, self._shared.access.token_after(self._token))
        if token == self._token:
            again, self._refused_token = self._refused_token == token, token
            return failure._replace(situation=Situation.TOKEN_REFUSED_TWICE) if again else failure, False
        self._renewals += 1
        # A source that gives another bad token each time must not make a loop without pause.
        return failure, self._renewals == 1

    def _last_word(self, failure: Failure) -> TokenError:
        assert self._token is not None
        if self._token.expired(now := self._clock.wall_ns()):
            return expired_error(self._token, now)
        return TokenError("the broker refused the access token twice", where=failure.reason, hint=HINT)

    def _enter(self, state: str, retry_ns: int | None = None) -> None:
        self._state, self._since_ns, self._retry_ns = state, self._clock.wall_ns(), retry_ns

    def _write(self, kind: EntryKind, **facts: object) -> None:
        self._sink([Entry(kind, self.conn, self._clock.wall_ns(), self._clock.monotonic_ns(), encode_facts(**facts))])
