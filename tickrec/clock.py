"""Clock: wall time, monotonic time and sleeping: the only module that asks the machine what time it is.

All instants are integers of nanoseconds since the Unix epoch. India has one zone without daylight saving, so IST is
a fixed offset and needs no zone database.
"""

import datetime as dt
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

IST: Final = dt.timezone(dt.timedelta(hours=5, minutes=30), "IST")
SECOND: Final = 1_000_000_000
"""Nanoseconds in a second."""
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LOCALTIME: Final = Path("/etc/localtime")
"""The zone of a Unix machine; without it the zone is UTC."""


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
        import asyncio  # takes as long to import as most commands run

        await asyncio.sleep(seconds)


def until_beat(clock: Clock, every: float = 1.0) -> float:
    """Seconds until a common beat, which comes every so many seconds; at least a tenth of that.

    Whatever is done again and again waits so: all at one moment it costs half of what each costs at a moment of its
    own, for which the processor wakes up and has forgotten everything.
    """
    every_ns = int(every * SECOND)
    left_ns = every_ns - clock.monotonic_ns() % every_ns
    return (left_ns if 10 * left_ns >= every_ns else left_ns + every_ns) / SECOND


def ist(wall_ns: int) -> dt.datetime:
    """The instant as an aware datetime in IST, to the microsecond."""
    seconds, rest = divmod(wall_ns, SECOND)
    return dt.datetime.fromtimestamp(seconds, IST).replace(microsecond=rest // 1000)


def start_of_date(wall_ns: int) -> int:
    """The midnight in IST at which the date of an instant began."""
    offset = 19_800 * SECOND  # five and a half hours
    return (wall_ns + offset) // (86_400 * SECOND) * 86_400 * SECOND - offset


def from_datetime(moment: dt.datetime) -> int:
    """Nanoseconds since the epoch of an aware datetime."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds * 1000


def machine_offsets(now_ns: int, localtime: Path = LOCALTIME) -> tuple[dt.timedelta, ...]:
    """The offsets from UTC that the machine's clock has in the year from `now_ns`, in order of appearance.

    More than one: the zone has daylight saving time. It is the zone that cron and its like go by, which TZ, when set
    for this process, does not change.
    """
    zone = _machine_zone(localtime)
    days = (dt.datetime.fromtimestamp(now_ns // SECOND + day * 86_400, zone) for day in range(366))
    return tuple(dict.fromkeys(day.astimezone(zone).utcoffset() or dt.timedelta() for day in days))


def _machine_zone(localtime: Path) -> dt.tzinfo | None:
    """None: as the system says, on Windows."""
    if sys.platform == "win32":
        return None
    from zoneinfo import ZoneInfo

    try:
        with localtime.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return dt.UTC


class Stopped(Exception):
    """The run is to end while something was awaited."""


async def unless_stopped(stopping: "asyncio.Event", work: Awaitable[T]) -> T:
    """The result of `work`. Raises Stopped, having cancelled it, if `stopping` is set before it is done."""
    import asyncio  # here, because a query needs the clock but no event loop

    task, stop = asyncio.ensure_future(work), asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        stop.result()  # an error in it is no wish to stop
        raise Stopped
    finally:
        task.cancel()
        stop.cancel()
        await asyncio.gather(task, stop, return_exceptions=True)
