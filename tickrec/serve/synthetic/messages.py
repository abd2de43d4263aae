"""Messages: the values of the synthetic market as the broker's messages.

Owns the shape of feeds: which field appears for which kind of instrument, mode and phase (observed 2026-09). Each
instrument keeps its messages and changes them in place.
"""

from typing import Any, Final

from tickrec.serve.synthetic.phases import Phase
from tickrec.serve.synthetic.prices import DEPTH, Bar, Security, midnight
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode.modes import MODES
from tickrec.upstox.decode.wire import varint

_AUCTION_FIELDS: Final = ("iep", "rp", "ieq", "iiqTotal", "iiqM")


class FeedEncoder:
    """The feed of one instrument in one mode; `entry` brings it up to date and returns its bytes."""

    def __init__(self, security: Security, mode: str) -> None:
        self.security = security
        self._mode = mode
        self._version = -1
        self._phase = Phase.OPEN
        self._bytes = b""
        self._feed = pb.Feed(requestMode=MODES.index(mode))
        key = security.listing.key.encode()
        self._prefix = b"\x0a" + varint(len(key)) + key + b"\x12"
        self._is_index = security.listing.kind == "INDEX"
        self._bind()

    def entry(self, phase: Phase, now: int) -> bytes:
        """The instrument's entry in the map of a frame made at `now` (ms)."""
        if self._version != self.security.version or phase is not self._phase:
            self._version = self.security.version
            if phase is not self._phase:
                self._phase = phase
                self._leave_auction()
            self._fill()
            if phase in (Phase.PRE_OPEN, Phase.CLOSING_AUCTION):
                self._fill_auction(phase, now)
            body = self._feed.SerializeToString()
            entry = self._prefix + varint(len(body)) + body
            self._bytes = b"\x12" + varint(len(entry)) + entry
        return self._bytes

    def _bind(self) -> None:
        """Create the sub-messages that this kind of instrument has in this mode, and what never changes in them."""
        listing = self.security.listing
        self._full: Any = None
        self._levels: list[Any] = []
        self._bars: list[Any] = []
        if self._mode == "ltpc":
            self._ltpc = self._feed.ltpc
        elif self._mode == "option_greeks":
            self._full = self._feed.firstLevelWithGreeks
            self._ltpc = self._full.ltpc
            if not self._is_index:
                self._levels = [self._full.firstDepth]
        else:
            self._full = self._feed.fullFeed.indexFF if self._is_index else self._feed.fullFeed.marketFF
            self._ltpc = self._full.ltpc
            self._bars = [self._full.marketOHLC.ohlc.add(interval=name) for name in ("1d", "I1")]
            if not self._is_index:
                quotes = self._full.marketLevel.bidAskQuote
                self._levels = [quotes.add() for _ in range(DEPTH if self._mode == "full_d30" else 5)]
                self._full.casEligible = listing.closing_auction
        self._ltpc.SetInParent()
        if self._full is not None and not self._is_index:
            self._full.optionGreeks.SetInParent()

    def _fill(self) -> None:
        security, ltpc = self.security, self._ltpc
        ltpc.ltp = security.ltp / 100
        ltpc.ltt = security.ltt
        ltpc.cp = security.cp / 100
        if self._is_index:
            self._fill_bars()
            return
        ltpc.ltq = security.ltq
        if self._full is None:
            return
        self._fill_book()
        self._full.vtt = security.vtt
        if security.listing.expiry_ms:
            self._full.oi = security.oi
        if security.valuation is not None:
            self._fill_greeks()
        if self._bars:
            self._fill_bars()
            self._full.atp = round(security.atp / 100, 2)
            self._full.tbq = security.tbq
            self._full.tsq = security.tsq

    def _fill_book(self) -> None:
        book = self.security.book
        bid, ask = book.bid, book.ask
        rows = zip(self._levels, book.bid_offsets, book.bid_qtys, book.ask_offsets, book.ask_qtys, strict=False)
        for level, down, bid_qty, up, ask_qty in rows:
            price = bid - down
            if price > 0:
                level.bidP = price / 100
                level.bidQ = bid_qty
            else:
                level.bidP = 0.0
                level.bidQ = 0
            level.askP = (ask + up) / 100
            level.askQ = ask_qty

    def _fill_greeks(self) -> None:
        worth, greeks = self.security.valuation, self._full.optionGreeks
        assert worth is not None
        greeks.delta = round(worth.delta, 4)
        greeks.theta = round(worth.theta, 4)
        greeks.gamma = round(worth.gamma, 4)
        greeks.vega = round(worth.vega, 4)
        greeks.rho = round(worth.rho, 4)
        self._full.iv = self.security.iv

    def _fill_bars(self) -> None:
        if not self._bars:
            return
        day, minute = self._bars
        _fill_bar(day, self.security.day)
        _fill_bar(minute, self.security.last_minute)

    def _leave_auction(self) -> None:
        """Take back what only an auction has."""
        self._ltpc.ClearField("iep")
        if self._bars and not self._is_index:
            for field in _AUCTION_FIELDS:
                self._full.ClearField(field)
            self._bars[1].interval = "I1"

    def _fill_auction(self, phase: Phase, now: int) -> None:
        """The auction's numbers and its crossed book: four prices a side, then the orders without a price."""
        auction = self.security.auction
        if auction is None or self._is_index:
            return
        self._ltpc.iep.value = auction.price / 100
        if not self._bars:
            return
        full = self._full
        full.iep = auction.price / 100
        full.rp = auction.reference / 100
        full.ieq = auction.quantity
        full.iiqTotal = auction.imbalance
        full.iiqM = auction.market_imbalance
        tick = self.security.listing.tick
        for number, level in enumerate(self._levels):
            away = (3 - number) * 3 * tick
            level.bidP = max(0.0, (auction.price + away) / 100) if number < 4 else 0.0
            level.askP = max(0.0, (auction.price - away) / 100) if number < 4 else 0.0
        if phase is Phase.PRE_OPEN:
            # Observed 2025-09: the day's bar is stamped today but still holds yesterday, and I1 and atp are empty.
            self._bars[0].ts = midnight(now)
            self._bars[1].Clear()
            full.atp = 0.0


def _fill_bar(message: Any, bar: Bar) -> None:
    message.open = bar.open / 100
    message.high = bar.high / 100
    message.low = bar.low / 100
    message.close = bar.close / 100
    message.vol = bar.volume
    message.ts = bar.start


def empty_entry(key: str, mode: str) -> bytes:
    """The entry of a well-formed key that does not exist: sub-messages without a value (observed 2025-11)."""
    feed = pb.Feed(requestMode=MODES.index(mode))
    if mode == "ltpc":
        feed.ltpc.SetInParent()
    elif mode == "option_greeks":
        feed.firstLevelWithGreeks.ltpc.SetInParent()
    else:
        full = feed.fullFeed.marketFF
        for part in (full.ltpc, full.marketLevel, full.optionGreeks):
            part.SetInParent()
    response = pb.FeedResponse()
    response.feeds[key].CopyFrom(feed)
    return bytes(response.SerializeToString())


def market_info_frame(info: pb.MarketInfo, now: int) -> bytes:
    """A market_info message."""
    response = pb.FeedResponse(type="market_info", currentTs=now, marketInfo=info)
    return bytes(response.SerializeToString(deterministic=True))
