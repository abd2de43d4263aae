"""What keys do to the table and to a chain."""

import pytest

from tests.record.fixtures import NOW
from tests.screen.script import ALL, OPTIONS, SHARES, message
from tickrec.cli.options import colours_of
from tickrec.errors import UsageError
from tickrec.screen.chain import ChainName, chain, chain_names, contract, underlying_of
from tickrec.screen.keys import Key
from tickrec.screen.last_values import LastValues, Order
from tickrec.screen.view import Mode, View
from tickrec.screen.viewer import PALETTES

NEAR, NEXT = ChainName("NIFTY", "26 NOV 26"), ChainName("NIFTY", "01 DEC 26")


def market() -> LastValues:
    live = LastValues()
    live.name({key: symbol for key, (symbol, _) in ALL.items()})
    live.hear(message(0), NOW)
    return live


def looking(*keys: Key | str, live: LastValues | None = None, page: int = 10) -> View:
    """What is looked at after some keys, each of which made a frame."""
    view, live = View(), live or market()
    view.show(live, NOW, page)
    for key in keys:
        view.press(key)
        view.show(live, NOW, page)
    return view


def test_the_selection_moves_and_the_rows_with_it() -> None:
    assert looking(Key.DOWN).selected == "NSE_INDEX|Nifty 50"
    assert looking(Key.DOWN).top == 0
    assert looking(*[Key.DOWN] * 11).top == 1
    assert looking(Key.PAGE_DOWN).top == 0
    assert looking(Key.PAGE_DOWN, Key.PAGE_DOWN).top == 10
    assert looking(Key.END).top == len(ALL) - 10
    assert looking(Key.END, Key.DOWN).selected == list(ALL)[-1]
    assert looking(Key.END, Key.HOME, Key.UP).selected == next(iter(ALL))


def test_an_order_begins_at_its_top() -> None:
    view = looking(Key.END, Key.RIGHT)
    assert (view.order, view.selected, view.top) == (Order.CHANGE, "", 0)
    assert looking(Key.LEFT).order is Order.AGE


def test_what_is_typed_filters_and_escape_takes_it_back_step_by_step() -> None:
    view = looking(*"bank", Key.DOWN)
    assert (view.words, view.selected) == ("bank", "NSE_INDEX|Nifty Bank")
    view.press(Key.BACKSPACE)
    assert view.words == "ban"
    view.press(Key.ESCAPE)
    assert (view.words, view.selected) == ("", "NSE_INDEX|Nifty Bank")
    view.press(Key.ESCAPE)
    assert view.selected == ""


def test_keys_that_come_together_see_what_the_ones_before_them_did() -> None:
    view, live = View(), market()
    view.show(live, NOW, 10)
    for key in (*"axis", Key.DOWN):
        view.press(key)
    assert ALL[view.selected][0] == "AXISBANK"


def test_a_selection_that_is_filtered_away_is_none() -> None:
    assert looking(Key.DOWN, *"axis").row() is None
    assert looking(*"nothing has this name", Key.DOWN, Key.END, Key.ENTER).selected == ""


def test_enter_opens_the_chain_of_an_underlying_and_of_an_option() -> None:
    assert looking(Key.DOWN, Key.ENTER).chain == NEAR
    assert looking(*"01 dec", Key.DOWN, Key.ENTER).chain == NEXT
    assert looking(Key.ENTER).chain == NEAR
    assert looking(*"nifty", Key.ENTER).chain == NEAR, "of BANKNIFTY, which comes first, none is recorded"
    assert looking(*"axis", Key.ENTER).chain is None
    share = looking(*"axis", Key.DOWN, Key.ENTER)
    assert (share.mode, share.chain) == (Mode.TABLE, None)


def test_a_chain_has_its_other_expiries_and_a_way_back() -> None:
    assert looking(Key.ENTER, Key.RIGHT).chain == NEXT
    assert looking(Key.ENTER, Key.RIGHT, Key.RIGHT).chain == NEAR
    back = looking(Key.ENTER, Key.ESCAPE)
    assert (back.mode, back.chain) == (Mode.TABLE, None)
    typed = looking(Key.ENTER, "r")
    assert (typed.mode, typed.words) == (Mode.TABLE, "r")


def test_a_chain_shows_the_money_in_its_middle_until_it_is_moved() -> None:
    view = looking(Key.ENTER)
    assert view.first_strike(20, 41, 11) == 15
    view.press(Key.UP)
    assert view.first_strike(20, 41, 11) == 14
    view.press(Key.PAGE_DOWN)
    assert view.first_strike(20, 41, 11) == 25
    for _ in range(9):
        view.press(Key.PAGE_DOWN)
        assert view.first_strike(20, 41, 11) == 30
    view.press(Key.UP)
    assert view.first_strike(20, 41, 11) == 29
    view.press(Key.HOME)
    assert view.first_strike(20, 41, 11) == 15


def test_symbols_say_what_an_option_is() -> None:
    assert contract("IDEA 22 CE 25 JAN 24") == (ChainName("IDEA", "25 JAN 24"), 22.0, "CE")
    assert contract("M&M 3120.5 PE 5 DEC 26") == (ChainName("M&M", "5 DEC 26"), 3120.5, "PE")
    assert contract("NIFTY FUT 29 SEP 26") is None
    assert [underlying_of(symbol) for symbol in ("NIFTY FUT 29 SEP 26", "TCS", "IDEA 22 CE 25 JAN 24")] == [
        "NIFTY", "TCS", "IDEA",
    ]  # fmt: skip


def test_chains_stand_in_the_order_of_their_expiry() -> None:
    assert chain_names(market().instruments.values()) == [NEAR, NEXT]


def test_the_money_is_near_the_underlying_or_where_call_and_put_cost_the_same() -> None:
    live = market()
    whole = chain(NEAR, live.instruments.values())
    assert len(whole.strikes) == len(OPTIONS) // 4
    spot = live.instruments["NSE_INDEX|Nifty 50"].ltp
    assert spot is not None
    assert abs(whole.strikes[whole.money].price - spot) <= 25
    alone = chain(NEAR, [each for each in live.instruments.values() if each.key in OPTIONS])
    assert alone.underlying is None
    assert 24_200 <= alone.strikes[alone.money].price <= 24_300
    assert chain(NEAR, [live.instruments["NSE_INDEX|Nifty 50"]]).money == 0


def test_a_share_without_options_has_none() -> None:
    assert chain_names(each for each in market().instruments.values() if each.key in SHARES) == []


def test_the_colours_that_can_be_asked_for_are_there() -> None:
    for name in PALETTES:
        assert colours_of(name) == name
    with pytest.raises(UsageError, match='one of "calm", "market"'):
        colours_of("pink")
