"""The calendar: broker's lists and built-in hours, and what to record when."""

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import SAMPLES
from tickrec.clock import IST, from_datetime, ist
from tickrec.errors import NothingToRecord, TickrecError
from tickrec.market import calendar
from tickrec.market.calendar import Calendar, Window
from tickrec.market.hours import EXCHANGES, built_in, regular

HOLIDAYS: list[dict[str, Any]] = json.loads((SAMPLES / "rest_market_holidays_2026.json").read_text())["data"]
TIMINGS: list[dict[str, Any]] = json.loads((SAMPLES / "rest_market_timings_2026-09-24.json").read_text())["data"]
NINE = dt.time(9)


def date(text: str) -> dt.date:
    """A date of 2026 such as 11-24, or a full one."""
    return dt.date.fromisoformat(text if len(text) > 5 else f"2026-{text}")


def ns(day: str, time: str) -> int:
    return from_datetime(dt.datetime.combine(date(day), dt.time.fromisoformat(time), IST))


def hours(of: Calendar, day: str) -> dict[str, str]:
    return {name: f"{ist(s.start_ns):%H:%M}-{ist(s.end_ns):%H:%M}" for name, s in of.sessions(date(day)).items()}


def window(of: Calendar, day: str, *segments: str, start: dt.time = NINE, stop: dt.time | None = None) -> str:
    found = of.window(date(day), segments, start, stop)
    assert ist(found.start_ns).date() == date(day)
    return f"{ist(found.start_ns):%H:%M}-{ist(found.stop_ns):%H:%M}"


def days_of_2026() -> Iterator[str]:
    first = dt.date(2026, 1, 1)
    return ((first + dt.timedelta(days=day)).isoformat() for day in range(365))


@pytest.fixture(params=["built-in", "broker"])
def either(request: pytest.FixtureRequest) -> Calendar:
    """What is expected of 2026 holds with the broker's list and without."""
    return Calendar() if request.param == "built-in" else Calendar(HOLIDAYS)


def test_the_trading_date_is_the_indian_one() -> None:
    assert calendar.trading_date(ns("11-23", "00:00")) == date("11-23")
    assert calendar.trading_date(ns("11-23", "00:00") - 1) == date("11-22")
    assert calendar.trading_date(ns("11-23", "23:59")) == date("11-23")


def test_segments_belong_to_exchanges() -> None:
    pairs = {
        **{"NSE_EQ": "NSE", "NSE_INDEX": "NSE", "NSE_FO": "NFO", "NCD_FO": "CDS", "NSE_COM": "NSCOM"},
        **{"BSE_EQ": "BSE", "BSE_INDEX": "BSE", "BSE_FO": "BFO", "BCD_FO": "BCD", "MCX_FO": "MCX"},
    }
    assert {segment: calendar.exchange_of(segment) for segment in pairs} == pairs
    assert calendar.exchange_of("GLOBAL_INDEX") is None


def test_the_built_in_year_is_the_broker_s() -> None:
    assert {day.isoformat() for day in built_in()} == {entry["date"] for entry in HOLIDAYS}
    for day in days_of_2026():
        assert Calendar().sessions(date(day)) == Calendar(HOLIDAYS).sessions(date(day)), day
    for entry in HOLIDAYS:
        special = built_in()[date(entry["date"])]
        assert (special.description, special.closed) == (entry["description"], frozenset(entry["closed_exchanges"]))


def test_an_ordinary_day_has_the_hours_the_broker_gave() -> None:
    told = Calendar((), {date("09-24"): TIMINGS})
    assert told.sessions(date("09-24")) == regular(date("09-24")) == Calendar(HOLIDAYS).sessions(date("09-24"))
    assert hours(told, "09-24") == {
        **{"NSE": "09:15-15:30", "NFO": "09:15-15:40", "BSE": "09:15-15:30", "BFO": "09:15-15:40"},
        **{"CDS": "09:00-17:00", "BCD": "09:00-17:00", "MCX": "09:00-23:30", "NSCOM": "09:00-23:30"},
    }


def test_timings_of_a_date_beat_everything() -> None:
    told = Calendar(HOLIDAYS, {date("11-23"): [], date("11-24"): TIMINGS})
    assert told.sessions(date("11-23")) == {}
    assert set(told.sessions(date("11-24"))) == set(EXCHANGES)
    with pytest.raises(NothingToRecord, match=r"NSE is closed on Mon 23 Nov 2026 \(no session is scheduled\)"):
        told.window(date("11-23"), ["NSE_EQ"], NINE, None)


