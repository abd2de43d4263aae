"""Subscriber: one open websocket, from its opening to its end.

Owns subscribing, stamping what comes, asking again for instruments that do not answer, and how it ends. Whether it
still lives is decided in `liveness`. A message costs a place in a list; nothing is decoded here but to find out which
instruments answer.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from websockets.exceptions import ConnectionClosed

from tickrec.clock import SECOND, Clock, Stopped, unless_stopped, until_beat
from tickrec.formatting import grouped, plural
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.journal.history import NO_CLOSE_FRAME
from tickrec.upstox.auth import Access, Token
from tickrec.upstox.decode.peek import count_feeds, is_live, sent_ms, served_keys
from tickrec.upstox.liveness import Liveness, Look, Now
from tickrec.upstox.protocol import Failure, Request, Situation, Subscription, followed
from tickrec.upstox.rest import Rest
from tickrec.upstox.websocket import Message, Websocket, of_closed

log = logging.getLogger("tickrec")

Sink = Callable[[Sequence[Entry]], None]
"""Takes entries of one connection that came together, at least one."""
Quiet = Callable[[int], bool]
"""Whether no data is to be expected at a wall time."""

LOOK_NS: Final = SECOND // 50
"""While instruments have not answered, live messages are looked into this often at most, snapshots always."""
LOOK_SECONDS: Final = 1.0
"""The websocket is looked after this often at least, so that silence counts from the end of a quiet time."""
GOODBYE_NS: Final = SECOND
"""Data that came so shortly before the end shows that the websocket lived, also when it does not answer a goodbye."""
SKIPPED: Final = "what the broker sent could not be read in time, and it left something out"


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
    stamped: bool = True
    """Whether messages say when they were sent, so that one that is read late is known to be."""


class Subscriber:
    """One open websocket of connection `conn`; `patience` is how many seconds it may be silent after a snapshot."""

    def __init__(
        self,
        socket: Websocket,
        conn: int,
        subscription: Subscription,
        shared: Shared,
        token: Token,
        sink: Sink,
        patience: float,
    ) -> None:
        self._socket = socket
        self._conn = conn
        self._subscription = subscription
        self._shared, self._clock = shared, shared.clock
        self._token = token
        self._sink = sink
        self._repeats: list[Request] = []
        """What is to be asked once more."""
        self._verdict = Look.NOTHING
        self._stop_ns: int | None = None
        self._look_ns = 0
        self._more = asyncio.Event()
        """Set when the subscription has grown."""
        timing = shared.timing
        self.liveness = Liveness(
            self._now(),
            mute_ns=int(timing.mute * SECOND),
            patience_ns=int(patience * SECOND),
            ping_interval_ns=int(timing.ping_interval * SECOND),
            ping_timeout_ns=int(timing.ping_timeout * SECOND),
        )

    async def run(self) -> Failure | None:
        """Subscribe and receive until the websocket ends; why, or None when that was on purpose."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._watch()), group.create_task(self._close_when_stopped())]
                closed = await self._socket.receive(self._take)
                for task in tasks:
                    task.cancel()
        finally:
            self._socket.transport.abort()
        if self._shared.stopping.is_set():
            self._end_stopped(closed)
            return None
        failure = self._why(closed)
        self.end(failure, closed.rcvd.code if closed.rcvd else NO_CLOSE_FRAME)
        return failure

    def end(self, failure: Failure, code: int = NO_CLOSE_FRAME) -> None:
        """Journal that the websocket has ended, and since when data is missing."""
        since_ns = self.liveness.missing_since(self._clock.wall_ns())
        self._write(EntryKind.DISCONNECTED, code=code, reason=failure.reason, since_ns=since_ns, stopped=False)

    def _end_stopped(self, closed: ConnectionClosed) -> None:
        """Journal an end that was wanted. Whoever answers the goodbye has sent everything before it."""
        stop_ns = self._stop_ns or self._clock.wall_ns()
        since_ns = stop_ns if closed.rcvd else self.liveness.missing_since(stop_ns)
        stopped = stop_ns - since_ns < GOODBYE_NS
        reason = "stopped" if stopped else "no answer to the goodbye"
        code = closed.rcvd.code if closed.rcvd else NO_CLOSE_FRAME
        self._write(EntryKind.DISCONNECTED, code=code, reason=reason, since_ns=since_ns, stopped=stopped)

    def _take(self, messages: Sequence[Message]) -> None:
        """Stamp what has come and hand it to the sink."""
        now, stamp_ns = self._now(), self._stamp_ns(messages[-1])
        place = self._place_of_skip(messages, now, stamp_ns)
        if place is not None:
            self._pass_on(messages[:place], now)
            since_ns = min(self.liveness.sent_ns, now.wall_ns)
            log.warning("conn %d: %s", self._conn, SKIPPED)
            self._write(EntryKind.NOTE, event="lost", reason=SKIPPED, since_ns=since_ns)
            self.liveness.received(now, self._stamp_ns(messages[place]), 0)
            return self._take(messages[place:])
        self.liveness.received(now, stamp_ns, sum(len(data) for data, _ in messages))
        self._pass_on(messages, now)

    def _place_of_skip(self, messages: Sequence[Message], now: Now, newest_ns: int | None) -> int | None:
        """The first of the messages before which the broker has left something out; None, as nearly always.

        `newest_ns` is when it sent the last of them.
        """
        if not self.liveness.may_have_skipped(now, newest_ns):
            return None
        for place, message in enumerate(messages):
            stamp_ns = self._stamp_ns(message)
            if self.liveness.has_skipped(now, stamp_ns):
                return place
            self.liveness.received(now, stamp_ns, len(message.data))
        return None

    def _pass_on(self, messages: Sequence[Message], now: Now) -> None:
        if not messages:
            return
        entries = [
            Entry(EntryKind.MESSAGE, self._conn, now.wall_ns, now.mono_ns, data, text) for data, text in messages
        ]
        self._sink(entries)
        for data, text in reversed(messages):
            if not text and count_feeds(data):
                self.liveness.received_data(now, tick=is_live(data))
                if self._subscription.complete:
                    return
                self._learn_answers(data, now)

    def _learn_answers(self, message: bytes, now: Now) -> None:
        """Take in which instruments a message with data answers."""
        if is_live(message) and now.mono_ns < self._look_ns:
            return
        self._look_ns = now.mono_ns + LOOK_NS
        self._subscription.serve(served_keys(message))
        if self._subscription.complete:
            keys = self._subscription.count
            log.info("conn %d: %s of %s answered", self._conn, grouped(keys), plural(keys, "instrument"))

    async def _watch(self) -> None:
        """Subscribe, then look after instruments that do not answer, and whether the websocket lives."""
        try:
            self._subscription.begin()
            await self._ask()
            while self._verdict not in (Look.MUTE, Look.NO_PONG):
                with contextlib.suppress(Stopped):  # there is more to ask for before the pause is over
                    await unless_stopped(self._more, self._clock.sleep(self._pause()))
                self._more.clear()
                await self._ask()
                self._name_silent()
                now = self._now()
                self._verdict = self.liveness.look(now, quiet=self._shared.quiet(now.wall_ns))
                if self._verdict is Look.PING:
                    await self._ping(now)
            await self._socket.close(1011 if self._verdict is Look.NO_PONG else 1000)
        except ConnectionClosed:
            return  # the receiving side says why

    def ask_for_more(self) -> None:
        """The subscription has grown: ask for what is new in it."""
        self._more.set()

    def ask_again(self, keys: Sequence[str]) -> None:
        """Ask once more for those of the keys that are wanted here."""
        self._repeats += self._subscription.repeats(keys)
        self._more.set()

    async def _ask(self) -> None:
        requests = self._subscription.due(self._clock.monotonic_ns())
        for request in requests:
            keys = [[each.instrument_key, each.symbol] for each in request.wanted]
            mode = request.wanted[0].mode
            self._write(EntryKind.SUBSCRIBED, mode=mode, keys=keys, **followed(request.wanted))
            await self._socket.send(request.payload)
            log.debug("conn %d: asked for %s in mode %s", self._conn, plural(len(keys), "instrument"), mode)
        if requests:
            self._subscription.asked(self._clock.monotonic_ns())
        repeats, self._repeats = self._repeats, []
        for request in repeats:
            self._write(EntryKind.NOTE, event="again", keys=[each.instrument_key for each in request.wanted])
            await self._socket.send(request.payload)

    async def _ping(self, now: Now) -> None:
        """Send a ping; the answer is noted whenever it comes."""
        self.liveness.pinged(now)
        answer = await self._socket.ping()

        def answered(done: "asyncio.Future[float]") -> None:
            if not done.cancelled() and done.exception() is None:
                self.liveness.answered(now)

        asyncio.ensure_future(answer).add_done_callback(answered)

    def _name_silent(self) -> None:
        silent = self._subscription.name_silent(self._clock.monotonic_ns())
        if silent:
            self._write(EntryKind.NOTE, event="silent", keys=silent)
            shown = ", ".join(silent[:5]) + (", ..." if len(silent) > 5 else "")
            log.warning("conn %d: %s silent: %s", self._conn, plural(len(silent), "instrument"), shown)

    def _pause(self) -> float:
        """Seconds until there may be something to do."""
        due = self.liveness.due_ns()
        if self._subscription.deadline_ns is not None:
            due = min(due, self._subscription.deadline_ns)
        return min(max((due - self._clock.monotonic_ns()) / SECOND, 0.01), until_beat(self._clock, LOOK_SECONDS))

    async def _close_when_stopped(self) -> None:
        await self._shared.stopping.wait()
        self._stop_ns = self._clock.wall_ns()
        await self._socket.close()

    def _why(self, closed: ConnectionClosed) -> Failure:
        """Why the websocket has ended, when that was not on purpose."""
        match self._verdict:
            case Look.MUTE:
                return Failure(Situation.MUTE, what=f"no data for {self.liveness.allowed_ns / SECOND:g} s")
            case Look.NO_PONG:
                return Failure(Situation.NO_PONG, code=NO_CLOSE_FRAME)
        return of_closed(closed, self._token, had_data=self.liveness.proven)

    def _stamp_ns(self, message: Message) -> int | None:
        """When the broker says it sent a message, nanoseconds by its own clock."""
        broker_ms = sent_ms(message.data) if self._shared.stamped and not message.text else None
        return None if broker_ms is None else broker_ms * 1_000_000

    def _now(self) -> Now:
        return Now(self._clock.wall_ns(), self._clock.monotonic_ns())

    def _write(self, kind: EntryKind, **facts: object) -> None:
        now = self._now()
        self._sink([Entry(kind, self._conn, now.wall_ns, now.mono_ns, encode_facts(**facts))])
