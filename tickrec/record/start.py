"""Record: what `tickrec record` does, from the store's lock to the last line.

Owns the order before a run: lock, plan, wait for the session. The run itself is in `recorder`.
"""

import asyncio
import dataclasses
import datetime as dt
import logging
from collections.abc import Mapping
from typing import Any, Final

from tickrec.clock import SECOND, Clock, ist, unless_stopped
from tickrec.config import Config
from tickrec.errors import (
    AlreadyRecording,
    BrokerUnreachable,
    DataError,
    NothingToRecord,
    StorageError,
    TickrecError,
    TokenError,
    UsageError,
)
from tickrec.files import Lock
from tickrec.formatting import duration, moment
from tickrec.logs import Once
from tickrec.market.calendar import trading_date
from tickrec.market.hours import at
from tickrec.record.alerts import Alerts
from tickrec.record.days import open_today
from tickrec.record.plan import Bar, Options, Plan, latest_end, make_plan, no_bar, plan_times
from tickrec.record.progress import RunProgress, unplanned
from tickrec.record.run import LONG_GAP_SECONDS, REPORT_SECONDS, Late, Recorder, Show
from tickrec.record.traces import Traces
from tickrec.screen.live import Live
from tickrec.status import status
from tickrec.status.runstatus import STOPPED, RunStatus
from tickrec.store.paths import Store
from tickrec.upstox.auth import Token, TokenSource, in_thread
from tickrec.upstox.feed import TIMING, Feed, Timing
from tickrec.upstox.protocol import Verdict, classify
from tickrec.upstox.rest import Rest, RestError

log = logging.getLogger("tickrec")

FIRST_RETRY_SECONDS: Final = 1.0
LONGEST_RETRY_SECONDS: Final = 30.0
SHORT_LIFE_NS: Final = 3600 * SECOND
"""A token that expires within this time is told of, where the run has no planned end."""
STALE_PLAN_NS: Final = 3600 * SECOND
"""A plan made longer than this before the session is made again: the broker renews its instruments at about 06:00."""


