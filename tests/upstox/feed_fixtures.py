"""What tests of the feed share: a fast clock, a scripted broker on a real port, and a sink that can be waited for."""

import asyncio
import contextlib
import itertools
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.clocks import FastClock
from tickrec.clock import SECOND
from tickrec.journal.entry import Entry, EntryKind
from tickrec.upstox.auth import TokenSource
from tickrec.upstox.decode import MarketDataFeedV3_pb2
from tickrec.upstox.feed import Feed, Wanted
from tickrec.upstox.rest import Rest

pb: Any = MarketDataFeedV3_pb2

SECRET: Final = "eyJ0eXAiOiJKV1Qi.c2VjcmV0LXRva2Vu.s1gn4ture"
"""The token of these tests; it must turn up in nothing that anybody can read."""
DEADLINE: Final = 10.0
"""Seconds after which a test gives up waiting."""
AUTHORIZE: Final = "/v3/feed/market-data-feed/authorize"

RELIANCE: Final = Wanted("NSE_EQ|INE002A01018", "RELIANCE", "full")
TCS: Final = Wanted("NSE_EQ|INE467B01029", "TCS", "full")
NIFTY: Final = Wanted("NSE_INDEX|Nifty 50", "NIFTY", "full")

CERTIFICATE: Final = Path(__file__).with_name("broker.pem")
"""Certificate and key of localhost and broker.test, signed by itself, good for nothing but tests."""


def snapshot(keys: Iterable[str]) -> bytes:
    """An initial_feed message with a price for each key."""
    return _message(0, keys)


def tick(*keys: str, at_ms: int = 1_790_000_000_000) -> bytes:
    """A live_feed message with a price for each key, stamped by the broker."""
    return _message(1, keys, at_ms)


def _message(kind: int, keys: Iterable[str], at_ms: int = 1_790_000_000_000) -> bytes:
    message: Any = pb.FeedResponse(type=kind, currentTs=at_ms)
    for key in keys:
        message.feeds[key].ltpc.ltp = 1412.35
    return bytes(message.SerializeToString())


def market_info() -> bytes:
    """A market_info message: what the broker sends of itself, which is no data."""
    message: Any = pb.FeedResponse(type=2, currentTs=1_790_000_000_000)
    message.marketInfo.segmentStatus["NSE_EQ"] = 2
    return bytes(message.SerializeToString())


Talk = Callable[["Broker", ServerConnection], Awaitable[None]]


async def serve_snapshots(broker: "Broker", connection: ServerConnection) -> None:
    """Market info first, and a snapshot for every subscribe message, as long as the client stays."""
    await connection.send(market_info())
    async for message in connection:
        keys = broker.take(message)
        await connection.send(snapshot(key for key in keys if key not in broker.mute_keys))


