"""`tickrec backfill` as its users meet it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import days
from tests.processes import called
from tests.query.fixtures import write_sealed
from tests.query.test_missing import asked, connected, session
from tests.upstox import rest_fixtures
from tests.upstox.rest_fixtures import Script
from tickrec.errors import ExitCode
from tickrec.store.paths import Store

DATE = days.DATE
ROWS = [[f"{DATE}T09:{minute}:00+05:30", 10.0, 12.0, 9.0, 11.0, 100, 0] for minute in (17, 16, 15)]


@pytest.fixture
def script() -> Iterator[Script]:
    with rest_fixtures.running() as script:
        script.says({"status": "success", "data": {"candles": ROWS}})
        yield script


def write(folder: Path, script: Script, answered: str) -> None:
    """A recorded day of one share, which answered at some time, and a configuration that leads to the server."""
    tables = {
        "ticks": [],
        "sessions": [session(1)],
        "connections": [connected(9, "09:00", "15:45")],
        "subscriptions": [asked(2, "09:00", answered)],
    }
    write_sealed(Store(folder / "data"), DATE, tables)
    (folder / "config.toml").write_text(f'[upstox]\napi_url = "{script.url}"\nassets_url = "{script.url}"\n')


def test_what_was_not_recorded_is_fetched_once_and_told(tmp_path: Path, script: Script) -> None:
    write(tmp_path, script, answered="09:17:30")
    said = called("backfill", DATE, folder=tmp_path).stdout
    expected = f"{DATE}: 3 minutes of 1 instrument not recorded whole, 3 exchange bars for them"
    assert said == f"{expected} (asked for 1 instrument)\n"
    assert called("backfill", DATE, folder=tmp_path).stdout == f"{expected} (all asked for before)\n"
    told = json.loads(called("backfill", DATE, "--json", folder=tmp_path).stdout)
    assert told == {
        "date": str(DATE), "instruments": 1, "minutes_missing": 3, "minutes_with_bar": 3,
        "asked": 0, "bars": 0, "odd": 0, "refused": [],
    }  # fmt: skip
    candles = [path for _, path, _, _ in script.requests if "candle" in path]
    assert candles == [f"/v3/historical-candle/NSE_EQ%7CA/minutes/1/{DATE}/{DATE}"]
    rows = called("query", "SELECT close, source FROM exchange_bars", "--format", "csv", folder=tmp_path).stdout
    assert rows.splitlines() == ["close,source", *["11.0,historical"] * 3]


def test_a_day_that_was_recorded_whole_asks_for_nothing(tmp_path: Path, script: Script) -> None:
    write(tmp_path, script, answered="09:00:01")
    said = called("backfill", DATE, folder=tmp_path).stdout
    assert said == f"{DATE}: every minute was recorded, there is nothing to fetch\n"
    assert script.requests == []


def test_a_day_that_was_not_recorded_is_told(tmp_path: Path) -> None:
    said = called("backfill", DATE, folder=tmp_path, check=ExitCode.DATA).stderr
    assert said.startswith(f"tickrec: nothing was recorded on {DATE} (")


def test_a_broker_that_cannot_be_asked_is_exit_8(tmp_path: Path, script: Script) -> None:
    write(tmp_path, script, answered="10:00")
    script.server.server_close()
    assert "connection refused" in called("backfill", DATE, folder=tmp_path, check=ExitCode.UNREACHABLE).stderr
    checked = called("check", DATE, "--exchange", "--json", folder=tmp_path, check=ExitCode.DATA)
    assert json.loads(checked.stdout)["grade"] == "F"
    assert f"the exchange's bars of {DATE} could not be fetched: connection refused" in checked.stderr
