"""Scan: one journal file read; open it in whichever form it has, and find the good frames in it.

Owns the pass over a file: frame after frame while they are good, on from the next good one after damage, and the
verdict on how the file ends. Knows nothing about the other files of a journal.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Self
from zlib import crc32

from tickrec.journal.entry import Entry, EntryKind
from tickrec.journal.format import (
    CRC_FROM,
    FILE_HEADER_BYTES,
    FILE_MAGIC,
    FRAME,
    FRAME_HEADER_BYTES,
    FRAME_MAGIC,
    LINK,
    MAX_PAYLOAD,
    PADDING,
    TEXT_FLAG,
    Damage,
    Ending,
    Header,
    decode_header,
    file_numbers,
    file_path,
    locked_crc32,
    padded,
)
from tickrec.journal.packed import FRAME_BYTES, PackedFile

Placed = tuple[Entry, int]
"""An entry, and the offset after it in its file."""

CHUNK_BYTES: Final = 256 * 1024
"""Bytes read at a time: twice as fast as 1 MiB, which does not stay in the processor's cache."""
_SECTOR: Final = 512
_KINDS: Final = {kind.value: kind for kind in EntryKind}
_new = tuple.__new__  # half the price of calling the class


def journal_source(folder: Path) -> str:
    """Where the messages of a journal come from, as its newest file says that has a header; empty: none has.

    Raises DataError for a journal of a newer format, OSError.
    """
    for number in reversed(file_numbers(folder)):
        with JournalFile(folder, number) as file:
            if (header := file.header()) is not None:
                return header.source
    return ""


class JournalFile:
    """One journal file opened for reading, plain or compressed; a context manager."""

    def __init__(self, folder: Path, number: int, frame_bytes: int = FRAME_BYTES) -> None:
        """Open file `number`; `frame_bytes` is what it was packed with.

        Raises FileNotFoundError when it is there in neither form, DataError when the packed one is no zstd file.
        """
        self.path = file_path(folder, number)
        self.compressed = False
        self._stream: BinaryIO | PackedFile
        try:
            self._stream = self.path.open("rb", buffering=0)
        except FileNotFoundError:  # the compressed file appears before the plain one goes
            self.path = file_path(folder, number, compressed=True)
            self._stream = PackedFile(self.path, frame_bytes)
            self.compressed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    @property
    def broken(self) -> bool:
        """Whether some of what was read could not be unpacked, and is zero bytes instead."""
        return isinstance(self._stream, PackedFile) and self._stream.broken

    def read(self, size: int) -> bytes:
        """Up to `size` bytes from where the last read ended; fewer only at the end. Raises OSError."""
        return self._stream.read(size)

    def seek(self, offset: int) -> None:
        """Read on at `offset` of the uncompressed bytes."""
        self._stream.seek(offset)

    def head(self) -> bytes:
        """The bytes of the file's header, as far as they are there."""
        if (
            isinstance(self._stream, PackedFile)
            and len(head := self._stream.head(FILE_HEADER_BYTES)) == FILE_HEADER_BYTES
        ):
            return head
        self.seek(0)
        return self.read(FILE_HEADER_BYTES)

    def header(self) -> Header | None:
        """The file's header, None when it is damaged or not all there. Raises DataError for a newer format."""
        return decode_header(self.head(), self.path)

    def seq_at(self, offset: int) -> int | None:
        """The seq of the frame at `offset`, which is not checked; 0 at the end of the file, None if there is none."""
        if offset < FILE_HEADER_BYTES or offset % 8:
            return None
        self.seek(offset - 1)
        data = self.read(1 + LINK.size)
        if not data:
            return None
        if len(data) <= LINK.size:
            return 0
        magic, _, seq = LINK.unpack_from(data, 1)
        return seq if magic == FRAME_MAGIC else None


