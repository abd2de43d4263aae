import itertools
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tickrec import schema
from tickrec.seal.sort import Sizes, SortedTicks
from tickrec.store.coverage import Footer


def part(path: Path, rows: list[tuple[str, int]], *, counted: bool = False) -> Path:
    """A Parquet file of ticks with these keys and seqs, and a value that tells rows apart; if `counted`, its footer
    says how many each instrument has, as those of older versions do not."""
    records = [{"instrument_key": key, "seq": seq, "ltp": seq + len(key) / 100, "bid_qtys": [seq]} for key, seq in rows]
    write(path, pa.Table.from_pylist(records, schema.TICKS), Counter(key for key, _ in rows) if counted else None)
    return path


def write(path: Path, rows: pa.Table, counts: Mapping[str, int] | None = None) -> None:
    with pq.ParquetWriter(path, rows.schema) as writer:
        writer.write_table(rows, row_group_size=20)
        writer.add_key_value_metadata(Footer(1, 1, counts=counts).to_metadata())


def sorted_merge(paths: list[Path], scratch: Path, sizes: Sizes | None = None) -> SortedTicks:
    merge = SortedTicks(paths, scratch, sizes)
    told = [0.0]
    merge.sort_runs(told.append)
    assert told == sorted(told)
    assert told[-1] == (1.0 if merge.rows else 0.0)
    return merge


def merged(merge: SortedTicks) -> tuple[list[tuple[str, int]], list[int]]:
    tables = list(merge.groups())
    for table in tables:
        assert table.schema.equals(schema.TICKS)
        assert all(column.num_chunks <= 1 for column in table.columns)
        for row in table.select(["instrument_key", "seq", "ltp", "bid_qtys"]).to_pylist():
            assert (row["ltp"], row["bid_qtys"]) == (row["seq"] + len(row["instrument_key"]) / 100, [row["seq"]])
    rows = [
        (key, seq)
        for table in tables
        for key, seq in zip(table["instrument_key"].to_pylist(), table["seq"].to_pylist(), strict=True)
    ]
    return rows, [table.num_rows for table in tables]


def expected_sizes(counts: dict[str, int], most: int) -> list[int]:
    """Groups end with an instrument, or after `most` rows of one that has more."""
    sizes: list[int] = []
    room = 0
    for count in counts.values():
        if count <= room:
            sizes[-1] += count
            room -= count
            continue
        sizes += [most] * (count // most) + ([count % most] if count % most else [])
        room = most - count if count <= most else 0
    return sizes


@pytest.mark.parametrize("run_rows", [1, 7, 64, 1000, 100_000])
def test_rows_come_in_order_whatever_is_held_at_a_time(tmp_path: Path, run_rows: int) -> None:
    rng = random.Random(run_rows)
    keys = ["NSE_EQ|A", "NSE_EQ|B", "NSE_FO|1", "NSE_FO|10", "NSE_INDEX|Nifty 50", "Ä"]
    weights = [1, 50, 5, 5, 20, 1]
    rows = [
        (key, seq)
        for seq in range(1, 120)
        for key in sorted(set(rng.choices(keys, weights, k=3)), key=lambda _: rng.random())
    ]
    cuts = [0, 40, 40, 41, 150, len(rows)]
    paths = [
        part(tmp_path / f"{number}.parquet", rows[start:end], counted=number % 2 == 0)
        for number, (start, end) in enumerate(itertools.pairwise(cuts))
    ]
    merge = sorted_merge(paths, tmp_path / "scratch", Sizes(run_rows, 50))
    found, sizes = merged(merge)
    assert found == sorted(rows)
    assert merge.rows == len(rows)
    assert list(merge.counts.items()) == sorted((key, sum(k == key for k, _ in rows)) for key in {k for k, _ in rows})
    assert sizes == expected_sizes(merge.counts, 50)


def test_a_sorted_file_and_later_parts_merge(tmp_path: Path) -> None:
    sealed = part(tmp_path / "sealed.parquet", [("A", 1), ("A", 3), ("B", 2), ("C", 1)])
    later = part(tmp_path / "later.parquet", [("C", 4), ("A", 4), ("D", 5), ("B", 6)])
    found, _ = merged(sorted_merge([sealed, later], tmp_path / "scratch"))
    assert found == [("A", 1), ("A", 3), ("A", 4), ("B", 2), ("B", 6), ("C", 1), ("C", 4), ("D", 5)]


def test_no_rows_are_no_groups(tmp_path: Path) -> None:
    merge = sorted_merge([part(tmp_path / "empty.parquet", [])], tmp_path / "scratch")
    assert (merge.rows, merge.counts) == (0, {})
    assert list(merge.groups()) == []
    assert list(sorted_merge([], tmp_path / "scratch").groups()) == []


def test_columns_that_an_older_version_did_not_write_are_null(tmp_path: Path) -> None:
    path = part(tmp_path / "old.parquet", [("B", 1), ("A", 2)])
    write(path, pq.ParquetFile(path).read().drop_columns(["vtt", "bid_qtys"]))
    (table,) = sorted_merge([path], tmp_path / "scratch").groups()
    assert table["vtt"].null_count == 2
    assert table["bid_qtys"].null_count == 2
    assert table["seq"].to_pylist() == [2, 1]


def test_an_instrument_that_a_footer_does_not_count_is_not_left_out_in_silence(tmp_path: Path) -> None:
    path = part(tmp_path / "wrong.parquet", [("A", 1), ("B", 1)])
    write(path, pq.ParquetFile(path).read(), {"A": 2})
    merge = SortedTicks([path], tmp_path / "scratch")
    with pytest.raises(pa.ArrowInvalid, match="does not count"):
        merge.sort_runs(lambda _share: None)


def test_sorted_runs_and_rows_in_the_order_of_arrival_merge(tmp_path: Path) -> None:
    """What is cut by slicing and what is cut by picking its rows."""
    keys = [f"NSE_EQ|{number}" for number in range(12)]
    arrived = [(key, seq) for seq in range(1, 40) for key in keys]
    runs = sorted((key, seq) for key in keys for seq in range(40, 60)) + sorted((key, 60) for key in keys)
    paths = [part(tmp_path / "arrived.parquet", arrived), part(tmp_path / "runs.parquet", runs, counted=True)]
    found, _ = merged(sorted_merge(paths, tmp_path / "scratch", Sizes(200, 60)))
    assert found == sorted(arrived + runs)
