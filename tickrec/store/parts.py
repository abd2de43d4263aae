"""Parts: from the journal to Parquet, and to tables for what no part covers yet.

Owns the one path by which entries become rows: while recording, catching up, after a restart, when rebuilding and for
a query. It always starts where the published files end and reads the journal, never memory, so what waits to be
written costs no memory however far behind the writer is. Knows the tree of files from `paths`, and what a payload
means from `upstox.decode`.
"""

import datetime as dt
import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, count, repeat
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tickrec import schema
from tickrec.journal import Journal
from tickrec.journal.entry import Entry, EntryKind
from tickrec.journal.history import History, Tables
from tickrec.store import parquet
from tickrec.store.coverage import (
    Coverage,
    Footer,
    Part,
    SmallRows,
    coverage,
    damaged_path,
    leftovers,
    read_footer,
    sealed_tables,
)
from tickrec.store.draft import Draft, Piece
from tickrec.store.parquet import UnreadableFile
from tickrec.store.paths import Store
from tickrec.upstox.decode.peek import served
from tickrec.upstox.decode.tables import PIECE, decode

log = logging.getLogger("tickrec")

PART_TICKS: Final = 230_000
"""Ticks after which a part ends and another begins. With the piece that it ends with, it stays within two of DuckDB's
row groups of 122,880: a part of a little more is appended to the day file at one and a half times the price."""
_BEHIND_PIECE: Final = 3072 * 1024
"""Payload bytes decoded at a time when there is much to catch up with: half as fast again, and the event loop waits up
to 16 ms instead of 8."""
_SMALL_PIECES: Final = 32
"""Pieces of a flush that are decoded the gentle way; a minute of 900 ticks a second is fewer."""
_READER_PIECE: Final = 4 * 1024 * 1024
"""Payload bytes decoded at a time where nothing else runs in the process."""
_PIECE_MESSAGES: Final = 4_000
_CARRIED_ENTRIES: Final = 100_000
"""Entries without ticks after which a part is published all the same, so that they are not read again and again."""


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a flush published: the last part (None: nothing), the range of seq, rows, and bytes of `ticks`."""

    path: Path | None
    first: int
    last: int
    ticks: int = 0
    rejected: int = 0
    bytes: int = 0


class _Reader:
    """The entries of a date that its Parquet files do not cover, as rows, and the history they make."""

    def __init__(self, store: Store, covered: Coverage, last_seq: int | None = None) -> None:
        self.history = History.from_text(covered.history)
        self.last_seq = covered.next_seq - 1
        """The last entry of the pieces taken so far."""
        self.position = covered.position
        self._journal = Journal(store.journal(covered.date))
        self._entries = self._journal.positioned(covered.next_seq, start=covered.position, last_seq=last_seq)

    def pieces(self, sizes: Iterator[int]) -> Iterator[Piece]:
        """Rows of some messages at a time, of about so many bytes as `sizes` says for each piece.

        A piece ends before every entry that is no message: a subscription changes the symbols of what follows.
        """
        messages: list[Entry] = []
        limit, size = next(sizes), 0
        for entry, position in self._entries:
            if entry.kind is not EntryKind.MESSAGE:
                if messages:
                    yield self._piece(messages)
                    messages, size = [], 0
                self.history.feed(entry)
            else:
                messages.append(entry)
                size += len(entry.payload)
            self.last_seq, self.position = entry.seq, position
            if size >= limit or len(messages) >= _PIECE_MESSAGES:
                yield self._piece(messages)
                messages, limit, size = [], next(sizes), 0
        if messages:
            yield self._piece(messages)

    def skip_lost(self, last_seq: int) -> None:
        """After the pieces: what is lacking up to `last_seq` is lost, and a gap until the next entry there is."""
        after = next(self._journal.entries(last_seq + 1), None)
        if after is not None:
            self.history.skip(after._replace(seq=last_seq + 1))

    def _piece(self, messages: Sequence[Entry]) -> Piece:
        decoded = decode(messages, self.history.symbols, piece=_READER_PIECE)
        data = set(pc.unique(decoded.ticks["seq"]).to_pylist())
        answers = _answers(decoded.ticks, self.history.silent())
        for entry in messages:
            self.history.feed(entry, entry.seq in data, answers.get(entry.seq, ()))
        return Piece(decoded.ticks, decoded.market_status, decoded.rejected)


def _answers(ticks: pa.Table, silent: set[str]) -> Mapping[int, list[str]]:
    """Of the keys that have not answered yet, those that each message says something about."""
    answers: dict[int, list[str]] = defaultdict(list)
    if silent and ticks.num_rows:
        named = ticks.filter(pc.is_in(ticks["instrument_key"], pa.array(silent, pa.string())))
        if named.num_rows:
            said = named.filter(served(named))
            for seq, key in zip(said["seq"].to_pylist(), said["instrument_key"].to_pylist(), strict=True):
                answers[seq].append(key)
    return answers


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
        self._behind = False
        """Whether the last flush left something for another part."""
        self._damaged: set[Path] = set()
        self._covered = self._mended_coverage()
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="encode")

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
        sizes = chain(repeat(PIECE, 0 if self._behind else _SMALL_PIECES), repeat(_BEHIND_PIECE))
        for _ in count() if most is None else range(most):
            nothing_due = self._covered.awaited is None and self.next_seq > last_seq
            if nothing_due or (part := self._part(last_seq, sizes, final)) is None:
                break
            rows = {"ticks": done.ticks + part.ticks, "rejected": done.rejected + part.rejected}
            done = replace(done, path=part.path, last=self.next_seq - 1, bytes=done.bytes + part.bytes, **rows)
        self._behind = self.next_seq <= last_seq
        pa.default_memory_pool().release_unused()
        return done

    def _part(self, last_seq: int, sizes: Iterator[int], final: bool) -> Flushed | None:
        awaited = self._covered.awaited
        reader = _Reader(self._store, self._covered, last_seq if awaited is None else awaited)
        # When behind, a row group is encoded, which needs no lock, while the next is decoded; that costs 40 MB.
        encoder = self._encoder if self._behind else None
        with Draft(self._store, self._date, self.next_seq, encoder) as draft:
            for piece in reader.pieces(sizes):
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
            footer = Footer(
                self.next_seq,
                last,
                reader.history.to_text(),
                reader.position,
                small_rows=_count_small_rows(self._covered.small_rows, self.next_seq, small),
            )
            part = draft.publish(footer, small, empty=awaited is not None)
        self._covered = self._with(part, footer) if awaited is None else self._mended_coverage()
        size = part.path.stat().st_size
        return Flushed(part.path, part.first, part.last, draft.ticks, small["rejected"].num_rows, size)

    def _with(self, part: Part, footer: Footer) -> Coverage:
        """What is covered with one part more."""
        parts, rows = (*self._covered.parts, part), footer.small_rows
        return replace(self._covered, parts=parts, position=footer.position, history=footer.history, small_rows=rows)

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


def set_aside(unreadable: UnreadableFile) -> None:
    """Take a file out of what is covered, so that the next flush writes its rows again. Raises OSError."""
    target = damaged_path(unreadable.path)
    log.warning("%s; set aside as %s, its rows are read from the journal again", unreadable.what, target)
    os.replace(unreadable.path, target)


def require_small_tables(store: Store, covered: Coverage) -> None:
    """Raise UnreadableFile for a file of ticks whose rows of the small tables cannot all be read; OSError."""
    named = {table: {path.name: path for path in paths} for table, paths in covered.small_parts.items()}
    for part in covered.parts:
        counts = read_footer(part.path).small_rows  # a later part may remember what this one was before it was mended
        for table, paths in named.items():
            if part.path.name in paths:
                _require_rows(part.path, table, paths[part.path.name], counts.get(table, {}).get(part.first))
    if covered.sealed is not None:
        for table, path in sealed_tables(store, covered.date).items():
            _require_rows(covered.sealed, table, path)


def _require_rows(ticks: Path, table: str, path: Path, rows: int | None = None) -> None:
    try:
        parquet.require_whole(path)
        found = parquet.read(path, schema.SMALL_TABLES[table]).num_rows
    except FileNotFoundError as error:
        raise UnreadableFile(ticks, f"its rows of {table} are gone") from error
    except UnreadableFile as error:
        raise UnreadableFile(ticks, f"its rows of {table} are damaged: {error.why}") from error
    if rows not in (None, found):
        raise UnreadableFile(ticks, f"{found} of its {rows} rows of {table} are there")


def tail_pieces(store: Store, covered: Coverage) -> Iterator[Tables]:
    """The rows of the entries that `covered` leaves to the journal, some messages' at a time; the tables that the
    history makes come last.

    Raises DataError, OSError.
    """
    return _tables(_Reader(store, covered))


def _tables(reader: _Reader) -> Iterator[Tables]:
    for piece in reader.pieces(repeat(_READER_PIECE)):
        yield {"ticks": piece.ticks, "market_status": piece.market_status, "rejected": piece.rejected}
    settled, unsettled = reader.history.take(), reader.history.open_rows()
    yield {name: pa.concat_tables([settled[name], unsettled[name]]) for name in settled}


def stored_rows(store: Store, covered: Coverage, table: str) -> list[dict[str, Any]]:
    """The rows of a small table in the files of a date; times are datetimes in UTC. Raises OSError, DataError."""
    sealed = [store.sealed_path(table, covered.date)] if covered.sealed else []
    paths = [*sealed, *covered.small_parts.get(table, ())]
    return [row for path in paths if path.exists() for row in parquet.read(path, schema.TABLES[table]).to_pylist()]


def small_tables(store: Store, covered: Coverage) -> Tables:
    """The rows of the small tables of everything covered, as if nothing followed, in an order of their own.

    Raises OSError, UnreadableFile.
    """
    last = History.from_text(covered.history).last_rows()
    sealed = {} if covered.sealed is None else sealed_tables(store, covered.date)
    tables = {}
    for name, fields in schema.SMALL_TABLES.items():
        found = [parquet.read(path, fields) for path in covered.small_parts.get(name, ())]
        if name in sealed:
            before = parquet.read(sealed[name], fields)
            # Rows without a seq were open and are settled since; a file published just before a crash has more.
            found.insert(0, before.filter(pc.field("seq") <= covered.sealed_last))
        if name in last:
            found.append(last[name])
        rows = pa.concat_tables([fields.empty_table(), *found])
        tables[name] = rows.sort_by([(column.name, "ascending") for column in fields]).combine_chunks()
    return tables
