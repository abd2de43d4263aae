"""The minutes that ticks make against the exchange's own."""

import pytest

from tests.query.fixtures import Row, at
from tests.query.test_bars import EXCHANGE, LOST, TICKS, trade, write
from tests.query.test_missing import KEY
from tickrec.check.bar_differences import BarDifferences, bar_differences
from tickrec.query.session import Session


def minute(time: str, prices: tuple[float, float, float, float], volume: int | None) -> Row:
    names = dict(zip(("open", "high", "low", "close"), prices, strict=True))
    said = {"source": "historical", "fetched_ts": at("16:00")}
    return {"instrument_key": KEY, "symbol": "A", "start_ts": at(time), **names, "volume": volume, "oi": 0.0, **said}


OURS = [trade(1, "09:14:00", 99.0, 1000), trade(2, "09:15:10", 100.0, 1010), trade(3, "09:15:40", 102.0, 1030)]
OURS += [trade(4, "09:16:10", 101.0, 1060), *(trade(5 + n, f"09:{17 + n}:10", 103.0, 1065 + n) for n in range(8))]
SAME = [
    minute("09:15", (100.0, 102.0, 100.0, 102.0), 30),
    minute("09:16", (101.0, 101.0, 101.0, 101.0), 30),
    minute("09:17", (103.0, 103.0, 103.0, 103.0), 5),
    minute("09:18", (103.0, 103.0, 103.0, 103.0), 1),
]


def differences(asking: Session) -> BarDifferences:
    return bar_differences(asking)[KEY]


def test_the_same_minutes_do_not_differ(asking: Session) -> None:
    write(asking.store, OURS, SAME)
    assert differences(asking) == BarDifferences(4, 0, 0, 0, 0.0, 0)


@pytest.mark.parametrize(
    ("place", "bar", "expected"),
    [
        (0, minute("09:15", (100.0, 103.0, 100.0, 102.0), 30), (4, 1, 1, 0, 100 / 102, 0)),
        (1, minute("09:16", (101.0, 101.0, 101.0, 101.0), 50), (4, 1, 0, 1, 0.0, -20)),
        (1, minute("09:16", (101.0, 101.0, 101.0, 101.0), None), (4, 0, 0, 0, 0.0, 0)),
        (0, minute("09:15", (90.0, 102.0, 90.0, 102.0), 31), (4, 1, 1, 1, 1000 / 102, -1)),
    ],
)
def test_what_differs_is_counted_and_told(
    asking: Session, place: int, bar: Row, expected: tuple[int, int, int, int, float, int]
) -> None:
    write(asking.store, OURS, [*SAME[:place], bar, *SAME[place + 1 :]])
    found = differences(asking)
    assert found._replace(widest_percent=0.0) == BarDifferences(*expected)._replace(widest_percent=0.0)
    assert found.widest_percent == pytest.approx(expected[4])


def test_a_minute_that_one_side_lacks_differs(asking: Session) -> None:
    write(asking.store, OURS, [SAME[0], *SAME[2:]])
    assert differences(asking)[:4] == (4, 1, 1, 1)
    write(asking.store, [*OURS[:3], *OURS[4:]], SAME)
    assert differences(asking)[:4] == (4, 2, 1, 2)


def test_minutes_that_were_not_recorded_whole_are_left_out(asking: Session) -> None:
    write(asking.store, TICKS, EXCHANGE, gaps=LOST)
    found = differences(asking)
    assert found.bars == len(EXCHANGE) - 3
