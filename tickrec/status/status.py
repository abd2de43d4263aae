"""Status: how the recording of a store is doing, told from files alone.

Owns the status file and the judgement: recording, waiting, stopped, or stale. Who holds the lock is alive, whatever
the status file says; how a run ended is in the journal, whatever the status file says. So the answer is right after
`kill -9`, after a power cut, with a disk on which the status file could not be written, and from another user's
account. Takes no lock and changes nothing.
"""

import datetime as dt
import os
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tickrec.clock import SECOND, Clock, ist
from tickrec.config import SIMULATED
from tickrec.errors import ExitCode
from tickrec.files import free_bytes, lock_holder
from tickrec.journal import Position
from tickrec.journal.entry import Entry, EntryKind
from tickrec.journal.tail import read_from, read_newest
from tickrec.status import runstatus
from tickrec.status.next_session import USUAL_START, next_session
from tickrec.status.runstatus import RECORDING, STALE, STOPPED, WAITING, RunStatus
from tickrec.store.paths import Store
from tickrec.upstox.decode.peek import count_feeds

if TYPE_CHECKING:
    from tickrec.status.disk_use import DiskUse
    from tickrec.status.totals import Totals

FRESH_NS: Final = 10 * SECOND
"""The status file is written once a second; one that is older says nothing of the present."""
LIVELY_NS: Final = 60 * SECOND
"""A journal that grew within this time shows that its recorder works."""
MUTE_NS: Final = 180 * SECOND
"""No message for so long, while data is expected, is not recording. The feed itself connects anew after 60 s."""
TAIL_BYTES: Final = 64 * 1024 * 1024
"""More journal than this behind the status file is not counted, for the sake of a quick answer."""
LAST_BYTES: Final = 1024 * 1024
"""How much of the journal is looked at to see how it ends."""
CLOSED: Final = "closed"
"""The state of a connection whose run is over."""

_writing: Final = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """What there is to say about a store at `now_ns`. Instants are wall nanoseconds."""

    state: str
    """RECORDING, WAITING, STOPPED or STALE: died, or alive and not recording."""
    now_ns: int
    run: RunStatus | None = None
    """What the present or last run said, brought up to date from the journal; None when there was none."""
    reason: str = ""
    """Why it is stale, or stopped before its planned end."""
    died: bool = False
    """The last run ended without a goodbye."""
    ended_ns: int | None = None
    """When the last run ended, as far as the journal knows."""
    disk_free_bytes: int = 0
    leaving: bool = False
    """The run has said goodbye and its process is still there: after the planned end it seals the day."""
    open: bool = False
    """An exchange is open of which something is recorded in this store."""
    next_start_ns: int | None = None
    """When the next recording would begin, by the calendar; None when that is not known."""
    date_ticks: int | None = None
    """Ticks of the run's date over all runs; None where that is not known."""
    kept: "tuple[DiskUse, ...]" = ()
    totals: "Mapping[dt.date, Totals]" = field(default_factory=dict)
    """Of the newest sealed dates."""
    usual_day: int | None = None
    """Bytes that a sealed day usually takes; None before there was one of usual length."""

    @property
    def over(self) -> bool:
        """Nobody records any more."""
        return self.state == STOPPED or self.died

    @property
    def missing(self) -> bool:
        """Nothing is recording although an exchange is open: it may be meant so, but somebody should know."""
        return self.open and self.over and not self.leaving

    @property
    def endless_gaps(self) -> int:
        """Gaps that never ended, because nobody records any more; while somebody does, they last."""
        return sum(gap.end_ns is None for gap in self.run.gaps) if self.run is not None and self.over else 0

    @property
    def gap_seconds(self) -> float:
        """Length of all gaps together, lasting ones until now; those without an end do not count."""
        if self.run is None:
            return 0.0
        ended = tuple(gap for gap in self.run.gaps if gap.end_ns is not None)
        return (replace(self.run, gaps=ended) if self.over else self.run).gap_seconds(self.now_ns)

    @property
    def exit_code(self) -> ExitCode:
        """DONE when recording, waiting, or stopped cleanly; DATA when stale or when the last run failed."""
        failed = self.state == STOPPED and self.run is not None and self.run.exit_code not in _CLEAN
        return ExitCode.DATA if failed or self.state == STALE else ExitCode.DONE


_CLEAN: Final = (ExitCode.DONE, ExitCode.NOTHING)


def write(path: Path, run: RunStatus) -> None:
    """Replace the status file. One that cannot be written is harmless: nothing that is recorded depends on it.

    May be called from several threads; what comes late does not replace the last word of a run.
    """
    temp = path.with_name(f".{path.name}.tmp")
    with _writing:
        try:
            said = read(path)
            if said is not None and said.state == STOPPED and (said.pid, said.started_ns) == (run.pid, run.started_ns):
                return
            temp.write_bytes(runstatus.encode(run))
            os.replace(temp, path)
        except OSError:
            return


