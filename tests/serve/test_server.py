"""The websocket side of the simulated broker, over real sockets."""

import asyncio
import datetime as dt
import itertools
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import upstox_client
import websocket
import websockets
from google.protobuf.unknown_fields import UnknownFieldSet
from upstox_client.feeder import market_data_feeder_v3
from upstox_client.feeder.proto import MarketDataFeedV3_pb2 as official

from tests.clocks import SteppedClock, at
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
from tickrec.journal import Journal
from tickrec.journal.entry import EntryKind
from tickrec.serve.client import COMBINED, INDIVIDUAL, Subscriptions
from tickrec.serve.faults import Fault
from tickrec.serve.server import HOST, Settings, Simulator
from tickrec.serve.synthetic.listings import master_of
from tickrec.serve.synthetic.phases import SEGMENTS

NO_SUCH_KEY = "NSE_FO|NIFTY18NOV2025PE25950"


def contracts(*kinds: str, segment: str = "NSE_FO") -> list[str]:
    """Keys of the simulated contracts of some kinds."""
    listings = master_of(dt.date(2026, 11, 23)).listings
    return [x.key for x in listings.values() if x.kind in kinds and x.segment == segment]


class TestHandshake:
    async def test_a_fresh_code_opens_once(self) -> None:
        async with simulated() as (simulator, _):
            uri = await authorize(simulator)
            assert [await status_of_handshake(uri) for _ in range(2)] == [101, 403]

    async def test_an_old_or_invented_code_is_refused(self) -> None:
        async with simulated(code_ttl=60) as (simulator, clock):
            uri = await authorize(simulator)
            await clock.advance(61)
            assert await status_of_handshake(uri) == 403
            assert await status_of_handshake(uri.split("code=")[0] + "code=1") == 403
            assert await status_of_handshake(uri.split("?")[0]) == 403

    @pytest.mark.parametrize(("plus", "limit"), [(False, 2), (True, 5)])
    async def test_more_connections_than_the_plan_has_are_refused(self, plus: bool, limit: int) -> None:
        async with simulated(plus=plus) as (simulator, _):
            opened = [await websockets.connect(await authorize(simulator)) for _ in range(limit)]
            assert await status_of_handshake(await authorize(simulator)) == 403
            await opened[0].close()
            assert await status_of_handshake(await authorize(simulator)) == 101
            for other in opened[1:]:
                await other.close()

    async def test_the_feeds_address_redirects_to_an_authorized_one(self) -> None:
        async with simulated() as (simulator, _):
            uri = f"ws://{HOST}:{simulator.port}/v3/feed/market-data-feed"
            assert await status_of_handshake(uri) == 401
            bearer = {"Authorization": "Bearer simulated"}
            async with websockets.connect(uri, additional_headers=bearer) as websocket:
                assert (await Client(websocket).next()).type == 2

    @pytest.mark.parametrize("offered", ["deflate", None])
    async def test_compression_is_used_when_offered(self, offered: str | None) -> None:
        async with simulated() as (simulator, _), connected(simulator, compression=offered) as client:
            names = [extension.name for extension in client.websocket.protocol.extensions]
            assert names == (["permessage-deflate"] if offered else [])
            snapshot = await client.subscribe([RELIANCE, NIFTY])
            assert set(snapshot.feeds) == {RELIANCE, NIFTY}


class TestMarketInfo:
    async def test_comes_first_and_names_eleven_segments(self) -> None:
        async with (
            simulated() as (simulator, clock),
            websockets.connect(await authorize(simulator)) as websocket,
        ):
            first = await Client(websocket).next()
            assert first.type == 2
            assert not first.feeds
            assert first.currentTs == clock.wall_ns() // 1_000_000
            assert dict(first.marketInfo.segmentStatus) == dict.fromkeys(SEGMENTS, 2)

    async def test_comes_again_at_every_transition(self) -> None:
        clock, seen = SteppedClock("2026-11-23T08:59:00"), []
        async with (
            simulated(clock, always_open=False, interval=30) as (simulator, _),
            connected(simulator) as client,
        ):
            for time in ("09:00:10", "09:05:10", "09:08:10", "09:09:10", "09:15:10", "15:15:10", "15:20:10"):
                await clock.advance_to(f"2026-11-23T{time}")
                info = (await client.next()).marketInfo
                pre, cas = info.preOpenSessionStatus, info.casMarketStatus
                word = pre["NSE_EQ"].status if "NSE_EQ" in pre else cas["NSE_EQ"].status if "NSE_EQ" in cas else ""
                seen.append((info.segmentStatus["NSE_EQ"], info.segmentStatus["NSE_FO"], word))
                assert await client.nothing()
            assert seen == [
                (0, 3, "PRE_OPEN_START"),
                (0, 3, "PRE_OPEN_M_END"),
                (1, 3, "PRE_OPEN_M_END"),
                (1, 3, "PRE_OPEN_END"),
                (2, 2, ""),
                (2, 2, "CTS_CLOSE"),
                (2, 2, "CAS_LM_START"),
            ]


