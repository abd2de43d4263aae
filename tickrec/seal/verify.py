"""Verify: what is stored of a date, held against its journal, its manifest and itself.

Owns the comparison, which sealing makes before anything is removed and `verify` makes again whenever it is asked.
Changes nothing, takes no lock.
"""

import contextlib
import datetime as dt
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from duckdb import DuckDBPyConnection

from tickrec import schema
from tickrec.clock import from_datetime, ist
from tickrec.errors import AlreadyRecording, DataError
from tickrec.files import lock_holder
from tickrec.formatting import plural
from tickrec.journal import Journal
from tickrec.journal.entry import EntryKind
from tickrec.journal.history import History
from tickrec.market.instruments import downloaded_ns
from tickrec.seal.counts import Difference, JournalCount, TickCount, differing, differing_keys
from tickrec.status.totals import Totals
from tickrec.store import day_contents, parquet
from tickrec.store.coverage import Coverage, Part, coverage, read_footer, sealed_tables
from tickrec.store.manifest import FileFacts, Manifest, load, plain
from tickrec.store.parquet import UnreadableFile
from tickrec.store.paths import SEALING, Store
from tickrec.store.rows import require_small_tables, stored_rows
from tickrec.upstox.decode.peek import count_feeds

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the whole that is done, 0 to 1."""

_NAMED: Final = 5
"""Ranges of entries named in one line of a report."""
_ATTEMPTS: Final = 3
"""Readings of a date that is sealed meanwhile, or of a day file that is being written, before giving up."""
_PAUSE_SECONDS: Final = 1.0
"""Appending to a day file takes less."""


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` found. No differences: everything agrees."""

    date: dt.date
    sealed: bool
    journal: bool
    """Whether there is a journal to hold the files against."""
    entries: int
    ticks: int
    differences: tuple[str, ...]
    unflushed: int = 0
    """Ticks that only the journal has yet: the next recording, or sealing, takes them."""
    skipped: tuple[str, ...] = ()
    """What was not compared, and why; that is no difference."""
    totals: Totals | None = None
    """From when to when, and the gaps, of the very rows that were read; None when those cannot be read."""

    def to_json(self) -> dict[str, object]:
        """As JSON values."""
        return {
            "date": str(self.date),
            "ok": not self.differences,
            "sealed": self.sealed,
            "journal": self.journal,
            "entries": self.entries,
            "ticks": self.ticks,
            "unflushed": self.unflushed,
            "differences": list(self.differences),
            "skipped": list(self.skipped),
        }


def verify(store: Store, date: dt.date, progress: Progress | None = None) -> Report:
    """Read everything stored of a date again and say what does not agree.

    A date that is not sealed is held against its journal as far as its parts went when it was asked. Raises DataError
    when nothing is stored of the date, when a file cannot be read at all, or when it is being sealed; OSError.
    """
    tell = progress or (lambda _what, _share: None)
    for _ in range(_ATTEMPTS):
        covered, manifest = coverage(store, date), load(store, date)
        try:
            report = _verify(store, covered, manifest, tell)
        except FileNotFoundError:
            continue  # sealing removed a part, or compressed the journal
        if report.differences and _being_sealed(store, date):
            break
        if _stands(covered, coverage(store, date)) and manifest == load(store, date):
            tell("done", 1.0)
            return report
    raise DataError(f"{date} changed while it was read", hint="It is being sealed: ask again")


def _being_sealed(store: Store, date: dt.date) -> bool:
    holder = lock_holder(store.day_lock(date)) or {}
    return SEALING in holder


def _stands(covered: Coverage, now: Coverage) -> bool:
    """Whether what was covered is still there, more parts or not."""
    sealed = (covered.sealed, covered.sealed_last) == (now.sealed, now.sealed_last)
    return sealed and now.parts[: len(covered.parts)] == covered.parts


