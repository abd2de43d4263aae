"""Minutes: the exchange's own minute bars of one synthetic instrument.

Owns what is kept of each finished minute, and what is made up for the time before anybody asked for the instrument:
bars that lead from the day's open to where it stood then, within the day's high and low, with all of its volume. Those
are the same whenever they are asked for. Prices are paise, times ms since the epoch.
"""

import random
from array import array
from collections.abc import Iterator
from typing import Final, NamedTuple

MINUTE_MS: Final = 60_000
_FIELDS: Final = 7


class Minute(NamedTuple):
    """A finished minute."""

    start: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    oi: int


class Before(NamedTuple):
    """A stretch of a day that nobody saw, and what is known of it."""

    start: int
    until: int
    """Both at the beginning of a minute."""
    open: int
    high: int
    low: int
    close: int
    volume: int
    oi: int
    lot: int
    tick: int

    def minutes(self, seed: str) -> Iterator[Minute]:
        """Its minutes: a walk from `open` to `close` that reaches `high` and `low`, and shares out `volume`."""
        count = (self.until - self.start) // MINUTE_MS
        if count <= 0:
            return
        rng = random.Random(seed)
        top, bottom = rng.randrange(count), rng.randrange(count)
        weights = [0.2 + rng.random() for _ in range(count)]
        total, reached, lots, given = sum(weights), 0.0, self.volume // self.lot, 0
        price = self.open
        for number, weight in enumerate(weights):
            fair = self.open + (self.close - self.open) * (number + 1) / count
            swing = (self.high - self.low) * (rng.random() - 0.5) / 3
            close = self.close if number == count - 1 else self._within(fair + swing)
            high = self.high if number == top else max(price, close)
            low = self.low if number == bottom else min(price, close)
            reached += weight
            upto = round(lots * reached / total)
            volume = (upto - given) * self.lot
            yield Minute(self.start + number * MINUTE_MS, price, high, low, close, volume, self.oi)
            price, given = close, upto

    def _within(self, price: float) -> int:
        return min(max(round(price / self.tick) * self.tick, self.low), self.high)


class Minutes:
    """The minutes of an instrument, finished ones only."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._seen = array("q")
        self._before: list[Before] = []

    def add(self, minute: Minute) -> None:
        """Keep a minute that is over; later than those before."""
        self._seen.extend(minute)

    def begin(self, before: Before) -> None:
        """Begin a day, of which `before` has passed unseen."""
        self._before.append(before)

    def between(self, start: int, end: int) -> list[Minute]:
        """The minutes that begin from `start` to before `end`, in order."""
        rows = (Minute(*self._seen[at : at + _FIELDS]) for at in range(0, len(self._seen), _FIELDS))
        made = (each for before in self._before for each in before.minutes(f"{self._seed} {before.start}"))
        return sorted(each for some in (made, rows) for each in some if start <= each.start < end)
