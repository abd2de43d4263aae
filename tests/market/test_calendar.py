"""The calendar: broker's lists and built-in hours, and what to record when."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import SAMPLES
from tickrec.clock import IST, from_datetime, ist
from tickrec.errors import NothingToRecord, TickrecError
from tickrec.market import calendar
from tickrec.market.calendar import Calendar, Window
from tickrec.market.hours import EXCHANGES, built_in, expiring_index_end, regular
from tickrec.upstox.timings import Session

HOLIDAYS: list[dict[str, Any]] = json.loads((SAMPLES / "rest_market_holidays_2026.json").read_text())["data"]
TIMINGS: list[dict[str, Any]] = json.loads((SAMPLES / "rest_market_timings_2026-09-24.json").read_text())["data"]
NINE = dt.time(9)


def date(text: str) -> dt.date:
    """A date of 2026 such as 11-24, or a full one."""
    return dt.date.fromisoformat(text if len(text) > 5 else f"2026-{text}")


def ns(day: str, time: str) -> int:
    return from_datetime(dt.datetime.combine(date(day), dt.time.fromisoformat(time), IST))


def hours(of: Calendar, day: str) -> dict[str, str]:
    """The sessions of a date as text; of an exchange that has several, one behind the other."""
    return {name: " ".join(map(hours_of, sessions)) for name, sessions in of.sessions(date(day)).items()}


def hours_of(session: Session) -> str:
    return f"{ist(session.start_ns):%H:%M}-{ist(session.end_ns):%H:%M}"


def told(day: str, exchange: str, start: str, end: str) -> dict[str, Any]:
    """A session as the broker's timings have it."""
    return {"exchange": exchange, "start_time": ns(day, start) // 10**6, "end_time": ns(day, end) // 10**6}


def timings_of(day: str) -> list[dict[str, Any]]:
    """The broker's timings of an ordinary date."""
    return [told(day, name, *hours_of(each).split("-")) for name, (each,) in regular(date(day)).items()]


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
    assert {day for day in days_of_2026() if built_in(date(day))} == {entry["date"] for entry in HOLIDAYS}
    for day in days_of_2026():
        assert Calendar().sessions(date(day)) == Calendar(HOLIDAYS).sessions(date(day)), day
    for entry in HOLIDAYS:
        special = built_in(date(entry["date"]))
        assert special is not None
        assert (special.description, special.closed) == (entry["description"], frozenset(entry["closed_exchanges"]))


def test_an_ordinary_day_has_the_hours_the_broker_gave() -> None:
    of = Calendar((), {date("09-24"): TIMINGS})
    assert of.sessions(date("09-24")) == regular(date("09-24")) == Calendar(HOLIDAYS).sessions(date("09-24"))
    assert hours(of, "09-24") == {
        **{"NSE": "09:15-15:30", "NFO": "09:15-15:40", "BSE": "09:15-15:30", "BFO": "09:15-15:40"},
        **{"CDS": "09:00-17:00", "BCD": "09:00-17:00", "MCX": "09:00-23:30", "NSCOM": "09:00-23:30"},
    }


def test_timings_of_a_date_beat_everything() -> None:
    of = Calendar(
        HOLIDAYS, {date("11-24"): timings_of("11-24"), date("11-28"): [told("11-28", "NSE", "09:15", "12:30")]}
    )
    assert set(of.sessions(date("11-24"))) == set(EXCHANGES)
    assert hours(of, "11-28") == {"NSE": "09:15-12:30"}


@pytest.mark.parametrize(
    ("day", "answer", "doubted"),
    [
        ("11-23", [], set(EXCHANGES)),
        ("11-23", [told("11-23", "MCX", "17:00", "23:55")], set(EXCHANGES) - {"MCX"}),
        ("11-23", [told("11-23", "NSE_CM", "09:15", "15:30")], set(EXCHANGES)),
        ("11-24", [], {"MCX", "NSCOM"}),
        ("2027-02-03", [], set(EXCHANGES)),
        ("11-28", [], set()),
        ("12-25", [], set()),
        ("2027-01-26", [], set()),
        ("11-24", [told("11-24", each, "17:00", "23:55") for each in ("MCX", "NSCOM")], set()),
    ],
    ids=["nothing", "one exchange", "others", "evening", "a year not listed", "Saturday", "holiday", "fixed", "agrees"],
)
def test_timings_that_leave_out_what_should_be_open_are_doubted(
    either: Calendar, day: str, answer: list[dict[str, Any]], doubted: set[str]
) -> None:
    holidays = HOLIDAYS if either.source(date("11-23"), "NSE") == calendar.HOLIDAYS else ()
    of = Calendar(holidays, {date(day): answer})
    assert of.doubted(date(day)) == doubted
    open_ = {name: sessions for name, sessions in of.sessions(date(day)).items() if name in doubted}
    assert open_ == {name: sessions for name, sessions in either.sessions(date(day)).items() if name in doubted}


def test_only_what_is_recorded_is_doubted() -> None:
    of = Calendar((), {date("11-23"): [told("11-23", "NSE", "09:15", "15:30")]})
    assert of.doubted(date("11-23"), ["NSE_EQ", "NSE_INDEX"]) == set()
    assert of.doubted(date("11-23"), ["NSE_EQ", "NSE_FO"]) == {"NFO"}


def test_an_exchange_may_have_several_sessions_in_any_order() -> None:
    morning, evening = told("11-23", "MCX", "09:00", "14:00"), told("11-23", "MCX", "17:00", "23:55")
    for answer in ([morning, evening], [evening, morning], [evening, morning, evening]):
        of = Calendar((), {date("11-23"): answer})
        assert hours(of, "11-23")["MCX"] == "09:00-14:00 17:00-23:55"
        assert window(of, "11-23", "MCX_FO") == "09:00-23:56"
        assert [of.quiet(["MCX_FO"], ns("11-23", time)) for time in ("09:00", "15:00", "17:00")] == [False, True, False]
    longer = Calendar(
        (), {date("11-23"): [told("11-23", "NSE", "09:15", "15:30"), told("11-23", "NSE", "09:15", "17:00")]}
    )
    assert hours(longer, "11-23")["NSE"] == "09:15-17:00"


@pytest.mark.parametrize(
    "odd",
    [
        {"exchange": "NSE"},
        {"exchange": "NSE", "start_time": 1795404600, "end_time": 1795428000},
        {"exchange": "NSE", "start_time": "09:15", "end_time": "15:30"},
        {"exchange": "NSE", "start_time": 1e400, "end_time": 1e401},
        {"exchange": None, "start_time": 1, "end_time": 2},
        told("11-24", "NSE", "09:15", "15:30"),
        told("11-23", "NSE", "15:30", "09:15"),
        "NSE",
    ],
    ids=["no times", "seconds", "clock times", "infinite", "nameless", "another date", "backwards", "text"],
)
def test_timings_of_another_shape_are_refused_as_a_whole(odd: Any) -> None:
    with pytest.raises(ValueError, match="sessions of 2026-11-23"):
        Calendar((), {date("11-23"): [*timings_of("11-23"), odd]})


def test_it_is_known_who_says_when_an_exchange_trades() -> None:
    of = Calendar(HOLIDAYS, {date("11-23"): [told("11-23", "NSE", "09:15", "15:30")]})
    assert of.source(date("11-23"), "NSE") == calendar.TIMINGS
    assert of.source(date("11-23"), "NFO") == of.source(date("11-25"), "NSE") == calendar.HOLIDAYS
    assert Calendar().source(date("11-25"), "NSE") == calendar.BUILT_IN
    assert Calendar(HOLIDAYS).source(date("2027-02-03"), "NSE") == calendar.ASSUMED


def test_commodities_trade_longer_while_new_york_has_winter_time() -> None:
    ends = {day: hours(Calendar(), day)["MCX"][-5:] for day in ("01-05", "03-06", "03-09", "10-30", "11-02", "11-23")}
    assert ends == {
        **{"01-05": "23:55", "03-06": "23:55", "03-09": "23:30"},
        **{"10-30": "23:30", "11-02": "23:55", "11-23": "23:55"},
    }


def test_derivatives_trade_longer_since_the_closing_auction() -> None:
    assert hours(Calendar(), "07-31")["NFO"] == "09:15-15:30"
    for exchange in ("NFO", "BFO"):
        ends = [hours(Calendar(), day)[exchange][-5:] for day in ("08-03", "12-04", "12-07", "2027-03-02")]
        assert ends == ["15:40", "15:40", "15:45", "15:45"]
    assert {hours(Calendar(), day)["NSE"] for day in ("07-31", "12-04", "12-07")} == {"09:15-15:30"}


def test_expiring_contracts_on_an_index_close_before_their_segment() -> None:
    assert ist(expiring_index_end(date("12-08"))).strftime("%H:%M") == "15:30"
    assert ist(expiring_index_end(date("12-01"))).strftime("%H:%M") == "15:40"


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
        "open_exchanges": [told("11-25", "NSE", "10:00", "12:00")],
    }
    assert hours(Calendar([entry]), "11-25")["NSE"] == "10:00-12:00"
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
    assert Calendar().assumed(date("2027-02-03"))
    assert Calendar().sessions(date("2027-02-03")) == regular(date("2027-02-03"))
    assert Calendar().sessions(date("2027-01-30")) == {}
    assert not Calendar().assumed(date("11-24"))
    assert not Calendar((), {date("2027-02-03"): []}).assumed(date("2027-02-03"))
    assert not Calendar([{**HOLIDAYS[0], "date": "2027-01-15", "open_exchanges": []}]).assumed(date("2027-03-03"))


