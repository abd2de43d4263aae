"""The feed against real sockets: the simulated market, and a scripted broker for what that does not do."""

import asyncio
import contextlib
import json
import logging
import re
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.utils import accept_key

from tests.clocks import FastClock, HandClock
from tests.upstox.feed_fixtures import (
    CERTIFICATE,
    DEADLINE,
    NIFTY,
    RELIANCE,
    SECRET,
    TCS,
    Broker,
    Recording,
    TokenSettings,
    make_feed,
    market_info,
    pb,
    recording,
    run_to_the_end,
    seconds_between,
    serve_snapshots,
    snapshot,
    tick,
    token_source,
    unauthorized,
)
from tickrec import __version__
from tickrec.clock import SECOND, SystemClock
from tickrec.errors import StorageError, TokenError
from tickrec.journal import Journal
from tickrec.journal.entry import Entry, EntryKind
from tickrec.serve.faults import Fault
from tickrec.serve.synthetic.simulator import Settings, Simulator
from tickrec.upstox.auth import TokenSource
from tickrec.upstox.feed import Feed, Timing, Wanted
from tickrec.upstox.limits import Limits
from tickrec.upstox.rest import Rest

MESSAGE, CONNECTED, SUBSCRIBED = EntryKind.MESSAGE, EntryKind.CONNECTED, EntryKind.SUBSCRIBED
DISCONNECTED, NOTE = EntryKind.DISCONNECTED, EntryKind.NOTE
BOGUS = Wanted("NSE_EQ|INE000000000", "BOGUS", "full")

