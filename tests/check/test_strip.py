"""A day as a line of characters."""

from tests.clocks import at
from tickrec.check.strip import Columns, heights, marks


def us(time: str) -> int:
    return at(f"2026-11-23T{time}") // 1000


SESSION = us("09:15"), us("15:30")


def test_a_column_has_as_many_minutes_as_the_width_asks_for() -> None:
    assert [(each.step, each.count) for each in (Columns.over(*SESSION, width) for width in (400, 190, 78, 24))] == [
        (1, 375),
        (2, 188),
        (5, 75),
        (20, 19),
    ]
    assert Columns.over(us("09:15"), us("09:15"), 78).count == 1
    day = Columns.over(us("00:00"), us("23:59"), 10)
    assert day.count <= 10


def test_ticks_are_counted_in_their_columns_and_none_outside() -> None:
    columns = Columns.over(us("09:15"), us("09:30"), 3)
    minute = us("09:15") // 60_000_000
    assert columns.sums(
        [{minute - 1: 9, minute: 1, minute + 4: 2}, {minute + 5: 4, minute + 14: 8, minute + 15: 9}]
    ) == [
        3,
        4,
        8,
    ]


def test_time_is_measured_in_its_columns() -> None:
    columns = Columns.over(us("09:15"), us("09:30"), 3)
    spans = [(us("09:14"), us("09:16")), (us("09:19:30"), us("09:25:10"))]
    assert [each / 1_000_000 for each in columns.lengths(spans)] == [90, 300, 10]


def test_the_height_is_how_much_came_and_a_gap_is_a_gap() -> None:
    assert heights([0, 1, 4, 8, 0, 2], [0, 0, 0, 0, 10, 5], [10] * 6) == "·▁▄█  "
    assert heights([0, 0], [0, 0], [0, 10]) == "··"


def test_a_column_of_which_something_is_missing_is_marked() -> None:
    assert marks([0, 1, 10, 1000, 0], [1000] * 4 + [0]) == "  ×× "


def test_the_axis_has_the_hours() -> None:
    assert Columns.over(*SESSION, 78).axis() == (
        "09:15    10:00       11:00       12:00       13:00       14:00       15:00"
    )
    assert Columns.over(*SESSION, 24).axis() == "09:15   12:00 14:00"
