"""Publishing files whole, and locks between processes."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tickrec
from tickrec.clock import SECOND
from tickrec.errors import AlreadyRecording, ExitCode
from tickrec.files import (
    Lack,
    Lock,
    TemporaryFolder,
    free_bytes,
    lacks,
    lock_holder,
    make_folder,
    move,
    publish,
    publish_bytes,
    sync_file,
    sync_folder,
)

ROOT = Path(tickrec.__file__).parents[1]
NINE_OCLOCK = 1_795_404_612 * SECOND
"""2026-11-23 09:00:12 IST."""


def test_a_published_file_holds_what_was_written_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    publish_bytes(tmp_path / "new" / "folder" / "part.parquet", b"content")
    assert (tmp_path / "new" / "folder" / "part.parquet").read_bytes() == b"content"
    assert os.listdir(tmp_path / "new" / "folder") == ["part.parquet"]


def test_the_name_belongs_to_the_old_content_until_the_new_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "part.parquet"
    publish_bytes(target, b"old")
    seen: list[Path] = []

    def write(temp: Path) -> None:
        temp.write_bytes(b"half")
        assert target.read_bytes() == b"old"
        temp.write_bytes(b"whole")
        seen.append(temp)

    publish(target, write)
    assert target.read_bytes() == b"whole"
    assert seen[0].parent == target.parent
    assert seen[0].name.startswith(".")
    assert seen[0].suffix != ".parquet"


def test_a_write_that_fails_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "manifest.json"
    publish_bytes(target, b"old")

    def write(temp: Path) -> None:
        temp.write_bytes(b"half")
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        publish(target, write)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["manifest.json"]


def test_a_write_that_makes_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        publish(tmp_path / "x", lambda temp: None)
    assert os.listdir(tmp_path) == []


def test_folders_are_made_with_their_parents_and_may_be_there(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be synced there")
def test_syncing_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        sync_file(tmp_path / "missing")


def test_free_space_is_that_of_the_disk_also_for_a_path_that_is_not_there_yet(tmp_path: Path) -> None:
    free = free_bytes(tmp_path / "not" / "there")
    assert 0 < free <= shutil.disk_usage(tmp_path).total
    assert free_bytes(Path("not-there-either")) > 0


HOLDER = """
import sys
from pathlib import Path
from tickrec.files import Lock
lock = Lock(Path(sys.argv[1]))
lock.acquire({"since_ns": int(sys.argv[2]), "doing": "recording into data"})
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its stdin closes."""
    command = [sys.executable, "-c", HOLDER, str(path), str(NINE_OCLOCK)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_lock_held_elsewhere_is_refused_naming_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "state" / "record.lock"
    with holder(path) as process:
        with pytest.raises(AlreadyRecording) as refused:
            Lock(path).acquire({"since_ns": 0})
        assert refused.value.code is ExitCode.LOCKED
        assert refused.value.what == "already recording into data"
        assert refused.value.where == f"pid {process.pid}, since 09:00:12"
        assert lock_holder(path) == {"pid": process.pid, "since_ns": NINE_OCLOCK, "doing": "recording into data"}


def test_a_lock_goes_with_the_process_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "record.lock"
    with holder(path) as process:
        process.send_signal(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
        process.wait()
        assert lock_holder(path) is None
        lock = Lock(path)
        lock.acquire({"since_ns": 5})
        assert lock_holder(path) == {"pid": os.getpid(), "since_ns": 5}
        lock.release()


def test_nobody_holds_a_lock_that_was_never_taken_or_was_released(tmp_path: Path) -> None:
    path = tmp_path / "record.lock"
    assert lock_holder(path) is None
    with Lock(path) as lock:
        lock.acquire({})
        assert lock_holder(path) == {"pid": os.getpid()}
    assert lock_holder(path) is None
    assert path.exists()
    lock.release()


def test_a_shorter_content_replaces_a_longer_one(tmp_path: Path) -> None:
    path = tmp_path / "record.lock"
    with Lock(path) as lock:
        lock.acquire({"doing": "x" * 1000})
    with Lock(path) as lock:
        lock.acquire({})
        assert json.loads(path.read_bytes()) == {"pid": os.getpid()}


def test_content_that_is_not_ours_does_not_hide_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "record.lock"
    with Lock(path) as lock:
        lock.acquire({})
        path.write_bytes(b"[")
        assert lock_holder(path) == {}
        with pytest.raises(AlreadyRecording, match="pid unknown"):
            Lock(path).acquire({})


# Windows has no shared locks: there, whoever asks holds the lock like anybody else. Its call is made of ours here.
ON_WINDOWS = """
import asyncio, fcntl, os, subprocess, sys, threading, types
from pathlib import Path

def locking(fd, mode, size):
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

sys.platform = "win32"
sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
from tickrec.errors import AlreadyRecording
from tickrec.files import Lock, lock_holder

path = Path(sys.argv[1])
asked = os.open(path, os.O_RDWR | os.O_CREAT)
for turn in range(3):
    fcntl.flock(asked, fcntl.LOCK_EX)
    threading.Timer(0.02, fcntl.flock, (asked, fcntl.LOCK_UN)).start()
    with Lock(path) as lock:
        lock.acquire({"turn": turn})
        print(lock_holder(path)["turn"])
        try:
            Lock(path).acquire({})
        except AlreadyRecording as error:
            print(error.what)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="makes Windows' locks of those of other systems")
def test_without_shared_locks_whoever_asks_is_waited_for(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ON_WINDOWS, str(tmp_path / "record.lock")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines(), done.stderr) == (
        [line for turn in range(3) for line in (str(turn), "already recording")],
        "",
    )


