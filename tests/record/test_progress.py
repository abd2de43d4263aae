"""What a run counts of itself: here, how fast it fills the disk."""

import datetime as dt
from pathlib import Path

from tests.clocks import HandClock
from tests.query.fixtures import at, write_sealed
from tests.record.fixtures import DATE
from tickrec.journal.entry import Entry, EntryKind
from tickrec.market.calendar import Calendar
from tickrec.record.plan import Plan, Times
from tickrec.record.progress import FORECAST_SECONDS, PARQUET_SHARE, RunProgress
from tickrec.store.paths import Store


def progress_of(root: Path, clock: HandClock) -> RunProgress:
    plan = Plan("full", (), (), Calendar(), None, Times(clock.wall_ns(), None))
    return RunProgress(Store(root), plan, clock, min_free=1)


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
