"""What of a run needs a person, and in which words."""

from pathlib import Path

import pytest

from tests.record.fixtures import NOW, run_status
from tickrec.clock import SECOND
from tickrec.journal.gaps import Gap
from tickrec.record.alert_rules import MOST_STALE, AlertRules, run_alerts
from tickrec.record.alerts import Alert

CLOSE = NOW + 100 * SECOND
"""From then on silence is normal."""


def gap(start_s: float, end_s: float | None, conn: int = 1) -> Gap:
    """A gap that began so many seconds after NOW, and ended when; None: it lasts."""
    end_ns = None if end_s is None else NOW + int(end_s * SECOND)
    return Gap(None if end_s is None else 7, conn, NOW + int(start_s * SECOND), end_ns, "connection reset", 220)


def told(*gaps: Gap, after_s: float = 0.0) -> list[Alert]:
    asked = []

    def expected(start_ns: int, end_ns: int) -> int:
        asked.append((start_ns, end_ns))
        return max(0, min(end_ns, CLOSE) - start_ns)

    alert_rules = AlertRules(expected)
    found = list(alert_rules.gaps(gaps, NOW + int(after_s * SECOND)))
    before = len(asked)
    assert found == list(alert_rules.gaps(gaps, NOW + int(after_s * SECOND)))
    assert len(asked) - before == sum(each.end_ns is None for each in gaps) - sum(each.lasting for each in found)
    return found


def test_a_gap_that_lasts_is_told_after_a_minute() -> None:
    assert told(gap(0, None), after_s=60) == []
    assert told(gap(0, None), after_s=72) == [
        Alert(f"gap 1 {NOW // 1000}", "no data on connection 1 for 1m 12s: connection reset", lasting=True)
    ]


def test_a_gap_that_has_ended_is_told_with_its_times_under_the_same_topic() -> None:
    assert told(gap(0, 59)) == []
    assert told(gap(0, 72), gap(0, 80, conn=2)) == [
        Alert(
            f"gap {conn} {NOW // 1000}",
            f"no data on connection {conn} for {length}, from 09:41:07 to {end}: connection reset",
            lasting=False,
        )
        for conn, length, end in ((1, "1m 12s", "09:42:19"), (2, "1m 20s", "09:42:27"))
    ]


@pytest.mark.parametrize(("start", "end", "long"), [(50, 5000, False), (30, 5000, True), (100, 5000, False)])
def test_only_the_part_in_a_session_counts(start: float, end: float, long: bool) -> None:
    assert bool(told(gap(start, end))) is long
    assert bool(told(gap(start, None), after_s=end)) is long


def test_a_hole_in_the_journal_concerns_all_connections() -> None:
    (alert,) = told(gap(0, 72, conn=0))
    assert alert.text.startswith("no data on all connections for")


def test_a_run_that_is_well_needs_nobody() -> None:
    assert list(run_alerts(run_status(), Path("data"), 0)) == []


def test_everything_that_is_wrong_is_told() -> None:
    stale = tuple((f"NSE_EQ|{number}", f"S{number}", NOW) for number in range(MOST_STALE + 2))
    low = run_status(disk_free_bytes=1_500_000_000, unknown=("GONE", "RENAMED"), stale=stale)
    found = list(run_alerts(low, Path("data"), 3, not_flushed="no space", unexpected=["ValueError: x"]))
    assert found == [
        Alert("silent", "3 instruments did not answer"),
        *(
            Alert(f"stale NSE_EQ|{number}", f"S{number} has not ticked since 09:41:07, though it is traded")
            for number in range(MOST_STALE)
        ),
        Alert("stale", "2 more instruments stopped ticking"),
        Alert("unknown", "2 symbols unknown today and not recorded: GONE, RENAMED"),
        Alert("disk", "only 1.5 GB free for data"),
        Alert("flush", "not flushed: no space"),
        Alert("unexpected", "an unexpected error: ValueError: x"),
    ]
