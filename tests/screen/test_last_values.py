"""Last values, order and rates of the live table."""

import random
from collections.abc import Mapping

import pytest

from tickrec.clock import SECOND
from tickrec.screen.last_values import MOST_PINNED, REORDER_NS, SAMPLE_NS, SAMPLES, LastValues, Order
from tickrec.upstox.decode.quotes import Quote

NOW = 1_795_407_067 * SECOND


def quote(key: str, ltp: float | None = None, **rest: float | None) -> Quote:
    fields = {"cp": None, "bid": None, "ask": None, "volume": None, "oi": None, "ltt_ms": None} | rest
    return Quote(key, ltp, **fields)  # type: ignore[arg-type]


def named(symbols: Mapping[str, str]) -> LastValues:
    live = LastValues()
    live.name(symbols)
    return live


def symbols(live: LastValues, now_ns: int = NOW, order: Order = Order.ACTIVITY, words: str = "") -> list[str]:
    return [row.symbol for row in live.rows(now_ns, order, words)]


def test_what_was_not_sent_keeps_its_value() -> None:
    live = named({"k": "RELIANCE"})
    live.update([quote("k", 1412.35, cp=1415.0, bid=1412.3, ask=1412.35, volume=500, oi=7.0, ltt_ms=1)], NOW)
    live.update([quote("k")], NOW)
    live.update([quote("k", 1412.5)], NOW)
    row = live.rows(NOW)[0]
    assert (row.ltp, row.bid, row.ask, row.volume, row.oi) == (1412.5, 1412.3, 1412.35, 500, 7.0)


def test_zero_clears_a_side_of_the_book_but_takes_no_price_volume_or_interest_back() -> None:
    live = named({"k": "RELIANCE"})
    live.update([quote("k", 10.0, cp=9.0, bid=9.9, ask=10.1, volume=500, oi=7.0)], NOW)
    live.update([quote("k", 0.0, cp=0.0, bid=0.0, ask=10.2, volume=0, oi=0.0)], NOW)
    row = live.rows(NOW)[0]
    assert (row.ltp, row.bid, row.ask, row.volume, row.oi) == (10.0, 0.0, 10.2, 500, 7.0)
    assert row.change is not None


def test_an_instrument_that_has_not_traded_today_has_volume_zero_and_an_index_has_none() -> None:
    live = named({"share": "IDLE", "index": "NIFTY"})
    live.update([quote("share", 10.0, volume=0), quote("index", 24351.4)], NOW)
    assert [row.volume for row in live.rows(NOW)] == [0, None]


def test_direction_is_that_of_the_last_change() -> None:
    live = named({"k": "NIFTY"})
    seen = []
    for ltp in (100.0, 100.0, 101.0, 101.0, 99.0, 99.0):
        live.update([quote("k", ltp)], NOW)
        seen.append(live.rows(NOW)[0].direction)
    assert seen == [0, 0, 1, 1, -1, -1]


def test_change_is_in_percent_of_the_previous_close() -> None:
    live = named({"k": "NIFTY", "other": "NEW"})
    live.update([quote("k", 101.0, cp=100.0), quote("other", 5.0)], NOW)
    changes = {row.symbol: row.change for row in live.rows(NOW)}
    assert changes["NEW"] is None
    assert changes["NIFTY"] is not None
    assert round(changes["NIFTY"], 9) == 1.0


