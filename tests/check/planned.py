"""A planned day: what a server sends over a session, the faults that keep some of it away, and what must come of it.

The journal is written as a recorder would, entry by entry at exact times. What is missing is told by the plan and by
what was sent, and not by anything that the package has to say of it.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.clocks import at
from tests.days import SOURCE
from tickrec.clock import SECOND
from tickrec.journal import JournalWriter
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.store.paths import Store
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb

DATE = dt.date(2026, 11, 23)


def moment(time: str) -> int:
    """Wall nanoseconds of an IST time of the date."""
    return at(f"{DATE}T{time}")


OPEN, CLOSE = moment("09:15"), moment("15:30")


class Key(NamedTuple):
    """An instrument: it trades `qty` units every `every_s` seconds of the session."""

    name: str
    every_s: int
    qty: int
    conn: int = 1

    @property
    def instrument_key(self) -> str:
        return f"NSE_EQ|{self.name}"

    def volume(self, wall_ns: int) -> int:
        """Units traded on the date until a moment, that of a tick included."""
        return self.qty * max(0, (wall_ns - OPEN) // (self.every_s * SECOND))


@dataclass
class Expected:
    """What must be missing of a key."""

    spans: list[tuple[int, int]] = field(default_factory=list)
    """Wall nanoseconds, in order, within the session."""
    volume: int = 0

    @property
    def seconds(self) -> float:
        return sum(end - begin for begin, end in self.spans) / SECOND


class Planned:
    """Sends and records second by second; what goes wrong is told between."""

    def __init__(self, store: Store, keys: Sequence[Key]) -> None:
        self.keys = keys
        self.now_ns = OPEN - 60 * SECOND
        self.expected = {key: Expected() for key in keys}
        self._store = store
        self._writer: JournalWriter | None = None
        self._next_seq = 1
        self._up: set[int] = set()
        """Connections that bring what is sent."""
        self._mute: set[Key] = set()
        """Keys of which nothing is brought, whatever is sent."""
        self._shown = dict.fromkeys(keys, 0)
        """The volume that the recorder was shown last."""
        self._heard = {key.conn: self.now_ns for key in keys}
        self._missing_since: dict[Key, int | None] = dict.fromkeys(keys, OPEN)

    # What the server and the recorder do

    def run(self, silent: Sequence[Key] = ()) -> None:
        """Begin a run and connect."""
        self._writer = JournalWriter(
            self._store.journal(DATE), source=SOURCE, next_seq=self._next_seq, start_ns=self.now_ns
        )
        self._append(EntryKind.NOTE, 0, encode_facts(event="start"))
        rows = [["NSE_EQ", OPEN, CLOSE, "timings"]]
        self._append(EntryKind.NOTE, 0, encode_facts(event="sessions", sessions=rows))
        for conn in sorted({key.conn for key in self.keys}):
            wanted = [[key.instrument_key, key.name, "full"] for key in self.keys if key.conn == conn]
            self._append(EntryKind.NOTE, conn, encode_facts(event="wanted", keys=wanted))
            self.connect(conn, silent)

    def connect(self, conn: int = 1, silent: Sequence[Key] = ()) -> None:
        """Open a websocket, ask for its keys, and get the snapshots half a second later."""
        mine = [key for key in self.keys if key.conn == conn]
        self._append(EntryKind.CONNECTED, conn, encode_facts(host="h", attempt=1, keys=len(mine)))
        self._append(
            EntryKind.SUBSCRIBED, conn, encode_facts(mode="full", keys=[[key.instrument_key, key.name] for key in mine])
        )
        self.go_on(self.now_ns + SECOND // 2)
        answering = [key for key in mine if key not in silent and key not in self._mute]
        self._message(conn, answering, snapshot=True)
        self._up.add(conn)
        self._mute.update(silent)
        for key in answering:
            self._found(key, self.now_ns)

    def until(self, time: str) -> None:
        """Let the market go on until a moment, and record what comes."""
        self.go_on(moment(time))

    def go_on(self, until_ns: int) -> None:
        """Ticks come with whole seconds, one at the very end with what follows."""
        for now_ns in range(-(-self.now_ns // SECOND) * SECOND, until_ns, SECOND):
            self.now_ns = now_ns
            if OPEN < now_ns < CLOSE:
                for conn in sorted(self._up):
                    due = [key for key in self.keys if key.conn == conn and self._ticks_now(key)]
                    if heard := [key for key in due if key not in self._mute]:
                        self._message(conn, heard, snapshot=False)
        self.now_ns = until_ns

    def drop(self, conn: int, seconds: float) -> None:
        """Lose a connection, data of which ended with its last message, and get another after so long."""
        since_ns = self._heard[conn]
        self._append(
            EntryKind.DISCONNECTED, conn, encode_facts(code=1006, reason="connection reset", since_ns=since_ns)
        )
        self._up.discard(conn)
        for key in self.keys:
            if key.conn == conn:
                self._lost(key, since_ns)
        self.go_on(self.now_ns + int(seconds * SECOND))
        self.connect(conn)

    def mute(self, key: Key) -> None:
        """Let a key bring nothing from now on."""
        self._mute.add(key)
        self._lost(key, self._last_tick(key))

    def unmute(self, key: Key) -> None:
        """Let it go on; its next tick ends what is missing."""
        self._mute.discard(key)

    def kill(self) -> None:
        """End the run without a goodbye."""
        for key in self.keys:
            self._lost(key, self._heard[key.conn])
        self._over()

    def stop(self) -> None:
        """End the run with a goodbye."""
        for conn in sorted(self._up):
            facts = {"code": 1000, "reason": "stopped", "stopped": True, "since_ns": self.now_ns}
            self._append(EntryKind.DISCONNECTED, conn, encode_facts(**facts))
        self._append(EntryKind.CLOSED, 0, encode_facts(reason="planned end"))
        for key in self.keys:
            self._lost(key, self.now_ns)
        self._over()

    def close_books(self) -> None:
        """The session is over: what is still missing is missing to its end."""
        for key in self.keys:
            self._found(key, CLOSE, tells_volume=False)

    # What must come of it

    def _lost(self, key: Key, since_ns: int) -> None:
        if self._missing_since[key] is None:
            self._missing_since[key] = since_ns

    def _found(self, key: Key, now_ns: int, *, tells_volume: bool = True) -> None:
        since_ns = self._missing_since[key]
        if since_ns is not None:
            span = max(since_ns, OPEN), min(now_ns, CLOSE)
            if span[0] < span[1]:
                self.expected[key].spans.append(span)
        self._missing_since[key] = None
        if tells_volume:
            ticked = key.qty if self._ticks_now(key) and now_ns % SECOND == 0 else 0
            self.expected[key].volume += key.volume(now_ns) - self._shown[key] - ticked
            self._shown[key] = key.volume(now_ns)

    def _ticks_now(self, key: Key) -> bool:
        return (self.now_ns - OPEN) % (key.every_s * SECOND) == 0

    def _last_tick(self, key: Key) -> int:
        """When a key ticked last."""
        return OPEN + (self.now_ns - 1 - OPEN) // (key.every_s * SECOND) * (key.every_s * SECOND)

    # The journal

    def _message(self, conn: int, keys: Sequence[Key], *, snapshot: bool) -> None:
        message = pb.FeedResponse(type=0 if snapshot else 1, currentTs=self.now_ns // 1_000_000)
        for key in keys:
            volume = key.volume(self.now_ns)
            feed = message.feeds[key.instrument_key].fullFeed.marketFF
            feed.vtt = volume
            feed.ltpc.ltp, feed.ltpc.ltq = 100.0, key.qty if volume else 0
            feed.ltpc.ltt = (self.now_ns if volume else 0) // 1_000_000
            if not snapshot:
                self._found(key, self.now_ns)
        self._append(EntryKind.MESSAGE, conn, message.SerializeToString())
        self._heard[conn] = self.now_ns

    def _append(self, kind: EntryKind, conn: int, payload: bytes) -> None:
        assert self._writer is not None, "no run was begun"
        self._next_seq = self._writer.append(Entry(kind, conn, self.now_ns, self.now_ns, payload)) + 1

    def _over(self) -> None:
        assert self._writer is not None
        self._writer.close()
        self._writer = None
        self._up.clear()
