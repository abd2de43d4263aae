"""Parts: the Parquet files that a date has while it is recorded: how one is written and published.

Owns which entries a part is to cover, the unfinished file (a draft), and in which order the files of a part are
published. How entries become rows is in `rows`.
"""

import datetime as dt
import logging
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, Self

import pyarrow as pa

from tickrec import schema
from tickrec.files import make_folder, publish
from tickrec.journal.history import Tables
from tickrec.store import parquet
from tickrec.store.coverage import (
    Coverage,
    Footer,
    Part,
    Range,
    SmallRows,
    coverage,
    damaged_path,
    leftovers,
)
from tickrec.store.parquet import UnreadableFile
from tickrec.store.paths import Store
from tickrec.store.rows import RowReader, require_small_tables
from tickrec.store.sorted_runs import Runs
from tickrec.upstox.decode.tables import Decoded

log = logging.getLogger("tickrec")

PART_TICKS: Final = 230_000
"""Ticks after which a part ends and another begins. With the piece that it ends with, it stays within two of DuckDB's
row groups of 122,880: a part of a little more is appended to the day file at one and a half times the price."""
_CARRIED_ENTRIES: Final = 100_000
"""Entries without ticks after which a part is published all the same, so that they are not read again and again."""


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a flush published: the last part (None: nothing), the range of seq, and rows of `ticks` and `rejected`."""

    path: Path | None
    first: int
    last: int
    ticks: int = 0
    rejected: int = 0


class Draft:
    """A part of `ticks` that is being written, and the rows of the small tables that go with it."""

    def __init__(self, store: Store, date: dt.date, first: int) -> None:
        self.ticks = 0
        self._store = store
        self._date = date
        self._path = store.draft_path(date, first)
        make_folder(self._path.parent)
        self._file = parquet.part_file(self._path)
        self._runs = Runs(self._path.parent, parquet.PART_ROWS)
        self._small: dict[str, list[pa.Table]] = {"market_status": [], "rejected": []}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runs.close()
        self._file.close()
        self._path.unlink(missing_ok=True)

    def add(self, piece: Decoded) -> None:
        """Take the rows of a piece."""
        self.ticks += piece.ticks.num_rows
        self._runs.add(piece.ticks)
        self._small["market_status"].append(piece.market_status)
        self._small["rejected"].append(piece.rejected)

    def small_tables(self) -> Tables:
        """The rows of the small tables that messages brought."""
        return {
            name: pa.concat_tables([schema.SMALL_TABLES[name].empty_table(), *tables])
            for name, tables in self._small.items()
        }

    def counts(self) -> dict[str, int]:
        """The ticks of each instrument, in order."""
        return self._runs.counts()

    def publish(self, footer: Footer, small: Tables, *, empty: bool = False) -> Part:
        """Publish the small tables, `empty` ones only if asked, then the ticks, which makes the range count.

        After `counts`, which are in the footer.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="encode") as encoder:  # beside the merging
            encoding: Future[None] | None = None
            for group in self._runs.groups():
                if encoding is not None:
                    encoding.result()
                encoding = encoder.submit(self._file.write, group)
            if encoding is not None:
                encoding.result()
        self._file.close(footer.to_metadata())
        for name, table in small.items():
            if table.num_rows or empty:
                publish(self._target(name, footer), partial(parquet.write_small, table))
        target = self._target("ticks", footer)
        publish(target, partial(os.replace, self._path))
        return Part(target, footer.first, footer.last)

    def _target(self, table: str, footer: Footer) -> Path:
        return self._store.part_path(table, self._date, footer.first, footer.last)


