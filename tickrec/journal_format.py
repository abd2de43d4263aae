"""The bytes of one journal file: how entries are laid out, and how they are found again.

A date's journal is a folder of files 0001.journal, 0002.journal, ... in the order they were written, each begun at the
start of a run or when the one before was full. A finished file may be replaced by 0001.journal.zst, the same bytes
compressed with zstd. All numbers are little-endian, everything begins at a multiple of 8 bytes.

File header, 64 bytes:

    offset  size  field
         0     8  magic: 89 "TICKJ" 0d 0a
         8     4  CRC-32 of everything in the header after this field
        12     2  format version: 1
        14     2  length of the header: 64
        16     8  when the file was begun, nanoseconds since the Unix epoch, signed
        24     8  seq of the first frame
        32    32  source, such as "upstox.v3": ASCII, filled up with zero bytes

Then frames, without anything between them:

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

CRC-32 is that of zlib. `seq` grows by one from frame to frame, also from file to file. A file of one message "tick!"
(connection 1, seq 7) and one goodbye:

    00000000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00

A file can end in three ways. CLEAN: after a frame. TORN: in the middle of a frame, or in zero bytes where a frame
should be; that is what a crash or a power cut leaves, and `repair` sets it aside. CORRUPT: in bytes that no crash
leaves. Bytes that are no frame in front of a frame that is good are damage, too: reading goes on at the next multiple
of 8 where a magic, a CRC and a seq are right.

Knows nothing about the broker: payloads are bytes.
"""

import os
import struct
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Self, cast
from zlib import crc32

from tickrec.entry import Entry, EntryKind
from tickrec.errors import DataError

FORMAT_VERSION: Final = 1
MAX_PAYLOAD: Final = 64 * 1024 * 1024
"""Bytes of the largest payload; a longer length in a file is damage."""
FILE_MAGIC: Final = b"\x89TICKJ\r\n"
FRAME_MAGIC: Final = b"\xf5TIK"

_FILE_HEADER: Final = struct.Struct("<HHqQ32s")
_CRC: Final = struct.Struct("<I")
_REST: Final = struct.Struct("<IBBHQqq")
_FRAME: Final = struct.Struct("<4sIIBBHQqq")
FILE_HEADER_BYTES: Final = len(FILE_MAGIC) + _CRC.size + _FILE_HEADER.size
FRAME_HEADER_BYTES: Final = _FRAME.size
PADDING: Final = tuple(bytes(-length & 7) for length in range(8))
"""The bytes that follow a payload, by the length of the payload modulo 8."""

_TEXT: Final = 1
_KINDS: Final = {kind.value: kind for kind in EntryKind}
_SECTOR: Final = 512
_CHUNK: Final = 1024 * 1024


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

    The entries from `after_seq` + 1 to `before_seq` - 1 are lost. `before_seq` is 0 when nothing good follows. A
    `length` of 0 says that entries are missing with no bytes in their place.
    """

    path: Path
    offset: int
    length: int
    after_seq: int
    before_seq: int


class Header(NamedTuple):
    """What a journal file says about itself. `start_ns` is wall time."""

    source: str
    start_ns: int
    first_seq: int


Placed = tuple[Entry, int]
"""An entry, and the offset after it in its file."""


def encode_header(header: Header) -> bytes:
    """The first bytes of a journal file. Raises ValueError when the source is longer than 32 ASCII characters."""
    source = header.source.encode("ascii")
    if not 0 < len(source) <= 32:
        raise ValueError(f"a source has 1 to 32 characters: {header.source!r}")
    rest = _FILE_HEADER.pack(FORMAT_VERSION, FILE_HEADER_BYTES, header.start_ns, header.first_seq, source)
    return FILE_MAGIC + _CRC.pack(crc32(rest)) + rest


def decode_header(data: bytes, path: Path) -> Header | None:
    """The header in the first bytes of a file, or None when they are not a good one.

    Raises DataError when they are a good one of a newer format.
    """
    if len(data) < FILE_HEADER_BYTES or not data.startswith(FILE_MAGIC):
        return None
    version, length, start_ns, first_seq, source = _FILE_HEADER.unpack_from(data, 12)
    if crc32(data[12:length]) != _CRC.unpack_from(data, 8)[0]:
        return None
    if version != FORMAT_VERSION:
        raise DataError(
            f"the journal has format version {version}; this tickrec reads version {FORMAT_VERSION}",
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
    rest = _REST.pack(length, kind, text, conn, seq, wall_ns, mono_ns)
    return b"".join((FRAME_MAGIC, _CRC.pack(crc32(payload, crc32(rest))), rest, payload, PADDING[length & 7]))


class JournalFile:
    """One journal file opened for reading, plain or compressed; a context manager."""

    def __init__(self, folder: Path, number: int) -> None:
        """Open file `number`, whichever form it has now. Raises FileNotFoundError when it has neither."""
        self.number = number
        self.path = folder / f"{number:04}.journal"
        try:
            self._stream: BinaryIO = self.path.open("rb", buffering=0)
            self.compressed = False
        except FileNotFoundError:
            self.path = folder / f"{number:04}.journal.zst"
            self._stream = _open_zstd(self.path)
            self.compressed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes from where the last read ended; fewer only at the end. Raises DataError, OSError."""
        try:
            return self._stream.read(size)
        except OSError as error:
            if not self.compressed:
                raise
            raise DataError(f"the compressed journal cannot be read: {error}", where=str(self.path)) from error

    def seek(self, offset: int) -> None:
        """Continue reading at `offset` of the uncompressed bytes."""
        if not self.compressed:
            self._stream.seek(offset)
            return
        self._stream.close()
        self._stream = _open_zstd(self.path)
        while offset > 0 and (skipped := len(self.read(min(offset, _CHUNK)))):
            offset -= skipped

    def header(self) -> Header | None:
        """The file's header, None when it is damaged or not complete. Raises DataError for a newer format."""
        self.seek(0)
        return decode_header(self.read(FILE_HEADER_BYTES), self.path)


