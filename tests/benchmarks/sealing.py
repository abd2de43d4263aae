"""Sealing a day: how long it takes, in how much memory, and to what size."""

import datetime as dt
import subprocess
import time
from collections.abc import Iterator
from typing import NamedTuple

from tests.benchmarks.bench import Bench, module
from tests.benchmarks.machine import MB, Watching
from tests.benchmarks.pool import MESSAGES_A_SECOND, Pool, Quotes
from tests.benchmarks.table import Row, megabytes
from tickrec.clock import SECOND
from tickrec.journal import JournalWriter
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.market.calendar import trading_date
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store
from tickrec.upstox.rest import SOURCE


class Sealed(NamedTuple):
    """One sealing."""

    seconds: float
    resident: int
    """Bytes at the peak, with its child."""
    parquet: int
    journal: int
    """Bytes of the compressed journal."""


def rows(bench: Bench) -> Iterator[Row]:
    """Time and memory, then size."""
    messages = len(bench.pool)
    sums = bench.pool.sums(messages)
    with bench.scratch("seal") as folder:
        date = write_day(Store(folder), bench.pool)
        sealed = seal(Store(folder), date)
    goal = 12 * sums.ticks / 3_000_000
    yield Row(
        f"sealing {sums.ticks:,} ticks",
        f"{sealed.seconds:.1f} s, {megabytes(sealed.resident)}",
        target=f"{goal:.1f} s, under 1 GB",
        met=sealed.seconds <= goal and sealed.resident < 1000 * MB,
    )
    share, packed = sealed.parquet / sums.bytes, sealed.journal / sums.bytes
    yield Row(
        f"sealed day, {sums.bytes / sums.ticks:.0f} bytes a tick on the wire",
        f"{share:.1%} of the message bytes",
        f"the messages under zstd: {packed:.1%}",
        f"{packed / share:.1f}x",
        "8%",
        share <= 0.08,
    )


def write_day(store: Store, pool: Pool) -> dt.date:
    """A date with every message of the pool in its journal and in parts, as a recorder leaves them."""
    quotes = Quotes()
    date, wall_ns = trading_date(quotes.wall_ns), quotes.wall_ns
    symbols = {key: quotes.market.master.listings[key].symbol for key in quotes.keys}
    writer = JournalWriter(store.journal(date), source=SOURCE, next_seq=1, start_ns=wall_ns)
    facts = {
        EntryKind.NOTE: encode_facts(event="start"),
        EntryKind.CONNECTED: encode_facts(host="127.0.0.1", attempt=1, keys=len(symbols)),
        EntryKind.SUBSCRIBED: encode_facts(mode="full", keys=list(symbols.items())),
    }
    for kind, payload in facts.items():
        writer.append(Entry(kind, 0 if kind is EntryKind.NOTE else 1, wall_ns, wall_ns, payload))
    for number in range(len(pool)):
        received = wall_ns + (number + 1) * SECOND // MESSAGES_A_SECOND + 16_000_000 + number * 7919 % 5_000_000
        writer.append(Entry(EntryKind.MESSAGE, 1, received, received, pool.payload(number)))
    last = writer.append(Entry(EntryKind.CLOSED, 0, received, received, encode_facts(reason="planned end")))
    writer.close()
    PartWriter(store, date).flush(last, final=True)
    return date


def seal(store: Store, date: dt.date) -> Sealed:
    """Seal a date by command."""
    began = time.monotonic()
    process = subprocess.Popen(module("tickrec", "seal", "--data", store.root, date), stdout=subprocess.DEVNULL)
    with Watching(process.pid) as watching:  # what the system counts itself includes who started it
        process.wait()
    if process.returncode:
        raise RuntimeError(f"sealing ended with exit code {process.returncode}")
    seconds = time.monotonic() - began
    parquet = store.sealed_path("ticks", date).stat().st_size
    journal = sum(path.stat().st_size for path in store.journal_files(date))
    return Sealed(seconds, watching.peaks.resident + watching.peaks.children_resident, parquet, journal)
