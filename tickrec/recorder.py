"""Recorder: the record run. Connections to journal to flushes; signals and the staged stop.

Owns the order of things: an entry is journalled before anything else is done with it. A journal that cannot be
written ends the run, and nothing else does but the planned end, a signal, or a token that is refused.
"""

import asyncio
import contextlib
import dataclasses
import datetime as dt
import logging
import signal
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final

from tickrec import status
from tickrec.alerts import Alerts
from tickrec.calendar import trading_date
from tickrec.clock import SECOND, Clock, ist
from tickrec.config import Config
from tickrec.day import Day
from tickrec.entry import Entry, EntryKind
from tickrec.errors import AlreadyRecording, BrokerUnreachable, ExitCode, StorageError, TickrecError
from tickrec.flushing import Flushing
from tickrec.format import duration, plural, size
from tickrec.gaps import Gap
from tickrec.live import Live, LiveView
from tickrec.logs import Latest
from tickrec.plan import Plan
from tickrec.runstatus import STOPPED, RunStatus
from tickrec.store import Store
from tickrec.tally import Tally
from tickrec.upstox.feed import Feed
from tickrec.upstox.peek import quotes

log = logging.getLogger("tickrec")

REPORT_SECONDS: Final = 1.0
FRAME_SECONDS: Final = 0.25
TAP_MESSAGES: Final = 2_000
"""Messages that may wait for the live table before it skips the oldest."""
LOCK_POLL_SECONDS: Final = 0.5
HOUSEKEEPING_SECONDS: Final = 60
"""How long today's recording has run before earlier days are sealed."""
LONG_GAP_SECONDS: Final = 60
ROWS: Final = 400
"""More instruments than any terminal shows."""


class Stop(Enum):
    """Why a run ends."""

    PLANNED = "planned end"
    SIGNAL = "stopped"
    ERROR = "error"


Show = Callable[[LiveView], None]
"""Takes what the live table shows; must return at once."""