Scenario = Callable[[], Coroutine[Any, Any, None]]


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine, which must not leave a task behind."""

    async def checked() -> None:
        await scenario
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not [task for task in left if "tickrec/upstox/link" in repr(task.get_coro())]

    asyncio.run(checked())


@contextlib.asynccontextmanager
async def simulated(**settings: Any) -> AsyncIterator[Simulator]:
    async with Simulator(Settings(**{"interval": 0.02, "token": SECRET, "strikes": 2, **settings})) as simulator:
        yield simulator


def hasty() -> FastClock:
    """For what waits for nothing but the next attempt to connect."""
    return FastClock(speed=200)


def ends(found: Recording) -> list[tuple[int, str, bool]]:
    """How each websocket ended: its close code, the reason, and whether that was wanted."""
    return [(facts["code"], facts["reason"], facts["stopped"]) for facts in found.facts(DISCONNECTED)]


# What arrives


async def test_everything_sent_is_yielded_byte_for_byte_and_in_order(tmp_path: Path) -> None:
    async with simulated(sent_log=tmp_path) as simulator:
        async with recording(make_feed(simulator.api_url, clock=SystemClock())) as found:
            await found.until_count(MESSAGE, 10)
        sent = [entry.payload for entry in Journal(tmp_path).entries() if entry.kind is MESSAGE]
        assert [entry.payload for entry in found.of(MESSAGE)] == sent


async def test_a_connection_tells_its_story_in_order() -> None:
    broker, plan = Broker(), [[RELIANCE, TCS, NIFTY]]
    async with broker.running(), recording(make_feed(broker.url, plan, batch_size=2)) as found:
        await found.until_count(MESSAGE, 3)
    kinds = [entry.kind for entry in found.entries]
    assert kinds[:2] == [NOTE, CONNECTED]
    wanted = [[*each[:3]] for each in (RELIANCE, TCS, NIFTY)]
    assert found.notes("wanted") == [{"event": "wanted", "keys": wanted}]
    assert kinds[-1] is DISCONNECTED
    assert [entry.payload for entry in found.of(MESSAGE)] == [
        market_info(),
        snapshot([RELIANCE.instrument_key, TCS.instrument_key]),
        snapshot([NIFTY.instrument_key]),
    ]
    for number, request in enumerate(found.of(SUBSCRIBED), 1):
        assert found.entries.index(request) < found.entries.index(found.of(MESSAGE)[number])
    assert found.facts(CONNECTED) == [{"host": "127.0.0.1", "attempt": 1, "keys": 3}]
    assert found.facts(SUBSCRIBED) == [
        {"mode": "full", "keys": [list(RELIANCE[:2]), list(TCS[:2])]},
        {"mode": "full", "keys": [list(NIFTY[:2])]},
    ]
    assert ends(found) == [(1000, "stopped", True)]
    assert broker.closes == [1000]


async def test_requests_are_binary_and_carry_fresh_guids() -> None:
    async with Broker().running() as broker, recording(make_feed(broker.url, batch_size=1)) as found:
        await found.until_count(MESSAGE, 3)
    assert all(binary for binary, _ in broker.subscribed)
    assert [facts["data"]["instrumentKeys"] for _, facts in broker.subscribed] == [[RELIANCE[0]], [TCS[0]]]
    assert len({facts["guid"] for _, facts in broker.subscribed}) == 2


async def test_entries_are_stamped_when_they_are_read() -> None:
    clock = FastClock()
    async with Broker().running() as broker, recording(make_feed(broker.url, clock=clock)) as found:
        before = clock.monotonic_ns(), clock.wall_ns()
        await found.until_count(MESSAGE, 2)
        after = clock.monotonic_ns(), clock.wall_ns()
    for entry in found.entries[:-1]:
        assert before[0] - SECOND <= entry.mono_ns <= after[0]
        assert before[1] - SECOND <= entry.wall_ns <= after[1]
    assert all(gap >= 0 for gap in seconds_between(found.entries))


async def test_a_text_message_is_kept_and_marked() -> None:
    async def talk(broker: Broker, connection: ServerConnection) -> None:
        await connection.send('{"status":"failed","error":"₹"}')
        await serve_snapshots(broker, connection)

    async with Broker(talk).running() as broker, recording(make_feed(broker.url)) as found:
        await found.until_count(MESSAGE, 3)
    text, info = found.of(MESSAGE)[:2]
    assert text.text
    assert text.payload == '{"status":"failed","error":"₹"}'.encode()
    assert not info.text


async def test_messages_of_one_read_are_handed_over_together() -> None:
    burst = [tick(f"NSE_EQ|INE{number:03}A01011") for number in range(200)]

    async def talk(broker: Broker, connection: ServerConnection) -> None:
        for message in burst:
            connection.protocol.send_binary(message)
        connection.transport.write(b"".join(connection.protocol.data_to_send()))
        await serve_snapshots(broker, connection)

    entries: list[Entry] = []
    sizes: list[int] = []

    def sink(came: Sequence[Entry]) -> None:
        entries.extend(entry for entry in came if entry.kind is MESSAGE)
        sizes.append(len(came))
        if len(entries) >= len(burst):
            feed.stop()

    async with Broker(talk).running() as broker:
        feed = make_feed(broker.url)
        await asyncio.wait_for(feed.run(sink), DEADLINE)
    assert [entry.payload for entry in entries[: len(burst)]] == burst
    assert max(sizes) > 1


async def test_a_text_message_that_is_no_text_is_kept_and_ends_nothing() -> None:
    broken = b'{"status":"\xff\xfe'

    async def talk(broker: Broker, connection: ServerConnection) -> None:
        keys = broker.take(await connection.recv())
        async with connection.send_context():
            connection.protocol.send_text(broken)
        await connection.send(snapshot(keys))
        await connection.wait_closed()

    async with Broker(talk).running() as broker, recording(make_feed(broker.url)) as found:
        await found.until_count(MESSAGE, 2)
    assert [(each.payload == broken, each.text) for each in found.of(MESSAGE)] == [(True, True), (False, False)]
    assert len(found.of(CONNECTED)) == 1


async def test_messages_far_above_a_megabyte_and_fragmented_ones_arrive_whole() -> None:
    large = tick("NSE_EQ|" + "x" * 3_000_000)

    async def talk(broker: Broker, connection: ServerConnection) -> None:
        await connection.send(large)
        await connection.send([large[:10], large[10:1_000_000], large[1_000_000:]])
        await serve_snapshots(broker, connection)

    async with Broker(talk).running() as broker, recording(make_feed(broker.url)) as found:
        await found.until_count(MESSAGE, 3)
    assert [entry.payload for entry in found.of(MESSAGE)[:2]] == [large, large]
    assert len(found.of(CONNECTED)) == 1


async def test_garbage_is_yielded_like_any_message() -> None:
    async with simulated() as simulator, recording(make_feed(simulator.api_url)) as found:
        await found.until_count(MESSAGE, 3)
        simulator.strike(Fault("garbage"))
        await found.until(lambda: any(entry.payload.endswith(b"not a message") for entry in found.of(MESSAGE)))
        before = len(found.of(MESSAGE))
        await found.until_count(MESSAGE, before + 3)
    assert len(found.of(CONNECTED)) == 1


# The handshake


async def test_the_token_goes_to_authorize_only() -> None:
    async with Broker().running() as broker, recording(make_feed(broker.url)) as found:
        await found.until_count(CONNECTED, 1)
    assert [request.headers["Authorization"] for request in broker.authorized] == [f"Bearer {SECRET}"]
    headers = broker.handshakes[0].headers
    assert "Authorization" not in headers
    assert SECRET not in str(headers)
    assert headers["User-Agent"] == f"tickrec/{__version__}"
    assert "Sec-WebSocket-Extensions" not in headers


async def test_every_attempt_is_authorized_afresh() -> None:
    broker = Broker()
    broker.handshake = lambda: (503, "later", {}) if len(broker.handshakes) <= 2 else None
    async with broker.running(), recording(make_feed(broker.url, clock=hasty())) as found:
        await found.until_count(CONNECTED, 1)
    assert len(broker.authorized) == 3
    assert len({request.path for request in broker.handshakes}) == 3
    assert found.facts(CONNECTED)[0]["attempt"] == 3
    assert [note["reason"] for note in found.notes("attempt")] == ["503 on handshake", "503 on handshake"]


async def test_a_redirect_is_a_failure_and_is_not_followed() -> None:
    async with Broker().running() as other:
        broker = Broker()
        broker.handshake = lambda: (302, "", {"Location": f"ws://127.0.0.1:{other.port}/feeds"})
        async with broker.running(), recording(make_feed(broker.url)) as found:
            await found.until(lambda: len(found.notes("attempt")) >= 2)
        assert {note["reason"] for note in found.notes("attempt")} == {"302 on handshake"}
        assert not other.handshakes
        assert not found.of(CONNECTED)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("ws://feeds.example.com/x?code=c0de", "would send secrets unprotected"),
        ("http://127.0.0.1/x?code=c0de", "not a websocket address"),
        ("wss://user:pass@feeds.example.com/x?code=c0de", "must not hold a user or password"),
        ("wss:///x?code=c0de", "names no host"),
        ("not an address", "not a valid address"),
        (7, "no address in it"),
    ],
)
async def test_an_address_that_is_not_safe_is_refused(uri: Any, reason: str) -> None:
    broker = Broker()
    broker.authorize = lambda: (200, {"status": "success", "data": {"authorized_redirect_uri": uri}})
    async with broker.running(), recording(make_feed(broker.url)) as found:
        await found.until(lambda: found.notes("attempt"))
    assert reason in found.notes("attempt")[0]["reason"]
    assert "c0de" not in str(found.entries)
    assert not broker.handshakes


async def test_a_proxy_in_the_environment_is_left_alone_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async with Broker().running() as broker, recording(make_feed(broker.url)) as found:
        await found.until_count(MESSAGE, 2)
    assert len(found.of(CONNECTED)) == 1


class Proxy:
    """An HTTP proxy that leads every CONNECT to one local port."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.target = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.split(b"\r\n")[0].decode())
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(self._pass(reader, back), self._pass(there, writer))

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await source.read(65536):
                sink.write(piece)
        sink.close()


def tls_broker() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


async def test_tls_and_a_proxy_work_as_with_the_real_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)

    proxy, broker = Proxy(), Broker()
    async with proxy.running() as port, broker.running(tls_broker()):
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        proxy.target, broker.host = broker.port, "broker.test"
        async with recording(make_feed(broker.url)) as found:
            await found.until_count(MESSAGE, 2)
    # One tunnel to authorize, one for the websocket.
    assert [line.split()[:2] for line in proxy.asked] == [["CONNECT", f"broker.test:{broker.port}"]] * 2
    assert found.facts(CONNECTED)[0]["host"] == "broker.test"