class TestSubscribing:
    async def test_each_request_gets_one_snapshot_of_all_its_keys(self) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as client:
            keys = contracts("FUT")[:300]
            snapshot = await client.subscribe(keys)
            assert snapshot.type == 0
            assert set(snapshot.feeds) == set(keys)
            assert all(feed.fullFeed.marketFF.ltpc.ltp > 0 for feed in snapshot.feeds.values())
            assert snapshot.currentTs == clock.wall_ns() // 1_000_000
            again = await client.subscribe(keys[:5])
            assert (again.type, set(again.feeds)) == (0, set(keys[:5]))

    @pytest.mark.parametrize(
        ("mode", "wire", "branch"),
        [("ltpc", 0, "ltpc"), ("option_greeks", 2, "firstLevelWithGreeks"), ("full", 1, "fullFeed"), (None, 0, "ltpc")],
    )
    async def test_each_mode_has_its_branch(self, mode: str | None, wire: int, branch: str) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as client:
            option = contracts("CE")[0]
            keys = [RELIANCE, NIFTY, option]
            for response in [await client.subscribe(keys, mode), await self.live(client, clock)]:
                for key, feed in response.feeds.items():
                    assert (feed.requestMode, feed.WhichOneof("FeedUnion")) == (wire, branch)
                    part = getattr(feed, branch)
                    if branch == "fullFeed":
                        assert part.WhichOneof("FullFeedUnion") == ("indexFF" if key == NIFTY else "marketFF")
                    if branch == "firstLevelWithGreeks" and key == option:
                        assert part.firstDepth.bidP > 0
                        assert part.optionGreeks.delta > 0
                        assert part.iv > 0

    @staticmethod
    async def live(client: Client, clock: SteppedClock) -> Any:
        """The next live message."""
        await clock.advance(0.25)
        response = await client.next()
        assert response.type == 1
        return response

    async def test_a_key_that_does_not_exist_gets_an_empty_entry(self) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as client:
            feed = (await client.subscribe([NO_SUCH_KEY, RELIANCE])).feeds[NO_SUCH_KEY]
            full = feed.fullFeed.marketFF
            assert all(full.HasField(part) for part in ("ltpc", "marketLevel", "optionGreeks"))
            assert full.ByteSize() == 6
            assert set((await self.live(client, clock)).feeds) == {RELIANCE}

    async def test_malformed_keys_are_ignored_and_the_others_served(self) -> None:
        async with simulated() as (simulator, _), connected(simulator) as client:
            wrong = ["RELIANCE", "NYSE_EQ|IBM", "NSE_EQ|", "", "nse_eq|INE002A01018"]
            assert set((await client.subscribe([*wrong, TCS])).feeds) == {TCS}
            await client.ask("sub", wrong)
            assert await client.nothing()

    @pytest.mark.parametrize(
        "message",
        [
            json.dumps({"guid": "1", "method": "sub", "data": {"mode": "full", "instrumentKeys": [RELIANCE]}}),
            b"\xff\xfe",
            b"[]",
            b'"sub"',
            b'{"method":"sub"}',
            b'{"method":"sub","data":{"mode":"full","instrumentKeys":"NSE_EQ|INE002A01018"}}',
            b'{"method":"sub","data":{"mode":"everything","instrumentKeys":["NSE_EQ|INE002A01018"]}}',
            b'{"method":"subscribe","data":{"mode":"full","instrumentKeys":["NSE_EQ|INE002A01018"]}}',
            b'{"method":"change_mode","data":{"mode":"full","instrumentKeys":["NSE_EQ|INE002A01018"]}}',
        ],
        ids=[
            "text frame",
            "no JSON",
            "array",
            "string",
            "no data",
            "keys as a string",
            "no mode",
            "no method",
            "unknown key",
        ],
    )
    async def test_anything_but_a_request_in_a_binary_frame_is_ignored(self, message: str | bytes) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as client:
            await client.websocket.send(message)
            await clock.advance(1)
            assert await client.nothing()
            assert simulator.stats()["subscribed"] == 0

    async def test_a_request_in_fragments_is_understood(self) -> None:
        async with simulated() as (simulator, _), connected(simulator) as client:
            request = {"guid": "1", "method": "sub", "data": {"mode": "ltpc", "instrumentKeys": [RELIANCE]}}
            message = json.dumps(request).encode()
            await client.websocket.send([message[:10], message[10:11], message[11:]])
            assert set((await client.next()).feeds) == {RELIANCE}

    @pytest.mark.parametrize("method", ["sub", "change_mode"])
    async def test_the_last_request_decides_the_mode_of_a_key(self, method: str) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as client:
            await client.subscribe([RELIANCE, TCS], "full")
            await client.ask(method, [RELIANCE], "ltpc")
            if method == "sub":
                assert (await client.next()).feeds[RELIANCE].requestMode == 0
            await client.nothing()
            live = await self.live(client, clock)
            assert {key: feed.requestMode for key, feed in live.feeds.items()} == {RELIANCE: 0, TCS: 1}
            assert simulator.stats()["subscribed"] == 2

    async def test_an_unsubscribed_key_falls_silent(self) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as client:
            await client.subscribe([RELIANCE, TCS])
            await client.ask("unsub", [RELIANCE], None)
            await client.nothing()
            for _ in range(5):
                assert set((await self.live(client, clock)).feeds) == {TCS}

    async def test_two_connections_get_their_own_keys(self) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as one, connected(simulator) as other:
            await one.subscribe([RELIANCE, NIFTY], "full")
            await other.subscribe([TCS, NIFTY], "ltpc")
            await clock.advance(0.25)
            first, second = await one.next(), await other.next()
            assert (set(first.feeds), set(second.feeds)) == ({RELIANCE, NIFTY}, {TCS, NIFTY})
            assert first.feeds[NIFTY].fullFeed.indexFF.ltpc == second.feeds[NIFTY].ltpc
            assert simulator.stats()["subscribed"] == 3


