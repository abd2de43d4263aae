"""Replay: what clients of a recorded day get, over real sockets."""

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.clocks import FastClock, SteppedClock
from tests.days import DATE, Recording, write_day
from tests.serve.fixtures import (
    DEADLINE,
    RELIANCE,
    Client,
    call,
    joined,
    keys_of,
    messages,
    raw_websocket,
    sent,
)
from tests.serve.sdk import NODE_FOLDER, as_sdk, node_messages, sdk_messages
from tickrec.clock import SECOND
from tickrec.errors import DataError, UsageError
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.market.hours import at
from tickrec.serve.replay import Pace, Replay
from tickrec.serve.server import Server, Terms
from tickrec.serve.source import Moment
from tickrec.serve.stream import UNREAD_SECONDS
from tickrec.store.paths import Store

MAX = Pace(speed=None)
NOW = Moment(0, 0)
MIDDLE = dt.time(9, 15, 6, 600_000)
"""Of the usual day, amid the messages of a connection."""


@asynccontextmanager
async def replaying(
    store: Store, pace: Pace = MAX, clock: SteppedClock | None = None
) -> AsyncIterator[tuple[Server, Replay]]:
    """A replay of the store's day that is being served."""
    source = Replay(store, [DATE], pace)
    async with Server(source, Terms(clock=clock or FastClock())) as server:
        yield server, source


async def to_the_end(client: Client) -> list[bytes | str]:
    """What comes up to the message that says that the segments are closed, without it."""
    async with asyncio.timeout(DEADLINE):
        while True:
            payload = await client.websocket.recv()
            if any(set(each.marketInfo.segmentStatus.values()) == {3, 5} for each in messages([payload])):
                return client.payloads
            client.payloads.append(payload)


class TestEverything:
    async def test_a_client_that_asks_for_all_gets_the_recorded_bytes(self, journalled: Store) -> None:
        async with replaying(journalled) as (server, _), joined(server) as client:
            await client.ask("sub", keys_of(journalled))
            got = await to_the_end(client)
        assert got == [entry.payload for entry in sent(journalled)]

    async def test_several_clients_get_everything_however_many_requests_it_takes_them(self, journalled: Store) -> None:
        keys = keys_of(journalled)
        async with replaying(journalled) as (server, _), joined(server) as one, joined(server) as other:
            for key in keys:
                await one.ask("sub", [key])
            await other.ask("sub", keys)
            got = await asyncio.gather(to_the_end(one), to_the_end(other))
        assert list(got) == [[entry.payload for entry in sent(journalled)]] * 2

    async def test_text_messages_come_as_text(self, store: Store) -> None:
        day = Recording(store, instruments=6)
        day.run()
        day.connect()
        day.updates(3)
        assert day._writer is not None
        day._writer.append(Entry(EntryKind.MESSAGE, 1, day.now_ns, day.now_ns, b'{"status":"failed"}', text=True))
        day.updates(2)
        day.die()
        async with replaying(store) as (server, _), joined(server) as client:
            await client.ask("sub", keys_of(store))
            got = await to_the_end(client)
        assert [each for each in got if isinstance(each, str)] == ['{"status":"failed"}']

    async def test_who_reads_slowly_is_waited_for_and_who_reads_nothing_is_not(self, store: Store) -> None:
        day = Recording(store, instruments=6)
        day.run()
        day.connect()
        day.message(bytes(16 * 1024 * 1024))
        day.die()
        clock = SteppedClock()
        async with replaying(store, MAX, clock) as (server, _):
            reader, writer = await raw_websocket(server)
            request = json.dumps({"method": "sub", "data": {"instrumentKeys": [RELIANCE]}}).encode()
            writer.write(bytes([0x82, 0x80 | len(request), 0, 0, 0, 0]) + request)
            while not (await call(server, "/status")).json["subscribed"]:
                pass
            await clock.advance(1)
            (slow,) = server._stream._clients.values()
            for _ in range(3):
                before = slow.unsent
                while slow.unsent == before:
                    await reader.read(65_536)
                await clock.advance(UNREAD_SECONDS - 1)
                assert slow.slow
            await clock.advance(2 * UNREAD_SECONDS)
            async with asyncio.timeout(DEADLINE):
                with pytest.raises(ConnectionResetError):
                    await reader.read()
            writer.close()


