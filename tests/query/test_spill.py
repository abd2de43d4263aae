"""The folder of a query's temporary files goes with its process, however that ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import environment, wait_for
from tickrec.query.spill import Spill

SORTING = "SELECT max(s) FROM (SELECT repeat('x', 100) || hash(range) AS s FROM range(400000000) ORDER BY s LIMIT 1e8)"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, in this process and in those it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


def aged(folder: Path) -> Path:
    """The folder with a lock that was made an hour ago."""
    os.utime(folder / "lock", (1, 1))
    return folder


def test_a_folder_is_there_until_it_is_removed(temporary: Path) -> None:
    spill = Spill()
    (spill.path / "block").write_bytes(b"x")
    assert spill.path.parent == temporary
    spill.remove()
    spill.remove()
    assert not any(temporary.iterdir())


def test_what_nobody_holds_is_removed_by_the_next_and_nothing_else(temporary: Path) -> None:
    held, left, young, other = Spill(), Spill(), Spill(), temporary / "tickrec-query-without-lock"
    for spill in (left, young):
        spill._lock.release()
    for spill in (held, left):
        aged(spill.path)
    other.mkdir()
    new = Spill()
    assert set(temporary.iterdir()) == {held.path, young.path, other, new.path}
    held.remove()
    new.remove()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_query_that_is_ended_takes_its_folder_with_it(tmp_path: Path, temporary: Path, number: int) -> None:
    command = [sys.executable, "-m", "tickrec", "query", SORTING, "--memory", "100MB"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            wait_for(lambda: any(temporary.glob("*/duckdb_temp*")), "it spills")
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 128 + number
    assert "Traceback" not in err
    assert not any(temporary.iterdir())
