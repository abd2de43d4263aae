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
from tickrec.market.hours import at, built_in, is_listed, regular
from tickrec.upstox.timings import Body, Day, Session, Sessions, as_list, sessions_of, special_days

log = logging.getLogger("tickrec")

TOKEN_END: Final = dt.time(3, 30)
"""IST; access tokens die then, every day (docs: authentication, 2026-09)."""

_EXCHANGE: Final = {
    **{"NSE_EQ": "NSE", "NSE_INDEX": "NSE", "NSE_FO": "NFO", "NCD_FO": "CDS", "NSE_COM": "NSCOM"},
    **{"BSE_EQ": "BSE", "BSE_INDEX": "BSE", "BSE_FO": "BFO", "BCD_FO": "BCD", "MCX_FO": "MCX", "MCX_INDEX": "MCX"},
}
SEGMENTS: Final = tuple(_EXCHANGE)
"""The segments that have hours."""
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
UNSURE_NS: Final = 15 * _MINUTE
"""How much longer to record a session whose end nobody but us has told."""
_SEARCH_DAYS: Final = 40


TIMINGS: Final = "timings"
"""Source of a session: the broker's timings of the date."""
HOLIDAYS: Final = "holidays"
"""The broker's list of holidays, and the built-in hours."""
BUILT_IN: Final = "built-in"
"""The built-in list of holidays and hours."""
ASSUMED: Final = "assumed"
"""The built-in hours, of a date whose holidays nobody has listed."""


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

    A year that the holidays have an entry of is covered by them alone. Timings of a date beat everything, but that
    exchanges are missing from them which should be open: the built-in sessions stand in for these (see `doubted`).
    Raises ValueError for timings of a shape not seen yet.
    """

    def __init__(self, holidays: Body = (), timings: Mapping[dt.date, Body] | None = None) -> None:
        self._special = special_days(holidays)
        self._years = {date.year for date in self._special}
        self._timings = {date: sessions_of(body, date) for date, body in (timings or {}).items()}

    def sessions(self, date: dt.date) -> Sessions:
        """The sessions of a date by exchange code; none on weekends and full holidays."""
        return self._expected(date) | dict(self._timings.get(date, {}))

    def source(self, date: dt.date, exchange: str) -> str:
        """Who says when an exchange trades on a date: TIMINGS, HOLIDAYS, BUILT_IN or ASSUMED."""
        if exchange in self._timings.get(date, {}):
            return TIMINGS
        if date.year in self._years:
            return HOLIDAYS
        return BUILT_IN if is_listed(date.year) or built_in(date) else ASSUMED

    def assumed(self, date: dt.date) -> bool:
        """Whether nothing is known about the date: its holidays would be taken for trading days."""
        return date not in self._timings and self.source(date, "") == ASSUMED

    def doubted(self, date: dt.date, segments: Iterable[str] | None = None) -> set[str]:
        """The exchanges of the segments (default: all) whose sessions of a date are not told by the broker's timings.

        Either it could not be asked, or its answer leaves out what the holidays and the weekday make a trading day.
        """
        among = None if segments is None else _exchanges(segments)
        doubted = self._expected(date).keys() - self._timings.get(date, {}).keys()
        return set(doubted if among is None else doubted & among)

    def _expected(self, date: dt.date) -> dict[str, tuple[Session, ...]]:
        """The sessions of a date by its weekday, the holidays and the regular hours."""
        usual = regular(date) if date.weekday() < 5 else {}
        day = self._day(date)
        if day is None:
            return dict(usual)
        return {name: sessions for name, sessions in usual.items() if name not in day.closed} | dict(day.open)

    def _day(self, date: dt.date) -> Day | None:
        """What is special about a date; None for an ordinary one."""
        return self._special.get(date) if date.year in self._years else built_in(date)

    def quiet(self, segments: Iterable[str], wall_ns: int) -> bool:
        """Whether it would be normal that no data comes for any of these segments.

        True outside sessions, and in the minutes before the pre-open and between its matching and the session, when
        nearly nothing comes (observed 2026-09). While shares take pre-open orders, silence is not normal.
        """
        sessions = self.sessions(trading_date(wall_ns))
        return not any(_expects_data(segment, sessions, wall_ns) for segment in segments)

    def turns(self, date: dt.date) -> set[int]:
        """The moments of a date between which `quiet` gives one answer: that to its beginning."""
        sessions = [each for of_exchange in self.sessions(date).values() for each in of_exchange]
        orders = [each.start_ns - _PRE_OPEN_NS for each in sessions]
        return {moment for each in sessions for moment in each} | {*orders, *(begin + _ORDERS_NS for begin in orders)}

    def next_session(self, after: dt.date, exchanges: Collection[str] = ("NSE",)) -> tuple[dt.date, int] | None:
        """The first date later than `after` on which one of the exchanges opens, and when, its pre-open included.

        None if there is none within weeks, as for an exchange that does not exist.
        """
        for days in range(1, _SEARCH_DAYS):
            date = after + dt.timedelta(days=days)
            opening = [_opening(name, each[0]) for name, each in self.sessions(date).items() if name in exchanges]
            if opening:
                return date, min(opening)
        return None

    def window(
        self,
        date: dt.date,
        segments: Iterable[str],
        start: dt.time,
        stop: dt.time | None,
        now_ns: int | None = None,
        *,
        longer_ns: int = 0,
    ) -> Window:
        """When to record these segments on a date.

        From `start`; on a day whose sessions begin later than usual (Muhurat, an evening session) from shortly before
        these, and on one when they begin earlier, with them. Until `stop`, or else until the last of the segments has
        closed and its late ticks are in, and `longer_ns` more; never across the end of the token. Raises
        NothingToRecord when they are closed, and when `now_ns` is given and the window is over.
        """
        exchanges = _exchanges(segments) or {"NSE"}
        open_ = {name: sessions for name, sessions in self.sessions(date).items() if name in exchanges}
        if not open_:
            raise self._closed(date, exchanges)
        start_ns = self._start(date, open_, start)
        last = max(_last_tick(name, sessions[-1]) for name, sessions in open_.items())
        stop_ns = min(at(date, stop) if stop else last + longer_ns, token_end(start_ns))
        if stop_ns <= start_ns or (now_ns is not None and now_ns >= stop_ns):
            raise self._over(date, exchanges, Window(start_ns, stop_ns))
        return Window(start_ns, stop_ns)

    def _start(self, date: dt.date, sessions: Sessions, start: dt.time) -> int:
        usual = regular(date)
        first = min(_opening(name, each[0]) for name, each in sessions.items())
        expected = min(_opening(name, usual.get(name, each)[0]) for name, each in sessions.items())
        begin = at(date, start)
        if first > expected and (date.weekday() >= 5 or self._day(date)):  # else it may be told wrongly
            begin = max(begin, first - _EARLY_NS)
        elif first < expected:
            begin = min(begin, first)
        return max(begin, at(date, TOKEN_END))

    def _closed(self, date: dt.date, exchanges: Collection[str]) -> NothingToRecord:
        day = self._day(date)
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


def _exchanges(segments: Iterable[str]) -> set[str]:
    return {exchange for segment in segments if (exchange := exchange_of(segment))}


def _expects_data(segment: str, sessions: Sessions, wall_ns: int) -> bool:
    return any(_within(segment, session, wall_ns) for session in sessions.get(exchange_of(segment) or "", ()))


def _within(segment: str, session: Session, wall_ns: int) -> bool:
    """Whether data of a segment is to come at a moment because of a session: in it, or while orders are taken."""
    if session.start_ns <= wall_ns < session.end_ns:
        return True
    orders = session.start_ns - _PRE_OPEN_NS
    return segment in _AUCTIONED and orders <= wall_ns < orders + _ORDERS_NS


def save(path: Path, date: dt.date, holidays: Body, timings: Body | None) -> None:
    """Keep the broker's answers about a date, for other commands and for when it cannot be asked. Raises OSError.

    `timings` None: those of the date could not be had.
    """
    told = None if timings is None else list(timings)
    kept = {"date": date.isoformat(), "holidays": list(holidays), "timings": told}
    publish_bytes(path, json.dumps(kept, ensure_ascii=False, indent=1).encode())


class Kept(NamedTuple):
    """The broker's answers as they were kept: the holidays are good for the whole year, the timings for `date`."""

    date: dt.date
    holidays: Body
    timings: Body | None

    def calendar(self) -> Calendar:
        """The calendar that follows from the answers."""
        return Calendar(self.holidays, {} if self.timings is None else {self.date: self.timings})