@pytest.mark.parametrize(
    ("day", "open_"),
    [
        ("2027-01-26", set()),
        ("2028-08-15", set()),
        ("2028-10-02", set()),
        ("2028-12-25", set()),
        ("2027-04-14", {"MCX", "NSCOM"}),
        ("2028-05-01", {"MCX", "NSCOM"}),
        ("2027-05-01", set()),
    ],
)
def test_holidays_of_a_fixed_date_are_known_of_every_year(day: str, open_: set[str]) -> None:
    assert set(Calendar().sessions(date(day))) == open_
    assert not Calendar().assumed(date(day)) or date(day).weekday() >= 5
    listed = Calendar([{**HOLIDAYS[0], "date": f"{day[:4]}-03-01", "open_exchanges": []}])
    assert set(listed.sessions(date(day))) == (set(EXCHANGES) if date(day).weekday() < 5 else set())


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
    early = told("11-23", "NSE", "08:00", "10:00")
    assert window(Calendar((), {date("11-23"): [early]}), "11-23", "NSE_EQ") == "07:45-10:31"


def test_on_an_ordinary_day_a_later_start_is_not_waited_for() -> None:
    late = told("11-23", "NSE", "11:00", "15:30")
    assert window(Calendar((), {date("11-23"): [late]}), "11-23", "NSE_EQ") == "09:00-16:01"


