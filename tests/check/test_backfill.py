"""The exchange's candles: what is asked for, when again, and what is kept of it, from a server that answers as told."""

import asyncio
import json
import urllib.parse
from collections.abc import Iterator

import pytest

from tests.clocks import HandClock, at
from tests.days import DATE
from tests.upstox import rest_fixtures
from tests.upstox.rest_fixtures import Script
from tickrec.check.backfill import Backfill, Fetched, Wanted
from tickrec.clock import SECOND
from tickrec.errors import AlreadyRecording, DataError, ExitCode
from tickrec.files import Lock
from tickrec.store.exchange_bars import HISTORICAL, INTRADAY, load
from tickrec.store.paths import Store
from tickrec.upstox.auth import Token
from tickrec.upstox.rest import Rest, RestError
from tickrec.upstox.throttle import Throttle

EVENING = at(f"{DATE}T16:00")
KEYS = ("NSE_EQ|A", "NSE_EQ|B", "NSE_INDEX|Nifty 50")
CANDLES = {"status": "success", "data": {"candles": [[f"{DATE}T09:15:00+05:30", 10.0, 12.0, 9.0, 11.0, 100, 0]]}}
REFUSED = {"status": "error", "errors": [{"errorCode": "UDAPI100011", "message": "Invalid Instrument key"}]}


@pytest.fixture
def script() -> Iterator[Script]:
    with rest_fixtures.running() as script:
        script.says(CANDLES)
        yield script


def wanted(*keys: str, until: int = at(f"{DATE}T15:30")) -> list[Wanted]:
    return [Wanted(key, key.partition("|")[2], until) for key in keys]


async def fetch(
    store: Store, script: Script, clock: HandClock, instruments: list[Wanted], token: Token | None = None
) -> Fetched:
    filling = Backfill(store, DATE, Rest(script.url, script.url), token, clock, Throttle())
    return await filling.fetch(instruments, lambda _what, share: None if 0 <= share <= 1 else pytest.fail("share"))


def asked(script: Script) -> list[str]:
    """The instruments that were asked for since the last look."""
    paths = [urllib.parse.unquote(path) for _, path, _, _ in script.requests]
    script.requests.clear()
    return [path.split("/")[4 if "/intraday/" in path else 3] for path in paths]


async def test_an_instrument_is_asked_for_once(store: Store, script: Script) -> None:
    clock = HandClock(EVENING)
    done = await fetch(store, script, clock, wanted(*KEYS))
    assert (done.asked, done.bars, done.refused) == (3, 3, ())
    assert asked(script) == list(KEYS)
    found = load(store, DATE)
    assert found.rows["close"].to_pylist() == [11.0] * 3
    assert found.rows["symbol"].to_pylist() == ["A", "B", "Nifty 50"]
    assert {answer.source for answer in found.answers.values()} == {INTRADAY}
    assert (await fetch(store, script, clock, wanted(*KEYS))).asked == 0
    assert asked(script) == []


async def test_of_today_again_once_there_may_be_more(store: Store, script: Script) -> None:
    clock = HandClock(at(f"{DATE}T11:00"))
    await fetch(store, script, clock, wanted(KEYS[0], until=at(f"{DATE}T10:59")))
    assert (await fetch(store, script, clock, wanted(KEYS[0], until=at(f"{DATE}T10:59")))).asked == 0
    clock.pass_s(60)
    assert (await fetch(store, script, clock, wanted(KEYS[0], until=at(f"{DATE}T11:00")))).asked == 1


async def test_historical_candles_take_the_place_of_those_of_the_day(store: Store, script: Script) -> None:
    await fetch(store, script, HandClock(EVENING), wanted(*KEYS))
    clock = HandClock(EVENING + 86_400 * SECOND)
    assert (await fetch(store, script, clock, wanted(*KEYS))).asked == 3
    assert {answer.source for answer in load(store, DATE).answers.values()} == {HISTORICAL}
    assert load(store, DATE).rows.num_rows == 3
    assert (await fetch(store, script, clock, wanted(*KEYS))).asked == 0