class Scan:
    """One pass over the frames of a file, from an offset to the end of what is there.

    `expected` is the seq that the next frame must have, 0 for any. `end` is the offset after the last good frame and
    `tail` the number of bytes after it. What is found damaged in front of good frames is added to `damage`.
    """

    def __init__(self, file: JournalFile, offset: int, expected: int, damage: list[Damage]) -> None:
        self.file = file
        self.end = offset
        self.expected = expected
        self.damage = damage
        self._base = offset  # of the data at hand, which begins there in the file
        self._data = b""
        self._at = 0  # what is dealt with of it
        self._lost: int | None = None  # where damage begins that is being passed over
        self._ended = False

    def batches(self, first_seq: int = 0) -> Iterator[list[Placed]]:
        """The entries from `first_seq` on, in lists of whatever is at hand. Raises DataError, OSError.

        Entries before `first_seq` are passed over by their lengths alone, as far as those lead from one to the next.
        """
        self.file.seek(self.end)
        if 0 < self.expected < first_seq:
            self._skip(first_seq)
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
        return _judge(self.file, self.end, self.tail) if self.tail else Ending.CLEAN

    def _run(self) -> list[Placed]:
        """Take good frames with the seqs that are due, as far as they go."""
        data, base, at, expected = self._data, self._base, self._at, self.expected
        size, view, batch = len(data), memoryview(data), []
        while size - at >= FRAME_HEADER_BYTES:
            magic, crc, length, kind, flags, conn, seq, wall_ns, mono_ns = FRAME.unpack_from(data, at)
            if seq != expected or magic != FRAME_MAGIC:
                break
            stop = at + FRAME_HEADER_BYTES + length
            following = (stop + 7) & ~7
            if following > size or locked_crc32(view[at + CRC_FROM : stop]) != crc or kind not in _KINDS:
                break
            if data[stop:following] != PADDING[length & 7]:
                break
            payload = data[at + FRAME_HEADER_BYTES : stop]
            entry = _new(Entry, (_KINDS[kind], conn, wall_ns, mono_ns, payload, flags & TEXT_FLAG == TEXT_FLAG, seq))
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
        if seq:
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
        magic, crc, length, kind, _, _, seq, _, _ = FRAME.unpack_from(data, at)
        if magic != FRAME_MAGIC or seq < self.expected or length > MAX_PAYLOAD or kind not in _KINDS:
            return 0, 0
        stop = FRAME_HEADER_BYTES + length
        if padded(stop) > here:
            return 0, padded(stop) - here
        frame = memoryview(data)[at : at + padded(stop)]
        good = crc32(frame[CRC_FROM:stop]) == crc and frame[stop:] == PADDING[length & 7]
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
        """Drop what has been dealt with and read on; False at the end of the file.

        The end once seen is the end of the pass: a frame that is just being written must not be taken for damage
        because what follows it can be seen a moment later.
        """
        if self._ended:
            return False
        more = self.file.read(max(missing, CHUNK_BYTES))
        self._ended = not more
        self._data = self._data[self._at :] + more
        self._base += self._at
        self._at = 0
        return bool(more)

    def _skip(self, first_seq: int) -> None:
        """Pass over frames by their lengths, up to `first_seq`.

        Stays in front of what was read last when the lengths lead nowhere; from there on everything is checked.
        """
        missing = FRAME_HEADER_BYTES
        while self._fill(missing):
            data, at, expected = self._data, self._at, self.expected
            size = len(data)
            missing = FRAME_HEADER_BYTES
            while size - at >= FRAME_HEADER_BYTES and expected < first_seq:
                magic, length, seq = LINK.unpack_from(data, at)
                if magic != FRAME_MAGIC or seq != expected or length > MAX_PAYLOAD:
                    return
                following = (at + FRAME_HEADER_BYTES + length + 7) & ~7
                if following > size:
                    missing = following - size
                    break
                at = following
                expected += 1
            self._at, self.expected, self.end = at, expected, self._base + at
            if expected == first_seq:
                return


def _judge(file: JournalFile, offset: int, size: int) -> Ending:
    """Whether a crash can have left the `size` bytes from `offset` on, among which is no good frame.

    It can when a disk sector, or the piece of one, was never written, or when the frame there runs past the end. The
    file may have grown meanwhile.
    """
    file.seek(offset)
    head, done = b"", 0
    while piece := file.read(min(_SECTOR - (offset + done) % _SECTOR, size - done)):
        if not any(piece):
            return Ending.TORN
        done += len(piece)
        head += piece[: FRAME_HEADER_BYTES - len(head)]
    if offset == 0 and size < FILE_HEADER_BYTES:
        return judge_head(head)
    if len(head) < FRAME_HEADER_BYTES:
        torn = FRAME_MAGIC.startswith(head[: len(FRAME_MAGIC)])
    else:
        magic, length, _ = LINK.unpack_from(head)
        torn = magic == FRAME_MAGIC and length <= MAX_PAYLOAD and padded(FRAME_HEADER_BYTES + length) > size
    return Ending.TORN if torn else Ending.CORRUPT


def judge_head(head: bytes) -> Ending:
    """How a file ends that has not even a whole header."""
    if not head:
        return Ending.CLEAN
    begun = FILE_MAGIC.startswith(head[: len(FILE_MAGIC)]) or not any(head)
    return Ending.TORN if begun else Ending.CORRUPT
