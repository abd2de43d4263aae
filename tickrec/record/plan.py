"""Plan: what a run is to record, and when.

Owns how instruments are dealt out to connections, and the times that follow from hours, configuration and options. Asks
nobody: how a plan is made is in `plan_making`, which instruments it has in `choice`.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

from tickrec.clock import SECOND, ist
from tickrec.config import Config
from tickrec.errors import TokenError, UsageError
from tickrec.market.calendar import UNSURE_NS, Calendar, exchange_of, trading_date
from tickrec.market.chains import Chain
from tickrec.market.hours import at, expiring_index_end
from tickrec.market.instruments import Instrument
from tickrec.upstox.auth import Token
from tickrec.upstox.limits import NO_LIMITS_KNOWN, Limits
from tickrec.upstox.protocol import Wanted, spread
from tickrec.upstox.rest import SOURCE, Progress
from tickrec.upstox.timings import Session

SHARE_SEGMENTS: Final = ("NSE_EQ", "NSE_FO")
"""Whose hours count while the instruments are not known."""
_SHOWN: Final = {"NFO": "F&O", "BFO": "BSE F&O", "CDS": "currency", "BCD": "BSE currency", "NSCOM": "NSE commodities"}
_ORDER: Final = {name: place for place, name in enumerate(("NSE", "NFO", "BSE", "BFO", "MCX"))}


FEED: Final = "feed"
"""Source of a session: the feed, which went on beyond what had been told."""

Bar = Callable[[], AbstractContextManager[Progress | None]]
"""Shows how far a download is, for the length of a block; gives what is told, None where nobody looks."""


def no_bar() -> AbstractContextManager[None]:
    """Nobody looks."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks of a recording beyond the configuration."""

    symbols: tuple[str, ...]
    mode: str
    duration: dt.timedelta | None = None
    """Record for so long."""
    until: dt.time | None = None
    """Record until then, IST."""
    now: bool = False
    """Do not ask the calendar."""
    scheduled: bool = False
    """Started by cron or its like: a token may be stored later, before the session."""
    kept: bool = False
    """Whether the symbols are those of the configuration: one that is not known today does not cost the others."""


class Times(NamedTuple):
    """When a run begins and ends, wall nanoseconds; `stop_ns` None: only a signal ends it."""

    start_ns: int
    stop_ns: int | None
    moves: bool = False
    """Whether the end follows from the hours, and goes where they go; one that the user set does not."""