class TestOfficialSdk:
    @pytest.mark.parametrize("mode", ["full", "ltpc"])
    async def test_its_streamer_gets_every_value_of_the_day(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, mode: str
    ) -> None:
        day = Recording(store, instruments=6)
        day.run()
        day.connect()
        day.updates(10)
        day.drop()
        day.connect()
        day.updates(10)
        day.close()
        async with replaying(store) as (server, _):
            got = await sdk_messages(monkeypatch, server, keys_of(store), is_closing, mode)
        recorded = [as_sdk(entry.payload) for entry in sent(store)]
        if mode == "full":
            assert got[1:-1] == recorded
            return
        prices = [{key: last_price(feed) for key, feed in each.get("feeds", {}).items()} for each in recorded]
        assert [{key: feed["ltpc"] for key, feed in each.get("feeds", {}).items()} for each in got[1:-1]] == prices

    @pytest.mark.skipif(NODE_FOLDER is None, reason="TICKREC_NODE names no folder with upstox-js-sdk")
    async def test_that_of_node_gets_every_value_too(self, store: Store) -> None:
        day = Recording(store, instruments=6)  # a message that cannot be decoded would end its process
        day.run()
        day.connect()
        day.updates(10)
        day.close()
        async with replaying(store) as (server, _):
            got = await node_messages(server, keys_of(store), is_closing)
        recorded = json.loads(json.dumps([as_sdk(entry.payload) for entry in sent(store)]))
        assert len(got) <= 2 + len(recorded), "market_info, and that the segments are closed"
        assert got[-1 - len(recorded) : -1] == recorded


def is_closing(message: dict[str, Any]) -> bool:
    """Whether it is the message that says that all segments are closed."""
    states = set(message.get("marketInfo", {}).get("segmentStatus", {}).values())
    return bool(states) and states <= {"NORMAL_CLOSE", "CLOSING_END"}


def last_price(feed: dict[str, Any]) -> dict[str, Any]:
    (branch,) = feed["fullFeed"].values()
    price: dict[str, Any] = branch["ltpc"]
    return price


class TestParts:
    async def test_a_client_gets_the_feeds_it_asked_for(self, journalled: Store) -> None:
        mine = set(keys_of(journalled)[:7])
        async with replaying(journalled) as (server, _), joined(server) as client:
            await client.ask("sub", list(mine))
            got = await to_the_end(client)
        wanted = []
        for message in messages([entry.payload for entry in sent(journalled)]):
            kept = {key: feed for key, feed in message.feeds.items() if key in mine}
            if kept:
                wanted.append((message.type, message.currentTs, kept))
        assert [(x.type, x.currentTs, dict(x.feeds)) for x in messages(got) if x.feeds] == wanted

    @pytest.mark.parametrize("mode", ["ltpc", "option_greeks", "full_d30"])
    async def test_a_mode_is_reduced_to_what_was_asked_and_never_more_than_was_recorded(
        self, journalled: Store, mode: str
    ) -> None:
        async with replaying(journalled) as (server, _), joined(server) as client:
            await client.ask("sub", keys_of(journalled), mode)
            got = [message for message in messages(await to_the_end(client)) if message.feeds]
        recorded = [m for m in messages([entry.payload for entry in sent(journalled)]) if m.feeds]
        assert len(got) == len(recorded) > 0
        for ours, theirs in zip(got, recorded, strict=True):
            assert list(ours.feeds) == list(theirs.feeds)
            for key, feed in ours.feeds.items():
                full = theirs.feeds[key].fullFeed
                part = full.indexFF if full.HasField("indexFF") else full.marketFF
                if mode == "full_d30":
                    assert feed == theirs.feeds[key]
                elif mode == "ltpc":
                    assert (feed.requestMode, feed.ltpc) == (0, part.ltpc)
                else:
                    greeks = feed.firstLevelWithGreeks
                    assert (feed.requestMode, greeks.ltpc) == (2, part.ltpc)
                    if full.HasField("marketFF"):
                        assert greeks.firstDepth == part.marketLevel.bidAskQuote[0]
                        assert (greeks.vtt, greeks.oi, greeks.iv) == (part.vtt, part.oi, part.iv)
                        assert greeks.optionGreeks == part.optionGreeks

    async def test_a_key_that_was_not_recorded_is_silent(self, journalled: Store) -> None:
        async with replaying(journalled) as (server, _), joined(server) as client:
            await client.ask("sub", ["NSE_EQ|INE000000000"])
            got = await to_the_end(client)
        assert not [message for message in messages(got) if message.feeds]


