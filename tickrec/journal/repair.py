"""Repair: what a crash left is set aside, and finished files are compressed.

Owns the only changes ever made to journal files that are written. Both are for the process that holds the lock, and
both can be interrupted anywhere and repeated.
"""

import os
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from tickrec.errors import DataError
from tickrec.files import move, publish, publish_bytes, sync_file, sync_folder
from tickrec.journal.format import FILE_HEADER_BYTES, Damage, Ending, file_numbers, file_path, not_a_journal
from tickrec.journal.packed import pack, same
from tickrec.journal.scan import JournalFile, Scan

_RECENT_BYTES: Final = 256 * 1024 * 1024
"""How far back in the journal a crash can reach: what is written between two syncs is less."""


class SetAside(NamedTuple):
    """A copy of what was cut off a journal file, and its size."""

    path: Path
    bytes: int


class Repair(NamedTuple):
    """What `repair` found: the seq of the last entry (0: none), and what is wrong."""

    last_seq: int
    torn: tuple[SetAside, ...]
    damage: tuple[Damage, ...]


def repair(folder: Path) -> Repair:
    """Cut torn tails off the newest files, keeping a copy in `<file>.torn-<offset>`, and find the last seq.

    Only for the process that holds the recording lock. Damage that no crash leaves is reported and stays as it is.
    Everything that is there afterwards is durable. Raises DataError for a file that is no journal, OSError.
    """
    torn: list[SetAside] = []
    damage: list[Damage] = []
    last_seq = 0
    for number in _recent(folder):
        with JournalFile(folder, number) as file:
            last_seq = _check(file, last_seq, torn, damage)
        if not file.compressed:
            sync_file(file.path)
    if folder.is_dir():
        sync_folder(folder)
    return Repair(last_seq, tuple(torn), tuple(damage))


def _recent(folder: Path) -> list[int]:
    """The files that a crash can have reached, oldest first: the last one, and as many before as are not too much."""
    recent: list[int] = []
    size = 0
    for number in reversed(file_numbers(folder)):
        recent.append(number)
        path = file_path(folder, number)
        if not path.exists() or size >= _RECENT_BYTES:
            break
        size += path.stat().st_size
    return recent[::-1]


def _check(file: JournalFile, last_seq: int, torn: list[SetAside], damage: list[Damage]) -> int:
    """Read a file, set its torn tail aside, and return the last seq up to here."""
    header = file.header()
    first_seq = header.first_seq if header else 0
    scan = Scan(file, FILE_HEADER_BYTES if header else 0, max(first_seq, last_seq + 1 if last_seq else 0), damage)
    for _ in scan.batches():
        pass
    ending = scan.ending()
    if ending is Ending.CORRUPT and scan.end == 0 and not file.broken:
        raise not_a_journal(file.path)
    if ending is Ending.TORN and not file.compressed:
        torn.append(_set_aside(file.path, scan.end))
    elif scan.tail:
        damage.append(Damage(file.path, scan.end, scan.tail, max(scan.expected - 1, 0), 0))
    return max(scan.expected - 1, last_seq)


def _set_aside(path: Path, offset: int) -> SetAside:
    with path.open("rb") as stream:
        stream.seek(offset)
        tail = stream.read()
    copy = path.with_name(f"{path.name}.torn-{offset}")
    publish_bytes(copy, tail)
    os.truncate(path, offset)
    return SetAside(copy, len(tail))


def pack_checked(path: Path, target: Path) -> None:
    """Write the compressed form of a finished journal file, read it back and compare it.

    Raises DataError when it does not read back as it was, OSError.
    """
    pack(path, target)
    if not same(path, target):
        raise DataError("the compressed journal does not read back", where=str(path), hint="Check the disk")


def compress(path: Path, draft: Path | None = None) -> Path:
    """Replace a finished journal file by its `.zst`, and return the new path.

    The compressed file is `draft`, which `pack_checked` has made, or it is made now; only when it has its name the
    plain one is removed. Raises as `pack_checked`.
    """
    target = path.with_name(path.name + ".zst")
    if not path.exists() and target.exists():
        return target
    publish(target, partial(pack_checked, path) if draft is None else partial(move, draft))
    path.unlink()
    sync_folder(path.parent)
    return target
