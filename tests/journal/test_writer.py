"""Appending: numbers, files, what survives a kill, a full disk and a failing one."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.journal.fixtures import NINE, ROOT, SOURCE, child, message, messages, seqs, write
from tickrec.errors import DataError, ExitCode, StorageError
from tickrec.journal import Journal, JournalWriter, Position, repair
from tickrec.journal.format import MAX_PAYLOAD

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


def begin(folder: Path, next_seq: int = 1, segment_bytes: int = 1 << 28) -> JournalWriter:
    return JournalWriter(folder, source=SOURCE, next_seq=next_seq, start_ns=NINE, segment_bytes=segment_bytes)


def test_each_writer_begins_a_new_file_and_goes_on_numbering(tmp_path: Path) -> None:
    folder = tmp_path / "journal" / "2026-11-23"
    write(folder, messages(3))
    write(folder, messages(2), next_seq=4)
    assert sorted(os.listdir(folder)) == ["0001.journal", "0002.journal"]
    assert seqs(folder) == [1, 2, 3, 4, 5]


def test_an_entry_can_be_read_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    for seq in range(1, 4):
        assert writer.append(message(b"tick")._replace(seq=99)) == seq
        assert seqs(tmp_path) == list(range(1, seq + 1))
        assert writer.next_seq == seq + 1
    writer.close()


def test_a_full_file_is_followed_by_another(tmp_path: Path) -> None:
    entries = write(tmp_path, messages(40, size=100), segment_bytes=1000)
    assert list(Journal(tmp_path).entries()) == entries
    sizes = [path.stat().st_size for path in sorted(tmp_path.iterdir())]
    assert len(sizes) > 5
    assert max(sizes) <= 1000


def test_an_entry_larger_than_a_file_may_be_gets_one_of_its_own(tmp_path: Path) -> None:
    entries = write(tmp_path, [message(b"a"), message(b"b" * 5000), message(b"c")], segment_bytes=1000)
    assert list(Journal(tmp_path).entries()) == entries
    assert len(list(tmp_path.iterdir())) == 3


def test_many_at_once_are_what_one_by_one_are(tmp_path: Path) -> None:
    entries = [message(b"x" * (i * 331 % 7000), i) for i in range(300)]
    one = write(tmp_path / "one", entries, segment_bytes=20_000)
    writer = begin(tmp_path / "many", segment_bytes=20_000)
    assert writer.append_many([]) == 0
    assert writer.append_many(entries[:10]) == 10
    assert writer.append(entries[10]) == 11
    assert writer.append_many(iter(entries[11:])) == 300
    assert writer.next_seq == 301
    writer.close()
    journal = Journal(tmp_path / "many")
    assert list(journal.entries()) == one
    assert journal.damage == []
    assert all(path.stat().st_size <= 20_000 for path in (tmp_path / "many").iterdir())
    assert writer.size_bytes == sum(path.stat().st_size - 64 for path in (tmp_path / "many").iterdir())


def test_positions_and_sizes_are_those_of_the_files(tmp_path: Path) -> None:
    writer = begin(tmp_path, segment_bytes=1000)
    assert writer.position == Position(1, 64)
    for entry in messages(20, size=100):
        writer.append(entry)
    writer.close()
    last = max(tmp_path.iterdir())
    assert writer.position == Position(int(last.stem), last.stat().st_size)
    assert writer.size_bytes == sum(path.stat().st_size - 64 for path in tmp_path.iterdir())


def test_another_source_or_a_seq_that_goes_back_is_refused(tmp_path: Path) -> None:
    write(tmp_path, messages(3), next_seq=5)
    with pytest.raises(DataError, match=r"data of upstox\.v3, not of simulator.*0001"):
        JournalWriter(tmp_path, source="simulator", next_seq=8, start_ns=NINE)
    with pytest.raises(ValueError, match="begin at 1"):
        begin(tmp_path, next_seq=0)
    with pytest.raises(ValueError, match="seq 4 comes before 5"):
        begin(tmp_path, next_seq=4)
    assert os.listdir(tmp_path) == ["0001.journal"]


def test_a_payload_too_large_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    with pytest.raises(ValueError):
        writer.append(message(bytes(MAX_PAYLOAD + 1)))
    assert writer.append(message(b"next")) == 1
    writer.close()
    assert seqs(tmp_path) == [1]


def test_sync_says_how_far_the_journal_is_durable(tmp_path: Path) -> None:
    writer = begin(tmp_path, next_seq=10)
    assert writer.sync() == 9
    writer.append(message(b"a"))
    writer.append(message(b"b"))
    assert writer.sync() == 11
    assert writer.sync() == 11
    writer.close()


def test_a_closed_writer_appends_no_more_and_all_it_has_is_durable(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    writer.append(message(b"a"))
    writer.close()
    writer.close()
    with pytest.raises(StorageError, match="closed"):
        writer.append(message(b"b"))
    assert writer.sync() == 1
    assert seqs(tmp_path) == [1]


def open_files(folder: Path) -> dict[str, int]:
    """Descriptors this process has open below `folder`, by the name of the file."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            target = Path(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
        if target.parent == folder:
            found[target.name] = int(name)
    return found


