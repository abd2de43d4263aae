"""Horizon: when a run begins and ends at the latest, as far as that is known before the broker has answered.

Owns the guess of what a run is about from an earlier day's instruments. Asks nobody.
"""

from typing import Final

from tickrec.config import Config
from tickrec.errors import NothingToRecord, UsageError
from tickrec.market.calendar import SEGMENTS, Calendar, load, trading_date
from tickrec.market.instruments import latest_before
from tickrec.record.choice import resolve_before
from tickrec.record.plan import SHARE_SEGMENTS, Options, plan_times
from tickrec.store.paths import Store

_SHARES: Final = ("fno",)
"""Selectors of which it is known without a list that they are shares."""


def _likely_segments(config: Config, options: Options, store: Store, now_ns: int) -> set[str]:
    """The segments of a run, as far as that is known without today's instruments; all where it is not."""
    if options.symbols == _SHARES:
        return set(SHARE_SEGMENTS)
    before = latest_before(store.instruments_path, trading_date(now_ns))
    try:
        found = [] if before is None else resolve_before(config, options, before, now_ns)
    except UsageError:
        found = []
    return {each.segment for each in found} or set(SEGMENTS)


def earliest_start(config: Config, options: Options, store: Store, now_ns: int) -> int:
    """When a run that is started now begins, as far as that is known without instruments; now if it never would."""
    kept = load(store.state / "calendar.json")
    try:
        calendar = kept.calendar() if kept else Calendar()
        return plan_times(config, options, calendar, _likely_segments(config, options, store, now_ns), now_ns).start_ns
    except NothingToRecord:
        return now_ns


def latest_end(config: Config, options: Options, store: Store, started_ns: int) -> int | None:
    """When a run that began at `started_ns` ends at the latest, as far as that is known without instruments."""
    kept = load(store.state / "calendar.json")
    calendar = kept.calendar() if kept else Calendar()
    try:
        segments = _likely_segments(config, options, store, started_ns)
        return plan_times(config, options, calendar, segments, started_ns).stop_ns
    except NothingToRecord:
        return started_ns