def test_age_counts_from_the_last_message_about_the_instrument() -> None:
    live = named({"k": "NIFTY", "silent": "071XYZ"})
    live.update([quote("k", 1.0)], NOW)
    ages = {row.symbol: row.age_s(NOW + SECOND // 5) for row in live.rows(NOW)}
    assert ages == {"NIFTY": 0.2, "071XYZ": None}


def test_an_entry_of_nothing_is_no_sign_of_life() -> None:
    live = named({"k": "NIFTY"})
    live.update([quote("k", 0.0, bid=0.0, ask=0.0, volume=0, oi=0.0)], NOW)
    assert live.rows(NOW)[0].age_s(NOW) is None


def test_a_key_nobody_named_is_shown_by_its_key() -> None:
    live = LastValues()
    live.update([quote("NSE_EQ|INE002A01018", 1.0)], NOW)
    assert symbols(live) == ["NSE_EQ|INE002A01018"]
    assert live.extent.symbol == len("NSE_EQ|INE002A01018")


def test_a_key_that_is_named_later_gets_its_symbol() -> None:
    live = LastValues()
    live.update([quote("NSE_EQ|INE002A01018", 1.0)], NOW)
    live.name({"NSE_EQ|INE002A01018": "RELIANCE"})
    assert symbols(live) == ["RELIANCE"]


def test_the_extent_covers_instruments_that_are_not_shown() -> None:
    live = named({"k": "NIFTY", "option": "NIFTY 24350 CE 26 NOV 26"})
    live.update([quote("k", 24351.4, volume=0), quote("option", 90.0, volume=12_345_678, oi=7_500.0)], NOW)
    live.rows(NOW)
    assert live.extent == (24, 24351.4, 12_345_678, 7_500.0)


def test_who_trades_comes_first_and_sinks_when_it_goes_quiet() -> None:
    live = named({"a": "A", "b": "B"})
    live.update([quote("a", 1.0, ltt_ms=1), quote("b", 1.0)], NOW)
    assert symbols(live, NOW) == ["A", "B"]
    now = NOW
    for second in range(60):
        now = NOW + second * SECOND
        live.update([quote("b", 1.0, ltt_ms=1000 + second)], now)
        live.rows(now)
    assert symbols(live, now) == ["B", "A"]


def test_indices_stay_at_the_top_in_the_order_of_the_selection() -> None:
    live = named({"NSE_EQ|1": "A", "NSE_INDEX|Nifty Bank": "BANKNIFTY", "NSE_INDEX|Nifty 50": "NIFTY"})
    for second in range(60):
        live.update([quote("NSE_EQ|1", 1.0, ltt_ms=second + 1)], NOW + second * SECOND)
        shown = symbols(live, NOW + second * SECOND)
    assert shown == ["BANKNIFTY", "NIFTY", "A"]
    assert live.has_pinned


def test_a_few_indices_only_keep_their_places() -> None:
    live = named({f"NSE_INDEX|{number}": str(number) for number in range(MOST_PINNED + 5)})
    live.update([quote(f"NSE_INDEX|{MOST_PINNED + 2}", 1.0, ltt_ms=5)], NOW)
    assert symbols(live, NOW)[: MOST_PINNED + 1] == [*map(str, range(MOST_PINNED)), str(MOST_PINNED + 2)]


def test_the_same_trade_told_again_is_no_activity() -> None:
    live = named({"a": "A", "b": "B"})
    live.update([quote("b", 1.0, ltt_ms=5)], NOW - 600 * SECOND)
    for second in range(600):
        now = NOW + (second - 600) * SECOND
        live.update([quote("b", 1.0, bid=1.0 + second, ltt_ms=5)], now)
        live.rows(now)
    live.update([quote("a", 1.0, ltt_ms=7)], NOW)
    assert symbols(live, NOW) == ["A", "B"]


def test_rows_keep_their_places_for_some_seconds() -> None:
    live = named({"a": "A", "b": "B"})
    live.update([quote("a", 1.0)], NOW)
    assert symbols(live, NOW) == ["A", "B"]
    live.update([quote("b", 1.0, ltt_ms=second) for second in range(1, 20)], NOW)
    assert symbols(live, NOW + REORDER_NS - 1) == ["A", "B"]
    assert symbols(live, NOW + REORDER_NS) == ["B", "A"]


def test_instruments_of_equal_activity_do_not_change_places() -> None:
    random.seed(3)
    names = [f"S{number}" for number in range(40)]
    live = named({name: name for name in names})
    orders, traded = [], 0
    for step in range(240):
        for name in names:
            traded += 1
            if random.random() < 0.9:
                live.update([quote(name, 1.0, ltt_ms=traded)], NOW)
        orders.append(symbols(live, NOW + step * SECOND // 4))
    assert orders[-1] == orders[len(orders) // 2]


@pytest.mark.parametrize("nothing", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_not_shown(nothing: float) -> None:
    live = named({"a": "A"})
    live.update([Quote("a", 10.0, 9.0, 9.9, 10.1, 5, 7.0, 1)], 0)
    for place in range(1, 7):
        values = [10.5, 9.0, 9.9, 10.1, 5, 7.0]
        if place != 5:  # volume is a whole number
            values[place - 1] = nothing
            live.update([Quote("a", *values, 2)], 1)  # type: ignore[arg-type, call-arg]
    (row,) = live.rows(2)
    assert (row.ltp, row.bid, row.ask, row.oi) == (10.0, 9.9, 10.1, 7.0)


def test_rows_are_found_by_words_of_their_symbols_whatever_the_case() -> None:
    live = named({"1": "NIFTY 24350 CE 26 NOV 26", "2": "NIFTY 24350 PE 26 NOV 26", "3": "RELIANCE"})
    assert symbols(live, words="nif ce") == ["NIFTY 24350 CE 26 NOV 26"]
    assert symbols(live, words="24350") == ["NIFTY 24350 CE 26 NOV 26", "NIFTY 24350 PE 26 NOV 26"]
    assert symbols(live, words="x") == []
    assert symbols(live) == ["NIFTY 24350 CE 26 NOV 26", "NIFTY 24350 PE 26 NOV 26", "RELIANCE"]


@pytest.mark.parametrize(
    ("order", "first_to_last"),
    [
        (Order.CHANGE, ["UP", "DOWN", "NEW", "MUTE"]),
        (Order.VOLUME, ["DOWN", "UP", "NEW", "MUTE"]),
        (Order.SYMBOL, ["DOWN", "MUTE", "NEW", "UP"]),
        (Order.AGE, ["MUTE", "DOWN", "UP", "NEW"]),
    ],
)
def test_rows_can_be_sorted(order: Order, first_to_last: list[str]) -> None:
    live = named({"1": "UP", "2": "DOWN", "3": "NEW", "4": "MUTE"})
    live.update([quote("2", 99.0, cp=100.0, volume=50)], NOW)
    live.update([quote("1", 101.0, cp=100.0, volume=5)], NOW + 1)
    live.update([quote("3", 5.0)], NOW + 2)
    assert symbols(live, NOW, order) == first_to_last


def test_advances_and_declines_are_of_shares_where_there_are_some() -> None:
    live = LastValues()
    keys = {"NSE_EQ|1": 101.0, "NSE_EQ|2": 99.0, "NSE_EQ|3": 98.0, "NSE_EQ|4": 100.0, "NSE_FO|5": 200.0}
    live.update([quote(key, price, cp=100.0) for key, price in {**keys, "NSE_INDEX|6": 300.0}.items()], NOW)
    assert live.breadth() == (1, 2, 1)
    options = LastValues()
    options.update([quote("NSE_FO|5", 200.0, cp=100.0), quote("NSE_INDEX|6", 300.0, cp=100.0)], NOW)
    assert options.breadth() == (1, 0, 0)


def test_of_each_stretch_the_last_price_is_kept_for_a_quarter_of_an_hour() -> None:
    live = LastValues()
    for number in range(2 * SAMPLES):
        live.update([quote("k", 1.0 + number), quote("k", 2.0 + number)], NOW + number * SAMPLE_NS)
    samples = live.rows(NOW)[0].samples
    assert len(samples) == SAMPLES
    assert samples[-1] == (NOW // SAMPLE_NS + 2 * SAMPLES - 1, 1.0 + 2 * SAMPLES)
