"""Quotes: the last prices in a message, and all that its feed entry says of one instrument.

For whoever shows prices. Needs no Arrow; garbage is answered with nothing.
"""

from typing import Any, NamedTuple

from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode.peek import ltpc_of, parse
from tickrec.upstox.decode.wire import LAST_INSTANT, sent


class Quote(NamedTuple):
    """What one feed entry of a message said about an instrument; None: not sent.

    Prices in rupees, volume (vtt) and oi in units, `ltt_ms` in milliseconds since the epoch.
    """

    instrument_key: str
    ltp: float | None
    cp: float | None
    bid: float | None
    ask: float | None
    volume: int | None
    oi: float | None
    ltt_ms: int | None


class Level(NamedTuple):
    """One level of the book: prices in rupees, quantities in units; 0 where there is none."""

    bid: float
    bid_qty: int
    ask: float
    ask_qty: int


class Details(NamedTuple):
    """What else a feed entry said about an instrument; prices in rupees, None or empty where it was not sent."""

    levels: tuple[Level, ...] = ()
    """Best first."""
    day: tuple[float, float, float] | None = None
    """Open, high and low of the day."""
    iv: float | None = None
    """Implied volatility, as a share of 1."""
    atp: float | None = None


def quotes(payload: bytes) -> list[Quote]:
    """The fields of the live table of each feed entry."""
    message = parse(payload)
    return [_quote(key, feed) for key, feed in message.feeds.items()] if message else []


def details(payload: bytes, instrument_key: str) -> Details:
    """What a message says about one instrument beside its quote."""
    message = parse(payload)
    if not message or instrument_key not in message.feeds:
        return Details()
    _, branch = sent(message.feeds[instrument_key])
    kind = type(branch)
    if kind is pb.MarketFullFeed:
        levels = tuple(map(_level, branch.marketLevel.bidAskQuote))
        return Details(levels, _day(branch), branch.iv or None, branch.atp or None)
    if kind is pb.IndexFullFeed:
        return Details(day=_day(branch))
    if kind is pb.FirstLevelWithGreeks:
        levels = (_level(branch.firstDepth),) if branch.HasField("firstDepth") else ()
        return Details(levels, iv=branch.iv or None)
    return Details()


def _level(quote: Any) -> Level:
    return Level(quote.bidP, quote.bidQ, quote.askP, quote.askQ)


def _day(branch: Any) -> tuple[float, float, float] | None:
    for bar in branch.marketOHLC.ohlc:
        if bar.interval == "1d" and bar.high:
            return bar.open, bar.high, bar.low
    return None


def _quote(key: str, feed: Any) -> Quote:
    _, branch = sent(feed)
    ltpc = ltpc_of(branch)
    ltp, cp, ltt = (ltpc.ltp, ltpc.cp, ltpc.ltt) if ltpc is not None else (None, None, 0)
    ltt = ltt if 0 < ltt <= LAST_INSTANT else None
    kind = type(branch)
    if kind is pb.MarketFullFeed:
        levels = branch.marketLevel.bidAskQuote
        level = levels[0] if levels else None
    elif kind is pb.FirstLevelWithGreeks:
        level = branch.firstDepth if branch.HasField("firstDepth") else None
    else:
        return Quote(key, ltp, cp, None, None, None, None, ltt)
    bid, ask = (level.bidP, level.askP) if level is not None else (None, None)
    return Quote(key, ltp, cp, bid, ask, branch.vtt, branch.oi, ltt)
