"""Which options are around the money."""

from typing import Any

import pytest

from tickrec.market.chains import Chain, around
from tickrec.market.instruments import Instrument
from tickrec.schema import INSTRUMENTS

STRIKES = (100.0, 110.0, 120.0, 130.0, 140.0)


def option(kind: str, strike: float) -> Instrument:
    fields: dict[str, Any] = dict.fromkeys(INSTRUMENTS.names)
    known = {"instrument_key": f"{kind} {strike:g}", "segment": "NSE_FO", "symbol": f"{strike:g} {kind}"}
    return Instrument(**fields | known | {"instrument_type": kind, "strike": strike})


@pytest.mark.parametrize(
    ("money", "each_side", "strikes"),
    [
        (120, 1, [110, 120, 130]),
        (124.9, 1, [110, 120, 130]),
        (125, 1, [110, 120, 130]),
        (125.1, 1, [120, 130, 140]),
        (99, 1, [100, 110]),
        (141, 1, [130, 140]),
        (120, 0, [120]),
        (120, 10, [100, 110, 120, 130, 140]),
    ],
)
def test_so_many_strikes_are_around_the_one_nearest_to_the_money(
    money: float, each_side: int, strikes: list[float]
) -> None:
    assert [STRIKES[place] for place in around(STRIKES, money, each_side)] == strikes


def test_calls_and_puts_of_a_strike_are_wanted_together_the_nearest_first() -> None:
    chain = Chain.of("NSE_INDEX|Nifty 50", 1, [option(kind, strike) for kind in ("CE", "PE") for strike in STRIKES])
    assert [each.instrument_key for each in chain.near(128)] == [
        *("CE 130", "PE 130", "CE 120", "PE 120", "CE 140", "PE 140"),
    ]
    assert len(list(chain)) == 10
