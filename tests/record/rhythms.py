"""A market of many rhythms: instruments that tick often and seldom, evenly and in bursts, that halt and are locked.

Nothing that it sends is lost, so everybody who is named as stale is a false alarm, but for those that are cut off.
"""

import math
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from tests.clocks import HandClock, at
from tickrec.clock import SECOND
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.market.instruments import Instrument
from tickrec.record.stale import LOOK_SECONDS, Staleness
from tickrec.schema import INSTRUMENTS
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb

OPEN, CLOSE = at("2026-11-23T09:15"), at("2026-11-23T15:30")
MINUTES: Final = (CLOSE - OPEN) // (60 * SECOND)
HALT_MINUTES: Final = 20
HALTED, LOCKED = 0.1, 0.03
"""The shares of the instruments that are halted once, and that are locked for the rest of the day."""
TRADES: Final = 0.5
"""The share of ticks that tell of a trade; the others are of the book."""
BURST: Final = 8
"""Ticks in a burst, on the mean."""


def instrument(key: str) -> Instrument:
    """One of which only key, symbol and segment matter."""
    fields: dict[str, Any] = dict.fromkeys(INSTRUMENTS.names)
    known = {"instrument_key": key, "segment": key.partition("|")[0], "symbol": key.partition("|")[2]}
    return Instrument(**fields | known)


def message(kind: int, sent_ns: int, feeds: Mapping[str, tuple[int, int] | None]) -> bytes:
    """A message of a kind with a feed for each key: the time of its last trade and its volume; None: an index, which
    has none."""
    found: Any = pb.FeedResponse(type=kind, currentTs=sent_ns // 10**6)
    for key, facts in feeds.items():
        if facts is None:
            index = found.feeds[key].fullFeed.indexFF
            index.ltpc.ltp, index.ltpc.ltt = 24_410.0, sent_ns // 10**6
            continue
        full = found.feeds[key].fullFeed.marketFF
        full.ltpc.ltp, full.ltpc.ltt, full.vtt = 100.0, facts[0] // 10**6, facts[1]
    payload: bytes = found.SerializeToString()
    return payload


class Listening:
    """What a run does for it: messages are heard, who is asked for again is answered a second later."""

    def __init__(self, keys: Sequence[str], *, answers: bool = True) -> None:
        self.clock = HandClock(OPEN)
        self.asked: list[tuple[int, str]] = []
        self.named: list[tuple[int, str]] = []
        """When somebody was named as stale."""
        self.silent: set[str] = set()
        """Those that are never answered."""
        self._answers = answers
        self._unanswered: list[str] = []
        self._stale: set[str] = set()
        wanted = {key: instrument(key) for key in keys}
        self.staleness = Staleness(self.clock, wanted, self._trades, self._ask)
        self.open()

    def _trades(self, _: Instrument, wall_ns: int) -> int | None:
        return OPEN if OPEN <= wall_ns < CLOSE else None

    def _ask(self, keys: Sequence[str]) -> None:
        self.asked += [(self.clock.now_ns, key) for key in keys]
        self._unanswered += keys if self._answers else []

    def open(self, conn: int = 1) -> None:
        """A connection is opened."""
        now_ns = self.clock.now_ns
        self.staleness.happened(Entry(EntryKind.CONNECTED, conn, now_ns, now_ns, encode_facts(keys=1)))

    def hear(self, payload: bytes, conn: int = 1) -> None:
        now_ns = self.clock.now_ns
        self.staleness.hear([Entry(EntryKind.MESSAGE, conn, now_ns, now_ns, payload)])

    def pass_second(self, feeds: Mapping[str, tuple[int, int] | None], state: Mapping[str, tuple[int, int]]) -> None:
        """A second goes by at whose end `feeds` tick; `state` is what a snapshot would tell."""
        self.clock.pass_s(1)
        now_ns = self.clock.now_ns
        if answered := {key: state.get(key) for key in self._unanswered if key not in self.silent}:
            self.hear(message(0, now_ns, answered))
        self._unanswered.clear()
        if feeds:
            self.hear(message(1, now_ns, feeds))
        if now_ns // SECOND % int(LOOK_SECONDS) == 0:
            self.staleness.look(now_ns)
            stale = {each.instrument.instrument_key for each in self.staleness.stale()}
            self.named += [(now_ns, key) for key in sorted(stale - self._stale)]
            self._stale = stale


def shape(minute: float) -> float:
    """How much more than usual happens in a minute of the day: most after the opening and before the close."""
    return 0.5 + 2.5 * math.exp(-minute / 20) + 1.5 * math.exp((minute - MINUTES) / 25)


SHAPE: Final = tuple(map(shape, range(MINUTES)))


class Rhythm:
    """The ticks of one instrument over a day, as seconds from the open."""

    def __init__(self, rate: float, chance: random.Random, *, bursty: bool) -> None:
        """`rate`: ticks a minute, on the mean of the day."""
        self.rate = rate
        self._chance = chance
        begin = chance.uniform(0, MINUTES - HALT_MINUTES) * 60
        self._still = (math.inf, math.inf)
        if (luck := chance.random()) < HALTED + LOCKED:
            self._still = begin, begin + HALT_MINUTES * 60 if luck < HALTED else math.inf
        self._size = BURST if bursty else 1

    def seconds(self) -> Iterator[float]:
        """When it ticks: thinned from the busiest minute's rate."""
        most = SHAPE[0] * self.rate / 60 / self._size
        second = 0.0
        while (second := second + self._chance.expovariate(most)) < MINUTES * 60:
            if self._chance.random() * SHAPE[0] > SHAPE[int(second / 60)]:
                continue
            moment = second
            for _ in range(1 if self._size == 1 else int(self._chance.expovariate(1 / self._size)) + 1):
                if not self._still[0] <= moment < self._still[1]:
                    yield moment
                moment += self._chance.expovariate(2.0)


class Market:
    """A day of instruments with rates from `slowest` to `fastest` a minute, half of them in bursts."""

    def __init__(self, count: int, *, slowest: float = 0.1, fastest: float = 50.0, seed: int = 1) -> None:
        chance = random.Random(seed)
        self.keys = [f"NSE_EQ|S{number:04}" for number in range(count)]
        self._due: dict[int, set[str]] = {}
        for number, key in enumerate(self.keys):
            rate = math.exp(chance.uniform(math.log(slowest), math.log(fastest)))
            for second in Rhythm(rate, chance, bursty=number % 2 == 1).seconds():
                self._due.setdefault(int(second), set()).add(key)
        self._chance = chance

    def play(self, listening: Listening, cut: Collection[str], cut_from: int, cut_until: int) -> None:
        """Send the day; of those that are cut off nothing between two minutes, though their trades go on."""
        state: dict[str, tuple[int, int]] = {}
        for second in range(MINUTES * 60):
            due = sorted(self._due.get(second, ()))
            for key in due:
                if key not in state or self._chance.random() < TRADES:
                    state[key] = OPEN + second * SECOND, state.get(key, (0, 0))[1] + 1
            cutting = cut_from <= second / 60 < cut_until
            listening.pass_second({key: state[key] for key in due if not (cutting and key in cut)}, state)