def test_commodities_trade_longer_while_new_york_has_winter_time() -> None:
    ends = {day: hours(Calendar(), day)["MCX"][-5:] for day in ("01-05", "03-06", "03-09", "10-30", "11-02", "11-23")}
    assert ends == {
        **{"01-05": "23:55", "03-06": "23:55", "03-09": "23:30"},
        **{"10-30": "23:30", "11-02": "23:55", "11-23": "23:55"},
    }


def test_derivatives_trade_longer_since_the_closing_auction() -> None:
    assert hours(Calendar(), "07-31")["NFO"] == "09:15-15:30"
    assert hours(Calendar(), "08-03")["NFO"] == "09:15-15:40"


def test_the_lists_decide_and_not_the_holiday_type(either: Calendar) -> None:
    assert set(either.sessions(date("08-26"))) == {"NSE", "NFO", "BSE", "BFO", "MCX", "NSCOM"}
    assert set(either.sessions(date("11-24"))) == {"MCX", "NSCOM"}
    assert either.sessions(date("12-25")) == {}


def test_a_trading_holiday_with_an_open_exchange_is_open() -> None:
    entry = {
        "date": "2026-11-25",
        "description": "x",
        "holiday_type": "TRADING_HOLIDAY",
        "closed_exchanges": ["BSE"],
        "open_exchanges": [{"exchange": "NSE", "start_time": 1, "end_time": 2}],
    }
    assert Calendar([entry]).sessions(date("11-25"))["NSE"] == (1_000_000, 2_000_000)
    assert "BSE" not in Calendar([entry]).sessions(date("11-25"))
    assert "MCX" in Calendar([entry]).sessions(date("11-25"))


def test_weekends_are_closed_but_for_the_budget_and_muhurat(either: Calendar) -> None:
    weekend = [day for day in days_of_2026() if date(day).weekday() >= 5 and either.sessions(date(day))]
    assert weekend == ["2026-02-01", "2026-11-08"]
    assert hours(either, "02-01")["NSE"] == "09:15-15:30"
    assert "CDS" not in hours(either, "02-01")
    assert (hours(either, "11-08")["NSE"], hours(either, "11-08")["NFO"]) == ("18:00-19:00", "18:00-19:10")


@pytest.mark.parametrize(
    ("day", "segments", "said"),
    [
        ("11-28", ["NSE_EQ"], "NSE is closed on Sat 28 Nov 2026 (weekend). Next session: Mon 30 Nov, 09:00."),
        ("11-07", ["NSE_FO"], "NSE is closed on Sat 7 Nov 2026 (weekend). Next session: Sun 8 Nov, 17:45."),
        (
            "11-10",
            ["BSE_EQ"],
            "BSE is closed on Tue 10 Nov 2026 (Diwali-Balipratipada). Next session: Wed 11 Nov, 09:00.",
        ),
        ("12-25", ["MCX_FO"], "MCX is closed on Fri 25 Dec 2026 (Christmas). Next session: Mon 28 Dec, 09:00."),
        (
            "08-26",
            ["NCD_FO"],
            "NSE currency is closed on Wed 26 Aug 2026 (Id-E-Milad). Next session: Thu 27 Aug, 09:00.",
        ),
        ("12-25", ["NSE_EQ", "MCX_FO"], "NSE and MCX are closed on Fri 25 Dec 2026 (Christmas)."),
        ("12-25", ["MCX_FO", "NSE_FO", "BSE_FO"], "NSE, BSE and MCX are closed on Fri 25 Dec 2026 (Christmas)."),
    ],
)
def test_reasons(either: Calendar, day: str, segments: list[str], said: str) -> None:
    with pytest.raises(NothingToRecord) as caught:
        window(either, day, *segments)
    assert str(caught.value).startswith(said)


def test_the_next_session_can_be_in_the_next_year() -> None:
    found = Calendar().next_session(date("12-31"), ["NSE"])
    assert found is not None
    assert found[0] == dt.date(2027, 1, 1)
    assert Calendar().next_session(date("12-31"), ["NOWHERE"]) is None


