"""Last values of every instrument of a run, in the order that somebody wants to see them in.

Owns what is kept of an instrument and how instruments are ordered and found. Never sees a file or a terminal: it is
given messages and asked for instruments. A message costs some two microseconds a quote; whatever is dearer happens when
somebody looks, twice a second.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import isfinite
from typing import Final, NamedTuple

from tickrec.clock import SECOND
from tickrec.upstox.decode.quotes import Details, Quote, details, quotes

REORDER_NS: Final = 5 * SECOND
"""Rows change places at most this often."""
MOST_PINNED: Final = 8
"""Indices that stay at the top; more would leave no room for what is traded."""
SAMPLE_NS: Final = 15 * SECOND
SAMPLES: Final = 60
"""Prices that are kept of each instrument: one each SAMPLE_NS, a quarter of an hour."""
_FADE: Final = 0.8
"""What remains of an instrument's activity from one reordering to the next: half of it after 15 seconds."""
_NOTHING: Final = 0.01
"""An activity that is as good as none: one trade, a hundred seconds ago."""
_STEP: Final = 4.0
"""Instruments change places when their activities differ by about this factor."""
_STICKY: Final = 0.3
"""How far beyond its step an activity must be, so that instruments at the edge of one do not hop."""


class Order(Enum):
    """What the table is sorted by; the value says it."""

    ACTIVITY = "what trades most first"
    CHANGE = "by change"
    VOLUME = "by volume"
    SYMBOL = "by symbol"
    AGE = "longest silent first"


class Extent(NamedTuple):
    """The longest symbol and the largest values of all instruments, shown or not: columns that fit them stay put."""

    symbol: int = 0
    """Characters."""
    price: float = 0.0
    volume: int = 0
    oi: float = 0.0


class Breadth(NamedTuple):
    """How many shares stand above and below their previous close."""

    advances: int = 0
    declines: int = 0
    unchanged: int = 0


@dataclass(slots=True)
class Instrument:
    """What is known of an instrument. Prices in rupees; None where there is nothing to show."""

    key: str
    symbol: str
    ltp: float | None = None
    direction: int = 0
    """Of the last change of ltp: 1 up, -1 down, 0 not seen to change."""
    cp: float | None = None
    bid: float | None = None
    ask: float | None = None
    volume: int | None = None
    oi: float | None = None
    ltt_ms: int | None = None
    heard_ns: int | None = None
    """When the last message about it was received."""
    payload: bytes = b""
    """That message."""
    samples: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    """The last price in each stretch of SAMPLE_NS, by the number of the stretch."""
    trades: int = 0
    """Since the rows were last put in order."""
    activity: float = 0.0
    level: int = -4
    pinned: bool = False

    @property
    def change(self) -> float | None:
        """Percent against the previous close."""
        return (self.ltp / self.cp - 1.0) * 100.0 if self.ltp and self.cp else None

    def age_s(self, now_ns: int) -> float | None:
        """Seconds since the last message about it."""
        return None if self.heard_ns is None else (now_ns - self.heard_ns) / SECOND

    def details(self) -> Details:
        """What its last message says beside the quote."""
        return details(self.payload, self.key)


