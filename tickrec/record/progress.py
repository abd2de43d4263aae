"""Progress: what a run has counted so far, as a RunStatus once a second.

Owns the counters and rates. Reads the day, the feed, the flushing and the plan; changes none of them.
"""

import contextlib
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tickrec.clock import SECOND, Clock
from tickrec.config import SIMULATED
from tickrec.files import free_bytes
from tickrec.journal.entry import Entry
from tickrec.logs import Warnings
from tickrec.market.calendar import trading_date
from tickrec.record.day import Day
from tickrec.record.flush import Flushing
from tickrec.record.plan import Plan
from tickrec.record.stale import Stopped
from tickrec.status.disk_use import disk_use
from tickrec.status.runstatus import CONNECTED, RECORDING, STOPPED, WAITING, ConnectionStatus, RunStatus
from tickrec.status.totals import newest_totals, usual_day
from tickrec.store.paths import Store
from tickrec.upstox.auth import Token
from tickrec.upstox.feed import ConnectionState, Feed

SESSION_SECONDS: Final = 7 * 3600
"""How long a day's recording is taken to be when its size is estimated."""
FORECAST_SECONDS: Final = 600
"""A run shorter than this says nothing about how long the disk lasts."""
RATE_NS: Final = 5 * SECOND
PARQUET_SHARE: Final = 0.5
"""What Parquet and DuckDB add to a day's journal, roughly, until it is sealed."""


