"""Last values, order and rates of the live table."""

import random

import pytest

from tests.record.fixtures import run_status
from tickrec.clock import SECOND
from tickrec.screen.live import MOST_PINNED, REORDER_NS, Live, LiveView, Rate
from tickrec.status.runstatus import RECORDING, RunStatus
from tickrec.upstox.decode.quotes import Quote

NOW = 1_795_407_067 * SECOND
RUN = RunStatus(state=RECORDING, pid=1, date="2026-11-23", started_ns=NOW, written_ns=NOW)


def quote(key: str, ltp: float | None = None, **rest: float | None) -> Quote:
    fields = {"cp": None, "bid": None, "ask": None, "volume": None, "oi": None, "ltt_ms": None} | rest
    return Quote(key, ltp, **fields)  # type: ignore[arg-type]


def view(live: Live, now_ns: int = NOW, limit: int = 100) -> LiveView:
    return live.view(RUN, now_ns, limit=limit)


def symbols(live: Live, now_ns: int) -> list[str]:
    return [row.symbol for row in view(live, now_ns).rows]


def test_what_was_not_sent_keeps_its_value() -> None:
    live = Live({"k": "RELIANCE"})
    live.update([quote("k", 1412.35, cp=1415.0, bid=1412.3, ask=1412.35, volume=500, oi=7.0, ltt_ms=1)], NOW)
    live.update([quote("k")], NOW)
    live.update([quote("k", 1412.5)], NOW)
    row = view(live).rows[0]
    assert (row.ltp, row.bid, row.ask, row.volume, row.oi) == (1412.5, 1412.3, 1412.35, 500, 7.0)


def test_zero_clears_a_side_of_the_book_but_takes_no_price_volume_or_interest_back() -> None:
    live = Live({"k": "RELIANCE"})
    live.update([quote("k", 10.0, cp=9.0, bid=9.9, ask=10.1, volume=500, oi=7.0)], NOW)
    live.update([quote("k", 0.0, cp=0.0, bid=0.0, ask=10.2, volume=0, oi=0.0)], NOW)
    row = view(live).rows[0]
    assert (row.ltp, row.bid, row.ask, row.volume, row.oi) == (10.0, 0.0, 10.2, 500, 7.0)
    assert row.change is not None


def test_an_instrument_that_has_not_traded_today_has_volume_zero_and_an_index_has_none() -> None:
    live = Live({"share": "IDLE", "index": "NIFTY"})
    live.update([quote("share", 10.0, volume=0), quote("index", 24351.4)], NOW)
    assert [row.volume for row in view(live).rows] == [0, None]


def test_direction_is_that_of_the_last_change() -> None:
    live = Live({"k": "NIFTY"})
    seen = []
    for ltp in (100.0, 100.0, 101.0, 101.0, 99.0, 99.0):
        live.update([quote("k", ltp)], NOW)
        seen.append(view(live).rows[0].direction)
    assert seen == [0, 0, 1, 1, -1, -1]


def test_change_is_in_percent_of_the_previous_close() -> None:
    live = Live({"k": "NIFTY", "other": "NEW"})
    live.update([quote("k", 101.0, cp=100.0), quote("other", 5.0)], NOW)
    changes = {row.symbol: row.change for row in view(live).rows}
    assert changes["NEW"] is None
    assert changes["NIFTY"] is not None
    assert round(changes["NIFTY"], 9) == 1.0


