"""Counts: what the journal of a date holds, what its files of `ticks` hold, and in what the two differ.

Owns the numbers that derived files are held against. The journal is counted message by message with plain protobuf and
shares no code with the decoder that makes those files: a row lost or doubled there shows as a difference here. Only
the keys of a message are looked at, which takes half the time; whether a message can be decoded at all is found out
for those that are said to be rejected.
"""

import functools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from tickrec.journal import Journal
from tickrec.journal.entry import Entry, EntryKind
from tickrec.store import parquet
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode.wire import known_fields

_BATCH_ROWS: Final = 131_072
_NAMED: Final = 5
"""Instruments named in one line."""
_FEEDS: Final = pb.FeedResponse.DESCRIPTOR.fields_by_name["feeds"].number


def _keys_message(*, is_map: bool) -> Any:
    """A message type that sees the keys of FeedResponse.feeds and nothing else, of a map or of any entries."""
    file = descriptor_pb2.FileDescriptorProto(name="counts.proto", syntax="proto3", package="counts")
    kind = descriptor_pb2.FieldDescriptorProto
    keys = file.message_type.add(name="Keys")
    entry = keys.nested_type.add(name="FeedsEntry", options=descriptor_pb2.MessageOptions(map_entry=is_map))
    for name, place, type_ in (("key", 1, kind.TYPE_STRING), ("value", 2, kind.TYPE_BYTES)):
        entry.field.add(name=name, number=place, type=type_, label=kind.LABEL_OPTIONAL)
    keys.field.add(
        name="feeds",
        number=_FEEDS,
        type=kind.TYPE_MESSAGE,
        label=kind.LABEL_REPEATED,
        type_name=".counts.Keys.FeedsEntry",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("counts.Keys"))


_KEYS: Final = _keys_message(is_map=True)
_ENTRIES: Final = _keys_message(is_map=False)


class Difference(NamedTuple):
    """Something that does not agree."""

    place: str
    """A file, by its path inside the store, or what else is held against each other: journal, Parquet, manifest."""
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


@dataclass(slots=True)
class JournalCount:
    """Counts over the entries of a date."""

    entries: int = 0
    first_seq: int = 0
    last_seq: int = 0
    missing: list[tuple[int, int]] = field(default_factory=list)
    """Ranges of seq that the journal does not have."""
    messages: int = 0
    bytes: int = 0
    """Of message payloads."""
    ticks: int = 0
    by_key: Counter[str] = field(default_factory=Counter)
    """Ticks of each instrument."""
    first_tick: int = 0
    last_tick: int = 0
    """Seq of the first and last message with ticks."""
    last_ns: int = 0
    """Wall time of the last message."""
    rejected: list[int] = field(default_factory=list)
    """Seq of the messages that cannot be decoded, text messages included."""

    @classmethod
    def of(cls, entries: Iterable[Entry], suspects: Collection[int] = ()) -> Self:
        """Count entries, given in the order of seq from 1 on. `suspects` are the messages said to be rejected."""
        journal = cls()
        for entry in entries:
            if entry.seq != journal.last_seq + 1:
                journal.missing.append((journal.last_seq + 1, entry.seq - 1))
            journal.entries += 1
            journal.first_seq = journal.first_seq or entry.seq
            journal.last_seq = entry.seq
            if entry.kind is EntryKind.MESSAGE:
                journal._message(entry, entry.seq in suspects)
        return journal

    def lost(self, last_seq: int) -> list[tuple[int, int]]:
        """Ranges of seq up to `last_seq`, which was written once, that the journal does not have."""
        return [*self.missing, *([(self.last_seq + 1, last_seq)] if self.last_seq < last_seq else [])]

    def _message(self, entry: Entry, suspect: bool) -> None:
        self.messages += 1
        self.bytes += len(entry.payload)
        self.last_ns = entry.wall_ns
        try:
            keys = _keys(entry, suspect)
        except DecodeError:
            self.rejected.append(entry.seq)
            return
        if keys:
            self.ticks += len(keys)
            self.by_key.update(keys)
            self.first_tick = self.first_tick or entry.seq
            self.last_tick = entry.seq