def test_asking_who_holds_the_lock_never_keeps_anybody_from_taking_it(tmp_path: Path) -> None:
    path = tmp_path / "record.lock"
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            lock_holder(path)

    path.touch()
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(100):
            with Lock(path) as lock:
                lock.acquire({"turn": number})
                assert json.loads(path.read_text())["turn"] == number
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_a_lock_that_is_removed_leaves_no_file_and_can_be_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "2026-11-23.lock"
    for _ in range(2):
        lock = Lock(path)
        lock.acquire({})
        lock.remove()
        assert path.exists() is (sys.platform == "win32")
        lock.remove()


def test_a_lock_whose_file_is_deleted_at_every_release_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    path, held = tmp_path / "record.lock", threading.Lock()
    turns: list[int] = []

    def work() -> None:
        while len(turns) < 60:
            lock = Lock(path)
            try:
                lock.acquire({})
            except AlreadyRecording:
                continue
            assert held.acquire(blocking=False)
            turns.append(1)
            held.release()
            lock.remove()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(turns) >= 60


WITHOUT = """
import errno, fcntl, logging, os, sys
from pathlib import Path

def lacking(real, number, hits):
    def call(fd, *arguments):
        if hits(os.readlink(f"/proc/self/fd/{fd}")):
            raise OSError(number, os.strerror(number))
        return real(fd, *arguments)
    return call

root, no_locks, no_syncing = sys.argv[1], *(getattr(errno, name) for name in sys.argv[2:])
within = lambda path: path.startswith(root)
fcntl.flock = lacking(fcntl.flock, no_locks, within)
os.fsync = lacking(os.fsync, no_syncing, within)
os.fdatasync = lacking(os.fdatasync, no_syncing, within)
logging.basicConfig(format="%(message)s")
"""
"""A file system that has neither locks nor syncing, below the folder that is named: CIFS, FUSE and NFS answer so."""
TRY_IT = """
from tickrec.errors import AlreadyRecording
from tickrec.files import Lock, lacks, lock_holder, publish_bytes
path = Path(root) / "state" / "record.lock"
for name in "ab":
    publish_bytes(Path(root) / name, name.encode())
print(*[lack.name for lack in lacks(Path(root))])
lock = Lock(path)
print(lock_holder(path))
lock.acquire({"turn": 1})
print(lock_holder(path)["turn"])
print("ready", flush=True)
sys.stdin.read()
"""
SECOND_TRY = """
from tickrec.errors import AlreadyRecording
from tickrec.files import Lock, lock_holder
path = Path(root) / "state" / "record.lock"
print(lock_holder(path)["turn"])
try:
    Lock(path).acquire({})
except AlreadyRecording as error:
    print(error.what)
"""
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc what a descriptor is of")


@linux_only
@pytest.mark.parametrize("answers", [("ENOLCK", "EINVAL"), ("ENOSYS", "ENOTSUP")], ids="-".join)
def test_what_a_file_system_does_not_have_is_done_without_and_said_once(
    tmp_path: Path, answers: tuple[str, str]
) -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", WITHOUT + TRY_IT, str(tmp_path), *answers]
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as first:
        assert first.stdout is not None
        said = [first.stdout.readline().strip() for _ in range(4)]
        assert said == ["FILE_SYNC FOLDER_SYNC LOCKS", "None", "1", "ready"]
        command = [sys.executable, "-c", WITHOUT + SECOND_TRY, str(tmp_path), *answers]
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert second.stdout.splitlines() == ["1", "already recording"]
        _, warned = first.communicate("")
    assert sorted(line.partition(": ")[2] for line in warned.splitlines()) == sorted(lack.value for lack in Lack)
    assert lock_holder(tmp_path / "state" / "record.lock") is None


@linux_only
@pytest.mark.parametrize("answer", ["EIO", "ENOSPC", "EROFS"])
def test_a_disk_that_refuses_is_no_file_system_that_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    number = getattr(errno, answer)

    def refuse(_fd: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(os, "fdatasync", refuse)
    with pytest.raises(OSError, match=os.strerror(number)):
        publish_bytes(tmp_path / "part.parquet", b"rows")
    assert os.listdir(tmp_path) == []
    with pytest.raises(OSError, match=os.strerror(number)):
        lacks(tmp_path)


def test_an_ordinary_file_system_lacks_nothing_and_asking_leaves_nothing(tmp_path: Path) -> None:
    assert lacks(tmp_path) == []
    assert os.listdir(tmp_path) == []


def test_a_file_is_moved_to_another_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "source").write_bytes(b"rows")
    move(tmp_path / "source", tmp_path / "near")
    assert os.listdir(tmp_path) == ["near"]

    def elsewhere(_source: Path, _target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "replace", elsewhere)
    move(tmp_path / "near", tmp_path / "far")
    assert os.listdir(tmp_path) == ["far"]
    assert (tmp_path / "far").read_bytes() == b"rows"


@pytest.fixture
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
    folder = TemporaryFolder("testing")
    (folder.path / "block").write_bytes(b"x")
    assert folder.path.parent == temporary
    folder.remove()
    folder.remove()
    assert not any(temporary.iterdir())


def test_what_nobody_holds_is_removed_by_the_next_and_nothing_else(temporary: Path) -> None:
    held, left, young = (TemporaryFolder(name) for name in ("held", "left", "young"))
    other = temporary / "tickrec-without-lock"
    for folder in (left, young):
        folder._lock.release()
    for folder in (held, left):
        aged(folder.path)
    other.mkdir()
    new = TemporaryFolder("testing")
    assert set(temporary.iterdir()) == {held.path, young.path, other, new.path}
    held.remove()
    new.remove()
