"""Peek: a message looked at without decoding it to columns: how many feeds, and of which instruments.

For the code beside the recording that must stay cheap: liveness, gaps, silent instruments, and for `quotes`. Needs no
Arrow. Garbage is answered with nothing, never with an exception; what is wrong with a message is for `tables` to say.
"""

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.message import DecodeError

from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode import wire
from tickrec.upstox.decode.wire import (
    CURRENT_TS,
    FEEDS,
    KEY,
    LAST_INSTANT,
    LIVE_FEED,
    MARKET_INFO,
    VALUE,
    outline,
    read_field,
    read_varint,
    sent,
)

STATUS: Final = {value.number: value.name for value in pb.DESCRIPTOR.enum_types_by_name["MarketStatus"].values}
"""What the number of a segment's status stands for."""
_MARKET_INFO: Final = bytes((1 << 3, MARKET_INFO))


def count_feeds(payload: bytes) -> int:
    """The number of feed entries in a message; 0 for market_info and garbage."""
    count = at = 0
    end = len(payload)
    try:
        while at < end:
            if payload[at] == FEEDS and (low := payload[at + 1]) > 0x7F > (high := payload[at + 2]):
                # Written out, as this runs for every entry received, and nearly all sizes have two bytes.
                at += 3 + low - 0x80 + (high << 7)
                count += 1
                continue
            tag, at = read_field(payload, at)
            count += tag == FEEDS
    except (IndexError, ValueError):
        return 0
    return count if at == end else 0


def feed_keys(payload: bytes) -> list[bytes]:
    """The instrument keys of a message's feed entries, as the bytes they are; none of market_info and garbage."""
    keys: list[bytes] = []
    at, end = 0, len(payload)
    try:
        while at < end:
            if payload[at] != FEEDS:
                _, at = read_field(payload, at)
                continue
            if (low := payload[at + 1]) > 0x7F > (high := payload[at + 2]):  # as in `count_feeds`
                size, at = low - 0x80 + (high << 7), at + 3
            else:
                size, at = read_varint(payload, at + 1)
            if payload[at] != KEY:  # in an order that nobody writes
                found = outline(payload)
                return [feed.instrument_key.encode() for feed in found.feeds] if found else []
            keys.append(payload[at + 2 : at + 2 + payload[at + 1]])
            at += size
    except (IndexError, ValueError):
        return []
    return keys if at == end else []


def sent_ms(payload: bytes) -> int | None:
    """When the broker says it sent a message (`currentTs`), in ms since the epoch; None where it does not say."""
    at, end, found = 0, len(payload), 0
    try:
        while at < end:
            if payload[at] == FEEDS and (low := payload[at + 1]) > 0x7F > (high := payload[at + 2]):
                at += 3 + low - 0x80 + (high << 7)  # as in count_feeds: this runs for every message, too
            elif payload[at] == CURRENT_TS:
                found, at = read_varint(payload, at + 1)
            else:
                _, at = read_field(payload, at)
    except (IndexError, ValueError):
        return None
    return found if 0 < found <= LAST_INSTANT else None


def is_market_info(payload: bytes) -> bool:
    """Whether a message tells the status of the segments."""
    return payload.startswith(_MARKET_INFO)


def is_live(payload: bytes) -> bool:
    """Whether a message tells of what has just happened, and not of what was when somebody subscribed."""
    return payload.startswith(LIVE_FEED)


def segment_status(payload: bytes) -> dict[str, str]:
    """The broker's word for what each segment does, such as NORMAL_OPEN, by segment."""
    message = parse(payload)
    if not message:
        return {}
    statuses = message.marketInfo.segmentStatus.items()
    return {segment: STATUS.get(number, f"unknown_{number}") for segment, number in statuses}


def served_keys(payload: bytes) -> set[str]:
    """The keys of the feed entries that say something.

    The broker answers a well-formed key that does not exist with an entry of empty messages (reported 2025-11), so an
    entry without a value other than zero in any column of `ticks` does not count.
    """
    message = parse(payload)
    return {key for key, feed in message.feeds.items() if _says_something(feed)} if message else set()


def last_prices(payload: bytes, keys: Iterable[str]) -> dict[str, float]:
    """The last prices, in rupees, of those of the instruments in `keys` that a message tells of.

    It looks for the keys as the broker writes them, and into nothing else.
    """
    prices: dict[str, float] = {}
    for key in keys:
        name = key.encode()
        at = payload.find(bytes((KEY, len(name))) + name + bytes((VALUE,)))
        if at >= 0 and (price := _last_price(payload, at + len(name) + 3)) > 0:
            prices[key] = price
    return prices


def _last_price(payload: bytes, at: int) -> float:
    """The last price in the feed whose length is at a place; 0 where there is none."""
    try:
        size, at = read_varint(payload, at)
        ltpc = ltpc_of(sent(pb.Feed.FromString(payload[at : at + size]))[1])
    except (IndexError, ValueError, DecodeError):
        return 0.0
    return ltpc.ltp if ltpc is not None else 0.0


def parse(payload: bytes) -> Any:
    """The message; None for garbage."""
    try:
        return wire.parse(payload)
    except DecodeError:
        return None


def ltpc_of(branch: Any) -> Any:
    """The last price of a branch, or None."""
    if branch is None or type(branch) is pb.LTPC:
        return branch
    return branch.ltpc if branch.HasField("ltpc") else None


def _says_something(feed: Any) -> bool:
    _, branch = sent(feed)
    ltpc = ltpc_of(branch)
    # Nearly always settled by the price.
    return bool(ltpc is not None and ltpc.ltp) or (branch is not None and _any_value(branch))


def _any_value(message: Any) -> bool:
    """Whether a message holds, at any depth, a number other than zero that `ticks` has a column for."""
    for field, value in message.ListFields():
        match field.name:
            case "ohlc":
                bars = {bar.interval: bar for bar in value if bar.interval in ("1d", "I1")}
                found = any(map(_any_value, bars.values()))
            case "bidAskQuote":
                found = any(map(_any_value, value))
            case "ltt" | "ts":
                found = 0 < value <= LAST_INSTANT
            case "interval":
                found = False
            case _:
                found = bool(value) if field.message_type is None else _any_value(value)
        if found:
            return True
    return False
