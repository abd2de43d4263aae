"""Client: one websocket of the server: what its client wants, what it has missed, and what is sent to it.

Owns the bytes of one connection, how it is ended, and how far it may be behind. What is sent, and when, is not decided
here.
"""

import asyncio
import re
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from tickrec.serve.subscriptions import Subscriptions

MAX_BEHIND: Final = 1024 * 1024
"""Bytes unsent above which a client is behind."""
WRITE_LIMIT: Final = 256 * 1024
"""Bytes unsent above which a lossless source waits."""
MAX_HEAD: Final = 64 * 1024
"""Bytes of a request."""
_LINGER: Final = "hh" if sys.platform == "win32" else "ii"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d{1,5})(?=\r\n)", re.IGNORECASE)


class Connection(ServerConnection):
    """A connection of the library, which reads GET requests only: a POST becomes a GET with its body as the query.

    While it lasts, it is among `others`.
    """

    def __init__(self, others: "set[Connection]", *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._others = others
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._others.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._others.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the network."""
        if self.request is not None:
            super().data_received(data)
            return
        self._head += data
        if len(self._head) > MAX_HEAD:
            self.transport.abort()
        elif not self._head.startswith(b"POST "):
            super().data_received(data)
        elif (request := _as_get(self._head)) is not None:
            super().data_received(request)


def _as_get(head: bytes) -> bytes | None:
    """A POST request as a GET; None until all of it is there."""
    lines, end, body = head.partition(b"\r\n\r\n")
    length = _LENGTH.search(lines + b"\r\n")
    if not end or len(body) < (int(length[1]) if length else 0):
        return None
    target, _, rest = lines.removeprefix(b"POST ").partition(b" ")
    rest = _LENGTH.sub(b"", rest + b"\r\n")
    return b"GET " + target + b"?" + quote(body, safe="").encode() + b" " + rest + b"\r\n"


class Client:
    """One open websocket; `on_send` is told of each data message just before its bytes are written."""

    def __init__(
        self,
        number: int,
        connection: ServerConnection,
        caps: Mapping[str, tuple[int, int]],
        on_send: Callable[[int, bytes, bool], None],
    ) -> None:
        self.number = number
        self.subscriptions = Subscriptions(caps)
        self.missed: dict[str, None] = {}
        """Keys of which it was not sent what it should have been."""
        self.missed_info = False
        """Whether it was not sent a message that is about no instrument, such as a market_info."""
        self.last_sent_ns = 0
        """Monotonic time."""
        self.stalled_until_ns = 0
        """Monotonic time."""
        self._connection = connection
        self._on_send = on_send

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""
        return self._connection.state is State.OPEN and not self._connection.transport.is_closing()

    @property
    def unsent(self) -> int:
        """Bytes that wait for the client to read."""
        return self._connection.transport.get_write_buffer_size()

    @property
    def slow(self) -> bool:
        """Whether `drained` would wait."""
        return self.unsent > WRITE_LIMIT

    def ready(self, now_ns: int) -> bool:
        """Whether it can take a message at a monotonic time."""
        return now_ns >= self.stalled_until_ns and self.open and self.unsent <= MAX_BEHIND

    def send(self, payload: bytes, now_ns: int, *, text: bool = False) -> bool:
        """Send one data message (at a monotonic time); False when the connection is already ending."""
        if not self.open:
            return False
        self._on_send(self.number, payload, text)
        self.last_sent_ns = now_ns
        broadcast([self._connection], payload.decode("utf-8", "replace") if text else payload)
        return True

    async def drained(self) -> None:
        """Return when the client has read most of what was sent, or has gone."""
        try:
            await self._connection.drain()
        except OSError:
            return  # nobody is there to be waited for

    def ping(self, now_ns: int) -> None:
        """Send an empty ping."""
        self.last_sent_ns = now_ns
        self._connection.protocol.send_ping(b"")
        self._connection.send_data()

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake."""
        self._connection.protocol.send_close(code, reason)
        self._connection.send_data()

    def reset(self, fragment: bytes = b"") -> None:
        """End the connection with a TCP reset, after the first half of a frame with `fragment` if there is one."""
        transport = self._connection.transport
        if fragment:
            data = Frame(Opcode.BINARY, fragment).serialize(mask=False)
            transport.write(data[: len(data) // 2])
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 1, 0))
        transport.abort()
