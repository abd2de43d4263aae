"""A bad spot in a compressed journal file costs the entries in it, and no others."""

import copy
import random
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from tests.journal.fixtures import message, write
from tickrec.errors import DataError
from tickrec.journal import Follow, Journal, compress, repair
from tickrec.journal.entry import Entry
from tickrec.journal.format import Damage, Ending
from tickrec.journal.packed import FRAME_BYTES, PackedFile, pack, same
from tickrec.journal.scan import JournalFile, Scan

HEADER = 64
SMALL = 704
"""Plain bytes in a zstd frame of the small files; a multiple of 8, as the entries begin at such."""


HEADER_BYTES = 10
"""At most, of a zstd frame."""


class Packed:
    """A packed journal of one file with small frames, and where they are."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        source = random.Random(7)
        payloads = [b'{"ltp": %d}' % source.randrange(10**9) * source.randrange(9) for _ in range(count)]
        self.entries = write(
            folder, [message(payload + source.randbytes(i % 40)) for i, payload in enumerate(payloads)]
        )
        self.ends = [position.offset for _, position in Journal(folder).positioned()]
        plain = folder / "0001.journal"
        self.plain = plain.read_bytes()
        self.path = folder / "0001.journal.zst"
        pack(plain, self.path, SMALL)
        plain.unlink()
        self.data = self.path.read_bytes()
        codec = pa.Codec("zstd", compression_level=3)
        pieces = [self.plain[at : at + SMALL] for at in range(0, len(self.plain), SMALL)]
        lengths = [len(codec.compress(piece, asbytes=True)) for piece in pieces]
        self.bounds = [sum(lengths[:i]) for i in range(len(lengths) + 1)]
        assert self.bounds[-1] == len(self.data)

    def frame(self, offset: int) -> int:
        """The index of the zstd frame with the byte at `offset` of the packed file."""
        return next(i for i, end in enumerate(self.bounds[1:]) if offset < end)

    def untouched(self, frames: set[int]) -> list[tuple[Entry, int]]:
        """The entries, with their ends, of which no byte is in one of the frames."""
        begins = [HEADER, *self.ends]
        placed = zip(begins, self.ends, self.entries, strict=False)
        return [
            (entry, end)
            for begin, end, entry in placed
            if not frames & set(range(begin // SMALL, (end - 1) // SMALL + 1))
        ]

    def read(self, data: bytes) -> tuple[list[tuple[Entry, int]], list[Damage]]:
        """What is read when the file holds `data`, and all the damage, that at the end of the file included."""
        self.path.write_bytes(data)
        damage: list[Damage] = []
        with JournalFile(self.folder, 1, SMALL) as file:
            scan = Scan(file, HEADER if file.header() else 0, 1, damage)
            read = [placed for batch in scan.batches() for placed in batch]
            if scan.tail:
                damage.append(Damage(file.path, scan.end, scan.tail, scan.expected - 1, 0))
        return read, damage

    def named(self, damage: list[Damage]) -> set[int]:
        """The entries that are lost by what the damage says."""
        last = len(self.entries) + 1
        return {seq for d in damage for seq in range(d.after_seq + 1, d.before_seq or last)}


class Large:
    """A packed journal of one file with three frames of the usual size."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        source = random.Random(3)
        text = [b'{"ltp": %d}' % source.randrange(10**5) * 800 for _ in range(100)]
        self.entries = write(folder, [message(b"%d" % i + text[i % 100] + text[i % 83]) for i in range(2200)])
        self.ends = [position.offset for _, position in Journal(folder).positioned()]
        assert 2 * FRAME_BYTES < self.ends[-1] < 3 * FRAME_BYTES
        self.path = compress(folder / "0001.journal")
        self.data = self.path.read_bytes()

    def begin(self, offset: int) -> int:
        """Where the first entry begins that has nothing in front of `offset`."""
        return next(end for end in self.ends if end >= offset)

    def read(self) -> tuple[list[Entry], Journal]:
        journal = Journal(self.folder)
        return list(journal.entries()), journal

    def copied(self, folder: Path) -> "Large":
        """The same in another folder."""
        other = copy.copy(self)
        other.folder, other.path = folder, Path(shutil.copy(self.path, folder))
        return other


@pytest.fixture(scope="module")
def large_to_copy(tmp_path_factory: pytest.TempPathFactory) -> Large:
    return Large(tmp_path_factory.mktemp("large"))


@pytest.fixture
def large(large_to_copy: Large, tmp_path: Path) -> Large:
    return large_to_copy.copied(tmp_path)


@pytest.fixture
def packed(tmp_path: Path) -> Packed:
    return Packed(tmp_path, 40)


