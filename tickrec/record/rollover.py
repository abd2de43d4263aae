"""Rollover: the dates that one run records into, the present one and those that the clock has left.

Owns opening a date, changing to the next one at midnight or when the clock is set, the last flush of a date that was
left, and when dates are sealed. What a single date consists of is in `day`, how it is flushed and sealed in `flush`.
"""

import asyncio
import datetime as dt
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NoReturn

from tickrec.clock import SECOND, Clock, unless_stopped, until_beat
from tickrec.errors import AlreadyRecording, DataError, StorageError, to_run
from tickrec.journal.entry import Entry, EntryKind
from tickrec.journal.gaps import Gap
from tickrec.market.calendar import trading_date
from tickrec.record.alerts import Alert, Alerts
from tickrec.record.day import Day, SessionRow
from tickrec.record.flush import Flushing
from tickrec.store.paths import Store
from tickrec.upstox.rest import SOURCE

log = logging.getLogger("tickrec")

LOCK_POLL_SECONDS: Final = 0.5
POLL_SECONDS: Final = 1.0
"""How often it is looked at whether a date waits to be finished or sealed."""
HOUSEKEEPING_SECONDS: Final = 60
"""How long today's recording has run before earlier dates are sealed."""
LATE_SECONDS: Final = 120
"""How long a date that was left may still learn that data was missing at its end: longer than the feed takes to find
out that a connection is dead."""
SEALING: Final = "seal "
"""What the topic of an alert about sealing begins with."""
CLOCK_STEP_NS: Final = 5 * SECOND
"""A clock set back by less than this over midnight does not bring the date before back."""


async def open_today(
    store: Store,
    clock: Clock,
    stopping: asyncio.Event,
    end_ns: int | None,
    held: Callable[[AlreadyRecording], Awaitable[None]],
    source: str = SOURCE,
) -> Day:
    """The date of the clock for messages of `source`, as soon as no other process seals or rebuilds it.

    `held` is called for as long as one does, twice a second. Raises Stopped; AlreadyRecording when the date is still
    held at `end_ns` (wall time; None: never); what `Day` raises.
    """
    while True:
        try:
            return Day(store, trading_date(clock.wall_ns()), clock, source)
        except AlreadyRecording as error:
            if end_ns is not None and clock.wall_ns() >= end_ns:
                raise
            await unless_stopped(stopping, held(error))
        await unless_stopped(stopping, clock.sleep(LOCK_POLL_SECONDS))


class Rollover:
    """The dates of a run, beginning with one that is open already."""

    def __init__(
        self, store: Store, clock: Clock, first: Day, flushing: Flushing, alerts: Alerts, keep_journal: dt.timedelta
    ) -> None:
        self.current = first
        """The date that entries go to."""
        self._store = store
        self._clock = clock
        self._flushing = flushing
        self._alerts = alerts
        self._keep_journal = keep_journal
        self._left: dict[Day, int] = {}
        """Dates that the clock has left, until they are finished, and the monotonic time of that."""
        self._to_seal: deque[dt.date] = deque()

    def append_messages(self, entries: Sequence[Entry]) -> int:
        """Journal messages of one connection that came together; returns their ticks. Raises StorageError."""
        return self._at(entries[0].wall_ns).append_messages(entries)

    def append(self, entry: Entry) -> None:
        """Journal any other entry. Raises StorageError."""
        day = self._at(entry.wall_ns)
        day.append(entry)
        if entry.kind is EntryKind.DISCONNECTED:
            facts = entry.facts()
            since_ns = facts.get("since_ns", day.begin_ns)
            for left in self._left:
                if since_ns < left.end_ns == day.begin_ns:
                    left.add_missed(entry.conn, facts["reason"], since_ns)

    def note_sessions(self, rows_of: Callable[[dt.date], Sequence[SessionRow]]) -> None:
        """Journal the sessions of the present date that the run goes by, where they are news. Raises StorageError."""
        self.current.note_sessions(rows_of(self.current.date))

    def _at(self, wall_ns: int) -> Day:
        """The date that an entry of `wall_ns` belongs to; the run goes on in it. Raises StorageError."""
        if not self.current.begin_ns - CLOCK_STEP_NS <= wall_ns < self.current.end_ns:
            self._change(trading_date(wall_ns))
        return self.current

    def _change(self, date: dt.date) -> None:
        """Midnight, or a clock that was set: go on in the date of the clock.

        While another process holds that date, the run goes on in the one it has. Raises StorageError.
        """
        known = next((day for day in self._left if day.date == date), None)
        try:
            day = known or Day(self._store, date, self._clock, self.current.journal.source)
        except AlreadyRecording:
            return
        except DataError as error:  # in the way, just as a disk that refuses
            raise StorageError(error.what, where=error.where, hint=error.hint) from error
        if known is not None:
            del self._left[known]
            known.begin_again()
        day.succeed(self.current)
        self._left[self.current] = self._clock.monotonic_ns()
        self.current = day
        log.info("the date has changed: recording %s", day.date)

    def gaps(self) -> list[Gap]:
        """The newest gaps of the present date and of those left lately, ended or not."""
        return [gap for day in (*self._left, self.current) for gap in (*day.gaps, *day.lasting())]

    async def sync(self) -> None:
        """Make the journals of all open dates durable. Raises StorageError."""
        for day in (*self._left, self.current):
            await asyncio.to_thread(day.journal.sync)

    async def finish_left(self, *, at_once: bool = False) -> None:
        """The last flush of dates that the clock has left long ago, or `at_once`. Raises StorageError."""
        due_ns = self._clock.monotonic_ns() - LATE_SECONDS * SECOND
        for day, left_ns in list(self._left.items()):
            if not at_once and left_ns > due_ns:
                continue
            await self._flushing.finish(day)
            if self._left.pop(day, None) is not None:  # the clock may have gone back to it meanwhile
                day.close()
                self._to_seal.append(day.date)

    async def keep_finishing(self) -> NoReturn:
        """Finish dates that the clock has left, whatever is being sealed meanwhile. Raises StorageError."""
        while True:
            await self._clock.sleep(until_beat(self._clock, POLL_SECONDS))
            await self.finish_left()

    async def keep_house(self) -> NoReturn:
        """Seal the dates that the clock has left and are finished, and those that a crash left open."""
        unsealed = [date for date in self._store.dates() if date < self.current.date and not self._store.settled(date)]
        due_ns = self._clock.monotonic_ns() + HOUSEKEEPING_SECONDS * SECOND
        while True:
            await self._clock.sleep(until_beat(self._clock, POLL_SECONDS))
            if self._clock.monotonic_ns() < due_ns:
                continue
            self._to_seal.extend(unsealed)
            unsealed = []
            while self._to_seal:
                await self.seal(self._to_seal.popleft())

    async def seal(self, date: dt.date) -> bool:
        """Seal a date in a child process, and remove the journals that are old by then; whether it is sealed.

        If it is not, that is an alert.
        """
        topic, text = f"{SEALING}{date}", f"{date} could not be sealed: {to_run('seal', date)} says why"
        sealed = await self._flushing.seal(date)
        self._alerts.report([] if sealed else [Alert(topic, text)], judged=lambda known: known == topic)
        if sealed:
            await self._flushing.expire(self._keep_journal)
        return sealed
