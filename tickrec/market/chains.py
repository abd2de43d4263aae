"""Chains: the options of an underlying that expire together, and which of them are around the money."""

import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from tickrec.market.instruments import Instrument


@dataclass(frozen=True, slots=True)
class Chain:
    """The options of one underlying and expiry, of which some strikes either side of the money are wanted."""

    underlying_key: str
    """The instrument whose last price is the money; for options on MCX the future."""
    each_side: int
    strikes: tuple[float, ...]
    """Rupees, ascending."""
    options: tuple[tuple[Instrument, ...], ...]
    """Call and put of each strike."""

    @classmethod
    def of(cls, underlying_key: str, each_side: int, options: Iterable[Instrument]) -> Self:
        """The chain of options of one expiry, in any order."""
        by_strike: dict[float, list[Instrument]] = defaultdict(list)
        for option in options:
            by_strike[option.strike or 0.0].append(option)
        strikes = tuple(sorted(by_strike))
        return cls(underlying_key, each_side, strikes, tuple(tuple(by_strike[strike]) for strike in strikes))

    def near(self, money: float) -> Iterator[Instrument]:
        """The options wanted while the underlying's last price is `money`, in rupees; those nearest to it first."""
        places = sorted(around(self.strikes, money, self.each_side), key=lambda at: abs(self.strikes[at] - money))
        return (option for place in places for option in self.options[place])

    def __iter__(self) -> Iterator[Instrument]:
        """All of its options, by strike."""
        return (option for pair in self.options for option in pair)


def around(strikes: Sequence[float], money: float, each_side: int) -> range:
    """The places, in ascending strikes, of the one nearest to the money and of so many on either side of it."""
    at = bisect.bisect_left(strikes, money)
    if at == len(strikes) or (at > 0 and money - strikes[at - 1] <= strikes[at] - money):
        at -= 1
    return range(max(0, at - each_side), min(len(strikes), at + each_side + 1))