def test_age_counts_from_the_last_message_about_the_instrument() -> None:
    live = Live({"k": "NIFTY", "silent": "071XYZ"})
    live.update([quote("k", 1.0)], NOW)
    ages = {row.symbol: row.age_s for row in view(live, NOW + SECOND // 5).rows}
    assert ages == {"NIFTY": 0.2, "071XYZ": None}


def test_an_entry_of_nothing_is_no_sign_of_life() -> None:
    live = Live({"k": "NIFTY"})
    live.update([quote("k", 0.0, bid=0.0, ask=0.0, volume=0, oi=0.0)], NOW)
    assert view(live).rows[0].age_s is None


def test_a_key_nobody_named_is_shown_by_its_key() -> None:
    live = Live({})
    live.update([quote("NSE_EQ|INE002A01018", 1.0)], NOW)
    shown = view(live)
    assert shown.rows[0].symbol == "NSE_EQ|INE002A01018"
    assert shown.extent.symbol == len("NSE_EQ|INE002A01018")


def test_a_key_that_comes_later_gets_its_symbol_from_the_names() -> None:
    live = Live({}, names={"NSE_EQ|INE002A01018": "RELIANCE"})
    live.update([quote("NSE_EQ|INE002A01018", 1.0)], NOW)
    assert view(live).rows[0].symbol == "RELIANCE"


def test_rows_beyond_the_limit_are_counted() -> None:
    live = Live({str(number): f"S{number}" for number in range(220)})
    shown = view(live, limit=24)
    assert (len(shown.rows), shown.hidden) == (24, 196)
    assert shown.extent.symbol == 4


def test_the_extent_covers_instruments_that_are_not_shown() -> None:
    live = Live({"k": "NIFTY", "option": "NIFTY 24350 CE 26 NOV 26"})
    live.update([quote("k", 24351.4, volume=0), quote("option", 90.0, volume=12_345_678, oi=7_500.0)], NOW)
    assert view(live, limit=1).extent == (24, 24351.4, 12_345_678, 7_500.0)


def test_who_trades_comes_first_and_sinks_when_it_goes_quiet() -> None:
    live = Live({"a": "A", "b": "B"})
    live.update([quote("a", 1.0, ltt_ms=1), quote("b", 1.0)], NOW)
    assert symbols(live, NOW) == ["A", "B"]
    now = NOW
    for second in range(60):
        now = NOW + second * SECOND
        live.update([quote("b", 1.0, ltt_ms=1000 + second)], now)
        view(live, now)
    assert symbols(live, now) == ["B", "A"]


def test_indices_stay_at_the_top_in_the_order_of_the_selection() -> None:
    live = Live({"NSE_EQ|1": "A", "NSE_INDEX|Nifty Bank": "BANKNIFTY", "NSE_INDEX|Nifty 50": "NIFTY"})
    for second in range(60):
        live.update([quote("NSE_EQ|1", 1.0, ltt_ms=second + 1)], NOW + second * SECOND)
        shown = view(live, NOW + second * SECOND)
    assert [row.symbol for row in shown.rows] == ["BANKNIFTY", "NIFTY", "A"]
    assert shown.pinned == 2
    assert view(live, limit=1).pinned == 1


def test_a_few_indices_only_keep_their_places() -> None:
    live = Live({f"NSE_INDEX|{number}": str(number) for number in range(MOST_PINNED + 5)})
    live.update([quote(f"NSE_INDEX|{MOST_PINNED + 2}", 1.0, ltt_ms=5)], NOW)
    assert symbols(live, NOW)[: MOST_PINNED + 1] == [*map(str, range(MOST_PINNED)), str(MOST_PINNED + 2)]


def test_the_same_trade_told_again_is_no_activity() -> None:
    live = Live({"a": "A", "b": "B"})
    live.update([quote("b", 1.0, ltt_ms=5)], NOW - 600 * SECOND)
    for second in range(600):
        now = NOW + (second - 600) * SECOND
        live.update([quote("b", 1.0, bid=1.0 + second, ltt_ms=5)], now)
        view(live, now)
    live.update([quote("a", 1.0, ltt_ms=7)], NOW)
    assert symbols(live, NOW) == ["A", "B"]


def test_rows_keep_their_places_for_some_seconds() -> None:
    live = Live({"a": "A", "b": "B"})
    live.update([quote("a", 1.0)], NOW)
    assert symbols(live, NOW) == ["A", "B"]
    live.update([quote("b", 1.0, ltt_ms=second) for second in range(1, 20)], NOW)
    assert symbols(live, NOW + REORDER_NS - 1) == ["A", "B"]
    assert symbols(live, NOW + REORDER_NS) == ["B", "A"]


def test_instruments_of_equal_activity_do_not_change_places() -> None:
    random.seed(3)
    names = [f"S{number}" for number in range(40)]
    live = Live({name: name for name in names})
    orders, traded = [], 0
    for step in range(240):
        for name in names:
            traded += 1
            if random.random() < 0.9:
                live.update([quote(name, 1.0, ltt_ms=traded)], NOW)
        orders.append(symbols(live, NOW + step * SECOND // 4))
    assert orders[-1] == orders[len(orders) // 2]


def test_a_rate_covers_the_last_seconds_only() -> None:
    rate = Rate()
    rates = [rate.sample(total, NOW + second * SECOND) for second, total in enumerate([0, 600, 1200, 1800, 2400, 3000])]
    assert rates == [0.0, 600.0, 600.0, 600.0, 600.0, 600.0]
    for second in range(6, 20):
        last = rate.sample(3000, NOW + second * SECOND)
    assert last == 0.0


def test_a_rate_survives_a_long_pause_between_samples() -> None:
    rate = Rate()
    rate.sample(0, NOW)
    rate.sample(100, NOW + SECOND)
    assert rate.sample(700, NOW + 61 * SECOND) == 10.0


@pytest.mark.parametrize("nothing", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_not_shown(nothing: float) -> None:
    live = Live({"a": "A"})
    live.update([Quote("a", 10.0, 9.0, 9.9, 10.1, 5, 7.0, 1)], 0)
    for place in range(1, 7):
        values = [10.5, 9.0, 9.9, 10.1, 5, 7.0]
        if place != 5:  # volume is a whole number
            values[place - 1] = nothing
            live.update([Quote("a", *values, 2)], 1)  # type: ignore[arg-type, call-arg]
    (row,) = live.view(run_status(), 2).rows
    assert (row.ltp, row.bid, row.ask, row.oi) == (10.0, 9.9, 10.1, 7.0)