class TestPace:
    async def test_begins_a_second_after_the_last_subscribe_and_keeps_the_recorded_distances(
        self, journalled: Store
    ) -> None:
        clock = SteppedClock()
        entries = sent(journalled)
        async with replaying(journalled, Pace(speed=2.0), clock) as (server, _), joined(server) as client:
            await client.ask("sub", keys_of(journalled)[:1])
            await client.nothing()
            await clock.advance(0.9)
            await client.ask("sub", keys_of(journalled))
            await client.nothing()
            await clock.advance(0.9)
            assert await client.nothing()
            await clock.advance(0.1)
            for seconds in (0.0, 0.2, 0.4, 1.0, 1.7):
                await clock.advance(seconds)
                passed = (clock.monotonic_ns() - 1_000_000_000 - 1_900_000_000) * 2
                due = [x.payload for x in entries if x.wall_ns - entries[0].wall_ns <= passed]
                while len(client.payloads) < len(due):
                    client.payloads.append(await asyncio.wait_for(client.websocket.recv(), DEADLINE))
                assert await client.nothing()
                assert client.payloads == due

    async def test_from_begins_with_the_state_of_that_moment(self, journalled: Store) -> None:
        clock = SteppedClock()
        async with (
            replaying(journalled, Pace(start=MIDDLE), clock) as (server, source),
            joined(server) as client,
        ):
            snapshot = await client.subscribe(keys_of(journalled))
        before: dict[str, Any] = {}
        begin = source.status(NOW)["at"]
        for message in messages([x.payload for x in sent(journalled)]):
            if message.currentTs / 1000 <= begin:
                before |= dict(message.feeds)
        assert snapshot.type == 0
        assert dict(snapshot.feeds) == before
        assert snapshot.currentTs / 1000 == pytest.approx(begin)

    async def test_a_stretch_without_messages_can_be_cut_short(self, journalled: Store) -> None:
        """The day has a crash in it, after which a minute is missing, a drop of five seconds, and begins at 09:15."""
        clock, whole = SteppedClock(), [entry.payload for entry in sent(journalled)]
        pace = Pace(start=dt.time(9), longest_idle=0.5)
        async with replaying(journalled, pace, clock) as (server, source), joined(server) as client:
            await client.ask("sub", keys_of(journalled))
            await client.nothing()
            for _ in range(200):
                await clock.advance(0.1)
            assert source.ended
            assert await to_the_end(client) == whole

    async def test_until_ends_before_the_end(self, journalled: Store) -> None:
        async with replaying(journalled, Pace(speed=None, until=MIDDLE)) as (server, _), joined(server) as client:
            await client.ask("sub", keys_of(journalled))
            got = await to_the_end(client)
        end = at(DATE, MIDDLE)
        assert got == [x.payload for x in sent(journalled) if x.wall_ns < end]
        assert 5 < len(got) < len(sent(journalled))


