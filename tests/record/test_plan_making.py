"""How a plan is made: hours that are asked for again, names that may be in the list later."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clocks import HandClock, at
from tests.market.fixtures import TODAY, Record, chain, contract, index, share
from tests.record.broker import Broker, broker, keep_list, told
from tickrec.clock import SECOND
from tickrec.config import Config, load
from tickrec.errors import NothingToRecord, TickrecError
from tickrec.market.selectors import UnknownSymbols
from tickrec.record.plan import Options, Plan
from tickrec.record.plan_making import likely_times, load_calendar, make_plan
from tickrec.store.paths import Store
from tickrec.upstox.auth import TokenSource
from tickrec.upstox.protocol import Situation
from tickrec.upstox.rest import MASTER, Rest, RestError

HOURS = {
    **{"NSE": dt.time(15, 30), "NFO": dt.time(15, 40), "BSE": dt.time(15, 30), "BFO": dt.time(15, 40)},
    **{"CDS": dt.time(17), "BCD": dt.time(17), "MCX": dt.time(23, 55), "NSCOM": dt.time(23, 55)},
}
SHARES = [share(f"S{number}", f"INE{number:03}A01018") for number in range(40)]
LAST_DAY = TODAY - dt.timedelta(days=3)


class Morning:
    """Somebody who asks for a plan, again and again."""

    def __init__(self, asked: Broker, folder: Path) -> None:
        self.broker, self.folder = asked, folder
        self.config: Config = asked.config(folder)
        self.store = Store(self.config.store.data)
        self.clock = HandClock(at(f"{TODAY}T08:30"))
        self._rest = Rest(asked.script.url, asked.script.url)
        self._tokens = TokenSource(self.config.upstox, {"UPSTOX_ACCESS_TOKEN": "token"})

    def at(self, time: str) -> None:
        self.clock.now_ns = at(f"{TODAY}T{time}")

    def plan(self, *symbols: str, kept: bool = False) -> Plan:
        options = Options(symbols=symbols, mode="full", kept=kept)
        return make_plan(self.config, options, self.store, self._rest, self._tokens, self.clock)

    def keep_calendar(self) -> None:
        load_calendar(self.store, self._rest, self.clock.wall_ns())

    def keep_list(self, records: list[Record], date: dt.date = TODAY, before: dt.date | None = None) -> None:
        keep_list(self.store, date, records, self.folder, before=before)


@pytest.fixture
def morning(tmp_path: Path) -> Iterator[Morning]:
    """The store has the day's list already."""
    with broker() as asked:
        asked.timings, asked.records = told(TODAY, **HOURS), list(SHARES)
        one = Morning(asked, tmp_path)
        one.keep_list(SHARES)
        yield one


def names(plan: Plan) -> list[str]:
    return [each.symbol for each in plan.instruments]


def test_a_start_after_the_kept_end_asks_for_the_hours_again(morning: Morning) -> None:
    morning.keep_calendar()
    morning.at("16:30")
    morning.broker.timings = told(TODAY, **HOURS | {"NSE": dt.time(17)})
    assert morning.plan("S0").times.stop_ns == at(f"{TODAY}T17:31")


def test_a_day_that_was_closed_is_asked_for_again(morning: Morning) -> None:
    """A special session, announced after the first start of the day."""
    closed = {"date": f"{TODAY}", "description": "Election", "closed_exchanges": [*HOURS], "open_exchanges": []}
    morning.broker.holidays, morning.broker.timings = [closed], []
    for asked in (1, 2, 3):
        with pytest.raises(NothingToRecord, match="Election"):
            morning.plan("S0")
        assert morning.broker.asked("/v2/market/timings") == asked
    morning.broker.timings = told(TODAY, NSE=dt.time(12))
    assert morning.plan("S0").times.stop_ns == at(f"{TODAY}T12:31")


@pytest.mark.parametrize("refused", [0, 503], ids=["it tells the same", "it cannot be asked"])
def test_a_day_that_is_over_is_over(morning: Morning, refused: int) -> None:
    morning.plan("S0")
    morning.at("16:30")
    morning.broker.refused = refused
    with pytest.raises(NothingToRecord, match="ends at 16:01"):
        morning.plan("S0")


def test_what_a_broker_has_just_told_is_not_asked_for_twice(morning: Morning) -> None:
    morning.at("16:30")
    with pytest.raises(NothingToRecord):
        morning.plan("S0")
    assert morning.broker.asked("/v2/market/timings") == 1


def test_a_name_that_the_day_before_had_may_come(morning: Morning) -> None:
    morning.keep_list([*SHARES, share("LATE", "INE999A01018")], LAST_DAY)
    with pytest.raises(RestError, match="LATE, which the day before's list of instruments has") as raised:
        morning.plan("LATE")
    assert raised.value.failure.situation is Situation.BAD_ANSWER
    morning.broker.records.append(share("LATE", "INE999A01018"))
    assert names(morning.plan("LATE")) == ["LATE"]