def test_a_year_nobody_listed_is_assumed_open_on_weekdays() -> None:
    assert Calendar().assumed(dt.date(2027, 1, 26))
    assert Calendar().sessions(dt.date(2027, 1, 26)) == regular(dt.date(2027, 1, 26))
    assert Calendar().sessions(dt.date(2027, 1, 30)) == {}
    assert not Calendar().assumed(date("11-24"))
    assert not Calendar((), {dt.date(2027, 1, 26): []}).assumed(dt.date(2027, 1, 26))
    assert not Calendar([{**HOLIDAYS[0], "date": "2027-01-15"}]).assumed(dt.date(2027, 3, 3))


@pytest.mark.parametrize(
    ("day", "segments", "expected"),
    [
        ("11-23", ["NSE_EQ"], "09:00-16:01"),
        ("11-23", ["NSE_INDEX", "NSE_FO"], "09:00-16:01"),
        ("11-23", ["NSE_FO"], "09:00-15:41"),
        ("11-23", ["BSE_FO", "NCD_FO"], "09:00-17:01"),
        ("11-23", ["NSE_EQ", "MCX_FO"], "09:00-23:56"),
        ("10-30", ["MCX_FO"], "09:00-23:31"),
        ("11-24", ["NSE_EQ", "MCX_FO"], "16:45-23:56"),
        ("11-08", ["NSE_EQ"], "17:30-19:31"),
        ("11-08", ["NSE_FO"], "17:30-19:11"),
        ("11-08", ["MCX_FO"], "17:45-19:01"),
        ("02-01", ["NSE_EQ", "MCX_FO"], "09:00-17:01"),
        ("11-23", ["GLOBAL_INDEX"], "09:00-16:01"),
        ("11-23", ["NSE_FO", "GLOBAL_INDEX"], "09:00-15:41"),
    ],
)
def test_the_window_follows_the_subscribed_segments(
    either: Calendar, day: str, segments: list[str], expected: str
) -> None:
    assert window(either, day, *segments) == expected


def test_start_and_stop_are_the_user_s() -> None:
    assert window(Calendar(), "11-23", "NSE_EQ", start=dt.time(8, 55), stop=dt.time(15, 45)) == "08:55-15:45"
    assert window(Calendar(), "11-23", "NSE_EQ", start=dt.time(10)) == "10:00-16:01"
    assert window(Calendar(), "11-08", "NSE_EQ", start=dt.time(18, 30)) == "18:30-19:31"


