"""Simulator: the synthetic market behind a server, as `tickrec simulate` serves it.

Owns the pace of the market and how it answers a server; how prices walk is not decided here.
"""

import datetime as dt
import functools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from tickrec.clock import SECOND, ist
from tickrec.errors import UsageError
from tickrec.serve.server import Server, Terms
from tickrec.serve.source import Minute, Moment, Update
from tickrec.serve.subscriptions import NORMAL_CAPS
from tickrec.serve.synthetic.listings import SHARE_STRIKES, Master
from tickrec.serve.synthetic.market import Market, Wheel
from tickrec.serve.synthetic.messages import FeedEncoder, empty_entry, market_info_frame
from tickrec.serve.synthetic.phases import Hours, Phase
from tickrec.serve.synthetic.prices import Trend
from tickrec.serve.synthetic.records import FILES, master_file
from tickrec.upstox.limits import CONNECTIONS, KEY_CAPS

_CATCH_UP_S: Final = 1.0
"""Of a clock that jumped, the most that the market makes up for, unless its interval is longer."""

_BAR_LATE_NS: Final = 19 * SECOND
"""After its end a minute's bar is served (observed 2026-09: 6 to 36 s, mostly 19)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Terms):
    """How the simulated broker behaves: of the terms of a server those that the account does not say."""

    rate: float = 1000.0
    """Most instrument updates a second, over all subscribed keys."""
    interval: float = 0.25
    """Seconds between messages; in each an instrument changes at most once."""
    seed: int = 1
    trend: float = 0.0
    """By how much every spot moves within `trend_span` seconds of the first subscription, beside its walk: 0.02 is up
    2 %."""
    trend_span: float = 300.0
    strikes: int = SHARE_STRIKES
    """Strikes either side of the money at which there are options on shares: most of the instruments there are."""
    plus: bool = False
    """A Plus account: 5 connections instead of 2, and full_d30."""
    always_open: bool = True
    """False: the exchanges keep their real hours."""


class Simulator(Server):
    """A server of the synthetic market, with faults on demand."""

    def __init__(self, settings: Settings) -> None:
        """Raises UsageError for a rate or an interval that is not above zero."""
        if settings.rate <= 0 or settings.interval <= 0:
            raise UsageError("the simulator's rate and interval must be above zero")
        plan, caps = ("plus", KEY_CAPS) if settings.plus else ("normal", NORMAL_CAPS)
        terms = replace(settings, clients=CONNECTIONS[plan], caps=caps, faults_on_demand=True)
        super().__init__(Synthetic(settings), terms)


class Synthetic:
    """The synthetic market as a source.

    At each interval some of the wanted instruments move, `rate` a second in all, and are one message.
    """

    name: Final = ""
    lossless: Final = False
    ended: Final = False

    def __init__(self, settings: Settings) -> None:
        clock = settings.clock
        self._hours = Hours(always_open=settings.always_open)
        trend = Trend(settings.trend, int(settings.trend_span * 1000))
        self._market = Market(settings.seed, self._hours, clock.wall_ns(), trend, settings.strikes)
        self._rate = settings.rate
        self._interval_ns = int(settings.interval * SECOND)
        self._seed = settings.seed
        self._encoders: dict[tuple[str, str], FeedEncoder] = {}
        self._wanted: Collection[str] = ()
        self._wheel: Wheel | None = None
        self._budget = 0.0
        self._last_ns = self._due_ns = clock.monotonic_ns()
        self._info = self._hours.market_info(clock.wall_ns())
        self._info_second = clock.wall_ns() // SECOND

    def pause_s(self, now: Moment) -> float:
        """Seconds until the next interval, counted from the first so that delays do not add up."""
        self._due_ns = max(self._due_ns + self._interval_ns, self._last_ns)
        return max(0, self._due_ns - now.mono_ns) / SECOND

    def due(self, now: Moment) -> Iterator[Update]:
        """Let the market move on, and say what changed."""
        longest = max(_CATCH_UP_S, 2 * self._interval_ns / SECOND)
        passed = min((now.mono_ns - self._last_ns) / SECOND, longest)
        self._last_ns = now.mono_ns
        self._market.turn(now.wall_ns)
        yield from self._changed_info(now)
        self._budget += self._rate * passed
        count = int(self._budget)
        self._budget -= count
        moved = self._market.move(self._turned_wheel(now).take(count), now.wall_ns)
        if moved:
            yield Update(self.sent_ms(now), {each.listing.key: "" for each in moved})

    def _changed_info(self, now: Moment) -> Iterator[Update]:
        """market_info when a segment's state has changed; looked at once a second."""
        if now.wall_ns // SECOND == self._info_second:
            return
        self._info_second = now.wall_ns // SECOND
        info = self._hours.market_info(now.wall_ns)
        if info != self._info:
            self._info = info
            yield Update(self.sent_ms(now), payload=self.market_info(now))

    def want(self, keys: Collection[str], now: Moment) -> None:
        """Be told which instruments move; those that nobody wanted before catch up with the clock. With the first of
        all the trend begins."""
        if keys:
            self._market.trend.begin(self.sent_ms(now))
        for key in set(keys).difference(self._wanted):
            self._market.catch_up(key, now.wall_ns)
        self._wanted = keys
        self._wheel = None

    def _turned_wheel(self, now: Moment) -> Wheel:
        """The wheel of all wanted instruments; a new one after subscriptions changed."""
        if self._wheel is None:
            securities = [self._market.security(key, now.wall_ns) for key in self._wanted]
            self._wheel = Wheel([x for x in securities if x is not None], self._seed)
        return self._wheel

    def feed(self, key: str, mode: str, now: Moment) -> bytes:
        """The feed of an instrument; of a well-formed key that does not exist, one without values."""
        encoder = self._encoders.get((key, mode))
        if encoder is None:
            security = self._market.security(key, now.wall_ns)
            if security is None:
                return empty_entry(key, mode)
            encoder = self._encoders[(key, mode)] = FeedEncoder(security, mode)
        return encoder.entry(self._market.phase(encoder.security, now.wall_ns), self.sent_ms(now))

    def sent_ms(self, now: Moment) -> int:
        """The server's time for a message made now."""
        return now.wall_ns // 1_000_000

    def market_info(self, now: Moment) -> bytes:
        """The message about the segments."""
        return market_info_frame(self._info, self.sent_ms(now))

    def instruments(self, exchange: str, _now: Moment) -> bytes | None:
        """The file of an exchange; None: no such file."""
        return _file(self._market.master, exchange) if exchange in FILES else None

    def holidays(self) -> list[dict[str, Any]]:
        """The data of /v2/market/holidays."""
        return self._hours.holidays_body()

    def timings(self, date: dt.date) -> list[dict[str, Any]]:
        """The data of /v2/market/timings/{date}."""
        return self._hours.timings_body(date)

    def last_price(self, key: str, now: Moment) -> tuple[str, dict[str, Any]] | None:
        """An instrument's row of /v3/market-quote/ltp; one that nobody streams catches up with the clock."""
        security = self._market.security(key, now.wall_ns)
        if security is None:
            return None
        left_alone = key not in self._wanted and self.sent_ms(now) - security.ltt > 1000
        if left_alone and self._market.phase(security, now.wall_ns) is Phase.OPEN:
            security.move(self.sent_ms(now))
        listing = security.listing
        row = {
            "last_price": security.ltp / 100,
            "instrument_token": listing.key,
            "ltq": security.ltq,
            "volume": security.vtt,
            "cp": security.cp / 100,
        }
        return f"{listing.segment}:{listing.symbol.replace(' ', '')}", row

    def today(self, now: Moment) -> dt.date:
        """The date of the clock."""
        return ist(now.wall_ns).date()

    async def minutes(self, key: str, first: dt.date, last: dt.date, now: Moment) -> list[Minute] | None:
        """The finished minutes of an instrument; the newest is there some seconds after its end, as at the broker."""
        if key not in self._wanted:
            self._market.catch_up(key, now.wall_ns)
        found = self._market.minutes(key, first, last, now.wall_ns - _BAR_LATE_NS)
        if found is None:
            return None
        return [
            Minute(start, opened / 100, high / 100, low / 100, close / 100, volume, oi)
            for start, opened, high, low, close, volume, oi in found
        ]

    def key_of(self, symbol: str) -> str | None:
        """The instrument that a trading symbol or a key stands for; of several the one that comes first."""
        listings = self._market.master.listings
        if symbol in listings:
            return symbol
        return next((each.key for each in listings.values() if each.symbol == symbol), None)

    def status(self, _now: Moment) -> dict[str, Any]:
        """Nothing that the server does not count."""
        return {}


@functools.lru_cache(maxsize=len(FILES))
def _file(master: Master, exchange: str) -> bytes:
    """The file of an exchange; made in whatever thread asks."""
    return master_file(exchange, master.listings.values())