class LastValues:
    """Last values of the instruments that were named or heard of, in that order until they trade.

    The first few indices stay at the top of the order of activity.
    """

    def __init__(self) -> None:
        self.instruments: dict[str, Instrument] = {}
        """By key."""
        self.extent = Extent()
        self._pinned = 0
        self._by_activity: list[Instrument] = []
        self._shown: list[Instrument] = []
        self._asked: tuple[Order, str, int] | None = None
        self._ordered_ns: int | None = None

    @property
    def has_pinned(self) -> bool:
        """Whether indices stay at the top."""
        return bool(self._pinned)

    def name(self, symbols: Mapping[str, str | None]) -> None:
        """Take in the symbols of instruments that were asked for, by their keys."""
        for key, symbol in symbols.items():
            known = self.instruments.get(key)
            if known is None:
                self._add(key, symbol or key)
            elif symbol:
                known.symbol = symbol

    def hear(self, payload: bytes, wall_ns: int) -> None:
        """Take a message received at `wall_ns`."""
        self.update(quotes(payload), wall_ns, payload)

    def update(self, quotes: Iterable[Quote], wall_ns: int, payload: bytes = b"") -> None:
        """Take the quotes of a message received at `wall_ns`. What was not sent keeps its value.

        Zero stands for "none" in prices, as in the wire format: an empty side of the book clears bid or ask, while a
        last price, volume or open interest that was once sent is not taken back.
        """
        stretch = wall_ns // SAMPLE_NS
        for key, ltp, cp, bid, ask, volume, oi, ltt_ms in quotes:
            if not isfinite((ltp or 0.0) + (cp or 0.0) + (bid or 0.0) + (ask or 0.0) + (oi or 0.0)):
                continue  # a double may be no number at all; there is nothing to show then
            instrument = self.instruments.get(key) or self._add(key, key)
            if ltp:
                if ltp != instrument.ltp:
                    if instrument.ltp is not None:
                        instrument.direction = 1 if ltp > instrument.ltp else -1
                    instrument.ltp = ltp
                samples = instrument.samples
                if samples and samples[-1][0] == stretch:
                    samples[-1] = stretch, ltp
                else:
                    samples.append((stretch, ltp))
            if cp:
                instrument.cp = cp
            if bid is not None:
                instrument.bid = bid
            if ask is not None:
                instrument.ask = ask
            if volume or (volume is not None and instrument.volume is None):
                instrument.volume = volume
            if oi:
                instrument.oi = oi
            if ltt_ms and ltt_ms != instrument.ltt_ms:
                instrument.ltt_ms = ltt_ms
                instrument.trades += 1
            if ltp or bid or ask:  # a key that does not exist is answered with an entry of nothing
                instrument.heard_ns = wall_ns
                instrument.payload = payload

    def settle(self, now_ns: int) -> None:
        """Let the rows change places, and measure them: every REORDER_NS at most, so that they can be read."""
        if self._ordered_ns is None or not 0 <= now_ns - self._ordered_ns < REORDER_NS:
            self._reorder()
            self._measure()
            self._ordered_ns, self._asked = now_ns, None

    def rows(self, now_ns: int, order: Order = Order.ACTIVITY, words: str = "") -> Sequence[Instrument]:
        """The instruments whose symbols have all of `words`, in order."""
        self.settle(now_ns)
        asked = order, words, len(self.instruments)
        if asked != self._asked:
            self._asked = asked
            wanted = words.upper().split()
            found = [each for each in self._by_activity if all(word in each.symbol.upper() for word in wanted)]
            self._shown = found if order is Order.ACTIVITY else sorted(found, key=_PLACES[order])
        return self._shown

    def breadth(self) -> Breadth:
        """Advances and declines of the shares; of everything but indices where no share is recorded."""
        every = self.instruments.values()
        shares = [each for each in every if each.key.partition("|")[0].endswith("_EQ")]
        changes = [each.change for each in shares or (each for each in every if not is_index(each.key))]
        known = [change for change in changes if change is not None]
        up, down = sum(change > 0 for change in known), sum(change < 0 for change in known)
        return Breadth(up, down, len(known) - up - down)

    def _add(self, key: str, symbol: str) -> Instrument:
        pinned = self._pinned < MOST_PINNED and is_index(key)
        self._pinned += pinned
        instrument = self.instruments[key] = Instrument(key, symbol, pinned=pinned)
        self._by_activity.append(instrument)
        return instrument

    def _reorder(self) -> None:
        """Sort by activity, which fades: who traded most in the last half minute comes first.

        Activities are compared in steps, and equals keep their places: the table moves little enough to be read.
        """
        for instrument in self._by_activity:
            instrument.activity = instrument.activity * _FADE + instrument.trades
            instrument.trades = 0
            instrument.level = _level(instrument.activity, instrument.level)
        self._by_activity.sort(key=_place)

    def _measure(self) -> None:
        every = self._by_activity
        self.extent = Extent(
            max((len(each.symbol) for each in every), default=0),
            max((each.ltp or 0.0 for each in every), default=0.0),
            max((each.volume or 0 for each in every), default=0),
            max((each.oi or 0.0 for each in every), default=0.0),
        )


def is_index(key: str) -> bool:
    """Whether an instrument key is that of an index, such as NSE_INDEX|Nifty 50."""
    return key.partition("|")[0].endswith("_INDEX")


def _place(instrument: Instrument) -> tuple[bool, int, bool]:
    """What rows are sorted by activity by; equals keep their order."""
    if instrument.pinned:
        return False, 0, False
    return True, -instrument.level, instrument.heard_ns is None


_PLACES: Final = {
    Order.CHANGE: lambda each: (each.change is None, -(each.change or 0.0)),
    Order.VOLUME: lambda each: (each.volume is None, -(each.volume or 0)),
    Order.SYMBOL: lambda each: each.symbol,
    Order.AGE: lambda each: each.heard_ns or 0,
}
"""What rows are sorted by otherwise."""


def _level(activity: float, level: int) -> int:
    """The step an activity is on, given the one it was on, which it keeps while it is near."""
    steps = math.log(max(activity, _NOTHING), _STEP)
    return level if level - _STICKY <= steps < level + 1 + _STICKY else math.floor(steps)