def read(path: Path) -> RunStatus | None:
    """What the status file says; None when there is none, or none that can be read."""
    try:
        return runstatus.decode(path.read_bytes())
    except (OSError, ValueError):
        return None


def collect(store: Store, clock: Clock, start: dt.time = USUAL_START) -> StatusReport:
    """Everything there is to say about a store, also an empty one; `start` is when recordings begin.

    Raises OSError, DataError.
    """
    # Here, because `observe` does without Arrow: whoever watches a recording looks once a second, and stays small.
    from tickrec.status.disk_use import disk_use
    from tickrec.status.totals import newest_totals, ticks_of, usual_day

    report = observe(store, clock)
    if store.root.name != SIMULATED:  # that market has hours of its own
        segments = report.run.segments if report.run is not None else ()
        found = next_session(store, segments, report.now_ns, start)
        report = replace(report, open=found.open, next_start_ns=found.next_start_ns)
    kept = disk_use(store)
    totals = newest_totals(store, kept)
    usual, run, ticks = usual_day(kept, totals), report.run, None
    if run is not None:
        ticks, unflushed = ticks_of(store, run)
        run = replace(
            run,
            disk_free_bytes=report.disk_free_bytes,
            day_bytes=usual or run.day_bytes,
            unflushed_ticks=unflushed,
        )
        sealed = next((each for each in kept if each.sealed and str(each.date) == run.date), None)
        if report.over and sealed is not None:
            run = _sealed(run, sealed, totals.get(sealed.date))
    return replace(report, kept=kept, totals=totals, usual_day=usual, run=run, date_ticks=ticks)


def _sealed(run: RunStatus, use: "DiskUse", totals: "Totals | None") -> RunStatus:
    """A run that is over, and whose date has been sealed since: nothing waits, and the gaps are those of the date."""
    run = replace(run, unflushed_ticks=0, duckdb_lag_ticks=0 if use.duckdb else None)
    return run if totals is None else replace(run, gaps=totals.gaps, earlier_gaps=0, earlier_gap_ns=0)


def observe(store: Store, clock: Clock) -> StatusReport:
    """The same without what is kept: cheap enough for once a second. Raises OSError, DataError."""
    run = read(store.status_path)
    tail = _Tail(store, run)
    now_ns = clock.wall_ns()
    holder = _holder(store, run, now_ns)
    report = _ended(run, tail, now_ns) if holder is None else _alive(holder, run, tail, now_ns)
    return replace(report, disk_free_bytes=free_bytes(store.root))


class _Tail:
    """What the newest journal has behind the status file, and how it ends."""

    def __init__(self, store: Store, run: RunStatus | None) -> None:
        dates = store.dates()
        self.date = str(dates[-1]) if dates else ""
        self._folder = store.journal(dates[-1]) if dates else None
        self._settled = bool(dates) and store.settled(dates[-1])
        self.entries: Sequence[Entry] = ()
        behind = run is not None and run.date == self.date and not (run.state == STOPPED and self._settled)
        if behind and run is not None and run.position is not None and self._folder is not None:
            self.entries = read_from(self._folder, Position(*run.position), TAIL_BYTES) or ()

    def last(self) -> Entry | None:
        """The newest entry; None when there is none, or when the date is sealed."""
        if self.entries or self._folder is None or self._settled:
            return self.entries[-1] if self.entries else None
        return next(iter(read_newest(self._folder, LAST_BYTES).entries[-1:]), None)


def _holder(store: Store, run: RunStatus | None, now_ns: int) -> Mapping[str, Any] | None:
    """What the holder of the recording lock wrote; None when nobody holds it."""
    try:
        return lock_holder(store.record_lock)
    except PermissionError:  # another user's: a status file that is written has a writer
        fresh = run is not None and run.state != STOPPED and now_ns - run.written_ns < FRESH_NS
        return {"pid": run.pid} if run is not None and fresh else None


