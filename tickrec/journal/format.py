"""Format: the bytes of one journal file; how entries are laid out, and how they are found again.

A date's journal is a folder of files 0001.journal, 0002.journal, ... in the order they were written, each begun at the
start of a run or when the one before was full. A finished file may be replaced by 0001.journal.zst, the same bytes
compressed with zstd as `packed` describes. All numbers are little-endian, everything begins at a multiple of 8 bytes.

File header, 64 bytes:

    offset  size  field
         0     8  magic: 89 "TICKJ" 0d 0a
         8     4  CRC-32 of everything in the header after this field
        12     4  format version: 1
        16     8  when the file was begun, nanoseconds since the Unix epoch, signed
        24     8  seq of the first frame
        32    32  source, such as "upstox.v3": ASCII, filled up with zero bytes

The header has this length, and its first three fields this meaning, in every version. Then frames, without anything
between them:

    offset  size  field
         0     4  magic: f5 "TIK"
         4     4  CRC-32 of everything from the next field to the end of the payload
         8     4  length of the payload, at most 64 MiB
        12     1  kind: the number of the EntryKind
        13     1  flags: 1 = the message was a text frame
        14     2  connection
        16     8  seq
        24     8  wall time, nanoseconds since the Unix epoch, signed
        32     8  monotonic time, nanoseconds, signed
        40     n  payload
      40+n   0-7  zero bytes, up to the next multiple of 8

CRC-32 is that of zlib. `seq` grows by one from frame to frame, also from file to file. A file begun on 2026-11-23
at 09:00 IST with a message "tick!" (seq 7, connection 1) a quarter of a second later, and the end of the run a second
later:

    00000000  89 54 49 43 4b 4a 0d 0a 28 08 ef 03 01 00 00 00
    00000010  00 30 1a a3 f8 8e ea 18 07 00 00 00 00 00 00 00
    00000020  75 70 73 74 6f 78 2e 76 33 00 00 00 00 00 00 00
    00000030  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    00000040  f5 54 49 4b 7f b4 b1 42 05 00 00 00 01 00 01 00
    00000050  07 00 00 00 00 00 00 00 80 e2 00 b2 f8 8e ea 18
    00000060  00 f2 05 2a 01 00 00 00 74 69 63 6b 21 00 00 00
    00000070  f5 54 49 4b b0 63 c6 b4 14 00 00 00 05 00 00 00
    00000080  08 00 00 00 00 00 00 00 00 fa b4 de f8 8e ea 18
    00000090  80 09 ba 56 01 00 00 00 7b 22 72 65 61 73 6f 6e
    000000a0  22 3a 22 73 74 6f 70 70 65 64 22 7d 00 00 00 00

A file can end in three ways. CLEAN: after a frame. TORN: in the middle of a frame, or in zero bytes where a frame
should be; that is what a crash or a power cut leaves, and `repair` sets it aside. CORRUPT: in bytes that no crash
leaves, or in a compressed file, which no crash tears, in anything but a frame. Bytes that are no frame in front of a
frame that is good are damage, too: reading goes on at the next multiple of 8 where magic, CRC and padding are right and
the seq is higher than the last.

A file is complete when there is one with a higher number. Knows nothing about the broker: payloads are bytes.
"""

import os
import struct
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from tickrec.errors import DataError
from tickrec.journal.entry import Entry

FORMAT_VERSION: Final = 1
MAX_PAYLOAD: Final = 64 * 1024 * 1024
"""Bytes of the largest payload; a longer length in a file is damage."""

FILE_MAGIC: Final = b"\x89TICKJ\r\n"
FRAME_MAGIC: Final = b"\xf5TIK"
FRAME: Final = struct.Struct("<4sIIBBHQqq")
"""The header of a frame: magic, CRC, length, kind, flags, connection, seq, wall ns, monotonic ns."""
LINK: Final = struct.Struct("<4s4xI4xQ")
"""What is needed of it to get to the next frame: magic, length, seq."""
_FILE_REST: Final = struct.Struct("<IqQ32s")
_FRAME_REST: Final = struct.Struct("<IBBHQqq")
_CRC: Final = struct.Struct("<I")
CRC_FROM: Final = 8
"""Offset in a frame of the first byte that its CRC covers."""
FILE_HEADER_BYTES: Final = len(FILE_MAGIC) + _CRC.size + _FILE_REST.size
FRAME_HEADER_BYTES: Final = FRAME.size
TEXT_FLAG: Final = 1
PADDING: Final = tuple(bytes(-length & 7) for length in range(8))
"""The bytes after a payload, by the length of the payload modulo 8."""

_LOCKED_BYTES: Final = 5 * 1024
_PLAIN: Final = ".journal"
_PACKED: Final = ".journal.zst"


class Position(NamedTuple):
    """A place between two frames: number of the file, and offset in its uncompressed bytes."""

    file: int
    offset: int


