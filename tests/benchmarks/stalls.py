"""How long the recorder's event loop is held up while it flushes as much as a minute brings."""

import json
import time
from collections.abc import Iterator
from typing import Final

from tests.benchmarks.bench import Bench
from tests.benchmarks.pool import MESSAGES_A_SECOND
from tests.benchmarks.running import feeding, recording
from tests.benchmarks.table import Row, milliseconds

_HASTE: Final = 10
"""The load is so many times the usual one and flushes come so many times as often, so that each has its usual size."""


def rows(bench: Bench) -> Iterator[Row]:
    """One row: the longest of a run of several flushes, in the best of the turns."""
    turns = [_stalls(bench) for _ in range(bench.turns)]
    best = min(turns, key=lambda turn: turn["longest"])
    yield Row(
        "longest stall of the event loop while flushing",
        milliseconds(best["longest"]),
        f"one in a thousand: {milliseconds(best['one in a thousand'])}",
        target="10 ms",
        met=best["longest"] <= 0.010,
    )


def _stalls(bench: Bench) -> dict[str, float]:
    """Lateness in seconds."""
    seconds, interval = (15, 60 / _HASTE) if bench.quick else (45, 60 / _HASTE)
    rate = MESSAGES_A_SECOND * _HASTE
    with bench.scratch("stalls") as folder:
        with feeding(bench.pool, rate * (seconds + 5), rate) as feed:
            config = f'[record]\nflush_interval = "{interval:g}s"\n'
            with recording(folder, feed.url, config=config, command=("tests.benchmarks.probe",)) as recorder:
                feed.event("began")
                time.sleep(seconds)
                recorder.stop()
        figures: dict[str, float] = json.loads((folder / "stalls.json").read_text())
        return figures
