"""Wire: the bytes of a message, taken apart and put together without decoding what is inside.

Owns the notation of protobuf as far as a message's outline needs it: numbers, fields, the entries of `feeds`. Knows
nothing of prices.
"""

from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb

FEEDS: Final = 2 << 3 | 2
"""The tag of an entry of the map `feeds`: field 2, length-delimited."""
CURRENT_TS: Final = 3 << 3
"""The tag of `currentTs`: field 3, a number."""
LAST_INSTANT: Final = 253_402_300_799_999
"""The end of the year 9999 in ms: what every reader of the files can represent."""
MARKET_INFO: Final = 2
"""The type of a message about the state of the segments."""
LIVE_FEED: Final = b"\x08\x01"
"""How a live_feed begins: with its type, field 1. That of an initial_feed is zero, which proto3 does not send."""
KEY: Final = 0x0A
"""The tag of the key of an entry of a map: field 1, length-delimited."""
VALUE: Final = 0x12
"""That of its value."""
_MODE, _INFO = 0x20, 0x22
_KNOWN: Final = (1 << 3, CURRENT_TS, _INFO)
"""The tags of a message's fields beside `feeds`."""
_BRANCHES: Final = (0x0A, 0x12, 0x1A)
_DEEPER: Final = {3: 1, 4: -1}
"""Wire types that begin and end a group, an old way of nesting that the broker does not use."""
_BITS: Final = 0xFFFF_FFFF_FFFF_FFFF
_NEGATIVE: Final = 1 << 63
"""From here on a number on the wire stands for one below zero."""


class Feed(NamedTuple):
    """One entry of `feeds`, with the bytes that stand for it in a message, tag and length included."""

    instrument_key: str
    mode: int
    """The number of its requestMode."""
    data: bytes


class Outline(NamedTuple):
    """What a message consists of."""

    type: int
    sent_ms: int
    """currentTs, 0 where it is not sent."""
    feeds: list[Feed]


def outline(payload: bytes, skipped: Collection[bytes] = ()) -> Outline | None:
    """Take a message apart; None for what is no message of the feed. What is inside of a feed is not looked at.

    Feeds of the keys in `skipped` (as bytes) may be left out, which is several times as fast.
    """
    kind = moment = at = 0
    feeds: list[Feed] = []
    end = len(payload)
    try:
        while at < end:
            tag = payload[at]
            if tag == FEEDS:
                start = at
                size, at = read_varint(payload, at + 1)
                if skipped and payload[at + 2 : at + 2 + payload[at + 1]] in skipped:
                    at += size
                    continue
                feed = _feed(payload, start, at, at + size)
                if feed is None:
                    return _odd(payload)
                feeds.append(feed)
                at += size
            elif tag == 0x08:
                kind, at = read_varint(payload, at + 1)
            elif tag == CURRENT_TS:
                moment, at = read_varint(payload, at + 1)
            elif tag == _INFO:
                size, at = read_varint(payload, at + 1)
                at += size
            else:
                return _odd(payload)
    except (IndexError, ValueError):
        return _odd(payload)
    plain = at == end and kind <= MARKET_INFO and moment < _NEGATIVE
    return Outline(kind, moment, feeds) if plain else _odd(payload)


def _feed(payload: bytes, start: int, at: int, end: int) -> Feed | None:
    """The entry whose content is from `at` to `end`; None when it is not written as the broker writes it."""
    if end > len(payload) or payload[at] != KEY or (length := payload[at + 1]) > 0x7F:
        return None
    value = at + 2 + length
    if payload[value] != VALUE:
        return None
    size, inside = read_varint(payload, value + 1)
    if inside + size != end or payload[inside] not in _BRANCHES:
        return None
    size, branch = read_varint(payload, inside + 1)
    rest = branch + size
    if rest == end:
        mode = 0
    elif rest + 2 == end and payload[rest] == _MODE:
        mode = payload[rest + 1]
    else:
        return None
    return Feed(payload[at + 2 : value].decode(), mode, payload[start:end])


