"""What recording costs at a usual load: 900 ticks a second of 220 instruments in full mode, for whole minutes.

The day file is made in the first minute and appended to once in some 250,000 ticks or ten minutes, so a short
measurement says little of its share: what its child took is spread over the time between two appends.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from tests.benchmarks.bench import Bench, module, output
from tests.benchmarks.machine import MB, Peaks, Usage, Watching, usage, viewer_of
from tests.benchmarks.pool import COARSE, FINE
from tests.benchmarks.running import Recorder, environment, feeding, recording, terminal
from tests.benchmarks.table import Row, megabytes, times
from tickrec.store.parts import PART_TICKS

RATE: Final = FINE.messages * FINE.ticks
_NONE, _COARSE, _SDK = "30 messages a second", "4 messages a second", "sdk"
_SETTLE_SECONDS: Final = 10
_NEWEST: Final = "SELECT epoch_ns(max(recv_ts))::BIGINT AS newest FROM latest"
_TERMINALS: Final = {"a viewer 220x70": (220, 70), "a viewer 100x30": (100, 30)}
_TARGETS: Final = {_COARSE: 0.01, _NONE: 0.02, "viewer": 0.05}
_START_SECONDS: Final = 0.3
"""What a child takes before its first row (measured by itself, with the libraries in the file cache)."""
_APPENDED_TICKS: Final = 54_000
"""What the one append of a measurement of a few minutes takes: the first flush."""
_RESIDENT: Final = 100 * MB
_VIEWER_MEMORY: Final = 80
"""MB."""


class Cost(NamedTuple):
    """Two looks at a process, some seconds apart."""

    before: Usage
    after: Usage
    seconds: float
    started: float = 0.0
    """What its children had taken when the feed began: reading the list of instruments, which comes once a day."""

    @property
    def share(self) -> float:
        """Processor time of the process and its children, of one core."""
        return (self.after.cpu - self.before.cpu) / self.seconds

    @property
    def own(self) -> float:
        """That of the process by itself."""
        return (self.after.own_cpu - self.before.own_cpu) / self.seconds

    @property
    def lasting(self) -> float:
        """The share over an hour, in which an append comes with every full part or ten minutes."""
        made = self.after.children_cpu - self.started  # before or while this is measured
        growing = max(0.0, made - _START_SECONDS) * PART_TICKS / _APPENDED_TICKS
        return self.own + (_START_SECONDS + growing) / (PART_TICKS / RATE)

    @property
    def parts(self) -> str:
        """The process by itself, and its children."""
        return f"recorder {self.own:.2%}, children {self.share - self.own:.2%} of these minutes"


def rows(bench: Bench) -> Iterator[Row]:
    """Recorders with and without a viewer, and the SDK's streamer, side by side; none takes a tenth of a core."""
    with ExitStack() as stack:
        folder = stack.enter_context(bench.scratch("load"))
        seconds = bench.minutes * 60
        names = (_NONE, _COARSE, *_TERMINALS, _SDK)
        started, children = {}, {}
        for name in names:
            started[name] = _start(bench, stack, folder, name, seconds + 240)
            children[name] = usage(started[name].pid).children_cpu
        recorder = started[_NONE]
        assert isinstance(recorder, Recorder)
        time.sleep(_SETTLE_SECONDS)
        with Watching(recorder.pid) as watching:
            pids = {name: each.pid for name, each in started.items()}
            viewers = {f"{name} itself": viewer_of(pids[name]) for name in _TERMINALS}
            costs = _costs(pids | viewers, children, seconds)
        age = min(_newest_age(folder / _NONE) for _ in range(3))
    yield from _cpu_rows(costs)
    resident = costs["a viewer 100x30 itself"].after.resident
    what, target = "resident memory of a viewer 100x30", f"{_VIEWER_MEMORY} MB"
    yield Row(what, megabytes(resident), target=target, met=resident < _VIEWER_MEMORY * MB)
    beside = costs["a viewer 100x30"]
    yield Row("resident memory of a recorder with a viewer", megabytes(beside.after.resident), "as without one")
    yield _memory_row(costs[_NONE], watching.peaks, bench.minutes)
    yield Row("newest tick in a query's answer while recording", f"{age:.2f} s old", target="0.2 s", met=age <= 0.2)


def _start(
    bench: Bench, stack: ExitStack, folder: Path, name: str, seconds: float
) -> "Recorder | subprocess.Popen[bytes]":
    """A feeder of its own, and somebody who takes what it sends."""
    pool, pace = (bench.coarse_pool, COARSE) if name == _COARSE else (bench.pool, FINE)
    messages = int(seconds * pace.messages)
    feed = stack.enter_context(feeding(pool, messages, pace.messages))
    taker: Recorder | subprocess.Popen[bytes]
    if name == _SDK:
        command = module("tests.benchmarks.alternatives", name, feed.url, folder / name, messages)
        taker = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        stack.callback(taker.kill)
    else:
        screen = stack.enter_context(terminal(*_TERMINALS[name])) if name in _TERMINALS else -1
        taker = stack.enter_context(recording(folder / name, feed.url, terminal=screen))
    feed.event("began")
    return taker


def _costs(pids: dict[str, int], started: dict[str, float], seconds: float) -> dict[str, Cost]:
    before = {name: usage(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    return {name: Cost(before[name], usage(pid), seconds, started.get(name, 0.0)) for name, pid in pids.items()}


def _cpu_rows(costs: dict[str, Cost]) -> Iterator[Row]:
    """Of each recorder without its viewer, and of each viewer."""
    sdk = costs[_SDK].share
    for name in (_COARSE, _NONE):
        share = costs[name].lasting
        said = f"SDK, nothing stored, 30 a second: {sdk:.1%}; {costs[name].parts}"
        yield _cpu_row(f"processor at {RATE} ticks/s, {name}", share, said, times(sdk / share), _TARGETS[name])
    for name in _TERMINALS:
        share = costs[_NONE].lasting + costs[name].own - costs[_NONE].own
        yield _cpu_row(f"  beside {name}", share, "", times(sdk / share), _TARGETS[_NONE])
    for name in _TERMINALS:
        share = costs[f"{name} itself"].share
        yield _cpu_row(f"processor of {name}", share, "", "", _TARGETS["viewer"])


def _cpu_row(what: str, share: float, said: str, ratio: str, target: float) -> Row:
    return Row(what, f"{share:.1%} of a core", said, ratio, f"{target:.1%}", share <= target)


def _memory_row(cost: Cost, peaks: Peaks, minutes: float) -> Row:
    begin, end = megabytes(cost.before.resident), megabytes(cost.after.resident)
    return Row(
        "resident memory at that load",
        megabytes(peaks.resident),
        f"from {begin} to {end} in {minutes:g} min; its children {megabytes(peaks.children_resident)}",
        target="100 MB, flat",
        met=peaks.resident <= _RESIDENT,
    )


def _newest_age(folder: Path) -> float:
    """Seconds between the receipt of the newest tick that a query knows of and the end of that command."""
    options = ["--config", f"{folder}/config.toml", "--data", f"{folder}/data", "--format", "csv"]
    answer = output(module("tickrec", "query", _NEWEST, *options), environment(folder))
    return (time.time_ns() - int(answer.split()[-1])) / 1e9
