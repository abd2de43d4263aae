"""Reading a journal across its files, from anywhere in it, and while it grows."""

import os
from pathlib import Path

import pytest

from tests.journal.fixtures import NINE, SOURCE, child, message, messages, write
from tickrec.errors import DataError
from tickrec.journal import Follow, Journal, JournalWriter, Position
from tickrec.journal.entry import Entry
from tickrec.journal.format import Damage, Ending


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    """What `tmp_path` holds: 50 entries in several files."""
    written = write(tmp_path, messages(50, size=100), segment_bytes=1500)
    assert len(list(tmp_path.iterdir())) >= 5
    return written


def test_a_missing_folder_is_an_empty_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "missing")
    assert list(journal.entries()) == []
    assert journal.ending is Ending.CLEAN
    assert list(journal.entries(5, start=Position(1, 64))) == []


def test_any_range_of_seqs_is_read(tmp_path: Path, entries: list[Entry]) -> None:
    journal = Journal(tmp_path)
    for first in range(1, 53):
        assert list(journal.entries(first)) == entries[first - 1 :]
        for last in (first - 1, first, first + 7, 100):
            assert list(journal.entries(first, last_seq=last)) == entries[first - 1 : last]


def test_reading_goes_on_at_the_position_after_an_entry(tmp_path: Path, entries: list[Entry]) -> None:
    journal = Journal(tmp_path)
    placed = list(journal.positioned())
    assert [entry for entry, _ in placed] == entries
    for entry, position in placed:
        assert list(journal.entries(start=position)) == entries[entry.seq :]
        assert list(journal.entries(entry.seq + 1, start=position)) == entries[entry.seq :]
        assert list(journal.entries(start=position, last_seq=entry.seq + 2)) == entries[entry.seq : entry.seq + 2]
    assert journal.damage == []


def test_a_position_where_the_seq_is_not_is_no_obstacle(tmp_path: Path, entries: list[Entry]) -> None:
    journal = Journal(tmp_path)
    for start in (
        Position(1, 64),
        Position(2, 72),
        Position(1, 0),
        Position(1, 999_992),
        Position(77, 64),
        Position(2, 65),
    ):
        assert list(journal.entries(30, start=start)) == entries[29:]
        assert journal.damage == []
    with pytest.raises(ValueError, match="65"):
        list(journal.entries(start=Position(2, 65)))


def test_a_damaged_frame_at_a_position_costs_only_itself(tmp_path: Path, entries: list[Entry]) -> None:
    position = list(Journal(tmp_path).positioned())[3][1]
    path = tmp_path / f"{position.file:04}.journal"
    data = bytearray(path.read_bytes())
    data[position.offset] ^= 1
    path.write_bytes(data)
    journal = Journal(tmp_path)
    assert list(journal.entries(5, start=position)) == entries[5:]
    assert [(d.offset, d.after_seq, d.before_seq) for d in journal.damage] == [(position.offset, 4, 6)]
    assert list(journal.entries(start=position)) == entries[5:]


def test_a_missing_file_is_damage_that_names_the_entries(tmp_path: Path, entries: list[Entry]) -> None:
    bounds = [next(Journal(tmp_path).entries(start=Position(number, 64))).seq for number in (1, 3, 4)]
    (tmp_path / "0003.journal").unlink()
    journal = Journal(tmp_path)
    read = [entry.seq for entry in journal.entries()]
    assert read == [*range(1, bounds[1]), *range(bounds[2], 51)]
    assert journal.damage == [Damage(tmp_path / "0004.journal", 0, 0, bounds[1] - 1, bounds[2])]
    (tmp_path / "0001.journal").unlink()
    assert next(journal.entries()).seq > 1
    assert (journal.damage[0].after_seq, journal.damage[0].length) == (0, 0)


def test_a_bad_tail_of_a_file_in_the_middle_is_damage(tmp_path: Path, entries: list[Entry]) -> None:
    path = tmp_path / "0002.journal"
    size = path.stat().st_size
    os.truncate(path, size - 10)
    journal = Journal(tmp_path)
    read = [entry.seq for entry in journal.entries()]
    (damage,) = journal.damage
    assert damage.path == path
    assert damage.offset + damage.length == size - 10
    assert damage.before_seq - damage.after_seq == 2
    assert read == [seq for seq in range(1, 51) if seq != damage.after_seq + 1]
    assert journal.ending is Ending.CLEAN


def test_a_bad_tail_before_a_damaged_header_is_named(tmp_path: Path, entries: list[Entry]) -> None:
    second, third = tmp_path / "0002.journal", tmp_path / "0003.journal"
    os.truncate(second, second.stat().st_size - 10)
    third.write_bytes(b"?" * 64 + third.read_bytes()[64:])
    journal = Journal(tmp_path)
    read = [entry.seq for entry in journal.entries()]
    (lost,) = set(range(1, 51)) - set(read)
    assert read == sorted(read)
    assert [(d.path, d.after_seq, d.before_seq) for d in journal.damage] == [
        (third, lost - 1, lost + 1),
        (second, lost - 1, lost + 1),
    ]