def test_a_whole_file_reads_as_the_plain_one_from_anywhere(packed: Packed) -> None:
    with PackedFile(packed.path, SMALL) as file:
        assert b"".join(iter(lambda: file.read(100), b"")) == packed.plain
        for offset in (0, 1, SMALL - 1, SMALL, 3 * SMALL + 5, len(packed.plain) - 1, 2, len(packed.plain)):
            file.seek(offset)
            assert file.read(2 * SMALL) == packed.plain[offset : offset + 2 * SMALL]
        file.seek(len(packed.plain) + 1)
        assert file.read(1) == b""
        assert not file.broken
    read, damage = packed.read(packed.data)
    assert read == list(zip(packed.entries, packed.ends, strict=True))
    assert damage == []


def test_a_changed_byte_anywhere_costs_no_entry_outside_its_frame(packed: Packed) -> None:
    assert len(packed.bounds) > 6
    headers = {begin + at for begin in packed.bounds[:-1] for at in range(HEADER_BYTES)}
    for offset in headers | {*range(0, len(packed.data), 11)}:
        data = bytearray(packed.data)
        data[offset] ^= 1 << offset % 8
        read, damage = packed.read(bytes(data))
        found = {entry for entry, _ in read}
        assert {entry for entry, _ in packed.untouched({packed.frame(offset)})} <= found <= set(packed.entries), offset
        assert packed.named(damage) == {e.seq for e in packed.entries} - {e.seq for e in found}, offset


def test_a_changed_byte_behind_the_header_of_a_frame_moves_no_entry(packed: Packed) -> None:
    for begin, end in zip(packed.bounds, packed.bounds[1:], strict=False):
        for offset in range(begin + HEADER_BYTES, end, 7):
            data = bytearray(packed.data)
            data[offset] ^= 0x10
            read, _ = packed.read(bytes(data))
            assert set(read) >= set(packed.untouched({packed.frame(offset)})), offset


def test_bytes_wiped_out_across_frames_cost_no_entry_outside_them(packed: Packed) -> None:
    for offset in range(0, len(packed.data), 13):
        data = packed.data[:offset] + bytes(100) + packed.data[offset + 100 :]
        hit = {packed.frame(min(at, len(packed.data) - 1)) for at in range(offset, offset + 100)}
        read, damage = packed.read(data[: len(packed.data)])
        assert {entry for entry, _ in read} >= {entry for entry, _ in packed.untouched(hit)}, offset
        assert packed.named(damage) == {e.seq for e in packed.entries} - {e.seq for e, _ in read}, offset


def test_a_file_cut_anywhere_gives_what_is_whole_and_says_that_the_rest_is_gone(packed: Packed) -> None:
    for length in {*range(0, len(packed.data), 9), *packed.bounds[:-1]}:
        gone = set(range(packed.frame(length), len(packed.bounds)))
        read, damage = packed.read(packed.data[:length])
        assert read[: len(packed.untouched(gone))] == packed.untouched(gone), length
        assert read == list(zip(packed.entries, packed.ends, strict=True))[: len(read)]
        if length not in packed.bounds or length == 0:
            assert damage[-1].before_seq == 0
            assert packed.named(damage) == {e.seq for e in packed.entries[len(read) :]}, length


def test_bytes_after_the_last_frame_are_damage_and_cost_nothing(packed: Packed) -> None:
    read, damage = packed.read(packed.data + b"rubbish")
    assert [entry for entry, _ in read] == packed.entries
    assert [(d.offset, d.after_seq, d.before_seq) for d in damage] == [(packed.ends[-1], 40, 0)]


def test_what_is_in_front_of_the_damage_in_its_frame_is_read(large: Large) -> None:
    packed = large
    data = bytearray(packed.data)
    middle = len(data) // 2
    data[middle : middle + 4096] = bytes(4096)
    packed.path.write_bytes(data)
    read, journal = packed.read()
    assert journal.ending is Ending.CLEAN
    (damage,) = journal.damage
    assert FRAME_BYTES * 1.2 < damage.offset < FRAME_BYTES * 1.8
    assert damage.offset + damage.length == packed.begin(2 * FRAME_BYTES)
    assert read == packed.entries[: damage.after_seq] + packed.entries[damage.before_seq - 1 :]
    assert str(damage).endswith(f"entries {damage.after_seq + 1} to {damage.before_seq - 1} are lost")


