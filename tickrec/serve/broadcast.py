"""What the simulated broker sends to its websockets, and when.

Owns the open connections, the pace of the market, and the faults that strike connections. Knows nothing about HTTP,
tokens and how a connection came to be.
"""

import random
from typing import Any, Final

from tickrec.clock import SECOND, Clock
from tickrec.serve.client import Session
from tickrec.serve.faults import Fault, Lasting
from tickrec.serve.synthetic.messages import Painter, empty_entry, frame, market_info_frame, varint
from tickrec.serve.synthetic.prices import Market, Wheel

_UNKNOWN_FIELD: Final = varint(1000 << 3 | 2)
"""Tag of a bytes field that no schema has."""
_OVERSIZE: Final = 2 * 1024 * 1024
_LATE_MS: Final = 1000


class Broadcast:
    """The stream of frames to all connections.

    Each flush lets some of the subscribed instruments move, `rate` a second in all, and sends every connection those
    of its keys that changed.
    """

    def __init__(
        self, market: Market, lasting: Lasting, clock: Clock, *, rate: float, ping_interval: float, seed: int
    ) -> None:
        self._market = market
        self._lasting = lasting
        self._clock = clock
        self._rate = rate
        self._ping_ns = int(ping_interval * SECOND)
        self._seed = seed
        self._sessions: dict[int, Session] = {}
        self._painters: dict[tuple[str, str], Painter] = {}
        self._wheel: Wheel | None = None
        self._chance = random.Random(f"{seed} times")
        self._budget = 0.0
        self._ticks = 0
        wall = clock.wall_ns()
        self._info = market.hours.market_info(wall)
        self._info_second = wall // SECOND

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._sessions)

    def stats(self) -> dict[str, Any]:
        """Open connections, feeds sent so far, and instruments subscribed now."""
        subscribed = {key for session in self._sessions.values() for key in session.subscriptions.modes}
        return {"connections": len(self._sessions), "ticks": self._ticks, "subscribed": len(subscribed)}

    def join(self, session: Session) -> None:
        """Take a new connection in; the first it gets is market_info."""
        self._sessions[session.number] = session
        session.send(market_info_frame(self._info, self._clock.wall_ns() // 1_000_000), self._clock.monotonic_ns())

    def leave(self, session: Session) -> None:
        """Forget a connection that has ended."""
        del self._sessions[session.number]
        self._wheel = None

    def hear(self, session: Session, message: bytes) -> None:
        """Act on a client's request: a snapshot of what was subscribed, silence about everything else."""
        asked = session.subscriptions.take(message)
        self._wheel = None
        self._send_snapshot(session, asked.snapshot)
        session.pending.update((key, None) for key in asked.changed)

    def flush(self, seconds: float, now: int) -> None:
        """Let the market move by `seconds` and send what changed; `now` is monotonic ns."""
        wall = self._clock.wall_ns()
        self._market.turn(wall)
        sessions = [session for session in self._sessions.values() if session.open]
        if wall // SECOND != self._info_second:
            self._announce(wall, sessions, now)
        self._budget += self._rate * seconds
        count = int(self._budget)
        self._budget -= count
        moved = [x.listing.key for x in self._market.move(self._spun().take(count), wall)]
        for session in sessions:
            self._stream(session, moved, now)

    def strike(self, fault: Fault) -> None:
        """Let a fault strike every connection."""
        now = self._clock.monotonic_ns()
        for session in [x for x in self._sessions.values() if x.open]:
            keys = list(session.subscriptions.modes)
            match fault.kind:
                case "drop":
                    session.reset(self._frame(session, keys) if fault.arg else b"")
                case "close":
                    session.close(int(fault.arg or 1001), "simulated")
                case "stall":
                    session.stalled_until = now + int(float(fault.arg or 30) * SECOND)
                case "garbage" if fault.arg == "text":
                    session.send(b'{"status":"failed","error":"simulated"}', now, text=True)
                case "garbage":
                    session.send(b"\x0a\xff\xff\xff\xff\xff\xff not a message", now)
                case "oversize":
                    size = int(float(fault.arg or _OVERSIZE))
                    self._send_feeds(session, keys, padding=_UNKNOWN_FIELD + varint(size) + bytes(size))
                case "snapshot":
                    self._send_snapshot(session, keys)

    def _announce(self, wall: int, sessions: list[Session], now: int) -> None:
        """Send market_info when a segment's state has changed; looked at once a second."""
        self._info_second = wall // SECOND
        info = self._market.hours.market_info(wall)
        if info == self._info:
            return
        self._info = info
        for session in sessions:
            if now >= session.stalled_until:
                session.send(market_info_frame(info, wall // 1_000_000), now)

    def _stream(self, session: Session, moved: list[str], now: int) -> None:
        """Send a connection what changed among its keys; a ping after a while without anything."""
        modes = session.subscriptions.modes
        session.pending.update((key, None) for key in moved if key in modes)
        if now < session.stalled_until or session.behind:
            return
        if self._lasting.mute(now):
            session.pending.clear()
        keys = [key for key in session.pending if key in modes and key not in self._lasting.silent]
        session.pending.clear()
        if keys:
            self._send_feeds(session, keys)
        elif now - session.last_sent > self._ping_ns:
            session.ping(now)

    def _spun(self) -> Wheel:
        """The wheel of all subscribed instruments; a new one after subscriptions changed."""
        if self._wheel is None:
            wall = self._clock.wall_ns()
            keys = dict.fromkeys(key for session in self._sessions.values() for key in session.subscriptions.modes)
            securities = [self._market.security(key, wall) for key in keys]
            self._wheel = Wheel([x for x in securities if x is not None], self._seed)
        return self._wheel

    def _send_snapshot(self, session: Session, keys: list[str]) -> None:
        now = self._clock.monotonic_ns()
        wanted = [key for key in keys if key not in self._lasting.silent]
        if wanted and now >= session.stalled_until and not self._lasting.mute(now):
            self._send_feeds(session, wanted, snapshot=True)

    def _send_feeds(self, session: Session, keys: list[str], *, snapshot: bool = False, padding: bytes = b"") -> None:
        payload = self._frame(session, keys, snapshot=snapshot) + padding
        if session.send(payload, self._clock.monotonic_ns()):
            self._ticks += len(keys)

    def _frame(self, session: Session, keys: list[str], *, snapshot: bool = False) -> bytes:
        wall = self._clock.wall_ns()
        modes = session.subscriptions.modes
        partial = self._lasting.partial(self._clock.monotonic_ns())
        entries = [self._entry(key, modes[key], wall, partial=partial) for key in keys]
        moment = wall // 1_000_000
        if self._lasting.late(self._clock.monotonic_ns()):
            moment -= self._chance.randrange(_LATE_MS)
        return frame(entries, moment, snapshot=snapshot)

    def _entry(self, key: str, mode: str, wall: int, *, partial: bool) -> bytes:
        painter = self._painters.get((key, mode))
        if painter is None:
            security = self._market.security(key, wall)
            if security is None:
                return empty_entry(key, mode)
            painter = self._painters[(key, mode)] = Painter(security, mode)
        entry = painter.entry(self._market.phase(painter.security, wall), wall // 1_000_000)
        return painter.partial() if partial else entry