def _open_zstd(path: Path) -> BinaryIO:
    import pyarrow as pa  # heavy, and only sealed days are compressed

    return cast(BinaryIO, pa.input_stream(str(path), compression="zstd"))


def numbers(folder: Path) -> list[int]:
    """The numbers of the journal files in a folder, in order; none when there is no such folder."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    stems = {name.removesuffix(".zst").removesuffix(".journal") for name in names if name.endswith(_SUFFIXES)}
    return sorted(int(stem) for stem in stems if stem.isdecimal())


_SUFFIXES: Final = (".journal", ".journal.zst")


class Scan:
    """One pass over the frames of a file, from an offset to the end of what is there.

    `expected` is the seq that the next frame must have, 0 for any. `end` is the offset after the last good frame and
    `tail` the number of bytes after it. What is found damaged in front of good frames is added to `damage`.
    """

    def __init__(self, file: JournalFile, offset: int, expected: int, damage: list[Damage]) -> None:
        self.file = file
        self.damage = damage
        self._begin(offset, expected)

    def batches(self, first_seq: int = 0) -> Iterator[list[Placed]]:
        """The entries from `first_seq` on, in lists of whatever is at hand. Raises DataError, OSError.

        Entries before `first_seq` are passed over by their lengths alone. Where those lead nowhere, everything is
        read and checked.
        """
        offset, expected = self.end, self.expected
        self.file.seek(offset)
        if 0 < expected < first_seq and not self._skip(first_seq):
            self._begin(offset, expected)
            self.file.seek(offset)
        while True:
            batch = self._run() if self._lost is None else []
            if batch and batch[0][0].seq < first_seq:
                batch = [placed for placed in batch if placed[0].seq >= first_seq]
            if batch:
                yield batch
            if not self._step():
                return

    @property
    def tail(self) -> int:
        """Bytes after the last good frame."""
        return self._base + len(self._data) - self.end

    def ending(self) -> Ending:
        """How the file ends; to be asked after the pass."""
        return _judge(self.file, self.end) if self.tail else Ending.CLEAN

    def _begin(self, offset: int, expected: int) -> None:
        self.end = offset
        self.expected = expected
        self._base = offset
        self._data = b""
        self._at = 0
        self._lost: int | None = None

    def _run(self) -> list[Placed]:
        """Take good frames with the seqs that are due, as far as they go."""
        data, base, at, expected = self._data, self._base, self._at, self.expected
        size, view, batch = len(data), memoryview(data), []
        while size - at >= FRAME_HEADER_BYTES:
            magic, crc, length, kind, flags, conn, seq, wall_ns, mono_ns = _FRAME.unpack_from(data, at)
            if seq != expected or magic != FRAME_MAGIC:
                break
            stop = at + FRAME_HEADER_BYTES + length
            following = (stop + 7) & ~7
            if following > size or crc32(view[at + 8 : stop]) != crc or kind not in _KINDS:
                break
            if data[stop:following] != PADDING[length & 7]:
                break
            payload = data[at + FRAME_HEADER_BYTES : stop]
            entry = _new(Entry, (_KINDS[kind], conn, wall_ns, mono_ns, payload, flags & _TEXT == _TEXT, seq))
            batch.append((entry, base + following))
            at = following
            expected += 1
        self._at, self.expected = at, expected
        if batch:
            self.end = base + at
        return batch

    def _step(self) -> bool:
        """Get past what ended a run: read on, or look further for a good frame. False at the end of the file."""
        seq, missing = self._inspect()
        if seq and seq >= self.expected:
            self._resume(seq)
            return True
        if missing and self._fill(missing):
            return True
        if self._at == len(self._data):
            return False
        if self._lost is None:
            self._lost = self._base + self._at
        self._at = self._next_magic()
        return True

    def _inspect(self) -> tuple[int, int]:
        """The seq of the good frame that begins here, or how many bytes are missing to tell; (0, 0): there is none."""
        data, at = self._data, self._at
        here = len(data) - at
        if here < FRAME_HEADER_BYTES:
            return 0, FRAME_HEADER_BYTES - here
        magic, crc, length, kind, _, _, seq, _, _ = _FRAME.unpack_from(data, at)
        if magic != FRAME_MAGIC or length > MAX_PAYLOAD or kind not in _KINDS:
            return 0, 0
        size = FRAME_HEADER_BYTES + length
        padded = _padded(size)
        if padded > here:
            return 0, padded - here
        frame = memoryview(data)[at : at + padded]
        good = crc32(frame[8:size]) == crc and frame[size:] == PADDING[length & 7]
        return (seq if good else 0), 0

    def _resume(self, seq: int) -> None:
        """Go on at a good frame that is not the one that was due, and note what is missing in front of it."""
        offset = self._base + self._at
        start = offset if self._lost is None else self._lost
        if start < offset or 0 < self.expected < seq:
            self.damage.append(Damage(self.file.path, start, offset - start, max(self.expected - 1, 0), seq))
        self.expected = seq
        self._lost = None

    def _next_magic(self) -> int:
        """The next place in the data at hand where a frame may begin."""
        at = self._data.find(FRAME_MAGIC, self._at + 1)
        while at >= 0 and at % 8:
            at = self._data.find(FRAME_MAGIC, at + 1)
        if at >= 0:
            return at
        cut = len(self._data) & ~7  # a magic may begin in the bytes after
        return cut if cut > self._at else len(self._data)

    def _fill(self, missing: int) -> bool:
        """Drop what has been dealt with and read on; False at the end of the file."""
        more = self.file.read(max(missing, _CHUNK))
        self._data = self._data[self._at :] + more
        self._base += self._at
        self._at = 0
        return bool(more)

    def _skip(self, first_seq: int) -> bool:
        """Pass over frames by their lengths; False when they do not lead to `first_seq` or to the end."""
        while True:
            data, at, expected = self._data, self._at, self.expected
            size, missing = len(data), FRAME_HEADER_BYTES
            while size - at >= FRAME_HEADER_BYTES:
                magic, length, seq = _LINK.unpack_from(data, at)
                if magic != FRAME_MAGIC or seq != expected:
                    return False
                following = (at + FRAME_HEADER_BYTES + length + 7) & ~7
                if seq == first_seq or following > size:
                    missing = following - size
                    break
                at = following
                expected += 1
            self._at, self.expected, self.end = at, expected, self._base + at
            if expected == first_seq:
                return True
            if missing > MAX_PAYLOAD or not self._fill(missing):
                return not self.tail


def seq_at(file: JournalFile, offset: int) -> int | None:
    """The seq in the header of the frame at `offset`, not checked; 0 at the end of the file, None when it is none."""
    file.seek(offset)
    data = file.read(_LINK.size)
    if len(data) < _LINK.size:
        file.seek(max(offset - 1, 0))
        return 0 if offset % 8 == 0 and file.read(1) and FRAME_MAGIC.startswith(data[: len(FRAME_MAGIC)]) else None
    magic, _, seq = _LINK.unpack(data)
    return seq if magic == FRAME_MAGIC and offset % 8 == 0 else None


_new = tuple.__new__
_LINK: Final = struct.Struct("<4s4xI4xQ")


def _judge(file: JournalFile, offset: int) -> Ending:
    """Whether a crash can have left the bytes from `offset` on, among which is no good frame.

    It can when a disk sector, or the piece of one, was never written, or when the frame there runs past the end.
    """
    file.seek(offset)
    head, end = b"", offset
    piece = file.read(_SECTOR - offset % _SECTOR)
    while piece:
        if not any(piece):
            return Ending.TORN
        end += len(piece)
        head += piece[: FRAME_HEADER_BYTES - len(head)]
        piece = file.read(_SECTOR)
    if offset == 0:
        whole = end >= FILE_HEADER_BYTES or not FILE_MAGIC.startswith(head[: len(FILE_MAGIC)])
    elif len(head) < FRAME_HEADER_BYTES:
        whole = not FRAME_MAGIC.startswith(head[: len(FRAME_MAGIC)])
    else:
        magic, length, _ = _LINK.unpack(head[: _LINK.size])
        whole = magic != FRAME_MAGIC or length > MAX_PAYLOAD or offset + _padded(FRAME_HEADER_BYTES + length) <= end
    return Ending.CORRUPT if whole else Ending.TORN


def _padded(size: int) -> int:
    return (size + 7) & ~7
