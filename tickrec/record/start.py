"""Start: what `tickrec record` does, from the store's lock to the last line.

Owns the order: lock, plan, wait for the session, open the day, record. What an error before the recording means to
its owner is decided here. The time before the session is in `waiting`, the recording itself in `run`.
"""

import asyncio
import contextlib
import logging
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from tickrec import logs
from tickrec.clock import SECOND, Clock, Stopped
from tickrec.config import Config
from tickrec.errors import AlreadyRecording, DataError, NothingToRecord, StorageError, TickrecError, to_run
from tickrec.files import Lock, TemporaryFolder, publish
from tickrec.formatting import moment
from tickrec.record.alerts import Alert, Alerts
from tickrec.record.choice import Choice, choose
from tickrec.record.ending import Ending
from tickrec.record.following import mark_followed
from tickrec.record.latecomers import Latecomers
from tickrec.record.plan import Bar, Options, Plan, no_bar
from tickrec.record.plan_making import ask_hours
from tickrec.record.rollover import open_today
from tickrec.record.run import Recorder
from tickrec.record.setup import Setup
from tickrec.record.waiting import Waiting
from tickrec.status.runstatus import RunStatus
from tickrec.store.paths import Store
from tickrec.upstox.auth import TokenSource
from tickrec.upstox.feed import TIMING, Feed, Timing
from tickrec.upstox.rest import SOURCE, Rest

log = logging.getLogger("tickrec")

SHORT_LIFE_NS: Final = 3600 * SECOND
"""A token that expires within this time is told of, where the run has no planned end."""


class Record:
    """One `tickrec record`. `stopping` is set by whoever wants it to end.

    `planned` is called, perhaps again and again, as soon as there is something to see. `timing` is how long the feed
    waits for what.
    """

    def __init__(
        self,
        config: Config,
        options: Options,
        environ: Mapping[str, str],
        clock: Clock,
        stopping: asyncio.Event,
        *,
        planned: Callable[[], None] = lambda: None,
        bar: Bar = no_bar,
        timing: Timing = TIMING,
    ) -> None:
        store = Store(config.store.data)
        self._setup = Setup(
            config,
            options,
            store,
            Rest(config.upstox.api_url, config.upstox.assets_url),
            TokenSource(config.upstox, environ),
            clock,
            stopping,
            Alerts(config.record.on_alert, clock, store.state / "alerts.json"),
            logs.Warnings(),
            planned,
            bar,
        )
        self._store, self._clock = store, clock
        self._timing = timing
        self._waiting = Waiting(self._setup)

    async def run(self) -> RunStatus:
        """Lock, plan, wait, record; what the run last said of itself.

        A store that does not exist is not made before the plan stands: a mistyped symbol leaves no folder.

        Raises Stopped; what `make_plan` raises, but a broker that does not answer is waited for; AlreadyRecording and
        StorageError when recording cannot begin; BrokerUnreachable when the session ended before there was a plan.
        """
        asyncio.get_running_loop().set_exception_handler(_log_forgotten)
        async with self._alerting():
            if self._store.root.exists():
                with self._locked():
                    return await self._record(await self._waiting.plan())
            with contextlib.ExitStack() as held:
                with TemporaryFolder("making a plan") as folder:
                    plan = await self._waiting.first_plan(Store(folder / "data"))
                    held.enter_context(self._locked())
                    await asyncio.to_thread(_adopt, folder / "data", self._store.root)
                return await self._record(plan or await self._waiting.plan())

    @contextlib.asynccontextmanager
    async def _alerting(self) -> AsyncIterator[None]:
        """Alert the owner of what keeps the process from recording, as the error that it is for its owner."""
        try:
            yield
        except DataError as error:  # recording reads no data that could be incomplete: it is in the way
            raise await self._alerted(StorageError(error.what, where=error.where, hint=error.hint)) from error
        except (AlreadyRecording, NothingToRecord, Stopped):
            raise
        except TickrecError as error:
            raise await self._alerted(error) from None
        except OSError as error:
            what = f"the store cannot be used: {error.strerror or error}"
            where = str(error.filename or self._store.root)
            raise await self._alerted(StorageError(what, where=where, hint="Check the disk")) from None
        except Exception as error:  # noqa: BLE001 - the named boundary of what comes before a recording
            hide = self._setup.tokens.last.redact if self._setup.tokens.last is not None else str
            raise await self._alerted(logs.internal_error(error, hide)) from None

    async def _alerted(self, error: TickrecError) -> TickrecError:
        self._setup.alerts.send(Alert("end", f"tickrec cannot record: {error}"))
        await self._setup.alerts.finish()
        return error

    async def _record(self, plan: Plan) -> RunStatus:
        plan = await self._waiting.until_session(plan)
        self._setup.planned()
        self._warn_of_expiry(plan)
        day = await open_today(
            self._store, self._clock, self._setup.stopping, plan.times.stop_ns, self._waiting.held, plan.source
        )
        mark_followed(plan, day)
        feed = Feed(
            self._setup.rest,
            self._setup.tokens,
            plan.connections,
            self._clock,
            limits=plan.limits,
            batch_size=self._setup.config.record.batch_size,
            quiet=plan.quiet,
            timing=self._timing,
            stamped=plan.source == SOURCE,
        )
        setup, clock = self._setup, self._clock
        ask = partial(ask_hours, setup.config, setup.options, setup.store, setup.rest, plan, clock)
        latecomers = Latecomers(plan, feed, clock, partial(self._choose, plan))
        late = self._waiting.missed(plan)
        return await Recorder(setup, feed, plan, day, Ending(plan, clock, ask), latecomers, late).run()

    def _choose(self, plan: Plan) -> Choice:
        """What the plan would have been with the list that the broker has now. Raises TickrecError, OSError."""
        setup, token = self._setup, self._setup.tokens.try_read()
        now_ns = setup.clock.wall_ns()
        return choose(setup.config, setup.options, setup.store, setup.rest, token, now_ns, money=plan.money)

    def _warn_of_expiry(self, plan: Plan) -> None:
        """Warn of a token that does not last until the planned end."""
        expires_ns, now_ns = plan.token_expires_ns, self._clock.wall_ns()
        end_ns = plan.times.stop_ns or now_ns + SHORT_LIFE_NS
        if expires_ns is not None and expires_ns < end_ns:
            when = moment(expires_ns, now_ns)
            log.warning("the token expires at %s, before the recording ends: run %s by then", when, to_run("login"))

    def _locked(self) -> Lock:
        lock = Lock(self._store.record_lock)
        root = self._store.root
        try:
            lock.acquire({"since_ns": self._clock.wall_ns(), "doing": f"recording into {root}"})
        except OSError as error:
            what = f"the store cannot be written: {error.strerror or error}"
            raise StorageError(what, where=str(root), hint="Check that the folder is there and writable") from error
        return lock


def _log_forgotten(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An error that no task waits for goes to the log like all others."""
    error = context.get("exception")
    if isinstance(error, Exception):
        logs.log_unexpected(f"{context['message']}: {error!r}", error)
    else:
        loop.default_exception_handler(context)


def _adopt(folder: Path, root: Path) -> None:
    """Copy what was asked of the broker before there was a store into the store. Raises OSError."""
    for path in (path for path in folder.rglob("*") if path.is_file()):
        publish(root / path.relative_to(folder), lambda copy, path=path: shutil.copyfile(path, copy))  # type: ignore[misc]
