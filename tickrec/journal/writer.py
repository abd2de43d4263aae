"""Writer: entries in, frames on the disk, and the promise of what is durable.

Owns numbering entries, beginning files, and syncing. An entry is with the operating system when `append` returns, so
that killing the process loses nothing; `sync` bounds what a power cut can take.
"""

import errno
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tickrec.clock import ist
from tickrec.errors import StorageError
from tickrec.files import make_folder, sync_descriptor, sync_folder
from tickrec.journal.entry import Entry
from tickrec.journal.format import (
    FILE_HEADER_BYTES,
    Header,
    Position,
    encode_frame,
    encode_header,
    file_numbers,
    file_path,
)
from tickrec.journal.scan import JournalFile

SEGMENT_BYTES: Final = 256 * 1024 * 1024
"""A file that would grow past this is followed by a new one."""


class JournalWriter:
    """Appends entries to a journal; each writer begins a new file.

    `append` belongs to one thread; `sync` may be called from another at any time. After a StorageError the writer is
    dead: the file may end in the middle of a frame, which `repair` sets aside.
    """

    def __init__(
        self, folder: Path, *, source: str, next_seq: int, start_ns: int, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        """Begin a file for entries from `next_seq` on, in a run that started at `start_ns` (wall time).

        To be called under the recording lock, after `repair`. Raises DataError when the journal is of another source,
        StorageError when the file cannot be made, ValueError when `next_seq` is not above what is there.
        """
        if next_seq < 1:
            raise ValueError(f"seqs begin at 1: {next_seq}")
        self.folder = folder
        self.source = source
        self.next_seq = next_seq
        self.size_bytes = 0
        self._segment_bytes = segment_bytes
        self._retired: list[int] = []
        self._sync_lock = threading.Lock()
        self._folder_durable = False
        self._durable = next_seq - 1
        self._dead: StorageError | None = None
        self._undurable: StorageError | None = None
        self._closed = False
        try:
            _check_source(folder, source, next_seq)
            make_folder(folder)
            self._number = max(file_numbers(folder), default=0) + 1
            self._fd = self._create(start_ns)
        except OSError as error:
            raise _unwritable(error, folder, start_ns) from error

    @property
    def position(self) -> Position:
        """Where the next frame will begin, or the end of the file when the next frame begins a new one."""
        return Position(self._number, self._offset)

    def append(self, entry: Entry) -> int:
        """Write an entry and return the seq it got; `entry.seq` is ignored.

        The frame is with the operating system when this returns. Raises StorageError when it could not be written
        whole, ValueError when the payload is longer than MAX_PAYLOAD (nothing is written then).
        """
        return self._put(encode_frame(entry, self.next_seq), 1, entry.wall_ns)

    def append_many(self, entries: Iterable[Entry]) -> int:
        """Append entries with one write and return the seq of the last; for bursts.

        Half the price of `append` for each of them, and less when other threads compute: every write gives the
        interpreter lock away. Raises as `append` does, and then some of the entries may be in the journal.
        """
        frames: list[bytes] = []
        size = wall_ns = 0
        for entry in entries:
            frame = encode_frame(entry, self.next_seq + len(frames))
            if frames and self._offset + size + len(frame) > self._segment_bytes:
                self._put(b"".join(frames), len(frames), wall_ns)
                frames, size = [], 0
            frames.append(frame)
            size += len(frame)
            wall_ns = entry.wall_ns
        return self._put(b"".join(frames), len(frames), wall_ns) if frames else self.next_seq - 1

    def _put(self, frames: bytes, count: int, wall_ns: int) -> int:
        """Write frames that fit into a file, in a new one if need be, and return the last seq."""
        if self._dead is not None:
            raise self._dead
        size = len(frames)
        try:
            if self._offset + size > self._segment_bytes and self._offset > FILE_HEADER_BYTES:
                self._rotate(wall_ns)
            if (written := os.write(self._fd, frames)) != size:
                _write_rest(self._fd, frames, written)
        except OSError as error:
            self._dead = _unwritable(error, file_path(self.folder, self._number), wall_ns)
            raise self._dead from error
        self._offset += size
        self.size_bytes += size
        self.next_seq += count
        return self.next_seq - 1

    def sync(self) -> int:
        """Make everything durable that was appended before the call, and return the seq of the last such entry.

        Works after a failed append, and after `close`, too. Raises StorageError when the disk refuses. That is not
        tried again: after a failed fsync the operating system may have dropped the data, and would report success.
        """
        with self._sync_lock:
            if self._undurable is not None:
                raise self._undurable
            return self._durable if self._closed else self._sync()

    def close(self) -> None:
        """Make everything durable and close the files. Harmless to repeat. Raises StorageError as `sync` does."""
        with self._sync_lock:
            if self._closed:
                return
            self._closed = True
            try:
                if self._undurable is None:
                    self._sync()
            finally:
                self._dead = StorageError("the journal is closed", where=str(self.folder))
                for fd in (self._fd, *self._retired):
                    os.close(fd)

    def _sync(self) -> int:
        # In this order, because the other thread may be rotating: it retires a file before it takes up the next.
        last = self.next_seq - 1
        current = self._fd
        retired = list(self._retired)
        if last == self._durable and self._folder_durable:
            return last
        try:
            for fd in {current, *retired}:
                sync_descriptor(fd)
            if not self._folder_durable:
                self._folder_durable = True  # first, because a file made meanwhile asks for another
                sync_folder(self.folder)
        except OSError as error:
            self._undurable = self._dead = StorageError(
                f"the journal could not be made durable: {error.strerror}",
                where=str(self.folder),
                hint=f"Entries up to {self._durable} are safe. Check the disk, then start again",
            )
            raise self._undurable from error
        for fd in retired:
            self._retired.remove(fd)
            os.close(fd)
        self._durable = last
        return last

    def _create(self, start_ns: int) -> int:
        header = encode_header(Header(self.source, start_ns, self.next_seq))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
        fd = os.open(file_path(self.folder, self._number), flags, 0o644)
        try:
            _write_rest(fd, header, 0)
        except OSError:
            os.close(fd)
            raise
        self._offset = len(header)
        self._folder_durable = False
        return fd

    def _rotate(self, start_ns: int) -> None:
        self._number += 1
        fd = self._create(start_ns)
        self._retired.append(self._fd)
        self._fd = fd


def _write_rest(fd: int, data: bytes, written: int) -> None:
    view = memoryview(data)
    while written < len(data):
        written += os.write(fd, view[written:])


def _unwritable(error: OSError, path: Path, wall_ns: int) -> StorageError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    why = "the disk is full: " if full else ""
    because = "" if full else f": {error.strerror}"
    return StorageError(
        f"{why}the journal could not be written at {ist(wall_ns):%H:%M:%S}{because}",
        where=str(path),
        hint=f"Everything until then is safe. {'Free space' if full else 'Check the disk'}, then start again",
    )


def _check_source(folder: Path, source: str, next_seq: int) -> None:
    """Raise DataError when the last readable file is of another source, or ValueError when `next_seq` goes back."""
    for number in reversed(file_numbers(folder)):
        with JournalFile(folder, number) as file:
            header = file.header()
        if header is None:
            continue
        header.require(source, file.path)
        if next_seq < header.first_seq:
            raise ValueError(f"seq {next_seq} comes before {header.first_seq}, the first in {file.path}")
        return