def parse(payload: bytes) -> Any:
    """A message as protobuf's specification has it. Raises DecodeError.

    Its C implementation drops an entry of a map that has an unknown field; here the field is passed over.
    """
    message: Any = pb.FeedResponse.FromString(payload)
    if any(field.field_number == FEEDS >> 3 for field in UnknownFieldSet(message)):
        return pb.FeedResponse.FromString(known_fields(payload))
    return message


def sent(feed: Any) -> tuple[str | None, Any]:
    """The name and the message of what was sent for an instrument; None when nothing was."""
    name = feed.WhichOneof("FeedUnion")
    if name == "fullFeed":
        feed = feed.fullFeed
        name = feed.WhichOneof("FullFeedUnion")
    return name, getattr(feed, name) if name else None


def known_fields(payload: bytes) -> bytes:
    """A message without the fields that the schema does not have, in itself and in the entries of `feeds`.

    What is wrong with those, such as a group that does not end, goes with them. Raises DecodeError where the message is
    not made of fields.
    """
    known, at, depth = bytearray(), 0, 0
    try:
        while at < len(payload):
            start = at
            tag, at = read_field(payload, at)
            if tag & 7 in _DEEPER:
                depth += _DEEPER[tag & 7]
            elif tag == FEEDS and not depth:
                _, inside = read_varint(payload, read_varint(payload, start)[1])
                entry = _known_entry(payload[inside:at])
                known += bytes((FEEDS,)) + varint(len(entry)) + entry
            elif not depth and tag in _KNOWN:
                known += payload[start:at]
    except (IndexError, ValueError) as error:
        raise DecodeError(str(error)) from None
    return bytes(known)


def _known_entry(entry: bytes) -> bytes:
    known, at, depth = bytearray(), 0, 0
    while at < len(entry):
        start = at
        tag, at = read_field(entry, at)
        depth += _DEEPER.get(tag & 7, 0)
        if not depth and tag in (KEY, VALUE):
            known += entry[start:at]
    return bytes(known)


def _odd(payload: bytes) -> Outline | None:
    """The outline of a message that is written in another order or with more than it needs."""
    try:
        message = parse(payload)
    except DecodeError:
        return None
    feeds = []
    for key, feed in message.feeds.items():
        alone = pb.FeedResponse()
        alone.feeds[key].CopyFrom(feed)
        feeds.append(Feed(key, feed.requestMode, alone.SerializeToString()))
    return Outline(message.type, message.currentTs, feeds)


def frame(feeds: Iterable[bytes], sent_ms: int, *, snapshot: bool) -> bytes:
    """A whole message of `feeds`, each as in Feed.data: an initial_feed if it is a `snapshot`, else a live_feed."""
    return b"".join((b"" if snapshot else LIVE_FEED, *feeds, bytes((CURRENT_TS,)), varint(sent_ms)))


def read_field(payload: bytes, at: int) -> tuple[int, int]:
    """The tag of the field at a place, and the place after the field, which may be beyond the end.

    Raises IndexError or ValueError where nothing of the kind can be read.
    """
    tag, at = read_varint(payload, at)
    match tag & 7:
        case 0:
            _, at = read_varint(payload, at)
        case 1:
            at += 8
        case 2:
            size, at = read_varint(payload, at)
            at += size
        case 5:
            at += 4
        case 3 | 4:
            pass  # the ends of a group, which proto3 does not have; what is inside is walked like the rest
        case _:
            raise ValueError(tag)
    return tag, at


def read_varint(payload: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place after it. Raises IndexError or ValueError where there is none."""
    byte = payload[at]
    if byte < 0x80:
        return byte, at + 1
    following = payload[at + 1]
    if following < 0x80:  # nearly every length is one of these two
        return byte & 0x7F | following << 7, at + 2
    number = byte & 0x7F | (following & 0x7F) << 7
    for place in range(2, 10):
        byte = payload[at + place]
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, at + place + 1
    raise ValueError(at)


def varint(number: int) -> bytes:
    """A number as protobuf writes it; a negative one takes ten bytes."""
    number &= _BITS
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