def _keys(entry: Entry, suspect: bool) -> list[str]:
    """The instruments of a message; of two entries of a map with the same key, protobuf keeps the last.

    Unknown fields that protobuf refuses, such as a group that does not end, are passed over, as where rows are made.
    """
    if entry.text:
        raise DecodeError("a text message")
    if suspect:
        pb.FeedResponse.FromString(entry.payload)
    try:
        found = _KEYS.FromString(entry.payload)
    except DecodeError:
        return list(_KEYS.FromString(known_fields(entry.payload)).feeds)
    if any(field.field_number == _FEEDS for field in UnknownFieldSet(found)):
        # Its C implementation drops an entry of a map that has an unknown field; its specification does not.
        return list(dict.fromkeys(each.key for each in _ENTRIES.FromString(entry.payload).feeds))
    return list(found.feeds)


def count_journal(folder: Path, suspects: Collection[int] = ()) -> JournalCount:
    """Count a journal; a function that another process can be asked to run."""
    return JournalCount.of(Journal(folder).entries(), suspects)


@dataclass(slots=True)
class TickCount:
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
    def of(cls, paths: Iterable[Path], lost: Sequence[tuple[int, int]] = (), *, whole: bool = False) -> Self:
        """Read files; what they hold together. `lost` are ranges of seq that the journal no longer has.

        `whole`: every column is read and held against its checksums, not only those that are counted. Raises
        UnreadableFile when one cannot be read, OSError.
        """
        counted = cls()
        for path in paths:
            with parquet.opened_ticks(path) as file:
                for batch in file.iter_batches(_BATCH_ROWS, columns=None if whole else ["instrument_key", "seq"]):
                    if batch.num_rows:
                        counted._take(batch, lost)
        return counted

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


def orphans(paths: Iterable[Path], lost: Sequence[Sequence[int]]) -> Counter[int]:
    """The ticks of each message within the ranges `lost`; those that are in several files count once.

    Raises UnreadableFile when a file cannot be read, OSError.
    """
    most: Counter[int] = Counter()
    for path in paths:
        found: Counter[int] = Counter()
        with parquet.opened_ticks(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=["seq"]):
                seqs = batch.column("seq")
                found.update(_counts(seqs.filter(_within(seqs, lost))))
        most |= found
    return most


def _counts(values: pa.Array) -> dict[Any, int]:
    return {pair["values"]: pair["counts"] for pair in pc.value_counts(values).to_pylist()}


def _within(seqs: pa.Array, ranges: Sequence[Sequence[int]]) -> pa.Array:
    inside = (pc.and_(pc.greater_equal(seqs, first), pc.less_equal(seqs, last)) for first, last in ranges)
    return functools.reduce(pc.or_, inside)


def differing(journal: JournalCount, counted: TickCount, name: str) -> Iterator[Difference]:
    """In what the ticks that the journal holds and the rows of `name` differ; orphans are no difference."""
    rows = counted.rows - counted.orphans.total()
    if journal.ticks != rows:
        yield Difference(name, f"{rows} ticks, the journal has {journal.ticks}")
    if (journal.first_tick, journal.last_tick) != (counted.first, counted.last):
        ours, theirs = f"{counted.first} to {counted.last}", f"{journal.first_tick} to {journal.last_tick}"
        yield Difference(name, f"ticks of entries {ours}, the journal's are {theirs}")
    yield from differing_keys(journal.by_key, counted.by_key - counted.orphans, name)


def differing_keys(expected: Mapping[str, int], found: Mapping[str, int], name: str) -> Iterator[Difference]:
    """The instruments with another number of ticks than expected, in one line."""
    keys = sorted(key for key in expected.keys() | found.keys() if expected.get(key, 0) != found.get(key, 0))
    if keys:
        named = ", ".join(f"{key} has {found.get(key, 0)} of {expected.get(key, 0)} ticks" for key in keys[:_NAMED])
        more = f", and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
        yield Difference(name, f"{named}{more}")
