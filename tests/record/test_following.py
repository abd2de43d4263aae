"""When further strikes are asked for, with a scripted broker on a real port."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.clocks import HandClock
from tests.record.fixtures import feeds
from tests.upstox.feed_fixtures import Broker, Recording, make_feed, recording
from tickrec.clock import SECOND
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.market.calendar import Calendar, trading_date
from tickrec.market.chains import Chain
from tickrec.market.instruments import Instrument
from tickrec.record.day import Day
from tickrec.record.following import LOOK_NS, Following, mark_followed
from tickrec.record.plan import Plan, Times
from tickrec.schema import INSTRUMENTS
from tickrec.store.paths import Store
from tickrec.upstox.limits import Limits
from tickrec.upstox.protocol import Wanted

NIFTY = "NSE_INDEX|Nifty 50"
STRIKES = range(25_000, 26_001, 100)


def instrument(key: str, **known: Any) -> Instrument:
    fields: dict[str, Any] = dict.fromkeys(INSTRUMENTS.names)
    return Instrument(**fields | {"instrument_key": key, "segment": key.partition("|")[0], "symbol": key} | known)


def option(kind: str, strike: float) -> Instrument:
    facts = {"strike": float(strike), "underlying_key": NIFTY, "underlying_symbol": "NIFTY"}
    return instrument(f"NSE_FO|{strike}{kind}", **facts)


CHAIN = Chain.of(NIFTY, 1, [option(kind, strike) for strike in STRIKES for kind in ("CE", "PE")])


def keys(*strikes: int) -> set[str]:
    return {f"NSE_FO|{strike}{kind}" for strike in strikes for kind in ("CE", "PE")}


def plan_at(money: float, most: int = 100) -> Plan:
    chosen = (*CHAIN.near(money), instrument(NIFTY))
    wanted = tuple(Wanted(each.instrument_key, each.symbol, "full") for each in chosen)
    return Plan("full", chosen, (wanted,), Calendar(), None, Times(0, None), chains=(CHAIN,), limits=Limits(most, 1))


@dataclass
class Run:
    """A feed that runs, and strikes that follow what it is told of the money."""

    plan: Plan
    found: Recording
    following: Following
    now_ns: int = SECOND

    def hear(self, money: float, key: str = NIFTY) -> None:
        """A message with the underlying's price among others, some time after the last."""
        self.now_ns += LOOK_NS
        self.hear_at_once(money, key=key)

    def hear_at_once(self, *money: float, key: str = NIFTY) -> None:
        """Messages that come together; 0.0 for one without the underlying."""
        told = [{"NSE_EQ|A": 1.0, **({key: each} if each else {}), "NSE_EQ|B": 2.0} for each in money]
        self.following.hear([Entry(EntryKind.MESSAGE, 1, self.now_ns, self.now_ns, feeds(each)) for each in told])

    async def until_recorded(self, *strikes: int) -> None:
        await self.found.until(lambda: self.recorded() == keys(*strikes) | {NIFTY})

    def recorded(self) -> set[str]:
        return {key for facts in self.found.facts(EntryKind.SUBSCRIBED) for key, _ in facts["keys"]}


@contextlib.asynccontextmanager
async def following(store: Store, plan: Plan) -> AsyncIterator[Run]:
    day = Day(store, trading_date(HandClock().wall_ns()), HandClock())
    mark_followed(plan, day)
    async with (
        Broker().running() as broker,
        recording(make_feed(broker.url, plan.connections, limits=plan.limits)) as found,
    ):
        run = Run(plan, found, Following(plan, found.feed, day))
        task = asyncio.create_task(run.following.keep_following())
        try:
            yield run
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            day.close()


def record_before(store: Store, asked: set[str], followed: set[str]) -> None:
    """A run earlier on the date that asked for these keys."""
    day = Day(store, trading_date(HandClock().wall_ns()), HandClock())
    facts = encode_facts(mode="full", keys=[[key, key] for key in sorted(asked)], followed=sorted(followed))
    day.append(Entry(EntryKind.SUBSCRIBED, 1, HandClock().wall_ns(), 0, facts))
    day.close()


