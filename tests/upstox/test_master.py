"""master: the broker's list made again of the table that was made of it."""

import gzip
import json
from pathlib import Path

import pytest

from tests.market.fixtures import RECORDS, write_master
from tickrec.upstox.master import EXCHANGES, master_file, read_master

LIST = [record for name, record in RECORDS.items() if not name.startswith("_")]


def test_a_file_made_of_a_table_reads_as_the_table(tmp_path: Path) -> None:
    write_master(tmp_path / "first.json.gz", LIST)
    table = read_master(tmp_path / "first.json.gz").table
    made = master_file(table)
    assert made is not None
    (tmp_path / "second.json.gz").write_bytes(made)
    assert read_master(tmp_path / "second.json.gz").table.equals(table)


@pytest.mark.parametrize("exchange", EXCHANGES[1:])
def test_the_file_of_an_exchange_has_its_instruments_only(tmp_path: Path, exchange: str) -> None:
    write_master(tmp_path / "all.json.gz", LIST)
    made = master_file(read_master(tmp_path / "all.json.gz").table, exchange)
    assert made is not None
    keys = {row["instrument_key"] for row in json.loads(gzip.decompress(made))}
    assert keys == {each["instrument_key"] for each in LIST if each["exchange"] == exchange} != set()


def test_there_is_no_other_file(tmp_path: Path) -> None:
    write_master(tmp_path / "all.json.gz", LIST)
    assert master_file(read_master(tmp_path / "all.json.gz").table, "NYSE") is None
