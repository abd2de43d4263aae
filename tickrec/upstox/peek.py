"""A message looked at without decoding it to columns: how many feeds, of which instruments, the last prices.

For the code beside the recording that must stay cheap: liveness, gaps, silent instruments, the live table. Garbage is
answered with nothing, never with an exception; what is wrong with a message is for `decode` to say.
"""

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import DecodeError

from tickrec import schema
from tickrec.live import Quote
from tickrec.upstox import MarketDataFeedV3_pb2 as pb

_FEEDS: Final = 2 << 3 | 2
"""The tag of an entry of the map `feeds`: field 2, length-delimited."""
_VALUES: Final = tuple(schema.TICKS.names[schema.TICKS.names.index("ltp") :])
"""The columns of `ticks` whose values the broker sent; the ones before say where a row came from."""


def count_feeds(payload: bytes) -> int:
    """The number of feed entries in a message; 0 for market_info and garbage."""
    try:
        return sum(tag == _FEEDS for tag in _tags(payload))
    except (IndexError, ValueError):
        return 0


def carries_feeds(payload: bytes) -> bool:
    """Whether a message has at least one feed entry; looks at the fields before it only."""
    try:
        return _FEEDS in _tags(payload)
    except (IndexError, ValueError):
        return False


def served_keys(payload: bytes) -> set[str]:
    """The keys of the feed entries that say something.

    The broker answers a well-formed key that does not exist with an entry of empty messages (reported 2025-11), so an
    entry without any value other than zero does not count.
    """
    message = _parse(payload)
    return {key for key, feed in message.feeds.items() if _says_something(feed)} if message else set()


def served(ticks: pa.Table) -> pa.ChunkedArray:
    """For each row of `ticks` whether it says something, by the rule of `served_keys`."""
    found = pa.chunked_array([pa.nulls(ticks.num_rows, pa.bool_()).fill_null(False)])
    for name in _VALUES:
        column = ticks.column(name)
        if pa.types.is_list(column.type):
            continue
        zero = pa.scalar(0, pa.int64()).cast(column.type) if column.type != pa.bool_() else pa.scalar(False)
        found = pc.or_(found, pc.fill_null(pc.not_equal(column, zero), False))
    return found


def quotes(payload: bytes) -> list[Quote]:
    """The fields of the live table of each feed entry."""
    message = _parse(payload)
    return [_quote(key, feed) for key, feed in message.feeds.items()] if message else []


def _parse(payload: bytes) -> Any:
    try:
        return pb.FeedResponse.FromString(payload)
    except DecodeError:
        return None


def _tags(payload: bytes) -> Iterator[int]:
    """The tags of the message's own fields in order; IndexError or ValueError where it is malformed."""
    at, end = 0, len(payload)
    while at < end:
        tag, at = _varint(payload, at)
        match tag & 7:
            case 0:
                _, at = _varint(payload, at)
            case 1:
                at += 8
            case 2:
                size, at = _varint(payload, at)
                at += size
            case 5:
                at += 4
            case _:
                raise ValueError(tag)
        if at > end:
            raise IndexError(at)
        yield tag


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = payload[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
        if shift > 63:
            raise ValueError(at)


def _branch(feed: Any) -> Any:
    """The message that was sent for an instrument, or None."""
    name = feed.WhichOneof("FeedUnion")
    if name != "fullFeed":
        return getattr(feed, name) if name else None
    name = feed.fullFeed.WhichOneof("FullFeedUnion")
    return getattr(feed.fullFeed, name) if name else None


def _ltpc(feed: Any, branch: Any) -> Any:
    if branch is None:
        return None
    if feed.HasField("ltpc"):
        return branch
    return branch.ltpc if branch.HasField("ltpc") else None


def _says_something(feed: Any) -> bool:
    branch = _branch(feed)
    if branch is None:
        return False
    ltpc = _ltpc(feed, branch)
    return bool(ltpc is not None and ltpc.ltp) or _any_value(branch)


def _any_value(message: Any) -> bool:
    """Whether a message holds a number other than zero at any depth."""
    for field, value in message.ListFields():
        if field.message_type is None:
            if field.type != field.TYPE_STRING:
                return True
        elif any(map(_any_value, value if field.is_repeated else (value,))):
            return True
    return False


def _quote(key: str, feed: Any) -> Quote:
    branch = _branch(feed)
    ltpc = _ltpc(feed, branch)
    ltp, cp, ltt = (ltpc.ltp, ltpc.cp, ltpc.ltt or None) if ltpc is not None else (None, None, None)
    kind = type(branch)
    if kind is pb.MarketFullFeed:
        levels = branch.marketLevel.bidAskQuote
        level = levels[0] if levels else None
    elif kind is pb.FirstLevelWithGreeks:
        level = branch.firstDepth if branch.HasField("firstDepth") else None
    else:
        return Quote(key, ltp, cp, None, None, None, None, ltt)
    bid, ask = (level.bidP, level.askP) if level is not None else (None, None)
    return Quote(key, ltp, cp, bid, ask, branch.vtt, branch.oi, ltt)