@linux_only
def test_another_thread_can_sync_while_files_change(tmp_path: Path) -> None:
    writer = begin(tmp_path, segment_bytes=4096)
    durable: list[int] = []
    done = threading.Event()

    def sync() -> None:
        while not done.is_set() or len(durable) < 2:
            before = writer.next_seq - 1
            durable.append(writer.sync())
            assert before <= durable[-1] < writer.next_seq

    thread = threading.Thread(target=sync)
    thread.start()
    for entry in messages(3000, size=200):
        writer.append(entry)
    done.set()
    thread.join()
    assert writer.sync() == 3000
    assert len(open_files(tmp_path)) == 1
    writer.close()
    assert open_files(tmp_path) == {}
    assert durable == sorted(durable)
    assert len(durable) > 1
    assert seqs(tmp_path) == list(range(1, 3001))


@linux_only
def test_a_full_device_ends_the_writer_with_what_to_do(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    writer.append(message(b"safe"))
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, open_files(tmp_path)["0001.journal"])
    os.close(full)
    with pytest.raises(StorageError) as failed:
        writer.append(message(b"lost", after_ms=4 * 3_600_000))
    assert failed.value.code is ExitCode.STORAGE
    assert failed.value.what == "the disk is full: the journal could not be written at 13:00:00"
    assert failed.value.where.endswith("0001.journal")
    assert failed.value.hint == "Everything until then is safe. Free space, then start again"
    with pytest.raises(StorageError):
        writer.append(message(b"after"))
    assert writer.next_seq == 2
    assert seqs(tmp_path) == [1]


@linux_only
def test_a_failed_fsync_ends_the_writer_and_is_not_tried_again(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    writer.append(message(b"durable"))
    assert writer.sync() == 1
    writer.append(message(b"not yet"))
    fd = open_files(tmp_path)["0001.journal"]
    kept = os.dup(fd)
    os.close(fd)  # what is not open cannot be synced
    with pytest.raises(StorageError, match=r"could not be made durable.*up to 1 are safe") as failed:
        writer.sync()
    assert failed.value.code is ExitCode.STORAGE
    os.dup2(kept, fd)
    with pytest.raises(StorageError, match="could not be made durable"):
        writer.sync()
    with pytest.raises(StorageError, match="could not be made durable"):
        writer.append(message(b"never"))
    writer.close()
    os.close(kept)
    assert seqs(tmp_path) == [1, 2]


@linux_only
def test_a_full_file_is_made_durable_too(tmp_path: Path) -> None:
    writer = begin(tmp_path, segment_bytes=500)
    while len(open_files(tmp_path)) == 1:
        writer.append(message(b"x" * 100))
    fd = open_files(tmp_path)["0001.journal"]
    kept = os.dup(fd)
    os.close(fd)
    with pytest.raises(StorageError, match="could not be made durable"):
        writer.sync()
    os.dup2(kept, fd)
    writer.close()
    os.close(kept)


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="could not be written at 09:00:00"):
        begin(tmp_path / "file" / "journal")