def test_recording_goes_on_after_a_damaged_file_and_all_that_is_lost_is_named(large: Large, tmp_path: Path) -> None:
    packed = large
    packed.path.write_bytes(packed.data[: len(packed.data) * 9 // 10])
    read, journal = packed.read()
    assert read == packed.entries[: len(read)]
    assert len(read) > 1400
    assert journal.ending is Ending.CORRUPT
    assert [(d.after_seq, d.before_seq) for d in journal.damage] == [(len(read), 0)]
    found = repair(tmp_path)
    assert (found.last_seq, found.torn) == (len(read), ())
    assert [(d.after_seq, d.before_seq) for d in found.damage] == [(len(read), 0)]
    more = write(tmp_path, [message(b"next day")], next_seq=2201)
    again, journal = packed.read()
    assert again == read + more
    assert [(d.after_seq, d.before_seq) for d in journal.damage] == [(len(read), 2201)]
    follow = Follow(tmp_path)
    assert follow.poll() == again
    assert [(d.after_seq, d.before_seq) for d in follow.damage] == [(len(read), 2201)]


@pytest.mark.parametrize("harm", ["emptied", "cut in the magic", "begins with zeros", "magic changed"])
def test_a_file_of_which_nothing_is_left_is_damage_and_stops_nothing(tmp_path: Path, harm: str) -> None:
    write(tmp_path, [message(b"tick %d" % i) for i in range(9)])
    path = compress(tmp_path / "0001.journal")
    data = path.read_bytes()
    harmed = {
        "emptied": b"",
        "cut in the magic": data[:2],
        "begins with zeros": bytes(64) + data[64:],
        "magic changed": b"\x29" + data[1:],
    }
    path.write_bytes(harmed[harm])
    journal = Journal(tmp_path)
    assert list(journal.entries()) == []
    assert journal.ending is Ending.CORRUPT
    assert [(d.path, d.offset, d.after_seq, d.before_seq) for d in journal.damage] == [(path, 0, 0, 0)]
    assert repair(tmp_path).last_seq == 0
    more = write(tmp_path, [message(b"next")], next_seq=10)
    assert list(journal.entries()) == more
    assert [(d.after_seq, d.before_seq) for d in journal.damage] == [(0, 10)]


@pytest.mark.parametrize("content", [b"not zstd" * 100, b"PAR1"])
def test_a_file_that_is_no_zstd_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "0001.journal.zst"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"not a journal.*0001\.journal\.zst.*Move"):
        list(Journal(tmp_path).entries())
    path.write_bytes(pa.Codec("zstd").compress(content, asbytes=True))
    with pytest.raises(DataError, match=r"not a journal.*0001\.journal\.zst.*Move"):
        list(Journal(tmp_path).entries())


def test_a_packed_file_that_differs_is_not_the_same(tmp_path: Path) -> None:
    plain, target = tmp_path / "plain", tmp_path / "packed"
    plain.write_bytes(b"tick" * 1000)
    pack(plain, target, SMALL)
    data = target.read_bytes()
    with pa.input_stream(str(target), compression="zstd") as stream:  # any other program reads it, too
        assert stream.read() == b"tick" * 1000
    with PackedFile(target, SMALL) as file:
        assert file.read(5000) == b"tick" * 1000
    plain.write_bytes(b"tick" * 999)
    assert not same(plain, target)
    plain.write_bytes(b"tick" * 999 + b"tock")
    assert not same(plain, target)
    plain.write_bytes(b"tick" * 100)
    pack(plain, target)
    assert same(plain, target)
    target.write_bytes(target.read_bytes() + data[:3])
    assert not same(plain, target)


def test_frames_of_any_level_are_read(tmp_path: Path) -> None:
    entries = write(tmp_path, [message(b"tick %d" % i * 50) for i in range(20)])
    plain = (tmp_path / "0001.journal").read_bytes()
    (tmp_path / "0001.journal").unlink()
    for level in (-5, 1, 19):
        codec = pa.Codec("zstd", compression_level=level)
        pieces = (plain[at : at + SMALL] for at in range(0, len(plain), SMALL))
        (tmp_path / "0001.journal.zst").write_bytes(b"".join(codec.compress(piece, asbytes=True) for piece in pieces))
        with JournalFile(tmp_path, 1, SMALL) as file:
            scan = Scan(file, HEADER, 1, [])
            assert [entry for batch in scan.batches() for entry, _ in batch] == entries
            assert not file.broken


def test_the_head_is_unpacked_without_the_rest_of_its_frame(tmp_path: Path) -> None:
    plain = random.Random(3).randbytes(500_000)
    (tmp_path / "0001.journal").write_bytes(plain)
    path = tmp_path / "0001.journal.zst"
    pack(tmp_path / "0001.journal", path)
    path.write_bytes(path.read_bytes()[:300_000])
    with PackedFile(path) as file:
        assert file.head(HEADER) == plain[:HEADER]
        file.seek(0)
        assert file.read(HEADER) == plain[:HEADER]
        assert file.broken
