"""Liveness: whether an open websocket still lives, and where its data ends.

Owns when to ping, when an unanswered ping or a silent feed is given up, and since when data is missing once the
websocket has ended. Opens no socket and reads no clock: it is told what happened and when.
"""

from enum import Enum
from typing import Final, NamedTuple

from tickrec.clock import SECOND

PROMPT_NS: Final = 10 * SECOND
"""A tick within this time of connecting shows that instruments are busy, and silence is a bad sign."""
PAUSE_NS: Final = 3 * SECOND
"""Looks are at most a second apart. When more than this passes between two, by either clock, the process stood still or
the machine slept: what has come meanwhile is read before anything is judged."""

SKIP_NS: Final = 3 * SECOND
"""When the lateness of two messages in a row falls by more than this, the time between them may have been skipped."""
SKIP_BYTES: Final = 32 * 1024
"""Only where so much came late was the way full, and the broker could not send."""


class Now(NamedTuple):
    """A moment by both clocks, in nanoseconds."""

    wall_ns: int
    mono_ns: int


class Look(Enum):
    """What to do about a websocket at a moment."""

    NOTHING = "it lives, as far as is known"
    PING = "ask whether it lives"
    NO_PONG = "no answer to pings"
    MUTE = "connected, but no data"


class Liveness:
    """One websocket, from its opening on. Times are nanoseconds.

    `mute_ns` is how long it may be without data where no snapshot has come, `patience_ns` where one has.
    """

    def __init__(
        self, now: Now, *, mute_ns: int, patience_ns: int, ping_interval_ns: int, ping_timeout_ns: int
    ) -> None:
        self.proven = False
        """A snapshot or tick has come."""
        self.ticked_promptly = False
        """A tick came soon after the opening."""
        self._ticking = False
        self._opened = self._looked = now
        self._data_ns = now.mono_ns
        self._mute_ns = mute_ns
        self._patience_ns = patience_ns
        self._ping_interval_ns = ping_interval_ns
        self._ping_timeout_ns = ping_timeout_ns
        self._ping_due_ns = now.mono_ns + ping_interval_ns
        self._pending: Now | None = None
        """When the ping was sent that has not been answered."""
        self._answered_ns = now.wall_ns
        """Wall time at which the last ping was sent that has been answered; the opening was the first."""
        self.sent_ns = now.wall_ns
        """When the last message was read, less its lateness: wall time."""
        self._read_ns = now.wall_ns
        """When the last message was read."""
        self._difference_ns: int | None = None
        """Between our clock and the broker's in the last message."""
        self._late_bytes = 0
        """Bytes in a row that came late."""
        self._smallest_ns: int | None = None
        """The smallest difference between our clock and the broker's in a message so far."""

    @property
    def allowed_ns(self) -> int:
        """How long silence may last. Without even a snapshot it is not for want of trades."""
        return self._patience_ns if self.proven else self._mute_ns

    def received(self, now: Now, broker_ns: int | None, size: int) -> None:
        """Messages of `size` bytes were read, the last of which the broker stamped with `broker_ns`, by its own clock.

        None: it has no stamp.
        """
        self._read_ns = now.wall_ns
        if broker_ns is None:
            self.sent_ns = now.wall_ns
            return
        difference_ns = self._difference_ns = now.wall_ns - broker_ns
        if self._smallest_ns is None or difference_ns < self._smallest_ns:
            self._smallest_ns = difference_ns
        late_ns = difference_ns - self._smallest_ns
        self._late_bytes = self._late_bytes + size if late_ns > SKIP_NS else 0
        self.sent_ns = now.wall_ns - late_ns

    def may_have_skipped(self, now: Now, broker_ns: int | None) -> bool:
        """Whether messages that were read now, the last of them stamped so, have to be looked at one by one."""
        return now.wall_ns - self._read_ns > SKIP_NS or self._lateness_falls(now, broker_ns)

    def has_skipped(self, now: Now, broker_ns: int | None) -> bool:
        """Whether the broker has left something out before this message, because what it sent could not be read.

        Then much has come late, and this message is suddenly less so.
        """
        return self._late_bytes >= SKIP_BYTES and self._lateness_falls(now, broker_ns)

    def _lateness_falls(self, now: Now, broker_ns: int | None) -> bool:
        if broker_ns is None or self._difference_ns is None:
            return False
        return self._difference_ns - (now.wall_ns - broker_ns) > SKIP_NS

    def received_data(self, now: Now, *, tick: bool) -> None:
        """What was read has data in it: a `tick`, or a snapshot."""
        self.proven = True
        self._data_ns = now.mono_ns
        if tick and not self._ticking:
            self._ticking = True
            if now.mono_ns - self._opened.mono_ns < PROMPT_NS:
                self.ticked_promptly, self._patience_ns = True, self._mute_ns

    def pinged(self, now: Now) -> None:
        """A ping is sent."""
        self._pending = now
        self._ping_due_ns = now.mono_ns + self._ping_interval_ns

    def answered(self, sent: Now) -> None:
        """The ping sent at that moment has been answered, so everything sent before it has come."""
        self._answered_ns = sent.wall_ns
        if self._pending == sent:
            self._pending = None

    def look(self, now: Now, *, quiet: bool) -> Look:
        """What to do now; `quiet` says that no data is to be expected."""
        before, self._looked = self._looked, now
        wall_ns, mono_ns = now.wall_ns - before.wall_ns, now.mono_ns - before.mono_ns
        if quiet:
            self._data_ns = now.mono_ns
        if wall_ns - mono_ns < -PAUSE_NS:  # the clock was set back; no sleep looks like that
            self.sent_ns += wall_ns - mono_ns
            self._answered_ns += wall_ns - mono_ns
        if mono_ns > PAUSE_NS or abs(wall_ns - mono_ns) > PAUSE_NS:
            return Look.PING if self._pending is None else Look.NOTHING
        if self._pending is not None and now.mono_ns - self._pending.mono_ns >= self._ping_timeout_ns:
            return Look.NO_PONG
        if now.mono_ns - self._data_ns >= self.allowed_ns:
            return Look.MUTE
        return Look.PING if self._pending is None and now.mono_ns >= self._ping_due_ns else Look.NOTHING

    def due_ns(self) -> int:
        """The monotonic time at which there is something to do, if nothing happens until then."""
        ping_ns = self._ping_due_ns if self._pending is None else self._pending.mono_ns + self._ping_timeout_ns
        return min(ping_ns, self._data_ns + self.allowed_ns)

    def missing_since(self, wall_ns: int) -> int:
        """The wall time at which data ended, for a websocket that has ended at `wall_ns`.

        It is the later of two: when the last message was read, less its lateness (against the smallest of this
        websocket, as the broker's clock need not agree with ours); and when the last ping was sent that was answered.
        Bytes that arrive late do not shorten a gap, and a quiet line that answers does not lengthen it.
        """
        return min(max(self.sent_ns, self._answered_ns), wall_ns)
