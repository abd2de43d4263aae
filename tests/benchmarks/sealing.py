"""Sealing a day: how long it takes, in how much memory, and to what size; and reading all of it again."""

import datetime as dt
import subprocess
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from tests.benchmarks.bench import Bench, module
from tests.benchmarks.machine import MB, Watching
from tests.benchmarks.pool import MESSAGES_A_SECOND, TICKS_A_MESSAGE, Pool, Quotes
from tests.benchmarks.table import Row, megabytes
from tickrec.clock import SECOND
from tickrec.journal import JournalWriter
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.market.calendar import trading_date
from tickrec.store.parts import PART_TICKS, PartWriter
from tickrec.store.paths import Store
from tickrec.upstox.rest import SOURCE

A_MINUTE: Final = 60 * MESSAGES_A_SECOND * TICKS_A_MESSAGE
"""Ticks that a recorder flushes at a time at the usual load."""
_LARGE: Final = 20_000_000
_MEMORY: Final = 500 * MB
_GRADED: Final = 5
"""Exit code of `check` for a day that is not complete, as one without its afternoon is."""


class Ran(NamedTuple):
    """One command."""

    seconds: float
    resident: int
    """Bytes at the peak, with its children."""


def rows(bench: Bench) -> Iterator[Row]:
    """Sealing, then size, then what reads a sealed day whole."""
    for ticks in (bench.ticks, 2 * bench.ticks):
        with bench.scratch("seal") as folder:
            store = Store(folder)
            date = write_day(store, bench.pool, ticks)
            yield _sealing_row(store, date, ticks)
            if ticks == bench.ticks:
                yield _size_row(store, date, bench.pool, ticks)
                yield from _reading_rows(store, date, ticks)


def large_rows(bench: Bench) -> Iterator[Row]:
    """The same memory for a day that is seven times as large."""
    ticks = bench.ticks if bench.quick else _LARGE
    with bench.scratch("seal") as folder:
        date = write_day(Store(folder), bench.pool, ticks, part_ticks=PART_TICKS)
        yield _sealing_row(Store(folder), date, ticks)


def _sealing_row(store: Store, date: dt.date, ticks: int) -> Row:
    sealed = watched(module("tickrec", "seal", "--data", store.root, date))
    goal = 8 * ticks / 3_000_000
    met = sealed.seconds <= goal and sealed.resident < _MEMORY
    what, target = f"{sealed.seconds:.1f} s, {megabytes(sealed.resident)}", f"{goal:.1f} s, {megabytes(_MEMORY)}"
    return Row(f"sealing {ticks:,} ticks", what, target=target, met=met)


def _size_row(store: Store, date: dt.date, pool: Pool, ticks: int) -> Row:
    sums = pool.sums(ticks // TICKS_A_MESSAGE)
    share = store.sealed_path("ticks", date).stat().st_size / sums.bytes
    packed = sum(path.stat().st_size for path in store.journal_files(date)) / sums.bytes
    return Row(
        f"sealed day, {sums.bytes / sums.ticks:.0f} bytes a tick on the wire",
        f"{share:.1%} of the message bytes",
        f"the messages under zstd: {packed:.1%}",
        f"{packed / share:.1f}x",
        "6.5%",
        share <= 0.065,
    )


def _reading_rows(store: Store, date: dt.date, ticks: int) -> Iterator[Row]:
    verified = watched(module("tickrec", "verify", "--data", store.root, date))
    yield Row(
        f"verify of {ticks:,} ticks, sealed",
        f"{verified.seconds:.1f} s, {megabytes(verified.resident)}",
        target=megabytes(_MEMORY),
        met=verified.resident < _MEMORY,
    )
    checked = min(watched(module("tickrec", "check", "--data", store.root, date), _GRADED).seconds for _ in range(3))
    yield Row(f"check of {ticks:,} ticks", f"{checked:.1f} s", target="2 s", met=checked <= 2)


def write_day(store: Store, pool: Pool, ticks: int, *, part_ticks: int = A_MINUTE) -> dt.date:
    """A date with messages of the pool in its journal and in parts of so many ticks, as a recorder leaves them."""
    quotes = Quotes()
    date, wall_ns = trading_date(quotes.wall_ns), quotes.wall_ns
    writer = JournalWriter(store.journal(date), source=SOURCE, next_seq=1, start_ns=wall_ns)
    facts = {
        EntryKind.NOTE: encode_facts(event="start"),
        EntryKind.CONNECTED: encode_facts(host="127.0.0.1", attempt=1, keys=len(quotes.keys)),
        EntryKind.SUBSCRIBED: encode_facts(mode="full", keys=list(quotes.symbols.items())),
    }
    for kind, payload in facts.items():
        writer.append(Entry(kind, 0 if kind is EntryKind.NOTE else 1, wall_ns, wall_ns, payload))
    for number in range(ticks // TICKS_A_MESSAGE):
        received = wall_ns + (number + 1) * SECOND // MESSAGES_A_SECOND + 16_000_000 + number * 7919 % 5_000_000
        writer.append(Entry(EntryKind.MESSAGE, 1, received, received, pool.payload(number)))
    last = writer.append(Entry(EntryKind.CLOSED, 0, received, received, encode_facts(reason="planned end")))
    writer.close()
    parts, step = PartWriter(store, date), part_ticks // TICKS_A_MESSAGE
    for seq in range(step, last, step):
        parts.flush(seq)
    parts.flush(last, final=True)
    return date


def watched(command: list[str], *allowed: int) -> Ran:
    """Run a command that ends with 0 or an exit code that is `allowed`."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with Watching(process.pid) as watching:  # what the system counts itself includes who started it
        process.wait()
    if process.returncode not in (0, *allowed):
        raise RuntimeError(f"{' '.join(map(str, command))} ended with exit code {process.returncode}")
    seconds = time.monotonic() - began
    return Ran(seconds, watching.peaks.together)