def _verify(store: Store, covered: Coverage, manifest: Manifest | None, tell: Progress) -> Report:
    date = covered.date
    if not covered.parts and covered.sealed is None and not store.journal_files(date):
        raise DataError(f"nothing is stored of {date}", where=str(store.root))
    tell("reading the journal", 0.0)
    journal, differences = _read_journal(store, covered)
    tell("reading Parquet", 0.5)
    ticks, unreadable = _read_parquet(store, covered, manifest, journal.lost(covered.next_seq - 1) if journal else [])
    differences += [*unreadable, *_against_instruments(store.instruments_path(date), store, manifest)]
    if journal is not None:
        if not unreadable:
            differences += differing(journal, ticks, "Parquet")
        if journal.last_seq < covered.next_seq - 1:
            what = f"entries {journal.last_seq + 1} to {covered.next_seq - 1} are gone"
            differences.append(Difference("journal", what))
    differences += _against_seal(store, manifest, covered, ticks, journal)
    tell("reading DuckDB", 0.8)
    # Against a file that something is wrong with nothing can be held.
    wrong = {difference.place for difference in differences}
    whole = [table for table in schema.TABLES if _name(store, store.sealed_path(table, date)) not in wrong]
    duckdb, skipped = _against_duckdb(store, covered, ticks, whole) if not unreadable else ([], [])
    unflushed, damage = _unflushed(store, covered)
    found = (*differences, *(each for each in damage if each not in differences), *duckdb)
    return Report(
        date,
        store.settled(date),
        journal is not None,
        covered.next_seq - 1,
        ticks.rows,
        tuple(map(str, found)),
        unflushed,
        tuple(map(str, skipped)),
        _totals(store, covered, ticks.rows, journal.last_ns if journal else 0),
    )


def _name(store: Store, path: Path) -> str:
    """How a file of the store is named in a report."""
    return path.relative_to(store.root).as_posix()


def _totals(store: Store, covered: Coverage, ticks: int, last_ns: int) -> Totals | None:
    """From when to when there is data in the files that `covered` names, and the gaps between.

    `last_ns` is the wall time of the last message: a connection that is open lasts until then.
    """
    try:
        rows = {table: stored_rows(store, covered, table) for table in ("connections", "gaps")}
    except UnreadableFile:
        return None
    if covered.parts:  # what was open when the date was sealed goes on
        open_rows = History.from_text(covered.history).open_rows()
        for table, found in rows.items():
            found[:] = [*(row for row in found if row["seq"] is not None), *open_rows[table].to_pylist()]
    return Totals.of(ticks, rows["connections"], rows["gaps"], ist(last_ns) if last_ns else None)


def _unflushed(store: Store, covered: Coverage) -> tuple[int, list[Difference]]:
    """Ticks of the entries that no Parquet file covers, and the damage found there."""
    journal = Journal(store.journal(covered.date))
    entries = journal.entries(covered.next_seq, start=covered.position)
    ticks = sum(count_feeds(entry.payload) for entry in entries if entry.kind is EntryKind.MESSAGE)
    return ticks, [Difference("journal", str(damage)) for damage in journal.damage]


def _read_journal(store: Store, covered: Coverage) -> tuple[JournalCount | None, list[Difference]]:
    """The entries that the files cover, counted, and the damage found; no count without a journal."""
    if not store.journal_files(covered.date):
        return None, []
    journal = Journal(store.journal(covered.date))
    try:
        count = JournalCount.of(journal.entries(last_seq=covered.next_seq - 1), _rejected(store, covered))
    except DataError as error:
        return None, [Difference("journal", error.brief)]
    return count, [Difference("journal", str(damage)) for damage in journal.damage]


def _rejected(store: Store, covered: Coverage) -> set[int]:
    """The messages that the files call rejected; none when that cannot be read, which is for others to tell."""
    sealed = [store.sealed_path("rejected", covered.date)] if covered.sealed else []
    found: set[int] = set()
    for path in [*sealed, *covered.small_parts.get("rejected", ())]:
        with contextlib.suppress(UnreadableFile, FileNotFoundError):
            found.update(parquet.read(path, schema.REJECTED)["seq"].to_pylist())
    return found


def _against_instruments(path: Path, store: Store, manifest: Manifest | None) -> Iterator[Difference]:
    """What is wrong with the broker's list of the date, which no journal has; older manifests say nothing of it."""
    name = _name(store, path)
    facts = manifest.files.get(name) if manifest else None
    try:
        parquet.read(path, schema.INSTRUMENTS)
        if manifest and facts and not _renewed(path, manifest):
            yield from _against_facts(path, name, facts)
    except FileNotFoundError:
        if facts:
            yield Difference(name, "is gone")
    except UnreadableFile as error:
        yield Difference("instruments", f"cannot be read: {error.why}")


