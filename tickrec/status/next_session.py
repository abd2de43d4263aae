"""Next session: whether an exchange is open now, and when the next recording would begin.

Owns what the calendar that the store keeps says of it; without one, the built-in hours.
"""

import datetime as dt
from collections.abc import Collection
from typing import Final, NamedTuple

from tickrec.errors import NothingToRecord
from tickrec.market.calendar import Calendar, known_calendar, trading_date
from tickrec.store.paths import Store

USUAL_SEGMENTS: Final = ("NSE_EQ", "NSE_FO")
"""Whose hours count while nothing has been recorded."""
USUAL_START: Final = dt.time(9, 0)
"""When a recording begins, unless configured; IST."""
SEARCH_DAYS: Final = 40


class NextSession(NamedTuple):
    """What an idle store has to say of the exchanges."""

    open: bool
    """A recorded segment trades now."""
    next_start_ns: int | None
    """When the next recording would begin, wall nanoseconds; None when no session is known."""


def next_session(store: Store, segments: Collection[str], now_ns: int, start: dt.time = USUAL_START) -> NextSession:
    """The next_session of a store whose last run recorded `segments`, if there was one; `start` is as configured."""
    calendar = known_calendar(store.state / "calendar.json")
    segments = segments or USUAL_SEGMENTS
    return NextSession(not calendar.quiet(segments, now_ns), _next_start(calendar, segments, now_ns, start))


def _next_start(calendar: Calendar, segments: Collection[str], now_ns: int, start: dt.time) -> int | None:
    for days in range(SEARCH_DAYS):
        date = trading_date(now_ns) + dt.timedelta(days=days)
        try:
            begin_ns = calendar.window(date, segments, start, None).start_ns
        except NothingToRecord:
            continue
        if begin_ns > now_ns:
            return begin_ns
    return None
