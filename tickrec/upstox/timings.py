"""Timings: the broker's answers about holidays and sessions, as values.

Owns the shape of the answers (docs: market-holidays, market-timings, 2026-09). Exchanges have the broker's codes.
What follows from them is for `market.calendar` to say.
"""

import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from tickrec.clock import IST, SECOND, from_datetime

log = logging.getLogger("tickrec")

Body = Sequence[Mapping[str, Any]]
"""The `data` list of the broker's holidays or timings answer (docs: market-holidays, market-timings, 2026-09)."""

_MS: Final = 1_000_000
_DAY_NS: Final = 86_400 * SECOND
_ODD: Final = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
"""What reading an answer of a shape not seen yet raises."""


class Session(NamedTuple):
    """Continuous trading, from start to end; pre-open and post-close are outside. Nanoseconds since the epoch."""

    start_ns: int
    end_ns: int


Sessions: TypeAlias = Mapping[str, tuple[Session, ...]]
"""The sessions of a date by exchange code, in order; an exchange without any is not in it."""


class Day(NamedTuple):
    """What is special about a date: why, who is closed, who is open and when. The lists decide, not a type."""

    description: str
    closed: frozenset[str]
    open: Sessions


def special_days(holidays: Body) -> dict[dt.date, Day]:
    """The broker's list of holidays by date. Entries of a shape not seen yet are left out; TypeError without a list."""
    days = {}
    for entry in as_list(holidays):
        try:
            date = dt.date.fromisoformat(entry["date"][:10])
            closed = frozenset(_exchange(name) for name in as_list(entry["closed_exchanges"]))
            description = str(entry.get("description") or "holiday")
            days[date] = Day(description, closed, sessions_of(as_list(entry["open_exchanges"]), date))
        except _ODD:
            log.warning("a holiday of the broker's list could not be read: %s", entry)
    return days


def sessions_of(body: Body, date: dt.date) -> Sessions:
    """The broker's list of the sessions of a date, whose times are in ms, by exchange.

    An exchange may have several, in any order; those that overlap or meet are one. Raises ValueError for a list of a
    shape not seen yet, and for times that are not of the date: nothing of such an answer can be relied on.
    """
    found: dict[str, list[Session]] = defaultdict(list)
    try:
        for entry in as_list(body):
            found[_exchange(entry["exchange"])].append(_session(entry, date))
    except _ODD as error:
        raise ValueError(f"the sessions of {date} are not what they should be: {error!r}") from error
    return {exchange: tuple(_joined(sessions)) for exchange, sessions in found.items()}


def as_list(value: Any) -> Body:
    """An answer that is a list. Raises TypeError for anything else."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise TypeError(f"{type(value).__name__} instead of a list")
    return value


def _exchange(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise TypeError("an exchange without a name")
    return name.strip().upper()


def _session(entry: Mapping[str, Any], date: dt.date) -> Session:
    session = Session(int(entry["start_time"]) * _MS, int(entry["end_time"]) * _MS)
    midnight = from_datetime(dt.datetime.combine(date, dt.time(), IST))
    if not midnight <= session.start_ns < midnight + _DAY_NS:
        raise ValueError("a session of another date")
    if not session.start_ns < session.end_ns <= session.start_ns + _DAY_NS:
        raise ValueError("a session that ends before it begins, or a day later")
    return session


def _joined(sessions: Iterable[Session]) -> list[Session]:
    joined: list[Session] = []
    for session in sorted(sessions):
        if joined and session.start_ns <= joined[-1].end_ns:
            joined[-1] = Session(joined[-1].start_ns, max(joined[-1].end_ns, session.end_ns))
        else:
            joined.append(session)
    return joined