class Record:
    """One `tickrec record`. `stopping` is set by whoever wants it to end.

    `timing` is how long the feed waits for what.
    """

    def __init__(
        self,
        config: Config,
        options: Options,
        environ: Mapping[str, str],
        clock: Clock,
        stopping: asyncio.Event,
        show: Show | None = None,
        *,
        bar: Bar = no_bar,
        timing: Timing = TIMING,
    ) -> None:
        self._config = config
        self._options = options
        self._clock = clock
        self._stopping = stopping
        self._show = show
        self._bar = bar
        self._timing = timing
        self._store = Store(config.store.data)
        self._rest = Rest(config.upstox.api_url, config.upstox.assets_url)
        self._tokens = TokenSource(config.upstox, environ)
        self._alerts = Alerts(config.record.on_alert, clock, self._store.state / "alerts.json")
        self._once = Once()
        """Every attempt to plan finds the same calendar missing."""
        self._started_ns = clock.wall_ns()
        self._late: Late | None = None
        """Since when the broker could not be asked what to record, and why not; None when it answered at once."""

    async def run(self) -> RunStatus:
        """Lock, plan, wait, record; what the run last said of itself.

        Raises Stopped; what `make_plan` raises, but a broker that does not answer is waited for; AlreadyRecording and
        StorageError when recording cannot begin; BrokerUnreachable when the session ended before there was a plan.
        """
        try:
            traces = Traces(self._store)
            with self._locked():
                return await self._run_or_leave_nothing(traces)
        except DataError as error:  # recording reads no data that could be incomplete: it is in the way
            raise await self._alerted(StorageError(error.what, where=error.where, hint=error.hint)) from error
        except (AlreadyRecording, NothingToRecord):
            raise
        except TickrecError as error:
            raise await self._alerted(error) from None

    async def _run_or_leave_nothing(self, traces: Traces) -> RunStatus:
        try:
            return await self._run()
        except (UsageError, TokenError):
            if self._config.record.on_alert is None:  # what was told when has to be remembered in the store
                traces.remove()
            raise

    async def _alerted(self, error: TickrecError) -> TickrecError:
        await self._alerts.send("end", f"tickrec cannot record: {error}")
        return error

    async def _run(self) -> RunStatus:
        plan = await self._make_plan()
        if plan.times.start_ns > self._clock.wall_ns():
            self._late = None
            plan = await self._wait(plan)
        self._tell_expiry(plan)
        feed = Feed(
            self._rest,
            self._tokens,
            plan.connections,
            self._clock,
            batch_size=self._config.record.batch_size,
            quiet=plan.quiet,
            timing=self._timing,
        )
        day = await open_today(self._store, self._clock, self._stopping, plan.times.stop_ns)
        recorder = Recorder(
            self._config,
            self._store,
            feed,
            plan,
            self._clock,
            self._stopping,
            self._alerts,
            day,
            late=self._missed(plan),
            show=self._show,
        )
        return await recorder.run()

    def _tell_expiry(self, plan: Plan) -> None:
        """Warn of a token that does not last until the planned end."""
        expires_ns, now_ns = plan.token_expires_ns, self._clock.wall_ns()
        end_ns = plan.times.stop_ns or now_ns + SHORT_LIFE_NS
        if expires_ns is not None and expires_ns < end_ns:
            when = moment(expires_ns, now_ns)
            log.warning("the token expires at %s, before the recording ends: run `tickrec login` by then", when)

    def _locked(self) -> Lock:
        lock = Lock(self._store.record_lock)
        root = self._store.root
        try:
            lock.acquire({"since_ns": self._clock.wall_ns(), "doing": f"recording into {root}"})
        except OSError as error:
            what = f"the store cannot be written: {error.strerror or error}"
            raise StorageError(what, where=str(root), hint="Check that the folder is there and writable") from error
        return lock

    def _missed(self, plan: Plan) -> Late | None:
        """What the run should have recorded before it had the plan."""
        if self._late is None:
            return None
        begin_ns = at(trading_date(plan.times.start_ns), dt.time())  # the calendar of the day before may be closed
        since_ns = max(self._late.since_ns, begin_ns)
        times = plan_times(self._config, self._options, plan.calendar, plan.segments, since_ns)
        return self._late._replace(since_ns=times.start_ns)

    async def _make_plan(self) -> Plan:
        """The plan, however long the broker takes to answer; until the session would be over."""
        try:
            return await self._planned()
        except BaseException as error:
            if self._late is not None:
                self._say_unplanned(**_last_word(error), state=STOPPED)
            raise

    async def _planned(self) -> Plan:
        pause = FIRST_RETRY_SECONDS
        refused: Token | None = None
        while True:
            try:
                return await unless_stopped(self._stopping, in_thread(self._plan))
            except RestError as error:
                since_ns = self._clock.wall_ns() if self._late is None else self._late.since_ns
                self._late = Late(since_ns, error.brief)
                refused = await self._put_up_with(error, refused)
            log.warning("the broker cannot be asked yet: %s; retry in %s", self._late.reason, duration(pause))
            await unless_stopped(self._stopping, self._idle(pause, self._late))
            pause = min(pause * 2, LONGEST_RETRY_SECONDS)

    async def _put_up_with(self, error: RestError, refused: Token | None) -> Token | None:
        """Find out whether to ask again; the token that was refused last. Raises what ends the run."""
        match classify(error.failure):
            case Verdict.RETRY:
                self._give_up_when_over(error)
                return refused
            case Verdict.REREAD_TOKEN:
                used = self._tokens.last
                unchanged = used == await unless_stopped(self._stopping, in_thread(self._tokens.read))
                if unchanged and used == refused:
                    what, hint = "the broker refused the access token twice", "Run `tickrec login`"
                    raise TokenError(what, where=error.what, hint=hint) from None
                return used
            case _:
                raise error

    async def _idle(self, seconds: float, late: Late) -> None:
        """Let time pass, and tell whoever looks why nothing is recorded."""
        end_ns = self._clock.monotonic_ns() + int(seconds * SECOND)
        while (left := (end_ns - self._clock.monotonic_ns()) / SECOND) > 0:
            await asyncio.to_thread(self._say_unplanned, reason=f"the broker cannot be asked yet: {late.reason}")
            lasted = (self._clock.wall_ns() - late.since_ns) / SECOND
            if lasted > LONG_GAP_SECONDS:
                text = f"tickrec cannot record yet, for {duration(lasted)}: {late.reason}"
                await self._alerts.send("plan", text)
            await self._clock.sleep(min(left, REPORT_SECONDS))

    def _say_unplanned(self, **facts: Any) -> None:
        """Write the status of a run that has no plan yet, or never had one."""
        status.write(self._store.status_path, unplanned(self._store, self._clock, self._started_ns, **facts))

    def _plan(self) -> Plan:
        with self._once:
            return make_plan(self._config, self._options, self._store, self._rest, self._tokens, self._clock, self._bar)

    def _give_up_when_over(self, error: RestError) -> None:
        end_ns = latest_end(self._config, self._options, self._store, self._started_ns)
        if end_ns is not None and self._clock.wall_ns() >= end_ns:
            what = "the broker could not be reached for the whole session"
            raise BrokerUnreachable(what, where=error.brief, hint=error.hint) from error

    async def _wait(self, plan: Plan) -> Plan:
        """Until the session begins; the plan for it. However it ends, the status does not say `waiting` for ever."""
        progress = RunProgress(self._store, plan, self._clock, min_free=self._config.store.min_free)
        try:
            return await self._waited(plan, progress)
        except BaseException as error:
            last = dataclasses.replace(progress.waiting(), state=STOPPED, **_last_word(error))
            status.write(self._store.status_path, last)
            raise

    async def _waited(self, plan: Plan, progress: RunProgress) -> Plan:
        start_ns, planned_ns = plan.times.start_ns, self._clock.wall_ns()
        live = Live(plan.symbols)
        log.info("waiting until %s: %s", f"{ist(start_ns):%H:%M:%S}", plan.session_text(planned_ns))
        while (now_ns := self._clock.wall_ns()) < start_ns:
            waiting = progress.waiting()
            await asyncio.to_thread(status.write, self._store.status_path, waiting)
            if self._show is not None:
                self._show(live.view(waiting, now_ns, limit=0))
            await unless_stopped(self._stopping, self._clock.sleep(min(REPORT_SECONDS, (start_ns - now_ns) / SECOND)))
        return await self._make_plan() if start_ns - planned_ns > STALE_PLAN_NS else plan


def _last_word(error: BaseException) -> dict[str, Any]:
    """What the status says of a run that ended before it recorded anything."""
    if isinstance(error, TickrecError):
        return {"reason": str(error), "exit_code": int(error.code)}
    return {"reason": "", "exit_code": 0}
