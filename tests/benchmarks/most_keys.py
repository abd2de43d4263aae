"""What recording costs at the most that a normal plan allows: nearly 4,000 instruments in full mode on two connections.

Every one has to answer, with no gap; the market that they are of is `tickrec simulate`, a process of its own.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.bench import Bench, module, output
from tests.benchmarks.machine import Watching, usage
from tests.benchmarks.pool import Quotes
from tests.benchmarks.running import environment, recording
from tests.benchmarks.serving import serving
from tests.benchmarks.table import Row, megabytes

KEYS: Final = 3_990
RATE: Final = 2_000


def rows(bench: Bench) -> Iterator[Row]:
    """One row: whether everything was recorded, and the processor time and memory of the recorder with its children."""
    seconds = 20 if bench.quick else 60
    with bench.scratch("keys") as folder, serving("simulate", "--rate", RATE, folder=folder / "market") as (_, url):
        config = f'[record]\nflush_interval = "{seconds}s"\n'  # there is one flush in what is measured
        with recording(folder, url, _busiest(), config=config) as recorder, Watching(recorder.pid) as watching:
            while not _status(folder)["instruments"]["answered"]:
                assert recorder.process.poll() is None, f"the recorder has ended; see {folder}"
                time.sleep(1)
            before = usage(recorder.pid)
            time.sleep(seconds)
            after = usage(recorder.pid)
            recorder.stop()
        found = _status(folder)
    own, children = after.own_cpu - before.own_cpu, after.children_cpu - before.children_cpu
    silent, gaps, peaks = KEYS - found["instruments"]["answered"], found["gap_count"], watching.peaks
    yield Row(
        f"{KEYS:,} keys in full mode on {len(found['connections'])} connections, {RATE:,} ticks/s",
        f"{silent} silent, {gaps} gaps",
        f"recorder {own / seconds:.1%} of a core, {megabytes(peaks.resident)};"
        f" children {children / seconds:.1%}, {megabytes(peaks.children_resident)}",
        target="0 silent, 0 gaps",
        met=not silent and not gaps,
    )


def _busiest() -> list[str]:
    listings = Quotes().market.master.listings.values()
    return [each.key for each in sorted(listings, key=lambda each: -each.weight)[:KEYS]]


def _status(folder: Path) -> Any:
    command = module("tickrec", "status", "--json", "--config", f"{folder}/config.toml", "--data", f"{folder}/data")
    return json.loads(output(command, environment(folder)))
