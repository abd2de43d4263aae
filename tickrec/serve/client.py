"""One websocket of the simulated broker: the handshake, what the client wants, and what is sent to it.

Owns the caps on subscriptions and the bytes of one connection. Every frame the broker promises goes through `send`;
which instruments changed, and when, is not decided here.
"""

import asyncio
import json
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, NamedTuple

from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.http11 import Request as Upgrade
from websockets.protocol import State
from websockets.server import ServerProtocol

from tickrec.serve.http import Request
from tickrec.serve.synthetic.phases import SEGMENTS

INDIVIDUAL: Final = {"ltpc": 5000, "option_greeks": 3000, "full": 2000, "full_d30": 50}
"""Keys of a connection when it uses one mode only (page Market Data Feed V3; full_d30 with Plus only)."""
COMBINED: Final = {"ltpc": 2000, "option_greeks": 2000, "full": 1500, "full_d30": 50}
"""Keys of each mode when a connection uses several."""
MAX_BEHIND: Final = 1024 * 1024
"""Bytes unsent after which a slow reader gets its changes later, and fewer of them."""
_LINGER: Final = "hh" if sys.platform == "win32" else "ii"
_SEGMENTS: Final = frozenset((*SEGMENTS, "GLOBAL_INDEX", "GLOBAL_INDICATOR"))


class Asked(NamedTuple):
    """What a subscription message asks for: keys to show at once, and keys whose mode changed."""

    snapshot: list[str]
    changed: list[str]


class Subscriptions:
    """Keys and their modes on one connection. Whatever is too much or makes no sense is ignored without a word."""

    def __init__(self, *, plus: bool) -> None:
        self.modes: dict[str, str] = {}
        self._plus = plus
        self._counts = dict.fromkeys(INDIVIDUAL, 0)

    def take(self, message: bytes) -> Asked:
        """Apply one request of the client."""
        method, mode, keys = _parse(message)
        if method == "unsub":
            for key in keys:
                self._remove(key)
            return Asked([], [])
        if method == "sub":
            mode = mode or "ltpc"
            return Asked([key for key in dict.fromkeys(keys) if self._put(key, mode)], [])
        if method == "change_mode":
            known = [key for key in keys if key in self.modes]
            return Asked([], [key for key in known if self._put(key, mode)])
        return Asked([], [])

    def _put(self, key: str, mode: str) -> bool:
        """Subscribe a key in a mode; the last request wins. False when it is not accepted."""
        if mode not in INDIVIDUAL or (mode == "full_d30" and not self._plus) or not _well_formed(key):
            return False
        before = self.modes.get(key)
        if before == mode:
            return True
        if before:
            self._counts[before] -= 1
        mixed = any(count for other, count in self._counts.items() if other != mode)
        if self._counts[mode] >= (COMBINED if mixed else INDIVIDUAL)[mode]:
            if before:
                self._counts[before] += 1
            return False
        self.modes[key] = mode
        self._counts[mode] += 1
        return True

    def _remove(self, key: str) -> None:
        mode = self.modes.pop(key, None)
        if mode:
            self._counts[mode] -= 1


class Session:
    """One open websocket; `on_send` is told of each data message just before its bytes are written."""

    def __init__(
        self, number: int, writer: asyncio.StreamWriter, *, plus: bool, on_send: Callable[[int, bytes, bool], None]
    ) -> None:
        self.number = number
        self.subscriptions = Subscriptions(plus=plus)
        self.pending: dict[str, None] = {}
        """Keys that changed since the last frame."""
        self.last_sent = 0
        self.stalled_until = 0
        """Monotonic ns."""
        self.ending = (1006, "")
        """The close code and reason, once it has ended."""
        self._writer = writer
        self._on_send = on_send
        self._fragments: list[Frame] = []
        # A small memLevel keeps compression from holding 256 KB for each connection.
        deflate = ServerPerMessageDeflateFactory(compress_settings={"memLevel": 5, "level": 1})
        self._protocol = ServerProtocol(extensions=[deflate], max_size=16 * 1024 * 1024)

    def shake_hands(self, request: Request, refusal: str = "") -> bool:
        """Answer an upgrade: 101, or 403 with a reason."""
        self._protocol.receive_data(request.head)
        for event in self._protocol.events_received():
            if isinstance(event, Upgrade):
                answer = self._protocol.reject(403, refusal) if refusal else self._protocol.accept(event)
                self._protocol.send_response(answer)
        self._write()
        return self._protocol.state is State.OPEN

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""
        return self._protocol.state is State.OPEN and not self._writer.is_closing()

    @property
    def behind(self) -> bool:
        """Whether the client reads too slowly to be sent more."""
        return self._writer.transport.get_write_buffer_size() > MAX_BEHIND

    async def requests(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """Yield the binary messages of the client until the connection ends; text messages are ignored."""
        while True:
            try:
                data = await reader.read(65536)
            except ConnectionError:
                data = b""
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            for frame in self._protocol.events_received():
                message = self._message(frame) if isinstance(frame, Frame) else None
                if message is not None:
                    yield message
            self._write()
            if not data or self._protocol.state is State.CLOSED:
                break
        if self._protocol.close_rcvd:
            self.ending = (int(self._protocol.close_rcvd.code), self._protocol.close_rcvd.reason)

    def send(self, payload: bytes, now: int, *, text: bool = False) -> bool:
        """Send one data message (at monotonic ns `now`); False when the connection is already ending."""
        if not self.open:
            return False
        self._on_send(self.number, payload, text)
        self.last_sent = now
        (self._protocol.send_text if text else self._protocol.send_binary)(payload)
        self._write()
        return True

    def ping(self, now: int) -> None:
        """Send an empty ping."""
        self.last_sent = now
        self._protocol.send_ping(b"")
        self._write()

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake."""
        self.ending = (code, reason)
        self._protocol.send_close(code, reason)
        self._write()

    def reset(self, fragment: bytes = b"") -> None:
        """End the connection with a TCP reset, after the first half of a frame with `fragment` if there is one."""
        if fragment:
            frame = Frame(Opcode.BINARY, fragment).serialize(mask=False)
            self._writer.write(frame[: len(frame) // 2])
        self.ending = (1006, "reset")
        raw = self._writer.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 1, 0))
        self._writer.transport.abort()

    def _message(self, frame: Frame) -> bytes | None:
        """A complete binary message, once its last fragment is there."""
        if frame.opcode not in DATA_OPCODES:
            return None
        self._fragments.append(frame)
        if not frame.fin:
            return None
        fragments, self._fragments = self._fragments, []
        if fragments[0].opcode is not Opcode.BINARY:
            return None
        return b"".join(bytes(fragment.data) for fragment in fragments)

    def _write(self) -> None:
        for data in self._protocol.data_to_send():
            if self._writer.is_closing():
                continue
            if data:
                self._writer.write(data)
            elif self._writer.can_write_eof():
                self._writer.write_eof()


def _parse(message: bytes) -> tuple[str, str, list[str]]:
    """Method, mode and keys of a request; an empty method for what makes no sense."""
    try:
        request = json.loads(message)
    except ValueError:
        return "", "", []
    data = request.get("data") if isinstance(request, Mapping) else None
    keys = data.get("instrumentKeys") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(keys, list):
        return "", "", []
    return str(request.get("method", "")), str(data.get("mode") or ""), [key for key in keys if isinstance(key, str)]


def _well_formed(key: str) -> bool:
    segment, _, name = key.partition("|")
    return segment in _SEGMENTS and bool(name)