def load(path: Path) -> Kept | None:
    """The answers kept in `path`; None if there are none that can be read."""
    try:
        facts = json.loads(path.read_bytes())
        kept = Kept(dt.date.fromisoformat(facts["date"]), facts["holidays"], facts["timings"])
        kept.calendar()
    except (OSError, KeyError, TypeError, ValueError):
        return None
    return kept


def kept_calendar(path: Path, date: dt.date) -> Calendar | None:
    """The calendar kept in `path`, if the broker has told all about that date."""
    kept = load(path)
    if kept is None or kept.date != date or kept.calendar().doubted(date):
        return None
    return kept.calendar()


def known_calendar(path: Path) -> Calendar:
    """The calendar that follows from the answers kept in `path`, else the built-in one."""
    kept = load(path)
    return Calendar() if kept is None else kept.calendar()


def ensure_calendar(
    path: Path, date: dt.date, holidays: Callable[[], Body], timings: Callable[[dt.date], Body], *, anew: bool = False
) -> Calendar:
    """The calendar for a date: as kept in `path` if the broker has told all about that date, else asked, and kept.

    `anew`: ask in any case. What the broker does not answer, or answers in a shape not seen yet, is as it was kept
    earlier, and else as built in.
    """
    if not anew and (calendar := kept_calendar(path, date)) is not None:
        return calendar
    kept = load(path)
    failures: list[str] = []
    listed = _answer(holidays, as_list, failures)
    told = _answer(lambda: timings(date), lambda body: sessions_of(body, date), failures)
    news = listed is not None or told is not None
    if failures:
        which = "kept" if kept else "built-in"
        log.warning("the broker's calendar could not be had, the %s one serves: %s", which, failures[0])
    if kept is not None:
        listed = kept.holidays if listed is None else listed
        told = kept.timings if told is None and kept.date == date else told
    found = Kept(date, listed or (), told)
    if news:
        try:
            save(path, *found)
        except OSError as error:
            log.warning("the calendar could not be kept: %s", error.strerror or error)
    return found.calendar()


def _answer(ask: Callable[[], Body], read: Callable[[Body], object], failures: list[str]) -> Body | None:
    """What the broker answers; None, and why among the failures, when it does not or when that cannot be read."""
    try:
        body = ask()
        read(body)
    except (TickrecError, OSError, KeyError, TypeError, ValueError) as error:
        failures.append(error.brief if isinstance(error, TickrecError) else str(error))
        return None
    return body
