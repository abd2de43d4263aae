"""Relay: what clients get of a journal while it is written, over real sockets."""

import asyncio
import datetime as dt
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets

from tests.clocks import SteppedClock
from tests.days import DATE, Recording, write_instruments
from tests.serve.fixtures import (
    DEADLINE,
    Client,
    authorize,
    call,
    joined,
    keys_of,
    messages,
    raw_websocket,
    sent,
)
from tests.serve.sdk import as_sdk, sdk_messages
from tickrec.cli.relay import relay as relay_command
from tickrec.serve.relay import Relay
from tickrec.serve.server import Server, Terms
from tickrec.store.paths import Store
from tickrec.upstox.decode.wire import varint

LARGE = varint(1000 << 3 | 2) + varint(2**19) + bytes(2**19)
"""A field that no schema has; what waits for a client is full of it soon."""


@pytest.fixture
def day(store: Store) -> Recording:
    """A recorder that has its snapshots and some ticks."""
    recording = Recording(store, instruments=15)
    recording.run()
    recording.connect(silent=["NSE_EQ|SILENT"])
    recording.updates(3)
    return recording


@asynccontextmanager
async def relaying(store: Store, start: str = "2026-11-23T09:15") -> AsyncIterator[tuple[Server, SteppedClock]]:
    """A relay of a store, whose clock is moved by hand."""
    clock = SteppedClock(start)
    async with Server(Relay(store, clock.wall_ns()), Terms(clock=clock)) as server:
        yield server, clock


async def received(client: Client, clock: SteppedClock, count: int) -> list[bytes | str]:
    """The next messages, once the journal has been looked at."""
    await clock.advance(0.02)
    async with asyncio.timeout(DEADLINE):
        return [await client.websocket.recv() for _ in range(count)]


def state(store: Store) -> dict[str, Any]:
    """The newest feed of each instrument in the journal."""
    found: dict[str, Any] = {}
    for message in messages([entry.payload for entry in sent(store)]):
        found |= dict(message.feeds)
    return found


async def test_a_client_gets_the_state_of_the_moment_and_then_every_message_as_it_was(day: Recording) -> None:
    async with relaying(day.store) as (server, clock), joined(server) as client:
        snapshot = await client.subscribe(keys_of(day.store))
        assert snapshot.type == 0
        assert dict(snapshot.feeds) == state(day.store)
        before = len(sent(day.store))
        day.updates(5)
        day.garbage()
        day.updates(5)
        assert await received(client, clock, 11) == [entry.payload for entry in sent(day.store)[before:]]
        assert await client.nothing()