def _renewed(path: Path, manifest: Manifest) -> bool:
    """Whether the broker's list was downloaded again after the date was sealed."""
    try:
        return downloaded_ns(path) >= from_datetime(dt.datetime.fromisoformat(manifest.sealed_at))
    except (ValueError, TypeError):
        return False


def _read_parquet(
    store: Store, covered: Coverage, manifest: Manifest | None, lost: Sequence[tuple[int, int]]
) -> tuple[TickCount, list[Difference]]:
    """What the files of ticks hold, and which files cannot be read.

    What the manifest has a hash of is only counted here; anything else is read whole.
    """
    parts = [part.path for part in covered.parts]
    sealed = [covered.sealed] if covered.sealed else []
    try:
        for path in parts:
            parquet.require_whole(path)
            read_footer(path)
        count = TickCount.of([*sealed, *parts], lost, whole=manifest is None or bool(parts))
        if parts:
            require_small_tables(store, covered)
    except UnreadableFile as error:
        return TickCount(), [Difference(_name(store, error.path), f"cannot be read: {error.why}")]
    if sealed and not parts and not count.in_order:
        return count, [Difference("Parquet", "not sorted by (instrument_key, seq)")]
    return count, []


def _against_seal(
    store: Store, manifest: Manifest | None, covered: Coverage, ticks: TickCount, journal: JournalCount | None
) -> Iterator[Difference]:
    """In what the files are not those that were sealed, or not all of them are there."""
    if covered.awaited is not None:
        first, last, parts = covered.next_seq, covered.awaited, plural(len(covered.waiting), "part")
        yield Difference("Parquet", f"no file has entries {first} to {last}, {parts} after them must wait")
    if covered.sealed is None:
        if manifest is not None:
            yield Difference(_name(store, store.sealed_path("ticks", covered.date)), "is gone")
    elif manifest is None:
        yield Difference("manifest", "is gone")
        yield from _unread(store, covered)
    else:
        yield from _against_manifest(store, manifest, covered, ticks, journal)


def _unread(store: Store, covered: Coverage) -> Iterator[Difference]:
    """The files of small tables that are gone or damaged, when there is no manifest that would tell."""
    for table, path in sealed_tables(store, covered.date).items():
        try:
            parquet.read(path, schema.SMALL_TABLES[table])
        except FileNotFoundError:
            yield Difference(_name(store, path), "is gone")
        except UnreadableFile as error:
            yield Difference(_name(store, path), f"cannot be read: {error.why}")


def _against_manifest(
    store: Store, manifest: Manifest, covered: Coverage, ticks: TickCount, journal: JournalCount | None
) -> Iterator[Difference]:
    if manifest.last_seq != covered.sealed_last:
        what = f"covers entries up to {manifest.last_seq}, ticks.parquet up to {covered.sealed_last}"
        yield Difference("manifest", what)
        return
    yield from (Difference("manifest", what) for what in _wrong_names(store, manifest, covered))
    for name, facts in manifest.files.items():
        appended = covered.parts and name.startswith("duckdb/")
        if not appended and store.root / name != store.instruments_path(covered.date):
            yield from _against_facts(store.root / name, name, facts)
    yield from (Difference("manifest", what) for what in _wrong_rows(store, manifest, covered))
    if covered.parts:
        return
    if manifest.rows.get("ticks") != ticks.rows:
        yield Difference("manifest", f"{manifest.rows.get('ticks')} ticks, Parquet has {ticks.rows}")
    yield from differing_keys(manifest.instruments, ticks.by_key, "Parquet")
    if journal is not None:
        yield from (Difference("journal", what) for what in _wrong_journal(manifest, journal))


def _wrong_names(store: Store, manifest: Manifest, covered: Coverage) -> Iterator[str]:
    """What a manifest says of another date, version or set of files."""
    assert covered.sealed is not None
    if manifest.date != str(covered.date):
        yield f"is of {manifest.date}"
    if manifest.first_seq != 1:
        yield f"begins with entry {manifest.first_seq}, not 1"
    version = read_footer(covered.sealed).schema_version
    if manifest.schema_version != version:
        yield f"schema version {manifest.schema_version}, ticks.parquet has {version}"
    for table in ("ticks", *sealed_tables(store, covered.date)):
        if _name(store, store.sealed_path(table, covered.date)) not in manifest.files:
            yield f"says nothing of {table}"


