"""What `tickrec seal` and `tickrec verify` say of one date and of several."""

import datetime as dt
import json
import re
from pathlib import Path

from tests.days import DATE, write_day
from tests.processes import called
from tickrec.errors import ExitCode
from tickrec.store.paths import Store


def test_seal_and_verify_say_from_when_to_when_there_is_data(tmp_path: Path) -> None:
    write_day(Store(tmp_path / "data"), messages=6, instruments=3)
    how_much = r"recorded \d\d:\d\d:\d\d - \d\d:\d\d:\d\d, gaps 2 \(1m 04s\)"
    said = called("seal", DATE, folder=tmp_path).stdout
    assert re.fullmatch(rf"sealed {DATE}: \d+ ticks of \d+ instruments, {how_much}\n", said)
    said = called("verify", DATE, folder=tmp_path).stdout
    assert re.fullmatch(rf"{DATE} sealed: \d+ ticks, {how_much}, everything agrees\n", said)


def test_one_date_that_cannot_be_read_does_not_keep_the_others_from_being_told(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    (tmp_path / "config.toml").write_text("[store]\nduckdb = false\n")
    dates = [DATE - dt.timedelta(days=days) for days in (3, 0)]
    write_day(store, DATE, messages=3, instruments=3)
    store.sealed_path("ticks", dates[0]).parent.mkdir(parents=True)
    store.sealed_path("ticks", dates[0]).write_bytes(b"PAR1")
    sealed = called("seal", dates[0], "--to", DATE, folder=tmp_path, check=ExitCode.DATA)
    assert [line.split(":")[0] for line in sealed.stdout.splitlines()] == [f"sealed {DATE}"]
    done = called("verify", dates[0], "--to", DATE, folder=tmp_path, check=ExitCode.DATA)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [str(DATE)]
    for said in (sealed.stderr, done.stderr):
        (line,) = said.splitlines()
        assert line.startswith(f"tickrec: {dates[0]}: ")
    program = called("verify", dates[0], "--to", DATE, "--json", folder=tmp_path, check=ExitCode.DATA)
    bad, last = map(json.loads, program.stdout.splitlines())
    assert [each["date"] for each in (bad, last)] == [str(date) for date in dates]
    assert bad["exit_code"] == ExitCode.DATA
    assert bad["error"] in program.stderr
    assert "error" not in last
