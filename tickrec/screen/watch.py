"""Watch: the live table of a recorder that runs elsewhere, from its files alone.

Owns how a late-comer gets to the present: the newest few megabytes of the journal give the last values, then the
journal is followed. The recorder does not know that anybody watches, and pays nothing for it.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from tickrec.clock import SECOND, Clock
from tickrec.errors import DataError
from tickrec.journal import Follow
from tickrec.journal.entry import Entry, EntryKind
from tickrec.journal.tail import read_newest
from tickrec.screen.live import FRAME_SECONDS, Live, LiveView
from tickrec.status.runstatus import RECORDING, STALE, WAITING, RunStatus
from tickrec.status.status import StatusReport, observe
from tickrec.store.paths import Store
from tickrec.upstox.decode.quotes import quotes

LOOK_BACK_BYTES: Final = 4 * 1024 * 1024
"""Journal that is read to begin with: some ten seconds of a busy market, hours of a quiet one."""
_REPORT_NS: Final = SECOND


class Watch:
    """Looks at the files of a store; `view` is what the recorder's own live table would show."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._begun = ("", 0)
        """Date and start of the run that is watched."""
        self._live = Live({})
        self._follow: Follow | None = None
        self._heard: dict[int, int] = {}
        """When each connection last brought a message, which is newer than what the status file says."""
        self.report: StatusReport = observe(store, clock)
        self._reported_ns = clock.monotonic_ns()

    @property
    def going(self) -> bool:
        """Whether there is a recorder to watch, if only at sealing the day."""
        report = self.report
        return report.leaving or report.state in (RECORDING, WAITING) or (report.state == STALE and not report.died)

    def view(self) -> LiveView:
        """The table now. Raises OSError, DataError."""
        if self._clock.monotonic_ns() - self._reported_ns >= _REPORT_NS:
            self.report = observe(self._store, self._clock)
            self._reported_ns = self._clock.monotonic_ns()
        run = self._run()
        if (run.date, run.started_ns) != self._begun:
            self._begin(run)
        if self._follow is not None:
            self._take(self._follow.poll())
        connections = tuple(
            replace(each, last_message_ns=max(each.last_message_ns or 0, self._heard.get(each.conn, 0)) or None)
            for each in run.connections
        )
        return self._live.view(replace(run, connections=connections), self._clock.wall_ns())

    async def until_over(self, show: Callable[[LiveView], None]) -> None:
        """Show a view several times a second until the recorder has ended."""
        while self.going:
            show(self.view())
            await self._clock.sleep(FRAME_SECONDS)

    def _run(self) -> RunStatus:
        report = self.report
        run = report.run
        if run is None:
            return RunStatus(state=report.state, pid=0, date="", started_ns=report.now_ns, written_ns=report.now_ns)
        if report.leaving:
            return replace(run, state=run.state if run.reason else report.reason, durable_ns=None)
        return replace(run, state=STALE, reason=report.reason) if report.state == STALE else run

    def _begin(self, run: RunStatus) -> None:
        """Start with the run's newest entries; what an earlier run of the date recorded is no news."""
        self._begun = (run.date, run.started_ns)
        self._follow = None
        self._heard = {}
        if not run.date:
            return
        day = dt.date.fromisoformat(run.date)
        folder = self._store.journal(day)
        self._live = Live({}, names=_names(self._store.instruments_path(day)))
        entries, position = read_newest(folder, LOOK_BACK_BYTES)
        self._take([entry for entry in entries if entry.wall_ns >= run.started_ns])
        self._follow = Follow(folder, start=position)

    def _take(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.kind is EntryKind.MESSAGE:
                self._live.update(quotes(entry.payload), entry.wall_ns)
                self._heard[entry.conn] = entry.wall_ns


def _names(path: Path) -> Mapping[str, str]:
    """Symbols by instrument key; none while the date has no instruments that can be read."""
    from tickrec.store.parquet import opened

    names = ("instrument_key", "symbol")
    try:
        with opened(path) as file:
            table = file.read(columns=list(names))
            return dict(zip(*(table[name].to_pylist() for name in names), strict=True))
    except (OSError, DataError, KeyError):
        return {}
