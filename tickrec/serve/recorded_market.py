"""Recorded market: a market as it stands after the journal entries that have been read so far.

Owns the newest feed of every instrument, and what REST answers of a recorded date. Which entries are read, and when, is
for `replay` and `relay` to say.
"""

import datetime as dt
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from tickrec.journal.entry import Entry, EntryKind
from tickrec.market.calendar import Calendar
from tickrec.serve.source import Update
from tickrec.store.paths import Store
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode.modes import holds, mode_name, reduced
from tickrec.upstox.decode.quotes import quotes
from tickrec.upstox.decode.wire import MARKET_INFO, Feed, outline
from tickrec.upstox.master import master_file

_STATUS: Final = pb.DESCRIPTOR.enum_types_by_name["MarketStatus"].values_by_name
_INITIAL: Final = 0
"""The type of an initial_feed."""


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


def instruments_file(store: Store, date: dt.date, exchange: str) -> bytes | None:
    """The broker's list of a recorded date as a file of its own kind; None: none is stored yet, or it has no such file.

    Raises OSError.
    """
    path = store.instruments_path(date)
    try:
        return _instruments_file(path, path.stat().st_mtime_ns, exchange)
    except FileNotFoundError:
        return None


@functools.lru_cache(maxsize=4)
def _instruments_file(path: Path, _changed_ns: int, exchange: str) -> bytes | None:
    """The list is taken to the broker's form once; a recorder may replace one that was short."""
    return master_file(pq.ParquetFile(path).read(), exchange)


def timings(date: dt.date) -> list[dict[str, Any]]:
    """The sessions of a date as /v2/market/timings has them, by the built-in calendar."""
    sessions = Calendar().sessions(date)
    return [
        {"exchange": name, "start_time": session.start_ns // 1_000_000, "end_time": session.end_ns // 1_000_000}
        for name, of_exchange in sessions.items()
        for session in of_exchange
    ]


def closed(info: bytes, sent_ms: int) -> bytes:
    """A market_info that says of every segment of another one that it is closed."""
    before = pb.FeedResponse.FromString(info).marketInfo
    message = pb.FeedResponse(type="market_info", currentTs=sent_ms)
    for segment in before.segmentStatus or ("NSE_EQ",):
        word = "CLOSING_END" if segment.endswith(("_EQ", "_INDEX")) else "NORMAL_CLOSE"
        message.marketInfo.segmentStatus[segment] = _STATUS[word].number
    return bytes(message.SerializeToString(deterministic=True))
