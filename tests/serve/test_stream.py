"""The stream: who gets which message, over real sockets."""

import itertools
import json
from typing import Any

import pytest
import websockets

from tests.clocks import SteppedClock, at
from tests.serve.fixtures import NIFTY, RELIANCE, TCS, Client, authorize, connected, contracts, raw_websocket, simulated
from tickrec.serve.faults import Fault
from tickrec.serve.subscriptions import SEGMENTS

NO_SUCH_KEY = "NSE_FO|NIFTY18NOV2025PE25950"


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
            simulated(clock, always_open=False, interval=60) as (simulator, _),
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

    async def test_who_could_take_none_gets_the_newest_when_he_can(self) -> None:
        clock = SteppedClock("2026-11-23T09:14:58")
        async with (
            simulated(clock, always_open=False, interval=1) as (simulator, _),
            connected(simulator) as client,
        ):
            await client.subscribe([RELIANCE])
            simulator.strike(Fault("stall", "10"))
            await clock.advance(9)
            assert await client.nothing()
            await clock.advance(2)
            assert (await client.next()).marketInfo.segmentStatus["NSE_EQ"] == 2
            assert set((await client.next()).feeds) == {RELIANCE}
            await clock.advance(1)
            assert (await client.next()).type == 1


class TestSubscribing:
    async def test_each_request_gets_one_snapshot_of_all_its_keys(self) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as client:
            keys = contracts("FUT")[:60]
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
            if method == "change_mode":
                await clock.advance(0.25)
            state = await client.next()
            assert {key: feed.requestMode for key, feed in state.feeds.items()} == {RELIANCE: 0}
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


class TestCaps:
    async def test_thirty_levels_are_silent_without_plus(self) -> None:
        async with simulated() as (simulator, clock), connected(simulator) as client:
            await client.ask("sub", contracts("FUT")[:60], "full_d30")
            await clock.advance(1)
            assert await client.nothing()

    async def test_thirty_levels_of_fifty_keys_come_with_plus_and_the_rest_is_silence(self) -> None:
        async with simulated(plus=True) as (simulator, _), connected(simulator) as client:
            keys = contracts("FUT")[:70]
            snapshot = await client.subscribe(keys[:45], "full_d30")
            assert set(snapshot.feeds) == set(keys[:45])
            assert set((await client.subscribe(keys[45:60], "full_d30")).feeds) == set(keys[45:50])
            await client.ask("sub", keys[60:], "full_d30")
            assert await client.nothing()
            for feed in snapshot.feeds.values():
                asks = [quote.askP for quote in feed.fullFeed.marketFF.marketLevel.bidAskQuote]
                assert (len(asks), feed.requestMode) == (30, 3)
                assert asks == sorted(set(asks))


class TestStreaming:
    async def test_a_message_every_quarter_second_with_the_changed_keys_only(self) -> None:
        async with simulated(rate=80) as (simulator, clock), connected(simulator) as client:
            keys = contracts("FUT")[:100]
            state = dict((await client.subscribe(keys)).feeds)
            times, seen = [], set()
            for _ in range(20):
                await clock.advance(0.25)
                response = await client.next()
                assert response.type == 1
                assert len(response.feeds) == 20
                times.append(response.currentTs)
                for key, feed in response.feeds.items():
                    assert feed != state[key]
                    state[key] = feed
                    seen.add(key)
            assert {b - a for a, b in itertools.pairwise(times)} == {250}
            assert seen == set(keys)
            assert simulator.stats()["ticks"] == len(keys) + 20 * 20

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
        async with simulated() as (simulator, clock):
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
        async with simulated(clock, always_open=False, interval=2) as (simulator, _), connected(simulator) as client:
            before = (await client.subscribe([RELIANCE])).feeds[RELIANCE].fullFeed.marketFF
            await clock.advance(2)
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
            connected(simulator, max_queue=1, close_timeout=0.1) as client,
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
