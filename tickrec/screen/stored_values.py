"""Stored values: what the Parquet parts of a date know of the instruments of a run, for whoever joins late.

Owns what is looked up: the names of all that was subscribed, and the last row of each. Taken by a process of its own,
`python -m tickrec.screen.stored_values DATA DATE STARTED_NS`, which prints JSON: Arrow takes as much memory as all the
rest of the viewer, and is needed once.
"""

import datetime as dt
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from tickrec.journal import Position
from tickrec.store.paths import Store
from tickrec.upstox.decode.quotes import Quote

_COLUMNS: Final = ("instrument_key", "recv_ts", "ltp", "cp", "bid", "ask", "vtt", "oi", "ltt")


class StoredValues(NamedTuple):
    """What the parts know of a run's instruments, and where the journal goes on."""

    next_seq: int
    position: Position | None
    symbols: dict[str, str | None]
    """By instrument key, in the order in which they answered."""
    quotes: list[tuple[Quote, int]]
    """The last of each instrument, with the wall time at which it was received, in nanoseconds."""

    def to_text(self) -> str:
        """As JSON."""
        return json.dumps(self)

    @classmethod
    def from_text(cls, text: str) -> "StoredValues":
        """What `to_text` made a text of."""
        next_seq, position, symbols, quotes = json.loads(text)
        found = [(Quote(*quote), wall_ns) for quote, wall_ns in quotes]
        return cls(next_seq, Position(*position) if position else None, symbols, found)


NOTHING_STORED: Final = StoredValues(1, None, {}, [])
"""Where there are no parts, or none that can be read."""


def read(store: Store, date: dt.date, started_ns: int) -> StoredValues:
    """What is stored of the run that began at `started_ns`. Raises OSError, DataError."""
    from tickrec.clock import from_datetime
    from tickrec.journal.history import History
    from tickrec.store.coverage import coverage
    from tickrec.store.rows import stored_rows

    covered = coverage(store, date)
    asked = stored_rows(store, covered, "subscriptions")
    asked += History.from_text(covered.history).open_rows()["subscriptions"].to_pylist()
    symbols = {
        row["instrument_key"]: row["symbol"]
        for row in asked
        if row["asked_ts"] is None or from_datetime(row["asked_ts"]) >= started_ns // 1000 * 1000
    }
    quotes = list(_last_quotes([part.path for part in covered.parts], set(symbols)))
    return StoredValues(covered.next_seq, covered.position, symbols, quotes)


def _last_quotes(parts: list[Path], wanted: set[str]) -> Iterator[tuple[Quote, int]]:
    """The last quotes of the wanted instruments: the newest part has most of them, the run's first one the rest."""
    from tickrec.store.coverage import read_footer

    for path in reversed(parts):
        if not wanted:
            return
        counts = read_footer(path).counts
        if counts is not None and wanted.isdisjoint(counts):
            continue
        for row in _last_rows(path, wanted):
            key, received_us, *values = row.values()
            wanted.discard(key)
            yield Quote(key, *values), received_us * 1000


def _last_rows(path: Path, wanted: set[str]) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    from tickrec.store.parquet import opened_ticks

    with opened_ticks(path) as file:
        table = file.read(columns=list(_COLUMNS))
    table = table.filter(pc.is_in(table["instrument_key"], pa.array(wanted, pa.string())))
    numbered = pa.table({"key": table["instrument_key"], "row": pa.array(range(table.num_rows), pa.int64())})
    last = table.take(numbered.group_by("key").aggregate([("row", "max")])["row_max"])  # rows of a key stand in order
    for name, unit in (("recv_ts", "us"), ("ltt", "ms")):
        times = last[name].cast(pa.timestamp(unit, "UTC")).cast(pa.int64())
        last = last.set_column(last.schema.get_field_index(name), name, times)
    rows: list[dict[str, Any]] = last.to_pylist()
    return rows


def main() -> None:
    """Print what the arguments ask for."""
    from tickrec import children

    children.lower_priority()
    _, data, date, started_ns = sys.argv
    sys.stdout.write(read(Store(Path(data)), dt.date.fromisoformat(date), int(started_ns)).to_text())


if __name__ == "__main__":
    main()