def test_a_session_earlier_than_usual_is_recorded_from_its_pre_open() -> None:
    early = {"exchange": "NSE", "start_time": ns("11-23", "08:00") // 10**6, "end_time": ns("11-23", "10:00") // 10**6}
    assert window(Calendar((), {date("11-23"): [early]}), "11-23", "NSE_EQ") == "07:45-10:31"


def test_a_stop_before_the_session_leaves_nothing() -> None:
    with pytest.raises(NothingToRecord, match="ends at 15:45, before it could start at 17:30") as caught:
        window(Calendar(), "11-08", "NSE_EQ", stop=dt.time(15, 45))
    assert "Next session: Mon 9 Nov, 09:00." in str(caught.value)


def test_a_window_that_is_over_leaves_nothing() -> None:
    of, day = Calendar(), date("11-23")
    assert of.window(day, ["NSE_EQ"], NINE, None, ns("11-23", "16:00")) == Window(
        ns("11-23", "09:00"), ns("11-23", "16:01")
    )
    with pytest.raises(NothingToRecord, match="Mon 23 Nov 2026: the recording of NSE ends at 16:01") as caught:
        of.window(day, ["NSE_EQ"], NINE, None, ns("11-23", "16:01"))
    assert caught.value.hint == "Next session: Wed 25 Nov, 09:00."


def test_a_closed_day_has_no_window(either: Calendar) -> None:
    with pytest.raises(NothingToRecord) as caught:
        window(either, "11-24", "NSE_EQ", "NSE_FO")
    assert (
        str(caught.value) == "NSE is closed on Tue 24 Nov 2026 (Guru Nanak Jayanti). Next session: Wed 25 Nov, 09:00."
    )


def test_no_window_crosses_the_end_of_the_token() -> None:
    night = {"exchange": "MCX", "start_time": ns("11-23", "09:00") // 10**6, "end_time": ns("11-24", "05:00") // 10**6}
    of = Calendar((), {date("11-23"): [night]})
    assert of.window(date("11-23"), ["MCX_FO"], dt.time(2), None) == Window(ns("11-23", "03:30"), ns("11-24", "03:30"))


def test_tokens_end_at_half_past_three() -> None:
    assert calendar.token_end(ns("11-23", "02:00")) == ns("11-23", "03:30")
    assert calendar.token_end(ns("11-23", "03:30")) == ns("11-24", "03:30")
    assert calendar.token_end(ns("11-23", "15:00")) == ns("11-24", "03:30")


@pytest.mark.parametrize(
    ("segments", "time", "quiet"),
    [
        (["NSE_EQ"], "08:58", True),
        (["NSE_EQ"], "09:00", False),
        (["NSE_EQ"], "09:07", False),
        (["NSE_INDEX"], "09:05", True),
        (["NSE_EQ"], "09:09", True),
        (["NSE_EQ"], "09:14", True),
        (["NSE_EQ"], "09:15", False),
        (["NSE_EQ"], "15:29", False),
        (["NSE_EQ"], "15:35", True),
        (["NSE_EQ", "NSE_FO"], "15:35", False),
        (["NSE_FO"], "09:05", True),
        (["NSE_EQ", "MCX_FO"], "09:12", False),
        (["MCX_FO"], "08:59", True),
        (["MCX_FO"], "22:00", False),
        (["NSE_EQ"], "22:00", True),
        (["GLOBAL_INDEX"], "12:00", True),
        ([], "12:00", True),
    ],
)
def test_silence_is_normal_when_nothing_subscribed_trades(segments: list[str], time: str, quiet: bool) -> None:
    assert Calendar().quiet(segments, ns("11-23", time)) is quiet


def test_an_entry_that_cannot_be_read_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    odd: list[Any] = [{"date": "soon"}, "nonsense", {"date": "2026-11-23", "closed_exchanges": None}]
    of = Calendar([*odd, *HOLIDAYS])
    assert of.sessions(date("11-23")) == regular(date("11-23"))
    assert "NSE" not in of.sessions(date("11-24"))
    assert len(caplog.records) == len(odd)


class Broker:
    """Answers as the REST endpoints do, and counts how often it was asked; with `down` set it refuses."""

    def __init__(self, timings: Sequence[Mapping[str, Any]]) -> None:
        self.asked = 0
        self.down = False
        self._timings = timings

    def holidays(self) -> Sequence[Mapping[str, Any]]:
        self.asked += 1
        if self.down:
            raise TickrecError("no answer")
        return HOLIDAYS

    def timings(self, _date: dt.date) -> Sequence[Mapping[str, Any]]:
        return self._timings

    def ensure(self, path: Path, day: str) -> Calendar:
        return calendar.ensure_calendar(path, date(day), self.holidays, self.timings)


def test_the_broker_is_asked_once_a_day(tmp_path: Path) -> None:
    path, broker = tmp_path / "state" / "calendar.json", Broker([])
    assert broker.ensure(path, "11-23").sessions(date("11-23")) == {}
    assert broker.ensure(path, "11-23").sessions(date("11-23")) == {}
    assert broker.asked == 1
    broker.ensure(path, "11-25")
    assert broker.asked == 2


def test_without_the_broker_the_last_answer_serves_and_else_the_built_in_year(tmp_path: Path) -> None:
    path, broker = tmp_path / "calendar.json", Broker([])
    broker.down = True
    assert broker.ensure(path, "11-23").sessions(date("11-23")) == regular(date("11-23"))
    assert not path.exists()
    calendar.save(path, date("11-22"), [{**HOLIDAYS[0], "date": "2027-01-15"}], [])
    later = broker.ensure(path, "11-23")
    assert not later.assumed(dt.date(2027, 6, 1))
    assert "NSE" not in later.sessions(dt.date(2027, 1, 15))


def test_a_damaged_or_unwritable_cache_costs_nothing(tmp_path: Path) -> None:
    damaged, broker = tmp_path / "calendar.json", Broker(TIMINGS)
    damaged.write_bytes(b'{"date": "2026-11-23", "holi')
    assert broker.ensure(damaged, "11-23").sessions(date("11-23")) == Calendar((), {date("11-23"): TIMINGS}).sessions(
        date("11-23")
    )
    (tmp_path / "file").write_text("")
    assert broker.ensure(tmp_path / "file" / "calendar.json", "11-23").sessions(date("11-23"))


def test_an_answer_of_another_shape_is_no_answer(tmp_path: Path) -> None:
    broker = Broker([{"exchange": "NSE"}])
    assert broker.ensure(tmp_path / "calendar.json", "11-23").sessions(date("11-23")) == regular(date("11-23"))
