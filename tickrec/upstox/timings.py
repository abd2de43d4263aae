"""Timings: the broker's answers about holidays and sessions, as values.

Owns the shape of the answers (docs: market-holidays, market-timings, 2026-09). Exchanges have the broker's codes.
What follows from them is for `market.calendar` to say.
"""

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

log = logging.getLogger("tickrec")

Body = Sequence[Mapping[str, Any]]
"""The `data` list of the broker's holidays or timings answer (docs: market-holidays, market-timings, 2026-09)."""


class Session(NamedTuple):
    """Continuous trading, from start to end; pre-open and post-close are outside. Nanoseconds since the epoch."""

    start_ns: int
    end_ns: int


class Day(NamedTuple):
    """What is special about a date: why, who is closed, who is open and when. The lists decide, not a type."""

    description: str
    closed: frozenset[str]
    open: Mapping[str, Session]


def special_days(holidays: Body) -> dict[dt.date, Day]:
    """The broker's list of holidays by date. Entries of a shape not seen yet are left out."""
    days = {}
    for entry in holidays:
        try:
            date = dt.date.fromisoformat(entry["date"])
            closed = frozenset(str(name) for name in entry["closed_exchanges"])
            days[date] = Day(str(entry.get("description") or "holiday"), closed, sessions_of(entry["open_exchanges"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            log.warning("a holiday of the broker's list could not be read: %s", entry)
    return days


def sessions_of(body: Body) -> dict[str, Session]:
    """The broker's list of sessions, in ms, by exchange. Raises KeyError, TypeError or ValueError."""
    return {
        str(entry["exchange"]): Session(int(entry["start_time"]) * 1_000_000, int(entry["end_time"]) * 1_000_000)
        for entry in body
    }
