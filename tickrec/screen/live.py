"""Live: the last values of every instrument and the rates of a run, as a frozen LiveView.

Owns what the live table knows. Never sees a message: whoever decodes gives it Quotes, after they were journalled.
Updating costs about a microsecond a quote; whatever is dearer happens in `view`, a few times a second.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final, NamedTuple

from tickrec.clock import SECOND
from tickrec.status.runstatus import RunStatus
from tickrec.upstox.decode.quotes import Quote

FRAME_SECONDS: Final = 0.25
"""How often a view is shown."""
REORDER_NS: Final = 5 * SECOND
"""Rows change places at most this often."""
MOST_ROWS: Final = 400
"""More instruments than any terminal shows."""
MOST_PINNED: Final = 8
"""Indices that stay at the top; more would leave no room for what is traded."""
_FADE: Final = 0.8
"""What remains of an instrument's activity from one reordering to the next: half of it after 15 seconds."""
_NOTHING: Final = 0.01
"""An activity that is as good as none: one trade, a hundred seconds ago."""
_STEP: Final = 4.0
"""Instruments change places when their activities differ by about this factor."""
_STICKY: Final = 0.3
"""How far beyond its step an activity must be, so that instruments at the edge of one do not hop."""


class Row(NamedTuple):
    """One instrument as the table shows it. Prices in rupees; None where there is nothing to show."""

    symbol: str
    ltp: float | None
    direction: int
    """Of the last change of ltp: 1 up, -1 down, 0 not seen to change."""
    change: float | None
    """Percent against the previous close."""
    bid: float | None
    ask: float | None
    volume: int | None
    oi: float | None
    age_s: float | None
    """Seconds since the last message about it."""


class Extent(NamedTuple):
    """The longest symbol and the largest values of all instruments, shown or not: columns that fit them stay put."""

    symbol: int = 0
    """Characters."""
    price: float = 0.0
    volume: int = 0
    oi: float = 0.0


@dataclass(frozen=True, slots=True)
class LiveView:
    """What the live table shows at one moment."""

    run: RunStatus
    now_ns: int
    """Wall time."""
    rows: tuple[Row, ...]
    """Pinned indices in the order of the selection, then the liveliest instruments first."""
    hidden: int
    """Instruments beyond `rows`."""
    extent: Extent
    news: str = ""
    """The last line that would have been logged to a terminal."""
    pinned: int = 0
    """How many of `rows` are indices that keep their places."""


@dataclass(slots=True)
class _Instrument:
    symbol: str
    ltp: float | None = None
    direction: int = 0
    cp: float | None = None
    bid: float | None = None
    ask: float | None = None
    volume: int | None = None
    oi: float | None = None
    ltt_ms: int | None = None
    heard_ns: int | None = None
    trades: int = 0
    """Since the rows were last put in order."""
    activity: float = 0.0
    level: int = -4
    pinned: bool = False