class TestEnd:
    async def test_is_over_when_the_last_client_has_left(self, journalled: Store) -> None:
        async with replaying(journalled) as (server, source):
            async with joined(server) as one:
                async with joined(server) as other:
                    await one.ask("sub", keys_of(journalled))
                    await other.ask("sub", keys_of(journalled))
                    await asyncio.gather(to_the_end(one), to_the_end(other))
                assert source.ended
                assert (await one.subscribe(keys_of(journalled)[:1])).type == 0
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(server.over(), 0)
            await asyncio.wait_for(server.over(), DEADLINE)

    async def test_a_loop_begins_again(self, journalled: Store) -> None:
        async with replaying(journalled, Pace(speed=None, loop=True)) as (server, _), joined(server) as client:
            await client.ask("sub", keys_of(journalled))
            rounds = []
            for _ in range(3):
                rounds.append(list(await to_the_end(client)))
                client.payloads.clear()
        assert rounds == [[entry.payload for entry in sent(journalled)]] * 3

    async def test_a_loop_without_a_message_ends(self, journalled: Store, caplog: pytest.LogCaptureFixture) -> None:
        pace = Pace(speed=None, loop=True, start=dt.time(11), until=dt.time(12))
        async with replaying(journalled, pace) as (server, source), joined(server) as client:
            await client.ask("sub", keys_of(journalled)[:1])
            assert (await client.next()).type == 0
            client.payloads.clear()
            assert await to_the_end(client) == []
            assert source.ended
        assert "no message from --from to --until" in caplog.text

    def test_a_round_begins_in_pieces(self, journalled: Store) -> None:
        """So that who is connected is not left alone while a day is read up to --from."""
        source = Replay(journalled, [DATE], Pace(speed=None, loop=True, start=dt.time(9, 16)), skipped=4)
        source.want(keys_of(journalled), NOW)
        turns = [len(list(source.due(Moment(0, 2 * SECOND)))) for _ in range(15)]
        assert turns.index(turns[0], 1) > 4

    async def test_nothing_is_sent_while_nobody_has_subscribed(self, journalled: Store) -> None:
        clock = SteppedClock()
        async with replaying(journalled, MAX, clock) as (server, source), joined(server) as client:
            await clock.advance(10)
            assert await client.nothing()
            assert source.status(NOW)["state"] == "waiting for a subscription"


class TestRest:
    async def test_names_itself_and_gives_the_first_prices_of_the_day(self, journalled: Store) -> None:
        async with replaying(journalled, MAX, SteppedClock()) as (server, _):
            answer = await call(server, "/v3/feed/market-data-feed/authorize")
            assert answer.headers["X-Tickrec-Source"] == f"replay {DATE}"
            key = keys_of(journalled)[0]
            (row,) = (await call(server, "/v3/market-quote/ltp", query={"instrument_key": key})).json["data"].values()
            assert (row["instrument_token"], row["last_price"] > 0) == (key, True)
            assert (await call(server, "/status")).json["source"] == f"replay {DATE}"
            assert (await call(server, "/simulator/fault", data={"kind": "drop"})).status == 404
            assert (await call(server, f"/v2/market/timings/{DATE}")).json["data"]


def test_a_journal_that_was_removed_is_said_to_be(store: Store) -> None:
    store.manifest_path(DATE).parent.mkdir(parents=True)
    store.manifest_path(DATE).write_text("{}")
    with pytest.raises(DataError, match=r"has been removed.*keep_journal"):
        Replay(store, [DATE], MAX)


def test_a_date_without_a_recording_is_refused_with_those_that_have_one(store: Store) -> None:
    with pytest.raises(DataError, match="nothing was recorded on 2026-11-23"):
        Replay(store, [DATE], MAX)
    write_day(store, dt.date(2026, 11, 20), messages=3, instruments=3)
    with pytest.raises(DataError, match="can be replayed: 2026-11-20"):
        Replay(store, [DATE], MAX)
    store.manifest_path(DATE).parent.mkdir(parents=True)
    store.manifest_path(DATE).write_text("{}")
    with pytest.raises(DataError, match="can be replayed: 2026-11-20"):
        Replay(store, [dt.date(2026, 11, 20), DATE], MAX)


