"""What is said of a date and of its instruments."""

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests import days
from tests.clocks import HandClock
from tests.query.fixtures import Row, at, tick, write_sealed
from tests.query.test_missing import KEY, asked, connected, every, gap, session
from tickrec.check.day_check import DayReport, InstrumentReport, check_date, newest_date, verdict
from tickrec.clock import from_datetime
from tickrec.errors import NothingToRecord, UsageError
from tickrec.store.paths import Store

SECOND_US = 1_000_000
EVENING = HandClock(from_datetime(at("23:00")))


def grown(times: Iterable[dt.datetime], first_seq: int, key: str = KEY, start: int = 0, by: int = 10) -> list[Row]:
    """Ticks, each of which shows `by` units more, its own trade."""
    return [
        tick(first_seq + n, "09:15", key=key, symbol=key[-1], recv_ts=moment, vtt=start + by * n, ltq=by)
        for n, moment in enumerate(times)
    ]


def one_of(report: DayReport, key: str = KEY) -> InstrumentReport:
    return next(each for each in report.instruments if each.known.instrument_key == key)


def write(store: Store, ticks: Iterable[Row], **tables: Iterable[Row]) -> None:
    write_sealed(store, days.DATE, {"ticks": list(ticks), "sessions": [session(1)], **tables})


WHOLE = {"connections": [connected(9, "09:00", "15:45")], "subscriptions": [asked(2, "09:00", "09:00:01")]}


def test_a_day_that_was_recorded_whole_has_an_a(store: Store) -> None:
    write(store, grown(every(60, ("09:15:10", "15:29:10")), 10), **WHOLE)
    report = check_date(store, days.DATE, EVENING)
    assert report.grade == "A"
    assert report.sentence == "everything of 1 instrument was recorded"
    assert report.to_json() == {
        "date": "2026-11-23",
        "grade": "A",
        "session": {"start": "2026-11-23T09:15:00.000+05:30", "end": "2026-11-23T15:30:00.000+05:30"},
        "recorded": {"start": "2026-11-23T09:00:00.000+05:30", "end": "2026-11-23T15:45:00.000+05:30"},
        "gaps": [],
        "counts": {"A": 1, "B": 0, "C": 0, "D": 0, "F": 0},
        "instruments": [
            {
                "instrument_key": KEY,
                "symbol": "A",
                "grade": "A",
                "why": [],
                "ticks": 375,
                "first_ts": "2026-11-23T09:15:10.000+05:30",
                "last_ts": "2026-11-23T15:29:10.000+05:30",
                "missing_s": 0.0,
                "missing_volume": 0,
                "volume": 3740,
                "longest_silence_s": 60.0,
                "bars": None,
                "bars_differing": None,
            }
        ],
    }


@pytest.mark.parametrize(("begins", "missing_s"), [("10:00:00.5", 28.5), ("09:59:40", 49)], ids=["on time", "late"])
def test_a_gap_costs_its_seconds_and_what_traded_beyond_the_next_ticks_own_trade(
    store: Store, begins: str, missing_s: float
) -> None:
    """A gap begins at the time of its last message less the lateness of that: ticks that came late lie in it."""
    before, after = every(10, ("09:15", "10:00")), every(60, ("10:00:30", "15:29:30"))
    ticks = [*grown(before, 10), *grown(after, 10_000, start=10 * len(before) + 500)]
    write(
        store,
        ticks,
        connections=[connected(8, "09:00", "10:00:01"), connected(9, "10:00:20", "15:45")],
        subscriptions=[asked(2, "09:00", "09:00:01"), asked(9, "10:00:20", "10:00:29")],
        gaps=[gap(8, begins, "10:00:29")],
    )
    found = one_of(check_date(store, days.DATE, EVENING)).known
    assert found.missing_us == missing_s * SECOND_US
    assert found.missing_volume == 500, "what the first tick shows beyond the last, less its own 10 units"
    assert found.intervals == 1


