"""`tickrec check` as its users meet it."""

import json
from pathlib import Path

import pytest

from tests import days
from tests.processes import called
from tests.query.fixtures import tick, write_sealed
from tests.query.test_missing import asked, connected, session
from tickrec.errors import ExitCode
from tickrec.store.paths import Store

DATE = days.DATE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a store with a day is of which one instrument is complete, and the other was late."""
    folder = tmp_path_factory.mktemp("check")
    rows = [tick(seq, f"10:15:0{seq}", symbol="GOOD", vtt=seq, ltq=1) for seq in range(3)]
    tables = {
        "ticks": rows,
        "sessions": [session(1)],
        "connections": [connected(9, "09:00", "15:45")],
        "subscriptions": [
            asked(2, "09:00", "09:00:01") | {"symbol": "GOOD"},
            asked(3, "10:00", "10:00:01", key="NSE_EQ|B") | {"symbol": "LATE"},
        ],
    }
    write_sealed(Store(folder / "data"), DATE, tables)
    return folder


def test_a_day_on_one_screen(folder: Path) -> None:
    said = called("check", DATE, folder=folder, check=ExitCode.DATA).stdout.splitlines()
    assert said[0].startswith("2026-11-23  grade F  3 ticks of 2 instruments")
    assert said[0].endswith("09:15:00 - 15:30:00")
    assert said[1] == "1 instrument answered late, at 10:00:01"
    assert "A 1   B 0   C 0   D 0   F 1" in said
    assert said[-1].split() == ["F", "LATE", "·" * 17, "answered", "at", "10:00:01"]


def test_the_same_for_programs(folder: Path) -> None:
    facts = json.loads(called("check", DATE, "--json", folder=folder, check=ExitCode.DATA).stdout)
    assert (facts["grade"], facts["counts"]) == ("F", {"A": 1, "B": 0, "C": 0, "D": 0, "F": 1})
    assert [(each["symbol"], each["missing_s"]) for each in facts["instruments"]] == [("LATE", 2701.0), ("GOOD", 0.0)]


def test_a_folder_without_a_store_is_told(tmp_path: Path) -> None:
    for dates in ((DATE,), ("--from", DATE, "--to", DATE)):
        said = called("check", *dates, "--data", tmp_path / "typo", folder=tmp_path, check=ExitCode.DATA).stderr
        assert said.startswith(f"nothing is recorded in {tmp_path / 'typo'} yet. ")


def test_one_instrument(folder: Path) -> None:
    said = called("check", DATE, "--symbol", "late", folder=folder, check=ExitCode.DATA).stdout
    assert said.startswith("2026-11-23  LATE (NSE_EQ|B)  grade F\n")
    assert "missing 45m 01s of 6h 15m, 12 % of the day\n  answered at 10:00:01\n" in said
    good = called("check", DATE, "--symbol", "GOOD", "--json", folder=folder).stdout
    assert [each["symbol"] for each in json.loads(good)["instruments"]] == ["GOOD"]
    refused = called("check", DATE, "--symbol", "LAT", folder=folder, check=ExitCode.USAGE).stderr
    assert refused == "tickrec: LAT was not recorded on 2026-11-23. Nearest: LATE\n"


def test_a_line_for_each_day_of_trading(folder: Path) -> None:
    said = called("check", "--from", "2026-11-20", "--to", "2026-11-24", folder=folder, check=ExitCode.DATA).stdout
    assert said.splitlines() == [
        "2026-11-20  F  nothing was recorded",
        "2026-11-23  F  3 ticks of 2 instruments: 1 instrument answered late, at 10:00:01",
    ]
    programs = called("check", "--from", DATE, "--to", DATE, "--json", folder=folder, check=ExitCode.DATA).stdout
    assert [json.loads(line)["date"] for line in programs.splitlines()] == ["2026-11-23"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("2026-11-24",), ExitCode.NOTHING, "closed on Tue 24 Nov 2026"),
        (("2026-11-24", "--exchange"), ExitCode.NOTHING, "closed on Tue 24 Nov 2026"),
        (("--from", "2026-11-24", "--to", "2026-11-24"), ExitCode.NOTHING, "closed on Tue 24 Nov 2026"),
        (("--from", "2026-11-21", "--to", "2026-11-22"), ExitCode.NOTHING, "closed on Sun 22 Nov 2026"),
        (("2026-13-01",), ExitCode.USAGE, "DATE must be a date such as"),
        ((DATE, "--from", DATE), ExitCode.USAGE, "--from and --to take neither a date nor --symbol"),
        (("--from", "2026-11-25", "--to", "2026-11-20"), ExitCode.USAGE, "--from 2026-11-25 is after --to 2026-11-20"),
    ],
)
def test_what_cannot_be_checked_is_said(
    folder: Path, arguments: tuple[object, ...], code: ExitCode, words: str
) -> None:
    done = called("check", *arguments, folder=folder, check=code)
    assert words in done.stderr
    assert done.stdout == ""
