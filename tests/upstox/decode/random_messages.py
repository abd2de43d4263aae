"""Random messages of the broker's schema, and damaged ones, from a seed."""

import functools
import random
import struct
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor

from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode.wire import read_field, varint

KEYS = ("NSE_EQ|INE002A01018", "NSE_FO|125841", "NSE_INDEX|Nifty 50", "MCX_FO|1", "", "é|ß|日本", "a\0b", "x" * 300)
REPEATED = ("bidAskQuote", "ohlc")
INTERVALS = ("1d", "I1", "I1", "1d", "I30", "", "1D", "ï")
NUMBERS = (0, 0, 1, -1, 75, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 1742373998921, 253402300799999, 253402300800000)
PRICES = (0.0, 0.0, -0.0, 0.05, 1313.7, -1.5, 1e300, 5e-324, float("inf"), float("-inf"), float("nan"))


class Field(NamedTuple):
    """A field of a message; `oneof` is empty for one of none."""

    name: str
    kind: int
    oneof: str


@functools.cache
def fields_of(descriptor: Any) -> list[Field]:
    """Those of a kind of message. To ask the library each time takes longer than all else here."""
    fields = [(field, field.containing_oneof) for field in descriptor.fields]
    return [Field(field.name, field.type, oneof.name if oneof else "") for field, oneof in fields]


class Maker:
    """Makes messages in which anything may be missing, zero, extreme or unknown."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def message(self, feeds: int) -> bytes:
        """A serialized message of up to `feeds` entries."""
        message: Any = pb.FeedResponse()
        message.type = self.random.choice((0, 1, 1, 1, 2, 7, -3))
        message.currentTs = self.number()
        for _ in range(self.random.randint(0, feeds)):
            self.feed(message.feeds[self.key()])
        if self.random.random() < 0.1:
            self.info(message.marketInfo)
        return bytes(message.SerializeToString()) + self.unknown()

    def key(self) -> str:
        """One of the odd keys, or one of many."""
        return self.random.choice(KEYS) if self.random.random() < 0.3 else f"NSE_FO|{self.random.randrange(10**6)}"

    def number(self) -> int:
        """An int64."""
        return self.random.choice(NUMBERS) if self.random.random() < 0.7 else self.random.getrandbits(40)

    def price(self) -> float:
        """A double, of whatever bits."""
        if self.random.random() < 0.1:
            return float(struct.unpack("<d", self.random.randbytes(8))[0])
        return self.random.choice(PRICES) if self.random.random() < 0.5 else round(self.random.uniform(0, 5000), 2)

    def fill(self, message: Any) -> None:
        """Set some of the fields, at every depth."""
        for field in fields_of(message.DESCRIPTOR):
            if self.random.random() < 0.25 or (field.oneof and message.WhichOneof(field.oneof)):
                continue
            if field.name in REPEATED:
                for _ in range(self.random.choice((0, 1, 2, 2, 5, 5, 30))):
                    self.fill(getattr(message, field.name).add())
            elif field.kind == FieldDescriptor.TYPE_MESSAGE:
                getattr(message, field.name).SetInParent()
                self.fill(getattr(message, field.name))
            else:
                setattr(message, field.name, self.value(field.kind))

    def value(self, kind: int) -> object:
        """A value for a scalar field."""
        if kind == FieldDescriptor.TYPE_DOUBLE:
            return self.price()
        if kind == FieldDescriptor.TYPE_STRING:
            return self.random.choice(INTERVALS)
        if kind == FieldDescriptor.TYPE_ENUM:
            return self.random.choice((0, 1, 1, 1, 2, 3, 9, -1))
        return self.random.random() < 0.5 if kind == FieldDescriptor.TYPE_BOOL else self.number()

    def feed(self, feed: Any) -> None:
        """One entry, of any branch or none."""
        match self.random.choice(("ltpc", "marketFF", "marketFF", "indexFF", "firstLevelWithGreeks", "empty", "any")):
            case "empty":
                pass
            case "any":
                self.fill(feed)
            case name:
                branch = getattr(feed.fullFeed if name.endswith("FF") else feed, name)
                branch.SetInParent()
                self.fill(branch)
        feed.requestMode = self.random.choice((0, 1, 1, 2, 3, 4, -1))

    def info(self, info: Any) -> None:
        """A market_info body."""
        for segment in self.random.sample(("NSE_EQ", "NSE_FO", "BSE_EQ", "", "ÄÖ"), 3):
            info.segmentStatus[segment] = self.random.choice((0, 1, 2, 5, 6, -1))
            info.casMarketStatus[segment].status = self.random.choice(("CTS_CLOSE", "", "x"))
            info.preOpenSessionStatus[segment].updatedTime = self.number()

    def unknown(self) -> bytes:
        """Nothing, or fields of a later schema."""
        return self.random.choice((b"", b"", b"\xa2\x06\x02hi", b"\xf8\x07\x05", b"\xab\x06\x08\x01\xac\x06"))

    def groups(self, payload: bytes) -> bytes:
        """The payload with the beginnings and ends of groups between its fields, or in its last one."""
        at, ends = 0, [0]
        while at < len(payload):
            _, at = read_field(payload, at)
            ends.append(at)
        at = self.random.choice(ends)
        tags = [varint(self.random.choice((2, 9, 100)) << 3 | self.random.choice((3, 4))) for _ in range(3)]
        return payload[:at] + b"".join(tags[: self.random.randint(1, 3)]) + payload[at:]

    def damaged(self, payload: bytes) -> bytes:
        """The payload cut, with flipped bits, with bytes removed, doubled or exchanged."""
        data = bytearray(payload)
        for _ in range(self.random.randint(1, 4)):
            at = self.random.randrange(len(data) + 1)
            match self.random.randrange(6):
                case 0:
                    del data[at:]
                case 1 if data:
                    data[at % len(data)] ^= 1 << self.random.randrange(8)
                case 2:
                    del data[at : at + self.random.randint(1, 20)]
                case 3:
                    data[at:at] = self.random.randbytes(self.random.randint(1, 12))
                case 4:
                    data[at:at] = data[: self.random.randint(0, 200)]
                case _:
                    data += payload[at:]
        return bytes(data)
