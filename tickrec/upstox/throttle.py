"""Throttle: when the next request may be made, so that many of them stay within what the broker allows.

Owns the pace: evenly, for bursts are what the broker's front refuses (Cloudflare 1015, reported 2026-09), and a tenth
below every limit, for the user's other programs ask, too. Pure: it is told the time.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from tickrec.clock import SECOND
from tickrec.upstox.limits import RATES

SHARE: Final = 0.9
"""Of what is allowed that is used."""
POLITE: Final = ((8, 1.0), *((int(count * SHARE), seconds) for count, seconds in RATES[1:]))
"""Requests within so many seconds. 8 a second is what 500 a minute come to."""


class Throttle:
    """The requests of the last half hour. Times are monotonic ns."""

    def __init__(self, rates: Sequence[tuple[int, float]] = POLITE) -> None:
        """`rates`: at most so many requests within so many seconds, each of them."""
        self._rates = tuple((count, int(seconds * SECOND)) for count, seconds in rates)
        self._made: deque[int] = deque(maxlen=max(count for count, _ in rates))
        self._held_until = 0

    def wait_s(self, now_ns: int) -> float:
        """Seconds until a request may be made."""
        free = [self._made[-count] + span for count, span in self._rates if len(self._made) >= count]
        return max(0, self._held_until - now_ns, *(moment - now_ns for moment in free)) / SECOND

    def made(self, now_ns: int) -> None:
        """Count a request."""
        self._made.append(now_ns)

    def hold(self, now_ns: int, seconds: float) -> None:
        """Make none for a while: the broker has said that there were too many."""
        self._held_until = now_ns + int(seconds * SECOND)
