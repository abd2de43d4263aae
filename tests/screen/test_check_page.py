"""A day on one screen."""

import io

import pytest
from rich.console import Console

from tests.check.planned import DATE, Key, Planned, moment
from tests.clocks import HandClock
from tickrec.check.day_check import DayReport, check_date
from tickrec.screen.check_page import check_page, instrument_page
from tickrec.screen.lines import Page
from tickrec.store.paths import Store

EVENING = HandClock(moment("18:00"))
KEYS = [Key(name, 15, 10) for name in ("ONE", "TWO", "THREE")] + [
    Key("FOUR", 15, 10, conn=2),
    Key("GONE", 15, 10, conn=2),
]


def lines(page: Page) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=page.width).print(page, soft_wrap=True)
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.fixture(scope="module")
def bad_day(tmp_path_factory: pytest.TempPathFactory) -> DayReport:
    """Conn 1 is lost for an hour; a key of conn 2 never answers."""
    store = Store(tmp_path_factory.mktemp("bad"))
    day = Planned(store, KEYS)
    day.run(silent=[KEYS[4]])
    day.until("11:00:07")
    day.drop(1, 3600)
    day.until("15:31")
    day.stop()
    return check_date(store, DATE, EVENING)


def test_a_good_day_takes_few_words(store: Store) -> None:
    day = Planned(store, [Key("ONE", 30, 10), Key("TWO", 30, 10)])
    day.run()
    day.until("15:31")
    day.stop()
    shown = lines(check_page(check_date(store, DATE, EVENING), 80))
    assert shown == [
        "2026-11-23  grade A  1,498 ticks of 2 instruments            09:15:00 - 15:30:00",
        "everything of 2 instruments was recorded",
        "",
        f"  {'▇'}{'█' * 74}",
        "  09:15    10:00       11:00       12:00       13:00       14:00       15:00",
        "",
        "A 2   B 0   C 0   D 0   F 0",
        "",
    ]
    assert set(shown[3].strip()) <= {"▇", "█"}
    assert len(shown[3].strip()) == 75


def test_a_bad_day_shows_what_was_lost(bad_day: DayReport) -> None:
    shown = lines(check_page(bad_day, 80))
    assert shown[0].startswith("2026-11-23  grade F  ")
    assert shown[1:3] == [
        "1 instrument never answered and connection 1 was lost once at 11:00:00, for 1h",
        "  00m",
    ]
    strip, marks = shown[4][2:], shown[5][2:]
    assert strip[21:33] == " " * 12, "an hour of the busy connection: more is missing than was recorded"
    assert set(strip[:21] + strip[34:]) <= {"▇", "█"}
    assert marks == " " * 21 + "×" * 13, "who never answered makes no mark"
    assert "A 1   B 0   C 0   D 0   F 4" in shown
    assert shown[-3:] == [
        "F  GONE                                          never answered",
        "F  3 instruments       ▇████   ▆█████████▆       connection 1 lost 11:00:00, 1h",
        "                                                 00m (ONE, THREE, TWO)",
    ]


def test_a_narrow_screen_does_without_the_small_strips(bad_day: DayReport) -> None:
    shown = lines(check_page(bad_day, 50))
    assert all(len(line) <= 50 for line in shown)
    assert any(line.startswith("F  GONE                never answered") for line in shown)


def test_one_instrument_is_explained(bad_day: DayReport) -> None:
    shown = lines(instrument_page(bad_day, bad_day.instrument("two"), 80))
    assert shown[0] == "2026-11-23  TWO (NSE_EQ|TWO)  grade F"
    assert "missing 1h 00m of 6h 15m, 2,400 of 14,990 traded, 16 % of the day" in shown
    assert "  connection 1 lost 11:00:00, 1h 00m" in shown
    assert shown[-1] == "1,259 ticks, 09:15:15 - 15:29:45, longest silence 1h 00m"
    gone = lines(instrument_page(bad_day, bad_day.instrument("gone"), 80))
    assert "missing 6h 15m of 6h 15m, 100 % of the day" in gone
