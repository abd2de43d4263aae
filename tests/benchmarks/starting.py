"""How long a command takes to answer that does nothing."""

import sys
import time
from collections.abc import Iterator

from tests.benchmarks.bench import Bench, module, output
from tests.benchmarks.table import Row


def rows(bench: Bench) -> Iterator[Row]:
    """One row, the best of some turns; beside it what the interpreter alone takes."""
    ours = min(_seconds(module("tickrec", "--help")) for _ in range(7))
    bare = min(_seconds([sys.executable, "-c", ""]) for _ in range(7))
    yield Row("tickrec --help", f"{ours:.2f} s", f"python -c '': {bare:.2f} s", target="0.1 s", met=ours <= 0.1)


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    output(command)
    return time.perf_counter() - began
