"""Recorded market: a market as it stands after the journal entries that have been read so far.

Owns the newest feed of every instrument, and what REST answers of a recorded date, minute bars made from ticks among
it. Which entries are read, and when, is for `replay` and `relay` to say.
"""

import asyncio
import datetime as dt
import functools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from tickrec.journal.entry import Entry, EntryKind
from tickrec.market.calendar import Calendar
from tickrec.serve.source import Minute, Moment, Update
from tickrec.store.paths import Store
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode.modes import holds, mode_name, reduced
from tickrec.upstox.decode.quotes import quotes
from tickrec.upstox.decode.wire import MARKET_INFO, Feed, outline
from tickrec.upstox.master import master_file

_STATUS: Final = pb.DESCRIPTOR.enum_types_by_name["MarketStatus"].values_by_name
_INITIAL: Final = 0
"""The type of an initial_feed."""
_MINUTES: Final = """
SELECT epoch_ms(start), open, high, low, close, coalesce(volume, 0), coalesce(oi, 0)
FROM candles('1 minute') WHERE instrument_key = $key ORDER BY start
"""
_MINUTE_MS: Final = 60_000


class Recorded:
    """The state of a recorded market."""

    def __init__(self) -> None:
        self.info = b""
        """The newest market_info message; empty: none has come."""
        self.sent_ms = 0
        """currentTs of the newest message."""
        self.last_ns = 0
        """When the newest message was received, wall nanoseconds; 0: there is none."""
        self.symbols: dict[str, str] = {}
        """Trading symbols of the instruments that were asked for."""
        self._feeds: dict[str, tuple[str, bytes]] = {}
        self._reduced: dict[tuple[str, str], tuple[bytes, bytes]] = {}

    def take(self, entry: Entry) -> Update | None:
        """Read the next entry; the message to send for it, as it was recorded. None: it is no message."""
        self._learn_symbols(entry)
        if entry.kind is not EntryKind.MESSAGE:
            return None
        self.last_ns = entry.wall_ns
        found = None if entry.text else outline(entry.payload)
        if found is None:
            return Update(self.sent_ms, payload=entry.payload, text=entry.text)
        self.sent_ms = found.sent_ms
        if found.type == MARKET_INFO:
            self.info = entry.payload
        modes = {feed.instrument_key: self._keep(feed) for feed in found.feeds}
        return Update(found.sent_ms, modes, entry.payload, snapshot=found.type == _INITIAL)

    def skip(self, entries: Sequence[Entry]) -> None:
        """Read entries that nobody is sent: what `take` of each would leave, in a fraction of the time.

        The newest come first, for of each instrument only its last feed counts.
        """
        newest: dict[str, Feed] = {}
        known: set[bytes] = set()
        sent_ms, info, last_ns = 0, b"", 0
        for entry in reversed(entries):
            if entry.kind is not EntryKind.MESSAGE:
                continue
            last_ns = last_ns or entry.wall_ns
            if not entry.text and (found := outline(entry.payload, known)) is not None:
                newest |= {feed.instrument_key: feed for feed in found.feeds}
                known.update(feed.instrument_key.encode() for feed in found.feeds)
                sent_ms = sent_ms or found.sent_ms
                info = info or (entry.payload if found.type == MARKET_INFO else b"")
        self.sent_ms, self.info, self.last_ns = sent_ms or self.sent_ms, info or self.info, last_ns or self.last_ns
        for feed in newest.values():
            self._keep(feed)
        for entry in entries:
            self._learn_symbols(entry)

    def precede(self, earlier: "Recorded") -> None:
        """Take from what was read of earlier entries whatever is not known yet."""
        self._feeds = earlier._feeds | self._feeds
        self.symbols = earlier.symbols | self.symbols
        self.info, self.sent_ms = self.info or earlier.info, self.sent_ms or earlier.sent_ms
        self.last_ns = self.last_ns or earlier.last_ns

    def learn(self, symbols: Mapping[str, str]) -> None:
        """Be told of instruments that were asked for."""
        self.symbols = {**symbols} | self.symbols

    def unmet(self) -> set[str]:
        """The instruments that were asked for, of which nothing has come."""
        return self.symbols.keys() - self._feeds.keys()

    def _learn_symbols(self, entry: Entry) -> None:
        if entry.kind is EntryKind.SUBSCRIBED:
            self.symbols |= {key: symbol or "" for key, symbol in entry.facts()["keys"]}

    def _keep(self, feed: Feed) -> str:
        mode = mode_name(feed.mode)
        self._feeds[feed.instrument_key] = (mode, feed.data)
        return mode

    def feed(self, key: str, mode: str) -> bytes:
        """The newest feed of an instrument in a mode, or in the one it was recorded in if that is smaller.

        Empty when nothing of it has been recorded yet.
        """
        recorded, data = self._feeds.get(key, (mode, b""))
        if not data or not holds(recorded, mode):
            return data
        known, made = self._reduced.get((key, mode), (b"", b""))
        if known is not data:
            made = reduced(data, mode)
            self._reduced[key, mode] = (data, made)
        return made

    def key_of(self, symbol: str) -> str | None:
        """The instrument that a trading symbol, in any case, or a key stands for; None: it is not recorded."""
        if symbol in self.symbols:
            return symbol
        wanted = symbol.casefold()
        return next((key for key, name in self.symbols.items() if name.casefold() == wanted), None)

    def last_price(self, key: str) -> tuple[str, dict[str, Any]] | None:
        """An instrument's name and row in the data of /v3/market-quote/ltp; None: nothing of it was recorded yet."""
        data = self.feed(key, "ltpc")
        if not data:
            return None
        ltpc = pb.FeedResponse.FromString(data).feeds[key].ltpc
        (quote,) = quotes(self._feeds[key][1])
        row = {
            "last_price": ltpc.ltp,
            "instrument_token": key,
            "ltq": ltpc.ltq,
            "volume": quote.volume or 0,
            "cp": ltpc.cp,
        }
        segment, _, name = key.partition("|")
        symbol = self.symbols.get(key) or name
        return f"{segment}:{symbol.replace(' ', '')}", row


