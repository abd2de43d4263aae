"""Locations: where DuckDB finds the files of a store, wherever that lies and whatever links it holds.

Owns the paths that DuckDB is given and the folders that it may read. DuckDB takes `date=...` anywhere in a path for a
column and `*`, `?` and `[` for patterns: a store below such a folder is read through a link in the query's own folder.
"""

import os
import re
from pathlib import Path
from typing import Final

from tickrec import schema
from tickrec.store.paths import Store

_ODD: Final = re.compile(r"[*?\[]|(^|[/\\])[^/\\]+=")
"""What means something to DuckDB in a path."""


class Locations:
    """The paths of a store's files as DuckDB is to read them."""

    def __init__(self, store: Store, scratch: Path) -> None:
        """`scratch` is a folder of the query's, in which a link to the store may be made. Raises OSError."""
        self._store = store
        self._root = str(store.root)
        self._link = scratch / "store" if _ODD.search(str(store.root.absolute())) else None
        if self._link is not None:
            self._link.symlink_to(store.root.absolute(), target_is_directory=True)

    def path(self, listed: str) -> str:
        """The path of a listed file as DuckDB is to read it."""
        if self._link is not None and listed.startswith(self._root):
            listed = f"{self._link}{listed[len(self._root) :]}"
        return listed.replace("\\", "/")

    def folders(self) -> list[str]:
        """Every folder that has to be read: the store, and the targets of the links in it."""
        found = {self._root, *([str(self._link)] if self._link else [])}
        for table in schema.TABLES:
            folders = [self._store.root / table, *(self._store.folder(table, date) for date in self._store.dates())]
            found.update(str(folder.resolve()) for folder in folders if os.path.islink(folder))
        for path in self._linked_files():
            found.add(str(path.resolve().parent))
        return sorted(found)

    def _linked_files(self) -> list[Path]:
        found = []
        for date in self._store.dates():
            for table in schema.TABLES:
                files = [self._store.sealed_path(table, date)]
                if not self._store.settled(date) and table != "instruments":
                    files = list(self._store.folder(table, date).glob("*.parquet"))
                found += [path for path in files if os.path.islink(path)]
        return found
