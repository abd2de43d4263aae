"""The instruments of the synthetic market and the instrument master files that list them.

Owns which instruments exist on a date and the shape of their records: every key and type is that of the broker's own
files (page Instruments, 2026-09). Knows nothing about prices beyond where they start, nor about connections.
"""

import calendar
import datetime as dt
import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from tickrec.clock import IST, from_datetime
from tickrec.upstox.simulator_hours import HOLIDAYS
from tickrec.upstox.simulator_stocks import Stock, stocks

FILES: Final = ("complete", "NSE", "BSE", "MCX")
"""The master files served, as in .../instruments/exchange/<name>.json.gz."""


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
    freeze: float
    weekday: int
    """Weekday on which its contracts expire, Monday is 0."""
    weekly: bool


_TUESDAY, _THURSDAY = 1, 3
_INDICES: Final = (
    _Index("NSE_INDEX|Nifty 50", "NIFTY", "26000", 25940.0, 65, 50, 10, 1800, _TUESDAY, True),
    _Index("NSE_INDEX|Nifty Bank", "BANKNIFTY", "26009", 58720.0, 30, 100, 20, 600, _TUESDAY, False),
    _Index("NSE_INDEX|Nifty Fin Service", "FINNIFTY", "26037", 27410.0, 60, 50, 10, 1800, _TUESDAY, False),
    _Index("NSE_INDEX|NIFTY MID SELECT", "MIDCPNIFTY", "26074", 13940.0, 120, 25, 5, 2800, _TUESDAY, False),
    _Index("NSE_INDEX|Nifty Next 50", "NIFTYNXT50", "26013", 69450.0, 25, 100, 20, 600, _TUESDAY, False),
    _Index("BSE_INDEX|SENSEX", "SENSEX", "1", 84810.0, 20, 100, 5, 1000, _THURSDAY, True),
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
    # symbol, name, rupees, lot, futures tick in paise, unit, strike step, day of the futures' expiry, of the options'
    ("CRUDEOIL", "CRUDE OIL", 5240.0, 100, 100, "BBL", 50, 19, 16),
    ("GOLDM", "GOLD MINI", 124350.0, 10, 100, "10 GRMS", 0, 5, 0),
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
_STOCK_STRIKES, _INDEX_STRIKES = 10, 20
"""Strikes either side of the money."""


class Master:
    """Every instrument that exists on a date."""

    def __init__(self, date: dt.date) -> None:
        self.date = date
        self._tokens: dict[str, set[str]] = {}
        self.listings = {listing.key: listing for listing in self._list()}

    def file(self, name: str) -> bytes:
        """The master file `name` (one of FILES) as gzipped JSON."""
        rows = [record(x) for x in self.listings.values() if name == "complete" or x.segment in _segments(name)]
        return gzip.compress(json.dumps(rows, separators=(",", ":")).encode(), 6, mtime=0)

    def _list(self) -> Iterator[Listing]:
        for index in _INDICES:
            yield _index(index.key, index.symbol, index.token, index.price, 8)
        for key, symbol, token, price in _OTHER_INDICES:
            yield _index(key, symbol, token, price, 2)
        shares = stocks()
        for stock in shares:
            yield self._share(stock)
        yield from (_bse_share(stock) for stock in shares if stock.symbol in _BSE)
        for index in _INDICES:
            yield from self._index_contracts(index)
        for stock in shares:
            if stock.lot:
                yield from self._stock_contracts(stock)
        yield from self._test_contracts()
        for commodity in _COMMODITIES:
            yield from self._commodity_contracts(*commodity)

    def _token(self, segment: str, wanted: str) -> str:
        """A number that stays with a contract while it lives, whatever else is listed."""
        taken = self._tokens.setdefault(segment, set())
        number = zlib.crc32(f"{segment} {wanted}".encode()) % 130_000 + 35_000
        while str(number) in taken:
            number += 1
        taken.add(str(number))
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
        spot = (segment, index.key, index.symbol, "INDEX", index.symbol, index.price * 100, index.lot)
        for number, expiry in enumerate(months):
            yield self._contract(*spot, index.tick, expiry, "FUT", 0.0, weight=6 - 2 * number)
        for expiry in near:
            weekly = expiry not in months
            for strike in _strikes(index.price, index.step, _INDEX_STRIKES):
                for kind in ("CE", "PE"):
                    yield self._contract(*spot, 5, expiry, kind, strike, weekly=weekly, weight=2)

    def _stock_contracts(self, stock: Stock) -> Iterator[Listing]:
        months = self._months(_TUESDAY)
        key = f"NSE_EQ|{stock.isin}"
        spot = ("NSE_FO", key, stock.symbol, "EQUITY", stock.name, stock.price * 100, stock.lot)
        for number, expiry in enumerate(months):
            yield self._contract(*spot, share_tick(stock.price), expiry, "FUT", 0.0, weight=3 - number)
        step = next(step for step in _STEPS if step >= stock.price * 0.01)
        for expiry in months[:2]:
            for strike in _strikes(stock.price, step, _STOCK_STRIKES):
                for kind in ("CE", "PE"):
                    yield self._contract(*spot, 5, expiry, kind, strike)

    def _commodity_contracts(
        self, symbol: str, name: str, price: float, lot: int, tick: int, _unit: str, step: float, day: int, option: int
    ) -> Iterator[Listing]:
        """Futures are their own spot; options on them name the future as underlying."""
        spot = ("MCX_FO", "", symbol, "COM", name, price * 100, lot)
        futures = [self._contract(*spot, tick, expiry, "FUT", 0.0, weight=4) for expiry in self._month_days(day)]
        yield from futures
        if option:
            expiry = self._month_days(option)[0]
            future = next(x for x in futures if x.expiry_ms >= _expiry_ms(expiry))
            spot = ("MCX_FO", future.key, symbol, "COM", name, price * 100, lot)
            for strike in _strikes(price, step, _STOCK_STRIKES):
                for kind in ("CE", "PE"):
                    yield self._contract(*spot, 10, expiry, kind, strike)

    def _test_contracts(self) -> Iterator[Listing]:
        """The exchange's own dummies, which a recorder must not mistake for shares (page Instruments)."""
        expiry = dt.date(self.date.year + 10, 11, 27)
        for symbol in ("071NSETEST", "081NSETEST", "101NSETEST"):
            dummy = f"NSE_EQ|DUMMY{symbol}"
            spot = ("NSE_FO", dummy, symbol, "EQUITY", symbol, 10_000.0, 50)
            yield self._contract(*spot, 5, expiry, "FUT", 0.0)._replace(underlying="")

    def _contract(
        self,
        segment: str,
        underlying: str,
        underlying_symbol: str,
        underlying_type: str,
        name: str,
        price: float,
        lot: int,
        tick: int,
        expiry: dt.date,
        kind: str,
        strike: float,
        *,
        weekly: bool = False,
        weight: int = 1,
    ) -> Listing:
        day = expiry.strftime("%d %b %y").upper()
        symbol = f"{underlying_symbol} FUT {day}" if kind == "FUT" else f"{underlying_symbol} {strike:g} {kind} {day}"
        token = self._token(segment, symbol)
        return Listing(
            key=f"{segment}|{token}",
            segment=segment,
            kind=kind,
            symbol=symbol,
            name=name,
            token=token,
            price=price,
            tick=tick,
            lot=lot,
            underlying=underlying,
            underlying_symbol=underlying_symbol,
            underlying_type=underlying_type,
            underlying_key=underlying,
            expiry_ms=_expiry_ms(expiry),
            strike=float(strike),
            weekly=weekly,
            weight=weight,
        )

    def _months(self, weekday: int) -> list[dt.date]:
        """The last `weekday` of this and the next months, three expiries from today on."""
        found: list[dt.date] = []
        year, month = self.date.year, self.date.month
        while len(found) < 3:
            last = dt.date(year, month, calendar.monthrange(year, month)[1])
            day = _trading_day(last - dt.timedelta((last.weekday() - weekday) % 7))
            if day >= self.date:
                found.append(day)
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return found

    def _weeks(self, weekday: int) -> list[dt.date]:
        first = self.date + dt.timedelta((weekday - self.date.weekday()) % 7)
        days = (_trading_day(first + dt.timedelta(7 * week)) for week in range(4))
        return [day for day in days if day >= self.date]

    def _month_days(self, day: int) -> list[dt.date]:
        """The `day`th of this and the next months, three expiries from today on."""
        found: list[dt.date] = []
        year, month = self.date.year, self.date.month
        while len(found) < 3:
            expiry = _trading_day(dt.date(year, month, day))
            if expiry >= self.date:
                found.append(expiry)
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return found


def record(listing: Listing) -> dict[str, Any]:
    """One row of a master file, with the fields of its kind and their types."""
    if listing.kind == "INDEX":
        return _index_record(listing)
    return _contract_record(listing) if listing.expiry_ms else _share_record(listing)


def share_tick(price: float) -> int:
    """The exchange's tick of a share in paise at a price in rupees (NSE, since 2025)."""
    for below, tick in ((250, 1), (1000, 5), (5000, 10), (10_000, 50), (20_000, 100)):
        if price < below:
            return tick
    return 500


def _index(key: str, symbol: str, token: str, price: float, weight: int) -> Listing:
    segment, name = key.split("|")
    return Listing(key, segment, "INDEX", symbol, name, token, price * 100, 5, 1, weight=weight)


def _bse_share(stock: Stock) -> Listing:
    return Listing(
        key=f"BSE_EQ|{stock.isin}",
        segment="BSE_EQ",
        kind="A",
        symbol=stock.symbol,
        name=f"{stock.name}.",
        token=_BSE[stock.symbol],
        price=stock.price * 100,
        tick=5,
        lot=1,
        isin=stock.isin,
        closing_auction=True,
        weight=2,
    )


def _exchange(listing: Listing) -> str:
    return {"NC": "NSE", "BC": "BSE", "NS": "NSE", "BS": "BSE", "MC": "MCX"}[listing.segment[:2]]


def _segments(exchange: str) -> tuple[str, ...]:
    return {
        "NSE": ("NSE_EQ", "NSE_FO", "NSE_INDEX", "NSE_COM", "NCD_FO"),
        "BSE": ("BSE_EQ", "BSE_FO", "BSE_INDEX", "BCD_FO"),
        "MCX": ("MCX_FO", "MCX_INDEX"),
    }[exchange]


def _share_record(x: Listing) -> dict[str, Any]:
    row: dict[str, Any] = {
        "segment": x.segment,
        "name": x.name,
        "exchange": _exchange(x),
        "isin": x.isin,
        "instrument_type": x.kind,
        "instrument_key": x.key,
        "lot_size": 1,
        "freeze_quantity": 100000.0,
        "exchange_token": x.token,
        "tick_size": float(x.tick),
        "trading_symbol": x.symbol,
        "qty_multiplier": 1.0,
    }
    if x.closing_auction:
        row |= {"short_name": x.symbol.title(), "mtf_enabled": True, "mtf_bracket": 26.5}
    if x.segment == "NSE_EQ":
        row["security_type"] = "NORMAL"
    if x.closing_auction:
        row["cas_eligible"] = True
    return row


def _index_record(x: Listing) -> dict[str, Any]:
    row: dict[str, Any] = {
        "segment": x.segment,
        "name": x.name,
        "exchange": _exchange(x),
        "instrument_type": "INDEX",
        "instrument_key": x.key,
        "exchange_token": x.token,
        "trading_symbol": x.symbol,
    }
    if x.segment == "NSE_INDEX":
        row["cas_eligible"] = True
    return row


def _contract_record(x: Listing) -> dict[str, Any]:
    row: dict[str, Any] = {
        "weekly": x.weekly,
        "segment": x.segment,
        "name": x.name,
        "exchange": _exchange(x),
        "expiry": x.expiry_ms,
        "instrument_type": x.kind,
        "asset_symbol": x.underlying_symbol,
        "underlying_symbol": x.underlying_symbol,
        "instrument_key": x.key,
        "lot_size": x.lot,
        "freeze_quantity": float(x.lot * 30),
        "exchange_token": x.token,
        "minimum_lot": x.lot,
        "asset_key": x.underlying_key,
        "underlying_key": x.underlying_key,
        "tick_size": float(x.tick),
        "asset_type": x.underlying_type,
        "underlying_type": x.underlying_type,
        "trading_symbol": x.symbol,
        "strike_price": x.strike,
        "qty_multiplier": 1.0,
    }
    if x.segment == "MCX_FO":
        del row["minimum_lot"], row["qty_multiplier"]
        unit = next(unit for symbol, _, _, _, _, unit, *_ in _COMMODITIES if symbol == x.underlying_symbol)
        row |= {"last_trading_date": x.expiry_ms, "price_quote_unit": unit}
    return row


def _strikes(price: float, step: float, each_side: int) -> list[float]:
    middle = round(price / step)
    lowest = max(middle - each_side, 1)
    return [number * step for number in range(lowest, middle + each_side + 1)]


def _trading_day(day: dt.date) -> dt.date:
    """The day, or the trading day before it: contracts expire early before a holiday."""
    while day.weekday() > 4 or day in HOLIDAYS:
        day -= dt.timedelta(1)
    return day


def _expiry_ms(day: dt.date) -> int:
    """23:59:59 IST of a day in ms, as the master states an expiry."""
    return from_datetime(dt.datetime.combine(day, dt.time(23, 59, 59), IST)) // 1_000_000
