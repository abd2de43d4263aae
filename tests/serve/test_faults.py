"""Every fault of the simulated broker, on demand and by schedule."""

import asyncio
import itertools
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from websockets.exceptions import ConnectionClosed

from tests.clocks import SteppedClock
from tests.serve.fixtures import (
    DEADLINE,
    NIFTY,
    RELIANCE,
    TCS,
    Client,
    authorize,
    call,
    connected,
    raw_websocket,
    simulated,
    status_of_handshake,
)
from tickrec.errors import UsageError
from tickrec.serve.faults import KINDS, Fault, describe, fault_from_json, parse_fault
from tickrec.serve.synthetic.simulator import Simulator
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb


async def strike(simulator: Simulator, kind: str, arg: str = "") -> None:
    """Cause a fault the way another process does."""
    answer = await call(simulator, "/simulator/fault", token=None, data={"kind": kind, "arg": arg})
    assert answer.status == 200, answer.body


async def ending(client: Client) -> tuple[int | None, int]:
    """The close code sent by the server (None: no close frame), and the messages before."""
    for count in itertools.count():
        try:
            async with asyncio.timeout(DEADLINE):
                await client.websocket.recv()
        except ConnectionClosed as closed:
            return (closed.rcvd.code if closed.rcvd else None), count
    raise AssertionError


async def live(client: Client, clock: SteppedClock) -> Any:
    """The next live message."""
    await clock.advance(0.25)
    response = await client.next()
    assert response.type == 1
    return response


class Collector(asyncio.Protocol):
    """Takes what still comes over a connection, and how it ends."""

    def __init__(self) -> None:
        self.data = b""
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


class TestNotation:
    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("drop", Fault("drop")),
            ("drop@30", Fault("drop", "", 30.0)),
            ("drop:midframe@1.5", Fault("drop", "midframe", 1.5)),
            ("close:1011@5", Fault("close", "1011", 5.0)),
            ("error:503/2@9", Fault("error", "503/2", 9.0)),
            ("silent:NSE_INDEX|Nifty 50", Fault("silent", "NSE_INDEX|Nifty 50")),
            ("token:new", Fault("token", "new")),
        ],
    )
    def test_is_kind_argument_and_seconds(self, text: str, fault: Fault) -> None:
        assert parse_fault(text) == fault

    @pytest.mark.parametrize(
        "text",
        [
            "explode",
            "",
            "drop@soon",
            "drop@-1",
            "drop:hard",
            "close:1006",
            "close:x",
            "stall:long",
            "error:200",
            "error:503/x",
            "token",
            "garbage:json",
        ],
    )
    def test_anything_else_is_a_usage_error_that_names_the_kinds(self, text: str) -> None:
        with pytest.raises(UsageError) as error:
            parse_fault(text)
        assert all(kind in error.value.hint for kind in KINDS)

    def test_the_help_says_what_each_kind_means(self) -> None:
        words = " ".join(describe().split())
        assert all(f"{kind} {' '.join(meaning.split())}" in words for kind, meaning in KINDS.items())
        assert all(len(line) <= 90 for line in describe().splitlines())

    async def test_every_kind_can_be_caused(self) -> None:
        struck: list[str] = []
        async with simulated() as (simulator, _), connected(simulator) as client:
            await client.subscribe([RELIANCE])
            for kind in KINDS:
                await strike(simulator, kind, "new" if kind == "token" else "")
                struck.append(kind)
        assert struck == list(KINDS)

    @pytest.mark.parametrize("data", [b"not json", b"[]", {"kind": "explode"}, {}, {"kind": "close", "arg": "1006"}])
    async def test_a_wrong_request_for_a_fault_is_refused(self, data: object) -> None:
        async with simulated() as (simulator, _):
            assert (await call(simulator, "/simulator/fault", data=data)).status == 400
            assert (await call(simulator, "/simulator/nothing")).status == 404

    async def test_a_fault_can_be_asked_for_by_a_get(self) -> None:
        async with simulated() as (simulator, _), connected(simulator) as client:
            answer = await call(simulator, "/simulator/fault", query={"kind": "close", "arg": "4001"})
            assert answer.status == 200
            assert (await ending(client))[0] == 4001

    def test_json_without_an_argument_is_enough(self) -> None:
        assert fault_from_json({"kind": "drop"}) == Fault("drop")

    async def test_a_schedule_strikes_at_its_seconds_of_the_first_websocket(self) -> None:
        """What has no seconds is there from the start, when a recorder may still wait."""
        faults = tuple(map(parse_fault, ("close:1011@3", "garbage:text@1", "error:503/4")))
        async with simulated(faults=faults) as (simulator, clock):
            await clock.advance(3)
            assert (await call(simulator, "/v2/market/holidays")).status == 503
            await clock.advance(2)
            async with connected(simulator) as client:
                await clock.advance(0.9)
                assert await client.nothing()
                await clock.advance(0.2)
                async with asyncio.timeout(DEADLINE):
                    assert isinstance(await client.websocket.recv(), str)
                await clock.advance(1.8)
                assert await client.nothing()
                await clock.advance(0.2)
                assert (await ending(client))[0] == 1011


