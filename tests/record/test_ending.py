"""When a run is over: the planned end, and how it moves with what the broker and the feed say."""

import asyncio
import datetime as dt
import itertools
import threading
from typing import Any

import pytest

from tests.clocks import HandClock
from tests.record.fixtures import feeds
from tickrec.clock import SECOND
from tickrec.journal.entry import Entry, EntryKind
from tickrec.market.calendar import Calendar
from tickrec.market.hours import at
from tickrec.market.instruments import Instrument
from tickrec.record.ending import LONGEST_PAUSE_NS, Ending
from tickrec.record.plan import Plan, Times
from tickrec.schema import INSTRUMENTS
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode.peek import STATUS

DATE = dt.date(2026, 11, 23)
END = at(DATE, dt.time(15, 41))
MINUTE = 60 * SECOND
NUMBERS = {name: number for number, name in STATUS.items()}
KEYS = ("NSE_FO|1", "NSE_EQ|INE002A01018")


def told(end: dt.time, exchange: str = "NFO") -> dict[str, Any]:
    start = at(DATE, dt.time(9, 15))
    return {"exchange": exchange, "start_time": start // 10**6, "end_time": at(DATE, end) // 10**6}


CERTAIN = Calendar((), {DATE: [told(dt.time(15, 40)), told(dt.time(15, 30), "NSE")]})


def plan_of(*, moves: bool = True, stop_ns: int | None = END, calendar: Calendar = CERTAIN) -> Plan:
    fields: dict[str, Any] = dict.fromkeys(INSTRUMENTS.names)
    instruments = [
        Instrument(**fields | {"instrument_key": key, "segment": key.partition("|")[0], "symbol": key}) for key in KEYS
    ]
    return Plan("full", tuple(instruments), (), calendar, None, Times(at(DATE, dt.time(9)), stop_ns, moves))


def entry(payload: bytes, clock: HandClock) -> Entry:
    return Entry(EntryKind.MESSAGE, 1, clock.wall_ns(), clock.monotonic_ns(), payload)


def status_of(**segments: str) -> bytes:
    message = pb.FeedResponse(type=2)  # market_info
    for segment, status in segments.items():
        message.marketInfo.segmentStatus[segment] = NUMBERS[status]
    payload: bytes = message.SerializeToString()
    return payload


def snapshot(key: str) -> bytes:
    message = pb.FeedResponse.FromString(feeds({key: 1.0}))
    message.type = 0  # initial_feed
    payload: bytes = message.SerializeToString()
    return payload


@pytest.mark.parametrize(
    ("status", "ticks", "ago_s", "moved"),
    [
        ({"NSE_FO": "NORMAL_OPEN"}, feeds({KEYS[0]: 1.0}), 10, True),
        ({"NSE_FO": "NORMAL_OPEN"}, feeds({KEYS[0]: 1.0}), 299, True),
        ({"NSE_FO": "NORMAL_OPEN"}, feeds({KEYS[0]: 1.0}), 301, False),
        ({"NSE_EQ": "CLOSING_START"}, feeds({KEYS[1]: 1.0}), 10, True),
        ({"NSE_FO": "NORMAL_CLOSE"}, feeds({KEYS[0]: 1.0}), 10, False),
        ({"NSE_EQ": "CLOSING_END"}, feeds({KEYS[1]: 1.0}), 10, False),
        ({"NSE_FO": "NORMAL_OPEN"}, feeds({KEYS[1]: 1.0}), 10, False),
        ({"MCX_FO": "NORMAL_OPEN"}, feeds({"MCX_FO|1": 1.0}), 10, False),
        ({}, feeds({KEYS[0]: 1.0}), 10, False),
        ({"NSE_FO": "NORMAL_OPEN"}, snapshot(KEYS[0]), 10, False),
        ({"NSE_FO": "NORMAL_OPEN"}, b"\x08\x01 garbage", 10, False),
        ({"NSE_FO": "NORMAL_OPEN"}, b"", 10, False),
    ],
    ids=[
        *(
            "open",
            "ticks of just now",
            "no ticks for long",
            "post-close",
            "closed",
            "ended",
            "ticks of another segment",
        ),
        *("a segment not recorded", "status unknown", "only a snapshot", "garbage", "nothing"),
    ],
)
async def test_the_end_moves_while_the_feed_calls_a_recorded_segment_open_and_brings_ticks_of_it(
    status: dict[str, str], ticks: bytes, ago_s: int, moved: bool
) -> None:
    clock, plan = HandClock(at(DATE, dt.time(11))), plan_of()
    ending = Ending(plan, clock, lambda: (plan.calendar, plan.times))
    ending.hear([entry(status_of(**status), clock)])
    clock.now_ns = END - ago_s * SECOND
    ending.hear([entry(ticks, clock)])
    clock.now_ns = END
    assert ending.seconds_left == 0
    assert await ending.is_moved() is moved
    assert plan.times.stop_ns == (END + MINUTE if moved else END)


async def test_an_extended_session_is_recorded_until_the_feed_says_that_it_is_over() -> None:
    clock, plan = HandClock(END - MINUTE), plan_of()
    ending = Ending(plan, clock, lambda: (plan.calendar, plan.times))
    ending.hear([entry(status_of(NSE_FO="NORMAL_OPEN"), clock)])
    over = at(DATE, dt.time(17))
    while ending.seconds_left > 0 or await ending.is_moved():
        clock.pass_s(5)
        if clock.now_ns < over:
            ending.hear([entry(feeds({KEYS[0]: 1.0}), clock)])
        else:
            ending.hear([entry(status_of(NSE_FO="NORMAL_CLOSE"), clock)])
    assert over <= clock.now_ns <= over + 2 * MINUTE


@pytest.mark.parametrize(
    ("moves", "stop", "moved_to"),
    [
        (False, dt.time(15, 41), dt.time(15, 41)),
        (True, dt.time(23, 59, 30), dt.time(0)),
        (True, dt.time(23, 56), dt.time(23, 57)),
    ],
    ids=["the user's", "midnight", "before midnight"],
)
async def test_an_end_of_the_user_s_and_midnight_are_final(moves: bool, stop: dt.time, moved_to: dt.time) -> None:
    stop_ns = at(DATE, stop)
    clock, plan = HandClock(stop_ns), plan_of(moves=moves, stop_ns=stop_ns)
    ending = Ending(plan, clock, lambda: (CERTAIN, Times(0, stop_ns + 3600 * SECOND if not moves else stop_ns)))
    ending.hear([entry(status_of(NSE_FO="NORMAL_OPEN"), clock), entry(feeds({KEYS[0]: 1.0}), clock)])
    assert await ending.is_moved() is moves
    last_ns = at(DATE + dt.timedelta(days=moved_to == dt.time(0)), moved_to)
    assert plan.times.stop_ns == last_ns
    clock.now_ns = last_ns
    ending.hear([entry(feeds({KEYS[0]: 1.0}), clock)])
    if moved_to in (dt.time(0), stop):
        assert not await ending.is_moved()


async def test_the_hours_are_asked_for_again_before_the_end() -> None:
    longer, asked = Calendar((), {DATE: [told(dt.time(17))]}), []
    clock, plan = HandClock(END), plan_of()

    def ask() -> tuple[Calendar, Times]:
        asked.append(clock.wall_ns())
        return longer, Times(0, at(DATE, dt.time(17, 1)), True)

    ending = Ending(plan, clock, ask)
    assert await ending.is_moved()
    assert plan.times.stop_ns == at(DATE, dt.time(17, 1))
    assert plan.calendar is longer
    clock.now_ns = at(DATE, dt.time(17, 1))
    assert not await ending.is_moved()
    assert not await ending.is_moved()
    assert asked == [END, at(DATE, dt.time(17, 1))]


async def test_an_earlier_end_is_not_believed_and_a_failure_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    clock, plan = HandClock(END - 30 * SECOND), plan_of()
    assert not await Ending(plan, HandClock(END), lambda: (CERTAIN, Times(0, END - 3600 * SECOND, True))).is_moved()
    assert plan.times.stop_ns == END

    def broken() -> tuple[Calendar, Times]:
        raise ValueError("an answer of another shape")

    clock.now_ns = END
    assert not await Ending(plan, clock, broken).is_moved()
    assert "an answer of another shape" in caplog.text


async def test_a_name_server_that_hangs_does_not_keep_the_run_from_ending(caplog: pytest.LogCaptureFixture) -> None:
    plan, answered = plan_of(), threading.Event()

    def hang() -> tuple[Calendar, Times]:
        answered.wait(30)
        return plan.calendar, plan.times

    assert not await Ending(plan, HandClock(END), hang, seconds=0.0).is_moved()
    assert not answered.is_set()
    answered.set()
    assert "the hours could not be asked for: TimeoutError()" in caplog.text


async def test_hours_that_the_broker_has_not_told_are_asked_for_until_it_has() -> None:
    clock, plan = HandClock(at(DATE, dt.time(9))), plan_of(calendar=Calendar((), {DATE: []}))
    asked: list[int] = []

    class Enough(Exception):
        pass

    def ask() -> tuple[Calendar, Times]:
        asked.append(clock.wall_ns())
        if len(asked) > 8:
            raise Enough
        return (CERTAIN if len(asked) == 7 else plan.calendar), Times(0, at(DATE, dt.time(16, 16)), True)

    ending = Ending(plan, clock, ask)

    async def sleep_until_noon(seconds: float) -> None:
        if clock.wall_ns() > at(DATE, dt.time(12)):
            raise Enough
        clock.pass_s(10 * seconds)
        await asyncio.sleep(0)

    clock.sleep = sleep_until_noon  # type: ignore[method-assign]
    with pytest.raises(Enough):
        await ending.keep_asking()
    pauses = [(after - before) // MINUTE for before, after in itertools.pairwise(asked)]
    assert pauses == [2, 4, 8, 15, 15, 15]
    assert max(pauses) * MINUTE == LONGEST_PAUSE_NS
    assert plan.calendar is CERTAIN
    assert plan.times.stop_ns == at(DATE, dt.time(16, 16))
