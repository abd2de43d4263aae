"""A day's list of instruments beside the day before's: what is lacking, and what is only somewhat shorter."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.market.fixtures import Record, chain, master_of, share
from tickrec.market.short_list import filled_up, shortage, unexpired

TODAY = dt.date(2026, 11, 23)
EXPIRY = dt.date(2026, 11, 26)
SHARES = [share(f"S{number}", f"INE{number:03d}A01018") for number in range(40)]
CONTRACTS = [
    each for number in range(20) for each in chain(f"S{number}", f"NSE_EQ|INE{number:03d}A01018", EXPIRY, range(3))
]


@pytest.mark.parametrize(
    ("records", "lacks"),
    [
        (SHARES[:1], "NSE_EQ has 1 of 40 instruments, NSE_FO has 0 of 120 instruments"),
        (SHARES, "NSE_FO has 0 of 120 instruments"),
        ([*SHARES[:20], *CONTRACTS], "NSE_EQ has 20 of 40 instruments"),
        ([*SHARES, *CONTRACTS[:60]], "NSE_FO has 60 of 120 instruments"),
        (
            [*SHARES, *chain("S1", "NSE_EQ|INE001A01018", EXPIRY + dt.timedelta(weeks=4), range(60))],
            "NSE_FO has contracts on 1 of 20 underlyings",
        ),
        ([*SHARES, *CONTRACTS], ""),
        ([*SHARES[:38], *CONTRACTS], ""),
        ([*SHARES, *CONTRACTS[12:]], ""),
    ],
    ids=[
        *("one row", "no contracts", "half of the shares", "half of the contracts", "one underlying"),
        *("whole", "two shares less", "two underlyings less"),
    ],
)
def test_a_list_much_shorter_than_expected_is_filled_up(tmp_path: Path, records: Sequence[Record], lacks: str) -> None:
    expected = unexpired(master_of(tmp_path, [*SHARES, *CONTRACTS]).plain(), TODAY)
    table = master_of(tmp_path, records).plain()
    assert shortage(table, expected) == lacks
    keys = filled_up(table, expected)["instrument_key"].to_pylist()
    assert keys[: len(records)] == [record["instrument_key"] for record in records]
    assert set(keys) >= {record["instrument_key"] for record in (*SHARES, *CONTRACTS)}
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("today", "left"), [(EXPIRY, 160), (EXPIRY + dt.timedelta(days=1), 40)])
def test_expired_contracts_are_not_expected_again(tmp_path: Path, today: dt.date, left: int) -> None:
    before = master_of(tmp_path, [*SHARES, *CONTRACTS]).plain()
    assert unexpired(before, today).num_rows == left
