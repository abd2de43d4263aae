"""Leftovers: what work on a date that was killed has left behind.

Owns what of that may be removed, and when: by the holder of the date's lock, for the date; for all others, when nobody
holds theirs. Parts and drafts of parts are not among them: those are for who publishes parts.
"""

import contextlib
import datetime as dt
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tickrec.errors import AlreadyRecording
from tickrec.files import Lock
from tickrec.store.paths import Store, names_in

_NAMED: Final = re.compile(
    r"\.?(\d{4}-\d{2}-\d{2})\.(lock|duckdb\.lock|sealing|duckdb\.draft|duckdb\.draft\.wal|json\..*\.tmp)"
)
"""Files and folders that are named after a date and there only while it is worked on."""


def remove_all(store: Store) -> None:
    """Remove what is left of any date that nobody works on. Raises OSError."""
    for date in sorted({date for date, _ in _named(store)}):
        with contextlib.suppress(AlreadyRecording), Lock(store.day_lock(date)) as lock:
            lock.acquire({"doing": f"clearing up {date}"})
            remove(store, date)
            lock.remove()


def remove(store: Store, date: dt.date) -> None:
    """Remove what is left of a date; for the holder of its lock, whose file stays. Raises OSError."""
    with contextlib.suppress(AlreadyRecording), Lock(store.duckdb_lock(date)) as lock:
        lock.acquire({"doing": f"clearing up {date}"})
        for path in _of(store, date):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        lock.remove()


def _of(store: Store, date: dt.date) -> Iterator[Path]:
    locks = store.day_lock(date), store.duckdb_lock(date)
    yield from (path for each, path in _named(store) if each == date and path not in locks)
    journal = store.journal(date)
    yield from (journal / name for name in names_in(journal) if name.startswith(".") and name.endswith(".tmp"))


def _named(store: Store) -> Iterator[tuple[dt.date, Path]]:
    for folder in (store.state, store.duckdb_path(dt.date.min).parent, store.manifest_path(dt.date.min).parent):
        for name in names_in(folder):
            if match := _NAMED.fullmatch(name):
                with contextlib.suppress(ValueError):
                    yield dt.date.fromisoformat(match[1]), folder / name
