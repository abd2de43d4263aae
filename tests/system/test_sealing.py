"""Sealing and removing journals in processes of their own: killed, watched by readers, and told by the recorder."""

import asyncio
import contextlib
import datetime as dt
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.days import DATE, Written, everything, ordered, write_day
from tests.processes import wait_for
from tickrec.clock import SystemClock
from tickrec.formatting import size as size_text
from tickrec.record.flush import Flushing
from tickrec.seal.seal import seal
from tickrec.seal.verify import verify
from tickrec.store.coverage import coverage
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store

MONTH = dt.timedelta(days=30)


def flush(store: Store, last: int, step: int) -> None:
    writer = PartWriter(store, DATE)
    for seq in range(step, last + step, step):
        writer.flush(min(seq, last), final=seq >= last)


def rows(store: Store) -> dict[str, list[dict[str, object]]]:
    return {name: ordered(table) for name, table in everything(store).items()}


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_sealing_killed_at_any_moment_is_seen_whole_and_can_be_repeated(store: Store) -> None:
    seed = 1123
    print("seed", seed)
    rng = random.Random(seed)
    last = write_day(store).last_seq
    flush(store, last, 30)
    whole = rows(store)
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-m", "tickrec.seal.seal", str(store.root), str(DATE)])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.3, 1.5))
        process.kill()
        process.wait()
        assert rows(store) == whole
    seal(store, DATE)
    assert rows(store) == whole
    assert verify(store, DATE).differences == ()


def test_readers_see_every_tick_once_while_a_date_is_sealed(store: Store) -> None:
    written = write_day(store)
    flush(store, written.last_seq, 10)
    whole = rows(store)
    process = subprocess.Popen([sys.executable, "-m", "tickrec.seal.seal", str(store.root), str(DATE)])
    looks = 0
    while process.poll() is None:
        with contextlib.suppress(FileNotFoundError):  # a part was removed: a reader lists again
            assert rows(store) == whole
            looks += 1
    assert process.returncode == 0
    assert looks > 3
    assert rows(store) == whole


def test_the_recorder_logs_what_sealing_warns_of(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    flush(store, write_day(store, instruments=5).last_seq, 30)
    part = coverage(store, DATE).parts[0].path
    part.write_bytes(part.read_bytes()[:-50])
    flushing = Flushing(store, SystemClock(), interval=60.0, duckdb=True)
    try:
        assert asyncio.run(flushing.seal(DATE))
        (warned,) = caplog.messages
        assert warned.startswith(f"sealing {DATE}: the Parquet file cannot be read")
        assert f"set aside as {part.with_name(f'.{part.name}.damaged')}" in warned
        shutil.rmtree(store.journal(DATE))
        store.sealed_path("gaps", DATE).unlink()
        assert not asyncio.run(flushing.seal(DATE))
    finally:
        flushing.close()
    (failed,) = caplog.messages[1:]
    assert failed.startswith(f"{DATE} is not sealed: the journal of {DATE} is gone")


def test_the_recorder_logs_what_was_removed_why_something_was_not_and_what_ended_it(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    dates = [dt.date(2020, 1, day) for day in (6, 7, 8)]
    for date in dates:
        write_day(store, date, messages=6, instruments=5)
        seal(store, date, duckdb=False)
    store.sealed_path("gaps", dates[0]).unlink()
    store.sealed_path("ticks", dates[2]).write_bytes(b"PAR1")
    size = sum(path.stat().st_size for path in store.journal_files(dates[1]))
    with caplog.at_level("INFO", "tickrec"):
        _expire(store)
    kept, removed, unreadable = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert kept[0] == unreadable[0] == "WARNING"
    assert kept[1].startswith("kept the old journal of 2020-01-06: gaps/date=2020-01-06/gaps.parquet: ")
    assert kept[1].endswith("; `tickrec verify 2020-01-06` tells more")
    assert removed == ("INFO", f"removed the journal of 2020-01-07, {size_text(size)}")
    assert unreadable[1].startswith("kept the old journal of 2020-01-08: ")
    assert [bool(store.journal_files(date)) for date in dates] == [True, False, True]
    caplog.clear()
    (store.journals / ".2020-01-05.expired").write_bytes(b"no folder")
    _expire(store)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("old journals could not be removed: ")
    assert "2020-01-05.expired" in record.getMessage()
    assert "Traceback" not in caplog.text


def _expire(store: Store) -> None:
    """Remove journals as the recorder does."""
    flushing = Flushing(store, SystemClock(), interval=60.0, duckdb=True)
    try:
        asyncio.run(flushing.expire(MONTH))
    finally:
        flushing.close()


COUNTING = """
import sys, datetime as dt
from multiprocessing import active_children
from pathlib import Path
from tickrec.seal.build import NewFiles
from tickrec.seal.lost_entries import may_have
from tickrec.store.coverage import coverage
from tickrec.store.paths import Store
def tell(what, share):
    for child in active_children():
        print(child.pid, flush=True)
        sys.stdin.read()
if __name__ == "__main__":
    store, date = Store(Path(sys.argv[1])), dt.date.fromisoformat(sys.argv[2])
    new_files = NewFiles(store.root, store, coverage(store, date), store, duckdb=False, many=0)
    new_files.make(tell)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_counting_ends_with_the_sealing_that_is_killed(journalled: Store, written: Written, tmp_path: Path) -> None:
    store = journalled
    flush(store, written.last_seq, written.last_seq)
    program = tmp_path / "counting.py"
    program.write_text(COUNTING)
    command = [sys.executable, str(program), str(store.root), str(DATE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        counting = int(process.stdout.readline())
        process.kill()
    wait_for(lambda: not alive(counting), "the counting process ends")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True
