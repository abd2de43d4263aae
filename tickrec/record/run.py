"""Run: the recording itself, from connections to journal to flushes, and how it stops in stages.

Owns the order of things: an entry is journalled before anything else is done with it. A journal that cannot be
written ends the run, and nothing else does but the planned end, a signal, or a token that is refused.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from enum import Enum
from functools import partial
from typing import Any, Final, NoReturn

from tickrec import logs
from tickrec.clock import SECOND, Stopped, ist, unless_stopped, until_beat
from tickrec.errors import BrokerUnreachable, ExitCode, StorageError, TickrecError, leaves, to_run
from tickrec.formatting import duration, plural
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.market.instruments import Instrument
from tickrec.record.alert_rules import AlertRules, run_alerts
from tickrec.record.alerts import Alert
from tickrec.record.background import Background
from tickrec.record.day import Day
from tickrec.record.done_message import tell_done
from tickrec.record.ending import Ending
from tickrec.record.flush import Flushing
from tickrec.record.following import Following
from tickrec.record.latecomers import Latecomers
from tickrec.record.plan import Plan
from tickrec.record.progress import RunProgress, unplanned
from tickrec.record.rollover import SEALING, Rollover
from tickrec.record.setup import Setup
from tickrec.record.stale import Staleness
from tickrec.record.waiting import Late
from tickrec.status import status
from tickrec.status.runstatus import STOPPED, RunStatus
from tickrec.upstox.feed import Feed
from tickrec.upstox.protocol import named
from tickrec.upstox.rest import SOURCE

log = logging.getLogger("tickrec")

_Step = Callable[[], Awaitable[object]]
"""A step of the end of a run."""

SWITCH_SECONDS: Final = 0.0005
"""How long a thread keeps the interpreter's lock while another wants it. A flush gives the lock away hundreds of times
a part; with Python's 5 ms it would stand still while a burst comes in."""
REPORT_SECONDS: Final = 1.0
SYNC_SHARE: Final = 0.8
"""The rest of `sync_interval` is for the syncing itself, so that no message waits longer for the disk."""
FINAL_ALERT_SECONDS: Final = 40
"""How long the end of a run waits at most for the user's alert command."""


class Stop(Enum):
    """Why a run ends."""

    PLANNED = "planned end"
    SIGNAL = "stopped"
    ERROR = "error"


_WHY: Final = {Stop.PLANNED: "the planned end", Stop.SIGNAL: "a signal came", Stop.ERROR: "an error"}