async def test_a_certificate_that_cannot_be_verified_is_refused_at_both_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    secure = Broker()
    secure.host = "localhost"
    async with secure.running(tls_broker()):
        async with recording(make_feed(secure.url)) as found:
            await found.until(lambda: found.notes("attempt"))
        assert found.notes("attempt")[0]["reason"].startswith("no trusted TLS connection on authorize: self")
        plain = Broker()
        plain.authorize = lambda: (200, plain.address(f"wss://localhost:{secure.port}/feeds"))
        async with plain.running(), recording(make_feed(plain.url)) as found:
            await found.until(lambda: found.notes("attempt"))
        assert found.notes("attempt")[0]["reason"].startswith("no trusted TLS connection on handshake: self")
    assert not secure.authorized
    assert not secure.handshakes


# Failing and coming back


async def test_a_lost_connection_comes_back_with_every_subscription() -> None:
    async with simulated() as simulator, recording(make_feed(simulator.api_url, [[RELIANCE, TCS, NIFTY]])) as found:
        await found.until_count(MESSAGE, 5)
        simulator.strike(Fault("drop"))
        await found.until_count(SUBSCRIBED, 2)
        seen = len(found.of(MESSAGE))
        await found.until_count(MESSAGE, seen + 5)
        assert found.feed.reconnects == 1
    assert ends(found)[0] == (1006, "connection reset", False)
    assert found.facts(SUBSCRIBED)[0] == found.facts(SUBSCRIBED)[1]
    assert [facts["attempt"] for facts in found.facts(CONNECTED)] == [1, 1]


@pytest.mark.parametrize(
    ("fault", "code", "reason"),
    [
        (Fault("close", "1011"), 1011, "closed by the broker (1011): simulated"),
        (Fault("close", "1000"), 1000, "closed by the broker (1000): simulated"),
        (Fault("drop", "midframe"), 1006, "connection reset"),
    ],
)
async def test_whatever_ends_a_connection_it_comes_back(fault: Fault, code: int, reason: str) -> None:
    async with simulated() as simulator, recording(make_feed(simulator.api_url)) as found:
        await found.until_count(MESSAGE, 3)
        simulator.strike(fault)
        await found.until_count(CONNECTED, 2)
    assert ends(found)[0] == (code, reason, False)


async def test_refused_handshakes_are_retried_with_growing_delays_until_one_succeeds() -> None:
    async with simulated() as simulator:
        simulator.strike(Fault("refuse", "60"))
        async with recording(make_feed(simulator.api_url, clock=hasty())) as found:
            await found.until(lambda: len(found.notes("attempt")) >= 4)
            simulator.strike(Fault("refuse", "0"))
            await found.until_count(MESSAGE, 3)
    notes = found.notes("attempt")
    assert {note["reason"].partition(":")[0] for note in notes} == {"403 on handshake"}
    for note, ceiling in zip(notes, (1, 2, 4, 8, 16, 30), strict=False):
        assert ceiling / 2 <= note["retry_s"] <= ceiling
    assert found.facts(CONNECTED)[0]["attempt"] == len(notes) + 1


@pytest.mark.parametrize("status", [403, 429, 500, 503, 404])
async def test_errors_of_authorize_are_retried(status: int) -> None:
    broker = Broker()
    broker.authorize = lambda: (status, "{}") if len(broker.authorized) <= 2 else (200, broker.address())
    async with broker.running(), recording(make_feed(broker.url, clock=hasty())) as found:
        await found.until_count(CONNECTED, 1)
    assert [note["reason"] for note in found.notes("attempt")] == [f"{status} on authorize"] * 2


async def test_accept_then_close_is_not_a_connection_that_has_proven_itself() -> None:
    async def talk(broker: Broker, connection: ServerConnection) -> None:
        if len(broker.handshakes) >= 5:
            await serve_snapshots(broker, connection)
        await connection.send(market_info())

    async with Broker(talk).running() as broker, recording(make_feed(broker.url, clock=hasty())) as found:
        await found.until_count(CONNECTED, 5)
        await found.until(lambda: found.feed.states()[0].answered == 2)
        assert found.feed.states()[0].attempt == 0
    gaps = seconds_between(found.of(CONNECTED))
    for gap, least in zip(gaps, (0.5, 1, 2, 4), strict=True):
        assert gap >= least * 0.99
    assert [facts["attempt"] for facts in found.facts(CONNECTED)] == [1, 2, 3, 4, 5]
    assert found.facts(DISCONNECTED)[0]["reason"] == "closed by the broker before any data came (1000)"


async def test_data_resets_the_backoff(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "tickrec")

    async def talk(broker: Broker, connection: ServerConnection) -> None:
        await connection.send(snapshot(broker.take(await connection.recv())))
        connection.transport.close()

    async with Broker(talk).running() as broker, recording(make_feed(broker.url, clock=hasty())) as found:
        await found.until_count(CONNECTED, 6)
        assert found.feed.reconnects == 5
    assert {facts["reason"] for facts in found.facts(DISCONNECTED)[:5]} == {"connection dropped without a goodbye"}
    assert [facts["attempt"] for facts in found.facts(CONNECTED)] == [1] * 6
    delays = [float(record.getMessage().rpartition("retry in ")[2].rstrip("s")) for record in caplog.records]
    assert len(delays) >= 5
    assert max(delays) <= 1


async def test_a_broker_that_is_not_there_is_named_and_retried() -> None:
    broker = Broker()
    async with broker.running():
        url = broker.url
    async with recording(make_feed(url, clock=hasty())) as found:
        await found.until(lambda: len(found.notes("attempt")) >= 3)
        assert not found.feed.ever_connected
        assert found.feed.reason == "connection refused on authorize"
        state = found.feed.states()[0]
        assert state.attempt >= 3
        assert state.reason == "connection refused on authorize"
    assert found.feed.states()[0].state == "stopped"