def test_a_snapshot_behind_a_gap_tells_all_of_it(store: Store) -> None:
    ticks = [
        *grown(every(60, ("09:15:10", "10:00:10")), 10),
        tick(5000, "10:05:29", key=KEY, symbol="A", snapshot=True, vtt=10_000, ltq=70),
        *grown(every(60, ("10:05:30", "15:29:30")), 6000, start=10_010),
    ]
    write(
        store,
        ticks,
        connections=[connected(8, "09:00", "10:00:30"), connected(9, "10:00:20", "15:45")],
        subscriptions=[asked(2, "09:00", "09:00:01"), asked(9, "10:05:20", "10:05:29")],
        gaps=[gap(8, "10:00:30", "10:05:29")],
    )
    found = one_of(check_date(store, days.DATE, EVENING))
    assert found.known.missing_volume == 10_000 - 450
    assert found.grade == "F", "more than a tenth of the volume, although it is 2 % of the session"
    assert found.share == pytest.approx(9550 / found.known.volume) if found.known.volume else False


def test_what_traded_before_a_late_start_is_missing(store: Store) -> None:
    ticks = [
        tick(9, "09:31:10", key=KEY, symbol="A", snapshot=True, vtt=40_000, ltq=5),
        *grown(every(60, ("09:31:20", "15:29:20")), 10, start=40_010),
    ]
    late = {
        "connections": [connected(9, "09:31", "15:45")],
        "subscriptions": [asked(2, "09:31:08", "09:31:10")],
    }
    write(store, ticks, **late)
    report = check_date(store, days.DATE, EVENING)
    found = one_of(report)
    assert (found.known.missing_us, found.known.missing_volume) == (970 * SECOND_US, 40_000)
    assert found.to_json()["why"] == ["answered at 09:31:10"]
    assert report.sentence == "1 instrument answered late, at 09:31:10"

    followed = [asked(2, "09:31:08", "09:31:10") | {"followed": True}]
    write(store, ticks, connections=late["connections"], subscriptions=followed)
    found = one_of(check_date(store, days.DATE, EVENING))
    assert (found.known.missing_us, found.known.missing_volume) == (2 * SECOND_US, 0), "nobody knows what it was before"


def test_the_volume_of_yesterday_is_none_of_today(store: Store) -> None:
    yesterday = at("15:29") - dt.timedelta(days=1)
    shown = tick(9, "09:31:10", key=KEY, symbol="A", snapshot=True, vtt=40_000, ltq=5, ltt=yesterday)
    write(
        store,
        [shown],
        connections=[connected(9, "09:31", "15:45")],
        subscriptions=[asked(2, "09:31:08", "09:31:10")],
    )
    found = one_of(check_date(store, days.DATE, EVENING))
    assert (found.known.volume, found.known.missing_volume) == (0, 0)
    assert (found.known.ticks, found.known.first_us) == (0, None), "a snapshot is no tick"


def test_the_worst_come_first_and_99_of_100_make_the_grade(store: Store) -> None:
    keys = [f"NSE_EQ|K{n}" for n in range(100)]
    answers = ["09:00:01"] * 98 + ["10:00", None]
    write(
        store,
        [tick(10 + n, "15:00", key=key, symbol=key, vtt=10, ltq=10) for n, key in enumerate(keys[:99])],
        connections=[connected(9, "09:00", "15:45")],
        subscriptions=[asked(2, "09:00", each, key=key) for key, each in zip(keys, answers, strict=True)],
    )
    report = check_date(store, days.DATE, EVENING)
    assert report.grade == "F"
    assert {letter: count for letter, count in report.counts.items() if count} == {"A": 98, "F": 2}
    assert [each.known.instrument_key for each in report.instruments[:2]] == keys[:-3:-1]
    assert report.sentence == "1 instrument never answered and 1 instrument answered late, at 10:00:00"


