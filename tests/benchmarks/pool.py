"""Messages to measure with: a synthetic market's, as the broker encodes them, kept ready to send in a file.

220 instruments (shares, indices, futures, options of two indices) in full mode, 900 ticks a second of market time: 30
messages a second of 30 of them, or 4 of nearly all of them, as the broker sends. Making them costs some 30 us a tick,
so they are made once a date and read from a file by whoever sends or decodes them. With every message goes what a
recording of it must add up to.
"""

import datetime as dt
import mmap
import os
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, Self

from websockets.frames import Frame, Opcode

from tickrec.clock import IST, SECOND, SystemClock, from_datetime
from tickrec.market.calendar import trading_date
from tickrec.serve.synthetic.market import Market, Wheel
from tickrec.serve.synthetic.messages import FeedEncoder
from tickrec.serve.synthetic.phases import Hours
from tickrec.serve.synthetic.prices import Security
from tickrec.upstox.decode.wire import frame

TICKS_A_MESSAGE: Final = 30
MESSAGES_A_SECOND: Final = 30
SEED: Final = 1


class Pace(NamedTuple):
    """How a market is cut into messages."""

    messages: int
    """A second."""
    ticks: int
    """In a message, at most."""


FINE: Final = Pace(MESSAGES_A_SECOND, TICKS_A_MESSAGE)
COARSE: Final = Pace(4, 225)
"""As the broker sends; some of the instruments that move twice in that time are counted once."""
_KINDS: Final = (("INDEX", 6, ()), ("EQ", 94, ()), ("FUT", 20, ()))
_OPTIONS: Final = tuple((kind, 50, ("NIFTY", "BANKNIFTY")) for kind in ("CE", "PE"))
INSTRUMENTS: Final = sum(count for _, count, _ in (*_KINDS, *_OPTIONS))
_CHUNK: Final = 512 * 1024


class Sums(NamedTuple):
    """What messages add up to, exactly: whole numbers only."""

    ticks: int = 0
    volume: int = 0
    """Of vtt."""
    paise: int = 0
    """Of ltp."""
    quantity: int = 0
    """Of the ask quantities of all levels."""
    bytes: int = 0
    """Of payloads."""

    def plus(self, other: "Sums") -> "Sums":
        """Both together."""
        return Sums(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def newest_date() -> dt.date:
    """The newest date of which a morning is over: `check` knows nothing of one that has not begun."""
    return trading_date(SystemClock.wall_ns() - 12 * 3600 * SECOND)


class Quotes:
    """The market that the messages are about, from 09:15 of the newest date on."""

    def __init__(self) -> None:
        self.wall_ns = from_datetime(dt.datetime.combine(newest_date(), dt.time(9, 15), IST))
        self.market = Market(SEED, Hours(always_open=True), self.wall_ns)
        self.keys = [key for wanted in (*_KINDS, *_OPTIONS) for key in self._busiest(*wanted)]
        self._securities = {key: self._security(key) for key in self.keys}
        self._encoders = {key: FeedEncoder(security, "full") for key, security in self._securities.items()}
        self._wheel = Wheel(self._securities.values(), SEED)

    @property
    def symbols(self) -> dict[str, str]:
        """The trading symbol of each key."""
        return {key: self.market.master.listings[key].symbol for key in self.keys}

    def _busiest(self, kind: str, count: int, underlyings: tuple[str, ...]) -> list[str]:
        listed = [
            each
            for each in self.market.master.listings.values()
            if each.kind == kind and (not underlyings or each.underlying_symbol in underlyings)
        ]
        return [each.key for each in sorted(listed, key=lambda each: -each.weight)[:count]]

    def _security(self, key: str) -> Security:
        security = self.market.security(key, self.wall_ns)
        assert security is not None
        return security

    def snapshot(self, keys: Iterable[str]) -> tuple[bytes, Sums]:
        """The first answer about some of the keys."""
        return self._message([self._securities[key] for key in keys], snapshot=True)

    def live(self, pace: Pace = FINE) -> tuple[bytes, Sums]:
        """The next message: instruments that have moved."""
        self.wall_ns += SECOND // pace.messages
        moved = self.market.move(self._wheel.take(pace.ticks), self.wall_ns)
        return self._message(moved, snapshot=False)

    def _message(self, securities: list[Security], *, snapshot: bool) -> tuple[bytes, Sums]:
        now = self.wall_ns // 1_000_000
        entries = [
            self._encoders[each.listing.key].entry(self.market.phase(each, self.wall_ns), now) for each in securities
        ]
        payload = frame(entries, now, snapshot=snapshot)
        traded = [each for each in securities if each.listing.kind != "INDEX"]
        sums = Sums(
            ticks=len(securities),
            volume=sum(each.vtt for each in traded),
            paise=sum(each.ltp for each in securities),
            quantity=sum(sum(each.book.ask_qtys[:5]) for each in traded),
            bytes=len(payload),
        )
        return payload, sums


class Pool:
    """The file: websocket frames one after the other, their ends, and their sums."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.frames = memoryview(self._map)
        self._ends = _read("Q", path.with_suffix(".ends"))
        self._sums = _read("q", path.with_suffix(".sums"))

    def __len__(self) -> int:
        return len(self._ends)

    def frame(self, number: int) -> memoryview:
        """A message as a websocket server sends it; after the last comes the first again."""
        number %= len(self)
        return self.frames[self._begin(number) : self._ends[number]]

    def payload(self, number: int) -> bytes:
        """The message itself."""
        return bytes(self.frame(number)[-self._field(number % len(self), "bytes") :])

    def chunks(self, messages: int) -> Iterator[memoryview]:
        """So many messages, in pieces as large as a socket takes in one go."""
        first = 0
        while first < messages:
            at = first % len(self)
            last = min(len(self), at + messages - first)
            ends = range(at, last)
            size = next((n + 1 for n in ends if self._ends[n] - self._begin(at) >= _CHUNK), last) - at
            yield self.frames[self._begin(at) : self._ends[at + size - 1]]
            first += size

    def sums(self, messages: int) -> Sums:
        """What the first so many messages add up to, lap after lap."""
        laps, rest = divmod(messages, len(self))
        width = len(Sums._fields)

        def total(field: int) -> int:
            column = self._sums[field::width]
            return laps * sum(column) + sum(column[:rest])

        return Sums(*map(total, range(width)))

    def _begin(self, number: int) -> int:
        return self._ends[number - 1] if number else 0

    def _field(self, number: int, name: str) -> int:
        return self._sums[number * len(Sums._fields) + Sums._fields.index(name)]

    @classmethod
    def make(cls, folder: Path, messages: int, pace: Pace = FINE) -> Self:
        """The pool of today with so many messages; made if it is not there yet."""
        path = folder / f"{newest_date()}-{messages}x{pace.ticks}.frames"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _write(path, messages, pace)
        return cls(path)


def _write(path: Path, messages: int, pace: Pace) -> None:
    quotes, ends, sums, end = Quotes(), array("Q"), array("q"), 0
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        for _ in range(messages):
            payload, numbers = quotes.live(pace)
            end += file.write(Frame(Opcode.BINARY, payload).serialize(mask=False))
            ends.append(end)
            sums.extend(numbers)
    path.with_suffix(".ends").write_bytes(ends.tobytes())
    path.with_suffix(".sums").write_bytes(sums.tobytes())
    os.replace(draft, path)


def _read(kind: str, path: Path) -> "array[int]":
    numbers: array[int] = array(kind)
    numbers.frombytes(path.read_bytes())
    return numbers
