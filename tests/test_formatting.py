"""Numbers, sizes, ages and times as people in India read them."""

import math
import random

import pytest

from tickrec import formatting as f
from tickrec.clock import SECOND

NINE_FORTY_ONE = 1_795_407_067_000_000_000
"""2026-11-23 09:41:07 IST."""


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "-"),
        (0, "0"),
        (999, "999"),
        (1000, "1,000"),
        (99_999, "99,999"),
        (100_000, "1,00,000"),
        (941_207, "9,41,207"),
        (12_345_678, "1,23,45,678"),
        (100_000_005, "10,00,00,005"),
        (-12_345_678, "-1,23,45,678"),
        (-1234, "-1,234"),
    ],
)
def test_whole_numbers_are_grouped_in_lakhs_and_crores(number: int | None, text: str) -> None:
    assert f.grouped(number) == text


def test_grouping_changes_no_digit_and_keeps_groups_of_two_before_three() -> None:
    random.seed(7)
    for _ in range(500):
        number = random.randrange(10 ** random.randrange(1, 16))
        text = f.grouped(number)
        groups = text.split(",")
        assert text.replace(",", "") == str(number)
        assert len(groups) == 1 or len(groups[-1]) == 3
        assert all(len(group) == 2 for group in groups[1:-1])


@pytest.mark.parametrize(
    ("rupees", "decimals", "text"),
    [
        (None, 2, "-"),
        (math.nan, 2, "-"),
        (math.inf, 2, "-"),
        (0.05, 2, "0.05"),
        (988.1, 2, "988.10"),
        (24351.4, 2, "24,351.40"),
        (99_999.99, 2, "99,999.99"),
        (99_999.999, 2, "1,00,000.00"),
        (1_234_567.8, 2, "12,34,567.80"),
        (-123_456.5, 2, "-1,23,456.50"),
        (-99_999.5, 2, "-99,999.50"),
        (83.2475, 4, "83.2475"),
        (123_456.0, 0, "1,23,456"),
    ],
)
def test_prices_keep_their_decimals_and_are_grouped(rupees: float | None, decimals: int, text: str) -> None:
    assert f.price(rupees, decimals) == text


def test_only_prices_finer_than_a_paisa_get_four_decimals() -> None:
    assert f.decimals(24351.4, None, 0.05, 1412.35) == 2
    assert f.decimals(83.25, 83.2475) == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.4211, "+0.42"),
        (-0.18, "-0.18"),
        (0.0, "0.00"),
        (-0.001, "0.00"),
        (12.0, "+12.00"),
        (1500.4, "+1500"),
        (None, "-"),
    ],
)
def test_percentages_carry_a_sign_unless_they_are_nothing(value: float | None, text: str) -> None:
    assert f.percent(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (-3.0, "0.0s"),
        (0.2, "0.2s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.9, "59s"),
        (60, "1m"),
        (3599, "59m"),
        (3600, "1h"),
        (86_399, "23h"),
        (86_400, "1d"),
    ],
)
def test_ages_are_short(seconds: float | None, text: str) -> None:
    assert f.age(seconds) == text


def test_a_countdown_is_in_whole_seconds_and_never_negative() -> None:
    assert [f.countdown(seconds) for seconds in (3.2, 0.0, -1.0, 59.5, 200.0)] == ["4s", "0s", "0s", "60s", "3m"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.4, "3.4s"), (1567, "26m 07s"), (24_060, "6h 41m"), (3600, "1h 00m"), (183_600, "2d 03h")],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert f.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (118_000_000, "118 MB"),
        (1_240_000_000, "1.2 GB"),
        (61_000_000_000, "61 GB"),
        (9_960_000_000, "10 GB"),
        (2_500_000_000_000, "2.5 TB"),
    ],
)
def test_sizes_use_decimal_units(count: int | None, text: str) -> None:
    assert f.size(count) == text


def test_rates_show_a_decimal_only_when_small() -> None:
    assert [f.rate(value) for value in (0.0, 4.13, 9.96, 612.4, 120_000.0)] == ["0.0", "4.1", "10", "612", "1,20,000"]


def test_ordinals_follow_english() -> None:
    numbers = (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)
    assert [f.ordinal(number) for number in numbers] == (
        ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]
    )


def test_one_of_a_thing_is_singular() -> None:
    assert [f.plural(number, "day") for number in (0, 1, 24)] == ["0 days", "1 day", "24 days"]


def test_times_are_ist_whatever_the_zone_of_the_machine() -> None:
    assert f.clock_time(NINE_FORTY_ONE) == "09:41:07"


def test_a_moment_says_no_more_of_its_date_than_needed() -> None:
    day = 86_400 * SECOND
    assert f.moment(NINE_FORTY_ONE + 3600 * SECOND, NINE_FORTY_ONE) == "10:41"
    assert f.moment(NINE_FORTY_ONE + day, NINE_FORTY_ONE) == "Tue 09:41"
    assert f.moment(NINE_FORTY_ONE + 30 * day, NINE_FORTY_ONE) == "23 Dec 2026"
