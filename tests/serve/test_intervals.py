"""The candle endpoints: what they answer, from each of the three sources."""

import datetime as dt
from typing import Any

import pytest

from tests.clocks import SteppedClock, at
from tests.days import DATE, Recording
from tests.serve.fixtures import NIFTY, RELIANCE, TCS, call, connected, contracts, joined, keys_of, simulated
from tickrec.clock import SECOND
from tickrec.query.session import Session
from tickrec.serve.relay import Relay
from tickrec.serve.replay import Pace, Replay
from tickrec.serve.server import Server, Terms
from tickrec.store.paths import Store

INTRADAY = "/v3/historical-candle/intraday"
HISTORICAL = "/v3/historical-candle"
HOURS: dict[str, Any] = {"always_open": False, "interval": 1.0, "rate": 5.0}


async def candles(server: Server, path: str) -> list[list[Any]]:
    """The rows of an answer, no token being sent."""
    answer = await call(server, path, token=None)
    assert answer.status == 200, answer.body
    rows: list[list[Any]] = answer.json["data"]["candles"]
    return rows


def minutes(rows: list[list[Any]]) -> list[str]:
    """The times of day of rows, in their order."""
    return [dt.datetime.fromisoformat(row[0]).strftime("%H:%M") for row in rows]


class TestOfTheSyntheticMarket:
    async def test_minutes_of_today_come_newest_first_when_they_are_over(self) -> None:
        running = simulated(SteppedClock("2026-11-23T09:15"), **HOURS)
        async with running as (simulator, clock), connected(simulator) as client:
            await client.subscribe([RELIANCE])
            await clock.advance_to("2026-11-23T09:20:10")
            before = await candles(simulator, f"{INTRADAY}/{RELIANCE}/minutes/1")
            await clock.advance_to("2026-11-23T09:20:20")
            rows = await candles(simulator, f"{INTRADAY}/{RELIANCE}/minutes/1")
        assert minutes(before) == ["09:18", "09:17", "09:16", "09:15"]
        assert rows[1:] == before
        assert rows[0][0] == "2026-11-23T09:19:00+05:30"
        assert all(low <= min(opened, close) <= max(opened, close) <= high for _, opened, high, low, close, *_ in rows)
        assert all(row[5] > 0 for row in rows)

    async def test_what_passed_unseen_has_minutes_too_that_add_up_to_the_day(self) -> None:
        async with simulated(SteppedClock("2026-11-23T11:00:30"), **HOURS) as (simulator, clock):
            rows = await candles(simulator, f"{INTRADAY}/{RELIANCE}/minutes/1")
            (day,) = await candles(simulator, f"{INTRADAY}/{RELIANCE}/days/1")
            assert rows == await candles(simulator, f"{INTRADAY}/{RELIANCE}/minutes/1")
            async with connected(simulator) as client:
                feed = (await client.subscribe([RELIANCE])).feeds[RELIANCE].fullFeed.marketFF
            await clock.advance(0)
        assert len(rows) == 105 - (rows[0][0] < "2026-11-23T10:59")
        bar = feed.marketOHLC.ohlc[0]
        assert day[1] == rows[-1][1] == bar.open
        assert day[2] <= bar.high
        assert day[3] >= bar.low
        assert sum(row[5] for row in rows) <= feed.vtt

    async def test_an_instrument_that_nobody_streams_goes_on_trading(self) -> None:
        async with simulated(SteppedClock("2026-11-23T10:00"), **HOURS) as (simulator, clock):
            async with connected(simulator) as client:
                before = (await client.subscribe([RELIANCE])).feeds[RELIANCE].fullFeed.marketFF.vtt
            await clock.advance(600)
            rows = await candles(simulator, f"{INTRADAY}/{RELIANCE}/minutes/1")
            async with connected(simulator) as client:
                after = (await client.subscribe([RELIANCE])).feeds[RELIANCE].fullFeed.marketFF.vtt
        passed = [row for row in rows if row[0] >= "2026-11-23T10:01"]
        assert minutes(passed) == [f"10:0{n}" for n in range(8, 0, -1)]
        assert 0 < sum(row[5] for row in passed) <= after - before

    async def test_earlier_days_are_on_the_other_endpoint(self) -> None:
        async with simulated(SteppedClock("2026-11-23T12:00"), **HOURS) as (simulator, _):
            both = await candles(simulator, f"{HISTORICAL}/{RELIANCE}/minutes/1/2026-11-23/2026-11-20")
            days = await candles(simulator, f"{HISTORICAL}/{RELIANCE}/days/1/2026-11-23/2026-11-01")
            again = await candles(simulator, f"{HISTORICAL}/{RELIANCE}/minutes/1/2026-11-20")
        assert minutes(both) == [f"{n // 60:02}:{n % 60:02}" for n in range(15 * 60 + 29, 9 * 60 + 14, -1)]
        assert {row[0][:10] for row in both} == {"2026-11-20"}
        assert again == both
        assert days[0][1:] == [
            both[-1][1],
            max(row[2] for row in both),
            min(row[3] for row in both),
            both[0][4],
            sum(row[5] for row in both),
            both[0][6],
        ]
        assert "2026-11-10" not in {row[0][:10] for row in days}, "a holiday"

    async def test_yesterday_is_what_it_was_while_it_was_today(self) -> None:
        async with simulated(SteppedClock("2026-11-23T15:28"), **HOURS | {"interval": 60.0}) as (simulator, clock):
            async with connected(simulator) as client:
                await client.subscribe([TCS])
                await clock.advance_to("2026-11-23T15:31")
                today = await candles(simulator, f"{INTRADAY}/{TCS}/minutes/1")
            await clock.advance_to("2026-11-24T00:30")
            assert await candles(simulator, f"{HISTORICAL}/{TCS}/minutes/1/2026-11-23/2026-11-23") == today
            assert await candles(simulator, f"{INTRADAY}/{TCS}/minutes/1") == []

    @pytest.mark.parametrize(
        ("unit", "starts"),
        [
            ("minutes/15", ["10:15", "10:00", "09:45", "09:30", "09:15"]),
            ("hours/1", ["10:15", "09:15"]),
            ("days/1", ["00:00"]),
        ],
    )
    async def test_bars_are_counted_from_the_open(self, unit: str, starts: list[str]) -> None:
        async with simulated(SteppedClock("2026-11-23T10:30"), **HOURS) as (simulator, _):
            assert minutes(await candles(simulator, f"{INTRADAY}/{RELIANCE}/{unit}")) == starts

    async def test_contracts_have_open_interest_and_indices_no_volume(self) -> None:
        future = contracts("FUT")[0]
        async with simulated(SteppedClock("2026-11-23T10:30"), **HOURS) as (simulator, _):
            assert all(row[6] > 0 for row in await candles(simulator, f"{INTRADAY}/{future}/minutes/1"))
            assert all(row[5] == 0 for row in await candles(simulator, f"{INTRADAY}/{NIFTY}/minutes/1"))

    @pytest.mark.parametrize(
        ("path", "code"),
        [
            (f"{INTRADAY}/NSE_EQ|NOTHING/minutes/1", "UDAPI100011"),
            (f"{INTRADAY}/{RELIANCE}/fortnights/1", "UDAPI1146"),
            (f"{INTRADAY}/{RELIANCE}/minutes/0", "UDAPI1147"),
            (f"{INTRADAY}/{RELIANCE}/minutes/301", "UDAPI1147"),
            (f"{INTRADAY}/{RELIANCE}/hours/x", "UDAPI1147"),
            (f"{INTRADAY}/{RELIANCE}/minutes", "UDAPI10000"),
            (f"{HISTORICAL}/{RELIANCE}/minutes/1", "UDAPI1022"),
            (f"{HISTORICAL}/{RELIANCE}/minutes/1/yesterday", "UDAPI1015"),
            (f"{HISTORICAL}/{RELIANCE}/minutes/1/2026-11-20/2026-11-21", "UDAPI1148"),
            (f"{HISTORICAL}/{RELIANCE}/minutes/1/2026-11-20/2026-10-01", "UDAPI1148"),
            (f"{HISTORICAL}/{RELIANCE}/minutes/30/2026-11-20/2026-08-01", "UDAPI1148"),
        ],
    )
    async def test_what_cannot_be_asked_gets_the_broker_s_error(self, path: str, code: str) -> None:
        async with simulated() as (simulator, _):
            answer = await call(simulator, path)
        assert (answer.status, answer.error_code) == (400, code)


