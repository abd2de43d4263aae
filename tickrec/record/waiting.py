"""Waiting: the time from the start of the process until there is something to record.

Owns asking the broker what to record until it answers, and the wait for the session. Whoever looks is told why nothing
is recorded: by the status file, the live table and, when it takes long, the alert command.
"""

import asyncio
import contextlib
import datetime as dt
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple

from tickrec.clock import SECOND, Stopped, ist, unless_stopped
from tickrec.errors import (
    AlreadyRecording,
    BrokerUnreachable,
    ExitCode,
    NothingToRecord,
    TickrecError,
    TokenError,
    UsageError,
    to_run,
)
from tickrec.formatting import duration
from tickrec.logs import Once
from tickrec.market.calendar import trading_date
from tickrec.market.hours import at
from tickrec.record.alerts import Alert
from tickrec.record.plan import Plan, plan_times
from tickrec.record.plan_making import likely_times, make_plan
from tickrec.record.progress import RunProgress, unplanned
from tickrec.record.setup import Setup
from tickrec.status import status
from tickrec.status.runstatus import STOPPED
from tickrec.store.paths import Store
from tickrec.upstox.auth import Token, in_thread
from tickrec.upstox.protocol import Verdict, classify
from tickrec.upstox.rest import RestError

log = logging.getLogger("tickrec")

FIRST_RETRY_SECONDS: Final = 1.0
LONGEST_RETRY_SECONDS: Final = 30.0
REPORT_SECONDS: Final = 1.0
TOKEN_NS: Final = 600 * SECOND
"""How long before the beginning a token must be there, so that its owner can still be told that there is none."""
TOKEN_POLLS: Final = 30
"""REPORT_SECONDS between two looks for a token that is not there yet."""
FIRST_RENEWAL_NS: Final = 60 * SECOND
LONGEST_RENEWAL_NS: Final = 600 * SECOND
"""How long a plan that goes by what stands in is waited with before it is made again."""
LONG_SECONDS: Final = 60
"""A broker that cannot be asked for longer is alerted."""
STALE_PLAN_NS: Final = 3600 * SECOND
"""A plan made longer than this before the session is made again: the broker renews its instruments at about 06:00."""
BEFORE_NS: Final = 300 * SECOND
"""How long before the session that is, so that nothing of it is waited away."""


_CALM: Final = (UsageError, TokenError, NothingToRecord, Stopped)
"""What ends a process before there is anything to say of a run."""


class Late(NamedTuple):
    """A run begins later than it should have: the broker could not be asked, or its date was in other hands."""

    since_ns: int
    reason: str


