"""Coverage: what the Parquet files of a date cover.

Owns which range of journal entries a file name or a Parquet footer stands for. Files of a date cover journal entries
from seq 1 on without holes: first `ticks.parquet` if the date was sealed, then the parts of `ticks` in order.
Everything after them is in the journal only, but for parts that wait: those in front of them were set aside, or are
gone, and are to be written again. A part of a small table counts only beside the part of `ticks` with the same range;
what lies outside is left over from a crash.
"""

import datetime as dt
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, TypeAlias

from tickrec import __version__, schema
from tickrec.errors import DataError
from tickrec.journal import Position
from tickrec.store.parquet import UnreadableFile, opened
from tickrec.store.paths import DAMAGED_SUFFIX, DRAFT_SUFFIX, PART, Store, names_in

_ASIDE: Final = re.compile(r"\.?part-\d{12}-(\d{12})\.parquet.*\.damaged")
_CHECK: Final = "tickrec.check"
_ATTEMPTS: Final = 100
"""Listings of a folder whose files are being replaced before giving up."""

SmallRows: TypeAlias = Mapping[str, Mapping[int, int]]
"""Rows of the parts of each small table that have any, by the first entry that the part covers."""
Range: TypeAlias = tuple[int, int]
"""A part, by the first and the last entry that it covers."""


