"""What processes cost: processor time and resident memory, read from /proc. Linux only."""

import contextlib
import os
import platform
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Self

_TICK: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
MB: Final = 1_000_000


class Usage(NamedTuple):
    """A process at one moment. Seconds and bytes."""

    own_cpu: float
    children_cpu: float
    """Of its descendants, those that have ended included."""
    resident: int
    children_resident: int

    @property
    def cpu(self) -> float:
        """Of the process and its descendants."""
        return self.own_cpu + self.children_cpu


def usage(pid: int) -> Usage:
    """What a process and its descendants have cost so far. Raises FileNotFoundError when it is gone."""
    own, reaped, resident = _stat(pid)
    below = [each for child in _children(pid) for each in _usages(child)]
    return Usage(own, reaped + sum(each.cpu for each in below), resident, sum(each.resident for each in below))


def _usages(pid: int) -> list[Usage]:
    """The usage of a child as a list of one; empty when it has just ended, which its parent then has counted."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return [usage(pid)]
    return []


def _stat(pid: int) -> tuple[float, float, int]:
    # The second field is the name in brackets, which may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, children_user, children_system = map(int, fields[11:15])
    return (user + system) / _TICK, (children_user + children_system) / _TICK, int(fields[21]) * _PAGE


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, (task / "children").read_text().split())
    return found


def viewer_of(pid: int) -> int:
    """The viewer beside a recorder."""
    named = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in _children(pid)}
    return next(child for child, command in named.items() if b"tickrec.screen.viewer" in command)


@dataclass(slots=True)
class Peaks:
    """The most memory that was seen, bytes."""

    resident: int = 0
    children_resident: int = 0
    together: int = 0
    """At one moment."""


class Watching:
    """Looks at a process every tenth of a second while the block runs."""

    def __init__(self, pid: int) -> None:
        self.peaks = Peaks()
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        peaks = self.peaks
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            while not self._done.wait(0.1):
                now = usage(self._pid)
                peaks.resident = max(peaks.resident, now.resident)
                peaks.children_resident = max(peaks.children_resident, now.children_resident)
                peaks.together = max(peaks.together, now.resident + now.children_resident)


def description() -> str:
    """The machine in a line: what a figure has to be read with."""
    model = "unknown processor"
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    memory = os.sysconf("SC_PHYS_PAGES") * _PAGE / 2**30
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GB, Python {platform.python_version()}; load before: {load}"
