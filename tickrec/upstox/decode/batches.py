"""Batches: payloads become Arrow record batches shaped like the broker's messages; payloads that are none are named.

Owns the boundary to ptars, which decodes serialized messages straight to Arrow; where it cannot be had, or refuses what
protobuf accepts, `plain` takes over. Every entry costs a slot in every field of every branch, so payloads are decoded
in two steps: to an outline in which the branches stay bytes, then each branch by itself. Between the two they are
sorted by instrument, which moves an entry in one piece; once decoded it is fifty columns. The outline keeps all
occurrences of a field, so that the few messages for which protobuf has rules about repetition (a branch merged or
replaced, a map key sent twice) are seen and rewritten by protobuf itself. Knows nothing of the tables.
"""

import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import DecodeError

from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode import plain
from tickrec.upstox.decode.parsed import Messages, Read, by_instrument
from tickrec.upstox.decode.wire import parse

log = logging.getLogger("tickrec")

_OUTLINED: Final = {
    "Feed": ("ltpc", "firstLevelWithGreeks"),
    "FullFeed": ("marketFF", "indexFF"),
    "FeedResponse": ("marketInfo",),
}
"""The fields left as bytes in the outline, by message."""
_BITE: Final = 384 * 1024
"""Bytes that are decoded in one go, some 1,000 ticks in 2 ms: ptars holds the interpreter's lock."""
_NONE: Final = pa.scalar(0, pa.int32())
_ONE: Final = pa.scalar(1, pa.int32())


class _Unable(Exception):
    """ptars is not there, or refuses a message that protobuf accepts."""


class _Refused(Exception):
    """A batch holds something that is no message."""


class _Outline(NamedTuple):
    """Messages with their branches still bytes, as lists of every occurrence on the wire; entries by instrument."""

    batch: pa.RecordBatch
    entries: pa.StructArray
    parents: pa.Int64Array
    codes: pa.DictionaryArray

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> Self:
        """The outline that ptars has made."""
        feeds = batch.column("feeds")
        order, codes = by_instrument(feeds.keys)
        return cls(batch, pc.array_take(feeds.items, order), pc.array_take(_parents(feeds), order), codes)

    def occurrences(self) -> dict[str, pa.ListArray]:
        """The bytes of each branch by its name, one list an entry."""
        full = self.entries.field("fullFeed")
        return {name: (full if name in _OUTLINED["FullFeed"] else self.entries).field(name) for name in plain.BRANCHES}


def read(payloads: Sequence[bytes]) -> Read:
    """Decode serialized FeedResponse messages. Bytes that are no such message go to `errors`.

    A little that protobuf refuses passes (damaged unknown fields), and an unknown field inside an entry of `feeds` is
    passed over, as in `wire.parse`.
    """
    try:
        return _read(payloads)
    except _Unable as why:
        _warn_once(str(why))
        return plain.read(payloads)


def _read(payloads: Sequence[bytes]) -> Read:
    """The same with ptars. Raises _Unable."""
    good = dict(enumerate(payloads))
    errors: dict[int, str] = {}
    try:
        outline, messages = _decode(list(good.values()))
    except _Refused:
        _rewrite(good, _refused(good), errors)
        outline, messages = _decode(list(good.values()))
    if odd := _ambiguous(outline):
        numbers = list(good)
        _rewrite(good, {numbers[row]: "repeated fields" for row in odd}, errors)
        outline, messages = _decode(list(good.values()))
    return Read(messages, list(good), errors)


@functools.cache
def _warn_once(why: str) -> None:
    log.warning("messages are decoded by protobuf, several times slower than by ptars: %s", why)


@functools.cache
def _decoders() -> tuple[Any, dict[str, Any]]:
    """Of the outline, and of each branch. Raises _Unable."""
    try:
        import ptars
    except ImportError as error:
        raise _Unable(f"ptars cannot be used ({error})") from None

    # An entry of a map may leave out its value, which then is the default; ptars panics there unless NULL is allowed.
    config = ptars.PtarsConfig(map_value_nullable=True)
    outline = _outline_schema()
    whole = ptars.HandlerPool([outline], config).get_for_message(outline.message_types_by_name["FeedResponse"])
    pool = ptars.HandlerPool([pb.DESCRIPTOR], config)
    return whole, {name: pool.get_for_message(kind.DESCRIPTOR) for name, kind in plain.BRANCHES.items()}