def recorded(store: Store, key: str) -> list[list[Any]]:
    """The minutes that ticks make, as the endpoint has them."""
    sql = "SELECT start, open, high, low, close, volume, oi FROM candles('1 minute') WHERE instrument_key = '{}'"
    with Session(store) as session, session.execute(sql.format(key)) as result:
        rows = [row for batch in result.batches() for row in batch.to_pylist()]
    found = [[row["start"].isoformat(), *list(row.values())[1:5], row["volume"] or 0, row["oi"] or 0] for row in rows]
    return sorted(found, reverse=True)


@pytest.fixture
def day(store: Store) -> Recording:
    """Ten minutes of a few instruments."""
    recording = Recording(store, instruments=3)
    recording.run()
    recording.connect()
    recording.updates(120, 3, every_ms=5000)
    return recording


async def test_a_relay_has_the_minutes_that_were_recorded(day: Recording) -> None:
    key = keys_of(day.store)[0]
    clock = SteppedClock("2026-11-23T09:26")
    async with Server(Relay(day.store, clock.wall_ns()), Terms(clock=clock)) as server:
        rows = await candles(server, f"{INTRADAY}/{key}/minutes/1")
        unknown = await call(server, f"{INTRADAY}/NSE_EQ|NOTHING/minutes/1")
        earlier = await candles(server, f"{HISTORICAL}/{key}/minutes/1/2026-11-20")
    everything = recorded(day.store, key)
    assert len(rows) >= 9
    assert rows == everything[-len(rows) :]
    assert len(everything) - len(rows) <= 1
    assert unknown.error_code == "UDAPI100011"
    assert earlier == []


async def test_a_replay_tells_nothing_of_what_is_to_come(day: Recording) -> None:
    key = keys_of(day.store)[0]
    day.close()
    clock = SteppedClock("2026-11-27T20:00")
    async with Server(Replay(day.store, [DATE], Pace()), Terms(clock=clock)) as server, joined(server) as client:
        assert await candles(server, f"{INTRADAY}/{key}/minutes/1") == []
        await client.ask("sub", [key])
        await client.nothing()
        await clock.advance(1 + 250)
        rows = await candles(server, f"{INTRADAY}/{key}/minutes/1")
        place = (await call(server, "/status")).json["at"]
    everything = recorded(day.store, key)
    expected = [row for row in everything if dt.datetime.fromisoformat(row[0]).timestamp() + 60 <= place]
    assert rows == expected
    assert 3 <= len(rows) < len(everything)
    assert at("2026-11-23T09:18") < place * SECOND < at("2026-11-23T09:21")
