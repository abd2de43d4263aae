"""Modes: what a feed of one mode holds of another, as the broker would have sent it in that mode.

Owns the order of the modes and which field of a larger mode becomes which of a smaller one (docs:
v3/get-market-data-feed, 2026-09).
"""

from typing import Any, Final

from google.protobuf.message import DecodeError

from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode.wire import sent

MODES: Final = ("ltpc", "full", "option_greeks", "full_d30")
"""The modes as they are asked for, each at the number of its requestMode."""
_SIZES: Final = ("ltpc", "option_greeks", "full", "full_d30")
"""From the smallest to the largest."""
_FULL_LEVELS: Final = 5


def mode_name(number: int) -> str:
    """The mode of a requestMode; the largest for a number that the schema does not know: nothing is taken from it."""
    return MODES[number] if 0 <= number < len(MODES) else _SIZES[-1]


def holds(recorded: str, asked: str) -> bool:
    """Whether a feed recorded in one mode is more than what was asked for."""
    return _SIZES.index(recorded) > _SIZES.index(asked)


def reduced(entry: bytes, mode: str) -> bytes:
    """An entry of `feeds` (tag and length included, as in wire.Feed) in a smaller mode; as it is where it cannot be."""
    try:
        message = pb.FeedResponse.FromString(entry)
    except DecodeError:
        return entry
    found = pb.FeedResponse()
    for key, feed in message.feeds.items():
        smaller = found.feeds[key]
        smaller.requestMode = MODES.index(mode)
        _fill(smaller, feed, mode)
    return bytes(found.SerializeToString())


def _fill(smaller: Any, feed: Any, mode: str) -> None:
    name, part = sent(feed)
    if name in (None, "ltpc"):
        return
    if mode == "full":
        smaller.fullFeed.CopyFrom(feed.fullFeed)
        if smaller.fullFeed.HasField("marketFF"):
            del smaller.fullFeed.marketFF.marketLevel.bidAskQuote[_FULL_LEVELS:]
    elif mode == "option_greeks":
        _fill_greeks(smaller.firstLevelWithGreeks, part)
    elif part.HasField("ltpc"):
        smaller.ltpc.CopyFrom(part.ltpc)
    else:
        smaller.ltpc.SetInParent()


def _fill_greeks(smaller: Any, full: Any) -> None:
    """The first level and the greeks of a full feed; an index has neither."""
    if full.HasField("ltpc"):
        smaller.ltpc.CopyFrom(full.ltpc)
    if full.DESCRIPTOR.name != "MarketFullFeed":
        return
    if full.marketLevel.bidAskQuote:
        smaller.firstDepth.CopyFrom(full.marketLevel.bidAskQuote[0])
    if full.HasField("optionGreeks"):
        smaller.optionGreeks.CopyFrom(full.optionGreeks)
    smaller.vtt, smaller.oi, smaller.iv = full.vtt, full.oi, full.iv
