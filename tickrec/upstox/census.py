"""What the journal of a date holds, counted message by message with plain protobuf.

Owns the numbers that derived files are held against. Shares no code with the decoder that makes those files: a row
lost or doubled there shows as a difference here.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from google.protobuf.message import DecodeError

from tickrec.entry import Entry, EntryKind
from tickrec.journal import Journal
from tickrec.upstox import MarketDataFeedV3_pb2 as pb


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
    def of(cls, entries: Iterable[Entry]) -> Self:
        """Count entries, given in the order of seq from 1 on."""
        census = cls()
        for entry in entries:
            if entry.seq != census.last_seq + 1:
                census.missing.append((census.last_seq + 1, entry.seq - 1))
            census.entries += 1
            census.first_seq = census.first_seq or entry.seq
            census.last_seq = entry.seq
            if entry.kind is EntryKind.MESSAGE:
                census._message(entry)
        return census

    def _message(self, entry: Entry) -> None:
        self.messages += 1
        self.bytes += len(entry.payload)
        try:
            if entry.text:
                raise DecodeError
            feeds = pb.FeedResponse.FromString(entry.payload).feeds
        except DecodeError:
            self.rejected.append(entry.seq)
            return
        if feeds:
            self.ticks += len(feeds)
            self.by_key.update(feeds.keys())
            self.first_tick = self.first_tick or entry.seq
            self.last_tick = entry.seq


def count(folder: Path) -> Census:
    """Count a journal; a function that another process can be asked to run."""
    return Census.of(Journal(folder).entries())