class TestConnections:
    async def test_a_drop_has_no_close_frame(self) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as client:
            await client.subscribe([RELIANCE])
            await live(client, clock)
            await strike(simulator, "drop")
            assert await ending(client) == (None, 0)
            assert simulator.stats()["connections"] == 0
            async with connected(simulator) as other:
                assert RELIANCE in (await other.subscribe([RELIANCE])).feeds

    async def test_a_drop_is_a_reset_of_the_tcp_connection(self) -> None:
        async with simulated() as (simulator, _):
            reader, _writer = await raw_websocket(simulator)
            simulator.strike(Fault("drop"))
            with pytest.raises(ConnectionResetError):
                await reader.read()

    async def test_a_drop_in_the_middle_of_a_frame_leaves_half_of_it(self) -> None:
        async with simulated() as (simulator, _):
            reader, writer = await raw_websocket(simulator)
            request = b'{"method":"sub","data":{"mode":"full","instrumentKeys":["NSE_EQ|INE002A01018"]}}'
            writer.write(b"\x82" + bytes((0x80 | len(request),)) + b"\0\0\0\0" + request)
            head = await reader.readexactly(4)
            whole = int.from_bytes(head[2:], "big")
            await reader.readexactly(whole)
            rest = Collector()
            writer.transport.set_protocol(rest)
            simulator.strike(Fault("drop", "midframe"))
            async with asyncio.timeout(DEADLINE):
                assert isinstance(await rest.lost, ConnectionResetError)
            assert rest.data[:2] == b"\x82\x7e"
            assert 4 < len(rest.data) < int.from_bytes(rest.data[2:4], "big")

    async def test_a_drop_in_the_middle_of_a_frame_is_no_message(self) -> None:
        async with simulated() as (simulator, _), connected(simulator) as client:
            await client.subscribe([RELIANCE])
            frames = simulator.stats()["frames"]
            await strike(simulator, "drop", "midframe")
            assert await ending(client) == (None, 0)
            assert simulator.stats()["frames"] == frames

    @pytest.mark.parametrize(("arg", "code"), [("", 1001), ("1011", 1011), ("4001", 4001)])
    async def test_a_close_has_its_code(self, arg: str, code: int) -> None:
        async with simulated() as (simulator, _), connected(simulator) as client:
            await strike(simulator, "close", arg)
            assert (await ending(client))[0] == code

    async def test_a_stalled_connection_sends_pongs_only_until_it_is_over(self) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as client:
            await client.subscribe([RELIANCE, TCS])
            await strike(simulator, "stall", "40")
            await clock.advance(39)
            await client.ask("sub", [NIFTY])
            assert await client.nothing()
            await clock.advance(1.5)
            assert set((await client.next()).feeds) == {RELIANCE, TCS, NIFTY}

    async def test_a_stall_does_not_touch_later_connections(self) -> None:
        async with simulated() as (simulator, _), connected(simulator):
            await strike(simulator, "stall")
            async with connected(simulator) as other:
                assert set((await other.subscribe([RELIANCE])).feeds) == {RELIANCE}

    async def test_a_mute_feed_sends_market_info_only_on_every_connection(self) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as client:
            await client.subscribe([RELIANCE])
            await strike(simulator, "mute", "10")
            await clock.advance(5)
            assert await client.nothing()
            async with connected(simulator) as other:
                await other.ask("sub", [RELIANCE])
                await clock.advance(4)
                assert await other.nothing()
            await clock.advance(2)
            assert (await client.next()).type == 1

    async def test_refused_handshakes_get_403_while_authorize_says_200(self) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as client:
            await strike(simulator, "refuse", "10")
            assert await status_of_handshake(await authorize(simulator)) == 403
            assert await client.nothing()
            await clock.advance(11)
            assert await status_of_handshake(await authorize(simulator)) == 101


