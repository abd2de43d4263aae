"""Packed: the compressed form of a journal file, a row of zstd frames, each holding the next piece of the plain file.

Every frame but the last holds FRAME_BYTES, says so in its header, and can be unpacked by itself. That is why a bad
spot costs no more than what follows it in its own frame. The reader finds the frames by their structure (RFC 8878),
and puts zero bytes in the place of what cannot be unpacked, so that every offset is that of the plain file. Whether
the bytes are right is not known here: the CRCs of the journal tell.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Self

from tickrec.journal.format import not_a_journal

FRAME_BYTES: Final = 16 * 1024 * 1024
"""Bytes of the plain file in a zstd frame."""
_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_LONGEST_HEADER: Final = 18
_BLOCK_BYTES: Final = 128 * 1024
"""The most that a block can have, packed or plain."""
_RLE: Final = 1
_RESERVED: Final = 3
_SEARCHED_BYTES: Final = 256 * 1024
_SALVAGED_BYTES: Final = 512
"""Bytes unpacked at a time from a damaged frame; what comes after the last whole piece is given up."""


def pack(path: Path, target: Path, frame_bytes: int = FRAME_BYTES) -> None:
    """Write the packed form of a plain file. Raises OSError."""
    import pyarrow as pa  # heavy, and only sealing and sealed days need it

    codec = pa.Codec("zstd", compression_level=3)  # streams take no level, and theirs makes files a third larger
    with path.open("rb") as plain, target.open("wb") as packed:
        chunk = plain.read(frame_bytes)
        packed.write(codec.compress(chunk))  # of an empty file one empty frame
        while chunk := plain.read(frame_bytes):
            packed.write(codec.compress(chunk))


def same(path: Path, packed: Path) -> bool:
    """Whether a packed file reads as the plain one at `path`. Raises OSError, DataError."""
    with path.open("rb") as plain, PackedFile(packed) as reader:
        while chunk := plain.read(_SEARCHED_BYTES):
            if reader.read(len(chunk)) != chunk:
                return False
        return not reader.read(1) and not reader.broken


class _Frame(NamedTuple):
    """Where a zstd frame is in the packed file, and how many plain bytes it stands for. `known`: its header is good."""

    begin: int
    end: int
    size: int
    known: bool


class PackedFile:
    """A packed file opened for reading, as if it were the plain one; a context manager.

    `broken` says whether something was found that cannot be unpacked, and reads as zero bytes.
    """

    def __init__(self, path: Path, frame_bytes: int = FRAME_BYTES) -> None:
        """Raises OSError, and DataError for a file that has nothing of zstd."""
        self.broken = False
        self._frame_bytes = frame_bytes
        self._stream: BinaryIO = path.open("rb")
        try:
            self._end = os.fstat(self._stream.fileno()).st_size
            if self._foreign():
                raise not_a_journal(path)
        except BaseException:
            self._stream.close()
            raise
        self._frames: list[_Frame] = []  # as far as they have been looked for
        self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def head(self, size: int) -> bytes:
        """The first plain bytes, for which not all of a frame is unpacked; fewer where it is damaged."""
        return next(_pieces(self._bytes(0, 2 * _BLOCK_BYTES), size), b"")  # the header of a frame and its first block

    def seek(self, offset: int) -> None:
        """Read on at `offset` of the plain file. Frames before it are not unpacked. Raises OSError."""
        if not self._base <= offset < self._base + len(self._plain):
            self._begin()
            while (frame := self._frame(self._next)) is not None and self._base + frame.size <= offset:
                self._base += frame.size
                self._next += 1
            self._load()
        self._at = min(offset - self._base, len(self._plain))

    def read(self, size: int) -> bytes:
        """Up to `size` plain bytes from where the last read ended; fewer only at the end. Raises OSError."""
        piece = self._take(size)
        if len(piece) == size:
            return piece
        pieces = [piece]
        size -= len(piece)
        while size and self._load():
            pieces.append(self._take(size))
            size -= len(pieces[-1])
        return b"".join(pieces)

    def _take(self, size: int) -> bytes:
        piece = self._plain[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def _begin(self) -> None:
        """Go to the begin of the file."""
        self._next = 0  # index of the frame after the one at hand
        self._base = 0  # offset in the plain file of what is at hand
        self._plain = b""
        self._at = 0  # what has been read of it

    def _load(self) -> bool:
        """Unpack the next frame in place of the one at hand; False at the end."""
        frame = self._frame(self._next)
        if frame is None:
            return False
        self._base += len(self._plain)
        self._plain = b""  # given back before the next is made
        self._plain = self._unpack(frame)
        self._next += 1
        self._at = 0
        return True

    def _unpack(self, frame: _Frame) -> bytes:
        """The plain bytes of a frame, with zero bytes for what cannot be had."""
        data = self._bytes(frame.begin, frame.end - frame.begin)
        whole = _whole(data, frame.size) if frame.known else None
        if whole is not None:
            return whole
        self.broken = True
        return (_salvage(data, frame.size) if frame.known else b"").ljust(frame.size, b"\0")

    def _frame(self, index: int) -> _Frame | None:
        """Frame `index`, None when there are not so many."""
        while len(self._frames) <= index:
            begin = self._frames[-1].end if self._frames else 0
            if begin >= self._end and self._frames:
                return None
            self._frames.append(self._locate(begin))
        return self._frames[index]

    def _locate(self, begin: int) -> _Frame:
        """The frame that begins there. One whose header is damaged reaches to the next, and is taken for a full one."""
        header = _header(self._bytes(begin, _LONGEST_HEADER), self._frame_bytes)
        if header is None:
            return _Frame(begin, self._search(begin + 1), self._frame_bytes, False)
        length, size = header
        end = self._walk(begin + length, size, checksum=self._bytes(begin + 4, 1)[0] & 4 > 0)
        if end == self._end or (end and size == self._frame_bytes and self._known(end)):
            return _Frame(begin, end, size, True)
        if end and _whole(self._bytes(begin, end - begin), size) is not None:
            return _Frame(begin, end, size, True)
        following = self._search(begin + 1)
        if size < self._frame_bytes:  # only the last is not full
            return _Frame(begin, following, size if following == self._end else self._frame_bytes, True)
        return _Frame(begin, min(end or following, following), size, True)

    def _walk(self, at: int, size: int, *, checksum: bool) -> int:
        """Where the frame ends whose blocks begin at `at`; 0 when they cannot be right."""
        blocks, last = 0, False
        while not last:
            header = self._bytes(at, 3)
            number = int.from_bytes(header, "little")
            last, kind, length = bool(number & 1), number >> 1 & 3, number >> 3
            if len(header) < 3 or kind == _RESERVED or length > _BLOCK_BYTES:
                return 0
            at += 3 + (1 if kind == _RLE else length)
            blocks += 1
        at += 4 if checksum else 0
        return at if at <= self._end and blocks * _BLOCK_BYTES >= size else 0

    def _search(self, begin: int) -> int:
        """Where the next frame begins at `begin` or after, the end of the file if there is none."""
        while begin < self._end:
            data = self._bytes(begin, _SEARCHED_BYTES)
            at = data.find(_MAGIC)
            while at >= 0:
                if self._known(begin + at):
                    return begin + at
                at = data.find(_MAGIC, at + 1)
            begin += max(len(data) - len(_MAGIC) + 1, 1)
        return self._end

    def _known(self, begin: int) -> bool:
        """Whether a frame begins there."""
        return _header(self._bytes(begin, _LONGEST_HEADER), self._frame_bytes) is not None

    def _foreign(self) -> bool:
        """Whether the file never was a packed journal: no frame, and not even a damaged magic at its begin."""
        head = self._bytes(0, len(_MAGIC))
        if not any(head) or any(byte == magic for byte, magic in zip(head, _MAGIC, strict=False)):
            return False
        return self._search(0) == self._end

    def _bytes(self, begin: int, size: int) -> bytes:
        """Bytes of the packed file, fewer at its end."""
        self._stream.seek(begin)
        return self._stream.read(size)


def _header(data: bytes, frame_bytes: int) -> tuple[int, int] | None:
    """Length of the frame header in `data` and the plain bytes it speaks of; None if `pack` wrote no such header."""
    if len(data) <= len(_MAGIC) or not data.startswith(_MAGIC):
        return None
    flags = data[4]
    single = flags >> 5 & 1
    width = (single, 2, 4, 8)[flags >> 6]
    begin = 5 if single else 6
    if flags & 0b11011 or not width or len(data) < begin + width:  # a dictionary, reserved bits, no size
        return None
    size = int.from_bytes(data[begin : begin + width], "little") + (256 if width == 2 else 0)
    return (begin + width, size) if size <= frame_bytes else None


def _whole(data: bytes, size: int) -> bytes | None:
    """A frame's plain bytes, None when they cannot be had."""
    import pyarrow as pa

    try:
        plain: bytes = pa.Codec("zstd").decompress(data, decompressed_size=size, asbytes=True)
    except (OSError, pa.ArrowInvalid):
        return None
    return plain


def _salvage(data: bytes, size: int) -> bytes:
    """As much of a damaged frame as can be unpacked, at most `size` bytes."""
    return b"".join(_pieces(data, _SALVAGED_BYTES))[:size]


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    """What can be unpacked of a frame that is damaged or not all there, so many bytes at a time."""
    import pyarrow as pa

    try:
        with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
            while piece := stream.read(size):
                yield piece
    except (OSError, pa.ArrowInvalid):
        return  # that is where the damage is
