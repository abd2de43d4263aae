"""Just enough of HTTP/1.1 for the simulator: requests with a Content-Length in, responses with a Date out.

The websockets library reads no request bodies and answers upgrades only, so one port for REST and websocket needs a
reader of its own; the bytes of an upgrade are kept to be handed on.
"""

import asyncio
import json
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

MAX_HEAD: Final = 64 * 1024
MAX_BODY: Final = 1024 * 1024


class Request(NamedTuple):
    """One request. Header names are in lower case, query values are decoded."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    head: bytes
    """The bytes of request line and headers, as received."""
    body: bytes = b""

    @property
    def upgrade(self) -> bool:
        """Whether a websocket is asked for."""
        return self.headers.get("upgrade", "").lower() == "websocket"

    @property
    def close(self) -> bool:
        """Whether the connection ends after the answer."""
        return self.headers.get("connection", "").lower() == "close"


class Response(NamedTuple):
    """One answer."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def encode(self, wall_ns: int) -> bytes:
        """The bytes to send, with the server's Date."""
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            f"Date: {formatdate(wall_ns / 1e9, usegmt=True)}",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body


def json_response(status: int, body: object, *headers: tuple[str, str]) -> Response:
    """A JSON answer."""
    return Response(status, json.dumps(body).encode(), (("Content-Type", "application/json"), *headers))


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection, None when it ends; raises ValueError for what is no HTTP."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except asyncio.LimitOverrunError:
        raise ValueError("the request's headers are too long") from None
    line, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _version = line.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (row.partition(":") for row in rest)}
    length = int(headers.get("content-length", 0))
    if length > MAX_BODY:
        raise ValueError("the request's body is too long")
    try:
        body = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    parts = urlsplit(target)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return Request(method, unquote(parts.path), query, headers, head, body)