class Live:
    """Last values of the instruments named by `symbols` (key to symbol), in that order until they trade.

    Others are added when they are heard of, by their symbols in `names`. The first few indices stay at the top.
    """

    def __init__(self, symbols: Mapping[str, str], *, names: Mapping[str, str] | None = None) -> None:
        self._names = names or {}
        self._instruments: dict[str, _Instrument] = {}
        self._order: list[_Instrument] = []
        self._pinned = 0
        for key, symbol in symbols.items():
            self._add(key, symbol)
        self._extent = Extent(max(map(len, symbols.values()), default=0))
        self._ordered_ns: int | None = None

    def update(self, quotes: Sequence[Quote], wall_ns: int) -> None:
        """Take the quotes of a message received at `wall_ns`. What was not sent keeps its value.

        Zero stands for "none" in prices, as in the wire format: an empty side of the book clears bid or ask, while a
        last price, volume or open interest that was once sent is not taken back.
        """
        for key, ltp, cp, bid, ask, volume, oi, ltt_ms in quotes:
            if not isfinite((ltp or 0.0) + (cp or 0.0) + (bid or 0.0) + (ask or 0.0) + (oi or 0.0)):
                continue  # a double may be no number at all; there is nothing to show then
            instrument = self._instruments.get(key) or self._add(key, self._names.get(key) or key)
            if ltp and ltp != instrument.ltp:
                if instrument.ltp is not None:
                    instrument.direction = 1 if ltp > instrument.ltp else -1
                instrument.ltp = ltp
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

    def view(self, run: RunStatus, now_ns: int, *, limit: int = MOST_ROWS, news: str = "") -> LiveView:
        """The table at wall time `now_ns`, with at most `limit` rows."""
        if self._ordered_ns is None or not 0 <= now_ns - self._ordered_ns < REORDER_NS:
            self._reorder()
            self._measure()
            self._ordered_ns = now_ns
        rows = tuple([_row(instrument, now_ns) for instrument in self._order[:limit]])
        pinned = min(self._pinned, len(rows))
        return LiveView(run, now_ns, rows, len(self._order) - len(rows), self._extent, news, pinned)

    def _add(self, key: str, symbol: str) -> _Instrument:
        pinned = self._pinned < MOST_PINNED and is_index(key)
        self._pinned += pinned
        instrument = self._instruments[key] = _Instrument(symbol, pinned=pinned)
        self._order.append(instrument)
        return instrument

    def _reorder(self) -> None:
        """Sort by activity, which fades: who traded most in the last half minute comes first.

        Activities are compared in steps, and equals keep their places: the table moves little enough to be read.
        """
        for instrument in self._order:
            instrument.activity = instrument.activity * _FADE + instrument.trades
            instrument.trades = 0
            instrument.level = _level(instrument.activity, instrument.level)
        self._order.sort(key=_place)

    def _measure(self) -> None:
        every = self._order
        self._extent = Extent(
            max((len(each.symbol) for each in every), default=0),
            max((each.ltp or 0.0 for each in every), default=0.0),
            max((each.volume or 0 for each in every), default=0),
            max((each.oi or 0.0 for each in every), default=0.0),
        )


def is_index(key: str) -> bool:
    """Whether an instrument key is that of an index, such as NSE_INDEX|Nifty 50."""
    return key.partition("|")[0].endswith("_INDEX")


def _place(instrument: _Instrument) -> tuple[bool, int, bool]:
    """What rows are sorted by; equals keep their order."""
    if instrument.pinned:
        return False, 0, False
    return True, -instrument.level, instrument.heard_ns is None


def _level(activity: float, level: int) -> int:
    """The step an activity is on, given the one it was on, which it keeps while it is near."""
    steps = math.log(max(activity, _NOTHING), _STEP)
    return level if level - _STICKY <= steps < level + 1 + _STICKY else math.floor(steps)


def _row(instrument: _Instrument, now_ns: int) -> Row:
    ltp, cp, heard_ns = instrument.ltp, instrument.cp, instrument.heard_ns
    return Row(
        instrument.symbol,
        ltp,
        instrument.direction,
        (ltp / cp - 1.0) * 100.0 if ltp and cp else None,
        instrument.bid,
        instrument.ask,
        instrument.volume,
        instrument.oi,
        (now_ns - heard_ns) / SECOND if heard_ns is not None else None,
    )


class Rate:
    """Events a second over the last few seconds, from running totals that are sampled about once a second."""

    def __init__(self, window_ns: int = 5 * SECOND) -> None:
        self._window_ns = window_ns
        self._samples: deque[tuple[int, int]] = deque()

    def sample(self, total: int, mono_ns: int) -> float:
        """Take the running total at a monotonic time; the rate since the oldest sample in the window."""
        samples = self._samples
        samples.append((mono_ns, total))
        while len(samples) > 2 and samples[1][0] <= mono_ns - self._window_ns:
            samples.popleft()
        then_ns, before = samples[0]
        return (total - before) * SECOND / (mono_ns - then_ns) if mono_ns > then_ns else 0.0
