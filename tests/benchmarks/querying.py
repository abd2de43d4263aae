"""How fast one-minute candles of one instrument are answered, from one sealed day and among many."""

from collections.abc import Iterator
from typing import Final

from tests.benchmarks.bench import Bench
from tests.benchmarks.query_speed import ONE_MINUTE, add_days, in_sql, make_day, whole_command
from tests.benchmarks.table import Row, milliseconds
from tickrec.store.paths import Store

TICKS: Final = 3_000_000
DAYS: Final = 250
WHAT: Final = "one-minute candles of one instrument"


def rows(bench: Bench) -> Iterator[Row]:
    """In SQL, as a whole command, and what more it takes with all the other days on disk."""
    turns = 3 if bench.quick else 7
    with bench.scratch("query") as folder:
        store = Store(folder / "data")
        make_day(store, TICKS)
        alone, command = in_sql(store, ONE_MINUTE, turns), whole_command(store, turns)
        add_days(store, DAYS)
        among, command_among = in_sql(store, ONE_MINUTE, turns), whole_command(store, turns)
    yield Row(f"{WHAT}, {TICKS:,} ticks", milliseconds(alone), target="40 ms", met=alone <= 0.040)
    yield Row("  the whole command", milliseconds(command), target="400 ms", met=command <= 0.4)
    more, command_more = among - alone, command_among - command
    yield Row(f"  more with {DAYS} days on disk", milliseconds(more), target="60 ms", met=more <= 0.060)
    yield Row("  the whole command", milliseconds(command_more), target="60 ms", met=command_more <= 0.060)
