"""What a recording shows on a terminal before there is anything to put into the live table."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.days import DATE, write_day
from tests.processes import called, environment, wait_for
from tests.terminals import in_terminal
from tickrec.errors import ExitCode
from tickrec.screen.terminal import LEAVE
from tickrec.store.coverage import coverage
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store

ENTER = "\x1b[?1049h"


def test_the_live_table_says_that_the_day_is_being_sealed(with_broker: Path) -> None:
    gate, said = with_broker / "gate", "; Ctrl-C leaves that to the next recording"
    os.mkfifo(gate)
    with (with_broker / "config.toml").open("a") as config:  # the day is over when its owner knows, who waits
        config.write(f"[record]\non_done = \"sh -c 'read line < {gate}'\"\n")
    with in_terminal(with_broker, "record", "--now", "--symbols", "RELIANCE", "--for", "1s") as session:
        wait_for(lambda: session.shows(said) or session.shows(LEAVE), "it is said, or over")
        table, _, _ = session.seen.partition(LEAVE)
        assert said in table
        gate.write_text("go on\n")
        wait_for(lambda: session.shows(LEAVE), "the terminal is given back")


def test_without_a_terminal_there_is_no_bar(with_broker: Path) -> None:
    assert called("symbols", "RELIANCE", folder=with_broker).stderr == ""


def test_a_broker_that_does_not_answer_is_told_before_the_screen_is_taken(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[upstox]\napi_url = "http://127.0.0.1:9"\nassets_url = "http://127.0.0.1:9"\n'
    )
    with in_terminal(tmp_path, "record", "--now", "--symbols", "RELIANCE") as session:
        wait_for(lambda: session.shows("retry in"), "it is said")
        session.process.send_signal(signal.SIGINT)
        wait_for(lambda: session.shows("stopped before"), "it ends")
    assert "connection refused (127.0.0.1:9/" in session.seen
    assert ENTER not in session.seen


def damaged_day(folder: Path) -> None:
    """A date of which a part is damaged."""
    store = Store(folder / "data")
    PartWriter(store, DATE).flush(write_day(store, messages=6).last_seq)
    part = coverage(store, DATE).parts[0].path
    part.write_bytes(part.read_bytes()[:-50])


def test_a_damaged_file_is_told_as_other_things_are(tmp_path: Path) -> None:
    damaged_day(tmp_path)
    (tmp_path / "config.toml").write_text("[store]\nduckdb = false\n")
    command = [sys.executable, "-m", "tickrec", "seal", str(DATE)]
    done = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=60)
    assert done.returncode == ExitCode.DONE
    (line,) = done.stderr.splitlines()
    assert re.match(r"\d\d:\d\d:\d\d WARN  the Parquet file cannot be read: ", line)
