"""The bytes of a journal file are the ones that the module's docstring shows."""

import re
import struct
from pathlib import Path
from zlib import crc32

import pytest

from tests.journal.fixtures import NINE, SOURCE, message
from tickrec.clock import SECOND
from tickrec.errors import DataError, ExitCode
from tickrec.journal import Journal, JournalWriter
from tickrec.journal import format as journal_format
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.journal.format import MAX_PAYLOAD, Damage, Header, decode_header, encode_frame, encode_header, file_numbers

GOLDEN = [
    message(b"tick!", 250)._replace(mono_ns=5 * SECOND),
    Entry(EntryKind.CLOSED, 0, NINE + SECOND, 5_750_000_000, encode_facts(reason="stopped")),
]


def documented_bytes() -> bytes:
    """The hexdump in the docstring."""
    rows = re.findall(r"^    ([0-9a-f]{8})  ((?:[0-9a-f]{2} ?)+)$", journal_format.__doc__ or "", re.MULTILINE)
    assert [int(offset, 16) for offset, _ in rows] == list(range(0, 16 * len(rows), 16))
    return bytes.fromhex(" ".join(row for _, row in rows))


def test_the_writer_makes_the_documented_file(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, source=SOURCE, next_seq=7, start_ns=NINE)
    for entry in GOLDEN:
        writer.append(entry)
    writer.close()
    assert (tmp_path / "0001.journal").read_bytes() == documented_bytes()


def test_the_documented_file_is_read_as_described(tmp_path: Path) -> None:
    (tmp_path / "0001.journal").write_bytes(documented_bytes())
    expected = [entry._replace(seq=7 + i) for i, entry in enumerate(GOLDEN)]
    assert list(Journal(tmp_path).entries(7)) == expected


def test_the_documented_file_follows_from_the_tables_alone() -> None:
    source = SOURCE.encode().ljust(32, b"\0")
    rest = struct.pack("<IqQ", 1, NINE, 7) + source
    expected = b"\x89TICKJ\r\n" + struct.pack("<I", crc32(rest)) + rest
    for i, (kind, conn, wall_ns, mono_ns, payload, *_) in enumerate(GOLDEN):
        rest = struct.pack("<IBBHQqq", len(payload), kind, 0, conn, 7 + i, wall_ns, mono_ns) + payload
        expected += b"\xf5TIK" + struct.pack("<I", crc32(rest)) + rest + bytes(-len(payload) % 8)
    assert documented_bytes() == expected


@pytest.mark.parametrize("length", range(20))
def test_frames_are_multiples_of_eight_bytes(length: int) -> None:
    frame = encode_frame(message(bytes(length)), 1)
    assert len(frame) == 40 + (length + 7) // 8 * 8


def test_headers_read_back_and_long_sources_are_refused() -> None:
    header = Header("x" * 32, -5, 2**63)
    assert decode_header(encode_header(header), Path("x")) == header
    for source in ("", "x" * 33, "ü"):
        with pytest.raises(ValueError):
            encode_header(Header(source, 0, 1))


def test_a_newer_version_is_refused_by_name(tmp_path: Path) -> None:
    data = bytearray(documented_bytes())
    data[12:16] = struct.pack("<I", 2)
    data[8:12] = struct.pack("<I", crc32(data[12:64]))
    (tmp_path / "0001.journal").write_bytes(data)
    with pytest.raises(DataError, match=r"format version 2.*reads version 1.*0001\.journal.*newer one") as refused:
        list(Journal(tmp_path).entries())
    assert refused.value.code is ExitCode.DATA
    with pytest.raises(DataError, match="format version 2"):
        JournalWriter(tmp_path, source=SOURCE, next_seq=9, start_ns=NINE)


def test_a_payload_past_the_limit_is_refused_and_the_limit_is_not() -> None:
    assert len(encode_frame(message(bytes(MAX_PAYLOAD)), 1)) == 40 + MAX_PAYLOAD
    with pytest.raises(ValueError, match=str(MAX_PAYLOAD)):
        encode_frame(message(bytes(MAX_PAYLOAD + 1)), 1)


def test_only_journal_files_are_counted(tmp_path: Path) -> None:
    names = ["0003.journal", "0001.journal.zst", "0002.journal.zst", "0002.journal", "10000.journal"]
    others = ["0004.journal.torn-64", ".0005.journal.zst.77-1.tmp", "notes.journal", "0006.parquet"]
    for name in names + others:
        (tmp_path / name).touch()
    assert file_numbers(tmp_path) == [1, 2, 3, 10000]
    assert file_numbers(tmp_path / "missing") == []


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        ((0, 64, 0, 1), "64 bytes at offset 0 of day/0001.journal are damaged, no entry is lost"),
        ((136, 48, 2, 4), "48 bytes at offset 136 of day/0001.journal are damaged, entry 3 is lost"),
        ((136, 96, 2, 5), "96 bytes at offset 136 of day/0001.journal are damaged, entries 3 to 4 are lost"),
        ((136, 0, 2, 5), "nothing is left at offset 136 of day/0001.journal, entries 3 to 4 are lost"),
        (
            (136, 9, 2, 0),
            "9 bytes at offset 136 of day/0001.journal are damaged, and no entry follows them in the file",
        ),
    ],
)
def test_damage_says_where_it_is_and_what_it_costs(damage: tuple[int, int, int, int], text: str) -> None:
    assert str(Damage(Path("day/0001.journal"), *damage)) == text
