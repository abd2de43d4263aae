"""A day with planned faults is graded exactly as the plan says, however far its files are."""

import json
from collections.abc import Mapping

import pytest

from tests.check.planned import CLOSE, DATE, OPEN, Expected, Key, Planned, moment
from tests.clocks import HandClock
from tickrec.check.day_check import DayReport, check_date
from tickrec.clock import SECOND
from tickrec.seal.seal import seal
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store

BUSY, STALE, SILENT, SLOW = Key("BUSY", 10, 100), Key("STALE", 10, 120), Key("SILENT", 10, 10), Key("SLOW", 30, 400)
ELSEWHERE = Key("ELSEWHERE", 15, 21, conn=2)
KEYS = (BUSY, STALE, SILENT, SLOW, ELSEWHERE)
EVENING = HandClock(moment("18:00"))


def letter(missing: float, whole: float) -> str:
    """The grade of a share, as the contract words it."""
    share = missing / whole if whole else 0.0
    limits = {"A": 0.0, "B": 0.001, "C": 0.01, "D": 0.1}
    return next((grade for grade, most in limits.items() if share <= most), "F")


def grade(expected: Expected, key: Key, until_ns: int = CLOSE, *, answered: bool = True) -> str:
    seconds = letter(expected.seconds, (until_ns - OPEN) / SECOND)
    volume = letter(expected.volume, key.volume(until_ns)) if answered else "A"
    return max(seconds, volume)


def require_as_planned(report: DayReport, day: Planned, volumes: Mapping[Key, int]) -> None:
    found = {each.known.symbol: each for each in report.instruments}
    for key in KEYS:
        known, expected = found[key.name].known, day.expected[key]
        spans = [(each.begins * 1000, each.ends * 1000) for each in known.longest]
        assert merged(spans) == expected.spans, key.name
        assert known.missing_us * 1000 == sum(end - begin for begin, end in expected.spans), key.name
        assert (known.missing_volume or 0) == expected.volume, key.name
        assert (known.volume or 0) == volumes[key], key.name


def merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans, those that touch put together: why they are missing may change in between."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if found and found[-1][1] == begin:
            found[-1] = found[-1][0], end
        else:
            found.append((begin, end))
    return found


def plan(store: Store) -> Planned:
    """A late start, a drop, a stale key, a kill and a restart, a drop while stale, a key that never answers, an early
    end."""
    day = Planned(store, KEYS)
    day.until("09:20")
    day.run(silent=[SILENT])
    day.until("10:00:07")
    day.drop(1, 48)
    day.until("11:02:11")
    day.mute(STALE)
    day.until("11:09:04")
    day.unmute(STALE)
    day.until("12:00")
    day.kill()
    day.until("12:03")
    day.run(silent=[SILENT])
    day.until("13:30")
    day.drop(2, 3.4)
    day.until("15:20:30")
    day.stop()
    return day


def test_a_day_is_graded_as_planned(store: Store) -> None:
    day = plan(store)
    day.close_books()
    end_ns = moment("15:20:30")
    volumes = {key: key.volume(end_ns - SECOND) for key in KEYS} | {SILENT: 0}
    grades = {key.name: grade(day.expected[key], key, answered=key is not SILENT) for key in KEYS}
    assert grades == {"BUSY": "D", "STALE": "D", "SILENT": "F", "SLOW": "D", "ELSEWHERE": "D"}

    reports = [check_date(store, DATE, EVENING)]
    PartWriter(store, DATE).flush(10_000)
    reports.append(check_date(store, DATE, EVENING))
    manifest = seal(store, DATE, duckdb=False, clock=EVENING)
    reports.append(check_date(store, DATE, EVENING))
    assert manifest.grade == "F"
    for report in reports:
        require_as_planned(report, day, volumes)
        assert {each.known.symbol: each.grade for each in report.instruments} == grades
        assert report.grade == "F"
        assert json.loads(json.dumps(report.to_json())) == json.loads(json.dumps(reports[0].to_json()))
    whys = {each["symbol"]: each["why"] for each in reports[0].to_json()["instruments"]}
    assert whys["SILENT"] == ["never answered"]
    assert whys["STALE"] == [
        "answered at 09:20:00",
        "connection 1 lost 10:00:00, 56s",
        "nothing from 11:02:10 to 11:09:10 while 4,920 traded",
        "connection 1 lost 11:59:50, 3m 10s",
        "not recorded after 15:20:30",
    ]


@pytest.mark.usefixtures("recorded")
def test_a_day_that_goes_on_is_graded_until_now(store: Store) -> None:
    day = Planned(store, KEYS)
    day.run()
    day.until("09:40:00.5")
    day.drop(1, 0.7)
    day.until("10:15")
    now = HandClock(moment("10:15"))
    report = check_date(store, DATE, now)
    require_as_planned(report, day, {key: key.volume(moment("10:14:59")) for key in KEYS})
    assert {each.known.symbol: each.grade for each in report.instruments} == {
        key.name: grade(day.expected[key], key, now.now_ns) for key in KEYS
    }
    assert {each.grade for each in report.instruments} == {"A", "B"}


def test_the_longer_a_connection_is_lost_the_worse_the_grade(store: Store) -> None:
    lost_s = {1: 0.2, 2: 2.0, 3: 30.0, 4: 500.0}
    busy = [Key(f"BUSY{conn}", 20, 50, conn) for conn in lost_s]
    keys = [*busy, *(Key(f"SLOW{conn}", 30, 400, conn) for conn in lost_s)]
    day = Planned(store, keys)
    day.run()
    for conn, seconds in lost_s.items():
        day.until(f"1{conn}:00:07")
        day.drop(conn, seconds)
    day.until("15:31")
    day.stop()
    day.close_books()
    report = check_date(store, DATE, EVENING)
    expected = {key.name: grade(day.expected[key], key) for key in keys}
    assert {each.known.symbol: each.grade for each in report.instruments} == expected
    assert "".join(expected[key.name] for key in busy) == "BBCD"