class Ending(Enum):
    """How a journal file ends."""

    CLEAN = "clean"
    """After a frame."""
    TORN = "torn"
    """As a crash or a power cut leaves it."""
    CORRUPT = "corrupt"
    """In bytes that no crash leaves."""


class Damage(NamedTuple):
    """Bytes of a journal file that are no frames, and the entries that are gone with them.

    The entries from `after_seq` + 1 to `before_seq` - 1 are lost; `before_seq` is 0 when nothing good is known to
    follow. A `length` of 0 says that entries are missing with no bytes in their place.
    """

    path: Path
    offset: int
    length: int
    after_seq: int
    before_seq: int

    def __str__(self) -> str:
        """`64 bytes at offset 0 of data/journal/2026-11-23/0001.journal are damaged, no entry is lost`."""
        where = f"at offset {self.offset} of {self.path}"
        what = f"{self.length} bytes {where} are damaged" if self.length else f"nothing is left {where}"
        return f"{what}, {self._lost()}"

    def _lost(self) -> str:
        first, last = self.after_seq + 1, self.before_seq - 1
        if not self.before_seq:
            return "and no entry follows them in the file"
        if last < first:
            return "no entry is lost"
        return f"entry {first} is lost" if first == last else f"entries {first} to {last} are lost"


class Header(NamedTuple):
    """What a journal file says about itself. `start_ns` is wall time."""

    source: str
    start_ns: int
    first_seq: int

    def require(self, source: str, path: Path) -> None:
        """Raise DataError when the file is not of this source."""
        if self.source != source:
            raise DataError(
                f"the journal holds data of {self.source}, not of {source}",
                where=str(path),
                hint="Use another --data folder for the other source",
            )


def encode_header(header: Header) -> bytes:
    """The first bytes of a journal file. Raises ValueError unless the source is 1 to 32 ASCII characters."""
    source = header.source.encode("ascii")
    if not 0 < len(source) <= 32:
        raise ValueError(f"a source has 1 to 32 characters: {header.source!r}")
    rest = _FILE_REST.pack(FORMAT_VERSION, header.start_ns, header.first_seq, source)
    return FILE_MAGIC + _CRC.pack(crc32(rest)) + rest


def decode_header(data: bytes, path: Path) -> Header | None:
    """The header in the first bytes of a file, or None when they are damaged or not all there.

    Raises DataError when they are of a newer format.
    """
    if len(data) < FILE_HEADER_BYTES or not data.startswith(FILE_MAGIC):
        return None
    (crc,) = _CRC.unpack_from(data, 8)
    if crc32(data[12:FILE_HEADER_BYTES]) != crc:
        return None
    version, start_ns, first_seq, source = _FILE_REST.unpack_from(data, 12)
    if version != FORMAT_VERSION:
        raise DataError(
            f"the journal has format version {version}, this tickrec reads version {FORMAT_VERSION}",
            where=str(path),
            hint="Use the tickrec that wrote it, or a newer one",
        )
    return Header(source.rstrip(b"\0").decode("ascii", "replace"), start_ns, first_seq)


def encode_frame(entry: Entry, seq: int) -> bytes:
    """A frame with its padding. Raises ValueError when the payload is too long."""
    kind, conn, wall_ns, mono_ns, payload, text, _ = entry
    length = len(payload)
    if length > MAX_PAYLOAD:
        raise ValueError(f"a payload of {length} bytes; the journal takes {MAX_PAYLOAD}")
    rest = _FRAME_REST.pack(length, kind, TEXT_FLAG if text else 0, conn, seq, wall_ns, mono_ns)
    return b"".join((FRAME_MAGIC, _CRC.pack(locked_crc32(payload, crc32(rest))), rest, payload, PADDING[length & 7]))


def locked_crc32(data: bytes | memoryview, value: int = 0) -> int:
    """CRC-32 in pieces so small that zlib keeps the interpreter lock for them.

    Giving it away saves nothing here, and getting it back takes milliseconds while another thread computes.
    """
    if len(data) <= _LOCKED_BYTES:
        return crc32(data, value)
    view = memoryview(data)
    for begin in range(0, len(data), _LOCKED_BYTES):
        value = crc32(view[begin : begin + _LOCKED_BYTES], value)
    return value


def padded(size: int) -> int:
    """The next multiple of 8."""
    return (size + 7) & ~7


def file_path(folder: Path, number: int, *, compressed: bool = False) -> Path:
    """Where file `number` of a journal is."""
    return folder / f"{number:04}{_PACKED if compressed else _PLAIN}"


def file_numbers(folder: Path) -> list[int]:
    """The numbers of the files of a journal, in order; none when there is no such folder."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    stems = {name.removesuffix(".zst").removesuffix(_PLAIN) for name in names if name.endswith((_PLAIN, _PACKED))}
    return sorted(int(stem) for stem in stems if stem.isdecimal())


def not_a_journal(path: Path) -> DataError:
    """The error for a file with neither a header nor a good frame."""
    return DataError("this is not a journal", where=str(path), hint="Move the file away, then start again")
