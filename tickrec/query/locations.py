"""Locations: where DuckDB finds the files of a store, wherever that lies and whatever links it holds.

Owns the paths that DuckDB is given and the folders that it may read. DuckDB takes `date=...` anywhere in a path for a
column and `*`, `?` and `[` for patterns: a store below such a folder is read through a link in the query's own folder.
"""

import datetime as dt
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tickrec import schema
from tickrec.store.paths import Store, names_in

_ODD: Final = re.compile(r"[*?\[]|(^|[/\\])[^/\\]+=")
"""What means something to DuckDB in a path."""


def readable_path(file: Path, scratch: Path) -> str:
    """The path of a single file as DuckDB is to read it, if need be by a link in the folder `scratch`."""
    path = file.absolute()
    if _ODD.search(str(path)):
        link = scratch / f"{len(os.listdir(scratch))}{''.join(path.suffixes)}"
        link.symlink_to(path)
        path = link
    return str(path).replace("\\", "/")


class Locations:
    """The paths of a store's files as DuckDB is to read them."""

    def __init__(self, store: Store, scratch: Path) -> None:
        """`scratch` is a folder of the query's, in which a link to the store may be made. Raises OSError."""
        self._root = str(store.root)
        self._link = scratch / "store" if _ODD.search(str(store.root.absolute())) else None
        if self._link is not None:
            self._link.symlink_to(store.root.absolute(), target_is_directory=True)

    def path(self, listed: str) -> str:
        """The path of a listed file as DuckDB is to read it."""
        if self._link is not None and listed.startswith(self._root):
            listed = f"{self._link}{listed[len(self._root) :]}"
        return listed.replace("\\", "/")

    def folders(self, dates: Iterable[dt.date]) -> list[str]:
        """Every folder that has to be read for some dates: the store, and the targets of their links in it."""
        found = {self._root, *([str(self._link)] if self._link else [])}
        names = {f"date={date}" for date in dates}
        for table in schema.TABLES:
            top = f"{self._root}/{table}"
            if os.path.islink(top):
                found.add(os.path.realpath(top))
            for folder in _folders(top):
                if folder.name in names:
                    found.update(_targets(folder, f"{table}.parquet"))
        return sorted(found)


def _folders(top: str) -> "list[os.DirEntry[str]]":
    """What is in a folder; nothing when there is no such folder."""
    try:
        with os.scandir(top) as found:
            return [*found]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _targets(folder: "os.DirEntry[str]", sealed: str) -> Iterator[str]:
    """Where the links lead that a date's folder of a table is, or has in the place of its files.

    Where the sealed file is, no other is looked at: this is asked of every table of every date on disk.
    """
    if folder.is_symlink():
        yield os.path.realpath(folder)
    try:
        names = [sealed] if stat.S_ISLNK(os.lstat(f"{folder.path}/{sealed}").st_mode) else []
    except (FileNotFoundError, NotADirectoryError):
        parts = [name for name in names_in(folder.path) if name.endswith(".parquet")]
        names = [name for name in parts if os.path.islink(f"{folder.path}/{name}")]
    for name in names:
        yield os.path.dirname(os.path.realpath(f"{folder.path}/{name}"))
