"""Date range: the trading dates that questions are about, and what there is to ask, in words."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tickrec.config import SIMULATED
from tickrec.errors import to_run
from tickrec.store.paths import Store

_LISTED_DATES: Final = 4


class DateRange(NamedTuple):
    """Trading dates from `first` to `last`, both included; None is open."""

    first: dt.date | None = None
    last: dt.date | None = None

    def holds(self, date: dt.date) -> bool:
        """Whether the date is in the range."""
        return (self.first is None or date >= self.first) and (self.last is None or date <= self.last)

    def __str__(self) -> str:
        """`on 2026-11-23`, `from 2026-11-20 to 2026-11-23`, `since ...`, `until ...`; empty for all."""
        if self.first is not None and self.last is not None:
            return f"on {self.first}" if self.first == self.last else f"from {self.first} to {self.last}"
        return f"since {self.first}" if self.first else f"until {self.last}" if self.last else ""


EVERY_DATE: Final = DateRange()


def recorded(dates: Sequence[dt.date]) -> str:
    """What there is to ask, in words: `2026-11-20 and 2026-11-23`, `250 days, 2025-11-20 to 2026-11-23`."""
    if len(dates) > _LISTED_DATES:
        return f"{len(dates)} days, {dates[0]} to {dates[-1]}"
    return " and ".join(filter(None, (", ".join(map(str, dates[:-1])), *map(str, dates[-1:])))) or "nothing"


def elsewhere(folder: Path) -> str:
    """What to do about a folder in which nothing is recorded: the store near it that may be meant, or how to begin."""
    near = (folder / SIMULATED, folder / "data", folder / "data" / SIMULATED, folder.parent, folder.parent / SIMULATED)
    for other in near:
        if dates := Store(other).dates():
            return f"There is a store in {other.absolute()}: {recorded(dates)}"
    return f"{to_run('record')} begins a store, `tickrec record --simulate` one of a simulated market"
