"""Reader: a journal read over all its files, and followed one that grows.

What a single file holds is for `scan` to find out.
"""

from collections import deque
from collections.abc import Iterator
from pathlib import Path

from tickrec.journal.entry import Entry
from tickrec.journal.format import (
    FILE_HEADER_BYTES,
    Damage,
    Ending,
    Header,
    Position,
    decode_header,
    file_numbers,
    not_a_journal,
)
from tickrec.journal.scan import JournalFile, Placed, Scan, judge_head


class Journal:
    """The reading side of a journal. A folder that is missing is an empty journal.

    After a whole pass `damage` says what was found that is no frame, with the entries lost, and `ending` how the last
    file ends. A pass reads what is written by then, a later one reads again.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self.folder = folder
        self.damage: list[Damage] = []
        self.ending = Ending.CLEAN

    def entries(
        self, first_seq: int = 1, *, start: Position | None = None, last_seq: int | None = None
    ) -> Iterator[Entry]:
        """The entries from `first_seq` to `last_seq` in the order of seq, as far as they are written.

        `start` says where `first_seq` is; when that is not so, it is searched for. With `start` alone reading begins
        there. Damage is passed over and noted. A torn tail of the last file just ends the iteration, because the
        file may be growing. Raises DataError (no journal, newer format, other source), OSError.
        """
        for _, batch in self._batches(first_seq, start, last_seq):
            for entry, _ in batch:
                yield entry

    def positioned(
        self, first_seq: int = 1, *, start: Position | None = None, last_seq: int | None = None
    ) -> Iterator[tuple[Entry, Position]]:
        """The same, each entry with the position after it, where the entry that follows begins."""
        for number, batch in self._batches(first_seq, start, last_seq):
            for entry, end in batch:
                yield entry, Position(number, end)

    def _batches(
        self, first_seq: int, start: Position | None, last_seq: int | None
    ) -> Iterator[tuple[int, list[Placed]]]:
        self.damage = []
        walk = _Walk(self.folder, self.damage)
        walk.begin(first_seq, start)
        for number, batch in walk.batches(first_seq):
            if last_seq is not None and batch[-1][0].seq >= last_seq:
                yield number, [placed for placed in batch if placed[0].seq <= last_seq]
                return
            yield number, batch
        self.ending = walk.ending
        if walk.tail is not None and walk.ending is Ending.CORRUPT:
            self.damage.append(walk.tail)


class Follow:
    """New entries of a journal that is being written, across its files. A journal not there yet is waited for.

    `damage` grows as damaged bytes are passed over. What is at the end of the last file is never taken for damage: it
    may be a frame that is just being written.
    """

    def __init__(self, folder: Path, first_seq: int = 1, *, start: Position | None = None) -> None:
        """Begin at `first_seq`, with `start` as in Journal."""
        self.damage: list[Damage] = []
        self._first_seq = first_seq
        self._start = start
        self._walk = _Walk(folder, self.damage)
        self._pending: deque[Entry] = deque()

    def poll(self, max_entries: int = 10_000) -> list[Entry]:
        """The complete entries written since the last call, at most `max_entries`. Raises DataError, OSError."""
        if not self._walk.number:
            self._walk.begin(self._first_seq, self._start)
        if len(self._pending) < max_entries:
            for _, batch in self._walk.batches(self._first_seq):
                self._pending.extend(entry for entry, _ in batch)
                if len(self._pending) >= max_entries:
                    break
        return [self._pending.popleft() for _ in range(min(max_entries, len(self._pending)))]


class _Walk:
    """A place in a journal that moves on over its files: number (0: not begun), offset, and the seq due (0: any).

    `tail` is what follows the last good frame of the current file, and `ending` how that file ends.
    """

    def __init__(self, folder: Path, damage: list[Damage]) -> None:
        self.folder = folder
        self.source = ""  # as the first file says
        self.damage = damage
        self.number = 0
        self.offset = 0
        self.expected = 0
        self.tail: Damage | None = None
        self.ending = Ending.CLEAN
        self._before: Damage | None = None  # the tail of the file before, until it is known what follows it
        self._finished = 0

    def begin(self, first_seq: int, start: Position | None) -> None:
        """Go to `first_seq`, or to the best known place in front of it; stay at number 0 when there is no file."""
        present = file_numbers(self.folder)
        if start is not None and (first_seq <= 1 or (start.file in present and self._leads(start, first_seq))):
            if start.offset % 8:
                raise ValueError(f"no frame can begin at {start.offset}")
            self.number, self.offset = start
            self.expected = first_seq if first_seq > 1 else 0
            with JournalFile(self.folder, self.number) as file:
                self._admit(file.header(), file.path)
            return
        header: Header | None = None
        for number in reversed(present):
            self.number = number
            with JournalFile(self.folder, number) as file:
                header = file.header()
            if header is not None and header.first_seq <= first_seq:
                return
        self.expected = first_seq if header is not None else 0  # the first file begins too late: some are missing

    def batches(self, first_seq: int) -> Iterator[tuple[int, list[Placed]]]:
        """Entries from `first_seq` on, from here to the end of what is there, with the number of their file.

        A file behind which there is another is looked at once more, before going on to that one: it may have grown
        before the other was added.
        """
        complete = False
        while self.number:
            for batch in self._file(first_seq):
                yield self.number, batch
            following = self._next()
            if not following:
                return
            if complete:
                self.number, self.offset = following, 0
                self._before, self.tail = self.tail, None
            complete = not complete

    def _next(self) -> int:
        """The number of the next file, 0 when this is the last."""
        return next((number for number in file_numbers(self.folder) if number > self.number), 0)

    def _leads(self, start: Position, first_seq: int) -> bool:
        """Whether the next entry at `start` can only be `first_seq`."""
        with JournalFile(self.folder, start.file) as file:
            return file.seq_at(start.offset) in (0, first_seq)

    def _admit(self, header: Header | None, path: Path) -> None:
        """Refuse another source; a damaged header does not say which it is."""
        if header is not None:
            self.source = self.source or header.source
            header.require(self.source, path)

    def _file(self, first_seq: int) -> Iterator[list[Placed]]:
        """What the current file has from here on."""
        if self.number == self._finished:
            return
        with JournalFile(self.folder, self.number) as file:
            if not self._enter(file):
                return
            scan = Scan(file, self.offset, self.expected, self.damage)
            for batch in scan.batches(first_seq):
                self.offset, self.expected = scan.end, scan.expected
                self._follows(batch[0][0].seq)
                yield batch
            self.offset, self.expected = scan.end, scan.expected
            self._leave(file, scan.end, scan.tail, scan.ending())

    def _enter(self, file: JournalFile) -> bool:
        """Begin a file at its header, noting what is missing in front of it; False when the header is not all there.

        A damaged header is passed over like other damage.
        """
        if self.offset > 0:
            return True
        head = file.head()
        header = decode_header(head, file.path)
        self._admit(header, file.path)
        if header is not None:
            if self._before is None and 0 < self.expected < header.first_seq:
                self.damage.append(Damage(file.path, 0, 0, self.expected - 1, header.first_seq))
            self._follows(header.first_seq)
            self.expected = max(self.expected, header.first_seq)
            self.offset = FILE_HEADER_BYTES
        elif len(head) < FILE_HEADER_BYTES:
            self._leave(file, 0, len(head), judge_head(head))
            return False
        return True

    def _follows(self, seq: int) -> None:
        """Note a bad tail of the file before, now that the entry after it is known."""
        if self._before is not None:
            self.damage.append(self._before._replace(before_seq=seq))
            self._before = None

    def _leave(self, file: JournalFile, end: int, tail: int, ending: Ending) -> None:
        """Keep how the file ends; what comes after decides whether that is damage."""
        if end == 0 and ending is Ending.CORRUPT and not file.broken:
            raise not_a_journal(file.path)
        # A file is compressed when it is finished and in order: no crash leaves it with a torn tail.
        self.ending = Ending.CORRUPT if file.compressed and ending is Ending.TORN else ending
        self.tail = Damage(file.path, end, tail, max(self.expected - 1, 0), 0) if tail else None
        if file.compressed:
            self._finished = self.number
