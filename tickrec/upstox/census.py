"""What the journal of a date holds, counted message by message with plain protobuf.

Owns the numbers that derived files are held against. Shares no code with the decoder that makes those files: a row
lost or doubled there shows as a difference here. Only the keys of a message are looked at, which takes half the time;
whether a message can be decoded at all is found out for those that are said to be rejected.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from tickrec.entry import Entry, EntryKind
from tickrec.journal import Journal
from tickrec.upstox import MarketDataFeedV3_pb2 as pb


def _keys_message() -> Any:
    """A message type that sees the keys of FeedResponse.feeds and nothing else: a map entry is a message whose field
    1 is the key."""
    file = descriptor_pb2.FileDescriptorProto(name="census.proto", syntax="proto3", package="census")
    string, message = descriptor_pb2.FieldDescriptorProto.TYPE_STRING, descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
    optional = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
    repeated = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
    number = pb.FeedResponse.DESCRIPTOR.fields_by_name["feeds"].number
    file.message_type.add(name="Feed").field.add(name="key", number=1, type=string, label=optional)
    file.message_type.add(name="Keys").field.add(
        name="feeds", number=number, type=message, label=repeated, type_name=".census.Feed"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("census.Keys"))


_KEYS: Final = _keys_message()


@dataclass(slots=True)
class Census:
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
    rejected: list[int] = field(default_factory=list)
    """Seq of the messages that cannot be decoded, text messages included."""

    @classmethod
    def of(cls, entries: Iterable[Entry], suspects: Collection[int] = ()) -> Self:
        """Count entries, given in the order of seq from 1 on. `suspects` are the messages said to be rejected."""
        census = cls()
        for entry in entries:
            if entry.seq != census.last_seq + 1:
                census.missing.append((census.last_seq + 1, entry.seq - 1))
            census.entries += 1
            census.first_seq = census.first_seq or entry.seq
            census.last_seq = entry.seq
            if entry.kind is EntryKind.MESSAGE:
                census._message(entry, entry.seq in suspects)
        return census

    def lost(self, last_seq: int) -> list[tuple[int, int]]:
        """Ranges of seq up to `last_seq`, which was written once, that the journal does not have."""
        return [*self.missing, *([(self.last_seq + 1, last_seq)] if self.last_seq < last_seq else [])]

    def _message(self, entry: Entry, suspect: bool) -> None:
        self.messages += 1
        self.bytes += len(entry.payload)
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


def _keys(entry: Entry, suspect: bool) -> set[str]:
    """The instruments of a message; of two entries of a map with the same key, protobuf keeps the last."""
    if entry.text:
        raise DecodeError("a text message")
    if suspect:
        return set(pb.FeedResponse.FromString(entry.payload).feeds)
    return {feed.key for feed in _KEYS.FromString(entry.payload).feeds}


def count(folder: Path, suspects: Collection[int] = ()) -> Census:
    """Count a journal; a function that another process can be asked to run."""
    return Census.of(Journal(folder).entries(), suspects)
