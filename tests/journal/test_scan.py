"""Damage in a journal file is found wherever it is, and costs only the entries it hit."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journal.fixtures import message, messages, write
from tickrec.errors import DataError
from tickrec.journal import Journal
from tickrec.journal.entry import Entry
from tickrec.journal.format import FRAME_MAGIC, Damage, Ending, encode_frame
from tickrec.journal.scan import JournalFile, Scan

HEADER = 64


class Small:
    """A journal of one file, and where its frames are."""

    def __init__(self, folder: Path, entries: list[Entry]) -> None:
        self.folder = folder
        self.path = folder / "0001.journal"
        self.entries = write(folder, entries)
        self.data = self.path.read_bytes()
        self.ends = [position.offset for _, position in Journal(folder).positioned()]
        assert self.ends[-1] == len(self.data)

    def holder(self, offset: int) -> int:
        """Index of the entry whose frame has the byte at `offset`; -1 for the file header."""
        return -1 if offset < HEADER else next(i for i, end in enumerate(self.ends) if offset < end)

    def read(self, data: bytes, first_seq: int = 1) -> tuple[list[Entry], Journal]:
        """What is read when the file holds `data`."""
        self.path.write_bytes(data)
        journal = Journal(self.folder)
        return list(journal.entries(first_seq)), journal


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path, messages(6))


def test_entries_read_back_as_they_were_written(small: Small) -> None:
    read, journal = small.read(small.data)
    assert read == small.entries
    assert [type(entry.payload) for entry in read] == [bytes] * 6
    assert [entry.text for entry in read] == [True, False, False, True, False, False]
    assert (journal.damage, journal.ending) == ([], Ending.CLEAN)


def test_a_file_cut_anywhere_gives_the_entries_before_and_says_how_it_ends(small: Small) -> None:
    for length in range(len(small.data)):
        read, journal = small.read(small.data[:length])
        assert read == small.entries[: sum(end <= length for end in small.ends)]
        clean = length in (0, HEADER, *small.ends)
        assert journal.ending is (Ending.CLEAN if clean else Ending.TORN), length
        assert journal.damage == []


def test_every_flipped_bit_is_found_and_costs_only_its_entry(tmp_path: Path) -> None:
    small = Small(tmp_path, messages(3, size=1))
    for offset in range(len(small.data)):
        hit = small.holder(offset)
        rest = [entry for i, entry in enumerate(small.entries) if i != hit]
        for bit in range(8):
            data = bytearray(small.data)
            data[offset] ^= 1 << bit
            read, journal = small.read(bytes(data))
            assert read == rest, (offset, bit)
            assert journal.damage or journal.ending is Ending.TORN, (offset, bit)
            if hit < len(small.entries) - 1:
                assert [(d.after_seq, d.before_seq) for d in journal.damage] == [
                    (max(hit, 0), hit + 2 if hit >= 0 else 1)
                ]


def test_a_flipped_bit_before_the_entries_asked_for_hides_none_of_them(small: Small) -> None:
    for offset in range(len(small.data)):
        hit = small.holder(offset)
        data = bytearray(small.data)
        data[offset] ^= 1 << offset % 8
        read, _ = small.read(bytes(data), first_seq=4)
        assert read == [entry for i, entry in enumerate(small.entries) if i >= 3 and i != hit], offset


def test_damage_is_named_by_place_and_by_the_entries_lost(small: Small) -> None:
    data = bytearray(small.data)
    data[small.ends[1] + 45] ^= 0xFF
    data[small.ends[2] + 2] ^= 0xFF
    read, journal = small.read(bytes(data))
    assert [entry.seq for entry in read] == [1, 2, 5, 6]
    assert journal.damage == [Damage(small.path, small.ends[1], small.ends[3] - small.ends[1], 2, 5)]
    assert journal.ending is Ending.CLEAN


def test_bytes_that_were_inserted_cost_no_entry(small: Small) -> None:
    data = small.data[: small.ends[2]] + b"rubbish!" * 3 + small.data[small.ends[2] :]
    read, journal = small.read(data)
    assert read == small.entries
    assert journal.damage == [Damage(small.path, small.ends[2], 24, 3, 4)]


def test_a_frame_that_is_there_twice_is_read_once(small: Small) -> None:
    data = small.data[: small.ends[2]] + small.data[small.ends[1] :]
    read, journal = small.read(data)
    assert read == small.entries
    assert [(d.offset, d.after_seq, d.before_seq) for d in journal.damage] == [(small.ends[2], 3, 4)]


def test_frames_taken_out_are_missed_although_no_byte_is_bad(small: Small) -> None:
    data = small.data[: small.ends[1]] + small.data[small.ends[3] :]
    read, journal = small.read(data)
    assert [entry.seq for entry in read] == [1, 2, 5, 6]
    assert journal.damage == [Damage(small.path, small.ends[1], 0, 2, 5)]


@pytest.mark.parametrize("zeros", [1, 7, 8, 39, 40, 41, 512, 513, 4096, 300_000])
def test_a_tail_of_zeros_is_torn(small: Small, zeros: int) -> None:
    read, journal = small.read(small.data + bytes(zeros))
    assert read == small.entries
    assert (journal.damage, journal.ending) == ([], Ending.TORN)


def test_a_last_frame_with_a_sector_never_written_is_torn(tmp_path: Path) -> None:
    small = Small(tmp_path, [*messages(2), message(b"x" * 3000)])
    data = bytearray(small.data)
    data[1024:1536] = bytes(512)
    read, journal = small.read(bytes(data))
    assert read == small.entries[:2]
    assert (journal.damage, journal.ending) == ([], Ending.TORN)
    data = bytearray(small.data)
    data[3072:] = bytes(len(data) - 3072)
    assert small.read(bytes(data))[1].ending is Ending.TORN


def test_a_tail_that_no_crash_leaves_is_corrupt(small: Small) -> None:
    data = small.data[: small.ends[4] + 42] + b"?" + small.data[small.ends[4] + 43 :]
    read, journal = small.read(data)
    assert read == small.entries[:5]
    assert journal.ending is Ending.CORRUPT
    assert journal.damage == [Damage(small.path, small.ends[4], len(data) - small.ends[4], 5, 0)]
    _, journal = small.read(small.data + b"not a frame")
    assert journal.ending is Ending.CORRUPT


def test_a_damaged_header_costs_no_entry(small: Small) -> None:
    read, journal = small.read(bytes(HEADER) + small.data[HEADER:])
    assert read == small.entries
    assert journal.damage == [Damage(small.path, 0, HEADER, 0, 1)]


@pytest.mark.parametrize("content", [b"PAR1" * 100, b"not a journal", b"\x89PNG\r\n\x1a\n" + b"x" * 500])
def test_another_kind_of_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "0001.journal").write_bytes(content)
    with pytest.raises(DataError, match=r"not a journal.*0001\.journal.*Move"):
        list(Journal(tmp_path).entries())


def test_payloads_that_look_like_frames_are_payloads(tmp_path: Path) -> None:
    frame = encode_frame(message(b"from another journal"), 3)
    entries = [message(frame * 3), message(FRAME_MAGIC * 30), message(frame[:50]), message(b"last")]
    small = Small(tmp_path, entries)
    read, journal = small.read(small.data)
    assert read == small.entries
    assert journal.damage == []
    assert small.read(small.data, first_seq=4)[0] == small.entries[3:]


def test_a_frame_inside_a_damaged_one_is_not_taken_for_an_entry(tmp_path: Path) -> None:
    small = Small(tmp_path, [message(b"a"), message(b"odd" + encode_frame(message(b"inner"), 2) * 2), message(b"c")])
    data = bytearray(small.data)
    data[small.ends[0]] ^= 1
    read, journal = small.read(bytes(data))
    assert [entry.payload for entry in read] == [b"a", b"c"]
    assert [(d.after_seq, d.before_seq) for d in journal.damage] == [(1, 3)]


class Growing(JournalFile):
    """A file that another process completes at the moment when its end has been seen."""

    def __init__(self, folder: Path, rest: bytes) -> None:
        super().__init__(folder, 1)
        self.rest = rest

    def read(self, size: int) -> bytes:
        data = super().read(size)
        if not data:
            with self.path.open("ab") as stream:
                stream.write(self.rest)
            self.rest = b""
        return data


def test_a_frame_that_is_being_written_is_neither_lost_nor_damage(tmp_path: Path) -> None:
    frames_inside = FRAME_MAGIC + bytes(4) + struct.pack("<I", 100) + b"\x01" + bytes(3) + struct.pack("<Q", 9)
    small = Small(tmp_path, [message(b"a"), message(frames_inside * 9), message(b"c")])
    small.path.write_bytes(small.data[: small.ends[1] - 50])
    damage: list[Damage] = []
    with Growing(tmp_path, small.data[small.ends[1] - 50 :]) as file:
        scan = Scan(file, HEADER, 1, damage)
        assert [entry.seq for batch in scan.batches() for entry, _ in batch] == [1]
        assert scan.ending() is Ending.TORN
        more = Scan(file, scan.end, scan.expected, damage)
        assert [entry.seq for batch in more.batches() for entry, _ in batch] == [2, 3]
        assert more.ending() is Ending.CLEAN
    assert damage == []


@pytest.mark.parametrize("length", [0xFFFFFFFF, 64 * 1024 * 1024, 5_000_000, 35_000, 0])
def test_a_false_length_does_not_lead_past_good_frames(tmp_path: Path, length: int) -> None:
    small = Small(tmp_path, [message(b"y" * 10_000, i) for i in range(200)])
    data = bytearray(small.data)
    data[small.ends[49] + 8 : small.ends[49] + 12] = struct.pack("<I", length)
    expected = [entry for entry in small.entries if entry.seq != 51]
    read, journal = small.read(bytes(data))
    assert read == expected
    assert [(d.after_seq, d.before_seq) for d in journal.damage] == [(50, 52)]
    for first_seq in (53, 60):
        assert small.read(bytes(data), first_seq=first_seq)[0] == expected[first_seq - 2 :]


@pytest.mark.parametrize("size", [0, 1, 262_144, 3_000_000])
def test_payloads_of_any_size_pass(tmp_path: Path, size: int) -> None:
    small = Small(tmp_path, [message(b"a"), message(b"b" * size), message(b"c")])
    assert small.read(small.data)[0] == small.entries
    assert small.read(small.data, first_seq=3)[0] == small.entries[2:]


def flip(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


def zero(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes(4096) + data[offset + 4096 :]


def cut_out(data: bytes, offset: int) -> bytes:
    return data[:offset] + data[offset + 4096 :]


@pytest.mark.parametrize("harm", [flip, zero, cut_out])
def test_damage_across_reads_of_a_larger_file_costs_only_what_it_hit(
    tmp_path: Path, harm: Callable[[bytes, int], bytes]
) -> None:
    small = Small(tmp_path, [message(bytes([i % 251]) * (900 + i), i) for i in range(900)])
    for offset in range(262_144 - 512, 262_144 + 2048, 136):
        read, journal = small.read(harm(small.data, offset))
        lost = {d: range(d.after_seq + 1, d.before_seq) for d in journal.damage}
        assert lost
        missing = {seq for seqs in lost.values() for seq in seqs}
        assert len(missing) <= 7
        assert read == [entry for entry in small.entries if entry.seq not in missing]
