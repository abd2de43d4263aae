"""After a crash a journal is put in order, nothing is thrown away, and recording goes on."""

import os
import threading
from pathlib import Path

import pytest

from tests.journal.fixtures import NINE, SOURCE, message, messages, seqs, write
from tickrec.errors import DataError
from tickrec.journal import Follow, Journal, JournalWriter, Position, compress, pack_checked, repair
from tickrec.journal.format import Ending
from tickrec.journal.repair import SetAside


def test_a_journal_in_order_is_left_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, messages(3))
    write(tmp_path, messages(4), next_seq=4)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert repair(tmp_path) == (7, (), ())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_journal_not_begun_has_no_last_seq(tmp_path: Path) -> None:
    assert repair(tmp_path) == (0, (), ())
    assert repair(tmp_path / "missing") == (0, (), ())


def test_a_run_without_entries_still_counts_those_before(tmp_path: Path) -> None:
    write(tmp_path, [], next_seq=8)
    assert repair(tmp_path).last_seq == 7


def test_a_cut_anywhere_is_repaired_and_recording_goes_on(tmp_path: Path) -> None:
    entries = write(tmp_path / "whole", messages(2, size=1))
    data = (tmp_path / "whole" / "0001.journal").read_bytes()
    ends = [64] + [position.offset for _, position in Journal(tmp_path / "whole").positioned()]
    for length in range(len(data) + 1):
        folder = tmp_path / str(length)
        folder.mkdir()
        path = folder / "0001.journal"
        path.write_bytes(data[:length])
        good = max((end for end in ends if end <= length), default=0)
        repaired = repair(folder)
        assert repaired.last_seq == (ends.index(good) if good else 0)
        assert path.read_bytes() == data[:good]
        if good == length:
            assert repaired.torn == ()
        else:
            (aside,) = repaired.torn
            assert aside == SetAside(folder / f"0001.journal.torn-{good}", length - good)
            assert aside.path.read_bytes() == data[good:length]
        assert repair(folder) == (repaired.last_seq, (), ())
        more = write(folder, messages(2), next_seq=repaired.last_seq + 1)
        journal = Journal(folder)
        assert list(journal.entries()) == entries[: repaired.last_seq] + more
        assert (journal.damage, journal.ending) == ([], Ending.CLEAN)


@pytest.mark.parametrize("zeros", [8, 4096, 70_000])
def test_a_tail_of_zeros_is_set_aside(tmp_path: Path, zeros: int) -> None:
    write(tmp_path, messages(3))
    path = tmp_path / "0001.journal"
    data = path.read_bytes()
    path.write_bytes(data + bytes(zeros))
    assert repair(tmp_path).torn == (SetAside(tmp_path / f"0001.journal.torn-{len(data)}", zeros),)
    assert path.read_bytes() == data


def test_two_files_torn_by_one_power_cut_are_both_repaired(tmp_path: Path) -> None:
    write(tmp_path, messages(40, size=100), segment_bytes=2000)
    first, second = sorted(tmp_path.iterdir())[-2:]
    lost = seqs(tmp_path)
    first.write_bytes(first.read_bytes()[:-30] + bytes(30))
    os.truncate(first, first.stat().st_size - 5)
    os.truncate(second, second.stat().st_size - 1)
    repaired = repair(tmp_path)
    assert [aside.path.name.split(".torn")[0] for aside in repaired.torn] == [first.name, second.name]
    assert repaired.last_seq == lost[-1] - 1
    journal = Journal(tmp_path)
    assert len(list(journal.entries())) == len(lost) - 2
    assert [(d.path, d.length, d.before_seq - d.after_seq) for d in journal.damage] == [(second, 0, 2)]


def test_damage_that_no_crash_leaves_is_reported_and_kept(tmp_path: Path) -> None:
    write(tmp_path, messages(5))
    path = tmp_path / "0001.journal"
    ends = [position.offset for _, position in Journal(tmp_path).positioned()]
    data = bytearray(path.read_bytes())
    data[ends[0] + 41] ^= 1
    data[ends[3] + 41] ^= 1
    path.write_bytes(data)
    repaired = repair(tmp_path)
    assert repaired.last_seq == 4
    assert repaired.torn == ()
    assert [(d.offset, d.after_seq, d.before_seq) for d in repaired.damage] == [(ends[0], 1, 3), (ends[3], 4, 0)]
    assert path.read_bytes() == data
    write(tmp_path, messages(1), next_seq=6)
    journal = Journal(tmp_path)
    assert [entry.seq for entry in journal.entries()] == [1, 3, 4, 6]
    assert [(d.after_seq, d.before_seq) for d in journal.damage] == [(1, 3), (4, 6)]


def test_a_file_that_is_no_journal_stops_the_repair(tmp_path: Path) -> None:
    (tmp_path / "0001.journal").write_bytes(b"PAR1" * 50)
    with pytest.raises(DataError, match="not a journal"):
        repair(tmp_path)
    assert (tmp_path / "0001.journal").read_bytes() == b"PAR1" * 50


