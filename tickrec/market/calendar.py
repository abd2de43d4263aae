"""Calendar: the trading date, and when which exchange is open.

Owns what the broker's holidays and timings say about a date, falling back to the built-in hours, and what follows
from it: what to record when, why there is nothing to record, and when silence is normal. Knows the segments of
instrument keys, and asks nobody for the time.
"""

import datetime as dt
import json
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tickrec.clock import SECOND, ist
from tickrec.errors import NothingToRecord, TickrecError
from tickrec.files import publish_bytes
from tickrec.market.hours import at, built_in, regular
from tickrec.upstox.timings import Body, Session, sessions_of, special_days

log = logging.getLogger("tickrec")

TOKEN_END: Final = dt.time(3, 30)
"""IST; access tokens die then, every day (docs: authentication, 2026-09)."""

_EXCHANGE: Final = {
    **{"NSE_EQ": "NSE", "NSE_INDEX": "NSE", "NSE_FO": "NFO", "NCD_FO": "CDS", "NSE_COM": "NSCOM"},
    **{"BSE_EQ": "BSE", "BSE_INDEX": "BSE", "BSE_FO": "BFO", "BCD_FO": "BCD", "MCX_FO": "MCX", "MCX_INDEX": "MCX"},
}
_SHOWN: Final = {
    **{"NSE": "NSE", "NFO": "NSE", "CDS": "NSE currency", "NSCOM": "NSE commodities"},
    **{"BSE": "BSE", "BFO": "BSE", "BCD": "BSE currency", "MCX": "MCX"},
}
_MINUTE: Final = 60 * SECOND
_SHARES: Final = ("NSE", "NFO", "BSE", "BFO")
"""Exchanges with a pre-open, in the 15 minutes before the session."""
_AUCTIONED: Final = ("NSE_EQ", "BSE_EQ")
"""Segments that tick while orders are taken in the pre-open; an index has its first value after the matching."""
_PRE_OPEN_NS: Final = 15 * _MINUTE
_ORDERS_NS: Final = 8 * _MINUTE
"""How long orders are taken in the pre-open; then comes matching, and silence until the session."""
_EARLY_NS: Final = 15 * _MINUTE
"""On days that begin at an hour of their own, how long before the pre-open recording starts."""
_POST_CLOSE_NS: Final = 30 * _MINUTE
"""Trades at the closing price are sent until 16:00, half an hour after the session (observed 2026-09)."""
_GRACE_NS: Final = _MINUTE
_SEARCH_DAYS: Final = 40


class Window(NamedTuple):
    """When to record, in nanoseconds since the epoch."""

    start_ns: int
    stop_ns: int


def trading_date(wall_ns: int) -> dt.date:
    """The IST calendar date of a receive time."""
    return ist(wall_ns).date()


def exchange_of(segment: str) -> str | None:
    """The exchange code of the segment of an instrument key; None for one without hours, such as GLOBAL_INDEX."""
    return _EXCHANGE.get(segment)


def token_end(wall_ns: int) -> int:
    """The next time that access tokens die, in nanoseconds since the epoch."""
    today = at(trading_date(wall_ns), TOKEN_END)
    return today if wall_ns < today else at(trading_date(wall_ns) + dt.timedelta(days=1), TOKEN_END)