def _alive(holder: Mapping[str, Any], run: RunStatus | None, tail: _Tail, now_ns: int) -> StatusReport:
    pid = holder.get("pid", 0)
    if run is None or run.pid != pid:
        return _unheard(holder, tail, now_ns)
    if run.state == STOPPED:
        planned = run.stop_ns is not None and run.written_ns >= run.stop_ns
        reason = run.reason or ("sealing the day" if planned else "ending")
        over = _over(run)
        return StatusReport(
            state=STOPPED, now_ns=now_ns, run=over, reason=reason, ended_ns=run.written_ns, leaving=True
        )
    present = _counted(run, tail.entries)
    if now_ns - run.written_ns < FRESH_NS:
        return _judged(present, now_ns)
    last = tail.last()
    if last is not None and now_ns - last.wall_ns < LIVELY_NS:
        return StatusReport(state=RECORDING, now_ns=now_ns, run=present)
    reason = f"pid {pid} is there but has said nothing since {ist(run.written_ns):%H:%M:%S}"
    return StatusReport(state=STALE, now_ns=now_ns, run=present, reason=reason)


def _unheard(holder: Mapping[str, Any], tail: _Tail, now_ns: int) -> StatusReport:
    """A recorder that has not written its status yet, or cannot."""
    last = tail.last()
    state = RECORDING if last is not None and now_ns - last.wall_ns < LIVELY_NS else WAITING
    run = RunStatus(
        state=state,
        pid=holder.get("pid", 0),
        date=tail.date,
        started_ns=holder.get("since_ns", now_ns),
        written_ns=now_ns,
        last_message_ns=last.wall_ns if last is not None else None,
    )
    return StatusReport(state=state, now_ns=now_ns, run=run)


def _judged(run: RunStatus, now_ns: int) -> StatusReport:
    """A recorder that speaks: does it record?"""
    if run.state == WAITING:
        late = bool(run.reason) and now_ns - run.started_ns > MUTE_NS
        return StatusReport(state=STALE if late else WAITING, now_ns=now_ns, run=run, reason=run.reason)
    heard_ns = max(run.last_message_ns or 0, run.started_ns)
    if run.expects_data and now_ns - heard_ns > MUTE_NS:
        reason = f"nothing has been received since {ist(heard_ns):%H:%M:%S}"
        return StatusReport(state=STALE, now_ns=now_ns, run=run, reason=reason)
    return StatusReport(state=RECORDING, now_ns=now_ns, run=run)


def _ended(run: RunStatus | None, tail: _Tail, now_ns: int) -> StatusReport:
    """Nobody records: was there a goodbye?"""
    last = tail.last()
    counted = run if run is None else _over(_counted(run, tail.entries) if run.state != STOPPED else run)
    if last is not None and last.kind is EntryKind.CLOSED:
        reason = counted.reason if counted is not None else ""
        return StatusReport(state=STOPPED, now_ns=now_ns, run=counted, reason=reason, ended_ns=last.wall_ns)
    if run is None and last is None:
        return StatusReport(state=STOPPED, now_ns=now_ns)
    newer = last is not None and run is not None and last.wall_ns > run.written_ns + 2 * SECOND
    if run is not None and run.state == STOPPED and not newer:
        return StatusReport(state=STOPPED, now_ns=now_ns, run=counted, reason=run.reason, ended_ns=run.written_ns)
    ended_ns = max(last.wall_ns if last is not None else 0, run.written_ns if run is not None else 0)
    return StatusReport(
        state=STALE, now_ns=now_ns, run=counted, reason="ended without a goodbye", died=True, ended_ns=ended_ns
    )


def _counted(run: RunStatus, entries: Sequence[Entry]) -> RunStatus:
    """The run with what was journalled after it wrote its status."""
    messages = [entry for entry in entries if entry.kind is EntryKind.MESSAGE]
    if not messages:
        return run
    frames: Counter[int] = Counter()
    ticks: Counter[int] = Counter()
    newest: dict[int, int] = {}
    for entry in messages:
        frames[entry.conn] += 1
        ticks[entry.conn] += count_feeds(entry.payload)
        newest[entry.conn] = entry.wall_ns
    connections = tuple(
        replace(
            each,
            frames=each.frames + frames[each.conn],
            ticks=each.ticks + ticks[each.conn],
            last_message_ns=newest.get(each.conn, each.last_message_ns),
        )
        for each in run.connections
    )
    return replace(
        run,
        frames=run.frames + len(messages),
        ticks=run.ticks + ticks.total(),
        bytes=run.bytes + sum(len(entry.payload) for entry in messages),
        unflushed_ticks=run.unflushed_ticks + ticks.total(),
        duckdb_lag_ticks=None if run.duckdb_lag_ticks is None else run.duckdb_lag_ticks + ticks.total(),
        last_message_ns=messages[-1].wall_ns,
        connections=connections,
    )


def _over(run: RunStatus) -> RunStatus:
    """The run without what was true only while it lasted."""
    connections = tuple(
        replace(each, state=CLOSED, rate=0.0, message_rate=0.0, retry_ns=None) for each in run.connections
    )
    return replace(run, rate=0.0, message_rate=0.0, byte_rate=0.0, connections=connections)
