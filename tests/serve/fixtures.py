"""What tests of the server share: a clock moved by hand, HTTP calls, and a websocket client."""

import asyncio
import contextlib
import datetime as dt
import json
import struct
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import websockets
from google.protobuf.message import DecodeError
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from tests.clocks import SteppedClock
from tests.days import DATE, every_entry
from tickrec.journal.entry import Entry, EntryKind
from tickrec.serve.server import HOST, Server
from tickrec.serve.synthetic.listings import master_of
from tickrec.serve.synthetic.simulator import Settings, Simulator
from tickrec.store.paths import Store
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb

RELIANCE = "NSE_EQ|INE002A01018"
TCS = "NSE_EQ|INE467B01029"
NIFTY = "NSE_INDEX|Nifty 50"
DEADLINE = 10.0
"""Seconds after which a test gives up waiting."""

STRIKES = 2
"""Of the market of `simulated`: a short list."""


def contracts(*kinds: str, segment: str = "NSE_FO") -> list[str]:
    """Keys of the simulated contracts of some kinds."""
    listings = master_of(dt.date(2026, 11, 23), STRIKES).listings
    return [x.key for x in listings.values() if x.kind in kinds and x.segment == segment]


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def error_code(self) -> str:
        """The code of an error in the broker's shape; both spellings must agree."""
        (error,) = self.json["errors"]
        assert self.json["status"] == "error"
        assert error["errorCode"] == error["error_code"]
        assert {"message", "propertyPath", "property_path", "invalidValue", "invalid_value"} <= set(error)
        return str(error["error_code"])


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


async def call(
    simulator: Server,
    path: str,
    *,
    token: str | None = "simulated",
    data: object = None,
    query: Mapping[str, str] | None = None,
) -> Answer:
    """GET a path, or POST `data` (a JSON object, or bytes as they are)."""
    url = simulator.api_url + urllib.parse.quote(path)
    if query:
        url += "?" + urllib.parse.urlencode(query)
    body = data if data is None or isinstance(data, bytes) else json.dumps(data).encode()
    request = urllib.request.Request(url, body)
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    return await asyncio.to_thread(_open, request)


def _open(request: urllib.request.Request) -> Answer:
    try:
        with _OPENER.open(request, timeout=DEADLINE) as answer:
            return Answer(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read())


async def authorize(simulator: Server, token: str = "simulated") -> str:
    """A fresh websocket address."""
    answer = await call(simulator, "/v3/feed/market-data-feed/authorize", token=token)
    assert answer.status == 200, answer.body
    return str(answer.json["data"]["authorized_redirect_uri"])


class Client:
    """A websocket to the simulator that decodes what it gets."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket
        self.payloads: list[bytes | str] = []

    async def next(self) -> Any:
        """The next message, decoded."""
        async with asyncio.timeout(DEADLINE):
            payload = await self.websocket.recv()
        self.payloads.append(payload)
        assert isinstance(payload, bytes)
        return pb.FeedResponse.FromString(payload)

    async def nothing(self) -> bool:
        """Whether no message is waiting: the connection answers a ping, and nothing came before the answer."""
        async with asyncio.timeout(DEADLINE):
            await (await self.websocket.ping())
        try:
            async with asyncio.timeout(0):
                self.payloads.append(await self.websocket.recv())
        except TimeoutError:
            return True
        return False

    async def ask(self, method: str, keys: Sequence[str], mode: str | None = "full") -> None:
        """Send a request the way the official SDK does: JSON in a binary frame."""
        data: dict[str, object] = {"instrumentKeys": list(keys)}
        if mode is not None:
            data["mode"] = mode
        await self.websocket.send(json.dumps({"guid": "1", "method": method, "data": data}).encode())

    async def subscribe(self, keys: Sequence[str], mode: str | None = "full") -> Any:
        """Subscribe and return the snapshot."""
        await self.ask("sub", keys, mode)
        return await self.next()


@asynccontextmanager
async def connected(simulator: Server, **options: Any) -> AsyncIterator[Client]:
    """A client that has received its first market_info. However much it leaves unread, it hears the goodbye."""
    uri = await authorize(simulator)
    usual: dict[str, Any] = {"max_size": None, "max_queue": None, "ping_interval": None}
    async with websockets.connect(uri, **usual | options) as websocket:
        client = Client(websocket)
        assert (await client.next()).type == 2
        yield client


@asynccontextmanager
async def simulated(
    clock: SteppedClock | None = None, **settings: Any
) -> AsyncIterator[tuple[Simulator, SteppedClock]]:
    """A running simulator whose clock is moved by hand."""
    clock = clock or SteppedClock()
    async with Simulator(Settings(clock=clock, **{"strikes": STRIKES, **settings})) as simulator:
        yield simulator, clock


async def status_of_handshake(uri: str) -> int:
    """The HTTP status that a websocket handshake gets."""
    try:
        async with websockets.connect(uri):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


async def raw_status(simulator: Server, target: str, headers: Mapping[str, str]) -> int:
    """The HTTP status that a websocket handshake gets which says of itself just what it is told to."""
    given = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **headers,
    }
    reader, writer = await asyncio.open_connection(HOST, simulator.port)
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    async with asyncio.timeout(DEADLINE):
        status = int((await reader.readline()).split()[1])
    writer.close()
    return status


async def raw_websocket(simulator: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A websocket without a library, its market_info read."""
    uri = urllib.parse.urlsplit(await authorize(simulator))
    reader, writer = await asyncio.open_connection(HOST, simulator.port)
    head = f"GET {uri.path}?{uri.query} HTTP/1.1\r\nHost: {uri.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(DEADLINE):
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer
        _, _, length = struct.unpack("!BBH", await reader.readexactly(4))
        await reader.readexactly(length)
    return reader, writer


@asynccontextmanager
async def joined(server: Server) -> AsyncIterator[Client]:
    """A client that has its first market_info."""
    async with websockets.connect(await authorize(server), max_size=None, max_queue=None) as websocket:
        client = Client(websocket)
        assert (await client.next()).type == 2
        client.payloads.clear()
        yield client


def sent(store: Store, date: dt.date = DATE) -> list[Entry]:
    """The broker's messages of the recorded day."""
    return [entry for entry in every_entry(store, date) if entry.kind is EntryKind.MESSAGE]


def keys_of(store: Store, date: dt.date = DATE) -> list[str]:
    """The instruments of the recorded day."""
    found: dict[str, None] = {}
    for entry in every_entry(store, date):
        if entry.kind is EntryKind.SUBSCRIBED:
            found |= dict.fromkeys(key for key, _ in entry.facts()["keys"])
    return list(found)


def messages(payloads: Sequence[bytes | str]) -> list[Any]:
    """The messages among them that can be read, as the broker's schema has them."""
    found = []
    for payload in payloads:
        with contextlib.suppress(DecodeError, TypeError):
            found.append(pb.FeedResponse.FromString(payload))
    return found