def request(method: str, mode: str, keys: list[str]) -> bytes:
    return json.dumps({"guid": "1", "method": method, "data": {"mode": mode, "instrumentKeys": keys}}).encode()


def some_keys(mode: str, count: int) -> list[str]:
    return [f"NSE_FO|{mode}{number}" for number in range(count)]


class TestCaps:
    @pytest.mark.parametrize(("mode", "cap"), [("full", 2000), ("ltpc", 5000), ("option_greeks", 3000)])
    def test_keys_above_the_cap_of_a_mode_are_ignored(self, mode: str, cap: int) -> None:
        subscriptions = Subscriptions(plus=False)
        keys = some_keys(mode, cap + 100)
        assert subscriptions.take(request("sub", mode, keys[: cap - 1])).snapshot == keys[: cap - 1]
        assert subscriptions.take(request("sub", mode, keys[cap - 1 :])).snapshot == keys[cap - 1 : cap]
        subscriptions.take(request("unsub", mode, keys[:10]))
        assert len(subscriptions.take(request("sub", mode, keys[cap : cap + 20])).snapshot) == 10
        assert len(subscriptions.modes) == INDIVIDUAL[mode] == cap

    def test_modes_used_together_have_caps_of_their_own(self) -> None:
        subscriptions = Subscriptions(plus=False)
        accepted = {}
        for mode in ("full", "ltpc", "option_greeks"):
            subscriptions.take(request("sub", mode, some_keys(mode, 1)))
        for mode in ("full", "ltpc", "option_greeks"):
            accepted[mode] = 1 + len(subscriptions.take(request("sub", mode, some_keys(mode, 5000)[1:])).snapshot)
        assert accepted == {"full": 1500, "ltpc": 2000, "option_greeks": 2000}
        assert all(accepted[mode] == COMBINED[mode] for mode in accepted)

    def test_a_change_of_mode_respects_the_cap_and_keeps_the_old_mode(self) -> None:
        subscriptions = Subscriptions(plus=False)
        keys = some_keys("ltpc", 1600)
        subscriptions.take(request("sub", "ltpc", keys))
        assert subscriptions.take(request("change_mode", "full", keys)).changed == keys[:1500]
        assert list(subscriptions.modes.values()) == ["full"] * 1500 + ["ltpc"] * 100

    async def test_over_the_wire_the_rest_is_silence(self) -> None:
        async with simulated() as (simulator, _), connected(simulator) as client:
            keys = contracts("CE", "PE")[:2100]
            assert len((await client.subscribe(keys[:1990])).feeds) == 1990
            assert set((await client.subscribe(keys[1990:2090])).feeds) == set(keys[1990:2000])
            await client.ask("sub", keys[2090:])
            assert await client.nothing()

    def test_thirty_levels_need_plus(self) -> None:
        async def run(plus: bool) -> None:
            async with simulated(plus=plus) as (simulator, clock), connected(simulator) as client:
                keys = contracts("FUT")[:60]
                await client.ask("sub", keys, "full_d30")
                if not plus:
                    await clock.advance(1)
                    assert await client.nothing()
                    return
                snapshot = await client.next()
                assert set(snapshot.feeds) == set(keys[:50])
                for feed in snapshot.feeds.values():
                    book = feed.fullFeed.marketFF.marketLevel.bidAskQuote
                    asks = [quote.askP for quote in book]
                    assert (len(asks), feed.requestMode) == (30, 3)
                    assert asks == sorted(set(asks))

        asyncio.run(run(False))
        asyncio.run(run(True))


