"""Rows: how journal entries become the rows of a date.

Owns the one path by which they do: while recording, catching up, after a restart, when rebuilding and for a query. It
begins where the published files end and reads the journal, never memory, so what waits to be written costs no memory
however far behind the writer is. Also the rows of the small tables that are stored already, and whether all are there.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tickrec import schema
from tickrec.files import lock_holder
from tickrec.journal import Journal
from tickrec.journal.entry import Entry, EntryKind
from tickrec.journal.history import History, Tables
from tickrec.store import parquet
from tickrec.store.coverage import Coverage, read_footer, sealed_tables
from tickrec.store.parquet import UnreadableFile
from tickrec.store.paths import SEALING, Store
from tickrec.upstox.decode.tables import Decoded, decode, served

_PIECE_BYTES: Final = 3072 * 1024
"""Payload bytes decoded at a time, some 9,000 ticks; more are no faster."""
_PIECE_ENTRIES: Final = 4_000


class RowReader:
    """The entries of a date that its Parquet files do not cover, as rows, and the history they make."""

    def __init__(self, store: Store, covered: Coverage, last_seq: int | None = None) -> None:
        self.date = covered.date
        self.history = History.from_text(covered.history)
        self.last_seq = covered.next_seq - 1
        """The last entry of the pieces taken so far."""
        self.position = covered.position
        self._journal = Journal(store.journal(covered.date))
        self._entries = self._journal.positioned(covered.next_seq, start=covered.position, last_seq=last_seq)

    def pieces(self) -> Iterator[Decoded]:
        """Rows of some messages at a time.

        A piece ends before every subscription, which changes the symbols of what follows, and who has to answer.
        """
        entries: list[Entry] = []
        size = 0
        for entry, position in self._entries:
            if entry.kind is EntryKind.SUBSCRIBED:
                yield from self._piece(entries)
                entries, size = [], 0
                self.history.feed(entry)
            else:
                entries.append(entry)
                size += len(entry.payload)
            self.last_seq, self.position = entry.seq, position
            if size >= _PIECE_BYTES or len(entries) >= _PIECE_ENTRIES:
                yield from self._piece(entries)
                entries, size = [], 0
        yield from self._piece(entries)

    def skip_lost(self, last_seq: int) -> None:
        """After the pieces: what is lacking up to `last_seq` is lost, and a gap until the next entry there is."""
        after = next(self._journal.entries(last_seq + 1), None)
        if after is not None:
            self.history.skip(after._replace(seq=last_seq + 1))

    def _piece(self, entries: Sequence[Entry]) -> Iterator[Decoded]:
        """The rows of the messages among entries that go on from the history; none where there is no message."""
        messages = [entry for entry in entries if entry.kind is EntryKind.MESSAGE]
        if not messages:
            for entry in entries:
                self.history.feed(entry)
            return
        decoded = decode(messages, self.history.symbols)
        data = set(pc.unique(decoded.ticks["seq"]).to_pylist())
        answers = _answers(decoded.ticks, self.history.silent())
        for entry in entries:
            self.history.feed(entry, entry.seq in data, answers.get(entry.seq, ()))
        yield decoded


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


def tail_pieces(store: Store, covered: Coverage) -> Iterator[Tables]:
    """The rows of the entries that `covered` leaves to the journal, some messages' at a time; the tables that the
    history makes come last.

    What is not settled is open while somebody records the date; else it is as sealing would settle it. Raises
    DataError, OSError.
    """
    reader = RowReader(store, covered)
    for piece in reader.pieces():
        yield {"ticks": piece.ticks, "market_status": piece.market_status, "rejected": piece.rejected}
    history = reader.history
    settled = history.take()
    unsettled = history.open_rows() if _is_recorded(store, reader.date) else history.last_rows()
    yield {name: pa.concat_tables([settled[name], unsettled[name]]) for name in settled}


def _is_recorded(store: Store, date: dt.date) -> bool:
    """Whether somebody records the date now."""
    try:
        holder = lock_holder(store.day_lock(date))
    except PermissionError:  # another user's, as the recorder's is
        return True
    return holder is not None and SEALING not in holder


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