class Rate:
    """Events a second over the last few seconds, from running totals that are sampled about once a second."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int]] = deque()

    def sample(self, total: int, mono_ns: int) -> float:
        """Take the running total at a monotonic time; the rate since the oldest sample of the last RATE_NS."""
        samples = self._samples
        samples.append((mono_ns, total))
        while len(samples) > 2 and samples[1][0] <= mono_ns - RATE_NS:
            samples.popleft()
        then_ns, before = samples[0]
        return (total - before) * SECOND / (mono_ns - then_ns) if mono_ns > then_ns else 0.0


@dataclass(slots=True)
class _Line:
    """What one connection has brought in this run."""

    frames: int = 0
    ticks: int = 0
    last_ns: int | None = None
    answered: int = 0
    """Instruments that had answered when the connection was last open."""


def unplanned(
    store: Store, clock: Clock, started_ns: int, *, reason: str, state: str = WAITING, exit_code: int = 0
) -> RunStatus:
    """What there is to say of a run that does not know yet what to record."""
    free = free_bytes(store.root)
    facts = _of_process(store, clock.wall_ns(), started_ns)
    return RunStatus(state=state, reason=reason, exit_code=exit_code, disk_free_bytes=free, **facts)


def _of_process(store: Store, now_ns: int, started_ns: int) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "date": str(trading_date(now_ns)),
        "started_ns": started_ns,
        "written_ns": now_ns,
        "simulated": store.root.name == SIMULATED,
    }


class RunProgress:
    """Counts messages and ticks of a run; `frames`, `ticks` and `bytes` are totals since it began."""

    def __init__(self, store: Store, plan: Plan, clock: Clock, min_free: int, warnings: Warnings) -> None:
        self.frames = 0
        self.ticks = 0
        self.bytes = 0
        self.last_message_ns: int | None = None
        self.started_ns = clock.wall_ns()
        self.durable_ns: int | None = None
        self._store = store
        self._plan = plan
        self._clock = clock
        self._min_free = min_free
        self._warnings = warnings
        self._lines: dict[int, _Line] = {}
        self._rates: dict[str, Rate] = {}
        self._free: tuple[int, int] | None = None
        """Monotonic time and free bytes of the last look."""
        self._usual_day: int | None = None
        with contextlib.suppress(OSError):  # a forecast is worth nothing beside a recording
            kept = disk_use(store)
            self._usual_day = usual_day(kept, newest_totals(store, kept))

    def messages(self, entries: Sequence[Entry], ticks: int) -> None:
        """Count messages of one connection with their ticks."""
        newest = entries[-1]
        line = self._lines.get(newest.conn)
        if line is None:
            line = self._lines[newest.conn] = _Line()
        line.frames += len(entries)
        line.ticks += ticks
        line.last_ns = self.last_message_ns = newest.wall_ns
        self.frames += len(entries)
        self.ticks += ticks
        self.bytes += sum(len(entry.payload) for entry in entries)

    def waiting(self) -> RunStatus:
        """What there is to say before the session."""
        return RunStatus(state=WAITING, start_ns=self._plan.times.start_ns, **self._common())

    def status(
        self,
        day: Day,
        feed: Feed,
        flushing: Flushing,
        *,
        stale: Sequence[Stopped] = (),
        state: str = RECORDING,
        reason: str = "",
        exit_code: int = 0,
    ) -> RunStatus:
        """Everything about the run at this moment."""
        now_ns, mono_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        byte_rate = self.byte_rate(now_ns)
        position = day.journal.position
        lag, by_key = flushing.duckdb_lag, self._plan.by_key
        connections = tuple(self._connection(each, mono_ns, over=state == STOPPED) for each in feed.states())
        return RunStatus(
            state=state,
            frames=self.frames,
            ticks=self.ticks,
            bytes=self.bytes,
            rate=self._rate("ticks", self.ticks, mono_ns),
            message_rate=self._rate("frames", self.frames, mono_ns),
            last_message_ns=self.last_message_ns,
            expects_data=not self._plan.quiet(now_ns),
            durable_ns=self.durable_ns,
            journal_bytes=day.journal.size_bytes,
            byte_rate=byte_rate,
            position=(position.file, position.offset),
            parquet_ticks=flushing.parquet_ticks,
            parquet_ns=day.flushed_ns,
            flushed_seq=day.flushed_seq,
            unflushed_ticks=day.unflushed,
            duckdb_lag_ticks=None if lag is None else lag + day.unflushed,
            reconnects=feed.reconnects,
            rejected=flushing.rejected,
            connections=connections,
            answered=sum(each.answered for each in connections),
            silent=tuple((key, by_key[key].symbol) for key in (*feed.silent(), *feed.unasked())),
            stale=tuple((each.instrument.instrument_key, each.instrument.symbol, each.since_ns) for each in stale),
            gaps=(*day.gaps, *day.lasting()),
            earlier_gaps=day.gaps_ended - len(day.gaps),
            earlier_gap_ns=day.gaps_ns - sum((gap.end_ns or gap.start_ns) - gap.start_ns for gap in day.gaps),
            day_bytes=self._usual_day or int(byte_rate * SESSION_SECONDS) or None,
            reason=reason,
            exit_code=exit_code,
            **self._common(feed.token),
        )

    def _common(self, token: Token | None = None) -> dict[str, Any]:
        now_ns = self._clock.wall_ns()
        return _of_process(self._store, now_ns, self.started_ns) | {
            "wanted": len(self._plan.instruments),
            "unknown": self._plan.unknown,
            "disk_free_bytes": self._free_bytes(),
            "min_free_bytes": self._min_free,
            "token_expires_ns": self._plan.token_expires_ns if token is None else token.expires_ns,
            "segments": tuple(sorted(self._plan.segments)),
            "session": self._plan.session_text(now_ns),
            "stop_ns": self._plan.times.stop_ns,
            "news": self._warnings.lines,
        }

    def _connection(self, state: ConnectionState, mono_ns: int, *, over: bool) -> ConnectionStatus:
        line = self._lines.setdefault(state.conn, _Line())
        if state.state == CONNECTED:
            line.answered = state.answered
        return ConnectionStatus(
            conn=state.conn,
            state=state.state,
            keys=state.keys,
            answered=line.answered if over else state.answered,
            frames=line.frames,
            ticks=line.ticks,
            since_ns=state.since_ns,
            message_rate=self._rate(f"frames {state.conn}", line.frames, mono_ns),
            rate=self._rate(f"ticks {state.conn}", line.ticks, mono_ns),
            last_message_ns=line.last_ns,
            attempt=state.attempt,
            retry_ns=state.retry_ns,
            reason=state.reason,
        )

    def _free_bytes(self) -> int:
        """Free space, looked at once a second however often somebody asks."""
        mono_ns = self._clock.monotonic_ns()
        if self._free is None or not 0 <= mono_ns - self._free[0] < SECOND:
            self._free = mono_ns, free_bytes(self._store.root)
        return self._free[1]

    def _rate(self, name: str, total: int, mono_ns: int) -> float:
        return self._rates.setdefault(name, Rate()).sample(total, mono_ns)

    def byte_rate(self, now_ns: int) -> float:
        """Bytes a second that the run has taken of the disk so far; 0 as long as that would mean little."""
        seconds = (now_ns - self.started_ns) / SECOND
        return self.bytes * (1 + PARQUET_SHARE) / seconds if seconds >= FORECAST_SECONDS else 0.0