def test_of_a_day_that_goes_on_only_what_has_passed_counts(store: Store) -> None:
    write(
        store,
        grown(every(60, ("09:15:10", "10:00:10")), 10),
        connections=[connected(9, "09:00", None)],
        subscriptions=[asked(2, "09:00", "09:00:01")],
    )
    report = check_date(store, days.DATE, HandClock(from_datetime(at("10:00:30"))))
    assert (report.grade, report.lasts) == ("A", True)
    assert report.session == (from_datetime(at("09:15")) // 1000, from_datetime(at("10:00:30")) // 1000)
    assert not check_date(store, days.DATE, EVENING).lasts


def test_minutes_are_compared_with_the_exchanges_where_they_are_stored_and_never_graded(store: Store) -> None:
    ticks = [row | {"ltp": 100.0, "feed_ts": row["recv_ts"]} for row in grown(every(20, ("09:15:10", "09:17:50")), 10)]
    bars = [
        {"instrument_key": KEY, "symbol": "A", "start_ts": at(f"09:1{n}"), "volume": 20 if n == 5 else 30}
        | {"open": 100.0, "high": 100.0, "low": 100.0, "close": 101.0 if n == 7 else 100.0, "source": "historical"}
        for n in (5, 6, 7)
    ]
    write(store, ticks, **WHOLE, exchange_bars=bars)
    report = check_date(store, days.DATE, EVENING)
    found = one_of(report)
    assert report.grade == "A"
    assert (found.to_json()["bars"], found.to_json()["bars_differing"]) == (3, 1)


def test_an_unknown_symbol_is_told_with_the_nearest(store: Store) -> None:
    write(store, [], connections=WHOLE["connections"], subscriptions=[asked(2, "09:00", None) | {"symbol": "RELIANCE"}])
    report = check_date(store, days.DATE, EVENING)
    assert report.instrument("reliance").known.instrument_key == KEY
    assert report.instrument(KEY).known.symbol == "RELIANCE"
    with pytest.raises(UsageError, match=r"RELAINCE was not recorded on 2026-11-23\. Nearest: RELIANCE"):
        report.instrument("RELAINCE")


@pytest.mark.parametrize(
    ("date", "words"),
    [("2026-11-24", "NSE is closed on Tue 24 Nov 2026"), ("2026-11-25", "the session of 2026-11-25 has not begun")],
)
def test_there_is_no_grade_where_nothing_was_traded(store: Store, date: str, words: str) -> None:
    with pytest.raises(NothingToRecord, match=words):
        check_date(store, dt.date.fromisoformat(date), EVENING)


def test_a_trading_day_of_which_nothing_is_recorded_has_an_f(store: Store) -> None:
    report = check_date(store, dt.date(2026, 11, 20), EVENING)
    assert (report.grade, report.sentence) == ("F", "nothing was recorded")
    assert report.to_json() == {
        "date": "2026-11-20",
        "grade": "F",
        "session": {"start": "2026-11-20T09:15:00.000+05:30", "end": "2026-11-20T15:40:00.000+05:30"},
        "recorded": {"start": None, "end": None},
        "gaps": [],
        "counts": dict.fromkeys("ABCDF", 0),
        "instruments": [],
    }
    assert verdict(store, dt.date(2026, 11, 20), EVENING) == ("F", "nothing was recorded")


@pytest.mark.parametrize(
    ("now", "date"),
    [
        ("2026-11-23T09:15", "2026-11-23"),
        ("2026-11-23T09:14", "2026-11-20"),
        ("2026-11-24T12:00", "2026-11-23"),
        ("2026-11-22T12:00", "2026-11-20"),
    ],
)
def test_without_a_date_it_is_the_newest_day_of_trading(store: Store, now: str, date: str) -> None:
    from tests.clocks import at as moment

    assert newest_date(store, moment(now)) == dt.date.fromisoformat(date)


def test_the_simulated_market_is_always_open(tmp_path: Path) -> None:
    store = Store(tmp_path / "data" / "simulated")
    assert newest_date(store, from_datetime(at("03:00"))) == days.DATE
    assert check_date(store, days.DATE, EVENING).grade == "F"
