"""Intervals: what the candle endpoints are asked for, and how minutes become bars of any length.

Owns the units, how many of them make a bar, and how long a span may be (docs: v3 historical-candle, 2026-09). Bars of
minutes and hours are counted from the segment's open, as Indian charts do.
"""

import datetime as dt
from collections.abc import Iterable
from itertools import groupby
from typing import Any, Final, NamedTuple

from tickrec.clock import IST, ist
from tickrec.serve.source import Minute

_MS: Final = 1_000_000
_MOST: Final = {"minutes": 300, "hours": 5, "days": 1, "weeks": 1, "months": 1}
"""The longest interval of each unit."""
_SHORT: Final = 15
"""Minutes up to which the span may be a month, above it a quarter."""
_MONTH: Final = dt.timedelta(days=31)
_QUARTER: Final = dt.timedelta(days=92)
_DECADE: Final = dt.timedelta(days=3660)
_LATE_OPEN: Final = dt.timedelta(hours=9, minutes=15)
_EARLY_OPEN: Final = dt.timedelta(hours=9)


class Interval(NamedTuple):
    """The length of bars. Makes sense when `unit_fits` and `fits` say so."""

    unit: str
    length: int

    @property
    def unit_fits(self) -> bool:
        """Whether there is such a unit."""
        return self.unit in _MOST

    @property
    def fits(self) -> bool:
        """Whether a bar can be of so many units."""
        return 1 <= self.length <= _MOST[self.unit]

    @property
    def longest(self) -> dt.timedelta | None:
        """The longest span that may be asked for; None: any."""
        match self.unit:
            case "minutes":
                return _MONTH if self.length <= _SHORT else _QUARTER
            case "hours":
                return _QUARTER
            case "days":
                return _DECADE
        return None

    def bars(self, minutes: Iterable[Minute], segment: str) -> list[list[Any]]:
        """Minutes, which are in order, as the broker's rows: newest first, times with the offset of India."""
        opening = _LATE_OPEN if segment in ("NSE_EQ", "NSE_FO", "NSE_INDEX", "BSE_EQ", "BSE_FO", "BSE_INDEX") else None
        grouped = groupby(minutes, lambda minute: self._start(ist(minute.start_ms * _MS), opening or _EARLY_OPEN))
        return [_row(start, list(each)) for start, each in grouped][::-1]

    def _start(self, moment: dt.datetime, opening: dt.timedelta) -> dt.datetime:
        """When the bar begins that a minute belongs to."""
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        match self.unit:
            case "days":
                return day
            case "weeks":
                return day - dt.timedelta(days=day.weekday())
            case "months":
                return day.replace(day=1)
        return moment - (moment - day - opening) % dt.timedelta(**{self.unit: self.length})


def _row(start: dt.datetime, minutes: list[Minute]) -> list[Any]:
    high, low = max(each.high for each in minutes), min(each.low for each in minutes)
    volume = sum(each.volume for each in minutes)
    text = start.astimezone(IST).isoformat(timespec="seconds")
    return [text, minutes[0].open, high, low, minutes[-1].close, volume, minutes[-1].oi]
