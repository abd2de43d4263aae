"""Listings: the instruments of the synthetic market: which exist on a date, with keys as the broker spells them.

Owns the contracts and their expiries. Knows nothing about prices beyond where they start, nor about connections.
"""

import calendar
import datetime as dt
import functools
import zlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from tickrec.clock import IST, from_datetime
from tickrec.serve.synthetic.phases import HOLIDAYS
from tickrec.serve.synthetic.stocks import Stock, stocks


class Listing(NamedTuple):
    """One instrument. Prices are paise; `expiry_ms` is 23:59:59 IST of the last day, 0 without one."""

    key: str
    segment: str
    kind: str
    """EQ, BE, FUT, CE, PE, INDEX, or A for a share on BSE."""
    symbol: str
    name: str
    token: str
    price: float
    """Where its price starts; for options that of the underlying."""
    tick: int
    lot: int
    underlying: str = ""
    """Key of the spot that its price follows; empty for a spot."""
    underlying_symbol: str = ""
    underlying_type: str = ""
    underlying_key: str = ""
    expiry_ms: int = 0
    strike: float = 0.0
    """Rupees, as in the record."""
    weekly: bool = False
    isin: str = ""
    closing_auction: bool = False
    weight: int = 1
    """How much more often than the quietest it ticks."""


class _Index(NamedTuple):
    key: str
    symbol: str
    token: str
    price: float
    lot: int
    step: float
    tick: int
    """Tick of the futures in paise."""
    weekday: int
    """Weekday on which its contracts expire, Monday is 0."""
    weekly: bool


class _Commodity(NamedTuple):
    symbol: str
    name: str
    price: float
    lot: int
    step: float
    future_day: int
    """Day of the month on which its futures expire."""
    option_day: int
    """The same for options, 0: it has none."""


class _Spot(NamedTuple):
    """What a contract is written on: the facts that all contracts of an underlying share."""

    segment: str
    key: str
    """Key of the spot, which the contract's price follows; empty when it follows none."""
    symbol: str
    kind: str
    name: str
    price: float
    lot: int


_TUESDAY, _THURSDAY = 1, 3
_INDICES: Final = (
    _Index("NSE_INDEX|Nifty 50", "NIFTY", "26000", 25940.0, 65, 50, 10, _TUESDAY, True),
    _Index("NSE_INDEX|Nifty Bank", "BANKNIFTY", "26009", 58720.0, 30, 100, 20, _TUESDAY, False),
    _Index("NSE_INDEX|Nifty Fin Service", "FINNIFTY", "26037", 27410.0, 60, 50, 10, _TUESDAY, False),
    _Index("NSE_INDEX|NIFTY MID SELECT", "MIDCPNIFTY", "26074", 13940.0, 120, 25, 5, _TUESDAY, False),
    _Index("NSE_INDEX|Nifty Next 50", "NIFTYNXT50", "26013", 69450.0, 25, 100, 20, _TUESDAY, False),
    _Index("BSE_INDEX|SENSEX", "SENSEX", "1", 84810.0, 20, 100, 5, _THURSDAY, True),
)
_OTHER_INDICES: Final = (
    ("NSE_INDEX|India VIX", "INDIA VIX", "26017", 13.4),
    ("NSE_INDEX|Nifty IT", "NIFTY IT", "26008", 36820.0),
    ("NSE_INDEX|Nifty Auto", "NIFTY AUTO", "26029", 27640.0),
    ("NSE_INDEX|Nifty Pharma", "NIFTY PHARMA", "26030", 22510.0),
    ("NSE_INDEX|Nifty 500", "NIFTY 500", "26004", 23810.0),
    ("BSE_INDEX|BANKEX", "BANKEX", "12", 66240.0),
    ("MCX_INDEX|MCXBULLDEX", "MCXBULLDEX", "120", 29840.0),
)
_COMMODITIES: Final = (
    _Commodity("CRUDEOIL", "CRUDE OIL", 5240.0, 100, 50, 19, 16),
    _Commodity("GOLDM", "GOLD MINI", 124350.0, 10, 0, 5, 0),
)
_NSE_TOKENS: Final = {"RELIANCE": "2885", "HDFCBANK": "1333", "TCS": "11536", "INFY": "1594", "SBIN": "3045"}
_BSE: Final = {
    "RELIANCE": "500325",
    "TCS": "532540",
    "HDFCBANK": "500180",
    "INFY": "500209",
    "ICICIBANK": "532174",
    "SBIN": "500112",
    "ITC": "500875",
    "LT": "500510",
    "TATASTEEL": "500470",
    "M&M": "500520",
}
_STEPS: Final = (0.5, 1, 2.5, 5, 10, 20, 50, 100, 250, 500, 1000)
SHARE_STRIKES: Final = 10
_COMMODITY_STRIKES, _INDEX_STRIKES = 20, 40
"""Strikes either side of the money."""


