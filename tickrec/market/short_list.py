"""Short list: what a day's list of instruments lacks beside the day before's.

The broker's list has come with two rows, or with half of the underlyings, early in the morning (reported 2026). What
was listed the day before and has not expired is expected again; a few names less are nothing strange.
"""

import datetime as dt
from typing import Final

import pyarrow as pa

from tickrec.formatting import grouped

ENOUGH: Final = 0.9
"""The share of what was expected that a list must have, in each segment."""


def unexpired(table: pa.Table, today: dt.date) -> pa.Table:
    """The instruments that do not expire before `today`."""
    import pyarrow.compute as pc  # a third of what a child takes to start

    expiry = table["expiry"]
    return table.filter(pc.or_kleene(pc.is_null(expiry), pc.greater_equal(expiry, pa.scalar(today, pa.date32()))))


def shortage(table: pa.Table, expected: pa.Table) -> str:
    """In what a list is much shorter than expected, rows and underlyings by segment; empty: in nothing."""
    rows, expected_rows = _by_segment(table), _by_segment(expected)
    lacks = []
    for segment, (count, underlyings) in expected_rows.items():
        there, names = rows.get(segment, (0, 0))
        if there < ENOUGH * count:
            lacks.append(f"{segment} has {grouped(there)} of {grouped(count)} instruments")
        elif names < ENOUGH * underlyings:
            lacks.append(f"{segment} has contracts on {grouped(names)} of {grouped(underlyings)} underlyings")
    return ", ".join(lacks)


def filled_up(table: pa.Table, expected: pa.Table) -> pa.Table:
    """A list with those of the expected instruments that it lacks, behind its own."""
    import pyarrow.compute as pc

    there = pc.is_in(expected["instrument_key"], value_set=table["instrument_key"].combine_chunks())
    return pa.concat_tables([table, expected.filter(pc.invert(there))])


def _by_segment(table: pa.Table) -> dict[str, tuple[int, int]]:
    """The number of instruments, and of their underlyings, in each segment."""
    counted = table.group_by("segment").aggregate(
        [("instrument_key", "count"), ("underlying_symbol", "count_distinct")]
    )
    names = ("segment", "instrument_key_count", "underlying_symbol_count_distinct")
    segments, rows, underlyings = (counted[name].to_pylist() for name in names)
    return dict(zip(segments, zip(rows, underlyings, strict=True), strict=True))
