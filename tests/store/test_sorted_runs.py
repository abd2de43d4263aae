"""Sorting rows of `ticks`, and where they are cut."""

import os
from pathlib import Path

import pyarrow as pa
import pytest

from tests.days import DATE, read_tail, write_day
from tickrec import schema
from tickrec.store import sorted_runs
from tickrec.store.paths import Store


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
        merged.add(sorted_runs.sort([table(keys[first : first + size], first + 1)]).rows)
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


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at files without a name through /proc")
def test_what_waits_to_be_merged_takes_less_of_the_disk_than_its_entries_in_the_journal(store: Store) -> None:
    written = write_day(store)
    merged = sorted_runs.Runs(store.root, written.ticks)
    for _ in range(2):
        merged.add(sorted_runs.sort([read_tail(store, DATE).tables["ticks"]]).rows)
    paths = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]
    sizes = [path.stat().st_size for path in paths if path.exists() and path.readlink().parent == store.root]
    merged.close()
    assert 0 < sum(sizes) < written.bytes / 2