def test_a_reader_at_a_torn_tail_goes_on_after_the_repair(tmp_path: Path) -> None:
    write(tmp_path, messages(3))
    path = tmp_path / "0001.journal"
    os.truncate(path, path.stat().st_size - 3)
    follow = Follow(tmp_path)
    assert [entry.seq for entry in follow.poll()] == [1, 2]
    write(tmp_path, messages(2), next_seq=repair(tmp_path).last_seq + 1)
    assert [entry.seq for entry in follow.poll()] == [3, 4]
    assert follow.damage == []


def test_a_compressed_file_reads_as_the_plain_one_did(tmp_path: Path) -> None:
    entries = write(tmp_path, messages(50, size=100), segment_bytes=2000)
    positions = [position for _, position in Journal(tmp_path).positioned()]
    plain = sorted(tmp_path.iterdir())
    for path in plain:
        assert compress(path) == path.with_name(path.name + ".zst")
    assert sorted(tmp_path.iterdir()) == [path.with_name(path.name + ".zst") for path in plain]
    journal = Journal(tmp_path)
    assert list(journal.positioned()) == list(zip(entries, positions, strict=True))
    assert (journal.damage, journal.ending) == ([], Ending.CLEAN)
    for i, position in enumerate(positions[:-1]):
        assert next(journal.entries(i + 2)) == entries[i + 1]
        assert next(journal.entries(start=position)) == entries[i + 1]
        assert next(journal.entries(i + 2, start=position)) == entries[i + 1]
    assert list(journal.entries(start=positions[-1])) == []
    assert repair(tmp_path) == (50, (), ())
    write(tmp_path, messages(1), next_seq=51)
    assert seqs(tmp_path) == list(range(1, 52))


def test_compressing_makes_the_file_smaller_and_may_be_repeated(tmp_path: Path) -> None:
    write(tmp_path, [message(b'{"ltp": 1412.35}' * 50)] * 100)
    path = tmp_path / "0001.journal"
    data, size = path.read_bytes(), path.stat().st_size
    packed = compress(path)
    assert packed.stat().st_size < size / 5
    assert compress(path) == packed
    path.write_bytes(data)  # as if interrupted before the plain file was removed
    assert seqs(tmp_path) == list(range(1, 101))
    assert compress(path) == packed
    assert os.listdir(tmp_path) == ["0001.journal.zst"]
    with pytest.raises(FileNotFoundError):
        compress(tmp_path / "0002.journal")


def test_a_draft_takes_the_place_of_its_file(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "journal", tmp_path / "elsewhere"
    entries = write(folder, messages(50, size=100))
    path = folder / "0001.journal"
    pack_checked(path, elsewhere)
    packed = elsewhere.read_bytes()
    assert list(Journal(folder).entries()) == entries
    assert compress(path, elsewhere).read_bytes() == packed
    assert [each.name for each in tmp_path.rglob("*")] == ["journal", "0001.journal.zst"]
    assert list(Journal(folder).entries()) == entries


@pytest.mark.parametrize("size", [0, 64, 40_000_000])
def test_files_of_any_size_are_compressed(tmp_path: Path, size: int) -> None:
    writer = JournalWriter(tmp_path, source=SOURCE, next_seq=1, start_ns=NINE)
    writer.append_many([message(b"%d" % i * 100_000) for i in range(size // 400_000)])
    writer.close()
    path = tmp_path / "0001.journal"
    os.truncate(path, min(size, path.stat().st_size))
    before = list(Journal(tmp_path).positioned())
    compress(path)
    assert list(Journal(tmp_path).positioned()) == before
    assert len(before) == size // 400_000


def test_a_reader_never_misses_a_file_that_is_being_replaced(tmp_path: Path) -> None:
    entries = write(tmp_path, messages(60, size=500), segment_bytes=3000)
    plain = sorted(tmp_path.iterdir())
    thread = threading.Thread(target=lambda: [compress(path) for path in plain])
    thread.start()
    passes = 0
    while thread.is_alive() or passes < 3:
        assert list(Journal(tmp_path).entries()) == entries
        passes += 1
    thread.join()
    assert not any(path.exists() for path in plain)


def test_readers_under_way_go_on_when_their_file_is_replaced(tmp_path: Path) -> None:
    entries = write(tmp_path, messages(60, size=500), segment_bytes=3000)
    reader = Journal(tmp_path).entries()
    follow = Follow(tmp_path)
    assert next(reader) == entries[0]
    assert follow.poll(1) == entries[:1]
    for path in sorted(tmp_path.iterdir()):
        compress(path)
    assert list(reader) == entries[1:]
    assert follow.poll() == entries[1:]
    assert follow.poll() == []
    last = max(tmp_path.iterdir())
    kept = last.read_bytes()
    last.write_bytes(b"unreadable")
    assert follow.poll() == []  # what was read to its end is not read again
    last.write_bytes(kept)
    more = write(tmp_path, messages(2), next_seq=61)
    assert follow.poll() == more
    assert list(Journal(tmp_path).entries(start=Position(1, 64))) == entries + more
