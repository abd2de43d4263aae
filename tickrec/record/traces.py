"""Traces: what a recording that never began leaves in a store that was not there before, and taking it away again.

A mistyped symbol, or a token that is not there yet, should not leave a folder wherever the command was typed. Owns
what may go: only what the broker gives again at any time, and folders of ours that are empty then.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tickrec.store.paths import Store

_PASSING: Final = ("calendar.json", "record.lock", "status.json", "tickrec.log")
"""Files in `state` that say nothing about anything recorded."""


class Traces:
    """Remembers whether the store was there, and its folder's parents."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._made = list(_missing(store.root))

    def remove(self) -> None:
        """Leave things as they were before, if the store was made since and nothing was recorded. Raises nothing."""
        root, state = self._store.root, self._store.state
        if not self._made:
            return
        passing = {*root.glob("instruments/date=*/instruments.parquet"), *(state / name for name in _PASSING)}
        if {path for path in root.rglob("*") if not path.is_dir()} - passing:
            return
        folders = sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True)
        with contextlib.suppress(OSError):  # on Windows a file in use stays, and its folder with it
            for path in passing:
                path.unlink(missing_ok=True)
            for folder in (*folders, *self._made):
                folder.rmdir()


def _missing(folder: Path) -> Iterator[Path]:
    """The folder and those above it that do not exist, innermost first."""
    folder = folder.absolute()
    while not folder.exists():
        yield folder
        folder = folder.parent
