"""The server: who gets in, what is logged, and the broker's own client against it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import websockets
from google.protobuf.unknown_fields import UnknownFieldSet
from upstox_client.feeder.proto import MarketDataFeedV3_pb2 as official

from tests.serve.fixtures import (
    NIFTY,
    RELIANCE,
    TCS,
    Client,
    authorize,
    call,
    connected,
    contracts,
    raw_status,
    simulated,
    status_of_handshake,
)
from tests.serve.sdk import sdk_messages
from tickrec.journal import Journal
from tickrec.journal.entry import EntryKind
from tickrec.serve.server import HOST
from tickrec.serve.synthetic.simulator import Settings, Simulator


class TestHandshake:
    async def test_a_fresh_code_opens_once(self) -> None:
        async with simulated() as (simulator, _):
            uri = await authorize(simulator)
            assert [await status_of_handshake(uri) for _ in range(2)] == [101, 403]

    async def test_an_old_or_invented_code_is_refused(self) -> None:
        async with simulated() as (simulator, clock):
            uri = await authorize(simulator)
            await clock.advance(61)
            assert await status_of_handshake(uri) == 403
            assert await status_of_handshake(uri.split("code=")[0] + "code=1") == 403
            assert await status_of_handshake(uri.split("?")[0]) == 403

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.168.0.1:80", "[::2]:80", ""])
    @pytest.mark.parametrize("name", ["Host", "Origin"])
    async def test_what_another_site_asks_for_is_refused(self, name: str, host: str) -> None:
        async with simulated() as (simulator, _):
            given = {"Host": "localhost", name: f"https://{host}" if name == "Origin" else host}
            for path in ((await authorize(simulator)).split(str(simulator.port))[1], "/v2/market/holidays"):
                assert await raw_status(simulator, path, given) == 403

    @pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "LOCALHOST:80", "[::1]:8788"])
    async def test_a_program_that_names_this_machine_is_served(self, host: str) -> None:
        async with simulated() as (simulator, _):
            path = (await authorize(simulator)).split(str(simulator.port))[1]
            assert await raw_status(simulator, path, {"Host": host, "Origin": f"http://{host}"}) == 101

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


class TestSentLog:
    async def test_holds_exactly_what_every_connection_received(self, tmp_path: Path) -> None:
        received: list[list[bytes | str]] = []

        async with simulated(sent_log=tmp_path) as (simulator, clock):
            for keys in ([RELIANCE, NIFTY], [TCS, contracts("CE")[0]]):
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
        entries = list(Journal(tmp_path).entries())
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

    async def test_its_streamer_connects_subscribes_and_gets_ticks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[dict[str, Any]] = []

        def fourth(message: dict[str, Any]) -> bool:
            seen.append(message)
            return len(seen) == 4

        async with Simulator(Settings(interval=0.02, strikes=2)) as simulator:
            info, snapshot, *live = await sdk_messages(monkeypatch, simulator, [RELIANCE, NIFTY], fourth)
        assert info["type"] == "market_info"
        assert "type" not in snapshot
        assert set(snapshot["feeds"]) == {RELIANCE, NIFTY}
        assert {message["type"] for message in live} == {"live_feed"}
        full = snapshot["feeds"][RELIANCE]["fullFeed"]["marketFF"]
        assert snapshot["feeds"][RELIANCE]["requestMode"] == "full_d5"
        assert full["optionGreeks"] == {}
        assert len(full["marketLevel"]["bidAskQuote"]) == 5