@dataclass(slots=True)
class Plan:
    """The instruments of a run and the connections they are dealt out to.

    What the broker tells later changes its `calendar` and its `times`, and may add to its `instruments`.
    """

    mode: str
    instruments: tuple[Instrument, ...]
    connections: tuple[tuple[Wanted, ...], ...]
    """For each connection what it subscribes to."""
    calendar: Calendar
    token_expires_ns: int | None
    times: Times
    source: str = SOURCE
    """What the messages are: the broker's, or a replay of them."""
    unknown: tuple[str, ...] = ()
    """Selectors of lists that mean nothing today."""
    whole: bool = True
    """Whether the list of instruments was the day's own, and as long as the day before's."""
    chains: tuple[Chain, ...] = ()
    """The options of which further strikes are recorded as the money moves."""
    limits: Limits = NO_LIMITS_KNOWN
    """What the account allows in this mode."""
    money: Mapping[str, float] = field(default_factory=dict)
    """The last prices by which strikes were chosen when the run began, in rupees, by the underlying's key."""
    open_until: dict[str, int] = field(default_factory=dict)
    """Until when, wall nanoseconds, segments are recorded that the feed calls open beyond the planned end."""
    by_key: dict[str, Instrument] = field(init=False, default_factory=dict)
    """The instruments by instrument key. As with `segments`, nobody who asks each second goes through thousands."""
    _kinds: frozenset[tuple[str, dt.date | None]] = frozenset()
    """Segments, with the date of expiry of contracts on an index, which then close before the others."""

    def __post_init__(self) -> None:
        self._know(self.instruments)

    def add(self, instruments: Sequence[Instrument]) -> None:
        """Record more."""
        self.instruments += tuple(instruments)
        self._know(instruments)

    def _know(self, instruments: Sequence[Instrument]) -> None:
        self.by_key |= {each.instrument_key: each for each in instruments}
        self._kinds |= {(each.segment, _index_expiry(each)) for each in instruments}

    def has_doubted_hours(self, wall_ns: int) -> bool:
        """Whether the broker is to be asked again, as something stands in for hours that it has not told."""
        return bool(self.calendar.doubted(trading_date(wall_ns), self.segments))

    @property
    def segments(self) -> set[str]:
        """The exchange segments that are recorded."""
        return {segment for segment, _ in self._kinds}

    def quiet(self, wall_ns: int) -> bool:
        """Whether silence of the feed is normal at a moment."""
        date = trading_date(wall_ns)
        closed = wall_ns >= expiring_index_end(date)
        trading = {segment for segment, index_expiry in self._kinds if not (closed and index_expiry == date)}
        return self.calendar.quiet(trading, wall_ns)

    def expected_ns(self, start_ns: int, end_ns: int) -> int:
        """For how long of a time data is to be expected, from one of its turns to the next."""
        first, last = trading_date(start_ns), trading_date(end_ns)
        dates = [first + dt.timedelta(days=days) for days in range((last - first).days + 1)]
        turns = {at(date, dt.time()) for date in dates}.union(*map(self.calendar.turns, dates))
        turns.update(map(expiring_index_end, dates))
        moments = [start_ns, *sorted(each for each in turns if start_ns < each < end_ns), end_ns]
        return sum(end - begin for begin, end in pairwise(moments) if begin < end and not self.quiet(begin))

    def trading_since(self, instrument: Instrument, wall_ns: int) -> int | None:
        """When the session of continuous trading began in which an instrument is at a moment; None: in none."""
        date = trading_date(wall_ns)
        if wall_ns >= expiring_index_end(date) and _index_expiry(instrument) == date:
            return None
        sessions = self.calendar.sessions(date).get(exchange_of(instrument.segment) or "", ())
        return next((each.start_ns for each in sessions if each.start_ns <= wall_ns < each.end_ns), None)

    def session_text(self, wall_ns: int) -> str:
        """What the recorded exchanges do at a moment: `NSE open until 15:30, F&O until 15:40`."""
        wanted = {exchange_of(segment) for segment in self.segments}
        opened, later = defaultdict(list), defaultdict(list)
        for exchange, each in self._next_sessions(wall_ns):
            if exchange in wanted:
                name = _SHOWN.get(exchange, exchange)
                if wall_ns < each.start_ns:
                    later[each.start_ns].append(name)
                else:
                    opened[each.end_ns].append(name)
        if opened:
            first, *others = [f"{', '.join(names)} {{}}until {ist(end):%H:%M}" for end, names in sorted(opened.items())]
            return ", ".join([first.format("open "), *(other.format("") for other in others)])
        texts = [f"{', '.join(names)} opens at {ist(start):%H:%M}" for start, names in sorted(later.items())]
        return ", ".join(texts) or "exchanges closed"

    def session_rows(self, date: dt.date) -> list[tuple[str, int, int, str]]:
        """The sessions of the recorded segments on a date: segment, start and end in wall nanoseconds, who says so."""
        sessions = self.calendar.sessions(date)
        rows = []
        for segment in sorted(self.segments):
            exchange = exchange_of(segment) or ""
            source = self.calendar.source(date, exchange)
            own = [(segment, each.start_ns, each.end_ns, source) for each in sessions.get(exchange, ())]
            open_until_ns = self.open_until.get(segment, 0)
            if own and own[-1][1] <= open_until_ns and own[-1][2] < open_until_ns <= _end_of(date):
                own[-1] = (segment, own[-1][1], open_until_ns, FEED)
            rows += own
        return rows

    def _next_sessions(self, wall_ns: int) -> Iterator[tuple[str, Session]]:
        """Of each exchange that has one the session that lasts, or else the next of the date."""
        sessions = self.calendar.sessions(trading_date(wall_ns))
        for name in sorted(sessions, key=lambda name: _ORDER.get(name, 9)):
            if left := [each for each in sessions[name] if wall_ns < each.end_ns]:
                yield name, left[0]


def _end_of(date: dt.date) -> int:
    return at(date + dt.timedelta(days=1), dt.time())


def _index_expiry(instrument: Instrument) -> dt.date | None:
    return instrument.expiry if instrument.underlying_type == "INDEX" else None


def account_plan(config: Config, token: Token | TokenError) -> str:
    """normal or plus: as configured, else as the token says."""
    return config.upstox.plan or ("plus" if isinstance(token, Token) and token.plus else "normal")


def deal_out(config: Config, instruments: Sequence[Instrument], mode: str, plan: str) -> tuple[tuple[Wanted, ...], ...]:
    """The instruments of each connection. Raises UsageError when they cannot fit."""
    by_key = {each.instrument_key: each for each in instruments}  # subscribed twice, the later request would win
    wanted = [Wanted(key, each.symbol, mode) for key, each in by_key.items()]
    return spread(wanted, plan, mode, config.upstox.connections)


def plan_times(config: Config, options: Options, calendar: Calendar, segments: set[str], now_ns: int) -> Times:
    """When to begin and to end; without the calendar, at `stop` if that is still to come. Raises NothingToRecord."""
    start_ns, stop_ns, moves = now_ns, None, False
    date = trading_date(now_ns)
    if not options.now:
        longer_ns = UNSURE_NS if calendar.doubted(date, segments) else 0
        record = config.record
        window = calendar.window(date, segments, record.start, record.stop, now_ns, longer_ns=longer_ns)
        start_ns, stop_ns = max(now_ns, window.start_ns), window.stop_ns
        moves = record.stop is None and options.until is None and options.duration is None
    elif config.record.stop is not None and (end_ns := at(date, config.record.stop)) > now_ns:
        stop_ns = end_ns
    if options.until is not None:
        stop_ns = at(trading_date(start_ns), options.until)
        if stop_ns <= start_ns:
            passed = stop_ns <= now_ns
            why = "has passed" if passed else f"comes before the recording begins, at {ist(start_ns):%H:%M}"
            raise UsageError(f"--until {options.until:%H:%M} {why}", hint="" if passed else "--now begins at once")
    if options.duration is not None:
        stop_ns = start_ns + int(options.duration.total_seconds() * SECOND)
    return Times(start_ns, stop_ns, moves)
