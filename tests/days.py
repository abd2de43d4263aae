"""Days: journals as a recorder would leave them, full of messages of the synthetic market.

Everything is seeded. For tests of what lies behind the journal: no server and no socket is involved.
"""

import datetime as dt
import random
import shutil
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
from tickrec.market.instruments import write
from tickrec.serve.synthetic import market as synthetic
from tickrec.serve.synthetic.listings import Listing
from tickrec.serve.synthetic.messages import FeedEncoder, market_info_frame
from tickrec.serve.synthetic.phases import Hours, Phase
from tickrec.serve.synthetic.prices import Security
from tickrec.store.coverage import Coverage, coverage
from tickrec.store.paths import Store
from tickrec.store.rows import tail_pieces
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode.wire import frame

DATE = dt.date(2026, 11, 23)
SOURCE = "upstox.v3"


def open_ns(date: dt.date = DATE) -> int:
    """09:15 IST of a date."""
    return from_datetime(dt.datetime.combine(date, dt.time(9, 15), IST))


@dataclass(slots=True)
class Instrument:
    """A security of the synthetic market, and the symbol it is subscribed by."""

    security: Security
    symbol: str
    encoders: dict[str, FeedEncoder] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The broker's key."""
        return self.security.listing.key

    def entry(self, mode: str, ms: int) -> bytes:
        """Its part of a message in one of the modes that can be asked for."""
        if mode not in self.encoders:
            self.encoders[mode] = FeedEncoder(self.security, mode)
        return self.encoders[mode].entry(Phase.OPEN, ms)


class Market:
    """Some instruments of the synthetic market, and messages about them: shares, options and now and then an index."""

    def __init__(self, instruments: int, seed: int = 1, date: dt.date = DATE) -> None:
        self.rng = random.Random(seed)
        self.hours = Hours(always_open=False)
        self.market = synthetic.Market(seed, self.hours, open_ns(date), strikes=2)  # options on shares are not taken
        self.instruments = [self._take(kind, open_ns(date)) for kind in self._kinds(instruments)]

    def _kinds(self, count: int) -> Iterator[Listing]:
        listings = self.market.master.listings.values()
        indices = (each for each in listings if each.kind == "INDEX")
        options = (each for each in listings if each.kind in ("CE", "PE") and each.segment == "NSE_FO")
        shares = (each for each in listings if each.kind == "EQ")
        for number in range(count):
            yield next(indices if number % 44 == 43 else options if number % 3 == 2 else shares)

    def _take(self, listing: Listing, wall_ns: int) -> Instrument:
        security = self.market.security(listing.key, wall_ns)
        assert security is not None
        return Instrument(security, listing.symbol)

    def snapshot(self, ms: int, chosen: Sequence[Instrument], mode: str = "full") -> bytes:
        """The first answer to a subscription."""
        return frame([each.entry(mode, ms) for each in chosen], ms, snapshot=True)

    def update(self, ms: int, count: int, mode: str = "full") -> bytes:
        """A live message about `count` instruments chosen at random."""
        chosen = self.rng.sample(self.instruments, min(count, len(self.instruments)))
        for instrument in chosen:
            instrument.security.move(ms)
        return frame([each.entry(mode, ms) for each in chosen], ms, snapshot=False)

    def info(self, ms: int) -> bytes:
        """A market_info message."""
        return market_info_frame(self.hours.market_info(ms * 1_000_000), ms)


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
        self.market = Market(instruments, seed, date)
        self.written = Written()
        self.now_ns = open_ns(date)
        self._writer: JournalWriter | None = None

    def run(self) -> None:
        """Begin a run: a new journal file with a start note."""
        first = self.written.last_seq + 1
        self._writer = JournalWriter(self.store.journal(self.date), source=SOURCE, next_seq=first, start_ns=self.now_ns)
        self.append(EntryKind.NOTE, 0, encode_facts(event="start"))

    def connect(self, conn: int = 1, mode: str = "full", silent: Sequence[str] = ()) -> None:
        """Connect, get market_info, subscribe everything in batches, get the snapshots, tell the session.

        `silent`: keys without an answer.
        """
        market = self.market
        self.append(EntryKind.CONNECTED, conn, encode_facts(host="h", attempt=1, keys=len(market.instruments)))
        self.message(market.info(self.ms), conn)
        for start in range(0, len(market.instruments), 50):
            chosen = market.instruments[start : start + 50]
            keys = [[one.key, one.symbol] for one in chosen] + [[key, None] for key in silent if not start]
            self.append(EntryKind.SUBSCRIBED, conn, encode_facts(mode=mode, keys=keys))
            self.message(market.snapshot(self.ms, chosen, mode), conn, [one.key for one in chosen])
        session = ["NSE_EQ", self.now_ns, self.now_ns + 3600 * 10**9, "timings"]
        self.append(EntryKind.NOTE, 0, encode_facts(event="sessions", sessions=[session]))

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


def copy_sealed(source: Store, target: Store, date: dt.date) -> None:
    """What a store has of DATE, which is sealed, as another date of a store."""
    for path in [path for path in source.root.rglob("*") if path.is_file() and str(DATE) in str(path)]:
        copied = target.root / str(path.relative_to(source.root)).replace(str(DATE), str(date))
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copied)
    manifest = target.manifest_path(date)
    manifest.write_text(manifest.read_text().replace(str(DATE), str(date)))


def write_instruments(store: Store, symbols: Sequence[str], downloaded_ns: int = 0, date: dt.date = DATE) -> None:
    """The broker's list of a date, of these shares."""
    rows = [
        {"instrument_key": f"NSE_EQ|{symbol}", "segment": "NSE_EQ", "symbol": symbol, "cas_eligible": False}
        for symbol in symbols
    ]
    table = pa.Table.from_pylist(rows, schema=schema.INSTRUMENTS)
    write(table.replace_schema_metadata({"tickrec.downloaded_ns": str(downloaded_ns)}), store.instruments_path(date))


@dataclass(frozen=True, slots=True)
class Tail:
    """What only the journal of a date has: its rows by table, and the last entry."""

    tables: dict[str, pa.Table]
    last_seq: int


def read_tail(store: Store, date: dt.date, covered: Coverage | None = None) -> Tail:
    """The rows of the entries of a date that `covered` (default: the coverage now) leaves to the journal."""
    covered = coverage(store, date) if covered is None else covered
    found = {name: [fields.empty_table()] for name, fields in schema.TABLES.items() if name not in schema.SOURCE_TABLES}
    for tables in tail_pieces(store, covered):
        for name, rows in tables.items():
            found[name].append(rows)
    last_seq = max((entry.seq for entry in every_entry(store, date)), default=0)
    return Tail({name: pa.concat_tables(rows) for name, rows in found.items()}, last_seq)


def snapshot(store: Store) -> dict[str, list[dict[str, object]]]:
    """Every row of DATE, published or not, in an order of its own."""
    return {name: ordered(table) for name, table in everything(store).items()}


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