class RecordedSource:
    """What a source has that serves what a store holds: all but which messages are due, and when."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._date = dt.date.min
        """The date that is served."""
        self._recorded = Recorded()
        """How the market stands at this place of the date."""
        self._opening = Recorded()
        """What is said of the market before anything has come."""
        self._wanted: Collection[str] = ()
        self._asking = asyncio.Lock()

    def feed(self, key: str, mode: str, _now: Moment) -> bytes:
        """The newest feed of an instrument."""
        return self._recorded.feed(key, mode)

    def sent_ms(self, _now: Moment) -> int:
        """currentTs of the newest message."""
        return self._recorded.sent_ms

    def market_info(self, _now: Moment) -> bytes:
        """The newest message about the segments; empty: none is known."""
        return self._recorded.info or self._opening.info

    def instruments(self, exchange: str, _now: Moment) -> bytes | None:
        """The date's list of instruments; None: none is stored yet, or it has no such file. Raises OSError."""
        path = self._store.instruments_path(self._date)
        try:
            return _instruments_file(path, path.stat().st_mtime_ns, exchange)
        except FileNotFoundError:
            return None

    def holidays(self) -> list[dict[str, Any]]:
        """None: the built-in ones hold."""
        return []

    def timings(self, date: dt.date) -> list[dict[str, Any]]:
        """The sessions of a date, by the built-in calendar."""
        sessions = Calendar().sessions(date)
        return [
            {"exchange": name, "start_time": session.start_ns // 1_000_000, "end_time": session.end_ns // 1_000_000}
            for name, of_exchange in sessions.items()
            for session in of_exchange
        ]

    def last_price(self, key: str, _now: Moment) -> tuple[str, dict[str, Any]] | None:
        """The newest price of an instrument."""
        return self._recorded.last_price(key) or self._opening.last_price(key)

    def today(self, _now: Moment) -> dt.date:
        """The date that is served."""
        return self._date

    async def minutes(self, key: str, first: dt.date, last: dt.date, _now: Moment) -> list[Minute] | None:
        """The minutes of an instrument that are over at this place of the date, as recorded.

        One question at a time, in a thread, so that no feed waits for it. Raises TickrecError, OSError.
        """
        if self.key_of(key) != key:
            return None
        until_ms = self._recorded.sent_ms
        async with self._asking:
            found = await asyncio.to_thread(_minutes, self._store, key, first, last)
        return [minute for minute in found if minute.start_ms + _MINUTE_MS <= until_ms]

    def key_of(self, symbol: str) -> str | None:
        """The instrument that a trading symbol or a key stands for."""
        return self._recorded.key_of(symbol) or self._opening.key_of(symbol)


def _minutes(store: Store, key: str, first: dt.date, last: dt.date) -> list[Minute]:
    if first > last:
        return []
    from tickrec.query.date_range import DateRange  # DuckDB is loaded when somebody asks
    from tickrec.query.session import Session

    with Session(store, DateRange(first, last)) as session:
        return [Minute(*row) for row in session.look_up(_MINUTES, {"candles"}, {"key": key})]


@functools.lru_cache(maxsize=4)
def _instruments_file(path: Path, _changed_ns: int, exchange: str) -> bytes | None:
    """The list is taken to the broker's form once; a recorder may replace one that was short."""
    return master_file(pq.ParquetFile(path).read(), exchange)


def closed(info: bytes, sent_ms: int) -> bytes:
    """A market_info that says of every segment of another one that it is closed."""
    before = pb.FeedResponse.FromString(info).marketInfo
    message = pb.FeedResponse(type="market_info", currentTs=sent_ms)
    for segment in before.segmentStatus or ("NSE_EQ",):
        word = "CLOSING_END" if segment.endswith(("_EQ", "_INDEX")) else "NORMAL_CLOSE"
        message.marketInfo.segmentStatus[segment] = _STATUS[word].number
    return bytes(message.SerializeToString(deterministic=True))