def test_a_damaged_header_in_the_middle_costs_no_entry(tmp_path: Path, entries: list[Entry]) -> None:
    path = tmp_path / "0003.journal"
    path.write_bytes(b"?" * 64 + path.read_bytes()[64:])
    journal = Journal(tmp_path)
    assert list(journal.entries()) == entries
    assert [(d.path, d.offset, d.length) for d in journal.damage] == [(path, 0, 64)]
    for first in range(1, 51):
        assert list(Journal(tmp_path).entries(first)) == entries[first - 1 :]


def test_files_of_another_source_are_refused(tmp_path: Path, entries: list[Entry]) -> None:
    other = tmp_path / "other"
    JournalWriter(other, source="simulator", next_seq=51, start_ns=NINE).close()
    (other / "0001.journal").rename(tmp_path / "0099.journal")
    with pytest.raises(DataError, match=r"data of simulator, not of upstox\.v3.*0099"):
        list(Journal(tmp_path).entries())
    with pytest.raises(DataError, match="data of simulator"):
        Follow(tmp_path).poll()
    with pytest.raises(DataError, match="data of simulator"):
        list(Journal(tmp_path).entries(start=Position(1, 64)))


def test_following_gives_each_entry_once_however_many_are_asked_for(tmp_path: Path, entries: list[Entry]) -> None:
    follow = Follow(tmp_path)
    read: list[Entry] = []
    while batch := follow.poll(7):
        assert len(batch) <= 7
        read += batch
    assert read == entries
    assert follow.poll() == []


def test_following_begins_where_it_is_told(tmp_path: Path, entries: list[Entry]) -> None:
    placed = list(Journal(tmp_path).positioned())
    assert Follow(tmp_path, 30).poll() == entries[29:]
    assert Follow(tmp_path, start=placed[9][1]).poll() == entries[10:]
    assert Follow(tmp_path, 11, start=placed[9][1]).poll() == entries[10:]
    assert Follow(tmp_path, 11, start=placed[3][1]).poll() == entries[10:]


def test_following_waits_for_a_journal_and_for_its_first_seq(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    follow = Follow(folder, 3)
    assert follow.poll() == []
    writer = JournalWriter(folder, source=SOURCE, next_seq=1, start_ns=NINE, segment_bytes=200)
    assert follow.poll() == []
    for seq in range(1, 8):
        writer.append(message(b"%d" % seq * 50))
        assert [entry.seq for entry in follow.poll()] == ([seq] if seq >= 3 else [])
    writer.close()


def test_a_frame_is_given_when_its_last_byte_is_there(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    written = write(whole, messages(3))
    data = (whole / "0001.journal").read_bytes()
    ends = [position.offset for _, position in Journal(whole).positioned()]
    growing = tmp_path / "growing"
    growing.mkdir()
    follow = Follow(growing)
    with (growing / "0001.journal").open("ab", buffering=0) as stream:
        for i in range(len(data)):
            stream.write(data[i : i + 1])
            assert follow.poll() == ([written[ends.index(i + 1)]] if i + 1 in ends else [])
    assert follow.damage == []


def test_following_passes_over_damage_once_a_good_frame_follows(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, source=SOURCE, next_seq=1, start_ns=NINE)
    follow = Follow(tmp_path)
    writer.append(message(b"one"))
    assert [entry.seq for entry in follow.poll()] == [1]
    offset = writer.position.offset
    writer.append(message(b"two"))
    with (tmp_path / "0001.journal").open("r+b") as stream:
        stream.seek(offset + 40)
        stream.write(b"???")
    assert follow.poll() == []
    assert follow.damage == []
    writer.append(message(b"three"))
    writer.close()
    assert [entry.seq for entry in follow.poll()] == [3]
    assert [(d.after_seq, d.before_seq) for d in follow.damage] == [(1, 3)]


WRITE_MANY = """
import sys
from pathlib import Path
from tickrec.journal import JournalWriter
from tests.journal.fixtures import NINE
from tests.journal.fixtures import SOURCE
from tests.journal.fixtures import message
count = int(sys.argv[2])
writer = JournalWriter(Path(sys.argv[1]), source=SOURCE, next_seq=1, start_ns=NINE, segment_bytes=1_000_000)
for seq in range(1, count + 1):
    writer.append(message(bytes([seq % 251]) * (seq * 37 % 9000), seq))
writer.close()
"""


@pytest.mark.parametrize("how", ["follow", "read again"])
def test_a_journal_is_read_while_another_process_writes_it(tmp_path: Path, how: str) -> None:
    count, due = 8_000, 1
    follow, journal = Follow(tmp_path), Journal(tmp_path)
    with child(WRITE_MANY, tmp_path, count) as process:
        while due <= count:
            ended = process.poll() is not None
            read = follow.poll(500) if how == "follow" else list(journal.entries(due))
            assert read or not ended, f"{due} never came"
            for entry in read:
                assert (entry.seq, entry.payload) == (due, bytes([due % 251]) * (due * 37 % 9000))
                due += 1
            assert follow.damage == journal.damage == []
        assert process.wait() == 0
    assert len(list(tmp_path.iterdir())) > 10


LIGHT = "import sys, tickrec.journal; print(*set(sys.modules) & {'pyarrow', 'duckdb', 'rich'})"


def test_importing_the_journal_loads_no_library() -> None:
    with child(LIGHT) as process:
        assert process.communicate()[0].split() == []
