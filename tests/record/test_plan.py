"""When a run begins and ends, by configuration, options and calendar."""

import datetime as dt
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.clocks import HandClock
from tests.market.fixtures import contract, master_of, share
from tests.upstox.rest_fixtures import running
from tickrec.clock import SECOND
from tickrec.config import Config, load
from tickrec.market.calendar import Calendar
from tickrec.market.hours import at
from tickrec.market.instruments import Instrument
from tickrec.record.plan import Options, Plan, Times, deal_out, plan_times
from tickrec.record.plan_making import ask_hours
from tickrec.store.paths import Store
from tickrec.upstox.rest import Rest

DATE = dt.date(2026, 11, 23)
"""A Monday, on which NSE is open."""
SUNDAY = DATE - dt.timedelta(days=1)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration with an end of its own."""
    path = tmp_path / "config.toml"
    path.write_text('[record]\nstop = "15:45"\n')
    return load(path, data=None, simulate=False, environ={"HOME": str(tmp_path)})


@pytest.mark.parametrize(
    ("begun", "options", "stop"),
    [
        ((DATE, dt.time(11)), {}, dt.time(15, 45)),
        ((SUNDAY, dt.time(11)), {}, dt.time(15, 45)),
        ((DATE, dt.time(15, 45)), {}, None),
        ((DATE, dt.time(18)), {}, None),
        ((DATE, dt.time(11)), {"until": dt.time(12)}, dt.time(12)),
        ((DATE, dt.time(11)), {"until": dt.time(17)}, dt.time(17)),
        ((DATE, dt.time(11)), {"duration": dt.timedelta(hours=6)}, dt.time(17)),
    ],
    ids=["in the session", "on a Sunday", "at the stop", "after it", "until", "until after it", "for"],
)
def test_without_the_calendar_the_configured_end_counts_while_it_is_to_come(
    config: Config, begun: tuple[dt.date, dt.time], options: dict[str, dt.time | dt.timedelta], stop: dt.time | None
) -> None:
    now_ns = at(*begun)
    asked = Options(symbols=("RELIANCE",), mode="full", now=True, **options)  # type: ignore[arg-type]
    times = plan_times(config, asked, Calendar(), {"NSE_EQ"}, now_ns)
    assert times.start_ns == now_ns
    assert times.stop_ns == (None if stop is None else at(begun[0], stop))


TOLD = [
    {"exchange": exchange, "start_time": at(DATE, dt.time(9, 15)) // 10**6, "end_time": at(DATE, end) // 10**6}
    for exchange, end in (("NSE", dt.time(15, 30)), ("NFO", dt.time(15, 40)))
]


@pytest.mark.parametrize(
    ("calendar", "segments", "end"),
    [
        (Calendar((), {DATE: TOLD}), {"NSE_EQ", "NSE_FO"}, dt.time(16, 1)),
        (Calendar((), {DATE: TOLD}), {"NSE_FO"}, dt.time(15, 41)),
        (Calendar(), {"NSE_FO"}, dt.time(15, 56)),
        (Calendar((), {DATE: TOLD[:1]}), {"NSE_EQ", "NSE_FO"}, dt.time(16, 16)),
        (Calendar((), {DATE: TOLD[:1]}), {"NSE_EQ"}, dt.time(16, 1)),
    ],
)
def test_a_run_ends_late_rather_than_early_where_the_broker_has_not_told_the_hours(
    tmp_path: Path, calendar: Calendar, segments: set[str], end: dt.time
) -> None:
    config = load(None, data=tmp_path, simulate=False, environ={"HOME": str(tmp_path)})
    times = plan_times(config, Options(symbols=(), mode="full"), calendar, segments, at(DATE, dt.time(10)))
    assert times.stop_ns == at(DATE, end)


def test_silence_is_normal_when_only_expiring_contracts_on_an_index_are_recorded(tmp_path: Path) -> None:
    expiry = dt.date(2026, 12, 8)
    records = [contract("NIFTY", "NSE_INDEX|Nifty 50", "FUT", day) for day in (expiry, expiry + dt.timedelta(weeks=3))]
    master = master_of(tmp_path, records)
    expiring, later = master.rows([0, 1])
    for instruments, quiet in (((expiring,), True), ((expiring, later), False)):
        plan = Plan("full", instruments, (), Calendar(), None, Times(0, None))
        assert not plan.quiet(at(expiry, dt.time(15, 29)))
        assert plan.quiet(at(expiry, dt.time(15, 35))) is quiet
        assert plan.quiet(at(expiry, dt.time(15, 45)))
        day = at(expiry, dt.time()), at(expiry + dt.timedelta(days=1), dt.time())
        assert plan.expected_ns(*day) == (375 if quiet else 390) * 60 * SECOND


class Instruments(tuple[Instrument, ...]):
    """Instruments that count how often somebody goes through all of them."""

    walks = 0

    def __iter__(self) -> Iterator[Instrument]:
        Instruments.walks += 1
        return super().__iter__()


class AskedCalendar(Calendar):
    """A calendar that counts how often it is asked."""

    asked = 0

    def quiet(self, segments: Iterable[str], wall_ns: int) -> bool:
        self.asked += 1
        return super().quiet(segments, wall_ns)


def test_how_much_of_a_time_is_in_sessions_is_told_without_looking_at_each_instrument_or_second(tmp_path: Path) -> None:
    master = master_of(tmp_path, [share("A", "INE002A01018"), contract("A", "NSE_EQ|INE002A01018", "FUT", DATE)])
    shares, calendar = Instruments(master.rows([0])), AskedCalendar((), {DATE: TOLD})
    plan = Plan("full", shares, (), calendar, None, Times(0, None))
    walks = Instruments.walks
    monday, tuesday = at(DATE, dt.time()), at(DATE + dt.timedelta(days=1), dt.time())
    assert plan.expected_ns(monday, tuesday) == (8 + 375) * 60 * SECOND  # orders in the pre-open, then the session
    assert plan.expected_ns(at(SUNDAY, dt.time(12)), at(DATE, dt.time(9, 16))) == (8 + 1) * 60 * SECOND
    assert plan.expected_ns(at(DATE, dt.time(15, 29)), tuesday) == 60 * SECOND
    assert plan.expected_ns(tuesday, monday) == 0
    assert plan.segments == {"NSE_EQ"}
    assert (Instruments.walks, calendar.asked < 100) == (walks, True)
    plan.add(master.rows([1]))
    assert plan.expected_ns(monday, tuesday) == (8 + 385) * 60 * SECOND
    assert list(plan.by_key) == [each.instrument_key for each in plan.instruments]


def test_a_key_that_is_listed_twice_is_dealt_out_once(config: Config, tmp_path: Path) -> None:
    one, two = master_of(tmp_path, [share("A", "INE002A01018"), share("B", "INE009A01021")]).rows([0, 1])
    dealt = deal_out(config, (one, two, one), "full", "normal")
    assert [[each.symbol for each in wanted] for wanted in dealt] == [["A", "B"]]


def test_with_the_calendar_a_run_ends_at_the_configured_end(config: Config) -> None:
    asked = Options(symbols=("RELIANCE",), mode="full")
    times = plan_times(config, asked, Calendar(), {"NSE_EQ"}, at(DATE, dt.time(8)))
    assert (times.start_ns, times.stop_ns) == (at(DATE, dt.time(9)), at(DATE, dt.time(15, 45)))


def test_the_sessions_of_the_recorded_segments_are_told_with_who_says_so(tmp_path: Path) -> None:
    master = master_of(tmp_path, [share("A", "INE002A01018"), contract("A", "NSE_EQ|INE002A01018", "FUT", DATE)])
    calendar = Calendar((), {DATE: TOLD[:1]})
    plan = Plan("full", tuple(master.rows([0, 1])), (), calendar, None, Times(0, None))
    morning, noon = at(DATE, dt.time(9, 15)), at(DATE, dt.time(15, 30))
    told = [("NSE_EQ", morning, noon, "timings"), ("NSE_FO", morning, at(DATE, dt.time(15, 40)), "built-in")]
    assert plan.session_rows(DATE) == told
    plan.open_until["NSE_FO"] = at(DATE, dt.time(16, 3))
    assert plan.session_rows(DATE) == [told[0], ("NSE_FO", morning, at(DATE, dt.time(16, 3)), "feed")]
    assert {row[3] for row in plan.session_rows(DATE + dt.timedelta(days=2))} == {"built-in"}
    assert plan.session_rows(SUNDAY) == []


def test_a_day_that_is_being_recorded_does_not_become_a_holiday(
    config: Config, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    closed = {"date": f"{DATE}", "description": "Closed after all", "closed_exchanges": ["NSE", "NFO"]}
    answers = {"holidays": [closed | {"open_exchanges": []}], "timings": []}
    calendar, times = Calendar((), {DATE: TOLD}), Times(at(DATE, dt.time(9)), at(DATE, dt.time(16, 1)))
    asked = Options(symbols=("RELIANCE",), mode="full")
    with running() as broker:
        broker.answer = lambda path: (200, {}, json.dumps({"data": answers[path.split("/")[3]]}).encode())
        plan = Plan("full", (), (), calendar, None, times)
        found = ask_hours(config, asked, store, Rest(broker.url, broker.url), plan, HandClock(at(DATE, dt.time(15))))
    assert [path for _, path, _, _ in broker.requests] == ["/v2/market/holidays", f"/v2/market/timings/{DATE}"]
    assert found == (calendar, times)