class Master:
    """Every instrument that exists on a date, options on shares at `strikes` strikes either side of the money."""

    def __init__(self, date: dt.date, strikes: int = SHARE_STRIKES) -> None:
        self.date = date
        self.strikes = strikes
        self._tokens: dict[str, set[int]] = {}
        self.listings = {listing.key: listing for listing in self._list()}

    def _list(self) -> Iterator[Listing]:
        for index in _INDICES:
            yield _index(index.key, index.symbol, index.token, index.price, 8)
        for key, symbol, token, price in _OTHER_INDICES:
            yield _index(key, symbol, token, price, 2)
        shares = [self._share(stock) for stock in stocks()]
        yield from shares
        yield from (_bse_share(share) for share in shares if share.symbol in _BSE)
        for index in _INDICES:
            yield from self._index_contracts(index)
        for stock in stocks():
            if stock.lot:
                yield from self._stock_contracts(stock)
        yield from self._test_contracts()
        for commodity in _COMMODITIES:
            yield from self._commodity_contracts(commodity)

    def _token(self, segment: str, wanted: str) -> str:
        """A number that stays with a contract while it lives, whatever else is listed."""
        taken = self._tokens.setdefault(segment, set())
        number = zlib.crc32(f"{segment} {wanted}".encode()) % 130_000 + 35_000
        while number in taken:
            number += 1
        taken.add(number)
        return str(number)

    def _share(self, stock: Stock) -> Listing:
        token = _NSE_TOKENS.get(stock.symbol) or self._token("NSE_EQ", stock.symbol)
        return Listing(
            key=f"NSE_EQ|{stock.isin}",
            segment="NSE_EQ",
            kind=stock.series,
            symbol=stock.symbol,
            name=stock.name,
            token=token,
            price=stock.price * 100,
            tick=share_tick(stock.price),
            lot=1,
            isin=stock.isin,
            closing_auction=stock.lot > 0,
            weight=4 if stock.lot else 1,
        )

    def _index_contracts(self, index: _Index) -> Iterator[Listing]:
        segment = "NSE_FO" if index.key.startswith("NSE") else "BSE_FO"
        months = self._months(index.weekday)
        near = sorted({*self._weeks(index.weekday), *months})[:2] if index.weekly else months[:2]
        spot = _Spot(segment, index.key, index.symbol, "INDEX", index.symbol, index.price, index.lot)
        for number, expiry in enumerate(months):
            yield self._contract(spot, expiry, "FUT", tick=index.tick, weight=6 - 2 * number)
        strikes = _strikes(index.price, index.step, _INDEX_STRIKES)
        for expiry in near:
            yield from self._chain(spot, expiry, strikes, weekly=expiry not in months, weight=2)

    def _stock_contracts(self, stock: Stock) -> Iterator[Listing]:
        months = self._months(_TUESDAY)
        spot = _Spot("NSE_FO", f"NSE_EQ|{stock.isin}", stock.symbol, "EQUITY", stock.name, stock.price, stock.lot)
        for number, expiry in enumerate(months):
            yield self._contract(spot, expiry, "FUT", tick=share_tick(stock.price), weight=3 - number)
        step = next(step for step in _STEPS if step >= stock.price * 0.01)
        for expiry in months[:2]:
            yield from self._chain(spot, expiry, _strikes(stock.price, step, self.strikes))

    def _commodity_contracts(self, commodity: _Commodity) -> Iterator[Listing]:
        """Futures are their own spot; options on them name the future as underlying."""
        spot = _Spot("MCX_FO", "", commodity.symbol, "COM", commodity.name, commodity.price, commodity.lot)
        futures = [
            self._contract(spot, expiry, "FUT", tick=100, weight=4) for expiry in self._month_days(commodity.future_day)
        ]
        yield from futures
        if commodity.option_day:
            expiry = self._month_days(commodity.option_day)[0]
            future = next(x for x in futures if x.expiry_ms >= _expiry_ms(expiry))
            strikes = _strikes(commodity.price, commodity.step, _COMMODITY_STRIKES)
            yield from self._chain(spot._replace(key=future.key), expiry, strikes, tick=10)

    def _test_contracts(self) -> Iterator[Listing]:
        """The exchange's own dummies, which a recorder must not mistake for shares (page Instruments)."""
        expiry = dt.date(self.date.year + 10, 11, 27)
        for symbol in ("071NSETEST", "081NSETEST", "101NSETEST"):
            spot = _Spot("NSE_FO", "", symbol, "EQUITY", symbol, 100.0, 50)
            yield self._contract(spot, expiry, "FUT", tick=5)._replace(underlying_key=f"NSE_EQ|DUMMY{symbol}")

    def _chain(
        self,
        spot: _Spot,
        expiry: dt.date,
        strikes: list[float],
        *,
        tick: int = 5,
        weekly: bool = False,
        weight: int = 1,
    ) -> Iterator[Listing]:
        for strike in strikes:
            for kind in ("CE", "PE"):
                contract = self._contract(spot, expiry, kind, strike, tick=tick, weight=weight)
                yield contract._replace(weekly=True) if weekly else contract

    def _contract(
        self, spot: _Spot, expiry: dt.date, kind: str, strike: float = 0.0, *, tick: int, weight: int = 1
    ) -> Listing:
        middle = "FUT" if kind == "FUT" else f"{strike:g} {kind}"
        symbol = f"{spot.symbol} {middle} {_expiry_text(expiry)}"
        token = self._token(spot.segment, symbol)
        return Listing(
            key=f"{spot.segment}|{token}",
            segment=spot.segment,
            kind=kind,
            symbol=symbol,
            name=spot.name,
            token=token,
            price=spot.price * 100,
            tick=tick,
            lot=spot.lot,
            underlying=spot.key,
            underlying_symbol=spot.symbol,
            underlying_type=spot.kind,
            underlying_key=spot.key,
            expiry_ms=_expiry_ms(expiry),
            strike=float(strike),
            weight=weight,
        )

    def _months(self, weekday: int) -> list[dt.date]:
        """The last `weekday` of this and the next months, three expiries from today on."""
        lasts = (first.replace(day=calendar.monthrange(first.year, first.month)[1]) for first in self._firsts())
        return self._expiries(last - dt.timedelta((last.weekday() - weekday) % 7) for last in lasts)

    def _weeks(self, weekday: int) -> list[dt.date]:
        first = self.date + dt.timedelta((weekday - self.date.weekday()) % 7)
        return self._expiries(first + dt.timedelta(7 * week) for week in range(4))

    def _month_days(self, day: int) -> list[dt.date]:
        """The `day`th of this and the next months, three expiries from today on."""
        return self._expiries(first.replace(day=day) for first in self._firsts())

    def _firsts(self) -> Iterator[dt.date]:
        """The first days of this and the next three months."""
        for month in range(self.date.month - 1, self.date.month + 3):
            yield dt.date(self.date.year + month // 12, month % 12 + 1, 1)

    def _expiries(self, days: Iterable[dt.date]) -> list[dt.date]:
        """The first three from today on, each a trading day."""
        return [day for day in map(_trading_day, days) if day >= self.date][:3]


@functools.lru_cache(maxsize=8)
def master_of(date: dt.date, strikes: int = SHARE_STRIKES) -> Master:
    """The instruments of a date; read only, so it is made once."""
    return Master(date, strikes)


def share_tick(price: float) -> int:
    """The exchange's tick of a share in paise at a price in rupees (NSE, since 2025)."""
    for below, tick in ((250, 1), (1000, 5), (5000, 10), (10_000, 50), (20_000, 100)):
        if price < below:
            return tick
    return 500


def _index(key: str, symbol: str, token: str, price: float, weight: int) -> Listing:
    segment, name = key.split("|")
    return Listing(key, segment, "INDEX", symbol, name, token, price * 100, 5, 1, weight=weight)


def _bse_share(share: Listing) -> Listing:
    listed = share._replace(key=f"BSE_EQ|{share.isin}", segment="BSE_EQ", kind="A", name=f"{share.name}.")
    return listed._replace(token=_BSE[share.symbol], tick=5, closing_auction=True, weight=2)


def _strikes(price: float, step: float, each_side: int) -> list[float]:
    middle = round(price / step)
    lowest = max(middle - each_side, 1)
    return [number * step for number in range(lowest, middle + each_side + 1)]


def _trading_day(day: dt.date) -> dt.date:
    """The day, or the trading day before it: contracts expire early before a holiday."""
    while day.weekday() > 4 or day in HOLIDAYS:
        day -= dt.timedelta(1)
    return day


@functools.cache  # thousands of contracts share a few expiries
def _expiry_text(day: dt.date) -> str:
    return day.strftime("%d %b %y").upper()


@functools.cache
def _expiry_ms(day: dt.date) -> int:
    """23:59:59 IST of a day in ms, as the master states an expiry."""
    return from_datetime(dt.datetime.combine(day, dt.time(23, 59, 59), IST)) // 1_000_000