class Calendar:
    """What is known about dates: `holidays` for years, `timings` for single dates, the built-in hours for the rest.

    A year that the holidays have an entry of is covered by them alone. Timings of a date beat everything.
    """

    def __init__(self, holidays: Body = (), timings: Mapping[dt.date, Body] | None = None) -> None:
        listed = special_days(holidays)
        years = {date.year for date in listed}
        self._special = {date: day for date, day in built_in().items() if date.year not in years} | listed
        self._years = {date.year for date in self._special}
        self._timings = {date: sessions_of(body) for date, body in (timings or {}).items()}

    def sessions(self, date: dt.date) -> dict[str, Session]:
        """The sessions of a date by exchange code; none on weekends and full holidays."""
        if date in self._timings:
            return dict(self._timings[date])
        usual = regular(date) if date.weekday() < 5 else {}
        day = self._special.get(date)
        if day is None:
            return usual
        return {name: session for name, session in usual.items() if name not in day.closed} | dict(day.open)

    def assumed(self, date: dt.date) -> bool:
        """Whether nothing is known about the date: its holidays would be taken for trading days."""
        return date not in self._timings and date.year not in self._years

    def quiet(self, segments: Iterable[str], wall_ns: int) -> bool:
        """Whether it would be normal that no data comes for any of these segments.

        True outside sessions, and in the minutes before the pre-open and between its matching and the session, when
        nearly nothing comes (observed 2026-09). While shares take pre-open orders, silence is not normal.
        """
        sessions = self.sessions(trading_date(wall_ns))
        return not any(_expects_data(segment, sessions, wall_ns) for segment in segments)

    def next_session(self, after: dt.date, exchanges: Collection[str] = ("NSE",)) -> tuple[dt.date, int] | None:
        """The first date later than `after` on which one of the exchanges opens, and when, its pre-open included.

        None if there is none within weeks, as for an exchange that does not exist.
        """
        for days in range(1, _SEARCH_DAYS):
            date = after + dt.timedelta(days=days)
            opening = [_opening(name, s) for name, s in self.sessions(date).items() if name in exchanges]
            if opening:
                return date, min(opening)
        return None

    def window(
        self, date: dt.date, segments: Iterable[str], start: dt.time, stop: dt.time | None, now_ns: int | None = None
    ) -> Window:
        """When to record these segments on a date.

        From `start`; on a day whose sessions begin later than usual (Muhurat, an evening session) from shortly before
        these, and on one when they begin earlier, with them. Until `stop`, or else until the last of the segments has
        closed and its late ticks are in; never across the end of the token. Raises NothingToRecord when they are
        closed, and when `now_ns` is given and the window is over.
        """
        exchanges = {exchange for segment in segments if (exchange := exchange_of(segment))} or {"NSE"}
        open_ = {name: session for name, session in self.sessions(date).items() if name in exchanges}
        if not open_:
            raise self._closed(date, exchanges)
        start_ns = self._start(date, open_, start)
        last = max(_last_tick(name, session) for name, session in open_.items())
        stop_ns = min(at(date, stop) if stop else last, token_end(start_ns))
        if stop_ns <= start_ns or (now_ns is not None and now_ns >= stop_ns):
            raise self._over(date, exchanges, Window(start_ns, stop_ns))
        return Window(start_ns, stop_ns)

    def _start(self, date: dt.date, sessions: Mapping[str, Session], start: dt.time) -> int:
        usual = regular(date)
        first = min(_opening(name, session) for name, session in sessions.items())
        expected = min(_opening(name, usual.get(name, session)) for name, session in sessions.items())
        begin = at(date, start)
        if first > expected:
            begin = max(begin, first - _EARLY_NS)
        elif first < expected:
            begin = min(begin, first)
        return max(begin, at(date, TOKEN_END))

    def _closed(self, date: dt.date, exchanges: Collection[str]) -> NothingToRecord:
        day = self._special.get(date)
        usual = "weekend" if date.weekday() >= 5 else "no session is scheduled"
        why = day.description if day else usual
        names = _names(exchanges)
        verb = "are" if " and " in names else "is"
        return NothingToRecord(f"{names} {verb} closed on {_full(date)} ({why})", hint=self._next(date, exchanges))

    def _over(self, date: dt.date, exchanges: Collection[str], window: Window) -> NothingToRecord:
        start, stop = (f"{ist(moment):%H:%M}" for moment in window)
        names = _names(exchanges)
        how = f"the recording of {names} ends at {stop}"
        how += f", before it could start at {start}" if window.stop_ns <= window.start_ns else ""
        return NothingToRecord(f"nothing is left to record on {_full(date)}: {how}", hint=self._next(date, exchanges))

    def _next(self, date: dt.date, exchanges: Collection[str]) -> str:
        found = self.next_session(date, exchanges)
        if found is None:
            return ""
        next_date, opening = found
        year = f" {next_date.year}" if next_date.year != date.year else ""
        return f"Next session: {next_date:%a} {next_date.day} {next_date:%b}{year}, {ist(opening):%H:%M}."


def _full(date: dt.date) -> str:
    return f"{date:%a} {date.day} {date:%b %Y}"


def _names(exchanges: Collection[str]) -> str:
    shown = list(dict.fromkeys(_SHOWN.get(name, name) for name in (*_SHOWN, *exchanges) if name in exchanges))
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def _opening(exchange: str, session: Session) -> int:
    """When data begins: with the pre-open where there is one."""
    return session.start_ns - (_PRE_OPEN_NS if exchange in _SHARES else 0)


def _last_tick(exchange: str, session: Session) -> int:
    """When the ticks after the close are in: shares trade at the closing price for a while."""
    return session.end_ns + _GRACE_NS + (_POST_CLOSE_NS if exchange in ("NSE", "BSE") else 0)


def _expects_data(segment: str, sessions: Mapping[str, Session], wall_ns: int) -> bool:
    exchange = exchange_of(segment)
    session = sessions.get(exchange or "")
    if session is None:
        return False
    if session.start_ns <= wall_ns < session.end_ns:
        return True
    orders = session.start_ns - _PRE_OPEN_NS
    return segment in _AUCTIONED and orders <= wall_ns < orders + _ORDERS_NS


def save(path: Path, date: dt.date, holidays: Body, timings: Body) -> None:
    """Keep the broker's answers about a date, for other commands and for when it cannot be asked. Raises OSError."""
    kept = {"date": date.isoformat(), "holidays": list(holidays), "timings": list(timings)}
    publish_bytes(path, json.dumps(kept, ensure_ascii=False, indent=1).encode())


def load(path: Path) -> tuple[dt.date, Calendar] | None:
    """The calendar kept in `path` and the date it was asked about; None if there is none that can be read.

    Its holidays are good for the whole year; its timings for that date only.
    """
    try:
        kept = json.loads(path.read_bytes())
        date = dt.date.fromisoformat(kept["date"])
        return date, Calendar(kept["holidays"], {date: kept["timings"]})
    except (OSError, KeyError, TypeError, ValueError):
        return None


def ensure_calendar(
    path: Path, date: dt.date, holidays: Callable[[], Body], timings: Callable[[dt.date], Body]
) -> Calendar:
    """The calendar for a date: the one kept in `path` if it was asked about that date, else the broker's, kept there.

    When the broker cannot be asked, a calendar kept earlier serves, and else the built-in one.
    """
    kept = load(path)
    if kept is not None and kept[0] == date:
        return kept[1]
    try:
        lists = holidays(), timings(date)
        calendar = Calendar(lists[0], {date: lists[1]})
    except (TickrecError, OSError, KeyError, TypeError, ValueError) as error:
        why = error.brief if isinstance(error, TickrecError) else error
        log.warning(
            "the broker's calendar could not be had, the %s one serves: %s", "kept" if kept else "built-in", why
        )
        return kept[1] if kept else Calendar()
    try:
        save(path, date, *lists)
    except OSError as error:
        log.warning("the calendar could not be kept: %s", error.strerror or error)
    return calendar