class TestStreaming:
    async def test_a_message_every_quarter_second_with_the_changed_keys_only(self) -> None:
        async with simulated(rate=200) as (simulator, clock), connected(simulator) as client:
            keys = contracts("FUT")
            state = dict((await client.subscribe(keys)).feeds)
            times, seen = [], set()
            for _ in range(60):
                await clock.advance(0.25)
                response = await client.next()
                assert response.type == 1
                assert len(response.feeds) == 50
                times.append(response.currentTs)
                for key, feed in response.feeds.items():
                    assert feed != state[key]
                    state[key] = feed
                    seen.add(key)
            assert {b - a for a, b in itertools.pairwise(times)} == {250}
            assert seen == set(keys)
            assert simulator.stats()["ticks"] == len(keys) + 60 * 50

    async def test_an_instrument_changes_once_a_message_at_most(self) -> None:
        async with simulated(rate=20_000) as (simulator, clock), connected(simulator) as client:
            await client.subscribe([RELIANCE, TCS])
            await clock.advance(1)
            for _ in range(4):
                assert len((await client.next()).feeds) == 2
            assert await client.nothing()

    async def test_volume_never_falls_over_a_reconnect(self) -> None:
        async with simulated() as (simulator, clock):
            volumes = []
            for _ in range(3):
                async with connected(simulator) as client:
                    volumes.append((await client.subscribe([RELIANCE])).feeds[RELIANCE].fullFeed.marketFF.vtt)
                    for _ in range(10):
                        await clock.advance(0.25)
                        volumes.append((await client.next()).feeds[RELIANCE].fullFeed.marketFF.vtt)
            assert volumes == sorted(volumes)
            assert volumes[-1] > volumes[0]

    async def test_a_quiet_connection_is_pinged_and_pings_are_answered(self) -> None:
        async with simulated(ping_interval=20) as (simulator, clock):
            reader, writer = await raw_websocket(simulator)
            await clock.advance(19)
            writer.write(b"\x89\x84\0\0\0\0ours")
            assert await reader.readexactly(6) == b"\x8a\x04ours"
            await clock.advance(2)
            assert await reader.readexactly(2) == b"\x89\x00"
            writer.close()

    async def test_a_closed_market_answers_with_a_snapshot_and_then_rests(self) -> None:
        clock = SteppedClock("2026-11-22T12:00")
        async with simulated(clock, always_open=False) as (simulator, _), connected(simulator) as client:
            snapshot = await client.subscribe([RELIANCE, NIFTY])
            assert snapshot.feeds[RELIANCE].fullFeed.marketFF.ltpc.ltt < at("2026-11-21T00:00") // 1_000_000
            await clock.advance(10)
            assert await client.nothing()

    async def test_the_pre_open_auction_has_a_crossed_book_and_its_own_numbers(self) -> None:
        clock = SteppedClock("2026-11-23T09:01")
        async with simulated(clock, always_open=False) as (simulator, _), connected(simulator) as client:
            before = (await client.subscribe([RELIANCE])).feeds[RELIANCE].fullFeed.marketFF
            await clock.advance(0.25)
            full = (await client.next()).feeds[RELIANCE].fullFeed.marketFF
            book = full.marketLevel.bidAskQuote
            assert book[0].bidP > book[0].askP
            assert [bool(quote.bidP) for quote in book] == [True] * 4 + [False]
            assert book[4].bidQ > 0
            assert full.iep == full.ltpc.iep.value > 0
            assert full.rp > 0
            assert full.ieq > 0
            assert full.iiqTotal != 0
            assert (full.ltpc.ltt, full.vtt) == (before.ltpc.ltt, before.vtt)
            day, minute = full.marketOHLC.ohlc
            assert day.ts == at("2026-11-23T00:00") // 1_000_000
            assert minute.ByteSize() == 0
            assert full.atp == 0
            await client.ask("unsub", [RELIANCE], None)
            await client.nothing()
            await clock.advance_to("2026-11-23T09:15:02")
            while (await client.next()).marketInfo.segmentStatus["NSE_EQ"] != 2:
                pass
            full = (await client.subscribe([RELIANCE])).feeds[RELIANCE].fullFeed.marketFF
            assert not full.ltpc.HasField("iep")
            assert (full.iep, full.rp, full.ieq, full.iiqTotal, full.iiqM) == (0, 0, 0, 0, 0)
            assert full.marketOHLC.ohlc[1].interval == "I1"
            assert full.vtt < before.vtt

    async def test_only_shares_of_the_closing_auction_take_part_in_it(self) -> None:
        clock = SteppedClock("2026-11-23T15:20")
        async with simulated(clock, always_open=False) as (simulator, _), connected(simulator) as client:
            future, other = contracts("FUT")[0], contracts("BE", segment="NSE_EQ")[0]
            await client.subscribe([RELIANCE, future, other, NIFTY])
            await clock.advance(0.25)
            feeds = (await client.next()).feeds
            in_auction = {key for key in (RELIANCE, future, other) if feeds[key].fullFeed.marketFF.iep}
            assert in_auction == {RELIANCE}
            assert not feeds[NIFTY].fullFeed.indexFF.ltpc.HasField("iep")

    async def test_a_slow_reader_gets_fewer_messages_and_still_every_key(self) -> None:
        async with (
            simulated() as (simulator, clock),
            connected(simulator, max_queue=1, compression=None) as client,
        ):
            await client.subscribe([RELIANCE, TCS])
            for _ in range(4):
                simulator.strike(Fault("oversize", "6000000"))
            sent = simulator.stats()["frames"]
            for _ in range(20):
                await clock.advance(0.25)
            assert simulator.stats()["frames"] == sent
            for _ in range(4):
                assert len((await client.next()).feeds) == 2
            await client.nothing()
            await clock.advance(0.25)
            assert set((await client.next()).feeds) == {RELIANCE, TCS}