def test_a_window_is_longer_when_asked_but_not_than_the_user_s_stop() -> None:
    for stop, end in ((None, "16:16"), (dt.time(15, 45), "15:45")):
        found = Calendar().window(date("11-23"), ["NSE_EQ"], NINE, stop, longer_ns=calendar.UNSURE_NS)
        assert f"{ist(found.stop_ns):%H:%M}" == end


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
    night = {**told("11-23", "MCX", "09:00", "10:00"), "end_time": ns("11-24", "05:00") // 10**6}
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

    def __init__(self, timings: Any, holidays: Any = HOLIDAYS) -> None:
        self.asked = 0
        self.down = False
        self.timings_body = timings
        self.holidays_body = holidays

    def holidays(self) -> Any:
        self.asked += 1
        return self._answer(self.holidays_body)

    def timings(self, _date: dt.date) -> Any:
        return self._answer(self.timings_body)

    def _answer(self, body: Any) -> Any:
        if self.down:
            raise TickrecError("no answer")
        return body

    def ensure(self, path: Path, day: str, *, anew: bool = False) -> Calendar:
        return calendar.ensure_calendar(path, date(day), self.holidays, self.timings, anew=anew)


def test_the_broker_is_asked_once_a_day(tmp_path: Path) -> None:
    path, broker = tmp_path / "state" / "calendar.json", Broker(timings_of("11-23"))
    assert broker.ensure(path, "11-23").doubted(date("11-23")) == set()
    assert broker.ensure(path, "11-23").doubted(date("11-23")) == set()
    assert broker.asked == 1
    broker.timings_body = []
    assert broker.ensure(path, "11-24").sessions(date("11-24")).keys() == {"MCX", "NSCOM"}
    assert broker.asked == 2


def test_an_answer_that_is_doubted_is_asked_for_again(tmp_path: Path) -> None:
    path, broker = tmp_path / "calendar.json", Broker([])
    assert broker.ensure(path, "11-23").sessions(date("11-23")) == regular(date("11-23"))
    broker.timings_body = [*timings_of("11-23")[1:], told("11-23", "NSE", "09:15", "17:00")]
    assert hours(broker.ensure(path, "11-23"), "11-23")["NSE"] == "09:15-17:00"
    broker.down = True
    assert hours(broker.ensure(path, "11-23"), "11-23")["NSE"] == "09:15-17:00"


def test_a_holiday_that_is_listed_is_believed_at_once(tmp_path: Path) -> None:
    path, broker = tmp_path / "calendar.json", Broker([])
    for _ in range(2):
        assert broker.ensure(path, "12-25").sessions(date("12-25")) == {}
    assert broker.asked == 1


def test_an_answer_can_be_asked_for_anew(tmp_path: Path) -> None:
    path, broker = tmp_path / "calendar.json", Broker(timings_of("11-23"))
    broker.ensure(path, "11-23")
    broker.timings_body = [*timings_of("11-23")[1:], told("11-23", "NSE", "09:15", "17:00")]
    assert hours(broker.ensure(path, "11-23"), "11-23")["NSE"] == "09:15-15:30"
    assert hours(broker.ensure(path, "11-23", anew=True), "11-23")["NSE"] == "09:15-17:00"
    broker.down = True
    assert hours(broker.ensure(path, "11-23", anew=True), "11-23")["NSE"] == "09:15-17:00"


def test_without_the_broker_the_last_answer_serves_and_else_the_built_in_year(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, broker = tmp_path / "calendar.json", Broker([])
    broker.down = True
    assert broker.ensure(path, "11-23").sessions(date("11-23")) == regular(date("11-23"))
    assert not path.exists()
    assert "the built-in one serves: no answer" in caplog.text
    calendar.save(path, date("11-22"), [{**HOLIDAYS[0], "date": "2027-01-15", "open_exchanges": []}], [])
    later = broker.ensure(path, "11-23")
    assert not later.assumed(date("2027-06-01"))
    assert "NSE" not in later.sessions(date("2027-01-15"))
    assert "the kept one serves: no answer" in caplog.text


def test_a_damaged_or_unwritable_cache_costs_nothing(tmp_path: Path) -> None:
    damaged, broker = tmp_path / "calendar.json", Broker([told("11-23", "NSE", "09:15", "17:00")])
    damaged.write_bytes(b'{"date": "2026-11-23", "holi')
    assert hours(broker.ensure(damaged, "11-23"), "11-23")["NSE"] == "09:15-17:00"
    (tmp_path / "file").write_text("")
    assert hours(broker.ensure(tmp_path / "file" / "calendar.json", "11-23"), "11-23")["NSE"] == "09:15-17:00"


@pytest.mark.parametrize("odd", [[{"exchange": "NSE"}], {"NSE": "open"}, "closed", None, 7])
def test_an_answer_of_another_shape_is_no_answer(tmp_path: Path, odd: Any) -> None:
    whole = timings_of("11-23")
    for answers in (Broker(odd, odd), Broker(odd), Broker(whole, odd)):
        found = answers.ensure(tmp_path / "calendar.json", "11-23")
        assert found.sessions(date("11-23")) == regular(date("11-23"))
        assert found.doubted(date("11-23")) == (set() if answers.timings_body is whole else set(EXCHANGES))