async def test_a_handshake_that_takes_too_long_is_retried() -> None:
    hung: list[asyncio.StreamWriter] = []
    hole = await asyncio.start_server(lambda _reader, writer: hung.append(writer), "127.0.0.1", 0)
    port = hole.sockets[0].getsockname()[1]
    broker = Broker()
    broker.authorize = lambda: (200, broker.address(f"ws://127.0.0.1:{port}/feeds"))
    async with broker.running(), recording(make_feed(broker.url, timing=Timing(open=0.1))) as found:
        await found.until(lambda: found.notes("attempt"))
    assert found.notes("attempt")[0]["reason"] == "timed out on handshake"
    for writer in hung:
        writer.close()
    hole.close()


@contextlib.asynccontextmanager
async def led_to(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]],
) -> AsyncIterator[Recording]:
    """A running feed whose broker authorizes the address of a server of bare bytes."""
    other = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    broker = Broker()
    broker.authorize = lambda: (200, broker.address(f"ws://127.0.0.1:{port}/feeds"))
    async with other, broker.running(), recording(make_feed(broker.url)) as found:
        yield found


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "connection dropped without a goodbye on handshake"),
        (b"SSH-2.0-x\r\n", "no websocket at the other end on"),
    ],
)
async def test_something_else_than_a_websocket_is_retried(answer: bytes, reason: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with led_to(serve) as found:
        await found.until(lambda: found.notes("attempt"))
    assert found.notes("attempt")[0]["reason"].startswith(reason)


@pytest.mark.parametrize("goodbye", [b"", b"\x88\x02\x03\xe9"], ids=["nothing", "a close frame"])
async def test_a_message_that_comes_with_the_end_of_the_connection_is_kept(goodbye: bytes) -> None:
    """Handshake, message and end in one piece: the websocket is over before anybody receives from it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (key,) = re.findall(rb"(?i)sec-websocket-key: (\S+)", head)
        accept = f"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {accept_key(key.decode())}\r\n"
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        info = market_info()
        writer.write((accept + upgrade).encode() + bytes([0x82, len(info)]) + info + goodbye)
        writer.close()

    async with led_to(serve) as found:
        await found.until_count(DISCONNECTED, 2)
    assert len(found.of(MESSAGE)) >= 2
    assert {each.payload for each in found.of(MESSAGE)} == {market_info()}
    assert [each.kind for each in found.entries[1:4]] == [CONNECTED, MESSAGE, DISCONNECTED]


async def test_a_peer_that_no_longer_answers_pings_is_left() -> None:
    async def talk(broker: Broker, connection: ServerConnection) -> None:
        await connection.send(snapshot(broker.take(await connection.recv())))
        if len(broker.handshakes) == 1:
            connection.transport.pause_reading()
        await connection.wait_closed()

    timing = Timing(ping_interval=0.05, ping_timeout=0.1, close=0.1)
    async with Broker(talk).running() as broker, recording(make_feed(broker.url, timing=timing)) as found:
        await found.until_count(CONNECTED, 2)
    assert ends(found)[0] == (1006, "no answer to pings", False)


# Mute


async def test_a_feed_that_says_nothing_but_market_info_is_replaced() -> None:
    async def talk(broker: Broker, connection: ServerConnection) -> None:
        await connection.send(snapshot(broker.take(await connection.recv())))
        while True:
            await connection.send(market_info())
            await asyncio.sleep(0.02)

    async with Broker(talk).running() as broker, recording(make_feed(broker.url, timing=Timing(mute=2))) as found:
        await found.until_count(CONNECTED, 3)
    assert [facts["reason"] for facts in found.facts(DISCONNECTED)[:2]] == ["no data for 2 s", "no data for 4 s"]
    data = [entry for entry in found.of(MESSAGE) if entry.payload != market_info()]
    for last, lost in zip(data, found.of(DISCONNECTED)[:2], strict=False):
        assert lost.mono_ns - last.mono_ns >= 2 * SECOND


async def test_the_less_there_is_to_be_heard_the_longer_silence_is_put_up_with() -> None:
    """Instruments that trade every few minutes; then busy ones, whose silence is a bad sign again."""

    async def talk(broker: Broker, connection: ServerConnection) -> None:
        keys = broker.take(await connection.recv())
        await connection.send(snapshot(keys))
        if len(broker.handshakes) > 2:
            await connection.send(tick(*keys))
        await connection.wait_closed()

    async with Broker(talk).running() as broker:
        feed = make_feed(broker.url, timing=Timing(mute=1), clock=FastClock(50.0))
        async with recording(feed) as found:
            await found.until_count(DISCONNECTED, 4)
    reasons = [facts["reason"] for facts in found.facts(DISCONNECTED)[:4]]
    assert reasons == [f"no data for {seconds} s" for seconds in (1, 2, 1, 1)]


async def test_without_a_snapshot_silence_is_not_put_up_with_for_longer() -> None:
    async def talk(broker: Broker, connection: ServerConnection) -> None:
        await connection.send(market_info())
        await connection.wait_closed()

    async with Broker(talk).running() as broker, recording(make_feed(broker.url, timing=Timing(mute=1))) as found:
        await found.until_count(DISCONNECTED, 3)
    assert {facts["reason"] for facts in found.facts(DISCONNECTED)[:3]} == {"no data for 1 s"}


async def test_silence_in_quiet_times_is_left_alone_and_counted_from_their_end() -> None:
    async def talk(broker: Broker, connection: ServerConnection) -> None:
        await connection.send(market_info())
        await connection.wait_closed()

    clock = HandClock()
    end = clock.wall_ns() + 40 * SECOND
    async with Broker(talk).running() as broker:
        feed = make_feed(broker.url, clock=clock, timing=Timing(mute=15), quiet=lambda wall_ns: wall_ns < end)
        async with recording(feed) as found:
            await found.until_count(DISCONNECTED, 1)
    lost = found.of(DISCONNECTED)[0]
    assert lost.facts()["reason"] == "no data for 15 s"
    # It is looked at once a second.
    assert end + 14 * SECOND <= lost.wall_ns <= end + 16 * SECOND


# Silent instruments


async def test_keys_without_an_answer_are_asked_again_and_then_named() -> None:
    broker = Broker()
    broker.mute_keys = {TCS[0]}
    async with broker.running(), recording(make_feed(broker.url, [[RELIANCE, TCS, NIFTY]], batch_size=2)) as found:
        await found.until(lambda: found.notes("silent"))
        assert found.feed.silent() == [TCS[0]]
        assert found.feed.states()[0].answered == 2
        assert found.feed.states()[0].keys == 3
    assert found.notes("silent") == [{"event": "silent", "keys": [TCS[0]]}]
    assert found.facts(SUBSCRIBED)[-1] == {"mode": "full", "keys": [list(TCS[:2])]}
    asked, named = found.of(SUBSCRIBED), found.of(NOTE)[-1]
    assert len(asked) == 3
    assert asked[2].mono_ns - asked[1].mono_ns >= 2 * SECOND
    assert named.mono_ns - asked[2].mono_ns >= 2 * SECOND


async def test_an_empty_entry_does_not_count_as_an_answer() -> None:
    async with simulated() as simulator, recording(make_feed(simulator.api_url, [[RELIANCE, BOGUS]])) as found:
        await found.until(lambda: found.notes("silent"))
        assert found.feed.silent() == [BOGUS[0]]


async def test_a_key_that_answers_late_is_silent_no_longer() -> None:
    async with simulated() as simulator:
        simulator.strike(Fault("silent", RELIANCE[0]))
        async with recording(make_feed(simulator.api_url)) as found:
            await found.until(lambda: found.feed.silent() == [RELIANCE[0]])
            simulator.strike(Fault("silent"))
            await found.until(lambda: not found.feed.silent())
            assert found.feed.states()[0].answered == 2


async def test_instruments_that_all_answer_are_asked_for_once() -> None:
    clock = FastClock()
    async with Broker().running() as broker, recording(make_feed(broker.url, clock=clock)) as found:
        await found.until_count(MESSAGE, 2)
        end = clock.wall_ns() + 3 * SECOND
        await found.until(lambda: clock.wall_ns() > end)
    assert len(broker.subscribed) == 1
    assert not found.notes("silent")


# The token


def changing_token(tmp_path: Path, token: str) -> tuple[TokenSource, Path]:
    path = tmp_path / "token"
    path.write_text(token)
    path.chmod(0o600)
    return TokenSource(TokenSettings(token_file=path), {}), path


async def test_a_new_token_is_used_at_once_when_the_old_one_is_refused(tmp_path: Path) -> None:
    tokens, path = changing_token(tmp_path, "stale-token")

    def authorize() -> tuple[int, object]:
        if broker.authorized[-1].headers["Authorization"] == f"Bearer {SECRET}":
            return 200, broker.address()
        if len(broker.authorized) == 2:
            path.write_text(SECRET)
        return unauthorized()

    broker = Broker()
    broker.authorize = authorize
    async with broker.running(), recording(make_feed(broker.url, tokens=tokens)) as found:
        await found.until_count(MESSAGE, 2)
    notes = found.notes("attempt")
    assert {note["reason"] for note in notes} == {"401 on authorize: UDAPI100050 Invalid token used to access API"}
    assert 0 < notes[0]["retry_s"] <= 1
    assert notes[1]["retry_s"] == 0
    assert len(broker.authorized) == 3


async def test_an_unchanged_token_refused_twice_ends_the_run() -> None:
    broker = Broker()
    broker.authorize = unauthorized
    async with broker.running():
        found, error = await run_to_the_end(make_feed(broker.url))
    assert isinstance(error, TokenError)
    assert error.what == "the broker refused the access token twice"
    assert error.where == "401 on authorize: UDAPI100050 Invalid token used to access API"
    assert "tickrec login" in error.hint
    assert error.code == 4
    assert len(broker.authorized) == 2
    assert len(found.notes("attempt")) == 2
    assert found.notes("attempt")[1]["retry_s"] is None


async def test_a_401_that_passes_does_not_end_the_run() -> None:
    broker = Broker()
    broker.authorize = lambda: unauthorized() if len(broker.authorized) in (1, 3) else (200, broker.address())
    async with broker.running(), recording(make_feed(broker.url)) as found:
        await found.until_count(MESSAGE, 2)
        await broker.drop()
        await found.until_count(CONNECTED, 2)
    assert len(broker.authorized) == 4


async def test_a_source_of_ever_new_bad_tokens_makes_no_hot_loop(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("x")
    command = f"printf x >> {counter}; cat {counter}"

    broker = Broker()
    broker.authorize = unauthorized
    tokens = TokenSource(TokenSettings(token_command=command), {})
    async with broker.running(), recording(make_feed(broker.url, tokens=tokens, clock=hasty())) as found:
        await found.until(lambda: len(found.notes("attempt")) >= 4)
    delays = [note["retry_s"] for note in found.notes("attempt")[:4]]
    assert delays[0] == 0
    for delay, ceiling in zip(delays[1:], (1, 2, 4), strict=True):
        assert ceiling / 2 <= delay <= ceiling


async def test_a_token_that_cannot_be_read_again_counts_as_unchanged(tmp_path: Path) -> None:
    tokens, path = changing_token(tmp_path, SECRET)

    def refuse() -> tuple[int, object]:
        path.unlink(missing_ok=True)
        return unauthorized()

    broker = Broker()
    broker.authorize = refuse
    async with broker.running():
        _, error = await run_to_the_end(make_feed(broker.url, tokens=tokens))
    assert isinstance(error, TokenError)
    assert error.what == "the broker refused the access token twice"


async def test_without_a_token_nothing_is_sent() -> None:
    async with Broker().running() as broker:
        found, error = await run_to_the_end(make_feed(broker.url, tokens=TokenSource(TokenSettings(), {})))
    assert isinstance(error, TokenError)
    assert "UPSTOX_ACCESS_TOKEN is not set" in error.what
    assert [entry.kind for entry in found.entries] == [NOTE]
    assert not broker.authorized


async def test_the_token_turns_up_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def talk(broker: Broker, connection: ServerConnection) -> None:
        await connection.send(snapshot(broker.take(await connection.recv())))
        await connection.close(1011, f"bad token {SECRET}")

    broker = Broker(talk)
    answers = [unauthorized(f"token {SECRET} is bad"), (500, SECRET), (200, broker.address("ws://x/" + SECRET))]
    broker.authorize = lambda: (
        answers[len(broker.authorized) - 1] if len(broker.authorized) <= 3 else (200, broker.address())
    )
    broker.handshake = lambda: (403, json.dumps(unauthorized(SECRET)[1]), {}) if len(broker.handshakes) == 1 else None
    async with broker.running():
        feed = make_feed(broker.url, clock=hasty())
        async with recording(feed) as found:
            await found.until_count(DISCONNECTED, 1)
            shown = f"{feed.states()} {feed.reason} {feed!r} {vars(feed)} {[vars(x) for x in feed._links]}"
        broker.authorize = lambda: unauthorized(f"token {SECRET} is bad")
        _, error = await run_to_the_end(make_feed(broker.url, clock=hasty()))
    assert len(found.notes("attempt")) == 4
    assert "[token]" in found.facts(DISCONNECTED)[0]["reason"]
    assert SECRET not in str(found.entries)
    assert SECRET not in shown
    assert isinstance(error, TokenError)
    assert SECRET not in f"{error} {error!r} {vars(error)} {error.__cause__!r} {error.__context__!r}"
    ours = [record for record in caplog.records if not record.name.startswith("websockets.server")]
    assert any(record.name == "tickrec" for record in ours)
    assert not [record for record in ours if SECRET in record.getMessage()]


# Several connections


async def test_connections_live_and_fail_alone() -> None:
    async def talk(broker: Broker, connection: ServerConnection) -> None:
        keys = broker.take(await connection.recv())
        await connection.send(snapshot(keys))
        if keys == [TCS[0]] and [facts["data"]["instrumentKeys"] for _, facts in broker.subscribed].count(keys) == 1:
            await connection.close(1001)
        while True:
            await connection.send(tick(*keys))
            await asyncio.sleep(0.02)

    async with Broker(talk).running() as broker, recording(make_feed(broker.url, [[RELIANCE], [TCS]])) as found:
        await found.until_count(CONNECTED, 3)
        await found.until(lambda: [state.answered for state in found.feed.states()] == [1, 1])
        assert found.feed.reconnects == 1
        assert [state.conn for state in found.feed.states()] == [1, 2]
    lost = [entry for entry in found.of(DISCONNECTED) if entry.facts()["reason"] != "stopped"]
    assert [entry.conn for entry in lost] == [2]
    for entry in found.of(SUBSCRIBED):
        assert entry.facts()["keys"] == [list((RELIANCE if entry.conn == 1 else TCS)[:2])]


async def test_a_final_verdict_on_one_connection_ends_all_of_them_properly() -> None:
    broker = Broker()
    broker.authorize = lambda: unauthorized() if len(broker.authorized) > 1 else (200, broker.address())
    async with broker.running():
        found, error = await run_to_the_end(make_feed(broker.url, [[RELIANCE], [TCS]]))
    assert isinstance(error, TokenError)
    assert len(found.of(CONNECTED)) == 1
    assert ends(found) == [(1000, "stopped", True)]
    assert broker.closes == [1000]


# Ending


async def test_what_was_received_before_stop_is_yielded_before_run_returns() -> None:
    sent = [tick(f"NSE_EQ|INE{number:06}") for number in range(600)]

    async def talk(broker: Broker, connection: ServerConnection) -> None:
        broker.take(await connection.recv())
        for message in sent:
            await connection.send(message)
        await connection.wait_closed()

    entries: list[Entry] = []

    def sink(came: Sequence[Entry]) -> None:
        entries.extend(came)
        if came[0].kind is MESSAGE:
            feed.stop()

    async with Broker(talk).running() as broker:
        feed = make_feed(broker.url)
        async with asyncio.timeout(DEADLINE):
            await feed.run(sink)
    yielded = [entry.payload for entry in entries if entry.kind is MESSAGE]
    assert len(yielded) > 100
    assert yielded == sent[: len(yielded)]
    assert entries[-1].facts()["reason"] == "stopped"


def test_stop_does_not_wait_for_a_broker_that_hangs() -> None:
    release = threading.Event()

    class Hanging(Rest):
        def authorize(self, token: Any) -> str:
            release.wait(60)
            return super().authorize(token)

    async def scenario() -> None:
        feed = Feed(Hanging("http://127.0.0.1:1", "http://127.0.0.1:1"), token_source(), [[RELIANCE]], SystemClock())
        async with recording(feed) as found:
            await asyncio.sleep(0)
        assert [entry.kind for entry in found.entries] == [NOTE]
        assert feed.states()[0].state == "stopped"

    try:
        run(scenario())
    finally:
        release.set()


async def test_stop_ends_the_wait_for_the_next_attempt() -> None:
    clock = FastClock(speed=0.001)
    async with recording(make_feed("http://127.0.0.1:1", clock=clock)) as found:
        await found.until(lambda: found.feed.states()[0].state == "waiting")
        state = found.feed.states()[0]
        assert state.retry_ns is not None
        assert state.retry_ns > clock.wall_ns()


async def test_a_broker_that_ignores_the_goodbye_is_left_all_the_same() -> None:
    async def talk(broker: Broker, connection: ServerConnection) -> None:
        await connection.send(snapshot(broker.take(await connection.recv())))
        connection.transport.pause_reading()
        await connection.wait_closed()

    async with Broker(talk).running() as broker:
        async with recording(make_feed(broker.url, timing=Timing(close=0.1), clock=SystemClock())) as found:
            await found.until_count(MESSAGE, 1)
        assert ends(found) == [(1006, "stopped", True)]


@pytest.mark.parametrize("kind", [CONNECTED, SUBSCRIBED, MESSAGE])
async def test_a_sink_that_fails_ends_the_run_with_its_error(kind: EntryKind) -> None:
    def sink(entries: Sequence[Entry]) -> None:
        if entries[0].kind is kind:
            raise StorageError("the disk is full")

    async with Broker().running() as broker:
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(StorageError, match="the disk is full"):
                await make_feed(broker.url, [[RELIANCE], [TCS]]).run(sink)


async def test_states_say_what_a_connection_is_doing() -> None:
    clock = FastClock()
    broker = Broker()
    broker.handshake = lambda: (503, "", {}) if len(broker.handshakes) == 1 else None
    async with broker.running():
        feed = make_feed(broker.url, clock=clock)
        assert feed.states()[0].state == "connecting"
        async with recording(feed) as found:
            await found.until(lambda: feed.states()[0].state == "waiting")
            waiting = feed.states()[0]
            assert (waiting.attempt, waiting.reason) == (1, "503 on handshake")
            await found.until(lambda: feed.states()[0].answered == 2)
            connected = feed.states()[0]
            assert (connected.state, connected.keys) == ("connected", 2)
            assert (connected.attempt, connected.reason, connected.retry_ns) == (0, "", None)
            assert waiting.since_ns <= connected.since_ns <= clock.wall_ns()
            assert feed.ever_connected


# Where data ends


async def test_data_that_the_network_held_back_ends_when_it_was_sent() -> None:
    """The broker sends for 6 s into a network that delivers nothing for 9, gives up, and all comes at once."""
    clock = FastClock()
    held: list[bytes] = []

    def now() -> bytes:
        return tick(RELIANCE[0], at_ms=clock.wall_ns() // 1_000_000)

    async def talk(broker: Broker, connection: ServerConnection) -> None:
        broker.take(await connection.recv())
        if len(broker.handshakes) == 1:
            for _ in range(3):
                await connection.send(now())
                await clock.sleep(1)
            for _ in range(6):
                held.append(now())
                await clock.sleep(1)
            await clock.sleep(3)
            for message in held:
                await connection.send(message)
        else:
            await connection.send(now())
            await connection.wait_closed()

    feed = {"clock": clock, "timing": Timing(mute=1000, ping_interval=1000)}
    async with Broker(talk).running() as broker, recording(make_feed(broker.url, [[RELIANCE]], **feed)) as found:
        await found.until_count(MESSAGE, 10)
    lost = found.of(DISCONNECTED)[0]
    sent_ns = pb.FeedResponse.FromString(held[-1]).currentTs * 1_000_000
    assert abs(lost.facts()["since_ns"] - sent_ns) < SECOND
    assert lost.wall_ns - lost.facts()["since_ns"] > 3 * SECOND


async def test_a_replay_that_runs_slowly_ends_with_its_last_message() -> None:
    """Its stamps are of another day, and go by more slowly than our clock."""
    clock = FastClock()

    async def talk(broker: Broker, connection: ServerConnection) -> None:
        broker.take(await connection.recv())
        for number in range(3):
            await connection.send(tick(RELIANCE[0], at_ms=1_790_000_000_000 + 500 * number))
            await clock.sleep(2)

    feed = {"clock": clock, "timing": Timing(mute=1000, ping_interval=1000), "stamped": False}
    async with Broker(talk).running() as broker, recording(make_feed(broker.url, [[RELIANCE]], **feed)) as found:
        await found.until(lambda: found.of(DISCONNECTED))
    place = next(place for place, entry in enumerate(found.entries) if entry.kind is DISCONNECTED)
    last = [entry for entry in found.entries[:place] if entry.kind is MESSAGE][-1]
    assert found.entries[place].facts()["since_ns"] == last.wall_ns


async def test_what_the_broker_left_out_of_an_open_connection_is_lost() -> None:
    """Nothing could be read for a while: some comes late, and then what is sent now."""
    clock = FastClock()

    async def talk(broker: Broker, connection: ServerConnection) -> None:
        broker.take(await connection.recv())
        begin_ms = clock.wall_ns() // 1_000_000
        await connection.send(tick(RELIANCE[0], at_ms=begin_ms))
        await clock.sleep(12)
        keys = [f"NSE_EQ|INE{number:06}" for number in range(300)]
        for second in range(1, 6):
            connection.protocol.send_binary(tick(*keys, at_ms=begin_ms + second * 1000))
        connection.protocol.send_binary(tick(RELIANCE[0], at_ms=clock.wall_ns() // 1_000_000))
        connection.send_data()
        await connection.wait_closed()

    feed = {"clock": clock, "timing": Timing(mute=1000, ping_interval=1000)}
    async with Broker(talk).running() as broker, recording(make_feed(broker.url, [[RELIANCE]], **feed)) as found:
        await found.until_count(MESSAGE, 7)
    (lost,) = [entry for entry in found.of(NOTE) if entry.facts()["event"] == "lost"]
    assert found.entries.index(lost) == found.entries.index(found.of(MESSAGE)[-1]) - 1
    first = found.of(MESSAGE)[0]
    assert lost.facts()["since_ns"] - first.wall_ns == pytest.approx(5 * SECOND, abs=SECOND)


async def test_a_dead_line_is_lost_before_its_end_and_a_live_one_only_when_it_is_left() -> None:
    """Neither answers the goodbye; only one of them has brought data until then."""

    async def talk(broker: Broker, connection: ServerConnection) -> None:
        key = broker.take(await connection.recv())[0]
        await connection.send(tick(key, at_ms=clock.wall_ns() // 1_000_000))
        connection.transport.pause_reading()
        while key == RELIANCE[0]:
            await connection.send(tick(key, at_ms=clock.wall_ns() // 1_000_000))
            await asyncio.sleep(0.01)
        await connection.wait_closed()

    clock = FastClock(speed=10)
    options = {"clock": clock, "timing": Timing(close=0.1, ping_interval=1000, mute=1000)}
    async with Broker(talk).running() as broker:
        async with recording(make_feed(broker.url, [[RELIANCE], [TCS]], **options)) as found:
            await found.until(lambda: len([each for each in found.of(MESSAGE) if each.conn == 2]) == 1)
            begin_ns = clock.monotonic_ns()
            await found.until(lambda: clock.monotonic_ns() - begin_ns > 3 * SECOND)
        told = {entry.conn: entry.facts() for entry in found.of(DISCONNECTED)}
    assert (told[1]["stopped"], told[1]["reason"]) == (True, "stopped")
    assert (told[2]["stopped"], told[2]["reason"]) == (False, "no answer to the goodbye")
    (heard,) = [each.wall_ns for each in found.of(MESSAGE) if each.conn == 2]
    assert told[2]["since_ns"] == heard


# What nobody expected


class Odd(Rest):
    """A broker whose first answer makes a library raise what nobody has thought of."""

    asked = 0

    def authorize(self, token: Any) -> str:
        self.asked += 1
        if self.asked == 1:
            raise ValueError(f"Invalid IPv6 URL, asked with {SECRET}")
        return super().authorize(token)


async def test_an_unexpected_error_is_a_failure_like_any_other_and_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Broker().running() as broker:
        feed = Feed(Odd(broker.url, broker.url), token_source(), [[RELIANCE]], FastClock())
        async with recording(feed) as found:
            await found.until(lambda: found.notes("attempt"))
            assert "ValueError" in feed.unexpected
            await found.until_count(MESSAGE, 2)
            assert feed.unexpected == ""
    (failed,) = found.notes("attempt")
    assert failed["reason"] == "an unexpected error on connecting: ValueError: Invalid IPv6 URL, asked with [token]"
    (record,) = [each for each in caplog.records if hasattr(each, "trace")]
    assert "Traceback" in record.trace
    assert "in authorize" in record.trace
    assert SECRET not in record.trace + record.getMessage()


async def test_an_unexpected_error_on_an_open_connection_ends_it_and_it_comes_back() -> None:
    asked = 0

    def quiet(_wall_ns: int) -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise KeyError("what nobody has thought of")
        return False

    async with Broker().running() as broker, recording(make_feed(broker.url, quiet=quiet)) as found:
        await found.until_count(CONNECTED, 2)
    assert ends(found)[0] == (1006, "an unexpected error: KeyError: 'what nobody has thought of'", False)


async def test_an_unexpected_error_of_the_sink_ends_the_run_with_it() -> None:
    def sink(entries: Sequence[Entry]) -> None:
        if entries[0].kind is MESSAGE:
            raise KeyError("a bug")

    async with Broker().running() as broker:
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(KeyError, match="a bug"):
                await make_feed(broker.url, [[RELIANCE], [TCS]]).run(sink)


# More while it runs


STRIKES = [Wanted(f"NSE_FO|{number}", f"NIFTY {number} CE", "full", followed=True) for number in range(7)]


async def test_more_is_asked_for_on_the_open_connection_and_again_on_the_next() -> None:
    broker = Broker()
    async with (
        broker.running(),
        recording(make_feed(broker.url, [[RELIANCE]], limits=Limits(5, 1), batch_size=2)) as found,
    ):
        feed = found.feed
        await found.until(lambda: feed.states()[0].answered == 1)
        feed.add(STRIKES[:3])
        await found.until(lambda: feed.states()[0].answered == 4)
        assert [len(facts["data"]["instrumentKeys"]) for _, facts in broker.subscribed] == [1, 2, 1]
        await broker.drop()
        await found.until(lambda: len(broker.subscribed) == 5 and feed.states()[0].answered == 4)
        assert feed.states()[0].keys == 4
    wanted = [[*each[:3]] for each in STRIKES[:3]]
    keys = [each.instrument_key for each in STRIKES[:3]]
    assert found.notes("added") == [{"event": "added", "keys": wanted, "followed": keys}]
    asked = found.facts(SUBSCRIBED)
    assert [facts.get("followed") for facts in asked] == [None, keys[:2], keys[2:], keys[:1], keys[1:]]
    assert feed.silent() == []


async def test_instruments_are_asked_for_once_more_on_their_connections_and_answers_stay_answers() -> None:
    broker = Broker()
    async with broker.running(), recording(make_feed(broker.url, [[RELIANCE], [TCS, NIFTY]])) as found:
        await found.until(lambda: [each.answered for each in found.feed.states()] == [1, 2])
        found.feed.ask_again([TCS.instrument_key, RELIANCE.instrument_key, "NSE_EQ|NOT WANTED"])
        assert [each.answered for each in found.feed.states()] == [1, 2]
        await found.until(lambda: len(broker.subscribed) == 4)
    again = sorted(facts["data"]["instrumentKeys"] for _, facts in broker.subscribed[2:])
    assert again == sorted([[RELIANCE.instrument_key], [TCS.instrument_key]])
    assert sorted(facts["keys"] for facts in found.notes("again")) == again
    assert len(found.of(SUBSCRIBED)) == 2
    assert found.feed.silent() == []


async def test_more_that_stays_silent_is_asked_for_twice_and_named() -> None:
    broker = Broker()
    broker.mute_keys = {STRIKES[0].instrument_key}
    async with broker.running(), recording(make_feed(broker.url, [[RELIANCE]], limits=Limits(5, 1))) as found:
        feed = found.feed
        await found.until(lambda: feed.states()[0].answered == 1)
        feed.add(STRIKES[:2])
        await found.until(feed.silent)
    assert feed.silent() == [STRIKES[0].instrument_key]
    assert [len(facts["data"]["instrumentKeys"]) for _, facts in broker.subscribed] == [1, 2, 1]


async def test_more_goes_where_there_is_room_and_then_to_another_connection() -> None:
    broker = Broker()
    async with (
        broker.running(),
        recording(make_feed(broker.url, [[RELIANCE, TCS], [NIFTY]], limits=Limits(3, 3))) as found,
    ):
        feed = found.feed
        await found.until(lambda: sum(state.answered for state in feed.states()) == 3)
        assert feed.room == 6
        feed.add(STRIKES[:5])
        await found.until(lambda: sum(state.answered for state in feed.states()) == 8)
        assert [state.keys for state in feed.states()] == [3, 3, 2]
        assert feed.room == 1
        with pytest.raises(ValueError, match="2 instruments, and room for 1"):
            feed.add(STRIKES[5:])
    assert all(len(facts["data"]["instrumentKeys"]) <= 3 for _, facts in broker.subscribed)
    assert [len(facts["keys"]) for facts in found.notes("wanted")] == [2, 1, 2]


async def test_more_while_the_connection_is_lost_is_asked_for_when_it_is_back() -> None:
    broker = Broker()
    async with broker.running(), recording(make_feed(broker.url, [[RELIANCE]], limits=Limits(5, 1))) as found:
        feed = found.feed
        await found.until(lambda: feed.states()[0].answered == 1)
        broker.handshake = lambda: (403, "no", {})
        await broker.drop()
        await found.until(lambda: found.notes("attempt"))
        feed.add(STRIKES[:1])
        broker.handshake = lambda: None
        await found.until(lambda: feed.states()[0].answered == 2)
    assert broker.subscribed[-1][1]["data"]["instrumentKeys"] == [RELIANCE[0], STRIKES[0].instrument_key]
