"""How fast questions are answered as whole commands: about a sealed day, one in parts, and among many days."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.benchmarks.bench import Bench, module
from tests.benchmarks.pool import Quotes
from tests.benchmarks.query_speed import DATE, ONE_MINUTE, add_days, in_sql, make_day
from tests.benchmarks.sealing import watched, write_day
from tests.benchmarks.table import Row, milliseconds
from tickrec.store.parts import PART_TICKS
from tickrec.store.paths import Store

WHAT: Final = "one-minute candles of one instrument"
LATEST: Final = "FROM latest"
_FEW_TICKS: Final = 800
"""Ticks of each of 375 small parts."""
_DAYS: Final = {250: 0.060, 1_000: 0.150}
_EXPORTS: Final = {".csv": 6.0, ".jsonl": 8.0, ".parquet": 3.0}


def rows(bench: Bench) -> Iterator[Row]:
    """Candles, the latest ticks, exports, and what more the first takes with other days on disk."""
    turns = 3 if bench.quick else 7
    yield from _part_rows(bench, turns)
    with bench.scratch("query") as folder:
        store = Store(folder / "data")
        make_day(store, 2 * bench.ticks)
        yield _row(f"FROM latest, {2 * bench.ticks:,} ticks sealed", command(store, LATEST, turns), 0.3)
    with bench.scratch("query") as folder:
        store = Store(folder / "data")
        make_day(store, bench.ticks)
        alone = command(store, ONE_MINUTE, turns)
        yield _row(f"{WHAT}, {bench.ticks:,} ticks sealed", alone, 0.25)
        yield _row("  in SQL alone", in_sql(store, ONE_MINUTE, turns), 0.040)
        yield from _export_rows(store, folder, bench.ticks)
        days = 1
        for more, target in _DAYS.items():
            add_days(store, more, first=days)
            days = more
            yield _row(f"  more with {more:,} days on disk", command(store, ONE_MINUTE, turns) - alone, target)


def _part_rows(bench: Bench, turns: int) -> Iterator[Row]:
    symbol = next(iter(Quotes().symbols.values()))
    for ticks, part_ticks, target in ((2 * bench.ticks, PART_TICKS, 0.35), (bench.ticks // 10, _FEW_TICKS, 0.3)):
        with bench.scratch("query") as folder:
            store = Store(folder / "data")
            date = write_day(store, bench.pool, ticks, part_ticks=part_ticks)
            parts = len(list(store.folder("ticks", date).iterdir()))
            what = f"{ticks:,} ticks in {parts} parts"
            yield _row(f"{WHAT}, {what}", command(store, _candles(symbol, date), turns), target)
            yield _row(f"FROM latest, {what}", command(store, LATEST, turns), 0.3)


def _export_rows(store: Store, folder: Path, ticks: int) -> Iterator[Row]:
    for suffix, goal in _EXPORTS.items():
        arguments = (f"FROM ticks WHERE date = '{DATE}'", "--output", folder / f"all{suffix}")
        seconds = watched(module("tickrec", "query", "--data", store.root, *arguments)).seconds
        goal *= ticks / 3_000_000
        yield Row(
            f"{ticks:,} ticks, all columns, to {suffix}",
            f"{seconds:.1f} s",
            target=f"{goal:.1f} s",
            met=seconds <= goal,
        )


def command(store: Store, sql: str, turns: int) -> float:
    """Seconds of `tickrec query`, the start of Python included; the best of some turns."""
    whole = module("tickrec", "query", "--data", store.root, "--format", "csv", sql)
    return min(watched(whole).seconds for _ in range(turns))


def _candles(symbol: str, date: dt.date) -> str:
    return f"FROM candles('1 minute') WHERE symbol = '{symbol}' AND date = '{date}'"


def _row(what: str, seconds: float, target: float) -> Row:
    return Row(what, milliseconds(seconds), target=milliseconds(target), met=seconds <= target)
