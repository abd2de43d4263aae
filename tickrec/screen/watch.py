"""Watch: a recording seen from outside, from its files alone.

Owns how a late-comer gets to the present: the Parquet parts have the names and last values of the instruments (see
`stored_values`), the journal what came since, and then the journal is followed. The recorder does not know that anybody
watches, and pays nothing for it.
"""

import datetime as dt
from dataclasses import replace
from typing import Final

from tickrec.clock import SECOND, Clock
from tickrec.journal import Follow, Position
from tickrec.journal.entry import Entry, EntryKind
from tickrec.journal.format import FILE_HEADER_BYTES, file_numbers, file_path
from tickrec.journal.tail import read_newest
from tickrec.screen.last_values import LastValues
from tickrec.screen.side_process import Inquiry
from tickrec.screen.stored_values import NOTHING_STORED, StoredValues
from tickrec.status.runstatus import RECORDING, STALE, WAITING, RunStatus
from tickrec.status.status import StatusReport, observe
from tickrec.store.paths import PART, Store, names_in

MOST_BYTES: Final = 64 * 1024 * 1024
"""More journal than this behind the parts is not read: then its end has to do."""
LOOK_BACK_BYTES: Final = 4 * 1024 * 1024
"""That end: some ten seconds of a busy market, hours of a quiet one."""
GRADE_NS: Final = 600 * SECOND
"""How often the date is graded: it takes a second or two of a processor."""
FIRST_GRADE_NS: Final = 10 * SECOND
_REPORT_NS: Final = SECOND
_PIECE: Final = 20
"""Entries read at a time: a message may have hundreds of ticks."""
_POLL_NS: Final = SECOND // 4
"""How long entries are read before something is shown again."""
_BEHIND_NS: Final = 120 * SECOND
"""Who is later than this, as after a terminal that stood still for long, begins again with the parts."""


class Watch:
    """Looks at the files of a store: `look` brings `run` and `last_values` up to date."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.live = LastValues()
        self._store = store
        self._root = str(store.root.absolute())
        self._clock = clock
        self._begun = ("", 0)
        """Date and start of the run that is watched."""
        self._asking: Inquiry | None = None
        self._grading: Inquiry | None = None
        self._grade_ns = 0
        """Monotonic, when the grade is asked for next."""
        self.grade = ""
        """Of the date so far; empty: not known."""
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
        return self._asking is not None

    def look(self) -> None:
        """Take in what is new. Raises OSError, DataError."""
        if self._clock.monotonic_ns() - self._reported_ns >= _REPORT_NS:
            self.report = observe(self._store, self._clock)
            self._reported_ns = self._clock.monotonic_ns()
        run = self.run
        if (run.date, run.started_ns) != self._begun:
            self._begin(run)
        if self._asking is not None and (text := self._asking.answer()) is not None:
            self._asking.close()
            self._asking = None
            self._go_on(run, StoredValues.from_text(text) if text else NOTHING_STORED)
        if self._follow is not None:
            self._read(run, self._follow)
            self._ask_for_grade(run)

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
        for inquiry in (self._asking, self._grading):
            if inquiry is not None:
                inquiry.close()
        self._asking = self._grading = None

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
        self._follow = None
        self.grade, self._grade_ns = "", self._clock.monotonic_ns() + FIRST_GRADE_NS
        self._heard = {}
        self.is_closing = False
        self.live = LastValues()
        if not run.date:
            return
        date = dt.date.fromisoformat(run.date)
        if any(PART.fullmatch(name) for name in names_in(self._store.folder("ticks", date))):
            self._asking = Inquiry("tickrec.screen.stored_values", self._root, run.date, str(run.started_ns))
        else:
            self._go_on(run, NOTHING_STORED)

    def _go_on(self, run: RunStatus, stored: StoredValues) -> None:
        """Follow the journal from where the parts end, or from near its end when that is too far."""
        folder = self._store.journal(dt.date.fromisoformat(run.date))
        self.live.name(stored.symbols)
        for quote, wall_ns in stored.quotes:
            self.live.update([quote], wall_ns)
        plain = [number for number in file_numbers(folder) if file_path(folder, number).exists()]
        start = stored.position
        if start is None and plain and plain[0] > 1:  # what was compressed is of earlier runs
            start = Position(plain[0], FILE_HEADER_BYTES)
        first = start or Position(0, 0)
        size = sum(file_path(folder, number).stat().st_size for number in plain if number >= first.file) - first.offset
        if size <= MOST_BYTES:
            self._follow = Follow(folder, stored.next_seq, start=start)
            return
        entries, position = read_newest(folder, LOOK_BACK_BYTES)
        self._take(run, entries)
        self._follow = Follow(folder, start=position)

    def _ask_for_grade(self, run: RunStatus) -> None:
        """Ask how complete the date is, now and then, and take the answer when it is there."""
        now_ns = self._clock.monotonic_ns()
        if self._grading is not None:
            grade = self._grading.answer()
            if grade is not None:
                self.grade = grade
                self._grading.close()
                self._grading = None
        elif run.state == RECORDING and not run.simulated and now_ns >= self._grade_ns:  # of that most is always missed
            self._grade_ns = now_ns + GRADE_NS
            self._grading = Inquiry("tickrec.screen.grade_so_far", self._root, run.date)

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