class TestSentLog:
    async def test_holds_exactly_what_every_connection_received(self, tmp_path: Path) -> None:
        received: list[list[bytes | str]] = []

        async with simulated(sent_log=tmp_path) as (simulator, clock):
            for keys in ([RELIANCE, NIFTY], [TCS, NO_SUCH_KEY]):
                async with connected(simulator) as client:
                    await client.subscribe(keys)
                    for _ in range(5):
                        await clock.advance(0.25)
                        await client.next()
                    await call(simulator, "/simulator/fault", data={"kind": "garbage", "arg": "text"})
                    client.payloads.append(await client.websocket.recv())
                    received.append(client.payloads)
            stats = (await call(simulator, "/simulator/stats")).json
            assert stats["frames"] == sum(map(len, received))
            assert stats["bytes"] == sum(len(x) for payloads in received for x in payloads)
            assert stats["opened"] == 2
        entries = list(Journal(tmp_path, source="simulator").entries())
        for conn, payloads in enumerate(received, 1):
            ours = [entry for entry in entries if entry.conn == conn]
            assert [x.kind for x in ours] == [
                EntryKind.CONNECTED,
                *[EntryKind.MESSAGE] * len(payloads),
                EntryKind.DISCONNECTED,
            ]
            messages = ours[1:-1]
            assert [x.payload.decode() if x.text else x.payload for x in messages] == payloads
            assert [x.wall_ns for x in messages] == sorted(x.wall_ns for x in messages)
            assert ours[-1].facts() == {"code": 1000, "reason": ""}


