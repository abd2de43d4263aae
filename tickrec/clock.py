"""Wall time, monotonic time and sleeping: the only module that asks the machine what time it is.

All instants are integers of nanoseconds since the Unix epoch. India has one zone without daylight saving, so IST is
a fixed offset and needs no zone database.
"""

import asyncio
import datetime as dt
import time
from typing import Final, Protocol

IST: Final = dt.timezone(dt.timedelta(hours=5, minutes=30), "IST")
SECOND: Final = 1_000_000_000
"""Nanoseconds in a second."""


class Clock(Protocol):
    """A source of time; tests pass one that they move by hand."""

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch; may jump when the machine's clock is set."""

    def monotonic_ns(self) -> int:
        """Nanoseconds that only grow; for ages, intervals and deadlines."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""


class SystemClock:
    """The machine's clock."""

    wall_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)


def ist(wall_ns: int) -> dt.datetime:
    """The instant as an aware datetime in IST, to the microsecond."""
    seconds, rest = divmod(wall_ns, SECOND)
    return dt.datetime.fromtimestamp(seconds, IST).replace(microsecond=rest // 1000)


def from_datetime(moment: dt.datetime) -> int:
    """Nanoseconds since the epoch of an aware datetime."""
    delta = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds * 1000
