"""The clocks of the tests: one for each way in which a test wants time to pass."""

import asyncio
import datetime as dt
import heapq
import itertools
import time

from tickrec.clock import IST, SECOND, SystemClock, from_datetime

MORNING_NS = 1_795_407_067 * SECOND
"""2026-11-23 09:41:07 IST, a Monday in session."""


def at(text: str) -> int:
    """Wall ns of an IST time such as 2026-11-23T10:00."""
    return from_datetime(dt.datetime.fromisoformat(text).replace(tzinfo=IST))


class HandClock:
    """A clock that stands still until it is moved; its sleep moves it."""

    def __init__(self, wall_ns: int = MORNING_NS) -> None:
        self.now_ns = wall_ns

    def wall_ns(self) -> int:
        return self.now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns

    def pass_s(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND)

    async def sleep(self, seconds: float) -> None:
        self.pass_s(seconds)
        await asyncio.sleep(0.001)


class SteppedClock:
    """A clock that stands still until `advance`, which wakes every sleeper at its own moment."""

    def __init__(self, start: str = "2026-11-23T10:00") -> None:
        self._wall = self._begin = at(start)
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def wall_ns(self) -> int:
        return self._wall

    def monotonic_ns(self) -> int:
        return self._wall - self._begin + SECOND

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._wall + int(seconds * SECOND), next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move on, waking every sleeper at its own moment."""
        await self._let_others_run()
        end = self._wall + int(seconds * SECOND)
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._wall = max(self._wall, due)
            if not future.done():
                future.set_result(None)
            await self._let_others_run()
        self._wall = end

    async def advance_to(self, text: str) -> None:
        """Move on to an IST time of day."""
        await self.advance((at(text) - self._wall) / SECOND)

    @staticmethod
    async def _let_others_run() -> None:
        for _ in range(5):
            await asyncio.sleep(0)


class ShiftedClock(SystemClock):
    """The machine's clock, some time ahead or behind."""

    def __init__(self, shift_ns: int) -> None:
        self.shift_ns = shift_ns

    def wall_ns(self) -> int:
        return SystemClock.wall_ns() + self.shift_ns


class HastyClock(ShiftedClock):
    """The machine's clock, on which every pause takes a fifth of its time."""

    def __init__(self) -> None:
        super().__init__(0)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 5)


class FastClock:
    """The machine's clock, running `speed` times as fast, from now or from an IST time such as 2026-11-23T10:00."""

    def __init__(self, speed: float = 20.0, start: str | None = None) -> None:
        self.speed = speed
        self._begin, self._wall = time.monotonic_ns(), at(start) if start else time.time_ns()

    def wall_ns(self) -> int:
        return self._wall + self.monotonic_ns()

    def monotonic_ns(self) -> int:
        return int((time.monotonic_ns() - self._begin) * self.speed)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed)
