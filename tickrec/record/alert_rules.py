"""Alert rules: what of a recording needs a person now.

Owns the judgement and its words; who is told, and when, is for `alerts`.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from tickrec.clock import SECOND, ist
from tickrec.formatting import duration, plural, size
from tickrec.journal.gaps import Gap
from tickrec.record.alerts import Alert
from tickrec.status.runstatus import RunStatus

LONG_GAP_SECONDS: Final = 60
"""A gap of less than this in a session is not worth an alert."""

MOST_STALE: Final = 5
"""Stale instruments that are told of one by one."""

STEPS: Final = 10

Quiet = Callable[[int], bool]
"""Whether no data is to be expected at a wall time."""


class AlertRules:
    """Judges one run. `quiet` says when silence of the feed is normal."""

    def __init__(self, quiet: Quiet) -> None:
        self._quiet = quiet
        self._looked: dict[tuple[int, int], tuple[int, int]] = {}
        """By connection and beginning of a gap: until when it was looked at, and how much of it was in a session."""

    def gaps(self, gaps: Iterable[Gap], now_ns: int) -> Iterator[Alert]:
        """An alert for each gap of more than a minute in a session, whether it lasts or has ended."""
        for gap in gaps:
            if self._is_long(gap, now_ns):
                lasts = gap.end_ns is None
                text = _lasting_words(gap, now_ns) if lasts else _ended_words(gap)
                yield Alert(f"gap {gap.conn} {gap.start_ns // 1000}", text, lasts)  # tables have microseconds

    def _is_long(self, gap: Gap, now_ns: int) -> bool:
        """Whether more than LONG_GAP_SECONDS of a gap are in a session; looked at ten times a minute."""
        moment_ns, steps = self._looked.get((gap.conn, gap.start_ns), (gap.start_ns, 0))
        end_ns = now_ns if gap.end_ns is None else gap.end_ns
        while moment_ns < end_ns and steps <= STEPS:
            steps += not self._quiet(moment_ns)
            moment_ns += LONG_GAP_SECONDS * SECOND // STEPS
        self._looked[gap.conn, gap.start_ns] = moment_ns, steps
        return steps > STEPS


def run_alerts(
    run: RunStatus, store: Path, silent: int, *, not_flushed: str = "", unexpected: Iterable[str] = ()
) -> Iterator[Alert]:
    """What a run says of itself: `silent` instruments of open connections, stale ones, the disk of `store`, bugs."""
    if silent:  # a connection that is not there is told as a gap
        yield Alert("silent", f"{plural(silent, 'instrument')} did not answer")
    for key, symbol, last_ns in run.stale[:MOST_STALE]:
        yield Alert(f"stale {key}", f"{symbol} has not ticked since {ist(last_ns):%H:%M:%S}, though it is traded")
    if (more := len(run.stale) - MOST_STALE) > 0:
        yield Alert("stale", f"{plural(more, 'more instrument')} stopped ticking")
    if run.unknown:
        names = ", ".join(run.unknown)
        yield Alert("unknown", f"{plural(len(run.unknown), 'symbol')} unknown today and not recorded: {names}")
    if run.disk_low and run.disk_free_bytes is not None:
        yield Alert("disk", f"only {size(run.disk_free_bytes)} free for {store}")
    if not_flushed:
        yield Alert("flush", f"not flushed: {not_flushed}")
    for text in unexpected:
        yield Alert("unexpected", f"an unexpected error: {text}")


def _lasting_words(gap: Gap, now_ns: int) -> str:
    return f"no data on {_where(gap)} for {duration((now_ns - gap.start_ns) / SECOND)}: {gap.reason}"


def _ended_words(gap: Gap) -> str:
    end_ns = gap.end_ns or gap.start_ns
    times = f"from {ist(gap.start_ns):%H:%M:%S} to {ist(end_ns):%H:%M:%S}"
    return f"no data on {_where(gap)} for {duration((end_ns - gap.start_ns) / SECOND)}, {times}: {gap.reason}"


def _where(gap: Gap) -> str:
    return f"connection {gap.conn}" if gap.conn else "all connections"
