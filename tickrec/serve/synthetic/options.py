"""Options: what an option is worth and how it reacts, by the formulas of Black and Scholes.

Pure functions; knows neither instruments nor messages.
"""

import math
import struct
from typing import Final, NamedTuple

RATE: Final = 0.065
"""Interest a year."""
YEAR_MS: Final = 365 * 86_400_000
_ROOT_2: Final = math.sqrt(2.0)
_ROOT_2PI: Final = math.sqrt(2.0 * math.pi)


class Valuation(NamedTuple):
    """Price in the unit of `spot`; theta a day, vega and rho a percentage point, as the broker states them."""

    price: float
    delta: float
    theta: float
    gamma: float
    vega: float
    rho: float


def smile(level: float, spot: float, strike: float, years: float) -> float:
    """The implied volatility of a strike around the money's `level`; a single-precision number, like the broker's."""
    distance = math.log(strike / spot) / (level * math.sqrt(years))
    distance = max(-4.0, min(4.0, distance))
    volatility = level * (1.0 + 0.03 * distance * distance - 0.02 * distance)
    return float(struct.unpack("f", struct.pack("f", volatility))[0])


def value(call: bool, spot: float, strike: float, years: float, volatility: float) -> Valuation:
    """The worth and the greeks of one option; `years` must be above zero."""
    spread = volatility * math.sqrt(years)
    d1 = (math.log(spot / strike) + (RATE + volatility * volatility / 2.0) * years) / spread
    d2 = d1 - spread
    density = math.exp(-d1 * d1 / 2.0) / _ROOT_2PI
    discounted = strike * math.exp(-RATE * years)
    sign = 1.0 if call else -1.0
    in_spot, in_strike = _normal(sign * d1), _normal(sign * d2)
    decay = -spot * density * volatility / (2.0 * math.sqrt(years)) - sign * RATE * discounted * in_strike
    return Valuation(
        price=sign * (spot * in_spot - discounted * in_strike),
        delta=sign * in_spot,
        theta=decay / 365.0,
        gamma=density / (spot * spread),
        vega=spot * density * math.sqrt(years) / 100.0,
        rho=sign * years * discounted * in_strike / 100.0,
    )


def _normal(x: float) -> float:
    return 0.5 * (1.0 + math.erf(x / _ROOT_2))
