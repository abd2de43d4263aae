"""Sorting rows of `ticks`, and where they are cut."""

import pyarrow as pa

from tickrec import schema
from tickrec.store import runs


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
    run = runs.sort(tables)
    assert run.rows.equals(whole.combine_chunks())
    assert list(run.counts.items()) == [("A", 2), ("B", 3), ("C", 2)]
    assert tables == []


def test_groups_end_with_an_instrument_unless_it_is_larger() -> None:
    run = runs.sort([table("A" * 2 + "B" * 3 + "C" * 12 + "D" + "E" * 5, 1)])
    groups = ["".join(group["instrument_key"].to_pylist()) for group in run.groups(5)]
    assert groups == ["AABBB", "CCCCC", "CCCCC", "CCD", "EEEEE"]
    assert "".join(groups) == "".join(run.rows["instrument_key"].to_pylist())
