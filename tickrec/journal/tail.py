"""Tail: the newest entries of a journal, read without the rest of it.

Owns how far back to look and where to go on. For whoever joins late and does not need the whole day: `status`, which
wants to know how the last run ended, and the watching of a recorder.
"""

from pathlib import Path
from typing import NamedTuple

from tickrec.errors import DataError
from tickrec.journal import Journal, Position
from tickrec.journal.entry import Entry
from tickrec.journal.format import FILE_HEADER_BYTES, Damage, file_numbers, file_path
from tickrec.journal.scan import JournalFile, Scan


class Newest(NamedTuple):
    """Entries in the order of seq, and the place after the last of them."""

    entries: list[Entry]
    position: Position | None
    """None: there is no journal."""


def read_newest(folder: Path, size: int) -> Newest:
    """The entries in about the last `size` bytes of a journal, at least the whole ones among those.

    Compressed files are not looked into: nothing is recent there. Raises OSError.
    """
    batches: list[list[Entry]] = []
    position = None
    for number in reversed(file_numbers(folder)):
        try:
            entries, end, length = _end_of_file(folder, number, size)
        except (FileNotFoundError, DataError):
            break
        position = position or Position(number, end)
        batches.append(entries)
        size -= length
        if size <= 0:
            break
    return Newest([entry for batch in reversed(batches) for entry in batch], position)


def read_from(folder: Path, position: Position, size: int) -> list[Entry] | None:
    """The entries from `position` on; None when it is no place between entries, or more than `size` bytes back.

    Raises OSError, DataError.
    """
    try:
        with JournalFile(folder, position.file) as file:
            known = file.seq_at(position.offset) is not None
    except FileNotFoundError:
        return None
    return list(Journal(folder).entries(start=position)) if known and _bytes_after(folder, position) <= size else None


def read_from_seq(folder: Path, first_seq: int, position: Position | None, size: int) -> list[Entry] | None:
    """The entries from `first_seq` on, which may begin at `position`; None when they are more than `size` bytes back.

    Compressed files are not looked into: what they hold is in Parquet, and None when all of that is gone. Raises
    OSError, DataError.
    """
    numbers = file_numbers(folder)
    plain = [number for number in numbers if file_path(folder, number).exists()]
    if first_seq == 1 and plain != numbers:
        return None
    if not plain:
        return []
    start = position if position is not None and position.file in plain else Position(plain[0], FILE_HEADER_BYTES)
    entries = read_from(folder, start, size)
    return entries if entries is None else [entry for entry in entries if entry.seq >= first_seq]


def _bytes_after(folder: Path, position: Position) -> int:
    numbers = [number for number in file_numbers(folder) if number >= position.file]
    return sum(_plain_size(folder, number) for number in numbers) - position.offset


def _plain_size(folder: Path, number: int) -> int:
    with JournalFile(folder, number) as file:
        return file.path.stat().st_size


def _end_of_file(folder: Path, number: int, size: int) -> tuple[list[Entry], int, int]:
    """The entries in the last `size` bytes of a file, the offset after them, and the length of the file."""
    with JournalFile(folder, number) as file:
        if file.compressed:
            raise FileNotFoundError(file.path)
        length = file.path.stat().st_size
        start = max(FILE_HEADER_BYTES, (length - size) & ~7)
        damage: list[Damage] = []  # looking from the middle of a frame finds some: it is no news
        scan = Scan(file, start, 0, damage)
        entries = [entry for batch in scan.batches() for entry, _ in batch]
        return entries, scan.end, length
