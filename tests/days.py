"""Synthetic days: a small market that walks, its messages as the broker encodes them, and journals full of them.

Everything is seeded. For tests of what lies behind the journal; the simulated server has a market of its own.
"""

import datetime as dt
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tickrec import schema
from tickrec.clock import IST, SECOND, from_datetime
from tickrec.journal import Journal, JournalWriter
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.store.coverage import coverage
from tickrec.store.parts import read_tail
from tickrec.store.paths import Store
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb

DATE = dt.date(2026, 11, 23)
SOURCE = "upstox.v3"
SEGMENTS = ("NSE_EQ", "NSE_FO", "NSE_INDEX", "BSE_EQ", "MCX_FO")


def open_ns(date: dt.date = DATE) -> int:
    """09:15 IST of a date."""
    return from_datetime(dt.datetime.combine(date, dt.time(9, 15), IST))


class Instrument:
    """One instrument's prices, book and volumes, changed a little by every `move`."""

    def __init__(self, number: int, rng: random.Random) -> None:
        self.rng = rng
        self.kind = "index" if number % 44 == 43 else "option" if number % 3 == 2 else "stock"
        self.symbol = f"{self.kind.upper()}{number:04}"
        self.key = {
            "index": f"NSE_INDEX|Index {number}",
            "option": f"NSE_FO|{40000 + number}",
            "stock": f"NSE_EQ|INE{number:06}A01",
        }[self.kind]
        self.lot = 75 if self.kind == "option" else 1
        self.price = round(rng.uniform(20, 400) if self.kind == "option" else rng.uniform(100, 4000), 1)
        self.cp = round(self.price * rng.uniform(0.98, 1.02), 2)
        self.open = self.high = self.low = self.ltp = self.price
        self.volume = self.shown_volume = rng.randrange(10**5) * self.lot
        self.value = self.volume * self.price
        self.ltq = self.lot
        self.ltt = 0
        self.oi = rng.randrange(10**5) * self.lot
        self.tbq, self.tsq = float(rng.randrange(10**6)), float(rng.randrange(10**6))
        self.bids = [self._quantity() for _ in range(5)]
        self.asks = [self._quantity() for _ in range(5)]
        self.minute: tuple[int, float, float, float, float, int] = (0, self.ltp, self.ltp, self.ltp, self.ltp, 0)
        self.bar: list[Any] = [0, self.ltp, self.ltp, self.ltp, self.ltp, self.volume]

    def _quantity(self) -> int:
        return (1 + int(self.rng.expovariate(0.01))) * self.lot

    def move(self, ms: int) -> None:
        """One update: maybe a price step, maybe a trade, a few levels of the book."""
        rng = self.rng
        if rng.random() < 0.2:
            self.price = max(1.0, round(self.price + rng.choice((-0.1, -0.05, 0.05, 0.1)), 2))
            self.bids.insert(0, self.bids.pop())
        for _ in range(rng.randrange(1, 4)):
            rng.choice((self.bids, self.asks))[rng.randrange(5)] = self._quantity()
        if rng.random() < 0.5:
            self._trade(ms)
        if rng.random() < 0.3:
            self.tbq += rng.randrange(-500, 500) * self.lot
            self.tsq += rng.randrange(-500, 500) * self.lot

    def _trade(self, ms: int) -> None:
        self.shown_volume = self.volume
        self.ltq = (1 + int(self.rng.expovariate(0.05))) * self.lot
        self.ltp = round(self.price + self.rng.choice((0, 0.05)), 2)
        self.volume += self.ltq * self.rng.choice((1, 1, 2, 3))
        self.value += self.ltq * self.ltp
        self.high, self.low = max(self.high, self.ltp), min(self.low, self.ltp)
        self.ltt = ms - self.rng.randrange(20, 400)
        if self.kind == "index":
            self.ltt -= self.ltt % 1000
        start = ms - ms % 60_000
        if self.bar[0] != start:
            self.minute = (self.bar[0], *self.bar[1:5], self.volume - self.bar[5])
            self.bar = [start, self.ltp, self.ltp, self.ltp, self.ltp, self.volume]
        self.bar[2:5] = max(self.bar[2], self.ltp), min(self.bar[3], self.ltp), self.ltp

    def fill(self, feed: Any, mode: str) -> None:
        """Write the state into a `Feed` message in one of the requested modes."""
        ltpc = {"ltp": self.ltp, "ltt": self.ltt, "cp": self.cp}
        if self.kind != "index":
            ltpc["ltq"] = self.ltq
        if mode == "ltpc":
            feed.ltpc.CopyFrom(pb.LTPC(**ltpc))
        elif self.kind == "index":
            feed.requestMode = 1
            feed.fullFeed.indexFF.CopyFrom(pb.IndexFullFeed(ltpc=pb.LTPC(**ltpc), marketOHLC=self._bars(False)))
        elif mode == "option_greeks":
            feed.requestMode = 2
            first = pb.FirstLevelWithGreeks(ltpc=pb.LTPC(**ltpc), firstDepth=self._levels()[0], vtt=self.volume)
            first.optionGreeks.CopyFrom(self._greeks())
            feed.firstLevelWithGreeks.CopyFrom(first)
        else:
            feed.requestMode = 1
            feed.fullFeed.marketFF.CopyFrom(self._full(pb.LTPC(**ltpc)))

    def _full(self, ltpc: Any) -> Any:
        full = pb.MarketFullFeed(
            ltpc=ltpc,
            marketLevel=pb.MarketLevel(bidAskQuote=self._levels()),
            optionGreeks=self._greeks(),
            marketOHLC=self._bars(True),
            atp=round(self.value / self.volume, 2) if self.volume else 0.0,
            vtt=self.volume,
            tbq=self.tbq,
            tsq=self.tsq,
            casEligible=self.kind == "stock",
        )
        if self.kind == "option":
            full.oi, full.iv = self.oi, 0.13 + self.price % 1 / 50
        return full

    def _levels(self) -> list[Any]:
        return [
            pb.Quote(
                bidQ=self.bids[level],
                bidP=round(self.price - 0.05 * (level + 1), 2),
                askQ=self.asks[level],
                askP=round(self.price + 0.05 * (level + 1), 2),
            )
            for level in range(5)
        ]

    def _greeks(self) -> Any:
        if self.kind != "option":
            return pb.OptionGreeks()
        part = self.price / 1000
        return pb.OptionGreeks(
            delta=round(part, 4), theta=round(-part * 9, 4), gamma=0.0004, vega=round(part * 7, 4), rho=round(part, 4)
        )

    def _bars(self, volumes: bool) -> Any:
        start, first, high, low, last, volume = self.minute
        day = pb.OHLC(interval="1d", open=self.open, high=self.high, low=self.low, close=self.ltp)
        minute = pb.OHLC(interval="I1", open=first, high=high, low=low, close=last, ts=start)
        day.ts = open_ns() // 1_000_000 - 33_300_000
        if volumes:
            day.vol, minute.vol = self.shown_volume, volume
        return pb.MarketOHLC(ohlc=[day, minute])


