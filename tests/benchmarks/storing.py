"""From the socket until every tick is stored, from the socket to the journal, and what that takes in memory."""

import glob
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.bench import Bench, module, output
from tests.benchmarks.machine import MB, Peaks, Watching
from tests.benchmarks.pool import TICKS_A_MESSAGE, Sums
from tests.benchmarks.running import feeding, recording
from tests.benchmarks.table import Row, megabytes, rate, times
from tickrec.clock import SECOND
from tickrec.journal import Journal
from tickrec.journal.entry import EntryKind
from tickrec.store.paths import Store
from tickrec.upstox.decode.peek import count_feeds

BURST: Final = 8_000
"""Messages of a burst: just less than what makes a flush due."""
_ALTERNATIVES: Final = {
    "csv": ("the SDK's dicts to CSV", 1_000),
    "parquet": ("protobuf attributes to Parquet", 4_000),
    "duckdb": ("an INSERT a message into DuckDB", 100),
}
_SDK_MESSAGES: Final = 2_000
_SUMS: Final = "count(*), sum(vtt), sum(round(ltp * 100)::BIGINT), sum(list_sum(ask_qtys))"


@dataclass(frozen=True, slots=True)
class Stored:
    """A recording of everything a feeder had. Seconds count from the feeder's first byte."""

    ticks: int
    journalled: float
    """Until the last message was in the journal."""
    stored: float
    """Until the recorder had ended, with everything in Parquet and DuckDB."""
    feeder_share: float
    """Processor time of the feeder while the messages were taken, of one core."""
    peaks: Peaks


def rows(bench: Bench) -> Iterator[Row]:
    """Everything stored, against the SDK that stores nothing; then against those that store something."""
    messages = bench.ticks // TICKS_A_MESSAGE
    sdk = alternative(bench, "sdk", _SDK_MESSAGES)
    turns = [record(bench, messages) for _ in range(bench.turns)]
    best = min(turns, key=lambda turn: turn.stored)
    speed = best.ticks / best.stored
    yield Row(
        "socket to journal, Parquet and DuckDB, all stored",
        rate(speed),
        f"SDK, nothing stored: {rate(sdk)}",
        times(speed / sdk),
        "400,000; 17x",
        speed >= 400_000 and speed >= 17 * sdk,
    )
    for name, (what, few) in _ALTERNATIVES.items():
        theirs = alternative(bench, name, few)
        yield Row("  the same", rate(speed), f"{what}: {rate(theirs)}", times(speed / theirs))
    flooded = best.ticks / best.journalled
    yield Row("  journal meanwhile", rate(flooded), f"feeder {best.feeder_share:.0%} of a core")
    peaks = [turn.peaks for turn in turns]
    resident, children = max(each.resident for each in peaks), max(each.children_resident for each in peaks)
    yield Row(
        "resident memory at full load",
        megabytes(resident),
        f"and its children {megabytes(children)}",
        target="500 MB",
        met=resident < 500 * MB,
    )


def burst_rows(bench: Bench) -> Iterator[Row]:
    """The journal alone, for as long as nothing is flushed."""
    turns = [record(bench, BURST) for _ in range(max(3, bench.turns))]
    speed = max(turn.ticks / turn.journalled for turn in turns)
    yield Row(
        f"burst of {BURST * TICKS_A_MESSAGE:,} ticks, socket to journal",
        rate(speed),
        target="1,000,000",
        met=speed >= 1_000_000,
    )


def record(bench: Bench, messages: int) -> Stored:
    """Let a recorder take so many messages; checked to the last tick."""
    with bench.scratch("store") as folder, feeding(bench.pool, messages) as feed:
        with recording(folder, feed.url) as recorder, Watching(recorder.pid) as watching:
            began = feed.event("began")
            sums = feed.sums()
            taken = feed.event("taken")
            recorder.stop()
            ended = feed.now()
        last = check(recorder.store, sums)
        share = feed.event("cpu") / ((taken - began) / SECOND)
        return Stored(sums.ticks, (last - began) / SECOND, (ended - began) / SECOND, share, watching.peaks)


def check(store: Store, sums: Sums) -> int:
    """Compare every copy with what was sent; the monotonic time of the last message. Raises AssertionError."""
    import duckdb

    (date,) = store.dates()
    ticks = size = last = 0
    for entry in Journal(store.journal(date)).entries():
        if entry.kind is EntryKind.MESSAGE and (count := count_feeds(entry.payload)):
            ticks, size, last = ticks + count, size + len(entry.payload), entry.mono_ns
    assert (ticks, size) == (sums.ticks, sums.bytes), f"journal: {ticks, size}, sent: {sums}"
    parts = glob.glob(f"{store.folder('ticks', date)}/*.parquet")
    with duckdb.connect() as session:
        parquet = session.execute(f"SELECT {_SUMS} FROM read_parquet(?)", [parts]).fetchone()
    with duckdb.connect(str(store.duckdb_path(date)), read_only=True) as session:
        day_file = session.execute(f"SELECT {_SUMS} FROM ticks").fetchone()
    assert parquet == day_file == sums[:4], f"Parquet: {parquet}, DuckDB: {day_file}, sent: {sums}"
    return last


def alternative(bench: Bench, name: str, messages: int) -> float:
    """Ticks a second of another way to record, from the feeder's first byte on."""
    if name not in bench.kept:
        bench.kept[name] = max(_run(bench, name, messages) for _ in range(bench.turns))
    return bench.kept[name]


def _run(bench: Bench, name: str, messages: int) -> float:
    with bench.scratch("other") as folder, feeding(bench.pool, messages) as feed:
        facts = json.loads(output(module("tests.benchmarks.alternatives", name, feed.url, folder, messages)))
        return float(facts["ticks"] / (facts["done"] - feed.event("began")) * SECOND)
