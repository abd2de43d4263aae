from itertools import pairwise

import pyarrow as pa
import pytest

from tickrec import schema
from tickrec.store.last_rows import LastRows, from_text


@pytest.mark.parametrize("cuts", [(0, 9), (0, 2, 3, 4, 9), (0, 1, 1, 8, 9)])
def test_last_rows_are_found_wherever_the_rows_are_cut(cuts: tuple[int, ...]) -> None:
    keys = ["A"] * 3 + ["B"] + ["C"] * 5
    rows = pa.Table.from_pylist(
        [{"instrument_key": key, "seq": seq, "bid_prices": [seq / 20]} for seq, key in enumerate(keys)],
        schema=schema.TICKS,
    )
    found = LastRows([3, 1, 5])
    for begin, end in pairwise(cuts):
        found.add(rows.slice(begin, end - begin))
    assert from_text(found.to_text()) == rows.take([2, 3, 8])


def test_a_day_without_ticks_has_no_last_rows() -> None:
    assert from_text(LastRows([]).to_text()) == schema.TICKS.empty_table()