class PartWriter:
    """Writes the parts of one date. For the process that holds the date's lock, from one thread at a time."""

    def __init__(
        self, store: Store, date: dt.date, *, part_ticks: int = PART_TICKS, carried: int = _CARRIED_ENTRIES
    ) -> None:
        """Find out what is covered. A damaged file is set aside, what it held is written again. Raises OSError."""
        self._store = store
        self._date = date
        self._part_ticks = part_ticks
        self._carried = carried
        self._damaged: set[Path] = set()
        self._covered = self._mended_coverage()

    @property
    def next_seq(self) -> int:
        """The first seq that no Parquet file covers."""
        return self._covered.next_seq

    def flush(self, last_seq: int, *, final: bool = False, most: int | None = None) -> Flushed:
        """Publish parts for the entries up to `last_seq`, which must be durable in the journal; at most so many.

        What other parts wait for comes first, whatever `last_seq` is, and gets the very range that is lacking: so those
        stay, which may hold what the journal has lost.

        Without ticks nothing is published, and the entries wait for the next flush, unless it is the `final` one or
        they have become many. Holds the interpreter's lock for some milliseconds at a time only. If it raises
        (OSError, pyarrow.ArrowException, DataError), what was published stays, and the next flush goes on from there.
        """
        for path in leftovers(self._store, self._covered):
            path.unlink(missing_ok=True)
        done = Flushed(None, self.next_seq, self.next_seq - 1)
        for _ in count() if most is None else range(most):
            nothing_due = self._covered.awaited is None and self.next_seq > last_seq
            if nothing_due or (part := self._part(last_seq, final)) is None:
                break
            rows = {"ticks": done.ticks + part.ticks, "rejected": done.rejected + part.rejected}
            done = replace(done, path=part.path, last=self.next_seq - 1, **rows)
        pa.default_memory_pool().release_unused()
        return done

    def _part(self, last_seq: int, final: bool) -> Flushed | None:
        awaited = self._covered.awaited
        reader = RowReader(self._store, self._covered, last_seq if awaited is None else awaited)
        with Draft(self._store, self._date, self.next_seq) as draft:
            for piece in reader.pieces():
                draft.add(piece)
                if draft.ticks >= self._part_ticks:
                    last = reader.last_seq
                    break
            else:
                last = reader.last_seq
                if awaited is not None and last < awaited:  # nobody has the rest: the part covers it all the same
                    reader.skip_lost(awaited)
                    last = awaited
            entries = last - self.next_seq + 1
            if not entries or not (draft.ticks or final or awaited or entries >= self._carried):
                return None
            small = draft.small_tables() | reader.history.take()
            counts = draft.counts()
            footer = Footer(
                self.next_seq,
                last,
                reader.history.to_text(),
                reader.position,
                small_rows=_count_small_rows(self._covered.small_rows, self.next_seq, small),
                counts=counts,
                quiet=_quiet(self._covered.last_in, counts),
            )
            part = draft.publish(footer, small, empty=awaited is not None)
        self._covered = self._with(part, footer) if awaited is None else self._mended_coverage()
        return Flushed(part.path, part.first, part.last, draft.ticks, small["rejected"].num_rows)

    def _with(self, part: Part, footer: Footer) -> Coverage:
        """What is covered with one part more."""
        return replace(
            self._covered,
            parts=(*self._covered.parts, part),
            position=footer.position,
            history=footer.history,
            small_rows=footer.small_rows,
            last_in=footer.last_in,
        )

    def _mended_coverage(self) -> Coverage:
        """What is covered, when files are out of the way that cannot be read, or whose rows of a small table cannot.

        Raises UnreadableFile when there is no journal to write them again from, or when that was no help; OSError.
        """
        while True:
            try:
                covered = coverage(self._store, self._date)
                require_small_tables(self._store, covered)
                return covered
            except UnreadableFile as error:
                if error.path in self._damaged or not self._store.journal_files(self._date):
                    raise
                self._damaged.add(error.path)
                set_aside(error)


def _count_small_rows(before: SmallRows, first: int, small: Tables) -> SmallRows:
    """What a footer says of the small tables, with those that belong to the part from `first` on."""
    new = {name: {first: table.num_rows} for name, table in small.items() if table.num_rows}
    return {name: {**before.get(name, {}), **new.get(name, {})} for name in before.keys() | new.keys()}


def _quiet(before: Mapping[str, Range] | None, counts: Mapping[str, int]) -> dict[Range, list[str]] | None:
    """What a footer says of the instruments that have no tick in the part, and have some in parts before it."""
    if before is None:
        return None
    quiet: dict[Range, list[str]] = {}
    for key, part in before.items():
        if key not in counts:
            quiet.setdefault(part, []).append(key)
    return quiet


def set_aside(unreadable: UnreadableFile) -> None:
    """Take a file out of what is covered, so that the next flush writes its rows again. Raises OSError."""
    target = damaged_path(unreadable.path)
    log.warning("%s; set aside as %s, its rows are read from the journal again", unreadable.what, target)
    os.replace(unreadable.path, target)
