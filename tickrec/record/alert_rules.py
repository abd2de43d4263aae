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

Expected = Callable[[int, int], int]
"""For how many nanoseconds, between two wall times, data is to be expected."""


class AlertRules:
    """Judges one run. `expected` says when silence of the feed is not normal."""

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._judged: dict[tuple[int, int], bool] = {}
        """By connection and beginning of a gap whether it is long, once that does not change any more."""

    def gaps(self, gaps: Iterable[Gap], now_ns: int) -> Iterator[Alert]:
        """An alert for each gap of more than a minute in a session, whether it lasts or has ended."""
        for gap in gaps:
            if self._is_long(gap, now_ns):
                topic = f"gap {gap.conn} {gap.start_ns // 1000}"  # tables have microseconds
                yield Alert(topic, _words(gap, now_ns), gap.end_ns is None)

    def _is_long(self, gap: Gap, now_ns: int) -> bool:
        """Whether more than LONG_GAP_SECONDS of a gap are in a session."""
        if (judged := self._judged.get((gap.conn, gap.start_ns))) is not None:
            return judged
        end_ns = now_ns if gap.end_ns is None else gap.end_ns
        is_long = self._expected(gap.start_ns, end_ns) > LONG_GAP_SECONDS * SECOND
        if is_long or gap.end_ns is not None:
            self._judged[gap.conn, gap.start_ns] = is_long
        return is_long


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


def _words(gap: Gap, now_ns: int) -> str:
    where = f"connection {gap.conn}" if gap.conn else "all connections"
    end_ns = now_ns if gap.end_ns is None else gap.end_ns
    times = "" if gap.end_ns is None else f", from {ist(gap.start_ns):%H:%M:%S} to {ist(end_ns):%H:%M:%S}"
    return f"no data on {where} for {duration((end_ns - gap.start_ns) / SECOND)}{times}: {gap.reason}"
