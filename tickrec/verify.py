"""Holding what is stored of a date against its journal, its manifest and itself.

Owns the comparison, which sealing makes before anything is removed and `verify` makes again whenever it is asked.
Changes nothing, takes no lock.
"""

import contextlib
import datetime as dt
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import pyarrow as pa
import pyarrow.compute as pc

from tickrec import dayfile, parquet, schema
from tickrec.entry import EntryKind
from tickrec.errors import DataError
from tickrec.journal import Damage, Journal
from tickrec.layout import Coverage, Store, coverage, read_footer
from tickrec.manifest import FileFacts, Manifest, load
from tickrec.upstox.census import Census
from tickrec.upstox.peek import count_feeds

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the whole that is done, 0 to 1."""

_BATCH_ROWS: Final = 131_072
_NAMED: Final = 5
"""Instruments or entries named in one line of a report."""


@dataclass(slots=True)
class Survey:
    """What Parquet files of `ticks` hold, counted from their rows."""

    rows: int = 0
    by_key: Counter[str] = field(default_factory=Counter)
    orphans: Counter[str] = field(default_factory=Counter)
    """Those of messages that the journal has lost: it was damaged after they were written here."""
    first: int = 0
    last: int = 0
    """The lowest and highest seq that is no orphan's."""
    in_order: bool = True
    """Sorted by instrument, and by seq for each."""
    _previous: tuple[str, int] = ("", 0)

    @classmethod
    def of(cls, paths: Iterable[Path], lost: Sequence[tuple[int, int]] = ()) -> Self:
        """Read files; what they hold together. `lost` are ranges of seq that the journal no longer has.

        Raises pyarrow.ArrowException, KeyError or OSError when one cannot be read.
        """
        import pyarrow.parquet as pq

        survey = cls()
        for path in paths:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                for batch in file.iter_batches(_BATCH_ROWS, columns=["instrument_key", "seq"]):
                    if batch.num_rows:
                        survey._take(batch, lost)
        return survey

    def _take(self, batch: pa.RecordBatch, lost: Sequence[tuple[int, int]]) -> None:
        keys, seqs = batch.column("instrument_key"), batch.column("seq")
        self.rows += batch.num_rows
        self.by_key.update(_counts(keys))
        self.in_order = self.in_order and self._follows(keys, seqs)
        self._previous = keys[-1].as_py(), seqs[-1].as_py()
        if lost:
            is_lost = _within(seqs, lost)
            self.orphans.update(_counts(keys.filter(is_lost)))
            seqs = seqs.filter(pc.invert(is_lost))
        if len(seqs):
            low, high = (bound.as_py() for bound in pc.min_max(seqs).values())
            self.first = min(self.first or low, low)
            self.last = max(self.last, high)

    def _follows(self, keys: pa.Array, seqs: pa.Array) -> bool:
        if (keys[0].as_py(), seqs[0].as_py()) <= self._previous:
            return False
        up, same = pc.less(keys[:-1], keys[1:]), pc.equal(keys[:-1], keys[1:])
        return bool(pc.all(pc.or_(up, pc.and_(same, pc.less(seqs[:-1], seqs[1:]))), min_count=0).as_py())


def _counts(keys: pa.Array) -> dict[str, int]:
    return {pair["values"]: pair["counts"] for pair in pc.value_counts(keys).to_pylist()}


def _within(seqs: pa.Array, ranges: Sequence[tuple[int, int]]) -> pa.Array:
    inside = (pc.and_(pc.greater_equal(seqs, first), pc.less_equal(seqs, last)) for first, last in ranges)
    return functools.reduce(pc.or_, inside)


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
        }


def verify(store: Store, date: dt.date, progress: Progress | None = None) -> Report:
    """Read everything stored of a date again and say what does not agree.

    A date that is not sealed is held against its journal as far as its parts go. Raises DataError when nothing is
    stored of the date or when it is being sealed meanwhile, OSError.
    """
    tell = progress or (lambda _what, _share: None)
    covered, manifest = coverage(store, date), load(store, date)
    if not covered.parts and covered.sealed is None and not store.journal_files(date):
        raise DataError(f"nothing is stored of {date}", where=str(store.root))
    tell("reading the journal", 0.0)
    census, differences = _read_journal(store, covered)
    tell("reading Parquet", 0.5)
    survey, unreadable = _read_ticks(covered, census.lost(covered.next_seq - 1) if census else [])
    differences += unreadable
    if census is not None:
        differences += differing(census, survey, "Parquet")
        if census.last_seq < covered.next_seq - 1:
            differences.append(f"journal: entries {census.last_seq + 1} to {covered.next_seq - 1} are gone")
    if covered.sealed is not None and manifest is None:
        differences.append("manifest: is gone")
    elif covered.sealed is not None and manifest is not None:
        differences += _against_manifest(store, manifest, covered, survey, census)
    tell("reading DuckDB", 0.8)
    differences += _against_duckdb(store, covered, manifest, survey)
    if coverage(store, date) != covered:
        raise DataError(f"{date} changed while it was read", hint="Ask again")
    tell("done", 1.0)
    return Report(
        date,
        store.settled(date),
        census is not None,
        covered.next_seq - 1,
        survey.rows,
        tuple(differences),
        _unflushed(store, covered),
    )


def _unflushed(store: Store, covered: Coverage) -> int:
    """Ticks of the entries that no Parquet file covers."""
    entries = Journal(store.journal(covered.date)).entries(covered.next_seq, start=covered.position)
    return sum(count_feeds(entry.payload) for entry in entries if entry.kind is EntryKind.MESSAGE)


