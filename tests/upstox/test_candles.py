import datetime as dt
import json
from typing import Any

import pytest

from tests import ROOT
from tests.clocks import at
from tests.upstox import rest_fixtures
from tickrec.errors import ExitCode
from tickrec.upstox.auth import Token
from tickrec.upstox.candles import Candle, fetch, judge
from tickrec.upstox.rest import Rest, RestError

DATE = dt.date(2026, 11, 23)
ROW = ["2026-11-23T09:15:00+05:30", 100.5, 101.0, 100.0, 100.75, 1200, 0]


def row(**changes: Any) -> list[Any]:
    """A good row, but for some of its values."""
    names = ("start", "open", "high", "low", "close", "volume", "oi")
    return [changes.get(name, value) for name, value in zip(names, ROW, strict=True)]


def test_an_answer_is_asked_for_by_date_and_read_oldest_first() -> None:
    rows = [row(start=f"2026-11-23T09:{minute}:00+05:30", volume=minute) for minute in (17, 16, 15)]
    with rest_fixtures.running() as script:
        script.says({"status": "success", "data": {"candles": rows}})
        rest = Rest(script.url, script.url)
        found = fetch(rest, "NSE_INDEX|Nifty 50", DATE, None, today=False)
        fetch(rest, "NSE_EQ|INE002A01018", DATE, Token("secret"), today=True)
    assert [each.volume for each in found.rows] == [15, 16, 17]
    assert found.rows[0] == Candle(at("2026-11-23T09:15"), 100.5, 101.0, 100.0, 100.75, 15, 0.0)
    assert found.odd == 0
    paths = [path for _, path, _, _ in script.requests]
    assert paths == [
        "/v3/historical-candle/NSE_INDEX%7CNifty%2050/minutes/1/2026-11-23/2026-11-23",
        "/v3/historical-candle/intraday/NSE_EQ%7CINE002A01018/minutes/1",
    ]
    assert [headers.get("Authorization") for _, _, headers, _ in script.requests] == [None, "Bearer secret"]


def test_the_recorded_answer_of_the_broker_is_read() -> None:
    path = ROOT / "tests" / "samples" / "rest_candles_hist_1d_RELIANCE.json"
    rows = json.loads(path.read_text())["data"]["candles"]
    (found,) = judge(rows, dt.date(2026, 9, 11)).rows
    assert found == Candle(at("2026-09-11T00:00"), 1267.0, 1267.4, 1253.0, 1257.5, 8777736, 0.0)


@pytest.mark.parametrize("volume", [-1, -2147483648, None, "12", float("nan"), 1e30])
def test_a_volume_that_cannot_be_is_not_known(volume: object) -> None:
    (found,) = judge([row(volume=volume)], DATE).rows
    assert found.volume is None
    assert found.close == 100.75


@pytest.mark.parametrize(
    "odd",
    [
        None, {}, "x", [], ROW[:5], [*ROW, 1, 2][:4],
        row(start="2026-11-23T09:15:00"), row(start="soon"), row(start=5), row(start="2026-11-23T09:15:30+05:30"),
        row(open=None), row(high=float("inf")), row(low=True), row(close="100"), row(high=99.0), row(low=101.0),
    ],
)  # fmt: skip
def test_a_row_that_is_no_bar_is_left_out_and_counted(odd: Any) -> None:
    found = judge([odd, row()], DATE)
    assert (len(found.rows), found.odd) == (1, 1)


def test_other_dates_are_passed_over_and_a_minute_comes_once() -> None:
    found = judge([row(close=100.9), row(), row(start="2026-11-20T15:29:00+05:30")], DATE)
    assert [each.close for each in found.rows] == [100.9]
    assert found.odd == 0


@pytest.mark.parametrize("data", [None, [], {}, {"candles": None}, {"candles": {}}])
def test_an_answer_without_candles_is_told(data: object) -> None:
    with rest_fixtures.running() as script:
        script.says({"status": "success", "data": data})
        with pytest.raises(RestError, match="no candles") as caught:
            fetch(Rest(script.url, script.url), "NSE_EQ|X", DATE, None, today=True)
    assert caught.value.code is ExitCode.UNREACHABLE
