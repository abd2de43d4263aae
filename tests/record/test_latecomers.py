"""Instruments that the day's list lacked when the run began: recorded once it has them."""

import asyncio
import datetime as dt
import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.clocks import HandClock, at
from tests.market.fixtures import TODAY, Record, chain, index, share
from tests.record.broker import Broker, broker, keep_list, told
from tests.recordings import until
from tickrec.clock import SECOND
from tickrec.record.choice import Choice, choose
from tickrec.record.latecomers import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Latecomers
from tickrec.record.plan import Options
from tickrec.record.plan_making import make_plan
from tickrec.store.paths import Store
from tickrec.upstox.auth import TokenSource
from tickrec.upstox.feed import Feed
from tickrec.upstox.limits import Limits
from tickrec.upstox.rest import MASTER, Rest

SHARES = [share(f"S{number}", f"INE{number:03}A01018") for number in range(40)]
NEW = [share(f"NEW{number}", f"INE9{number:02}A01018") for number in range(7)]
LAST_DAY = TODAY - dt.timedelta(days=3)
BEGUN = f"{TODAY}T09:00"
EXPIRY = TODAY + dt.timedelta(days=1)
NIFTY = index("NIFTY", "Nifty 50")
STRIKES = range(24_000, 25_000, 50)
LACKED = 24_450


def options(*strikes: int) -> list[Record]:
    return chain("NIFTY", NIFTY["instrument_key"], EXPIRY, strikes)


OPTIONS = [NIFTY, *options(*(strike for strike in STRIKES if strike != LACKED))]


class Run:
    """A run that began when the list had five of forty shares; those of the day before stood in for the others.

    The broker has no list until a test gives it one.
    """

    def __init__(self, asked: Broker, folder: Path, limits: Limits, *more: str, record: str = "") -> None:
        config = asked.config(folder, record)
        self._store, self._folder = Store(config.store.data), folder
        rest = Rest(asked.script.url, asked.script.url)
        options = Options(symbols=("all:NSE_EQ", "RENAMED", *more), mode="full", kept=True)
        tokens = TokenSource(config.upstox, {"UPSTOX_ACCESS_TOKEN": "token"})
        self.keep_list(SHARES + (OPTIONS if more else []), LAST_DAY)
        self.keep_list(SHARES[:5], before=LAST_DAY)
        self.clock = HandClock(at(BEGUN))
        self.plan = make_plan(config, options, self._store, rest, tokens, self.clock)
        self.feed = Feed(rest, tokens, self.plan.connections, self.clock, limits=limits)
        self._choose = partial(choose, config, options, self._store, rest, tokens.read(), self.clock.now_ns)
        self.latecomers = Latecomers(self.plan, self.feed, self.clock, self.ask)

    def ask(self) -> Choice:
        return self._choose(money=self.plan.money)

    def keep_list(self, records: list[Record], date: dt.date = TODAY, before: dt.date | None = None) -> None:
        """Let the store have a list of the broker's."""
        keep_list(self._store, date, records, self._folder, before=before)

    @property
    def symbols(self) -> list[str]:
        return [each.symbol for each in self.plan.instruments]


@pytest.fixture
def asked() -> Iterator[Broker]:
    with broker() as one:
        one.timings = told(TODAY, **dict.fromkeys(("NSE", "NFO", "BSE", "BFO", "CDS", "BCD"), dt.time(15, 30)))
        one.timings += told(TODAY, **dict.fromkeys(("MCX", "NSCOM"), dt.time(23, 30)))
        yield one


async def asking(run: Run, condition: Callable[[], bool]) -> None:
    """Let it ask for the list until something holds."""
    task = asyncio.create_task(run.latecomers.keep_asking())
    await until(condition)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_the_list_lacked_is_recorded_once_it_is_whole(
    tmp_path: Path, asked: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tickrec")
    run = Run(asked, tmp_path, Limits(100, 1))
    assert (len(run.symbols), run.plan.whole, run.plan.unknown) == (40, False, ("RENAMED",))
    asked.records = [*SHARES, *NEW, share("RENAMED", "INE800A01018")]
    await asking(run, lambda: run.plan.whole)
    assert run.symbols[40:] == [*(f"NEW{number}" for number in range(7)), "RENAMED"]
    assert (run.plan.whole, run.plan.unknown) == (True, ())
    assert "8 instruments that the list lacked: recorded from now on: NEW0, NEW1" in caplog.text


@pytest.mark.parametrize(
    ("money", "record"),
    [({NIFTY["instrument_key"]: 24_800.0}, "follow = false"), ({}, "")],
    ids=["it is another", "it is not told"],
)
async def test_of_strikes_those_come_late_that_were_lacked_and_not_those_that_the_money_has_moved_to(
    tmp_path: Path, asked: Broker, record: str, money: dict[str, float]
) -> None:
    asked.prices = {NIFTY["instrument_key"]: 24_410.0}
    run = Run(asked, tmp_path, Limits(100, 1), "NIFTY:opt:1", record=record)
    before = len(run.symbols)
    run.keep_list([*SHARES, *OPTIONS, *options(LACKED)])
    asked.prices = money
    await asking(run, lambda: run.plan.whole)
    assert {each.strike for each in run.plan.instruments[before:]} == {LACKED}
    assert [LACKED in each.strikes for each in run.plan.chains] == ([] if record else [True])


async def test_a_list_that_stays_short_or_cannot_be_asked_for_is_asked_for_less_and_less_often(
    tmp_path: Path, asked: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """The list that is there stands in, as the day's."""
    run = Run(asked, tmp_path, Limits(100, 1))
    asked.records, before = SHARES[:6], asked.asked(MASTER)
    task = asyncio.create_task(asking(run, lambda: run.plan.whole))
    await until(lambda: asked.asked(MASTER) == before + 1)
    asked.refused = 503
    await until(lambda: asked.asked(MASTER) >= before + 5)
    pauses = [FIRST_PAUSE_SECONDS * 2**turn for turn in range(4)] + [LONGEST_PAUSE_SECONDS]
    assert run.clock.now_ns >= at(BEGUN) + sum(pauses) * SECOND
    assert (len(run.symbols), run.plan.whole) == (40, False)
    run.keep_list([*SHARES, *NEW])
    await task
    assert len(run.symbols) == 47
    assert caplog.text.count("today's list of instruments is too short") == 2  # when it began, and afterwards once


def test_what_the_account_leaves_no_room_for_is_named_once(
    tmp_path: Path, asked: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(asked, tmp_path, Limits(42, 1))
    run.keep_list([*SHARES[:20], *NEW], before=LAST_DAY)
    for _ in range(2):
        run.latecomers.take(run.ask())
    assert run.symbols[40:] == ["NEW0", "NEW1"]
    assert caplog.text.count("5 instruments that the list lacked, and for which the account leaves no room") == 1
