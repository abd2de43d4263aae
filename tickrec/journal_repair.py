"""Putting a journal in order: what a crash left is set aside, and finished files are compressed.

Owns the only changes ever made to journal files that are written. Both are for the process that holds the lock, and
both can be interrupted anywhere and repeated.
"""

import os
from pathlib import Path
from typing import Final, NamedTuple

from tickrec.errors import DataError
from tickrec.files import publish, publish_bytes, sync_file, sync_folder
from tickrec.journal_format import FILE_HEADER_BYTES, Damage, Ending, JournalFile, Scan, numbers

_RECENT_BYTES: Final = 256 * 1024 * 1024
"""How far back in the journal a crash can reach: what is written between two syncs is less."""
_CHUNK: Final = 1024 * 1024


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
    Raises DataError for a file that is no journal, OSError.
    """
    torn: list[SetAside] = []
    damage: list[Damage] = []
    last_seq = 0
    for number in _recent(folder):
        with JournalFile(folder, number) as file:
            last_seq = max(last_seq, _check(file, last_seq, torn, damage))
    return Repair(last_seq, tuple(torn), tuple(damage))


def _recent(folder: Path) -> list[int]:
    """The files a crash can have reached, oldest first: the last one, and others while they are not too much."""
    recent: list[int] = []
    size = 0
    for number in reversed(numbers(folder)):
        path = folder / f"{number:04}.journal"
        recent.append(number)
        if not path.exists():
            break
        if size > 0 and size + path.stat().st_size > _RECENT_BYTES:
            break
        size += path.stat().st_size
    return recent[::-1]


def _check(file: JournalFile, last_seq: int, torn: list[SetAside], damage: list[Damage]) -> int:
    """Read a file, set its torn tail aside, and return the last seq it accounts for."""
    header = file.header()
    offset = FILE_HEADER_BYTES if header else 0
    expected = header.first_seq if header else 0
    scan = Scan(file, offset, max(expected, last_seq + 1 if header else 0), damage)
    for _ in scan.batches():
        pass
    if scan.tail and not file.compressed:
        if scan.ending() is Ending.TORN:
            torn.append(_set_aside(file.path, scan.end))
        elif scan.end == 0:
            raise DataError("this is not a journal", where=str(file.path), hint="Move the file away")
        else:
            damage.append(Damage(file.path, scan.end, scan.tail, scan.expected - 1, 0))
    return scan.expected - 1


def _set_aside(path: Path, offset: int) -> SetAside:
    with path.open("rb") as stream:
        stream.seek(offset)
        tail = stream.read()
    copy = path.with_name(f"{path.name}.torn-{offset}")
    publish_bytes(copy, tail)
    os.truncate(path, offset)
    sync_file(path)
    return SetAside(copy, len(tail))


def compress(path: Path) -> Path:
    """Replace a finished journal file by its `.zst`, and return the new path.

    The compressed file is read back and compared before it gets its name, and only then the plain one is removed.
    Raises DataError when it does not read back as it was, OSError.
    """
    target = path.with_name(path.name + ".zst")
    if not path.exists() and target.exists():
        return target

    def write(temp: Path) -> None:
        _pack(path, temp)
        _compare(path, temp)

    publish(target, write)
    path.unlink()
    sync_folder(path.parent)
    return target


def _pack(path: Path, temp: Path) -> None:
    import pyarrow as pa  # heavy, and only sealing needs it

    with path.open("rb") as plain, pa.output_stream(str(temp), compression="zstd") as packed:
        while chunk := plain.read(_CHUNK):
            packed.write(chunk)


def _compare(path: Path, temp: Path) -> None:
    import pyarrow as pa

    with path.open("rb") as plain, pa.input_stream(str(temp), compression="zstd") as packed:
        while chunk := plain.read(_CHUNK):
            if packed.read(len(chunk)) != chunk:
                raise DataError("the compressed journal does not read back", where=str(path), hint="Check the disk")
        if packed.read(1):
            raise DataError("the compressed journal does not read back", where=str(path), hint="Check the disk")
