"""Prices: the values of one synthetic instrument: a price that walks, a book that persists, a volume that grows.

Options and futures follow the walk of their underlying. Everything is drawn from random numbers seeded by the seed and
the instrument's key. Knows nothing about messages and connections.

Prices are whole paise inside, so that no rounding creeps in; times are ms since the epoch.
"""

import random
from dataclasses import dataclass
from typing import Final, NamedTuple

from tickrec.serve.synthetic.listings import Listing
from tickrec.serve.synthetic.minutes import MINUTE_MS, Before, Minute, Minutes
from tickrec.serve.synthetic.options import RATE, YEAR_MS, Valuation, smile, value
from tickrec.serve.synthetic.phases import Phase

DEPTH: Final = 30
"""Levels kept of a book."""
_IST_MS: Final = 19_800_000
_ROUGHNESS: Final = 1.1e-4
"""Standard deviation of a spot's return over one second: about 25 % a year of trading hours."""
_PULL: Final = 1e-5
"""How strongly a second pulls a spot back to where it started, so that a long run stays plausible."""


@dataclass(slots=True)
class Trend:
    """A move of every spot beside its walk: by `share` within `span_ms` of its beginning, and no further."""

    share: float = 0.0
    """0.02 is up two per cent."""
    span_ms: int = 1
    begun_ms: int | None = None

    def begin(self, now: int) -> None:
        """Let it begin, if it has not."""
        self.begun_ms = now if self.begun_ms is None else self.begun_ms

    def factor(self, now: int) -> float:
        """What a price is multiplied by at a moment."""
        if self.begun_ms is None:
            return 1.0
        return 1.0 + self.share * min(1.0, max(0.0, (now - self.begun_ms) / self.span_ms))


class Bar:
    """Open, high, low, close in paise and volume of a day or a minute beginning at `start` (ms)."""

    __slots__ = ("close", "high", "low", "oi", "open", "start", "volume")

    def __init__(self, start: int, price: int, volume: int = 0, oi: int = 0) -> None:
        self.start = start
        self.open = self.high = self.low = self.close = price
        self.volume = volume
        self.oi = oi
        """Open interest at the end."""

    def trade(self, price: int, volume: int) -> None:
        """Take one trade in."""
        self.close = price
        self.volume += volume
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price


class Auction(NamedTuple):
    """A call auction: the price and quantity that would match now, the unmatched rest; positive is buy excess."""

    price: int
    reference: int
    quantity: int
    imbalance: int
    market_imbalance: int