class Waiting:
    """One process before its recording."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._store, self._clock, self._stopping = setup.store, setup.clock, setup.stopping
        self._once = Once()
        """Every attempt to plan finds the same calendar missing."""
        self._started_ns = setup.clock.wall_ns()
        self._refused: Token | None = None
        """The token that the broker refused last."""
        self._has_waited_for_token = False
        self._late: Late | None = None
        """Since when something has kept the run from beginning, and what; None when nothing did."""

    async def first_plan(self, store: Store) -> Plan | None:
        """Ask the broker, and keep its answers in `store`; None when it cannot be asked yet.

        Raises Stopped; TokenError for a token that is refused; what `make_plan` raises.
        """
        try:
            return await self.plan(store)
        except RestError:
            return None
        except TokenError:
            if not self._may_be_stored_later():
                raise
            return None

    async def plan(self, first: Store | None = None) -> Plan:
        """The plan, however long the broker takes to answer; until the session would be over.

        With `first`, its answers are kept there, and what does not answer is not waited for: raises RestError,
        TokenError. Raises Stopped; BrokerUnreachable when the session ends before there is a plan; what `make_plan`
        raises.
        """
        pause = FIRST_RETRY_SECONDS
        with self._telling_why_not():
            while True:
                try:
                    return await self._ask(first or self._store)
                except TokenError as error:
                    if first is not None or not self._may_be_stored_later():
                        raise
                    await unless_stopped(self._stopping, self._pause_for_token(error))
                    continue
                except RestError as error:
                    self._late = self._later(error)
                    if classify(error.failure) is not Verdict.RETRY:
                        await self._check_refusal(error)
                    elif first is not None:
                        raise
                    else:
                        self._give_up_when_over(error)
                log.warning("the broker cannot be asked yet: %s; retry in %s", self._late.reason, duration(pause))
                if pause == FIRST_RETRY_SECONDS:
                    log.info("asked until the session is over; %s tells what is in the way", to_run("doctor"))
                await unless_stopped(self._stopping, self._pause(pause, self._late))
                pause = min(pause * 2, LONGEST_RETRY_SECONDS)

    async def until_session(self, plan: Plan) -> Plan:
        """Return the plan when its session begins, made again meanwhile if it may have become another.

        Raises Stopped, and NothingToRecord of a day that has become closed.
        """
        if plan.times.start_ns > self._clock.wall_ns():
            self._late = None
            plan = await self._wait(plan)
        return plan

    def missed(self, plan: Plan) -> Late | None:
        """What the run should have recorded before it had the plan; None when it was not late."""
        if self._late is None:
            return None
        begin_ns = at(trading_date(plan.times.start_ns), dt.time())  # the calendar of the day before may be closed
        since_ns = max(self._late.since_ns, begin_ns)
        times = plan_times(self._setup.config, self._setup.options, plan.calendar, plan.segments, since_ns)
        return self._late._replace(since_ns=times.start_ns)

    async def held(self, error: AlreadyRecording) -> None:
        """Say that the run cannot begin, because another process works on its date: what comes meanwhile is missed."""
        if self._late is None:
            log.warning("waiting: %s", error)
            self._late = Late(self._clock.wall_ns(), error.brief)
        await self._say_late(f"waiting: {error.brief}", self._late)

    async def _ask(self, store: Store) -> Plan:
        setup = self._setup

        def plan() -> Plan:
            with self._once:
                return make_plan(setup.config, setup.options, store, setup.rest, setup.tokens, setup.clock, setup.bar)

        return await unless_stopped(self._stopping, in_thread(plan))

    @contextlib.contextmanager
    def _telling_why_not(self) -> Iterator[None]:
        """Let the status of a store that was said to wait tell why there is no plan."""
        try:
            yield
        except BaseException as error:
            if self._late is not None or self._has_waited_for_token or not isinstance(error, _CALM):
                self._write_status(**_last_word(error), state=STOPPED)
            raise

    def _later(self, error: RestError) -> Late:
        return Late(self._clock.wall_ns() if self._late is None else self._late.since_ns, error.brief)

    def _may_be_stored_later(self) -> bool:
        """Whether it is early enough for a token to come, and nobody is there to be told that there is none."""
        now_ns = self._clock.wall_ns()
        times = likely_times(self._setup.config, self._setup.options, self._store, now_ns)
        return self._setup.options.scheduled and now_ns < times.start_ns - TOKEN_NS

    async def _pause_for_token(self, error: TokenError) -> None:
        """Let time pass in silence; the status alone says why."""
        self._has_waited_for_token = True
        for _ in range(TOKEN_POLLS):
            await asyncio.to_thread(self._write_status, reason=error.what)
            await self._clock.sleep(REPORT_SECONDS)

    async def _check_refusal(self, error: RestError) -> None:
        """Return if the token sources may have a better token now. Raises TokenError, or the error if it is final."""
        if classify(error.failure) is not Verdict.REREAD_TOKEN:
            raise error
        used, refused = self._setup.tokens.last, self._refused
        unchanged = used == await unless_stopped(self._stopping, in_thread(self._setup.tokens.read))
        if unchanged and used == refused:
            what, hint = "the broker refused the access token twice", f"Run {to_run('login')}"
            raise TokenError(what, where=error.what, hint=hint) from None
        self._refused = used

    def _give_up_when_over(self, error: RestError) -> None:
        end_ns = likely_times(self._setup.config, self._setup.options, self._store, self._started_ns).stop_ns
        if end_ns is not None and self._clock.wall_ns() >= end_ns:
            what = "the broker could not be reached for the whole session"
            raise BrokerUnreachable(what, where=error.brief, hint=error.hint) from error

    async def _pause(self, seconds: float, late: Late) -> None:
        """Let time pass; the status says why nothing is recorded, and the owner is alerted when it takes long."""
        end_ns = self._clock.monotonic_ns() + int(seconds * SECOND)
        while (left := (end_ns - self._clock.monotonic_ns()) / SECOND) > 0:
            await self._say_late(f"the broker cannot be asked yet: {late.reason}", late)
            await self._clock.sleep(min(left, REPORT_SECONDS))

    async def _say_late(self, reason: str, late: Late) -> None:
        """Write the reason into the status; alert the owner when it has lasted for long."""
        await asyncio.to_thread(self._write_status, reason=reason)
        lasted = (self._clock.wall_ns() - late.since_ns) / SECOND
        if lasted > LONG_SECONDS:
            self._setup.alerts.send(Alert("plan", f"tickrec cannot record yet, for {duration(lasted)}: {late.reason}"))

    def _write_status(self, **facts: Any) -> None:
        """Write the status of a run that has no plan yet, or never had one."""
        status.write(self._store.status_path, unplanned(self._store, self._clock, self._started_ns, **facts))

    async def _wait(self, plan: Plan) -> Plan:
        """Until the session begins; the plan for it. However it ends, the status does not say `waiting` for ever."""
        progress = self._progress(plan)
        try:
            return await self._until_begin(plan, progress)
        except BaseException as error:
            last = replace(progress.waiting(), state=STOPPED, **_last_word(error))
            status.write(self._store.status_path, last)
            raise

    def _progress(self, plan: Plan) -> RunProgress:
        setup = self._setup
        return RunProgress(setup.store, plan, setup.clock, setup.config.store.min_free, setup.warnings)

    async def _until_begin(self, plan: Plan, progress: RunProgress) -> Plan:
        start_ns, planned_ns = plan.times.start_ns, self._clock.wall_ns()
        log.info("waiting until %s: %s", f"{ist(start_ns):%H:%M:%S}", plan.session_text(planned_ns))
        pause_ns = FIRST_RENEWAL_NS
        renew_ns = _renewal(plan, planned_ns, planned_ns + pause_ns)
        while (now_ns := self._clock.wall_ns()) < start_ns:
            if now_ns >= renew_ns:
                before, plan = plan, await self._renewed(plan, (start_ns - now_ns) / SECOND)
                start_ns, planned_ns = plan.times.start_ns, planned_ns if plan is before else now_ns
                progress = self._progress(plan)
                pause_ns = min(2 * pause_ns, LONGEST_RENEWAL_NS)
                renew_ns = _renewal(plan, planned_ns, now_ns + pause_ns)
            waiting = progress.waiting()
            await asyncio.to_thread(status.write, self._store.status_path, waiting)
            self._setup.planned()
            await unless_stopped(self._stopping, self._clock.sleep(min(REPORT_SECONDS, (start_ns - now_ns) / SECOND)))
        if now_ns - renew_ns >= BEFORE_NS:  # the machine slept, and the plan may be one of last night
            plan = await self._renewed(plan, LONGEST_RETRY_SECONDS)
        return plan

    async def _renewed(self, plan: Plan, seconds: float) -> Plan:
        """The plan made again; the same when that fails now, or takes more than `seconds`.

        Raises Stopped, and NothingToRecord of a closed day.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._ask(self._store)
        except NothingToRecord:
            raise
        except (TickrecError, OSError) as error:  # one of the latter is TimeoutError, which says nothing
            why = error.brief if isinstance(error, TickrecError) else str(error) or "no answer in time"
            log.warning("the plan cannot be made again now, the one there is stays: %s", why)
            return plan


def _renewal(plan: Plan, planned_ns: int, again_ns: int) -> int:
    """When a plan that was made at `planned_ns` is to be made again, not before `again_ns`; its beginning: never."""
    start_ns = plan.times.start_ns
    if not plan.whole or plan.has_doubted_hours(start_ns):
        return again_ns
    return max(start_ns - BEFORE_NS, again_ns) if start_ns - planned_ns > STALE_PLAN_NS else start_ns


def _last_word(error: BaseException) -> dict[str, Any]:
    """What the status says of a run that ended before it recorded anything."""
    if isinstance(error, TickrecError):
        return {"reason": str(error), "exit_code": int(error.code)}
    if isinstance(error, OSError):
        return {"reason": error.strerror or str(error), "exit_code": int(ExitCode.STORAGE)}
    if isinstance(error, Exception) and not isinstance(error, Stopped):
        return {"reason": f"an unexpected error: {type(error).__name__}", "exit_code": int(ExitCode.INTERNAL)}
    return {"reason": "", "exit_code": 0}
