"""The journal of a date: a folder of numbered files that together hold every entry, in the order of seq.

Owns writing, reading, following a journal that grows, and the rule that nothing appended is lost when the process is
killed. `journal_format` specifies the bytes, `journal_repair` puts a journal in order after a crash. Knows nothing
about the broker.

One process writes, under the recording lock; any number read at the same time, without a lock. A file is complete when
a file with a higher number exists, so a reader that finds one looks at the end of the file before once more.
"""

import errno
import os
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tickrec import journal_format as form
from tickrec.clock import ist
from tickrec.entry import Entry
from tickrec.errors import DataError, StorageError
from tickrec.files import make_folder, sync_descriptor, sync_folder
from tickrec.journal_format import MAX_PAYLOAD, Damage, Ending, Header, JournalFile, Placed, Position, Scan
from tickrec.journal_repair import Repair, SetAside, compress, repair

__all__ = [
    "MAX_PAYLOAD",
    "Damage",
    "Ending",
    "Follow",
    "Header",
    "Journal",
    "JournalWriter",
    "Position",
    "Repair",
    "SetAside",
    "compress",
    "repair",
]

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
        StorageError when the file cannot be made.
        """
        self.folder = folder
        self.source = source
        self.next_seq = next_seq
        self.size_bytes = 0
        self._segment_bytes = segment_bytes
        self._retired: list[int] = []
        self._sync_lock = threading.Lock()
        self._folder_synced = False
        self._durable = next_seq - 1
        self._failure: StorageError | None = None
        self._closed = False
        _check_source(folder, source, next_seq)
        try:
            make_folder(folder)
            self._number = max(form.numbers(folder), default=0) + 1
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
        if self._failure is not None:
            raise self._failure
        frame = form.encode_frame(entry, self.next_seq)
        size = len(frame)
        try:
            if self._offset + size > self._segment_bytes and self._offset > form.FILE_HEADER_BYTES:
                self._rotate(entry.wall_ns)
            if (written := os.write(self._fd, frame)) != size:
                _write_rest(self._fd, frame, written)
        except OSError as error:
            self._failure = _unwritable(error, self._path(self._number), entry.wall_ns)
            raise self._failure from error
        self._offset += size
        self.size_bytes += size
        seq = self.next_seq
        self.next_seq = seq + 1
        return seq

    def sync(self) -> int:
        """Make everything durable that was appended before the call, and return the seq of the last such entry.

        Raises StorageError when the disk refuses. That is not tried again: after a failed fsync the operating system
        may have dropped the data and would report success.
        """
        with self._sync_lock:
            if self._failure is not None:
                raise self._failure
            return self._sync()

    def close(self) -> None:
        """Make everything durable and close the files. Harmless to repeat. Raises StorageError as `sync` does."""
        with self._sync_lock:
            if self._closed:
                return
            self._closed = True
            try:
                if self._failure is None:
                    self._sync()
            finally:
                for fd in (self._fd, *self._retired):
                    os.close(fd)
                self._failure = self._failure or StorageError("the journal is closed", where=str(self.folder))

    def _sync(self) -> int:
        # The order matters: another thread may be rotating, and puts the old file among the retired first.
        last = self.next_seq - 1
        current = self._fd
        retired = list(self._retired)
        if last == self._durable and self._folder_synced:
            return last
        try:
            for fd in {current, *retired}:
                sync_descriptor(fd)
            if not self._folder_synced:
                self._folder_synced = True  # before the call: a file made meanwhile asks for another
                sync_folder(self.folder)
        except OSError as error:
            self._failure = StorageError(
                f"the journal could not be made durable: {error.strerror}",
                where=str(self.folder),
                hint=f"Entries up to {self._durable} are safe. Check the disk, then start again",
            )
            raise self._failure from error
        for fd in retired:
            self._retired.remove(fd)
            os.close(fd)
        self._durable = last
        return last

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:04}.journal"

    def _create(self, start_ns: int) -> int:
        header = form.encode_header(Header(self.source, start_ns, self.next_seq))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
        fd = os.open(self._path(self._number), flags, 0o644)
        try:
            _write_rest(fd, header, 0)
        except OSError:
            os.close(fd)
            raise
        self._offset = len(header)
        self._folder_synced = False
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
    for number in reversed(form.numbers(folder)):
        with JournalFile(folder, number) as file:
            header = file.header()
        if header is None:
            continue
        _require_source(header, source, file.path)
        if next_seq < header.first_seq:
            raise ValueError(f"seq {next_seq} comes before {header.first_seq}, the first in {file.path}")
        return


def _require_source(header: Header, source: str, path: Path) -> None:
    if header.source != source:
        raise DataError(
            f"the journal holds data of {header.source}, not of {source}",
            where=str(path),
            hint="Use another --data folder for the other source",
        )


class Journal:
    """The reading side of a journal. Reading again reads from the disk again; no lock is taken.

    `damage` collects what the passes so far have found: bytes that are no frames, and the entries lost with them.
    """

    def __init__(self, folder: Path, *, source: str | None = None) -> None:
        """`source`: refuse files of any other. Nothing is read yet; a folder that is missing is an empty journal."""
        self.folder = folder
        self.source = source
        self.damage: list[Damage] = []

    def entries(
        self, first_seq: int = 1, *, start: Position | None = None, last_seq: int | None = None
    ) -> Iterator[Entry]:
        """The entries from `first_seq` to `last_seq` in the order of seq, as far as they are written now.

        `start` is where a search for `first_seq` may begin; without `first_seq` reading begins there. Damage is
        passed over and added to `damage`; a torn tail of the last file just ends the iteration, because the file may
        be growing. Raises DataError (not a journal, newer format, another source), OSError.
        """
        for _, batch in self._batches(first_seq, start, last_seq):
            for entry, _ in batch:
                yield entry

    def positioned(
        self, first_seq: int = 1, *, start: Position | None = None, last_seq: int | None = None
    ) -> Iterator[tuple[Entry, Position]]:
        """The same, each entry with the position after it, where the one that follows can be looked for."""
        for number, batch in self._batches(first_seq, start, last_seq):
            for entry, end in batch:
                yield entry, Position(number, end)

    def _batches(
        self, first_seq: int, start: Position | None, last_seq: int | None
    ) -> Iterator[tuple[int, list[Placed]]]:
        walk = _Walk(self.folder, self.source, self.damage)
        walk.begin(first_seq, start)
        for number, batch in walk.batches(first_seq):
            if last_seq is not None and batch[-1][0].seq >= last_seq:
                yield number, [placed for placed in batch if placed[0].seq <= last_seq]
                return
            yield number, batch
        walk.end()


class Follow:
    """New entries of a journal that another process, or this one, is writing; across its files.

    `damage` is as in Journal. A journal that does not exist yet is waited for.
    """

    def __init__(
        self, folder: Path, first_seq: int = 1, *, start: Position | None = None, source: str | None = None
    ) -> None:
        """Begin at `first_seq`, looked for from `start` on, or just at `start`."""
        self.damage: list[Damage] = []
        self._first_seq = first_seq
        self._start = start
        self._walk = _Walk(folder, source, self.damage)
        self._begun = False
        self._pending: deque[Entry] = deque()

    def poll(self, max_entries: int = 10_000) -> list[Entry]:
        """The complete entries written since the last call, at most `max_entries`. Raises DataError, OSError."""
        if not self._begun:
            self._begun = self._walk.begin(self._first_seq, self._start)
        if len(self._pending) < max_entries:
            for _, batch in self._walk.batches(self._first_seq):
                self._pending.extend(entry for entry, _ in batch)
                if len(self._pending) >= max_entries:
                    break
        return [self._pending.popleft() for _ in range(min(max_entries, len(self._pending)))]


class _Walk:
    """A place in a journal that moves on over its files: number, offset, and the seq due there (0: any)."""

    def __init__(self, folder: Path, source: str | None, damage: list[Damage]) -> None:
        self.folder = folder
        self.source = source
        self.damage = damage
        self.number = 0
        self.offset = 0
        self.expected = 0
        self._tail: Damage | None = None
        self._ending = Ending.CLEAN

    def begin(self, first_seq: int, start: Position | None) -> bool:
        """Go to the best place known in front of `first_seq`; False when there is no file yet."""
        present = form.numbers(self.folder)
        if start is not None and start.file in present and self._accept(first_seq, start):
            return True
        for number in reversed(present):
            self.number = number
            with JournalFile(self.folder, number) as file:
                header = file.header()
            if header is not None and header.first_seq <= first_seq:
                break
        return bool(present)

    def batches(self, first_seq: int) -> Iterator[tuple[int, list[Placed]]]:
        """Entries from `first_seq` on, from here to the end of what is there, with the number of their file."""
        while True:
            final = any(number > self.number for number in form.numbers(self.folder))
            if self.number:
                for batch in self._file(first_seq):
                    yield self.number, batch
            later = [number for number in form.numbers(self.folder) if number > self.number]
            if not later:
                return
            if final or not self.number:
                self.number, self.offset = later[0], 0

    def end(self) -> None:
        """Note a tail that no crash leaves; a torn one is no damage."""
        if self._tail is not None and self._ending is Ending.CORRUPT:
            self.damage.append(self._tail)

    def _accept(self, first_seq: int, start: Position) -> bool:
        with JournalFile(self.folder, start.file) as file:
            seq = form.seq_at(file, start.offset)
        if seq is None or (first_seq > 1 and seq > first_seq):
            return False
        self.number, self.offset = start
        self.expected = seq or (first_seq if first_seq > 1 else 0)
        return True

    def _file(self, first_seq: int) -> Iterator[list[Placed]]:
        """What the current file has from here on."""
        try:
            file = JournalFile(self.folder, self.number)
        except FileNotFoundError:
            return
        with file:
            if self.offset == 0:
                self._enter(file)
            scan = Scan(file, self.offset, self.expected, self.damage)
            for batch in scan.batches(first_seq):
                self.offset, self.expected = scan.end, scan.expected
                yield batch
            self.offset, self.expected = scan.end, scan.expected
            self._leave(file, scan)

    def _enter(self, file: JournalFile) -> None:
        header = file.header()
        if header is None:
            return
        if self.source is None:
            self.source = header.source
        _require_source(header, self.source, file.path)
        if self._tail is not None:
            self.damage.append(self._tail._replace(before_seq=header.first_seq))
        elif 0 < self.expected < header.first_seq:
            self.damage.append(Damage(file.path, 0, 0, self.expected - 1, header.first_seq))
        self._tail = None
        self.expected = max(self.expected, header.first_seq)
        self.offset = form.FILE_HEADER_BYTES

    def _leave(self, file: JournalFile, scan: Scan) -> None:
        self._ending = scan.ending()
        self._tail = Damage(file.path, scan.end, scan.tail, max(self.expected - 1, 0), 0) if scan.tail else None
        if self.offset == 0 and self._ending is Ending.CORRUPT:
            raise DataError("this is not a journal", where=str(file.path), hint="Move the file away")