async def test_the_official_sdk_gets_every_value(day: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Server(Relay(day.store, day.now_ns), Terms()) as server:
        seen: list[dict[str, Any]] = []

        def last(message: dict[str, Any]) -> bool:
            seen.append(message)
            if len(seen) == 2:
                day.updates(20)
            return len(seen) == 22

        before = len(sent(day.store))
        _, snapshot, *live = await sdk_messages(monkeypatch, server, keys_of(day.store), last)
    assert set(snapshot["feeds"]) == set(state(day.store))
    assert live == [as_sdk(entry.payload) for entry in sent(day.store)[before:]]


async def test_each_client_has_its_own_keys_and_mode(day: Recording) -> None:
    keys = keys_of(day.store)
    async with relaying(day.store) as (server, clock), joined(server) as one, joined(server) as other:
        await one.subscribe(keys[:7], "full")
        await other.subscribe(keys[4:12], "ltpc")
        day.message(day.market.snapshot(day.ms, day.market.instruments), keys=keys)
        await clock.advance(0.02)
        first, second = await one.next(), await other.next()
    now = state(day.store)
    assert dict(first.feeds) == {key: now[key] for key in keys[:7]}
    assert set(second.feeds) == set(keys[4:12])
    for key, feed in second.feeds.items():
        full = now[key].fullFeed
        assert feed.ltpc == (full.indexFF if full.HasField("indexFF") else full.marketFF).ltpc


async def test_it_can_begin_before_the_recorder(store: Store) -> None:
    day = Recording(store, instruments=5)
    async with (
        relaying(store) as (server, clock),
        websockets.connect(await authorize(server), max_size=None) as websocket,
    ):
        client = Client(websocket)
        await client.ask("sub", [one.key for one in day.market.instruments])
        assert await client.nothing()
        await clock.advance(5)
        day.run()
        day.connect()
        day.updates(3)
        assert await received(client, clock, len(sent(store))) == [entry.payload for entry in sent(store)]


async def test_it_goes_on_when_the_recorder_begins_again(day: Recording) -> None:
    async with relaying(day.store) as (server, clock), joined(server) as client:
        await client.subscribe(keys_of(day.store))
        before = len(sent(day.store))
        day.die()
        await clock.advance(30)
        day.run()
        day.connect()
        day.updates(3)
        new = [entry.payload for entry in sent(day.store)[before:]]
        assert await received(client, clock, len(new)) == new


async def test_midnight_loses_nothing_of_either_date(day: Recording) -> None:
    tomorrow = Recording(day.store, DATE + dt.timedelta(days=1), instruments=5)
    keys = [*keys_of(day.store), *(one.key for one in tomorrow.market.instruments)]
    async with relaying(day.store, "2026-11-23T23:59:59") as (server, clock), joined(server) as client:
        await client.subscribe(keys)
        before = len(sent(day.store))
        await clock.advance(2)
        day.updates(2)
        day.die()
        late = [entry.payload for entry in sent(day.store)[before:]]
        assert await received(client, clock, len(late)) == late
        tomorrow.run()
        tomorrow.connect()
        tomorrow.updates(2)
        await clock.advance(0.02)
        new = [entry.payload for entry in sent(day.store, tomorrow.date)]
        assert await received(client, clock, len(new)) == new
        assert (await call(server, "/status")).json["date"] == "2026-11-24"


async def test_a_client_that_does_not_read_gets_the_state_in_place_of_what_it_missed(day: Recording) -> None:
    """What waits for it is bounded, others miss nothing, and it is counted."""
    keys = keys_of(day.store)
    async with (
        relaying(day.store) as (server, clock),
        joined(server) as client,
        websockets.connect(await authorize(server), max_size=None, max_queue=1) as websocket,
    ):
        slow = Client(websocket)
        await slow.next()
        await slow.subscribe(keys)
        await client.subscribe(keys)
        count = 0
        while not (await call(server, "/status")).json["fell_behind"]:
            day.message(day.market.update(day.ms, 10) + LARGE)
            count += 1
            await received(client, clock, 1)
        day.updates(5)
        await received(client, clock, 5)
        got = 0
        async with asyncio.timeout(DEADLINE):
            while (message := await slow.next()).type != 0:
                got += 1
                await clock.advance(0.02)
        assert got < count
        assert dict(message.feeds) == state(day.store)
        assert (await call(server, "/status")).json["fell_behind"] == 1


async def test_rest_gives_numbers_to_who_only_wants_those(day: Recording) -> None:
    async with relaying(day.store) as (server, _):
        assert (await call(server, "/health", token=None)).json == {"status": "ok"}
        one = day.market.instruments[0]
        latest = (await call(server, "/latest", query={"symbols": f"{one.symbol.lower()},{one.key},NOBODY"})).json
        assert latest["NOBODY"] is None
        assert latest[one.symbol.lower()] == latest[one.key]
        assert latest[one.key]["last_price"] == state(day.store)[one.key].fullFeed.marketFF.ltpc.ltp


async def test_the_list_of_instruments_is_served_as_soon_as_it_is_there(store: Store) -> None:
    """And as it is, when the recorder has stored another."""
    path = "/market-quote/instruments/exchange/complete.json.gz"
    async with relaying(store) as (server, _):
        assert (await call(server, path)).status == 404
        for symbols in (["TCS"], ["RELIANCE", "TCS"]):
            write_instruments(store, symbols)
            rows = json.loads(gzip.decompress((await call(server, path)).body))
            assert [row["trading_symbol"] for row in rows] == symbols


async def test_what_is_not_recorded_is_silent_and_named(day: Recording, caplog: pytest.LogCaptureFixture) -> None:
    async with relaying(day.store) as (server, _), joined(server) as client:
        snapshot = await client.subscribe(["NSE_EQ|INE000000000", *keys_of(day.store)[:1]])
        assert set(snapshot.feeds) == set(keys_of(day.store)[:1])
        assert (await call(server, "/status")).json["not_recorded"] == ["NSE_EQ|INE000000000"]
    assert "not recorded, so it stays silent: NSE_EQ|INE000000000" in caplog.text


@pytest.mark.parametrize(
    "sent_bytes",
    [
        b"\x81\x05hello",  # not masked
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",  # a message of eight exabytes
        b"\x89\xfe\x01\x00" + bytes(260),  # a ping that is too long
        b"\x82\x84\0\0\0\0[[[[",
    ],
)
async def test_a_client_that_sends_nonsense_ends_nobody_but_itself(day: Recording, sent_bytes: bytes) -> None:
    async with relaying(day.store) as (server, clock), joined(server) as client:
        await client.subscribe(keys_of(day.store))
        reader, writer = await raw_websocket(server)
        writer.write(sent_bytes)
        writer.write_eof()
        async with asyncio.timeout(DEADLINE):
            await reader.read()
        writer.close()
        day.updates(2)
        assert len(await received(client, clock, 2)) == 2


async def test_more_clients_than_there_is_room_for_are_turned_away(day: Recording) -> None:
    clock = SteppedClock("2026-11-23T09:15")
    async with (
        Server(Relay(day.store, clock.wall_ns()), Terms(clock=clock, clients=2)) as server,
        joined(server),
        joined(server),
    ):
        with pytest.raises(websockets.InvalidStatus, match="403"):
            await websockets.connect(await authorize(server))
        assert server.stats()["turned_away"] == 1


def test_there_is_room_for_as_many_as_the_help_says() -> None:
    assert f"{Terms().clients} programs may listen" in " ".join((relay_command.__doc__ or "").split())