class Book:
    """Bids and asks: best prices in paise, distances of the deeper levels, and a quantity for each level."""

    def __init__(self, rng: random.Random, tick: int, lot: int, price: float) -> None:
        self._random = rng.random
        self._lot = lot if lot > 1 else max(1, int(200_000 / price))
        self.tick = tick
        self.spread = max(1, round(price * 2e-4 / tick)) * tick
        self.bid_offsets = _offsets(rng, tick)
        self.ask_offsets = _offsets(rng, tick)
        self.bid = int((price - self.spread / 2) // tick) * tick
        self.ask = self.bid + self.spread
        self.bid_qtys = [self.quantity() for _ in range(DEPTH)]
        self.ask_qtys = [self.quantity() for _ in range(DEPTH)]

    def quantity(self) -> int:
        """A quantity as it stands in a book, mostly small."""
        draw = self._random()
        return (1 + int(draw * draw * draw * 60)) * self._lot

    def follow(self, fair: float) -> None:
        """Move the best prices around `fair` (paise) and change one or two quantities; levels keep theirs."""
        bid = int((fair - self.spread / 2) // self.tick) * self.tick
        shift = (bid - self.bid) // self.tick
        if shift:
            self.bid = bid
            self.ask = bid + self.spread
            up, down = (self.bid_qtys, self.ask_qtys) if shift > 0 else (self.ask_qtys, self.bid_qtys)
            for _ in range(min(abs(shift), 3)):
                up.insert(0, self.quantity())
                up.pop()
                down.append(down.pop(0))
        level = int(self._random() * 5)
        self.bid_qtys[level] = self.quantity()
        if shift == 0:
            self.ask_qtys[4 - level] = self.quantity()


class Security:
    """One instrument of the market with its latest values."""

    def __init__(
        self, listing: Listing, spot: "Security | None", seed: int, now: int, start: int, trend: Trend
    ) -> None:
        self.listing = listing
        self.spot = spot
        self.version = 0
        """Grows with every change."""
        self.valuation: Valuation | None = None
        self.iv = 0.0
        self.auction: Auction | None = None
        """The latest state of a call auction."""
        self._random = rng = random.Random(f"{seed} {listing.key}")
        self._seed = f"{seed} {listing.key}"
        self._minutes = Minutes(self._seed)
        self._begin = start
        """The first session that there was."""
        self._seen = now
        self._level = listing.price
        """The spot's walk in paise; unused when something else is followed."""
        self._anchor = listing.price
        self._trend = trend
        self._premium = rng.uniform(0.998, 1.002)
        self._iv_level = rng.uniform(0.10, 0.14) if listing.underlying_type == "INDEX" else rng.uniform(0.18, 0.34)
        self._tick = listing.tick
        self._is_index = listing.kind == "INDEX"
        # BSE's trade times can be ahead of the feed's own clock (observed 2025-11).
        self._ahead = 160 if listing.segment == "BSE_FO" else -20
        price = self._fair(now)
        self.cp = self._grid(price * rng.uniform(0.985, 1.015))
        self.ltp = self._grid(price)
        self.book = Book(rng, listing.tick, listing.lot, price)
        if not self._is_index:
            self.ltp = max(self.book.bid if rng.random() < 0.5 else self.book.ask, self._tick)
        self._start_day(now, start)

    def _start_day(self, now: int, start: int) -> None:
        """Values as if the day had been traded from `start` until `now`."""
        rng, listing = self._random, self.listing
        self.ltq = 0 if self._is_index else self._quantity()
        quiet = rng.random() * (2_000 if listing.weight > 1 else 90_000)
        self.ltt = max(start, now - int(quiet))
        if self._is_index:
            self.ltt = self.ltt // 1000 * 1000
        day_share = min(1.0, max(0.0, (now - start) / 22_500_000))
        daily = rng.uniform(4e10, 4e11) * listing.weight / (self.listing.price if listing.expiry_ms == 0 else 1e6)
        self.vtt = 0 if self._is_index else int(daily * day_share / listing.lot) * listing.lot + self.ltq
        opened = self._grid(self.cp + (self.ltp - self.cp) * rng.random())
        self.day = Bar(midnight(start), opened, self.vtt)
        span = max(abs(self.ltp - self.cp), 4 * self._tick)
        self.day.high = self._grid(max(opened, self.ltp) + span * rng.random() / 2)
        self.day.low = self._grid(max(min(opened, self.ltp) - span * rng.random() / 2, self._tick))
        self.day.close = self.ltp
        self._value = self.vtt * (self.day.high + self.day.low + self.ltp) / 3
        self.oi = 0 if listing.expiry_ms == 0 else listing.lot * rng.randrange(200, 60_000)
        self.tbq = sum(self.book.bid_qtys) * 12
        self.tsq = sum(self.book.ask_qtys) * 12
        minute = self.ltt // MINUTE_MS * MINUTE_MS
        self._minute = Bar(minute, self.ltp, self.ltq, self.oi)
        self._minutes.begin(self._before(start, minute))
        self.last_minute = Bar(minute - MINUTE_MS, self.ltp, min(self.ltq * 3, self.vtt - self.ltq))
        self.last_minute.trade(min(self.ltp + self._tick, self.day.high), 0)

    def _before(self, start: int, until: int) -> Before:
        """The day until the minute in which it is first seen."""
        day, listing = self.day, self.listing
        prices = day.open, max(day.high, self.ltp), min(day.low, self.ltp), self.ltp
        return Before(start, until, *prices, self.vtt - self.ltq, self.oi, listing.lot, listing.tick)

    def minutes(self, start: int, end: int, now: int) -> list[Minute]:
        """The exchange's bars of the minutes from `start` to before `end` that are over `now`, without empty ones."""
        if end <= self._begin:
            return list(self._never_seen(start, end).minutes(f"{self._seed} {start}"))
        found = self._minutes.between(start, min(end, now - MINUTE_MS + 1))
        last = _finished(self._minute)
        return [*found, last] if start <= last.start < end and last.start + MINUTE_MS <= now else found

    def _never_seen(self, start: int, end: int) -> Before:
        """A whole session before the first that there was."""
        rng, listing = random.Random(f"{self._seed} {start} day"), self.listing
        opened, closed = (self._grid(self.cp * rng.gauss(1.0, 0.012)) for _ in range(2))
        span = abs(opened - closed) + 4 * self._tick
        high, low = max(opened, closed) + span, max(min(opened, closed) - span, self._tick)
        volume = 0 if self._is_index else int(self.vtt * rng.uniform(0.5, 2.0))
        return Before(start, end, opened, high, low, closed, volume, self.oi, listing.lot, listing.tick)

    @property
    def atp(self) -> float:
        """Average traded price of the day, paise; 0 before the first trade."""
        return self._value / self.vtt if self.vtt else 0.0

    def move(self, now: int, phase: Phase = Phase.OPEN) -> None:
        """One update: the book changes, and mostly there were trades as well; in an auction only its numbers do."""
        self.version += 1
        fair = self._fair(now)
        if phase is not Phase.OPEN:
            self.auction = self._call(fair, phase)
            return
        self.auction = None
        if self._is_index:
            self._print(self._grid(fair), now // 1000 * 1000)
            return
        self.book.follow(fair)
        self.day.volume = self.vtt
        if self._random.random() < 0.7:
            self._trade(now)
        if self.version & 1:
            self.tbq = sum(self.book.bid_qtys) * 12
            self.tsq = sum(self.book.ask_qtys) * 12

    def _call(self, fair: float, phase: Phase) -> Auction:
        """The state of a call auction whose orders meet around `fair`."""
        rng = self._random
        return Auction(
            price=self._grid(fair),
            reference=self.cp if phase is Phase.PRE_OPEN else self._grid(self.atp),
            quantity=self._quantity() * 40,
            imbalance=self._quantity() * rng.choice((-7, 5)),
            market_imbalance=self._quantity() * rng.choice((-11, 9)),
        )

    def _trade(self, now: int) -> None:
        """Trades since the last update: only the last one is shown, the volume counts all."""
        rng = self._random
        price = max(self.book.bid if rng.random() < 0.5 else self.book.ask, self._tick)
        self.ltq = self._quantity()
        hidden = self._quantity() if rng.random() < 0.5 else 0
        volume = self.ltq + hidden
        self.vtt += volume
        self._value += volume * price
        if self.listing.expiry_ms:
            self.oi = max(0, self.oi + self.listing.lot * int(rng.random() * 5 - 2))
        late = int(rng.random() * 220) - self._ahead
        self._print(price, max(self.ltt + 1, now - late), volume)

    def _print(self, price: int, moment: int, volume: int = 0) -> None:
        """A new last price: the day's bar, the minute's bar, and the last completed minute when one is over."""
        self.ltp = price
        self.ltt = moment
        self.day.trade(price, 0)  # the day's volume lags behind vtt
        minute = moment // MINUTE_MS * MINUTE_MS
        bar = self._minute
        if bar.start == minute:
            bar.trade(price, volume)
            bar.oi = self.oi
            return
        self._minutes.add(_finished(bar))
        if bar.start != minute - MINUTE_MS:
            bar = Bar(minute - MINUTE_MS, bar.close)
        self.last_minute = bar
        self._minute = Bar(minute, price, volume, self.oi)

    def new_day(self, now: int, start: int) -> None:
        """The next trading date: yesterday's close becomes the previous close, volumes start again."""
        self.version += 1
        self._minutes.add(_finished(self._minute))
        self.cp = self.ltp
        open_interest = self.oi
        self._start_day(now, start)
        self.oi = open_interest

    def _fair(self, now: int) -> float:
        """What it is worth now, paise; lets the spot walk on first."""
        if self.spot is None:
            return self._walk(now)
        level = self.spot._fair(now)
        expiry = self.listing.expiry_ms
        years = max(expiry - 30_599_000 - now, 600_000) / YEAR_MS  # trading ends at 15:30
        if self.listing.kind == "FUT":
            return level * (1.0 + RATE * years) * self._premium
        strike = self.listing.strike * 100.0
        self.iv = smile(self._iv_level, level, strike, years)
        self.valuation = value(self.listing.kind == "CE", level / 100, strike / 100, years, self.iv)
        return max(self.valuation.price * 100, float(self._tick))

    def _walk(self, now: int) -> float:
        seconds = (now - self._seen) / 1000
        if seconds > 0:
            self._seen = now
            step = self._random.gauss(0.0, _ROUGHNESS * seconds**0.5)
            self._level += self._level * step + (self._anchor - self._level) * min(1.0, _PULL * seconds)
        return self._level * self._trend.factor(now)

    def _quantity(self) -> int:
        draw = self._random.random()
        if self.listing.lot > 1:
            return (1 + int(draw * draw * draw * 12)) * self.listing.lot
        return 1 + int(draw * draw * draw * 400)

    def _grid(self, price: float) -> int:
        return max(1, round(price / self._tick)) * self._tick


def _finished(bar: Bar) -> Minute:
    return Minute(bar.start, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.oi)


def midnight(moment: int) -> int:
    """00:00 IST of the day of a moment, both in ms: the start of its daily bar."""
    return (moment + _IST_MS) // 86_400_000 * 86_400_000 - _IST_MS


def _offsets(rng: random.Random, tick: int) -> tuple[int, ...]:
    """Distances in paise of the levels of one side from its best price."""
    distance, offsets = 0, []
    for _ in range(DEPTH):
        offsets.append(distance)
        distance += tick * (1 if rng.random() < 0.8 else 2)
    return tuple(offsets)