class Recorder:
    """One run: what `feed` yields, into `store`, until `stopping` is set or the plan says so.

    The caller holds the store's recording lock.
    """

    def __init__(
        self, setup: Setup, feed: Feed, plan: Plan, day: Day, ending: Ending, latecomers: Latecomers, late: Late | None
    ) -> None:
        config, store, clock, alerts = setup.config, setup.store, setup.clock, setup.alerts
        self._config, self._store, self._clock, self._alerts = config, store, clock, alerts
        self._stopping = setup.stopping
        self._feed = feed
        self._plan = plan
        self._ending = ending
        self._latecomers = latecomers
        self._late = late
        self._progress = RunProgress(store, plan, clock, config.store.min_free, setup.warnings)
        self._flushing = Flushing(
            store, clock, interval=config.record.flush_interval.total_seconds(), duckdb=config.store.duckdb
        )
        self._alert_rules = AlertRules(plan.expected_ns)
        self._following = Following(plan, feed, day)
        self._background = Background(clock)
        self._staleness = Staleness(clock, plan.by_key, self._trading_since, feed.ask_again)
        self._stop = Stop.SIGNAL
        self._rollover = Rollover(store, clock, day, self._flushing, alerts, config.store.keep_journal)

    async def run(self) -> RunStatus:
        """Record; returns what the run last had to say of itself, with the exit code in it.

        Raises nothing of its own: what ends a run is in the status, and has been logged and alerted.
        """
        sys.setswitchinterval(SWITCH_SECONDS)
        error = await self._record()
        final = await self._wind_down(error)
        if final.exit_code == ExitCode.DONE and self._stop is Stop.PLANNED:
            for step in (self._finish_day, self._finish_alerts):
                await self._last_step(step)
        self._flushing.close()
        return final

    def _log_plan(self) -> None:
        plan, stop_ns = self._plan, self._plan.times.stop_ns
        count, connections = len(plan.instruments), len(plan.connections)
        log.info(
            "recording %s into %s: %s, mode %s, %s, %s",
            self._rollover.current.date,
            self._store.root,
            plural(count, "instrument"),
            plan.mode,
            plural(connections, "connection"),
            f"until {ist(stop_ns):%H:%M:%S}" if stop_ns is not None else "until stopped",
        )
        self._warn_of_left_out()

    def _warn_of_left_out(self) -> None:
        """Warn of instruments that an earlier run of the date recorded: what this one does not ask for is no gap."""
        strikes = {each.instrument_key for chain in self._plan.chains for each in chain}  # those it asks for again
        wanted = self._plan.by_key.keys() | strikes
        if left := [symbol or key for key, symbol in self._rollover.current.asked_before.items() if key not in wanted]:
            shown = ", ".join(left[:5]) + (", ..." if len(left) > 5 else "")
            log.warning("%s recorded earlier today, but not by this run: %s", plural(len(left), "instrument"), shown)

    def _journal_late(self) -> None:
        """Journal what was missed before anything was known of connections."""
        if self._late is None:
            return
        wall_ns, mono_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        since_ns = max(self._late.since_ns, self._rollover.current.begin_ns)
        for conn, wanted in enumerate(self._plan.connections, 1):
            facts = encode_facts(event="lost", reason=self._late.reason, since_ns=since_ns, **named(wanted))
            self._rollover.current.append(Entry(EntryKind.NOTE, conn, wall_ns, mono_ns, facts))

    def _warn_of_repair(self) -> None:
        for aside in self._rollover.current.repair.torn:
            log.warning("the last run ended within an entry: %d bytes were set aside in %s", aside.bytes, aside.path)
        for damage in self._rollover.current.repair.damage:
            log.warning("the journal is damaged, everything else of it is used: %s", damage)

    async def _record(self) -> TickrecError | None:
        """Run everything until the stop; the error that ended it, if one did."""
        failure: TickrecError | None = None
        try:
            self._warn_of_repair()
            self._rollover.note_sessions(self._plan.session_rows)
            self._journal_late()
            self._log_plan()
            async with asyncio.TaskGroup() as tasks:
                feeding = tasks.create_task(self._feed.run(self._take))
                background = [tasks.create_task(self._sync())] + [
                    tasks.create_task(self._background.keep_doing(name, work)) for name, work in self._beside()
                ]
                self._stop = await self._until_over()
                self._status()  # while connections can say who answered
                self._feed.stop()
                await feeding
                for task in background:
                    task.cancel()
        except* TickrecError as known:
            self._stop, failure = Stop.ERROR, _first(known)
        except* Exception as unknown:  # noqa: BLE001 - the named boundary of the run: it winds down in order
            self._stop, failure = Stop.ERROR, failure or self._internal(next(leaves(unknown)))
        if failure is None and self._stop is Stop.PLANNED and not self._feed.ever_connected:
            what = "the broker could not be reached for the whole session"
            return BrokerUnreachable(what, where=self._feed.reason)
        return failure

    def _beside(self) -> Iterator[tuple[str, Callable[[], Coroutine[Any, Any, NoReturn]]]]:
        """The side work by its names."""
        yield "flushing", lambda: self._flushing.run(lambda: self._rollover.current)
        yield "the status file", self._report
        yield "alerting", self._watch
        yield "the calendar", self._ending.keep_asking
        yield "the list of instruments", self._latecomers.keep_asking
        yield "stale instruments", self._staleness.keep_looking
        yield "finishing dates", self._rollover.keep_finishing
        yield "housekeeping", self._rollover.keep_house
        yield "following the money", self._following.keep_following

    def _take(self, entries: Sequence[Entry]) -> None:
        """Journal entries that came together, then count them. Raises StorageError, which ends the run."""
        if entries[0].kind is not EntryKind.MESSAGE:
            for entry in entries:
                self._rollover.append(entry)
                self._staleness.happened(entry)
            return
        self._progress.messages(entries, self._rollover.append_messages(entries))
        self._ending.hear(entries)
        self._staleness.hear(entries)
        self._following.hear(entries)

    async def _sync(self) -> None:
        """Make the journal durable every `sync_interval`. Raises StorageError when the disk refuses."""
        interval = self._config.record.sync_interval.total_seconds()
        while True:
            await self._clock.sleep(interval * SYNC_SHARE)
            now_ns = self._clock.wall_ns()
            await self._rollover.sync()
            self._progress.durable_ns = now_ns

    async def _report(self) -> NoReturn:
        """Once a second: the status file, gaps to the log, sessions that have changed to the journal."""
        while True:
            self._rollover.note_sessions(self._plan.session_rows)
            run = self._status()
            for gap in self._rollover.current.new_gaps():
                lasted = duration(((gap.end_ns or gap.start_ns) - gap.start_ns) / SECOND)
                since = f"{ist(gap.start_ns):%H:%M:%S}"
                log.info("gap of %s on conn %d since %s: %s", lasted, gap.conn, since, gap.reason)
            await asyncio.to_thread(status.write, self._store.status_path, run)
            await self._clock.sleep(until_beat(self._clock, REPORT_SECONDS))

    def _trading_since(self, instrument: Instrument, wall_ns: int) -> int | None:
        """Since when an instrument trades at a moment, by the hours and by what the feed says; None: it does not.

        What trades in a replay our clock does not know.
        """
        if self._plan.source != SOURCE or not self._ending.is_open(instrument.segment):
            return None
        return self._plan.trading_since(instrument, wall_ns)

    def _status(self, **last_word: Any) -> RunStatus:
        stale = tuple(self._staleness.stale())
        return self._progress.status(self._rollover.current, self._feed, self._flushing, stale=stale, **last_word)

    async def _watch(self) -> NoReturn:
        """Tell the owner what needs a person."""
        while True:
            await self._clock.sleep(until_beat(self._clock, REPORT_SECONDS))
            self._alert(self._status())

    def _alert(self, run: RunStatus, *first: Alert) -> None:
        failing = self._background.failing()
        if self._feed.unexpected:
            failing.append(self._feed.unexpected)
        silent = len(self._feed.silent())
        of_run = run_alerts(run, self._store.root, silent, not_flushed=self._flushing.failure, unexpected=failing)
        gaps = self._alert_rules.gaps(self._rollover.gaps(), run.written_ns)
        self._alerts.report([*first, *gaps, *of_run], judged=_is_of_run)

    async def _until_over(self) -> Stop:
        """Why the run is to end, when it is. Looks at the wall clock, which may be set while the run waits."""
        with contextlib.suppress(Stopped):
            while True:
                if (left := self._ending.seconds_left) > 0:
                    await unless_stopped(self._stopping, self._clock.sleep(min(left, until_beat(self._clock))))
                elif not await unless_stopped(self._stopping, self._ending.is_moved()):
                    return Stop.PLANNED
        return Stop.SIGNAL

    async def _wind_down(self, error: TickrecError | None) -> RunStatus:
        """Goodbye, drain, flush, close; the same after an error as far as it allows. The run's last status.

        A journal that cannot be written now is as bad as at any other moment.
        """
        told = error
        log.log(logging.ERROR if error else logging.INFO, "stopping: %s", error or _WHY[self._stop])
        steps: tuple[_Step, ...] = (
            partial(self._say_goodbye, error),
            partial(self._rollover.finish_left, at_once=True),
            partial(self._flushing.finish, self._rollover.current),
            self._close,
        )
        for step in steps:
            error = await self._last_step(step) or error
        final = self._last_status(error)
        status.write(self._store.status_path, final)
        if error is not None and error is not told:
            log.error("%s", error)
        await self._last_alerts(final, error)
        return final

    async def _last_step(self, step: _Step) -> TickrecError | None:
        """Do a step of the end; the error in it. The steps after it are still worth doing."""
        try:
            await step()
        except StorageError as error:
            return error
        except Exception as error:  # noqa: BLE001 - part of the boundary of the run
            return self._internal(error)
        return None

    def _last_status(self, error: TickrecError | None) -> RunStatus:
        reason, code = (str(error), error.code) if error else ("", ExitCode.DONE)
        try:
            return self._status(state=STOPPED, reason=reason, exit_code=code)
        except Exception as another:  # noqa: BLE001 - part of the boundary of the run
            reason, code = (reason, code) if error else (str(self._internal(another)), ExitCode.INTERNAL)
            started_ns = self._progress.started_ns
            return unplanned(self._store, self._clock, started_ns, reason=reason, state=STOPPED, exit_code=code)

    async def _last_alerts(self, final: RunStatus, error: TickrecError | None) -> None:
        """Tell the owner how it ended, and of gaps that ended with it."""

        async def tell() -> None:
            self._alert(final, *ends)
            await self._finish_alerts()

        ends = [Alert("end", f"tickrec stopped recording: {error}")] if error is not None else []
        await self._last_step(tell)

    async def _finish_alerts(self) -> None:
        """Wait for the user's command, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINAL_ALERT_SECONDS):
                await self._alerts.finish()

    def _internal(self, error: BaseException) -> TickrecError:
        return logs.internal_error(error, self._feed.token.redact if self._feed.token is not None else str)

    async def _say_goodbye(self, error: TickrecError | None) -> None:
        if not isinstance(error, StorageError):
            self._rollover.current.say_goodbye(str(error.what) if error else self._stop.value)

    async def _close(self) -> None:
        self._rollover.current.close()

    async def _finish_day(self) -> None:
        """What is left to do when all is recorded: seal the day, and tell the owner. A signal ends either."""
        date = self._rollover.current.date
        log.info("sealing %s", date)
        try:
            sealed = await unless_stopped(self._stopping, self._rollover.seal(date))
        except Stopped:
            log.info("sealing is left to the next recording, or %s", to_run("seal", date))
            return
        if sealed:
            with contextlib.suppress(Stopped):
                await unless_stopped(self._stopping, tell_done(self._config, date))


def _is_of_run(topic: str) -> bool:
    """Whether a run that goes on knows when the topic of an alert is over."""
    return not topic.startswith(SEALING)


def _first(group: ExceptionGroup[TickrecError]) -> TickrecError:
    """The error to report of several at once: a journal that failed before all others."""
    errors = [error for error in leaves(group) if isinstance(error, TickrecError)]
    return next((error for error in errors if isinstance(error, StorageError)), errors[0])