def _outline_schema() -> Any:
    """The file descriptor of the same messages with the fields of _OUTLINED as repeated bytes."""
    file = descriptor_pb2.FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(file)
    kind = descriptor_pb2.FieldDescriptorProto
    for message in file.message_type:
        for field in message.field:
            field.ClearField("oneof_index")
            if field.name in _OUTLINED.get(message.name, ()):
                field.type, field.label = kind.TYPE_BYTES, kind.LABEL_REPEATED
                field.ClearField("type_name")
        message.ClearField("oneof_decl")
    pool = descriptor_pool.DescriptorPool()
    for dependency in pb.DESCRIPTOR.dependencies:
        pool.AddSerializedFile(dependency.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName(file.name)


def _decode(payloads: list[bytes]) -> tuple[_Outline, Messages]:
    whole, parts = _decoders()
    try:
        outline = _Outline.of(_outlined(whole, payloads))
        found = outline.occurrences()
        branches = {name: _branch(parts[name], lists) for name, lists in found.items() if len(lists.values)}
        return outline, _messages(outline, branches)
    except (ValueError, DecodeError) as failure:
        raise _Refused(str(failure)) from failure
    except BaseException as failure:
        # A Rust panic arrives as pyo3's PanicException, which cannot be imported and is no Exception.
        if type(failure).__name__ != "PanicException":
            raise
        raise _Refused(f"the decoder failed: {failure}") from failure


def _outlined(decoder: Any, payloads: list[bytes]) -> pa.RecordBatch:
    """The outline of messages as ptars makes it, _BITE at a time."""
    step = max(1, len(payloads) * _BITE // max(1, sum(map(len, payloads))))
    bites = range(0, max(1, len(payloads)), step)
    return pa.concat_batches([decoder.list_to_record_batch(payloads[at : at + step]) for at in bites])


def _branch(decoder: Any, lists: pa.ListArray) -> pa.StructArray:
    """Messages from their bytes; an entry without any becomes a row of zeros under NULL."""
    absent = pc.equal(pc.list_value_length(lists), _NONE)
    if not absent.true_count:
        return _decoded(decoder, lists.values)
    rows = _decoded(decoder, _joined(lists))
    return pa.StructArray.from_arrays(rows.flatten(), fields=list(rows.type), mask=absent)


def _decoded(decoder: Any, messages: pa.BinaryArray) -> pa.StructArray:
    """Messages from their bytes, _BITE at a time."""
    step = max(1, len(messages) * _BITE // messages.nbytes)
    batches = [decoder.array_to_record_batch(messages.slice(at, step)) for at in range(0, len(messages), step)]
    return pa.concat_arrays([batch.to_struct_array() for batch in batches])


def _joined(lists: pa.ListArray) -> pa.BinaryArray:
    """The bytes of each list in one piece, without copying them: they lie end to end."""
    ends, data = lists.values.buffers()[1:]
    bounds = pa.Array.from_buffers(pa.int32(), lists.values.offset + len(lists.values) + 1, [None, ends])
    starts = pc.array_take(bounds.slice(lists.values.offset), lists.offsets)
    return pa.Array.from_buffers(pa.binary(), len(lists), [None, starts.buffers()[1], data])


def _messages(outline: _Outline, branches: dict[str, pa.StructArray]) -> Messages:
    feed = outline.entries
    modes = feed.field("requestMode")
    return Messages(
        types=outline.batch.column("type"),
        times=outline.batch.column("currentTs"),
        infos=_infos(outline.batch.column("marketInfo")),
        parents=outline.parents,
        keys=outline.codes.dictionary_decode(),
        codes=outline.codes,
        modes=pc.if_else(feed.is_valid(), modes, 0) if feed.null_count else modes,
        branches=branches,
    )


def _infos(lists: pa.ListArray) -> dict[int, Any]:
    """Each message's market info; several in one message merge, which for protobuf is joining their bytes."""
    if not len(lists.values):
        return {}
    return {row: pb.MarketInfo.FromString(b"".join(parts)) for row, parts in enumerate(lists.to_pylist()) if parts}


def _parents(feeds: pa.MapArray) -> pa.Int64Array:
    # Arrow has this for lists only, and ends the process when asked for a map.
    return pc.list_parent_indices(pa.ListArray.from_arrays(feeds.offsets, feeds.keys))


def _refused(messages: Mapping[int, bytes]) -> dict[int, str]:
    """The messages that cannot be decoded, found by halving, and why not."""
    numbers = list(messages)
    try:
        _decode(list(messages.values()))
    except _Refused as failure:
        if len(numbers) == 1:
            return {numbers[0]: str(failure)}
        middle = len(numbers) // 2
        halves = ({number: messages[number] for number in half} for half in (numbers[:middle], numbers[middle:]))
        return {number: why for half in halves for number, why in _refused(half).items()}
    return {}


def _rewrite(messages: dict[int, bytes], reasons: Mapping[int, str], errors: dict[int, str]) -> None:
    """Put its rewritten form in place of each message named; what protobuf refuses too moves to `errors`.

    Raises _Unable when ptars refuses what protobuf wrote.
    """
    for number, reason in reasons.items():
        try:
            messages[number] = _rewritten(messages[number])
        except DecodeError:
            del messages[number]
            errors[number] = reason
            continue
        try:
            _decode([messages[number]])
        except _Refused as refused:
            raise _Unable("ptars refuses a message that protobuf accepts") from refused


def _rewritten(payload: bytes) -> bytes:
    """The message as protobuf would send it: branches merged or replaced, one entry a key, sorted by key."""
    message = parse(payload)
    message.DiscardUnknownFields()
    rewritten: bytes = message.SerializeToString(deterministic=True)
    return rewritten


def _ambiguous(outline: _Outline) -> list[int]:
    """The messages with an instrument twice, or with more than one branch for an instrument."""
    crowded = [outline.parents[entry].as_py() for entry in _crowded(outline)]
    return sorted(_repeated(outline).union(crowded))


def _crowded(outline: _Outline) -> list[int]:
    """The entries in which a branch comes twice, or two branches come."""
    lists, full = outline.occurrences(), outline.entries.field("fullFeed")
    beside, inside = (
        [pc.list_value_length(lists[name]) for name in _OUTLINED[message] if len(lists[name].values)]
        for message in ("Feed", "FullFeed")
    )
    if beside and full.null_count < len(full):
        # Even an empty fullFeed takes the place of what came before it.
        beside.append(full.is_valid().cast(pa.int32()))
    found = [pc.greater(functools.reduce(pc.add, counts), _ONE) for counts in (beside, inside) if counts]
    return [entry for rows in found if rows.true_count for entry in pc.indices_nonzero(rows).to_pylist()]


def _repeated(outline: _Outline) -> set[int]:
    """The messages that have a key more than once; in the order of instruments those entries follow each other."""
    same = pc.and_(*(pc.equal(each[1:], each[:-1]) for each in (outline.parents, outline.codes.indices)))
    return set(outline.parents[1:].filter(same).to_pylist()) if same.true_count else set()