class Recorder:
    """One run: what `feed` yields, into `store`, until `stopping` is set or the plan says so.

    The caller holds the store's recording lock. `show` is given when there is somebody to look at the live table.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        feed: Feed,
        plan: Plan,
        clock: Clock,
        stopping: asyncio.Event,
        *,
        show: Show | None = None,
    ) -> None:
        self._config = config
        self._store = store
        self._feed = feed
        self._plan = plan
        self._clock = clock
        self._show = show
        self._latest = Latest()
        self._alerts = Alerts(config.record.on_alert, clock)
        self._tally = Tally(store, plan, clock, min_free=config.store.min_free)
        self._flushing = Flushing(
            store, clock, interval=config.record.flush_interval.total_seconds(), duckdb=config.store.duckdb
        )
        self._live = Live(plan.symbols)
        self._tap: deque[Entry] = deque(maxlen=TAP_MESSAGES)
        self._stopping = stopping
        self._stop = Stop.SIGNAL
        self._ended: deque[Day] = deque()
        self._gaps_told = 0
        self._answered: dict[int, int] = {}
        """Instruments that had answered on each connection when it was closed."""
        self._day: Day

    async def run(self) -> RunStatus:
        """Record; returns what the run last had to say of itself, with the exit code in it.

        Raises AlreadyRecording, DataError or StorageError if recording cannot even begin. What ends a run that has
        begun is in the status, and has been logged and alerted.
        """
        self._day = await self._open_day(trading_date(self._clock.wall_ns()))
        self._tell_repair()
        self._tell_plan()
        error = await self._record()
        final = await self._wind_down(error)
        if error is None and self._stop is Stop.PLANNED:
            await self._seal()
        self._flushing.close()
        return final

    def _tell_plan(self) -> None:
        plan, stop_ns = self._plan, self._plan.times.stop_ns
        count, connections = len(plan.instruments), len(plan.connections)
        log.info(
            "recording %s into %s: %s, mode %s, %s, %s",
            self._day.date,
            self._store.root,
            plural(count, "instrument"),
            plan.mode,
            plural(connections, "connection"),
            f"until {ist(stop_ns):%H:%M:%S}" if stop_ns is not None else "until stopped",
        )

    def _tell_repair(self) -> None:
        for aside in self._day.repair.torn:
            log.warning("the last run ended within an entry: %d bytes were set aside in %s", aside.bytes, aside.path)
        for damage in self._day.repair.damage:
            log.warning("the journal is damaged, everything else of it is used: %s", damage)

    async def _open_day(self, date: dt.date) -> Day:
        """The day, as soon as nobody seals or rebuilds it any more."""
        told = False
        while True:
            try:
                return Day(self._store, date, self._clock)
            except AlreadyRecording as error:
                if not told:
                    log.warning("waiting: %s", error)
                told = True
                await self._clock.sleep(LOCK_POLL_SECONDS)

    async def _record(self) -> TickrecError | None:
        """Run everything until the stop; the error that ended it, if one did."""
        failure: TickrecError | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                feeding = tasks.create_task(self._feed.run(self._take))
                work = (self._sync(), self._flushing.run(lambda: self._day), self._report(), self._end_on_time())
                background = [tasks.create_task(each) for each in (*work, self._keep_house(), self._draw())]
                await self._stopping.wait()
                self._answered = {each.conn: each.answered for each in self._feed.states()}
                self._feed.stop()
                await feeding
                for task in background:
                    task.cancel()
        except* TickrecError as group:
            self._stop, failure = Stop.ERROR, _first(group)
        if failure is None and self._stop is Stop.PLANNED and not self._feed.ever_connected:
            what = "the broker could not be reached for the whole session"
            return BrokerUnreachable(what, where=self._feed.reason)
        return failure

    def _take(self, entry: Entry) -> None:
        """Journal an entry, then count it. Raises StorageError, which ends the run."""
        if entry.wall_ns >= self._day.end_ns:
            self._begin_next_day(entry)
        ticks = self._day.append(entry)
        if entry.kind is EntryKind.MESSAGE:
            self._tally.message(entry, ticks)
            if self._show is not None:
                self._tap.append(entry)

    def _begin_next_day(self, entry: Entry) -> None:
        day = Day(self._store, trading_date(entry.wall_ns), self._clock)
        day.succeed(self._day)
        self._ended.append(self._day)
        self._day, self._gaps_told = day, 0
        log.info("midnight: recording %s", day.date)

    async def _sync(self) -> None:
        """Make the journal durable every `sync_interval`. Raises StorageError when the disk refuses."""
        interval = self._config.record.sync_interval.total_seconds()
        while True:
            await self._clock.sleep(interval)
            now_ns = self._clock.wall_ns()
            await asyncio.to_thread(self._day.journal.sync)
            self._tally.durable_ns = now_ns

    async def _report(self) -> None:
        """Once a second: the status file, gaps to the log, alerts."""
        while True:
            run = self._tally.status(self._day, self._feed, self._flushing)
            for gap in self._day.gaps[self._gaps_told :]:
                log.info("gap of %s on conn %d since %s: %s", *_gap_words(gap))
            self._gaps_told = len(self._day.gaps)
            await asyncio.to_thread(status.write, self._store.status_path, run)
            await self._alert(run)
            await self._clock.sleep(REPORT_SECONDS)

    async def _alert(self, run: RunStatus) -> None:
        if run.silent:
            await self._alerts.send("silent", f"{plural(len(run.silent), 'instrument')} did not answer")
        for gap in self._day.outages.lasting():
            seconds = (run.written_ns - gap.start_ns) / SECOND
            if seconds > LONG_GAP_SECONDS and run.expects_data:
                text = f"no data on connection {gap.conn} for {duration(seconds)}: {gap.reason}"
                await self._alerts.send(f"gap {gap.conn}", text)
        if run.disk_free_bytes is not None and run.disk_free_bytes < run.min_free_bytes:
            await self._alerts.send("disk", f"only {size(run.disk_free_bytes)} free for {self._store.root}")
        if self._flushing.failure:
            await self._alerts.send("flush", f"flushing fails: {self._flushing.failure}")

    async def _draw(self) -> None:
        """The live table, from what arrived since the last frame."""
        if self._show is None:
            return
        while True:
            while self._tap:
                entry = self._tap.popleft()
                self._live.update(quotes(entry.payload), entry.wall_ns)
            run = self._tally.status(self._day, self._feed, self._flushing)
            self._show(self._live.view(run, run.written_ns, limit=ROWS, news=self._latest.line))
            await self._clock.sleep(FRAME_SECONDS)

    async def _end_on_time(self) -> None:
        """Stop at the planned end. Looks at the wall clock, which may be set while the run sleeps."""
        stop_ns = self._plan.times.stop_ns
        while stop_ns is not None:
            left = (stop_ns - self._clock.wall_ns()) / SECOND
            if left <= 0:
                self._stop = Stop.PLANNED
                self._stopping.set()
                return
            await self._clock.sleep(min(left, REPORT_SECONDS))

    async def _keep_house(self) -> None:
        """Finish days that midnight ended, and seal earlier ones that a crash left open."""
        left_open = [date for date in self._store.dates() if date < self._day.date and not self._store.settled(date)]
        await self._clock.sleep(HOUSEKEEPING_SECONDS)
        for date in left_open:
            await self._flushing.seal(date)
        while True:
            await self._clock.sleep(HOUSEKEEPING_SECONDS)
            if self._ended:
                date = self._ended[0].date
                await self._finish_ended()
                await self._flushing.seal(date)

    async def _finish_ended(self) -> None:
        while self._ended:
            day = self._ended[0]
            await self._flushing.finish(day)
            day.close()
            self._ended.popleft()

    async def _wind_down(self, error: TickrecError | None) -> RunStatus:
        """Goodbye, drain, flush, close; the same after an error as far as it allows."""
        log.info("stopping: %s", error or self._stop.value)
        if not isinstance(error, StorageError):
            with _storage_errors_logged():
                self._day.say_goodbye(str(error.what) if error else self._stop.value)
        await self._finish_ended()
        await self._flushing.finish(self._day)
        with _storage_errors_logged():
            self._day.close()
        final = self._tally.status(
            self._day,
            self._feed,
            self._flushing,
            state=STOPPED,
            reason=str(error) if error else "",
            exit_code=error.code if error else ExitCode.DONE,
        )
        closed = [dataclasses.replace(each, answered=self._answered.get(each.conn, 0)) for each in final.connections]
        final = dataclasses.replace(final, connections=tuple(closed), answered=sum(self._answered.values()))
        status.write(self._store.status_path, final)
        if error is not None:
            await self._alerts.send("end", f"tickrec stopped recording: {error}")
        return final

    async def _seal(self) -> None:
        log.info("sealing %s", self._day.date)
        await self._flushing.seal(self._day.date)


def _gap_words(gap: Gap) -> tuple[str, int, str, str]:
    assert gap.end_ns is not None
    return duration((gap.end_ns - gap.start_ns) / SECOND), gap.conn, f"{ist(gap.start_ns):%H:%M:%S}", gap.reason


def _first(group: BaseExceptionGroup[TickrecError]) -> TickrecError:
    """The error to report of several at once: a journal that failed before all others."""
    errors = list(_leaves(group))
    return next((error for error in errors if isinstance(error, StorageError)), errors[0])


def _leaves(group: BaseExceptionGroup[TickrecError]) -> Iterator[TickrecError]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each


@contextlib.contextmanager
def _storage_errors_logged() -> Iterator[None]:
    """At the end of a run there is nothing left to stop; what could not be written is said and the rest is done."""
    try:
        yield
    except StorageError as error:
        log.error("%s", error)


@contextlib.contextmanager
def signals_stop(stop: Callable[[], None], abandon: Callable[[], None]) -> Iterator[None]:
    """While the block runs, the first SIGINT or SIGTERM calls `stop` in the event loop, the second `abandon`."""
    loop = asyncio.get_running_loop()
    seen = 0

    def caught(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == 1:
            loop.call_soon_threadsafe(stop)
        else:
            abandon()

    before = {number: signal.signal(number, caught) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