class Market:
    """Instruments and the messages about them."""

    def __init__(self, instruments: int, seed: int = 1) -> None:
        self.rng = random.Random(seed)
        self.instruments = [Instrument(number, self.rng) for number in range(instruments)]

    def snapshot(self, ms: int, chosen: Sequence[Instrument], mode: str = "full") -> bytes:
        """The first answer to a subscription."""
        return self._message(0, ms, chosen, mode)

    def update(self, ms: int, count: int, mode: str = "full") -> bytes:
        """A live message about `count` instruments chosen at random."""
        chosen = self.rng.sample(self.instruments, min(count, len(self.instruments)))
        for instrument in chosen:
            instrument.move(ms)
        return self._message(1, ms, chosen, mode)

    def info(self, ms: int, status: int = 2) -> bytes:
        """A market_info message."""
        message = pb.FeedResponse(type=2, currentTs=ms)
        for segment in SEGMENTS:
            message.marketInfo.segmentStatus[segment] = status
        data: bytes = message.SerializeToString(deterministic=True)
        return data

    def _message(self, kind: int, ms: int, chosen: Sequence[Instrument], mode: str) -> bytes:
        message = pb.FeedResponse(type=kind, currentTs=ms)
        for instrument in chosen:
            instrument.fill(message.feeds[instrument.key], mode)
        data: bytes = message.SerializeToString(deterministic=True)
        return data


@dataclass(slots=True)
class Written:
    """What a journal holds, counted while it was written."""

    last_seq: int = 0
    messages: int = 0
    ticks: int = 0
    bytes: int = 0
    """Of message payloads."""
    rejected: int = 0
    by_key: Counter[str] = field(default_factory=Counter)
    """Ticks of each instrument."""