def test_a_name_may_come_while_the_list_is_short(morning: Morning) -> None:
    morning.keep_list(SHARES, LAST_DAY)
    morning.keep_list(SHARES[:5], before=LAST_DAY)
    morning.broker.records.clear()
    with pytest.raises(RestError, match="NEW, and the day's list of instruments is not whole yet"):
        morning.plan("NEW")
    assert not morning.plan("S20").whole
    morning.keep_list([*SHARES, share("NEW", "INE999A01018")])
    plan = morning.plan("NEW")
    assert (names(plan), plan.whole) == (["NEW"], True)


@pytest.mark.parametrize("before", [[], SHARES], ids=["the first day", "not in yesterday's list either"])
def test_a_name_that_nobody_knows_is_a_mistake_at_once(morning: Morning, before: list[Record]) -> None:
    if before:
        morning.keep_list(before, LAST_DAY)
    with pytest.raises(UnknownSymbols, match="unknown symbol NOTHING"):
        morning.plan("NOTHING")
    assert not morning.broker.asked(MASTER)


def test_a_name_of_the_configuration_that_is_unknown_does_not_cost_the_others(
    morning: Morning, caplog: pytest.LogCaptureFixture
) -> None:
    plan = morning.plan("S0", "RENAMED", kept=True)
    assert (names(plan), plan.unknown) == (["S0"], ("RENAMED",))
    assert "1 symbol unknown today, the others are recorded: RENAMED" in caplog.text


def test_without_last_prices_the_broker_cannot_be_asked_yet(morning: Morning) -> None:
    on, expiry = index("NIFTY", "Nifty 50"), TODAY + dt.timedelta(days=1)
    morning.keep_list([on, *chain("NIFTY", on["instrument_key"], expiry, range(24_000, 25_000, 50))])
    with pytest.raises(RestError, match="no last prices"):
        morning.plan("NIFTY:opt:1")
    morning.broker.prices = {on["instrument_key"]: 24_410.0}
    plan = morning.plan("NIFTY:opt:1")
    assert len(names(plan)) == 6 + 1, "what the options are on is recorded as well, for its price"
    assert [chain.underlying_key for chain in plan.chains] == [on["instrument_key"]]
    assert plan.limits == (2000, 2)


def test_a_broker_that_refuses_everything_cannot_be_asked_yet(morning: Morning) -> None:
    morning.store.instruments_path(TODAY).unlink()
    morning.broker.refused = 503
    with pytest.raises(TickrecError) as raised:
        morning.plan("S0")
    assert isinstance(raised.value, RestError)


# Before the broker has answered

SHARES_OVER = at(f"{TODAY}T16:30")
"""Shares trade until 15:30, commodities until 23:55."""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(None, data=tmp_path / "data", simulate=False, environ={"HOME": str(tmp_path)})


CRUDE = contract("CRUDEOIL", "MCX_COM|294", "FUT", dt.date(2026, 12, 18), segment="MCX_FO")
LISTED = [share("RELIANCE", "INE002A01018"), CRUDE]
YESTERDAY = TODAY - dt.timedelta(days=1)


@pytest.mark.parametrize(
    ("symbols", "listed", "end"),
    [
        (("fno",), False, "16:01"),
        (("RELIANCE",), True, "16:01"),
        (("CRUDEOIL:fut",), True, "23:56"),
        (("RELIANCE", "CRUDEOIL:fut"), True, "23:56"),
        (("CRUDEOIL:fut",), False, "23:56"),
        (("NOSUCH",), True, "23:56"),
    ],
)
def test_a_run_lasts_as_long_as_anything_that_it_may_record(
    store: Store, config: Config, tmp_path: Path, symbols: tuple[str, ...], listed: bool, end: str
) -> None:
    if listed:
        keep_list(store, YESTERDAY, LISTED, tmp_path)
    options = Options(symbols=symbols, mode="full")
    found = likely_times(config, options, store, at(f"{TODAY}T10:00")).stop_ns
    assert found is not None
    assert (
        at(f"{TODAY}T{end}") <= found <= at(f"{TODAY}T{end}") + 15 * 60 * SECOND
    )  # longer where only the built-in hours are known


def test_commodities_are_not_over_when_shares_are(store: Store, config: Config, tmp_path: Path) -> None:
    keep_list(store, YESTERDAY, LISTED, tmp_path)
    crude, reliance = (Options(symbols=(name,), mode="full") for name in ("CRUDEOIL:fut", "RELIANCE"))
    assert (likely_times(config, crude, store, SHARES_OVER).stop_ns or 0) > SHARES_OVER
    assert likely_times(config, reliance, store, SHARES_OVER).stop_ns == SHARES_OVER
    assert likely_times(config, crude, store, at(f"{TODAY}T08:00")).start_ns == at(f"{TODAY}T09:00")
