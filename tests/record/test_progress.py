"""What a run counts of itself: here, how fast it fills the disk, and events a second."""

import datetime as dt
from pathlib import Path

from tests.clocks import HandClock
from tests.query.fixtures import at, write_sealed
from tests.record.fixtures import DATE, NOW
from tickrec.clock import SECOND
from tickrec.journal.entry import Entry, EntryKind
from tickrec.logs import Warnings
from tickrec.market.calendar import Calendar
from tickrec.record.plan import Plan, Times
from tickrec.record.progress import FORECAST_SECONDS, PARQUET_SHARE, Rate, RunProgress
from tickrec.store.paths import Store


def progress_of(root: Path, clock: HandClock) -> RunProgress:
    plan = Plan("full", (), (), Calendar(), None, Times(clock.wall_ns(), None))
    return RunProgress(Store(root), plan, clock, 1, Warnings())


def test_a_young_run_tells_nothing_of_how_long_the_disk_lasts(tmp_path: Path) -> None:
    clock = HandClock()
    progress = progress_of(tmp_path, clock)
    clock.pass_s(FORECAST_SECONDS - 1)
    progress.messages([Entry(EntryKind.MESSAGE, 1, clock.wall_ns(), clock.monotonic_ns(), bytes(1_000_000))], 30)
    assert progress.byte_rate(clock.wall_ns()) == 0.0
    clock.pass_s(1)
    assert progress.byte_rate(clock.wall_ns()) == 1_000_000 * (1 + PARQUET_SHARE) / FORECAST_SECONDS


def test_what_earlier_days_hold_is_looked_at_and_cannot_be_in_the_way(tmp_path: Path) -> None:
    store, date = Store(tmp_path), DATE - dt.timedelta(days=1)
    ends = {"opened_ts": at("09:00", date), "closed_ts": at("15:30", date)}
    write_sealed(store, date, {"ticks": [], "connections": [{"seq": 1, "conn": 1, **ends}]})
    store.manifest_path(date).parent.mkdir()
    store.manifest_path(date).write_text("not a manifest")
    assert progress_of(tmp_path, HandClock()).ticks == 0


def test_a_rate_covers_the_last_seconds_only() -> None:
    rate = Rate()
    rates = [rate.sample(total, NOW + second * SECOND) for second, total in enumerate([0, 600, 1200, 1800, 2400, 3000])]
    assert rates == [0.0, 600.0, 600.0, 600.0, 600.0, 600.0]
    for second in range(6, 20):
        last = rate.sample(3000, NOW + second * SECOND)
    assert last == 0.0


def test_a_rate_survives_a_long_pause_between_samples() -> None:
    rate = Rate()
    rate.sample(0, NOW)
    rate.sample(100, NOW + SECOND)
    assert rate.sample(700, NOW + 61 * SECOND) == 10.0
