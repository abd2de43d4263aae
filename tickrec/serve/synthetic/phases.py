"""Phases: when the synthetic exchange is open, its market status, and the REST bodies that describe them.

Owns the timetable of a simulated day. By default the market is open round the clock, so that a recording can be tried
at any hour; with `always_open=False` the phases of a real day of 2026 apply (pre-open, normal session, closing call
auction, post-close). Knows nothing about prices or connections.
"""

import datetime as dt
import functools
from enum import Enum
from typing import Any, Final

from tickrec.clock import IST, from_datetime, ist
from tickrec.serve.subscriptions import EXCHANGES, SEGMENTS
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb

HOLIDAYS: Final = frozenset(
    dt.date(2026, month, day)
    for month, day in (
        (1, 15), (1, 26), (3, 3), (3, 26), (3, 31), (4, 3), (4, 14), (5, 1),
        (5, 28), (6, 26), (9, 14), (10, 2), (10, 20), (11, 10), (11, 24), (12, 25),
    )
)  # fmt: skip
"""Days of 2026 on which NSE and BSE are closed (the broker's holidays endpoint, 2026-09)."""

_STATUS: Final = pb.DESCRIPTOR.enum_types_by_name["MarketStatus"].values_by_name
_EQUITY: Final = ("NSE_EQ", "NSE_INDEX", "BSE_EQ", "BSE_INDEX")
_EQUITY_DAY: Final = (
    ("00:00", "CLOSING_END"),
    ("09:00", "PRE_OPEN_START"),
    ("09:08", "PRE_OPEN_END"),
    ("09:15", "NORMAL_OPEN"),
    ("15:30", "NORMAL_CLOSE"),
    ("15:50", "CLOSING_START"),
    ("16:00", "CLOSING_END"),
)
_PRE_OPEN: Final = (
    ("00:00", ""),
    ("09:00", "PRE_OPEN_START"),
    ("09:05", "PRE_OPEN_M_END"),
    ("09:09", "PRE_OPEN_END"),
    ("09:15", ""),
)
_CLOSING_AUCTION: Final = (
    ("00:00", ""),
    ("15:15", "CTS_CLOSE"),
    ("15:20", "CAS_LM_START"),
    ("15:25", "CAS_M_STOP"),
    ("15:29", "CAS_STOP"),
    ("15:50", ""),
)


class Phase(Enum):
    """What may happen to an instrument at a moment."""

    CLOSED = "closed"
    PRE_OPEN = "pre-open call auction"
    OPEN = "continuous trading"
    CLOSING_AUCTION = "closing call auction"


class Hours:
    """The timetable of the synthetic exchanges."""

    def __init__(self, *, always_open: bool) -> None:
        self.always_open = always_open

    def trades_on(self, date: dt.date) -> bool:
        """Whether anything trades on a date."""
        return self.always_open or (date.weekday() < 5 and date not in HOLIDAYS)

    def session(self, segment: str, date: dt.date) -> tuple[int, int]:
        """Start and end of the normal session in ms since the epoch; of a date on which it trades."""
        if self.always_open:
            return _ms(date, "00:00"), _ms(date, "00:00") + 86_399_999
        if segment in _EQUITY:
            return _ms(date, "09:15"), _ms(date, "15:30")
        if segment in ("NSE_FO", "BSE_FO"):
            return _ms(date, "09:15"), _ms(date, "15:40")
        if segment in ("NCD_FO", "BCD_FO"):
            return _ms(date, "09:00"), _ms(date, "17:00")
        winter = date.month in (11, 12, 1, 2)
        return _ms(date, "09:00"), _ms(date, "23:55" if winter else "23:30")

    def phase(self, segment: str, wall_ns: int, *, closing_auction: bool = False) -> Phase:
        """What may happen in a segment; `closing_auction` for instruments that take part in one."""
        if self.always_open:
            return Phase.OPEN
        now = ist(wall_ns)
        if not self.trades_on(now.date()):
            return Phase.CLOSED
        moment = wall_ns // 1_000_000
        if segment in ("NSE_EQ", "BSE_EQ"):
            if _ms(now.date(), "09:00") <= moment < _ms(now.date(), "09:09"):
                return Phase.PRE_OPEN
            if closing_auction and _ms(now.date(), "15:15") <= moment < _ms(now.date(), "15:35"):
                return Phase.CLOSING_AUCTION
            if _ms(now.date(), "15:50") <= moment < _ms(now.date(), "16:00"):
                return Phase.OPEN
        if segment in ("NSE_INDEX", "BSE_INDEX") and moment < _ms(now.date(), "16:00"):
            return Phase.OPEN if moment >= _ms(now.date(), "09:15") else Phase.CLOSED
        start, end = self.session(segment, now.date())
        return Phase.OPEN if start <= moment < end else Phase.CLOSED

    def status(self, segment: str, wall_ns: int) -> str:
        """The broker's word for a segment's state."""
        if self.always_open:
            return "NORMAL_OPEN"
        date, moment = ist(wall_ns).date(), wall_ns // 1_000_000
        if segment in _EQUITY:
            return _latest(_EQUITY_DAY, date, moment)[0] if self.trades_on(date) else "CLOSING_END"
        start, end = self.session(segment, date)
        return "NORMAL_OPEN" if self.trades_on(date) and start <= moment < end else "NORMAL_CLOSE"

    def market_info(self, wall_ns: int) -> pb.MarketInfo:
        """The market_info of a moment; equal messages mean that nothing changed."""
        info = pb.MarketInfo()
        for segment in SEGMENTS:
            info.segmentStatus[segment] = _STATUS[self.status(segment, wall_ns)].number
        date = ist(wall_ns).date()
        if self.always_open or not self.trades_on(date):
            return info
        moment = wall_ns // 1_000_000
        for table, steps in ((info.preOpenSessionStatus, _PRE_OPEN), (info.casMarketStatus, _CLOSING_AUCTION)):
            word, since = _latest(steps, date, moment)
            if word:
                table["NSE_EQ"].status = word
                table["NSE_EQ"].updatedTime = since
        return info

    def timings_body(self, date: dt.date) -> list[dict[str, Any]]:
        """The data of /v2/market/timings/{date}: one session an exchange, times in ms."""
        if not self.trades_on(date):
            return []
        sessions = {name: self.session(segment, date) for name, segment in EXCHANGES.items()}
        return [{"exchange": name, "start_time": start, "end_time": end} for name, (start, end) in sessions.items()]

    def holidays_body(self) -> list[dict[str, Any]]:
        """The data of /v2/market/holidays; none when the market is always open."""
        if self.always_open:
            return []
        closed = ["NSE", "NFO", "CDS", "BSE", "BFO", "BCD", "MCX", "NSCOM"]
        return [
            {
                "date": date.isoformat(),
                "description": "Exchange holiday",
                "holiday_type": "TRADING_HOLIDAY",
                "closed_exchanges": closed,
                "open_exchanges": [],
            }
            for date in sorted(HOLIDAYS)
        ]


def _latest(steps: tuple[tuple[str, str], ...], date: dt.date, moment: int) -> tuple[str, int]:
    """The last step that began before a moment, and when."""
    return [(word, _ms(date, time)) for time, word in steps if _ms(date, time) <= moment][-1]


@functools.lru_cache(maxsize=256)  # asked for every second, and of one day mostly
def _ms(date: dt.date, time: str) -> int:
    """An IST clock time of a date in ms since the epoch."""
    return from_datetime(dt.datetime.combine(date, dt.time.fromisoformat(time), IST)) // 1_000_000