class TestRest:
    async def status(self, simulator: Simulator, token: str = "simulated") -> int:
        return (await call(simulator, "/v3/feed/market-data-feed/authorize", token=token)).status

    async def test_unauthorized_for_a_while(self) -> None:
        async with simulated() as (simulator, clock):
            await strike(simulator, "unauthorized", "5")
            assert await self.status(simulator) == 401
            await clock.advance(6)
            assert await self.status(simulator) == 200

    async def test_unauthorized_until_a_new_token_is_set(self) -> None:
        async with simulated(interval=1000) as (simulator, clock):
            await strike(simulator, "unauthorized")
            await clock.advance(100_000)
            assert await self.status(simulator) == 401
            await strike(simulator, "token", "fresh")
            assert await self.status(simulator) == 401
            assert await self.status(simulator, "fresh") == 200

    @pytest.mark.parametrize(
        ("arg", "status", "code"),
        [("", 500, "UDAPI100500"), ("503/10", 503, "UDAPI100500"), ("429", 429, "UDAPI10005")],
    )
    async def test_errors_of_rest(self, arg: str, status: int, code: str) -> None:
        async with simulated() as (simulator, clock):
            await strike(simulator, "error", arg)
            for path in ("/v3/feed/market-data-feed/authorize", "/v2/market/holidays"):
                answer = await call(simulator, path)
                assert (answer.status, answer.error_code) == (status, code)
                assert "Date" in answer.headers
            await clock.advance(11)
            assert await self.status(simulator) == 200


class TestMessages:
    async def test_garbage_cannot_be_decoded_and_the_feed_goes_on(self) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as client:
            await client.subscribe([RELIANCE])
            await strike(simulator, "garbage")
            async with asyncio.timeout(DEADLINE):
                payload = await client.websocket.recv()
            assert isinstance(payload, bytes)
            with pytest.raises(DecodeError):
                pb.FeedResponse.FromString(payload)
            await live(client, clock)

    async def test_a_text_message(self) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as client:
            await client.subscribe([RELIANCE])
            await strike(simulator, "garbage", "text")
            async with asyncio.timeout(DEADLINE):
                assert isinstance(await client.websocket.recv(), str)
            await live(client, clock)

    @pytest.mark.parametrize(("arg", "size"), [("", 2 * 1024 * 1024), ("1100000", 1_100_000)])
    async def test_an_oversize_frame_is_a_feed_with_an_unknown_field(self, arg: str, size: int) -> None:
        async with simulated() as (simulator, _), connected(simulator) as client:
            await client.subscribe([RELIANCE])
            await strike(simulator, "oversize", arg)
            assert set((await client.next()).feeds) == {RELIANCE}
            assert len(client.payloads[-1]) > size > 1024 * 1024

    async def test_a_silent_key_is_never_answered(self) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as client:
            await strike(simulator, "silent", RELIANCE)
            assert set((await client.subscribe([RELIANCE, TCS])).feeds) == {TCS}
            for _ in range(8):
                assert set((await live(client, clock)).feeds) == {TCS}
            await client.ask("sub", [RELIANCE])
            assert await client.nothing()
            await strike(simulator, "silent")
            assert set((await client.subscribe([RELIANCE])).feeds) == {RELIANCE}

    async def test_a_stale_key_is_answered_and_does_not_tick(self) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as client:
            await client.subscribe([RELIANCE, TCS])
            await strike(simulator, "stale", RELIANCE)
            for _ in range(8):
                assert set((await live(client, clock)).feeds) == {TCS}
            assert set((await client.subscribe([RELIANCE])).feeds) == {RELIANCE}
            await strike(simulator, "stale")
            while RELIANCE not in (await live(client, clock)).feeds:
                pass

    async def test_a_duplicate_snapshot(self) -> None:
        async with simulated() as (simulator, _), connected(simulator) as client:
            first = await client.subscribe([RELIANCE, NIFTY])
            await strike(simulator, "snapshot")
            again = await client.next()
            assert again.type == 0
            assert dict(again.feeds) == dict(first.feeds)

    async def test_partial_feeds_lack_the_book_or_the_last_price(self) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as client:
            await client.subscribe([RELIANCE, NIFTY])
            await strike(simulator, "partial", "3")
            lacking = set()
            for _ in range(8):
                feeds = (await live(client, clock)).feeds
                full = feeds[RELIANCE].fullFeed.marketFF
                lacking.add((full.HasField("ltpc"), full.HasField("marketLevel")))
                assert full.vtt > 0
                assert feeds[NIFTY].fullFeed.indexFF.HasField("ltpc")
            assert lacking == {(True, False), (False, True)}
            await clock.advance(4)
            while await client.nothing() is False:
                pass
            full = (await live(client, clock)).feeds[RELIANCE].fullFeed.marketFF
            assert full.HasField("ltpc")
            assert full.HasField("marketLevel")

    async def test_late_times_of_the_server_are_behind_the_trades_and_out_of_order(self) -> None:
        async with simulated(rate=4.0) as (simulator, clock), connected(simulator) as client:
            await client.subscribe([RELIANCE])
            await strike(simulator, "late", "10")
            seen = [await live(client, clock) for _ in range(20)]
            times = [response.currentTs for response in seen]
            assert times != sorted(times)
            trades = [response.feeds[RELIANCE].fullFeed.marketFF.ltpc.ltt for response in seen]
            assert any(ltt > moment for ltt, moment in zip(trades, times, strict=True))
