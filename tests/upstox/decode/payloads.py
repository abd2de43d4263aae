"""Payloads written by hand: messages of one entry, and fields as they lie on the wire."""

from typing import Any

from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb

KEY = "NSE_FO|125841"
INFO = pb.FeedResponse(type=2, currentTs=9, marketInfo={"segmentStatus": {"NSE_EQ": 2}}).SerializeToString()


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field on the wire."""
    size = len(content)
    return bytes([number << 3 | 2]) + (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + content


def entry_of(feed: bytes, key: str = KEY) -> bytes:
    """A message with one feed entry of these bytes."""
    return field(2, field(1, key.encode()) + field(2, feed))


def message(key: str = KEY, **feed: Any) -> bytes:
    """A message with one feed entry of these fields."""
    return bytes(pb.FeedResponse(type=1, currentTs=1742373998670, feeds={key: pb.Feed(**feed)}).SerializeToString())


def market(**fields: Any) -> bytes:
    """A message with one entry in full mode."""
    return message(requestMode=1, fullFeed={"marketFF": fields})
