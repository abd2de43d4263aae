"""Draft: a part that is being written, and the rows of the small tables that go with it.

Owns the unfinished file, in which order rows are put into it, and in which order the files of a part are published.
Does not know which entries the part is to cover.
"""

import datetime as dt
import os
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Self

import pyarrow as pa

from tickrec import schema
from tickrec.files import make_folder, publish
from tickrec.journal.history import Tables
from tickrec.store import parquet
from tickrec.store.coverage import Footer, Part
from tickrec.store.paths import Store

_GROUP_PIECES: Final = 4
"""Pieces in a row group of a part, if they are not too large."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows of consecutive messages."""

    ticks: pa.Table
    market_status: pa.Table
    rejected: pa.Table


class Draft:
    """A part of `ticks` that is being written, and the rows of the small tables that go with it."""

    def __init__(self, store: Store, date: dt.date, first: int, encoder: Executor | None) -> None:
        self.ticks = 0
        self._store = store
        self._date = date
        self._path = store.draft_path(date, first)
        make_folder(self._path.parent)
        self._file = parquet.part_file(self._path)
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._small: dict[str, list[pa.Table]] = {"market_status": [], "rejected": []}
        self._encoder = encoder
        self._encoded: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._encoded is not None:
            wait((self._encoded,))
        self._file.close()
        self._path.unlink(missing_ok=True)

    def add(self, piece: Piece) -> None:
        """Take the rows of a piece."""
        self.ticks += piece.ticks.num_rows
        self._waiting.append(piece.ticks)
        self._waiting_rows += piece.ticks.num_rows
        self._small["market_status"].append(piece.market_status)
        self._small["rejected"].append(piece.rejected)
        # Larger pieces come when there is much to catch up with; larger row groups are then a quarter cheaper.
        if self._waiting_rows >= parquet.PART_ROWS * (1 if len(self._waiting) >= _GROUP_PIECES else _GROUP_PIECES):
            self._write()

    def small_tables(self) -> Tables:
        """The rows of the small tables that messages brought."""
        return {
            name: pa.concat_tables([schema.SMALL_TABLES[name].empty_table(), *tables])
            for name, tables in self._small.items()
        }

    def publish(self, footer: Footer, small: Tables, *, empty: bool = False) -> Part:
        """Publish the small tables, `empty` ones only if asked, then the ticks, which makes the range count."""
        self._write()
        self._finish_encoding()
        self._file.close(footer.to_metadata())
        for name, table in small.items():
            if table.num_rows or empty:
                publish(self._target(name, footer), partial(parquet.write_small, table))
        target = self._target("ticks", footer)
        publish(target, partial(os.replace, self._path))
        return Part(target, footer.first, footer.last)

    def _target(self, table: str, footer: Footer) -> Path:
        return self._store.part_path(table, self._date, footer.first, footer.last)

    def _write(self) -> None:
        if self._waiting:
            self._finish_encoding()
            rows, self._waiting, self._waiting_rows = pa.concat_tables(self._waiting), [], 0
            if self._encoder is None:
                self._file.write(rows)
            else:
                self._encoded = self._encoder.submit(self._file.write, rows)

    def _finish_encoding(self) -> None:
        """Wait for the row group that is being written: only one may be in memory. Raises what went wrong."""
        if self._encoded is not None:
            self._encoded.result()
            self._encoded = None