def every_part(message: Any) -> Iterator[Any]:
    """A message and all messages inside it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        parts = value.values() if isinstance(value, Mapping) else value if field.is_repeated else [value]
        for part in parts:
            if hasattr(part, "ListFields"):
                yield from every_part(part)


class TestOfficialSdk:
    """The broker's own client, pointed here, must not notice a difference."""

    async def test_its_schema_decodes_our_messages(self) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as client:
            keys = [RELIANCE, NIFTY, *contracts("CE")[:3]]
            ours = [await client.subscribe(keys, "full")]
            await clock.advance(0.25)
            ours.append(await client.next())
            theirs = [official.FeedResponse.FromString(payload) for payload in client.payloads]
            assert theirs[0].marketInfo.segmentStatus["NSE_EQ"] == 2
            for mine, other in zip(ours, theirs[1:], strict=True):
                assert mine.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)
                assert not any(len(UnknownFieldSet(part)) for part in every_part(other))

    def test_its_streamer_connects_subscribes_and_gets_ticks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        messages: queue.Queue[dict[str, Any]] = queue.Queue()

        def stream(port: int) -> list[dict[str, Any]]:
            class Here(websocket.WebSocketApp):
                def __init__(self, url: str, **options: Any) -> None:
                    options["header"] = {"Authorization": "Bearer simulated"}
                    super().__init__(url.replace("wss://api.upstox.com", f"ws://{HOST}:{port}"), **options)

            monkeypatch.setattr(market_data_feeder_v3.websocket, "WebSocketApp", Here)
            configuration = upstox_client.Configuration()
            configuration.access_token = "simulated"
            api = upstox_client.ApiClient(configuration)
            streamer = upstox_client.MarketDataStreamerV3(api, [RELIANCE, NIFTY], "full")
            streamer.on("message", messages.put)
            streamer.connect()
            got = [messages.get(timeout=DEADLINE) for _ in range(4)]
            streamer.disconnect()
            api.pool.terminate()
            return got

        async def run() -> list[dict[str, Any]]:
            async with Simulator(Settings(interval=0.02)) as simulator:
                return await asyncio.to_thread(stream, simulator.port)

        info, snapshot, *live = asyncio.run(run())
        assert info["type"] == "market_info"
        assert "type" not in snapshot
        assert set(snapshot["feeds"]) == {RELIANCE, NIFTY}
        assert {message["type"] for message in live} == {"live_feed"}
        full = snapshot["feeds"][RELIANCE]["fullFeed"]["marketFF"]
        assert snapshot["feeds"][RELIANCE]["requestMode"] == "full_d5"
        assert full["optionGreeks"] == {}
        assert len(full["marketLevel"]["bidAskQuote"]) == 5


class TestServe:
    SCRIPT = """
import asyncio
from tickrec.serve.server import Settings, serve
asyncio.run(serve(Settings(), lambda line: print(line, flush=True), True))
"""

    @pytest.fixture
    def child(self) -> Iterator[subprocess.Popen[str]]:
        child = subprocess.Popen(
            [sys.executable, "-c", self.SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        killer = threading.Timer(DEADLINE * 2, child.kill)
        killer.start()
        yield child
        killer.cancel()
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            assert pipe is not None
            pipe.close()

    def test_announces_its_addresses_and_ends_with_its_stdin(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stderr is not None
        addresses = json.loads(child.stdout.readline())
        assert set(addresses) == {"api_url", "assets_url"}
        assert addresses["api_url"].startswith("http://127.0.0.1:")
        child.stdin.close()
        assert child.wait() == 0
        assert child.stderr.read() == ""
