"""Sorting rows of `ticks`, and where they are cut."""

from pathlib import Path

import pyarrow as pa
import pytest

from tickrec import schema
from tickrec.store import sorted_runs


def table(keys: str, first: int) -> pa.Table:
    """A row for each letter, in the order of seq."""
    seqs = list(range(first, first + len(keys)))
    columns = {"seq": seqs, "instrument_key": list(keys), "bid_prices": [[float(seq)] * (seq % 3) for seq in seqs]}
    return pa.table(
        [pa.array(columns.get(field.name, [None] * len(keys)), field.type) for field in schema.TICKS],
        schema=schema.TICKS,
    )


def test_rows_of_several_tables_are_sorted_by_instrument_and_seq() -> None:
    tables = [table("CAB", 1), table("", 4), table("BBAC", 4)]
    whole = pa.concat_tables(tables).sort_by([("instrument_key", "ascending"), ("seq", "ascending")])
    run = sorted_runs.sort(tables)
    assert run.rows.equals(whole.combine_chunks())
    assert list(run.counts.items()) == [("A", 2), ("B", 3), ("C", 2)]
    assert tables == []


@pytest.mark.parametrize("sizes", [[28], [9, 11, 8], [1] * 28, [27, 1]])
def test_runs_are_merged_into_groups_of_whole_instruments(tmp_path: Path, sizes: list[int]) -> None:
    keys = "ACBCDCECACBCECECBCECCCEFFFFF"
    merged = sorted_runs.Runs(tmp_path, 5)
    first = 0
    for size in sizes:
        merged.add([table(keys[first : first + size], first + 1)])
        first += size
    groups = list(merged.groups())
    merged.close()
    assert list(tmp_path.iterdir()) == []
    assert ["".join(group["instrument_key"].to_pylist()) for group in groups] == [
        *("AABBB", "CCCCC", "CCCCC", "CC", "D", "EEEEE", "FFFFF")
    ]
    rows = pa.concat_tables(groups)
    assert rows.equals(rows.sort_by([("instrument_key", "ascending"), ("seq", "ascending")]))
    assert sorted(rows["seq"].to_pylist()) == list(range(1, len(keys) + 1))
    assert all(
        len(prices) == seq % 3
        for seq, prices in zip(*(rows[name].to_pylist() for name in ("seq", "bid_prices")), strict=True)
    )