def _wrong_rows(store: Store, manifest: Manifest, covered: Coverage) -> Iterator[str]:
    """The rows of the small tables. A file that cannot be read is no longer the one that was sealed anyway."""
    for table, fields in schema.SMALL_TABLES.items():
        with contextlib.suppress(UnreadableFile, FileNotFoundError):
            rows = parquet.read(store.sealed_path(table, covered.date), fields)
            if manifest.rows.get(table) != rows.num_rows:
                yield f"{manifest.rows.get(table)} rows of {table}, Parquet has {rows.num_rows}"
            if table == "gaps" and list(manifest.gaps) != plain(rows):
                yield "the gaps are not those of Parquet"
    strange = sorted(manifest.rows.keys() - {"ticks", *schema.SMALL_TABLES})
    if strange:
        yield f"counts rows of {', '.join(strange)}"


def _wrong_journal(manifest: Manifest, journal: JournalCount) -> Iterator[str]:
    """In what the journal is not the one that was sealed."""
    if journal.messages != manifest.messages:
        yield f"{journal.messages} messages, {manifest.messages} were sealed"
    if journal.bytes != manifest.message_bytes:
        yield f"{journal.bytes} bytes of messages, {manifest.message_bytes} were sealed"
    lost = [list(each) for each in journal.lost(manifest.last_seq)]
    if lost != [list(each) for each in manifest.missing]:
        yield f"{_ranges(lost)} missing, when it was sealed {_ranges(manifest.missing)}"


def _ranges(ranges: Sequence[Sequence[int]]) -> str:
    named = ", ".join(f"{first} to {last}" for first, last in ranges[:_NAMED])
    more = f" and {len(ranges) - _NAMED} more ranges" if len(ranges) > _NAMED else ""
    return f"entries {named}{more} were" if ranges else "no entry was"


def _against_facts(path: Path, name: str, facts: FileFacts) -> Iterator[Difference]:
    try:
        if FileFacts.of(path) != facts:
            yield Difference(name, "not the file that was sealed")
    except FileNotFoundError:
        yield Difference(name, "is gone")


def _against_duckdb(
    store: Store, covered: Coverage, ticks: TickCount, whole: Collection[str]
) -> tuple[list[Difference], list[Difference]]:
    """In what the day file differs from Parquet, as far as that is `whole`, and why it was not compared."""
    path = store.duckdb_path(covered.date)
    name = _name(store, path)
    if not path.exists():
        return [], []  # the manifest says whether there should be one
    pause = threading.Event()
    for _ in range(_ATTEMPTS):
        try:
            with day_contents.opened(path) as day:
                return [Difference(name, what) for what in _wrong_tables(day, store, covered, ticks, whole)], []
        except AlreadyRecording as error:
            open_elsewhere = error.what
            if lock_holder(store.duckdb_lock(covered.date)) is not None:  # nobody knows how long others keep it
                pause.wait(_PAUSE_SECONDS)
        except DataError as error:
            return [Difference(name, error.what)], []
    return [], [Difference(name, open_elsewhere)]


def _wrong_tables(
    day: DuckDBPyConnection, store: Store, covered: Coverage, ticks: TickCount, whole: Collection[str]
) -> Iterator[str]:
    """The tables of an open day file whose rows are not those of Parquet, as far as both go."""
    found = day_contents.counted(day)
    if "instruments" in whole and found.rows["instruments"] and not store.instruments_path(covered.date).exists():
        yield "has instruments, the file of which is gone"
    below: int | None = None
    parts: list[Part] = []
    if covered.sealed is not None and not covered.parts:
        if "ticks" in whole:
            yield from (each.what for each in differing_keys(ticks.by_key, found.by_key, "ticks"))
    else:
        covered = coverage(store, covered.date)  # it may have been appended to since
        below = min(found.last_seq, covered.next_seq - 1)
        parts = [part for part in covered.parts if part.first <= below]
    names = {part.path.name for part in parts}
    files = {"ticks": [part.path for part in parts]} | {
        table: [each for each in covered.small_parts.get(table, ()) if each.name in names]
        for table in schema.SMALL_TABLES
    }
    if covered.sealed is not None:
        for table, sealed in {"ticks": covered.sealed, **sealed_tables(store, covered.date)}.items():
            files[table].insert(0, sealed)
    files = {table: paths for table, paths in files.items() if paths or table not in schema.LATER_TABLES}
    for table in day_contents.differing_tables(day, {table: files[table] for table in files if table in whole}, below):
        yield f"{table} is not what Parquet has"
