"""Hours: when Indian exchanges trade, as known without asking anybody.

Owns the regular hours of each exchange with the dates from which they hold, the holidays of 2026 as the broker lists
them (holidays endpoint, observed 2026-09), and those of other years that have a fixed date: what to go by when the
broker cannot be asked. Exchanges have the broker's codes: NSE and BSE are the cash markets, NFO and BFO their
derivatives, CDS and BCD their currencies, MCX and NSCOM commodities.
"""

import datetime as dt
import functools
from typing import Final

from tickrec.clock import IST, from_datetime
from tickrec.upstox.timings import Day, Session, Sessions

EXCHANGES: Final = ("NSE", "NFO", "CDS", "BSE", "BFO", "BCD", "MCX", "NSCOM")
AUCTION_AFTER_HOURS_SINCE: Final = dt.date(2026, 12, 7)
"""From here on the closing auction takes place from 15:30 to 15:40, after continuous trading, and derivatives trade
until 15:45 (SEBI circular of 15 October 2026, HO/47/11/11(3)2025-MRD-POD2/I/23843/2026)."""
_DERIVATIVES: Final = (
    (AUCTION_AFTER_HOURS_SINCE, "15:45"),
    (dt.date(2026, 8, 3), "15:40"),  # closing auction from 15:15 to 15:35 (docs and timings endpoint, 2026-09)
    (dt.date.min, "15:30"),
)
"""When derivatives of shares and indices close, from which date on; the newest first."""
_LISTED_YEAR: Final = 2026


def at(date: dt.date, time: dt.time) -> int:
    """Nanoseconds since the epoch at an IST clock time."""
    return from_datetime(dt.datetime.combine(date, time, IST))


@functools.lru_cache(maxsize=16)
def regular(date: dt.date) -> Sessions:
    """The sessions of an ordinary trading day, by exchange. Kept, as a recorder asks several times a second."""
    derivatives = _session(date, "09:15", next(end for since, end in _DERIVATIVES if date >= since))
    commodities = _session(date, "09:00", "23:55" if _is_us_winter(date) else "23:30")
    shares, currencies = _session(date, "09:15", "15:30"), _session(date, "09:00", "17:00")
    return {
        **{"NSE": shares, "NFO": derivatives, "CDS": currencies},
        **{"BSE": shares, "BFO": derivatives, "BCD": currencies},
        **{"MCX": commodities, "NSCOM": commodities},
    }


def expiring_index_end(date: dt.date) -> int:
    """When contracts on an index close that expire on `date`, in nanoseconds since the epoch.

    Their segment stays open for the others (SEBI circular of 15 October 2026).
    """
    end = dt.time(15, 30) if date >= AUCTION_AFTER_HOURS_SINCE else None
    return at(date, end) if end else regular(date)["NFO"][-1].end_ns


def _session(date: dt.date, start: str, end: str) -> tuple[Session, ...]:
    return (Session(at(date, dt.time.fromisoformat(start)), at(date, dt.time.fromisoformat(end))),)


def _is_us_winter(date: dt.date) -> bool:
    """Whether commodities trade to 23:55, as they do while New York is not on daylight saving time."""
    summer = _sunday(date.year, 3, 2), _sunday(date.year, 11, 1)
    return not summer[0] <= date < summer[1]


def _sunday(year: int, month: int, nth: int) -> dt.date:
    first = dt.date(year, month, 1)
    return first + dt.timedelta(days=(6 - first.weekday()) % 7 + 7 * (nth - 1))


def _closed(date: dt.date, why: str) -> Day:
    """Nobody trades."""
    return Day(why, frozenset(EXCHANGES), {})


def _evening(date: dt.date, why: str) -> Day:
    """Only commodities trade, from 17:00."""
    sessions = {name: (Session(at(date, dt.time(17)), regular(date)[name][0].end_ns),) for name in ("MCX", "NSCOM")}
    return Day(why, frozenset(EXCHANGES) - set(sessions), sessions)


def _settlement(date: dt.date, why: str) -> Day:
    """Banks are closed, so currencies do not trade; everything else does."""
    sessions = {name: session for name, session in regular(date).items() if name not in ("CDS", "BCD")}
    return Day(why, frozenset(("CDS", "BCD")), sessions)


def _budget(date: dt.date, why: str) -> Day:
    """A Sunday on which shares trade as on a weekday, and commodities until 17:00."""
    commodities = dict.fromkeys(("MCX", "NSCOM"), _session(date, "09:00", "17:00"))
    shares = dict.fromkeys(("NSE", "NFO", "BSE", "BFO"), _session(date, "09:15", "15:30"))
    return Day(why, frozenset(("CDS", "BCD")), shares | commodities)


def _muhurat(date: dt.date, why: str) -> Day:
    """The hour of trading on Diwali."""
    sessions = dict.fromkeys(EXCHANGES, _session(date, "18:00", "19:00"))
    return Day(why, frozenset(), sessions | dict.fromkeys(("NFO", "BFO"), _session(date, "18:00", "19:10")))


_LISTED: Final = (
    ("2026-01-15", _evening, "Municipal Corporation Election"),
    ("2026-01-26", _closed, "Republic Day"),
    ("2026-02-01", _budget, "Budget Day Session"),
    ("2026-02-19", _settlement, "Chhatrapati Shivaji Maharaj Jayanti"),
    ("2026-03-03", _evening, "Holi"),
    ("2026-03-19", _settlement, "Gudi Padwa"),
    ("2026-03-26", _evening, "Ram Navami"),
    ("2026-03-31", _evening, "Mahavir Jayanti"),
    ("2026-04-01", _settlement, "Annual Bank Closing"),
    ("2026-04-03", _closed, "Good Friday"),
    ("2026-04-14", _evening, "Dr. Baba Saheb Ambedkar Jayanti"),
    ("2026-05-01", _evening, "Maharashtra Day"),
    ("2026-05-28", _evening, "Bakri Id / Eid-ul-Adha"),
    ("2026-06-26", _evening, "Muharram"),
    ("2026-08-26", _settlement, "Id-E-Milad"),
    ("2026-09-14", _evening, "Ganesh Chaturthi"),
    ("2026-10-02", _closed, "Gandhi Jayanti"),
    ("2026-10-20", _evening, "Dussehra"),
    ("2026-11-08", _muhurat, "Diwali Laxmi Pujan"),
    ("2026-11-10", _evening, "Diwali-Balipratipada"),
    ("2026-11-24", _evening, "Guru Nanak Jayanti"),
    ("2026-12-25", _closed, "Christmas"),
)


_FIXED: Final = (
    ("01-26", _closed, "Republic Day"),
    ("04-14", _evening, "Dr. Baba Saheb Ambedkar Jayanti"),
    ("05-01", _evening, "Maharashtra Day"),
    ("08-15", _closed, "Independence Day"),
    ("10-02", _closed, "Gandhi Jayanti"),
    ("12-25", _closed, "Christmas"),
)
"""Holidays of every year. All others move, and are known when the exchanges have listed them."""


def is_listed(year: int) -> bool:
    """Whether all holidays of a year are built in."""
    return year == _LISTED_YEAR


def built_in(date: dt.date) -> Day | None:
    """What is special about a date, as far as that is known without the broker's list; None for an ordinary one."""
    if is_listed(date.year):
        known = {listed: (kind, why) for listed, kind, why in _LISTED}.get(date.isoformat())
    else:
        known = {day: (kind, why) for day, kind, why in _FIXED if date.weekday() < 5}.get(f"{date:%m-%d}")
    return known[0](date, known[1]) if known else None
