"""The journal is counted as it is decoded, whatever a message looks like."""

from collections import Counter

import pytest

from tests.upstox.decode.agreement import entries
from tests.upstox.decode.payloads import entry_of, field
from tests.upstox.decode.random_messages import Maker
from tickrec.journal.entry import Entry, EntryKind
from tickrec.seal.counts import JournalCount
from tickrec.upstox.decode import batches, plain, wire
from tickrec.upstox.decode.tables import decode

A, B = entry_of(b"", "A"), entry_of(b"", "B")
ODD = field(2, field(1, b"A") + field(2, b"") + b"\x18\x05")
"""A feed of A with an unknown field, which protobuf's C implementation drops, and no other one."""


@pytest.mark.parametrize(
    ("message", "keys"),
    [
        (ODD + B, ["A", "B"]),
        (ODD + B + B, ["A", "B"]),
        (A + ODD, ["A"]),
        (field(2, b"\x08\x05") + B, ["", "B"]),
        (field(2, field(1, b"A") + b"\x10\x05\x1b\x0a\x01Z\x1c") + B, ["A", "B"]),
        (field(2, field(1, b"A") + field(1, b"B")), ["B"]),
    ],
    ids=["an unknown field", "and a key twice", "in one sent twice", "key that is a number", "group", "two keys"],
)
def test_journal_and_rows_have_the_same_feeds_of_odd_messages(
    message: bytes, keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [Entry(EntryKind.MESSAGE, 1, 1, 1, message, seq=1)]
    counted = JournalCount.of(given).by_key
    assert counted == JournalCount.of(given, suspects=[1]).by_key == Counter(keys)
    assert Counter(decode(given, {}).ticks["instrument_key"].to_pylist()) == counted
    monkeypatch.setattr(batches, "read", plain.read)
    assert Counter(decode(given, {}).ticks["instrument_key"].to_pylist()) == counted
    outline = wire.outline(message)
    assert outline is not None
    assert {feed.instrument_key for feed in outline.feeds} == counted.keys()
    as_text = [given[0]._replace(text=True)]
    assert JournalCount.of(as_text).rejected == decode(as_text, {}).rejected["seq"].to_pylist() == [1]


@pytest.mark.parametrize("seed", range(1000, 1008))
def test_journal_and_rows_have_the_same_feeds_of_damaged_messages(seed: int) -> None:
    """Also where unknown fields are damaged, which the Arrow decoder takes and protobuf refuses."""
    maker = Maker(seed)
    given = entries(
        maker.damaged(payload) if n % 2 else maker.groups(payload) for n in range(40) if (payload := maker.message(4))
    )
    decoded = decode(given, {})
    rejected = decoded.rejected["seq"].to_pylist()
    counted = JournalCount.of(given, suspects=rejected)
    assert counted.rejected == rejected
    assert Counter(decoded.ticks["instrument_key"].to_pylist()) == counted.by_key
