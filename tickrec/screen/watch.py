"""Watch: a recording seen from outside, from its files alone.

Owns how a late-comer gets to the present: the Parquet parts have the names and last values of the instruments (see
`snapshot`), the journal what came since, and then the journal is followed. The recorder does not know that anybody
watches, and pays nothing for it.
"""

import datetime as dt
import subprocess
import tempfile
from dataclasses import replace
from typing import Final

from tickrec import children
from tickrec.clock import SECOND, Clock
from tickrec.journal import Follow, Position
from tickrec.journal.entry import Entry, EntryKind
from tickrec.journal.format import FILE_HEADER_BYTES, file_numbers, file_path
from tickrec.journal.tail import read_newest
from tickrec.screen.live import Live
from tickrec.screen.snapshot import Snapshot
from tickrec.status.runstatus import RECORDING, STALE, WAITING, RunStatus
from tickrec.status.status import StatusReport, observe
from tickrec.store.paths import PART, Store, names_in

MOST_BYTES: Final = 64 * 1024 * 1024
"""More journal than this behind the parts is not read: then its end has to do."""
LOOK_BACK_BYTES: Final = 4 * 1024 * 1024
"""That end: some ten seconds of a busy market, hours of a quiet one."""
_REPORT_NS: Final = SECOND
_PIECE: Final = 20
"""Entries read at a time: a message may have hundreds of ticks."""
_POLL_NS: Final = SECOND // 4
"""How long entries are read before something is shown again."""
_BEHIND_NS: Final = 120 * SECOND
"""Who is later than this, as after a terminal that stood still for long, begins again with the parts."""


class Watch:
    """Looks at the files of a store: `look` brings `run` and `live` up to date."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.live = Live()
        self._store = store
        self._clock = clock
        self._begun = ("", 0)
        """Date and start of the run that is watched."""
        self._snapshot: _Taking | None = None
        self._follow: Follow | None = None
        self._heard: dict[int, int] = {}
        """When each connection last brought a message, which is newer than what the status file says."""
        self.is_closing = False
        """Whether the run has said goodbye in the journal, and has still to write what is left."""
        self.report: StatusReport = observe(store, clock)
        self._reported_ns = clock.monotonic_ns()

    @property
    def going(self) -> bool:
        """Whether there is a recorder to watch, if only at sealing the day."""
        report = self.report
        return report.leaving or report.state in (RECORDING, WAITING) or (report.state == STALE and not report.died)

    @property
    def is_catching_up(self) -> bool:
        """Whether the parts are being read."""
        return self._snapshot is not None

    def look(self) -> None:
        """Take in what is new. Raises OSError, DataError."""
        if self._clock.monotonic_ns() - self._reported_ns >= _REPORT_NS:
            self.report = observe(self._store, self._clock)
            self._reported_ns = self._clock.monotonic_ns()
        run = self.run
        if (run.date, run.started_ns) != self._begun:
            self._begin(run)
        if self._snapshot is not None and (taken := self._snapshot.result()) is not None:
            self._snapshot.close()
            self._snapshot = None
            self._go_on(run, taken)
        if self._follow is not None:
            self._read(run, self._follow)

    @property
    def run(self) -> RunStatus:
        """What the run says of itself, with what has come since."""
        run = self._said()
        connections = tuple(
            replace(each, last_message_ns=max(each.last_message_ns or 0, self._heard.get(each.conn, 0)) or None)
            for each in run.connections
        )
        return replace(run, connections=connections)

    def close(self) -> None:
        """Read no more."""
        if self._snapshot is not None:
            self._snapshot.close()

    def _said(self) -> RunStatus:
        report = self.report
        run = report.run
        if run is None:
            return RunStatus(state=report.state, pid=0, date="", started_ns=report.now_ns, written_ns=report.now_ns)
        if report.leaving:
            return replace(run, state=run.state if run.reason else report.reason, durable_ns=None)
        return replace(run, state=STALE, reason=report.reason) if report.state == STALE else run

    def _begin(self, run: RunStatus) -> None:
        """Start with a run; what an earlier one of the date recorded is no news."""
        self.close()
        self._begun = (run.date, run.started_ns)
        self._snapshot = self._follow = None
        self._heard = {}
        self.is_closing = False
        self.live = Live()
        if not run.date:
            return
        date = dt.date.fromisoformat(run.date)
        if any(PART.fullmatch(name) for name in names_in(self._store.folder("ticks", date))):
            self._snapshot = _Taking(self._store, run)
        else:
            self._go_on(run, Snapshot(1, None, {}, []))

    def _go_on(self, run: RunStatus, taken: Snapshot) -> None:
        """Follow the journal from where the parts end, or from near its end when that is too far."""
        folder = self._store.journal(dt.date.fromisoformat(run.date))
        self.live.name(taken.symbols)
        for quote, wall_ns in taken.quotes:
            self.live.update([quote], wall_ns)
        plain = [number for number in file_numbers(folder) if file_path(folder, number).exists()]
        start = taken.position
        if start is None and plain and plain[0] > 1:  # what was compressed is of earlier runs
            start = Position(plain[0], FILE_HEADER_BYTES)
        first = start or Position(0, 0)
        size = sum(file_path(folder, number).stat().st_size for number in plain if number >= first.file) - first.offset
        if size <= MOST_BYTES:
            self._follow = Follow(folder, taken.next_seq, start=start)
            return
        entries, position = read_newest(folder, LOOK_BACK_BYTES)
        self._take(run, entries)
        self._follow = Follow(folder, start=position)

    def _read(self, run: RunStatus, follow: Follow) -> None:
        until_ns = self._clock.monotonic_ns() + _POLL_NS
        while True:
            entries = follow.poll(_PIECE)
            self._take(run, entries)
            if len(entries) < _PIECE:
                return
            if self._clock.monotonic_ns() >= until_ns:
                if self._clock.wall_ns() - entries[-1].wall_ns > _BEHIND_NS and run.flushed_seq > entries[-1].seq:
                    self._begin(run)
                return

    def _take(self, run: RunStatus, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.wall_ns < run.started_ns:
                continue
            match entry.kind:
                case EntryKind.MESSAGE:
                    self.live.hear(entry.payload, entry.wall_ns)
                    self._heard[entry.conn] = entry.wall_ns
                case EntryKind.CLOSED:
                    self.is_closing = True
                case EntryKind.SUBSCRIBED | EntryKind.NOTE:
                    facts = entry.facts()
                    if entry.kind is EntryKind.SUBSCRIBED or facts.get("event") == "wanted":
                        self.live.name({key: symbol for key, symbol, *_ in facts["keys"]})


class _Taking:
    """A process that takes a snapshot."""

    def __init__(self, store: Store, run: RunStatus) -> None:
        self._out = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the rest
        arguments = str(store.root.absolute()), run.date, str(run.started_ns)
        self._process = subprocess.Popen(
            children.command("tickrec.screen.snapshot", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=subprocess.DEVNULL,
            env=children.without_secrets(),
        )

    def result(self) -> Snapshot | None:
        """The snapshot when it is there; an empty one when it cannot be taken, as of damaged parts."""
        if self._process.poll() is None:
            return None
        self._out.seek(0)
        try:
            return Snapshot.from_text(self._out.read().decode())
        except (ValueError, TypeError):
            return Snapshot(1, None, {}, [])

    def close(self) -> None:
        """Be done with it."""
        self._process.kill()
        self._process.wait()
        self._out.close()