class Broker:
    """A broker that does as scripted: authorize and websocket on one loopback port, TLS if wanted."""

    def __init__(self, talk: Talk = serve_snapshots) -> None:
        self.talk = talk
        self.authorize: Callable[[], tuple[int, object]] = lambda: (200, self.address())
        self.handshake: Callable[[], tuple[int, str, dict[str, str]] | None] = lambda: None
        self.mute_keys: set[str] = set()
        self.authorized: list[Request] = []
        self.handshakes: list[Request] = []
        self.subscribed: list[tuple[bool, dict[str, Any]]] = []
        """Every message of a client: whether it was binary, and its JSON."""
        self.closes: list[int | None] = []
        self._open: set[ServerConnection] = set()
        self.host, self.port, self.tls = "127.0.0.1", 0, False

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://{self.host}:{self.port}"

    def address(self, uri: str | None = None) -> object:
        """The body of an authorize answer."""
        number = len(self.authorized)
        uri = uri or f"ws{'s' if self.tls else ''}://{self.host}:{self.port}/feeds?requestId=r{number}&code=c{number}"
        return {"status": "success", "data": {"authorized_redirect_uri": uri, "authorizedRedirectUri": uri}}

    def take(self, message: str | bytes) -> list[str]:
        """Note a client's message; the keys in it."""
        facts = json.loads(message)
        self.subscribed.append((isinstance(message, bytes), facts))
        keys: list[str] = facts["data"]["instrumentKeys"]
        return keys

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Broker"]:
        self.tls = tls is not None
        options: dict[str, Any] = {"process_request": self._process, "ssl": tls, "close_timeout": 0.2}
        async with serve(self._handle, "127.0.0.1", 0, **options) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self

    async def drop(self) -> None:
        """Reset every open websocket."""
        for connection in list(self._open):
            connection.transport.abort()

    async def _handle(self, connection: ServerConnection) -> None:
        self._open.add(connection)
        try:
            await self.talk(self, connection)
        except ConnectionClosed:
            pass
        finally:
            self._open.discard(connection)
            self.closes.append(connection.close_code)

    def _process(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path == AUTHORIZE:
            self.authorized.append(request)
            status, body = self.authorize()
            return connection.respond(HTTPStatus(status), body if isinstance(body, str) else json.dumps(body))
        self.handshakes.append(request)
        refusal = self.handshake()
        if refusal is None:
            return None
        response = connection.respond(HTTPStatus(refusal[0]), refusal[1])
        for name, value in refusal[2].items():
            response.headers[name] = value
        return response


def unauthorized(message: str = "Invalid token used to access API") -> tuple[int, object]:
    """The broker's 401."""
    return 401, {"status": "error", "errors": [{"errorCode": "UDAPI100050", "message": message}]}


@dataclass(frozen=True)
class TokenSettings:
    """Where the token is, for a TokenSource."""

    token_file: Path = Path("/nonexistent/tickrec/token")
    token_command: str | None = None


def token_source(token: str = SECRET) -> TokenSource:
    """A source with the token in its environment."""
    return TokenSource(TokenSettings(), {"UPSTOX_ACCESS_TOKEN": token})


class Recording:
    """A running feed and what it has yielded."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.entries: list[Entry] = []
        self.ended = asyncio.Event()
        self._news = asyncio.Event()

    def sink(self, entries: Sequence[Entry]) -> None:
        self.entries.extend(entries)
        self._news.set()

    def of(self, kind: EntryKind) -> list[Entry]:
        return [entry for entry in self.entries if entry.kind is kind]

    def facts(self, kind: EntryKind) -> list[dict[str, Any]]:
        return [entry.facts() for entry in self.of(kind)]

    def notes(self, event: str) -> list[dict[str, Any]]:
        return [facts for facts in self.facts(EntryKind.NOTE) if facts["event"] == event]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds; looks after every entry, and every now and then."""
        async with asyncio.timeout(DEADLINE):
            while not condition():
                assert not self.ended.is_set(), "the feed has ended"
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), 0.02)
                self._news.clear()

    async def until_count(self, kind: EntryKind, count: int) -> None:
        await self.until(lambda: len(self.of(kind)) >= count)


def make_feed(url: str, plan: Sequence[Sequence[Wanted]] = ((RELIANCE, TCS),), **options: Any) -> Feed:
    """A feed of the broker at `url`, with a fast clock and the secret token unless told otherwise."""
    tokens = options.pop("tokens", None) or token_source()
    clock = options.pop("clock", None) or FastClock()
    return Feed(Rest(url, url), tokens, plan, clock, **options)


@contextlib.asynccontextmanager
async def recording(feed: Feed) -> AsyncIterator[Recording]:
    """The feed, running; stopped at the end of the block. What ends the run early is raised there."""
    found = Recording(feed)

    async def run() -> None:
        try:
            await feed.run(found.sink)
        finally:
            found.ended.set()

    task = asyncio.create_task(run())
    try:
        yield found
    finally:
        feed.stop()
        async with asyncio.timeout(DEADLINE):
            await task


async def run_to_the_end(feed: Feed) -> tuple[Recording, BaseException | None]:
    """Run a feed that ends by itself; what it yielded and what it raised."""
    found = Recording(feed)
    async with asyncio.timeout(DEADLINE):
        try:
            await feed.run(found.sink)
        except Exception as error:  # noqa: BLE001  the test looks at it
            return found, error
    return found, None


def seconds_between(entries: Sequence[Entry]) -> list[float]:
    """The times between entries, by the clock that stamped them."""
    return [(b.mono_ns - a.mono_ns) / SECOND for a, b in itertools.pairwise(entries)]