@dataclass(frozen=True, slots=True)
class Part:
    """A published Parquet part of `ticks`: every journal entry from `first` to `last`, whatever its kind."""

    path: Path
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Footer:
    """What a Parquet file of ours says about itself in its metadata."""

    first: int
    last: int
    history: str = ""
    """`History.to_text` after entry `last`."""
    position: Position | None = None
    """Where entry `last` + 1 begins in the journal."""
    schema_version: int = schema.SCHEMA_VERSION
    small_rows: SmallRows = field(default_factory=dict)
    """Of a part: what belongs to it and to the parts before it. One that is gone cannot be told from one that had no
    rows otherwise."""
    counts: Mapping[str, int] | None = None
    """Ticks of each instrument in the file; None: its version did not say."""
    quiet: Mapping[Range, Sequence[str]] | None = None
    """Of a part: the instruments with ticks in parts before it and none in it, by the part that has their last; None:
    that was not known, or its version did not say."""
    last_rows: str | None = None
    """Of a sealed file of `ticks`: the last row of each instrument, as `store.last_rows` writes them; None: its version
    did not say."""

    def to_metadata(self) -> dict[str, str]:
        """The key-value metadata of a Parquet file."""
        metadata = {
            "tickrec.first_seq": str(self.first),
            "tickrec.last_seq": str(self.last),
            "tickrec.ledger": self.history,
            "tickrec.schema_version": str(self.schema_version),
            "tickrec.version": __version__,
            "tickrec.small_rows": json.dumps({table: [*rows.items()] for table, rows in self.small_rows.items()}),
        }
        if self.counts is not None:
            metadata["tickrec.counts"] = json.dumps(dict(self.counts), separators=(",", ":"))
        if self.quiet is not None:
            metadata["tickrec.quiet_in"] = json.dumps([*self.quiet.items()], separators=(",", ":"))
        if self.last_rows is not None:
            metadata["tickrec.last_rows"] = self.last_rows
        if self.position is not None:
            metadata["tickrec.position"] = f"{self.position.file} {self.position.offset}"
        return metadata | {_CHECK: _checksum(metadata)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """Raises KeyError, ValueError or TypeError when they are not what `to_metadata` made."""
        if _CHECK in metadata and metadata[_CHECK] != _checksum(metadata):
            raise ValueError("what it says of itself is damaged")
        position = metadata.get("tickrec.position")
        small = json.loads(metadata.get("tickrec.small_rows", "{}"))  # older versions did not write it
        counts = json.loads(metadata.get("tickrec.counts", "null"))  # nor this
        quiet = json.loads(metadata.get("tickrec.quiet_in", "null"))
        return cls(
            int(metadata["tickrec.first_seq"]),
            int(metadata["tickrec.last_seq"]),
            metadata["tickrec.ledger"],
            Position(*map(int, position.split())) if position else None,
            int(metadata["tickrec.schema_version"]),
            {table: dict(rows) for table, rows in small.items()},
            counts,
            None if quiet is None else {(first, last): keys for (first, last), keys in quiet},
            metadata.get("tickrec.last_rows"),
        )

    @property
    def last_in(self) -> dict[str, Range] | None:
        """Of each instrument, the part with its last tick, this part the last of all; None: that is not known."""
        if self.quiet is None or self.counts is None:
            return None
        before = {key: part for part, keys in self.quiet.items() for key in keys}
        return before | dict.fromkeys(self.counts, (self.first, self.last))


def _checksum(metadata: Mapping[str, str]) -> str:
    """A checksum over everything we say in a footer, which has none of its own."""
    said = sorted(item for item in metadata.items() if item[0] != _CHECK)
    return f"{zlib.crc32(repr(said).encode()):08x}"


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the Parquet files of a date cover: entries 1 to `next_seq` - 1.

    A reader of the sealed files of a date that goes on (parts, or journal entries from `next_seq`) takes their rows
    with seq <= `sealed_last` only: that leaves out the rows of the small tables that have no seq because nothing had
    settled them, and a file that was sealed again in the meantime yields the same rows.
    """

    date: dt.date
    sealed: Path | None = None
    sealed_last: int = 0
    parts: tuple[Part, ...] = ()
    position: Position | None = None
    """A hint: where the journal has entry `next_seq`."""
    history: str = ""
    """`History.to_text` of everything covered."""
    small_parts: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    """The parts of each small table that belong to `parts`."""
    small_rows: SmallRows = field(default_factory=dict)
    """Which of those there should be, as far as their versions said."""
    waiting: tuple[Part, ...] = ()
    """Parts that begin after `next_seq`. They count when what is in front of them is written again."""
    written_last: int = 0
    """The last entry that any part was written for, also those that wait or were set aside."""
    last_in: Mapping[str, Range] | None = field(default_factory=dict)
    """Of each instrument in `parts`, the part with its last tick; None: that is not known."""

    @property
    def next_seq(self) -> int:
        """The first seq that no Parquet file covers."""
        return (self.parts[-1].last if self.parts else self.sealed_last) + 1

    @property
    def ticks_files(self) -> list[Path]:
        """The files of ticks, in the order of seq."""
        return [*([self.sealed] if self.sealed else []), *(part.path for part in self.parts)]

    def parts_after(self, last_seq: int) -> list[Path]:
        """The parts of ticks with the entries after `last_seq`, where a file ends."""
        return [part.path for part in self.parts if part.first > last_seq]

    def parts_with_last(self) -> list[Path]:
        """The parts that have the last tick of an instrument in `parts`; all of them where that is not known."""
        wanted = None if self.last_in is None else {*self.last_in.values()}
        return [part.path for part in self.parts if wanted is None or (part.first, part.last) in wanted]

    @property
    def awaited(self) -> int | None:
        """The last of the entries from `next_seq` on that parts wait for; None when none waits."""
        return self.waiting[0].first - 1 if self.waiting else None


def coverage(store: Store, date: dt.date) -> Coverage:
    """What the Parquet files of `date` cover at this moment.

    Costs a listing of a handful of folders and one or two footers. Consistent although files are published and
    removed meanwhile. Raises UnreadableFile when a footer cannot be read, or when a part of a small table is gone:
    then it names the part of `ticks` whose entries are to be read from the journal again.
    """
    folder = store.folder("ticks", date)
    for _ in range(_ATTEMPTS):
        names = names_in(folder)
        try:
            found = _coverage(store, date, names)
        except FileNotFoundError:
            continue  # sealing removed a part after the listing
        # Parts of small tables go after the parts of `ticks` they belong to: if those are still there, so were these.
        if not (found.parts or found.waiting) or names == names_in(folder):
            _require_small_parts(found)
            return found
    raise DataError("the files of this date change too fast to be read", where=str(folder))


def _coverage(store: Store, date: dt.date, names: list[str]) -> Coverage:
    sealed = store.sealed_path("ticks", date) if "ticks.parquet" in names else None
    footer = read_footer(sealed) if sealed else Footer(1, 0)
    sealed_last = footer.last
    there = sorted(_parts(store.folder("ticks", date), names), key=lambda part: part.first)
    parts = tuple(_tiling(there, sealed_last + 1))
    next_seq = (parts[-1].last if parts else sealed_last) + 1
    waiting = tuple(part for part in there if part.first > next_seq)
    if parts:
        footer = read_footer(parts[-1].path)
    small = {table: tuple(_beside(store.folder(table, date), parts)) for table in schema.SMALL_TABLES} if parts else {}
    firsts = {part.first for part in parts}
    rows = {
        table: {first: count for first, count in counts.items() if first in firsts}
        for table, counts in footer.small_rows.items()
    }
    aside = (int(match[1]) for name in names if (match := _ASIDE.fullmatch(name)))
    last = max([sealed_last, *(part.last for part in there), *aside])
    return Coverage(
        date,
        sealed,
        sealed_last,
        parts,
        footer.position,
        footer.history,
        small,
        rows,
        waiting,
        written_last=last,
        last_in=_known_last_in(footer, parts) if parts else {},
    )


def _known_last_in(footer: Footer, parts: Iterable[Part]) -> Mapping[str, Range] | None:
    """What the footer of the last part says of all, unless one that it names was written again with other borders."""
    there = {(part.first, part.last) for part in parts}
    last_in = footer.last_in
    return last_in if last_in is not None and there.issuperset(last_in.values()) else None


def _require_small_parts(covered: Coverage) -> None:
    for table, counts in covered.small_rows.items():
        there = {path.name for path in covered.small_parts.get(table, ())}
        for part in covered.parts:
            if part.first in counts and part.path.name not in there:
                raise UnreadableFile(part.path, f"its rows of {table} are gone")


def _parts(folder: Path, names: Iterable[str]) -> Iterator[Part]:
    for name in names:
        if match := PART.fullmatch(name):
            yield Part(folder / name, int(match[1]), int(match[2]))


def _tiling(parts: Iterable[Part], next_seq: int) -> Iterator[Part]:
    """The parts that follow each other from `next_seq` on."""
    by_first: dict[int, Part] = {}
    for part in parts:
        if part.first not in by_first or by_first[part.first].last < part.last:
            by_first[part.first] = part
    while next_seq in by_first:
        part = by_first[next_seq]
        yield part
        next_seq = part.last + 1


def _beside(folder: Path, parts: Iterable[Part]) -> Iterator[Path]:
    names = set(names_in(folder))
    for part in parts:
        if part.path.name in names:
            yield folder / part.path.name


def sealed_tables(store: Store, date: dt.date) -> dict[str, Path]:
    """The file of each small table that a sealed date has; one sealed by an earlier version has fewer of them."""
    paths = {table: store.sealed_path(table, date) for table in schema.SMALL_TABLES}
    return {table: path for table, path in paths.items() if table not in schema.LATER_TABLES or path.exists()}


def leftovers(store: Store, covered: Coverage) -> Iterator[Path]:
    """Files that belong to no published range: drafts, parts that something else covers, parts of small tables
    without their part of `ticks`. Parts of `ticks` come first, as they must be removed."""
    belong = {part.path.name for part in (*covered.parts, *covered.waiting)}
    for table in ("ticks", *schema.SMALL_TABLES):
        folder = store.folder(table, covered.date)
        for name in names_in(folder):
            if (PART.fullmatch(name) and name not in belong) or name.endswith((DRAFT_SUFFIX, ".tmp")):
                yield folder / name


def damaged_path(path: Path) -> Path:
    """Where a damaged file goes: no file is there. Other programs pass over names that begin with a dot."""
    target, number = path.with_name(f".{path.name}{DAMAGED_SUFFIX}"), 1
    while target.exists():
        number += 1
        target = path.with_name(f".{path.name}.{number}{DAMAGED_SUFFIX}")
    return target


def damaged_files(store: Store, date: dt.date, *tables: str) -> Iterator[Path]:
    """The files of a date, or of some of its tables, that were set aside; also under the names that older versions
    gave them."""
    for table in tables or ("ticks", *schema.SMALL_TABLES):
        folder = store.folder(table, date)
        yield from (folder / name for name in names_in(folder) if name.endswith(DAMAGED_SUFFIX))


def read_footer(path: Path) -> Footer:
    """What a Parquet file of ours covers. Raises FileNotFoundError, and UnreadableFile when it is not one of ours."""
    with opened(path) as file:
        found: dict[bytes, bytes] = file.metadata.metadata or {}
    try:
        ours = {key.decode(): value.decode() for key, value in found.items() if key.startswith(b"tickrec.")}
        return Footer.from_metadata(ours)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise UnreadableFile(path, error) from error


def has_this_schema(covered: Coverage) -> bool:
    """Whether every file of ticks has the columns of this version. Raises FileNotFoundError, UnreadableFile."""
    return all(read_footer(path).schema_version == schema.SCHEMA_VERSION for path in covered.ticks_files)
