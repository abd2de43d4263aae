"""Measure tickrec on this machine, against what is used instead: `python -m tests.benchmarks [ROWS ...]`.

Linux only: processor time and memory are read from /proc. Nothing else should be running. --quick takes some minutes,
a whole run about an hour.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.benchmarks import decoding, load, most_keys, querying, sealing, serving, stalls, starting, storing
from tests.benchmarks.bench import Bench
from tests.benchmarks.machine import description
from tests.benchmarks.table import Row, markdown, text

ROWS: Final[Mapping[str, Callable[[Bench], Iterator[Row]]]] = {
    "decode": decoding.rows,
    "store": storing.rows,
    "burst": storing.burst_rows,
    "load": load.rows,
    "keys": most_keys.rows,
    "stalls": stalls.rows,
    "seal": sealing.rows,
    "seal-large": sealing.large_rows,
    "query": querying.rows,
    "serve": serving.rows,
    "start": starting.rows,
}


def main() -> None:
    """Print one table."""
    options = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    options.add_argument("rows", nargs="*", metavar="ROWS", help=f"which: {', '.join(ROWS)}; all unless given")
    options.add_argument("--quick", action="store_true", help="less of everything")
    options.add_argument("--turns", type=int, default=3, help="how often to measure a speed; the best turn counts")
    options.add_argument("--minutes", type=float, default=2.0, help="whole minutes to record at a usual load")
    options.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tickrec-benchmarks")
    options.add_argument("--markdown", action="store_true", help="print the table for a page")
    chosen = options.parse_args()
    if unknown := set(chosen.rows) - set(ROWS):
        options.error(f"unknown: {', '.join(sorted(unknown))}")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has its byte code: a third of a short command
    bench = Bench(chosen.work, chosen.quick, 1 if chosen.quick else chosen.turns, chosen.minutes)
    machine = description()
    found: list[Row] = []
    for name, measure in ROWS.items():
        if not chosen.rows or name in chosen.rows:
            bench.say(f"measuring: {name}")
            found += measure(bench)
    print(f"{machine}\n\n{(markdown if chosen.markdown else text)(found)}")


if __name__ == "__main__":
    main()
