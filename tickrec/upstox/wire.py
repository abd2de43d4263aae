"""Payload bytes to one Arrow record batch shaped like the broker's schema, and the messages that are none.

Owns the boundary to ptars, which decodes serialized messages straight to Arrow. It differs from protobuf in three rare
places (two branches of a oneof in one message, a map key sent twice, refusing what protobuf accepts); messages where
that matters are rewritten by protobuf itself first. Knows nothing of the tables.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import DecodeError

from tickrec.upstox import MarketDataFeedV3_pb2 as pb

if TYPE_CHECKING:
    from ptars._lib import MessageHandler


class Messages(NamedTuple):
    """Decoded messages: `batch` has one row for each number in `kept`; `errors` says why the others are missing."""

    batch: pa.RecordBatch
    kept: list[int]
    errors: dict[int, str]


class _Refused(Exception):
    """ptars could not decode a batch."""


def read(payloads: Sequence[bytes]) -> Messages:
    """Decode serialized FeedResponse messages; numbers count from 0 in the order given.

    Bytes that are no such message go to `errors`; nothing is raised for them.
    """
    good = dict(enumerate(payloads))
    errors: dict[int, str] = {}
    try:
        batch = _decode(list(good.values()))
    except _Refused:
        _replace(good, _undecodable(good), errors)
        batch = _decode(list(good.values()))
    if odd := _ambiguous(batch):
        numbers = list(good)
        _replace(good, [numbers[row] for row in odd], errors)
        batch = _decode(list(good.values()))
    return Messages(batch, list(good), errors)


@functools.cache
def _decoder() -> "MessageHandler":
    import ptars

    # An entry of a map may leave out its value (protobuf: the default); ptars panics there unless NULL is allowed.
    pool = ptars.HandlerPool([pb.DESCRIPTOR], ptars.PtarsConfig(map_value_nullable=True))
    return pool.get_for_message(pb.FeedResponse.DESCRIPTOR)


def _decode(payloads: list[bytes]) -> pa.RecordBatch:
    try:
        return _decoder().list_to_record_batch(payloads)
    except ValueError as failure:
        raise _Refused(str(failure)) from failure
    except BaseException as failure:
        # A Rust panic arrives as pyo3's PanicException, which cannot be imported and is no Exception.
        if type(failure).__name__ != "PanicException":
            raise
        raise _Refused(f"the decoder failed: {failure}") from failure


def _undecodable(messages: dict[int, bytes]) -> list[int]:
    """The numbers of the messages that ptars refuses, found by halving."""
    numbers = list(messages)
    try:
        _decode(list(messages.values()))
    except _Refused:
        if len(numbers) == 1:
            return numbers
        middle = len(numbers) // 2
        halves = numbers[:middle], numbers[middle:]
        return [bad for half in halves for bad in _undecodable({number: messages[number] for number in half})]
    return []


def _replace(messages: dict[int, bytes], numbers: Sequence[int], errors: dict[int, str]) -> None:
    """Put the rewritten form in place of each message named; one that cannot be rewritten moves to `errors`."""
    for number in numbers:
        try:
            messages[number] = _rewritten(messages[number])
            _decode([messages[number]])
        except (DecodeError, _Refused) as failure:
            del messages[number]
            errors[number] = str(failure)


def _rewritten(payload: bytes) -> bytes:
    """The same message as protobuf would send it: last key and last branch win, keys in order, nothing unknown."""
    message: Any = pb.FeedResponse.FromString(payload)
    message.DiscardUnknownFields()
    rewritten: bytes = message.SerializeToString(deterministic=True)
    return rewritten


def _ambiguous(batch: pa.RecordBatch) -> list[int]:
    """Rows with a key twice, or with an entry that carries two branches of a oneof."""
    feeds = batch.column("feeds")
    if not feeds.offsets[-1].as_py():
        return []
    parents = parent_rows(feeds)
    entries = feeds.items
    full = entries.field("fullFeed")
    suspects = [
        *_both(entries.field("ltpc"), full),
        *_both(full, entries.field("firstLevelWithGreeks")),
        *_both(entries.field("ltpc"), entries.field("firstLevelWithGreeks")),
        *_both(full.field("marketFF"), full.field("indexFF")),
    ]
    rows = {parents[suspect].as_py() for suspect in suspects}
    return sorted(rows | _repeated(parents, feeds.keys))


def _both(one: pa.Array, other: pa.Array) -> list[int]:
    """Positions where both are there."""
    if one.null_count == len(one) or other.null_count == len(other):
        return []
    found: list[int] = pc.indices_nonzero(pc.and_(one.is_valid(), other.is_valid())).to_pylist()
    return found


def _repeated(parents: pa.Array, keys: pa.Array) -> set[int]:
    """Parents that have a key more than once."""
    encoded = keys.dictionary_encode()
    if len(encoded.dictionary) == len(keys):
        return set()
    pairs = pc.add(pc.multiply(parents, len(encoded.dictionary)), encoded.indices.cast(pa.int64()))
    if pc.count_distinct(pairs).as_py() == len(pairs):
        return set()
    counts = pc.value_counts(pairs)
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    return {pair // len(encoded.dictionary) for pair in twice.to_pylist()}


def parent_rows(feeds: pa.MapArray) -> pa.Int64Array:
    """For each map entry the row that it belongs to, from 0."""
    # Arrow has this for lists only, and ends the process when asked for a map.
    return pc.list_parent_indices(pa.ListArray.from_arrays(feeds.offsets, feeds.keys))