async def test_strikes_are_added_where_the_money_goes_and_none_is_given_up(store: Store) -> None:
    async with following(store, plan_at(25_500)) as run:
        await run.until_recorded(25_400, 25_500, 25_600)
        run.hear(25_549)
        run.hear(25_551)
        await run.until_recorded(25_400, 25_500, 25_600, 25_700)
        run.hear(25_190)
        await run.until_recorded(25_100, 25_200, 25_300, 25_400, 25_500, 25_600, 25_700)
        run.hear(30_000)
        await run.until_recorded(*range(25_100, 25_701, 100), 25_900, 26_000)
    followed = [set(facts["followed"]) for facts in run.found.notes("added")]
    assert followed == [keys(25_700), keys(25_100, 25_200, 25_300), keys(25_900, 26_000)]
    assert {each.instrument_key for each in run.plan.instruments} == run.recorded()


async def test_other_prices_and_none_move_nothing(store: Store) -> None:
    async with following(store, plan_at(25_500)) as run:
        await run.until_recorded(25_400, 25_500, 25_600)
        run.hear(25_800, key="NSE_INDEX|Nifty 5")
        run.following.hear([Entry(EntryKind.MESSAGE, 1, 0, run.now_ns + SECOND, feeds({NIFTY: 0.0}))])
        run.following.hear([Entry(EntryKind.MESSAGE, 1, 0, run.now_ns + SECOND, b"\x12\x7f garbage")])
        run.now_ns += 2 * SECOND
        run.hear(25_551)
        await run.until_recorded(25_400, 25_500, 25_600, 25_700)
    assert len(run.found.notes("added")) == 1


async def test_in_a_burst_not_every_message_is_looked_into(store: Store) -> None:
    async with following(store, plan_at(25_500)) as run:
        run.hear(25_500)
        run.hear_at_once(25_900)
        run.hear(25_551)
        await run.until_recorded(25_400, 25_500, 25_600, 25_700)
    assert len(run.found.notes("added")) == 1


async def test_a_price_is_found_whatever_comes_just_before_and_after_it(store: Store) -> None:
    other = Chain.of("NSE_INDEX|OTHER", 1, [])
    plan = plan_at(25_500)
    plan.chains = (other, *plan.chains)
    async with following(store, plan) as run:
        run.hear(0.0)
        run.hear_at_once(25_551)
        await run.until_recorded(25_400, 25_500, 25_600, 25_700)
        run.hear(90.0, key=other.underlying_key)
        run.hear_at_once(25_851, 25_651, 0.0)
        await run.until_recorded(25_400, 25_500, 25_600, 25_700, 25_800)
    assert [set(facts["followed"]) for facts in run.found.notes("added")] == [keys(25_700), keys(25_800)]


async def test_when_the_account_has_no_more_room_it_is_said_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async with following(store, plan_at(25_500, most=10)) as run:
        run.hear(25_650)
        await run.until_recorded(25_400, 25_500, 25_600, 25_700)
        run.hear(25_900)
        await run.found.until(lambda: len(run.recorded()) == 10)
        run.hear(25_100)
        await run.found.until(lambda: run.found.feed.states()[0].answered == 10)
        assert len(run.plan.instruments) == 10
    told = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert told == ["no further strikes are recorded: in mode full there is room for 10 instruments on 1 connection"]


async def test_a_run_after_another_records_what_that_did_and_where_the_money_is_now(store: Store) -> None:
    before, moved = keys(25_400, 25_500, 25_600, 25_700), keys(25_700)
    record_before(store, before | {NIFTY, "NSE_EQ|OTHER"}, moved)
    async with following(store, plan_at(25_700)) as run:
        await run.until_recorded(25_400, 25_500, 25_600, 25_700, 25_800)
    followed = {key for facts in run.found.facts(EntryKind.SUBSCRIBED) for key in facts.get("followed", ())}
    assert followed == keys(25_700, 25_800), "the others were asked for when the date began"


async def test_the_first_run_of_a_date_chooses(store: Store) -> None:
    record_before(store, {"NSE_EQ|OTHER"}, set())
    async with following(store, plan_at(25_700)) as run:
        await run.until_recorded(25_600, 25_700, 25_800)
    assert not any("followed" in facts for facts in run.found.facts(EntryKind.SUBSCRIBED))