async def test_before_the_next_morning_there_may_be_nothing_yet(store: Store, script: Script) -> None:
    script.says({"status": "success", "data": {"candles": []}})
    clock = HandClock(at("2026-11-24T06:30"))
    with pytest.raises(DataError, match="does not serve the candles of 2026-11-23 yet"):
        await fetch(store, script, clock, wanted(*KEYS))
    clock.pass_s(2 * 3600)
    done = await fetch(store, script, clock, wanted(*KEYS))
    assert (done.asked, done.bars) == (3, 0)
    assert (await fetch(store, script, clock, wanted(*KEYS))).asked == 0, "no candle is an answer, too"


async def test_too_many_requests_are_waited_for(store: Store, script: Script) -> None:
    answers: Iterator[rest_fixtures.Answer] = iter([(429, {}, b"{}")])
    script.answer = lambda path: next(answers, (200, {}, json.dumps(CANDLES).encode()))
    clock = HandClock(EVENING)
    assert (await fetch(store, script, clock, wanted(*KEYS))).asked == 3
    assert len(script.requests) == 4
    assert clock.now_ns - EVENING >= 60 * SECOND


async def test_a_broker_that_cannot_be_asked_is_told_and_what_came_before_is_kept(store: Store, script: Script) -> None:
    answers: Iterator[rest_fixtures.Answer] = iter([(200, {}, json.dumps(CANDLES).encode())])
    script.answer = lambda path: next(answers, (503, {}, b"{}"))
    with pytest.raises(RestError) as caught:
        await fetch(store, script, HandClock(EVENING), wanted(*KEYS))
    assert caught.value.code is ExitCode.UNREACHABLE
    assert list(load(store, DATE).answers) == [KEYS[0]]
    script.says(CANDLES)
    script.requests.clear()
    assert (await fetch(store, script, HandClock(EVENING), wanted(*KEYS))).asked == 2
    assert asked(script) == list(KEYS[1:])


async def test_a_token_that_is_refused_is_done_without(store: Store, script: Script) -> None:
    tokens: list[str | None] = []

    def answer(_path: str) -> rest_fixtures.Answer:
        tokens.append(script.requests[-1][2].get("Authorization"))
        return (401, {}, b"{}") if tokens[-1] else (200, {}, json.dumps(CANDLES).encode())

    script.answer = answer
    assert (await fetch(store, script, HandClock(EVENING), wanted(*KEYS), Token("old"))).asked == 3
    assert tokens == ["Bearer old", None, None, None]


async def test_an_instrument_that_the_broker_does_not_know_costs_the_others_nothing(
    store: Store, script: Script
) -> None:
    def answer(path: str) -> rest_fixtures.Answer:
        refused = "%7CA" in path
        return (400 if refused else 200, {}, json.dumps(REFUSED if refused else CANDLES).encode())

    script.answer = answer
    done = await fetch(store, script, HandClock(EVENING), wanted(*KEYS))
    assert (done.asked, done.refused) == (2, ("A",))
    assert asked(script) == list(KEYS), "what is refused is not asked for again at once"
    with pytest.raises(RestError, match="UDAPI100011"):
        await fetch(store, script, HandClock(EVENING), wanted(KEYS[0]))


async def test_what_came_until_it_was_interrupted_is_kept(store: Store, script: Script) -> None:
    keys = [f"NSE_EQ|{number:03}" for number in range(60)]
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()

    def answer(path: str) -> rest_fixtures.Answer:
        if "050" in path:
            loop.call_soon_threadsafe(reached.set)
        return 200, {}, json.dumps(CANDLES).encode()

    script.answer = answer
    task = asyncio.create_task(fetch(store, script, HandClock(EVENING), wanted(*keys)))
    await reached.wait()
    task.cancel()
    await asyncio.wait((task,))
    assert 50 <= len(load(store, DATE).answers) < 60
    rest = [key for key in keys if key not in load(store, DATE).answers]
    script.requests.clear()
    script.says(CANDLES)
    await fetch(store, script, HandClock(EVENING), wanted(*keys))
    assert asked(script) == rest


async def test_one_process_at_a_time_adds_to_a_store(store: Store, script: Script) -> None:
    with Lock(store.exchange_bars_lock) as lock:
        lock.acquire({})
        with pytest.raises(AlreadyRecording):
            await fetch(store, script, HandClock(EVENING), wanted(*KEYS))
    assert script.requests == []
