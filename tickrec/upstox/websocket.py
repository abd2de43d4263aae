"""Websocket: opening one to an authorized address, and what its failures are called.

Owns the library's settings and the translation of its exceptions. Knows nothing of subscriptions and retries.
"""

import logging
from typing import Any, Final
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

from tickrec.upstox.auth import Token
from tickrec.upstox.protocol import Failure, Situation, explain, of_close, of_os_error, of_status
from tickrec.upstox.rest import USER_AGENT, Rest, broker_error
from tickrec.values import is_loopback

MAX_MESSAGE: Final = 64 * 1024 * 1024
"""A snapshot of 2,000 options is about 0.9 MB; nothing the broker sends comes near this."""
MAX_QUEUE: Final = 1024
"""Frames. The library's 16 is less than one read from the socket holds in a burst, and each excess costs a pause and a
resume of the transport. All that is queued is taken before the next read, so the queue stays as small as one read."""
STAGE: Final = "handshake"

log = logging.getLogger("tickrec.websocket")
log.setLevel(logging.WARNING)  # below that the library writes down one-time codes and whatever the peer says


class Refused(Exception):
    """No websocket was opened."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


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
    ping_interval: float,
    ping_timeout: float,
) -> ClientConnection:
    """Open a websocket to the address that `rest` gave for `token`. Times are seconds. Raises Refused.

    The token itself is not sent: the address holds a one-time code. TLS is verified just as `rest` does.

    No compression is offered: inflating would cost as much as everything else done with a message, and the official
    SDK does without it too. A proxy from the environment is used, though never for a loopback address.
    """
    parts = urlsplit(uri)
    tls: dict[str, Any] = {"ssl": rest.tls} if parts.scheme == "wss" else {}
    try:
        return await _Connect(
            uri,
            compression=None,
            user_agent_header=USER_AGENT,
            proxy=None if is_loopback(parts.hostname or "") else True,
            open_timeout=open_timeout,
            close_timeout=close_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            max_size=MAX_MESSAGE,
            max_queue=MAX_QUEUE,
            logger=log,
            **tls,
        )
    except (InvalidHandshake, InvalidProxy, InvalidURI, OSError, UnicodeError, ImportError) as error:
        raise Refused(_of_handshake(error, token)) from None


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
        detail = " ".join(filter(None, broker_error(body, (token.reveal(),))))
        status = error.response.status_code
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
