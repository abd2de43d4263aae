"""Websocket: opening one to an authorized address, and what its failures are called.

Owns the library's settings and the translation of its exceptions. Knows nothing of subscriptions and retries.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import Event

from tickrec.upstox.auth import Token
from tickrec.upstox.protocol import Failure, Situation, explain, of_close, of_os_error, of_status
from tickrec.upstox.rest import USER_AGENT, Rest, broker_error
from tickrec.values import is_loopback

MAX_MESSAGE: Final = 64 * 1024 * 1024
"""A snapshot of 2,000 options is about 0.9 MB; nothing the broker sends comes near this."""
STAGE: Final = "handshake"

log = logging.getLogger("tickrec.websocket")
log.setLevel(logging.WARNING)  # below that the library writes down one-time codes and whatever the peer says


class Refused(Exception):
    """No websocket was opened."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class Message(NamedTuple):
    """A message as it arrived."""

    data: bytes
    text: bool


Take = Callable[[Sequence[Message]], None]
"""Takes the messages of one read from the network, at least one."""


class Websocket(ClientConnection):
    """A websocket that hands over the messages of each read from the network together, as soon as they are there.

    The library's way, a queue and a task that is woken for every message, costs as much as everything else that
    happens to a message. Without a queue, a reader that is busy makes the sender wait.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._messages: list[Message] = []
        self._fragments: list[Frame] = []
        self._take: Take | None = None
        self._over: asyncio.Future[None] = self.loop.create_future()

    async def receive(self, take: Take) -> ConnectionClosed:
        """Call `take` with all messages, until the websocket ends; how it ended. Raises what `take` raises.

        Also with those of a websocket that has ended already.
        """
        self._take = take
        self._hand_over()
        await asyncio.shield(self._over)
        try:
            await self.recv()
        except ConnectionClosed as closed:
            return closed
        raise AssertionError("a message in the library's queue, where none is put")

    def process_event(self, event: Event) -> None:
        """Collect the messages; everything else is the library's business."""
        if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            self._collect(event)
        else:
            super().process_event(event)

    def _collect(self, frame: Frame) -> None:
        if frame.fin and not self._fragments:
            self._messages.append(Message(bytes(frame.data), frame.opcode is Opcode.TEXT))
            return
        self._fragments.append(frame)
        if frame.fin:
            fragments, self._fragments = self._fragments, []
            data = b"".join(each.data for each in fragments)
            self._messages.append(Message(data, fragments[0].opcode is Opcode.TEXT))

    def data_received(self, data: bytes) -> None:
        """What one read brought."""
        super().data_received(data)
        self._hand_over()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, also of `receive`."""
        super().connection_lost(exc)
        if not self._over.done():
            self._over.set_result(None)

    def _hand_over(self) -> None:
        if self._take is None or not self._messages:
            return
        messages, self._messages = self._messages, []
        try:
            self._take(messages)
        except Exception as error:
            self._take = None
            if self._over.done():
                raise
            self._over.set_exception(error)  # `receive` raises it


class _Connect(connect):
    """One attempt. It goes to the address that was authorized and nowhere else."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def open_websocket(
    uri: str,
    rest: Rest,
    token: Token,
    *,
    open_timeout: float,
    close_timeout: float,
) -> Websocket:
    """Open a websocket to the address that `rest` gave for `token`. Times are seconds. Raises Refused.

    The token itself is not sent: the address holds a one-time code. TLS is verified just as `rest` does.

    No compression is offered: inflating would cost as much as everything else done with a message, and the official
    SDK does without it too. A proxy from the environment is used, though never for a loopback address.
    """
    parts = urlsplit(uri)
    tls: dict[str, Any] = {"ssl": rest.tls} if parts.scheme == "wss" else {}
    try:
        opened = await _Connect(
            uri,
            compression=None,
            user_agent_header=USER_AGENT,
            proxy=None if is_loopback(parts.hostname or "") else True,
            open_timeout=open_timeout,
            close_timeout=close_timeout,
            ping_interval=None,  # `subscriber` pings: what a late answer means depends on when it could be read
            max_size=MAX_MESSAGE,
            create_connection=Websocket,
            logger=log,
            **tls,
        )
    except (InvalidHandshake, InvalidProxy, InvalidURI, OSError, UnicodeError, ImportError) as error:
        raise Refused(_of_handshake(error, token)) from None
    assert isinstance(opened, Websocket)
    return opened


def of_closed(closed: ConnectionClosed, token: Token, *, had_data: bool) -> Failure:
    """Why an open websocket has ended; `had_data` says that a snapshot or tick had come over it."""
    received, sent = (frame.code if frame else None for frame in (closed.rcvd, closed.sent))
    detail = token.redact(closed.rcvd.reason) if closed.rcvd else ""
    reset = isinstance(closed.__cause__, OSError)
    return of_close(received, sent, reset=reset, had_data=had_data, detail=" ".join(detail.split()))


def _of_handshake(error: Exception, token: Token) -> Failure:
    """The failure that an exception of the opening handshake stands for."""
    if isinstance(error, InvalidStatus):
        body = bytes(error.response.body or b"").decode("utf-8", "replace")
        status, detail = error.response.status_code, broker_error(body, (token.reveal(),))
        return Failure(of_status(status), STAGE, status=status, detail=detail)
    if isinstance(error, ProxyError | InvalidProxy | ImportError):
        return Failure(Situation.PROXY, STAGE, detail=_root(error))
    if isinstance(error, InvalidURI | UnicodeError):
        return Failure(Situation.BAD_URI, STAGE)
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(cause, OSError):
        return Failure(of_os_error(cause), STAGE, detail=explain(cause))
    if isinstance(cause, EOFError):
        return Failure(Situation.DROPPED, STAGE)
    return Failure(Situation.NO_WEBSOCKET, STAGE, detail=type(error).__name__)


def _root(error: Exception) -> str:
    """What is said about a proxy; its address may hold a password, so of bad addresses only the kind is told."""
    return type(error).__name__ if isinstance(error, InvalidProxy) else str(error)