def differing(census: Census, survey: Survey, name: str) -> list[str]:
    """In what the ticks that the journal holds and the rows of `name` differ; orphans are no difference."""
    found = []
    rows = survey.rows - survey.orphans.total()
    if census.ticks != rows:
        found.append(f"{name}: {rows} ticks, the journal has {census.ticks}")
    if (census.first_tick, census.last_tick) != (survey.first, survey.last):
        ours, theirs = f"{survey.first} to {survey.last}", f"{census.first_tick} to {census.last_tick}"
        found.append(f"{name}: ticks of entries {ours}, the journal's are {theirs}")
    return found + differing_keys(census.by_key, survey.by_key - survey.orphans, name)


def differing_keys(expected: Mapping[str, int], found: Mapping[str, int], name: str) -> list[str]:
    """The instruments with another number of ticks than expected, in one line."""
    keys = sorted(key for key in expected.keys() | found.keys() if expected.get(key, 0) != found.get(key, 0))
    if not keys:
        return []
    named = ", ".join(f"{key} has {found.get(key, 0)} of {expected.get(key, 0)} ticks" for key in keys[:_NAMED])
    more = f", and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return [f"{name}: {named}{more}"]


def _read_journal(store: Store, covered: Coverage) -> tuple[Census | None, list[str]]:
    """The entries that the files cover, counted, and the damage found; no count without a journal."""
    if not store.journal_files(covered.date):
        return None, []
    journal = Journal(store.journal(covered.date))
    try:
        census = Census.of(journal.entries(last_seq=covered.next_seq - 1), _rejected(store, covered))
    except DataError as error:
        return None, [f"journal: {error.what} ({error.where})"]
    return census, [f"journal: {_damage_words(each)}" for each in journal.damage]


def _rejected(store: Store, covered: Coverage) -> set[int]:
    """The messages that the files call rejected; none when that cannot be read, which is for others to tell."""
    sealed = [store.sealed_path("rejected", covered.date)] if covered.sealed else []
    found: set[int] = set()
    for path in [*sealed, *covered.small_parts.get("rejected", ())]:
        with contextlib.suppress(pa.ArrowException, OSError):
            found.update(parquet.read(path, schema.REJECTED)["seq"].to_pylist())
    return found


def _damage_words(damage: Damage) -> str:
    lost = f"entries {damage.after_seq + 1} to {damage.before_seq - 1} are lost" if damage.before_seq else "at the end"
    return f"{damage.length} bytes at offset {damage.offset} of {damage.path.name} are damaged, {lost}"


def _read_ticks(covered: Coverage, lost: Sequence[tuple[int, int]]) -> tuple[Survey, list[str]]:
    sealed = [covered.sealed] if covered.sealed else []
    try:
        survey = Survey.of([*sealed, *(part.path for part in covered.parts)], lost)
    except (pa.ArrowException, KeyError, OSError) as error:
        return Survey(), [f"Parquet: cannot be read: {error}"]
    if sealed and not covered.parts and not survey.in_order:
        return survey, ["Parquet: not sorted by (instrument_key, seq)"]
    return survey, []


def _against_manifest(
    store: Store, manifest: Manifest, covered: Coverage, survey: Survey, census: Census | None
) -> Iterator[str]:
    if manifest.last_seq != covered.sealed_last:
        yield f"manifest: covers entries up to {manifest.last_seq}, ticks.parquet up to {covered.sealed_last}"
        return
    for table in ("ticks", *schema.SMALL_TABLES):
        if store.sealed_path(table, covered.date).relative_to(store.root).as_posix() not in manifest.files:
            yield f"manifest: says nothing of {table}"
    for name, facts in manifest.files.items():
        if not (covered.parts and name.startswith("duckdb/")):  # appended to since
            yield from _against_facts(store.root / name, name, facts)
    if covered.parts:
        return
    if manifest.rows.get("ticks") != survey.rows:
        yield f"manifest: {manifest.rows.get('ticks')} ticks, Parquet has {survey.rows}"
    yield from differing_keys(manifest.instruments, survey.by_key, "Parquet")
    if census is not None and census.messages != manifest.messages:
        yield f"journal: {census.messages} messages, {manifest.messages} were sealed"


def _against_facts(path: Path, name: str, facts: FileFacts) -> Iterator[str]:
    try:
        if FileFacts.of(path) != facts:
            yield f"{name}: not the file that was sealed"
    except FileNotFoundError:
        yield f"{name}: is gone"


def _against_duckdb(store: Store, covered: Coverage, manifest: Manifest | None, survey: Survey) -> Iterator[str]:
    path = store.duckdb_path(covered.date)
    name = f"duckdb/{path.name}"
    if not path.exists():
        return  # the manifest says whether there should be one
    try:
        found = dayfile.contents(path)
        if covered.sealed is not None and not covered.parts:
            yield from differing_keys(survey.by_key, found.by_key, name)
            files = {table: store.sealed_path(table, covered.date) for table in ("ticks", *schema.SMALL_TABLES)}
            for table in dayfile.unlike(path, files):
                yield f"{name}: {table} is not what Parquet has"
        else:
            expected = Survey.of(_covered_by(covered, found.last_seq))
            yield from differing_keys(expected.by_key, found.by_key, name)
    except DataError as error:
        yield f"{name}: {error.what}"


def _covered_by(covered: Coverage, last_seq: int) -> Iterator[Path]:
    """The files whose entries a day file up to `last_seq` holds."""
    if covered.sealed is not None and covered.sealed_last <= last_seq:
        yield covered.sealed
    for part in covered.parts:
        if part.last <= last_seq:
            yield part.path


def sealed_with_this_schema(covered: Coverage) -> bool:
    """Whether every published file has the columns of this version."""
    paths = [*([covered.sealed] if covered.sealed else []), *(part.path for part in covered.parts)]
    return all(read_footer(path).schema_version == schema.SCHEMA_VERSION for path in paths)