class TestSeveralDays:
    DATES = (dt.date(2026, 11, 20), dt.date(2026, 11, 19), DATE)

    async def test_follow_each_other_in_the_order_in_which_they_are_given(self, store: Store) -> None:
        for seed, date in enumerate(self.DATES):
            write_day(store, date, messages=6, instruments=6, seed=seed)
        source = Replay(store, self.DATES, MAX)
        async with Server(source, Terms(clock=FastClock())) as server, joined(server) as client:
            await client.ask("sub", [key for date in self.DATES for key in keys_of(store, date)])
            got = []
            for _ in self.DATES:
                got.append(list(await to_the_end(client)))
                client.payloads.clear()
            assert source.ended
            assert (await call(server, "/status")).json["source"] == "replay 2026-11-20, 2026-11-19, 2026-11-23"
        assert got == [[entry.payload for entry in sent(store, date)] for date in self.DATES]

    async def test_begin_again_together(self, store: Store) -> None:
        for date in self.DATES[:2]:
            write_day(store, date, messages=6, instruments=6)
        source = Replay(store, self.DATES[:2], Pace(speed=None, loop=True))
        async with Server(source, Terms(clock=FastClock())) as server, joined(server) as client:
            await client.ask("sub", keys_of(store, self.DATES[0]))
            rounds = []
            for _ in range(4):
                rounds.append(list(await to_the_end(client)))
                client.payloads.clear()
        assert rounds[0] == [entry.payload for entry in sent(store, self.DATES[0])]
        assert rounds[2:] == rounds[:2]


class TestDrop:
    @pytest.mark.parametrize("ends", ["drop", "die"])
    async def test_a_lost_connection_is_lost_to_the_clients_too(self, store: Store, ends: str) -> None:
        day = Recording(store, instruments=6)
        day.run()
        day.connect()
        day.updates(4)
        getattr(day, ends)()
        if ends == "die":
            day.run()
        day.connect()
        day.updates(4)
        day.append(EntryKind.DISCONNECTED, 1, encode_facts(code=1000, reason="stopped", stopped=True))
        day.close()
        keys, all_sent = keys_of(store), [entry.payload for entry in sent(store)]
        source = Replay(store, [DATE], Pace(speed=None, drop=True))
        async with Server(source, Terms(clock=FastClock())) as server:
            got = []
            async with joined(server) as client:
                await client.ask("sub", keys)
                with pytest.raises(ConnectionClosed):
                    await to_the_end(client)
                assert client.websocket.close_code == 1006
                got += client.payloads
            async with joined(server) as client:
                for key in keys:
                    await client.ask("sub", [key])
                    await client.next()
                client.payloads.clear()
                got += await to_the_end(client)
        assert got == all_sent

    async def test_who_wants_nothing_of_that_connection_keeps_his(self, store: Store) -> None:
        day = Recording(store, instruments=6)
        day.run()
        day.connect()
        day.updates(4)
        day.append(EntryKind.CONNECTED, 2, encode_facts(host="h", attempt=1, keys=1))
        day.append(EntryKind.SUBSCRIBED, 2, encode_facts(mode="full", keys=[["NSE_EQ|OTHER", "OTHER"]]))
        day.drop(conn=2)
        day.updates(4)
        day.die()
        source = Replay(store, [DATE], Pace(speed=None, drop=True))
        async with Server(source, Terms(clock=FastClock())) as server, joined(server) as client:
            await client.ask("sub", [one.key for one in day.market.instruments])
            assert len(await to_the_end(client)) == len(sent(store))


@pytest.mark.parametrize(
    "pace", [Pace(speed=0), Pace(speed=-1), Pace(speed=float("nan")), Pace(start=dt.time(10), until=dt.time(9))]
)
def test_a_pace_without_sense_is_refused(tmp_path: Path, pace: Pace) -> None:
    with pytest.raises(UsageError):
        Replay(Store(tmp_path), [DATE], pace)