FILL = """
import sys
from pathlib import Path
from tickrec.errors import StorageError
from tickrec.journal import JournalWriter
from tests.journal.fixtures import NINE
from tests.journal.fixtures import SOURCE
from tests.journal.fixtures import message
limit = int(sys.argv[2])
if limit:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
writer = JournalWriter(Path(sys.argv[1]), source=SOURCE, next_seq=1, start_ns=NINE)
try:
    while True:
        seq = writer.append(message(bytes([65 + writer.next_seq % 26]) * 1001))
except StorageError as error:
    print(seq, writer.sync(), error.what)
"""


def check_what_was_left(folder: Path, report: str) -> None:
    last, durable, what = report.split(maxsplit=2)
    assert int(durable) == int(last) > 50
    assert "the journal could not be written at 09:00:00" in what
    entries = list(Journal(folder).entries())
    assert [entry.seq for entry in entries] == list(range(1, int(last) + 1))
    assert all(entry.payload == bytes([65 + entry.seq % 26]) * 1001 for entry in entries)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on file sizes there")
def test_what_was_written_before_a_write_fails_halfway_stays_readable(tmp_path: Path) -> None:
    with child(FILL, tmp_path, 100_000) as process:
        report = process.communicate()[0]
    check_what_was_left(tmp_path, report)
    assert (tmp_path / "0001.journal").stat().st_size == 100_000
    repaired = repair(tmp_path)
    assert len(repaired.torn) == 1
    write(tmp_path, messages(2), next_seq=repaired.last_seq + 1)
    assert seqs(tmp_path) == list(range(1, repaired.last_seq + 3))


def can_mount() -> bool:
    if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs the right to mount")
def test_a_disk_that_fills_up_leaves_everything_before_readable(tmp_path: Path) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    script = (
        f'mount -t tmpfs -o size=200k none "{disk}" && '
        f'"{sys.executable}" -c "$FILL" "{disk}/journal" 0 && cp -r "{disk}/journal" "{kept}"'
    )
    command = ["unshare", "--mount", "sh", "-c", script]
    environ = {**os.environ, "FILL": FILL}
    report = subprocess.run(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "the disk is full" in report
    check_what_was_left(kept, report)


APPEND_FOREVER = """
import sys
from pathlib import Path
from tickrec.journal import JournalWriter
from tests.journal.fixtures import NINE
from tests.journal.fixtures import SOURCE
from tests.journal.fixtures import message
folder, next_seq = Path(sys.argv[1]), int(sys.argv[2])
writer = JournalWriter(folder, source=SOURCE, next_seq=next_seq, start_ns=NINE, segment_bytes=200_000)
while True:
    print(writer.append(message(b"%d" % writer.next_seq * 300)), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_everything_appended_survives_kill_9(tmp_path: Path) -> None:
    last = 0
    for lines in (1, 50, 500, 1500):
        with child(APPEND_FOREVER, tmp_path, last + 1) as process:
            assert process.stdout is not None
            for _ in range(lines):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            rest = [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        printed = int(rest[-1]) if rest else last + lines
        repaired = repair(tmp_path)
        assert repaired.last_seq >= printed >= last + lines
        assert repaired.damage == ()
        last = repaired.last_seq
    journal = Journal(tmp_path)
    assert [entry.payload for entry in journal.entries()] == [b"%d" % seq * 300 for seq in range(1, last + 1)]
    assert journal.damage == []