class Recording:
    """A date's journal, written as a recorder would: runs, connections, subscriptions, messages.

    Keep one for the whole date; each `run` opens a new journal file.
    """

    def __init__(self, store: Store, date: dt.date = DATE, *, instruments: int = 40, seed: int = 1) -> None:
        self.store = store
        self.date = date
        self.market = Market(instruments, seed)
        self.written = Written()
        self.now_ns = open_ns(date)
        self._writer: JournalWriter | None = None

    def run(self) -> None:
        """Begin a run: a new journal file with a start note."""
        first = self.written.last_seq + 1
        self._writer = JournalWriter(self.store.journal(self.date), source=SOURCE, next_seq=first, start_ns=self.now_ns)
        self.append(EntryKind.NOTE, 0, encode_facts(event="start"))

    def connect(self, conn: int = 1, mode: str = "full", silent: Sequence[str] = ()) -> None:
        """Connect, get market_info, subscribe everything in batches, and get the snapshots. `silent`: keys without
        an answer."""
        market = self.market
        self.append(EntryKind.CONNECTED, conn, encode_facts(host="h", attempt=1, keys=len(market.instruments)))
        self.message(market.info(self.ms), conn)
        for start in range(0, len(market.instruments), 50):
            chosen = market.instruments[start : start + 50]
            keys = [[one.key, one.symbol] for one in chosen] + [[key, None] for key in silent if not start]
            self.append(EntryKind.SUBSCRIBED, conn, encode_facts(mode=mode, keys=keys))
            self.message(market.snapshot(self.ms, chosen, mode), conn, [one.key for one in chosen])

    def updates(self, messages: int, each: int = 10, conn: int = 1, mode: str = "full", every_ms: int = 250) -> None:
        """Live messages of `each` instruments."""
        for _ in range(messages):
            self.now_ns += every_ms * 1_000_000
            payload = self.market.update(self.ms, each, mode)
            self.message(payload, conn, list(pb.FeedResponse.FromString(payload).feeds))

    def garbage(self, conn: int = 1) -> None:
        """A message that cannot be decoded."""
        self.append(EntryKind.MESSAGE, conn, b"\xff\xff not a message")
        self.written.rejected += 1

    def drop(self, conn: int = 1, reason: str = "connection reset by the broker") -> None:
        """Lose a connection; five seconds pass."""
        self.append(EntryKind.DISCONNECTED, conn, encode_facts(code=1006, reason=reason))
        self.now_ns += 5 * SECOND

    def close(self, reason: str = "planned end") -> None:
        """End the run with a goodbye."""
        self.append(EntryKind.CLOSED, 0, encode_facts(reason=reason))
        self.die()

    def die(self) -> None:
        """End the run without a goodbye."""
        assert self._writer is not None
        self._writer.close()
        self._writer = None
        self.now_ns += 60 * SECOND

    @property
    def ms(self) -> int:
        """The server's clock."""
        return self.now_ns // 1_000_000

    def message(self, payload: bytes, conn: int = 1, keys: Sequence[str] = ()) -> None:
        """Append a message about `keys`."""
        self.append(EntryKind.MESSAGE, conn, payload)
        self.written.ticks += len(keys)
        self.written.by_key.update(keys)

    def append(self, kind: EntryKind, conn: int, payload: bytes) -> None:
        """Append any entry; it is received 16 ms after the server's clock."""
        assert self._writer is not None, "no run was begun"
        received = self.now_ns + 16_000_000 + self.market.rng.randrange(9_000_000)
        self.written.last_seq = self._writer.append(Entry(kind, conn, received, received, payload))
        if kind is EntryKind.MESSAGE:
            self.written.messages += 1
            self.written.bytes += len(payload)


def write_day(
    store: Store, date: dt.date = DATE, *, messages: int = 60, each: int = 10, instruments: int = 40, seed: int = 1
) -> Written:
    """A day with what days have: a drop, a message that is garbage, a key that never answers, a run that died, and
    a planned end. `messages` live messages of `each` instruments."""
    recording = Recording(store, date, instruments=instruments, seed=seed)
    third = max(1, messages // 3)
    recording.run()
    recording.connect(silent=["NSE_EQ|SILENT"])
    recording.updates(third, each)
    recording.drop()
    recording.connect()
    recording.garbage()
    recording.updates(third, each)
    recording.die()
    recording.run()
    recording.connect()
    recording.updates(max(1, messages - 2 * third), each)
    recording.drop(reason="stopped")
    recording.close()
    return recording.written


def everything(store: Store, date: dt.date = DATE) -> dict[str, pa.Table]:
    """All rows of a date as a reader sees them at this moment: sealed file, parts, and the journal's tail."""
    if store.settled(date):
        return {name: pq.ParquetFile(store.sealed_path(name, date)).read() for name in ("ticks", *schema.SMALL_TABLES)}
    covered = coverage(store, date)
    tail = read_tail(store, date, covered)
    found = {}
    for name, rows in tail.tables.items():
        parts = [part.path for part in covered.parts] if name == "ticks" else covered.small_parts.get(name, ())
        tables = [pq.ParquetFile(path).read().cast(rows.schema) for path in parts]
        if covered.sealed is not None:
            sealed = pq.ParquetFile(store.sealed_path(name, date)).read().cast(rows.schema)
            tables.insert(0, sealed.filter(pc.field("seq") <= covered.sealed_last))
        found[name] = pa.concat_tables([*tables, rows])
    return found


def ordered(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of any table in an order that does not depend on how they were stored."""
    return sorted(table.to_pylist(), key=lambda row: [str(value) for value in row.values()])


def every_entry(store: Store, date: dt.date = DATE) -> Iterator[Entry]:
    """The entries of a date's journal."""
    return Journal(store.journal(date)).entries()
