"""Space: how much of the disk derived files may take, and how much they leave to the journal.

Owns what the rest of a session is expected to need, told by the dates before, and the refusal to write more. Whoever
writes asks before it begins, and goes on asking while it writes.
"""

import datetime as dt
import errno
import os
from pathlib import Path
from typing import Final

from tickrec.errors import DataError
from tickrec.files import free_bytes, lock_holder
from tickrec.formatting import size
from tickrec.store.manifest import load
from tickrec.store.paths import Store

RESERVE_BYTES: Final = 64_000_000
"""Free space that is left in any case."""
_DATES: Final = 5
"""How many of the newest earlier dates tell how much a session journals."""
_FRAME_BYTES: Final = 48
"""What the journal takes for a message beside its payload, padding included, at most."""
_UNPACKED: Final = 7
"""How many times the size of a compressed journal its entries have."""


class Room:
    """The disk that derived files of a date are written to, on which a journal may grow."""

    def __init__(self, store: Store, date: dt.date, *, ended: bool) -> None:
        """`ended`: nothing more is recorded of the date itself. Raises OSError."""
        self._store = store
        self._growing = _growing(store, date, ended=ended)
        dates = [each for each in store.dates() if self._growing is not None and each < self._growing]
        self._usual = max((journalled_bytes(store, each) for each in dates[-_DATES:]), default=0)

    @property
    def reserved(self) -> int:
        """Bytes that are to stay free: what today's journal may still need, and a little."""
        if self._growing is None:
            return RESERVE_BYTES
        return RESERVE_BYTES + max(0, self._usual - journalled_bytes(self._store, self._growing))

    def require(self, needed: int = 0) -> None:
        """Raise OSError (ENOSPC) unless `needed` bytes can be written without taking what is reserved."""
        reserved = self.reserved
        free = min(free_bytes(folder) for folder in (self._store.root, self._store.root / "ticks", self._store.state))
        if free < needed + reserved:
            short = f"{size(needed + reserved)} must be free, {size(free)} are"
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {short}", str(self._store.root))


def _growing(store: Store, date: dt.date, *, ended: bool) -> dt.date | None:
    """The date whose journal is growing; None while nobody records, or only the date that has ended."""
    if lock_holder(store.record_lock) is None:
        return None
    newest = max([date, *store.dates()])
    return None if ended and newest == date else newest


def journalled_bytes(store: Store, date: dt.date) -> int:
    """About how many bytes the journal of a date has, or had before it was compressed or removed. Raises OSError."""
    plain = sum(_size(path) * (_UNPACKED if path.suffix == ".zst" else 1) for path in store.journal_files(date))
    try:
        sealed = load(store, date)
    except DataError:
        sealed = None
    return max(plain, sealed.message_bytes + sealed.messages * _FRAME_BYTES if sealed else 0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # compressed at this moment
        return 0
