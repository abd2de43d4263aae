"""A disk that runs full, a folder that cannot be written: a plain ending, and nothing of before is lost."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import environment, folder_bytes, running, simulated_broker, stop, tickrec, wait_for
from tests.system.test_crash import nothing_twice_none_missing, recorded_runs, sent_connections
from tickrec.clock import SECOND, SystemClock
from tickrec.errors import ExitCode
from tickrec.journal import Journal
from tickrec.journal.entry import EntryKind
from tickrec.store.paths import Store

RECORD = ("record", "--now", "--no-live", "--symbols", "fno")
SMALL, LARGE = "8m", "200m"


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of SMALL, where the machine allows one."""
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small file system needs root")
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small file system here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_ends_the_recording_and_the_next_run_catches_up(tmp_path: Path) -> None:
    broker = simulated_broker(tmp_path, rate=20_000.0, interval=0.02)
    with small_disk(tmp_path / "data") as data, broker as config:
        with config.open("a") as file:
            file.write('[record]\nflush_interval = "1s"\n')
        with running(*RECORD, folder=tmp_path) as process:
            _, err = process.communicate(timeout=60)
        assert process.returncode == ExitCode.STORAGE
        assert "the disk is full" in err
        assert "left to the journal" in err
        assert "Traceback" not in err
        store = Store(data)
        entries = list(Journal(store.journal(store.dates()[0])).entries())
        assert sum(len(entry.payload) for entry in entries if entry.kind is EntryKind.MESSAGE) > 2_000_000
        nothing_twice_none_missing(tmp_path, store)
        report = json.loads(tickrec("status", "--json", folder=tmp_path, check=ExitCode.DATA).stdout)
        assert report["state"] in ("stopped", "stale")  # stale: there was no room for the last status either
        subprocess.run(["mount", "-o", f"remount,size={LARGE}", str(data)], check=True)
        tickrec(*RECORD, "--for", "1s", folder=tmp_path)
        nothing_twice_none_missing(tmp_path, store)
        tickrec("verify", store.dates()[0], folder=tmp_path)


STALLING = """
import os, sys, threading
from pathlib import Path

write, sync, pause, stall = os.write, os.fsync, threading.Event(), Path(sys.argv.pop(1))

def wait():
    while stall.exists():
        pause.wait(0.01)

def slow_write(fd, data):
    if data[:4] == MAGIC:
        wait()
    return write(fd, data)

def slow_sync(fd):
    wait()
    return sync(fd)

from tickrec.cli import main
from tickrec.journal.format import FRAME_MAGIC as MAGIC
os.write, os.fsync, os.fdatasync = slow_write, slow_sync, slow_sync
main()
"""
"""`tickrec` on a disk that takes nothing, neither journal entries nor syncs, for as long as a file is there."""


def test_a_disk_that_stalls_for_seconds_loses_nothing_that_was_delivered(tmp_path: Path) -> None:
    stall, store, seconds = tmp_path / "stall", Store(tmp_path / "data"), 2
    command = [sys.executable, "-c", STALLING, str(stall), *RECORD]

    def size() -> int:
        return sum(folder_bytes(store.journal(date)) for date in store.dates())

    with (
        simulated_broker(tmp_path, rate=4000.0, interval=0.02),
        subprocess.Popen(
            command, cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        wait_for(lambda: size() > 1_000_000, "the recording goes on")
        stall.touch()
        begun, before = SystemClock.monotonic_ns(), size()
        wait_for(lambda: SystemClock.monotonic_ns() - begun > seconds * SECOND, "the disk has stalled for seconds")
        assert size() < before + 100_000  # what was on its way when it began
        stall.unlink()
        wait_for(lambda: size() > before + seconds * 1_000_000, "what was sent meanwhile is journalled")
        code, err = stop(process)
    assert code == ExitCode.DONE, err
    (run,), (sent,) = recorded_runs(store), sent_connections(tmp_path / "sent")
    assert [entry.payload for entry in run] == [entry.payload for entry in sent[: len(run)]]
    assert json.loads(tickrec("query", "SELECT reason FROM gaps", "--format", "json", folder=tmp_path).stdout) == []
    nothing_twice_none_missing(tmp_path, store)


def test_a_store_that_is_a_file_is_refused(with_broker: Path) -> None:
    (with_broker / "data").write_text("not a folder")
    done = tickrec(*RECORD, folder=with_broker, check=ExitCode.STORAGE)
    assert done.stderr.startswith("tickrec: ")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name != "posix" or not hasattr(os, "geteuid"), reason="needs POSIX rights")
def test_a_store_that_cannot_be_written_is_refused(with_broker: Path) -> None:
    state = with_broker / "data" / "state"
    state.mkdir(parents=True)
    state.chmod(0o500)
    done = as_ordinary_user(with_broker, ["-m", "tickrec", *RECORD])
    state.chmod(0o700)
    assert done.returncode == ExitCode.STORAGE
    assert "Traceback" not in done.stderr


def as_ordinary_user(folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run Python without root's right to write everywhere."""
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    if drop and shutil.which("setpriv") is None:
        pytest.skip("root can write everywhere")
    return subprocess.run(
        [*drop, sys.executable, *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
    )
