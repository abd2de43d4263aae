"""Link: one connection to the feed, over all of its websockets: how it gets one, and its way back when it has lost it.

Owns authorize, connect, and what is journalled of an attempt. What a failure means is decided in `protocol`, when to
try again in `reconnect`, what happens on an open websocket in `subscriber`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from tickrec import logs
from tickrec.clock import SECOND, Stopped, unless_stopped
from tickrec.errors import TickrecError, TokenError, leaves
from tickrec.formatting import plural
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.upstox.auth import Token, expired_error, in_thread, token_hint
from tickrec.upstox.protocol import Failure, Situation, Subscription, Verdict, Wanted, classify, named
from tickrec.upstox.reconnect import Reconnect
from tickrec.upstox.rest import RestError
from tickrec.upstox.subscriber import Shared, Sink, Subscriber
from tickrec.upstox.websocket import Refused, Websocket, open_websocket

log = logging.getLogger("tickrec")

CONNECTING: Final = "connecting"
CONNECTED: Final = "connected"
WAITING: Final = "waiting"
STOPPED: Final = "stopped"


class ConnectionState(NamedTuple):
    """A connection at one moment. Instants are wall nanoseconds."""

    conn: int
    state: str
    """CONNECTING, CONNECTED, WAITING or STOPPED."""
    keys: int
    answered: int
    """Keys that have been answered on the current websocket."""
    since_ns: int
    """When this state began."""
    attempt: int
    """Failed attempts in a row since the connection last proved itself."""
    retry_ns: int | None
    """When the next attempt is due; None unless WAITING."""
    reason: str
    """Why it is not connected; empty while it is."""


class SinkFailed(Exception):
    """The sink raised its cause: the run has to end, whatever the error is."""


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
        self._reconnect = Reconnect(shared.chance, shared.timing.mute)
        self._token: Token | None = None
        self._subscriber: Subscriber | None = None
        """On the present websocket, or on the last one."""
        self._begun_ns = 0
        self._retry_ns: int | None = None
        self._state, self._since_ns = CONNECTING, self._clock.wall_ns()

    def state(self) -> ConnectionState:
        """The connection as it is now."""
        keys, connected = self.subscription.count, self._state == CONNECTED
        return ConnectionState(
            self.conn,
            self._state,
            keys,
            self.subscription.answered if connected else 0,
            self._since_ns,
            0 if connected and self._proven else self._reconnect.failed_attempts,
            self._retry_ns,
            "" if connected else self.last_reason,
        )

    @property
    def unasked(self) -> tuple[str, ...]:
        """Keys that could not be asked for in this run, when the second attempt to connect has failed too."""
        if self.opened or self._reconnect.failed_attempts < 2:
            return ()
        return self.subscription.unanswered

    @property
    def unexpected(self) -> str:
        """The error that nobody expected and that keeps the connection from working; empty when there is none."""
        works = self._state == CONNECTED and self._proven
        return self.last_reason if self._reconnect.unexpected and not works else ""

    @property
    def _proven(self) -> bool:
        return self._subscriber is not None and self._subscriber.liveness.proven

    def add(self, wanted: Sequence[Wanted], sink: Sink) -> None:
        """Want more instruments from now on, and say so to the sink; raises what that raises."""
        self.subscription.add(wanted)
        self._write(sink, EntryKind.NOTE, event="added", **named(wanted))
        if self._subscriber is not None:
            self._subscriber.ask_for_more()

    def ask_again(self, keys: Sequence[str]) -> None:
        """Ask once more for those of the keys that are wanted here, if there is a websocket."""
        if self._subscriber is not None:
            self._subscriber.ask_again(keys)

    async def run(self, sink: Sink) -> None:
        """Connect, receive, and connect again, until stopped. Raises TokenError, and SinkFailed from what it raised."""

        def guarded(entries: Sequence[Entry]) -> None:
            try:
                sink(entries)
            except Exception as error:
                raise SinkFailed from error

        self._write(guarded, EntryKind.NOTE, event="wanted", **named(self.subscription.wanted))
        with contextlib.suppress(Stopped):
            while not self._shared.stopping.is_set():
                failure = await self._attempt_once(guarded)
                if failure is not None:
                    await self._recover(failure, guarded)
        self._enter(STOPPED)

    async def _attempt_once(self, sink: Sink) -> Failure | None:
        """Connect and receive; why that ended, or None when it was wanted.

        The named boundary of a connection: an error that nobody expected is a failure like any other, and logged.
        """
        subscriber = None
        try:
            socket, host = await self._open()
            subscriber = self._subscribe(socket, host, sink)
            return await subscriber.run()
        except Refused as failed:
            return failed.failure
        except Exception as error:  # noqa: BLE001 - what is known is raised again
            _raise_known(error)
            failure = self._unexpected_failure(error, stage="" if subscriber else "connecting")
            if subscriber is not None:
                subscriber.end(failure)
            return failure
        finally:
            if subscriber is not None:
                liveness = subscriber.liveness
                self._reconnect.ended(proven=liveness.proven, ticked_promptly=liveness.ticked_promptly)

    def _unexpected_failure(self, error: Exception, stage: str) -> Failure:
        hide = self._token.redact if self._token is not None else str
        first = next(leaves(error))
        detail = hide(f"{type(first).__name__}: {first}")
        logs.log_unexpected(f"conn {self.conn}: {detail}", error, hide)
        return Failure(Situation.UNEXPECTED, stage, detail=detail)

    # Getting a websocket

    async def _open(self) -> tuple[Websocket, str]:
        """A fresh authorization and a websocket to the address it gave; the host comes with it."""
        self._enter(CONNECTING)
        self._begun_ns = self._clock.monotonic_ns()
        stopping = self._shared.stopping
        self._token = await unless_stopped(stopping, self._shared.access.token())
        uri = await unless_stopped(stopping, self._authorize(self._token))
        host = urlsplit(uri).hostname or ""
        log.debug("conn %d: authorized, connecting to %s", self.conn, host)
        timing, rest = self._timing, self._shared.rest
        opening = open_websocket(uri, rest, self._token, open_timeout=timing.open, close_timeout=timing.close)
        return await unless_stopped(stopping, opening), host

    async def _authorize(self, token: Token) -> str:
        try:
            async with asyncio.timeout(self._timing.authorize):
                return await in_thread(lambda: self._shared.rest.authorize(token))
        except RestError as error:
            raise Refused(error.failure) from None
        except TimeoutError:
            raise Refused(Failure(Situation.TIMEOUT, "authorize")) from None

    def _subscribe(self, socket: Websocket, host: str, sink: Sink) -> Subscriber:
        assert self._token is not None
        attempt = self._reconnect.failed_attempts + 1
        tries = f" after {plural(attempt, 'attempt')}" if self.opened or attempt > 1 else ""
        took = (self._clock.monotonic_ns() - self._begun_ns) / SECOND
        log.info("conn %d connected in %.1fs%s", self.conn, took, tries)
        self.opened += 1
        self._reconnect.opened()
        self._write(sink, EntryKind.CONNECTED, host=host, attempt=attempt, keys=self.subscription.count)
        patience = self._reconnect.patience
        self._subscriber = Subscriber(socket, self.conn, self.subscription, self._shared, self._token, sink, patience)
        self._enter(CONNECTED)
        return self._subscriber

    # Getting it back

    async def _recover(self, failure: Failure, sink: Sink) -> None:
        """Wait as long as a failure asks for. Raises TokenError when it is final."""
        token_is_new = None
        if classify(failure) is Verdict.REREAD_TOKEN:
            failure, token_is_new = await self._reread_token(failure)
        failure, delay = self._reconnect.failed(failure, token_is_new=token_is_new)
        self.last_reason, self.failed_ns = failure.reason, self._clock.monotonic_ns()
        if failure.stage:
            retry = None if delay is None else round(delay, 3)
            self._write(sink, EntryKind.NOTE, event="attempt", reason=failure.reason, retry_s=retry)
        if delay is None:
            raise self._last_word(failure)
        what = "could not connect" if failure.stage else "lost"
        log.warning("conn %d %s: %s; retry in %.1fs", self.conn, what, failure.reason, delay)
        self._enter(WAITING, self._clock.wall_ns() + int(delay * SECOND))
        await unless_stopped(self._shared.stopping, self._clock.sleep(delay))

    async def _reread_token(self, failure: Failure) -> tuple[Failure, bool | None]:
        """Whether the sources of the token that was refused have another one; None, with the failure that it is, when
        they cannot be read."""
        assert self._token is not None
        try:
            token = await unless_stopped(self._shared.stopping, self._shared.access.token_after(self._token))
        except Exception as error:  # noqa: BLE001 - what is known is raised again
            _raise_known(error)
            return self._unexpected_failure(error, failure.stage), None
        return failure, token != self._token

    def _last_word(self, failure: Failure) -> TokenError:
        assert self._token is not None
        if self._token.expired(now := self._clock.wall_ns()):
            return expired_error(self._token, now)
        return TokenError("the broker refused the access token twice", where=failure.reason, hint=token_hint())

    def _enter(self, state: str, retry_ns: int | None = None) -> None:
        self._state, self._since_ns, self._retry_ns = state, self._clock.wall_ns(), retry_ns

    def _write(self, sink: Sink, kind: EntryKind, **facts: object) -> None:
        sink([Entry(kind, self.conn, self._clock.wall_ns(), self._clock.monotonic_ns(), encode_facts(**facts))])


def _raise_known(error: Exception) -> None:
    """Raise what ends the run or the attempt; return when the error is one that nobody expected."""
    for leaf in leaves(error):
        if isinstance(leaf, SinkFailed | TickrecError | Stopped):
            raise leaf
