"""`tickrec query` as its users meet it: options, formats, files, dates, and what is said beside the answer."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests import days
from tests.processes import called, environment
from tests.query.fixtures import tick, write_sealed
from tickrec.errors import ExitCode
from tickrec.query.views import RELATIONS
from tickrec.store.paths import Store

DATE = days.DATE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a store with one small day is."""
    folder = tmp_path_factory.mktemp("command")
    rows = [tick(seq, f"09:15:0{seq}", symbol="RELIANCE", ltp=1400.0 + seq) for seq in range(3)]
    subscription = {"seq": 1, "conn": 1, "instrument_key": "NSE_EQ|A", "symbol": "RELIANCE", "mode": "full"}
    write_sealed(Store(folder / "data"), DATE, {"ticks": rows, "subscriptions": [subscription]})
    return folder


@pytest.mark.parametrize("options", [("--json",), ("--format", "json"), ("--json", "--format", "json")])
def test_json_is_written_json_either_way(folder: Path, options: tuple[str, ...]) -> None:
    done = called("query", "SELECT seq, ltp FROM ticks WHERE seq = 1", *options, folder=folder)
    assert json.loads(done.stdout) == [{"seq": 1, "ltp": 1401.0}]
    assert done.stderr == ""


def test_a_file_is_written_and_said(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    done = called("query", "FROM ticks", "--output", path, folder=folder)
    assert done.stdout == ""
    assert done.stderr.startswith(f"{path}, ")
    assert "kB: 3 rows (" in done.stderr
    assert pq.read_metadata(path).num_rows == 3
    table = called("query", "FROM ticks", "--output", tmp_path / "a.csv", "--format", "csv", folder=folder)
    assert ": 3 rows" in table.stderr
    assert len(list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text())))) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--output", "x.parquet", "--format", "csv"), ("--format csv", "x.parquet", "ending")),
        (("--output", "x.csv", "--json"), ("--format json", "x.csv")),
        (("--output", "x.xlsx"), ("cannot tell the format of x.xlsx", ".parquet")),
        (("--json", "--format", "csv"), ("--json", "--format csv")),
        (("--format", "xml"), ("unknown format xml", "markdown")),
        (("--date", "2026-02-30"), ("--date", "2026-02-30", f"Recorded: {DATE}")),
        (("--from", "2026-11-25", "--to", "2026-11-24"), ("--from 2026-11-25 is after", f"Recorded: {DATE}")),
        (("--date", "today", "--to", "today"), ("exclude each other",)),
        (("--memory", "much"), ("not a memory limit: much", "2GB")),
        (("--memory", "1KB"), ("1KB", "16MB at least")),
        (("--timeout", "0s"), ("--timeout 0s",)),
        (("--timeout", "soon"), ("--timeout", "soon", "60s")),
        (("--limit", "-3"), ("--limit", "-3", "1000")),
        (("--limit", "ten"), ("--limit", "ten")),
        (("--file", "x.sql"), ("give a statement",)),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    folder: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    before = sorted(folder.iterdir())
    refused = called("query", "FROM ticks", *options, folder=folder, check=ExitCode.USAGE)
    assert refused.stdout == ""
    assert refused.stderr.startswith("tickrec: ")
    assert refused.stderr.count("\n") == 1
    assert all(word in refused.stderr for word in words)
    assert sorted(folder.iterdir()) == before


def test_a_statement_is_read_from_a_file_or_stdin(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "q.sql"
    file.write_text("SELECT max(seq) AS last\nFROM ticks")
    assert called("query", "--file", file, "--format", "csv", folder=folder).stdout == "last\n2\n"
    command = [sys.executable, "-m", "tickrec", "query", "--file", "-", "--json"]
    done = subprocess.run(
        command, input="SELECT 1 AS a", cwd=folder, env=environment(folder), capture_output=True, text=True
    )
    assert json.loads(done.stdout) == [{"a": 1}]
    file.write_bytes(b"SELECT \xff")
    assert "no UTF-8" in called("query", "--file", file, folder=folder, check=ExitCode.USAGE).stderr


def test_an_empty_answer_says_why_beside_it(folder: Path) -> None:
    done = called("query", "SELECT ltp FROM ticks WHERE symbol = 'RELAINCE'", "--format", "csv", folder=folder)
    assert done.stdout == "ltp\n"
    assert done.stderr == "no RELAINCE was recorded. Recorded: RELIANCE\n"
    assert called("query", "SELECT ltp FROM ticks", "--limit", "0", folder=folder).stderr == ""
    done = called("query", "FROM gaps", "--date", "2026-11-21", "--json", folder=folder)
    assert json.loads(done.stdout) == []
    assert done.stderr == f"nothing was recorded on 2026-11-21 in {folder / 'data'}. Recorded: {DATE}\n"


def test_damage_is_named_with_what_to_do(folder: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    write_sealed(store, DATE, {"ticks": [tick(1, "09:15", ltp=1.0)]})
    store.sealed_path("ticks", DATE).write_bytes(b"not parquet")
    store.sealed_path("gaps", DATE).unlink()
    for sql, name in (("FROM ticks", "ticks.parquet"), ("FROM gaps", "gaps.parquet")):
        done = called("query", sql, "--data", "data", folder=tmp_path, check=ExitCode.DATA)
        assert name in done.stderr
        assert f"`tickrec rebuild {DATE} --data data`" in done.stderr
        assert done.stderr.count("\n") == 1


def test_help_lists_everything_that_can_be_asked(folder: Path) -> None:
    shown = called("query", "--help", folder=folder).stdout
    for relation in RELATIONS.values():
        assert f"  {relation.usage} " in shown
        assert relation.comment in shown
    assert called("query", "--tables", folder=folder).stdout.count("\n\n") == len(RELATIONS) - 1
