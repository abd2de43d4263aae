"""Plan: what a run is to record, decided before anything connects.

Owns the way from configuration and options to instruments, connections and times: the day's calendar, its instrument
master, the selectors, the plan's caps. Asks the broker over REST only, and keeps what it answers in the store.
"""

import datetime as dt
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

from tickrec.clock import SECOND, Clock, ist
from tickrec.config import Config
from tickrec.errors import NothingToRecord, TokenError, UsageError
from tickrec.formatting import plural
from tickrec.market.calendar import UNSURE_NS, Calendar, ensure_calendar, exchange_of, trading_date
from tickrec.market.hours import at, expiring_index_end
from tickrec.market.instruments import Instrument, Master, UnusableList, ensure_master, latest_before
from tickrec.market.selectors import UnknownSymbols, resolve
from tickrec.record.store_source import check_origin
from tickrec.store.paths import Store
from tickrec.upstox.auth import Token, TokenSource, check_expiry
from tickrec.upstox.protocol import Failure, Situation, Wanted, caps, spread
from tickrec.upstox.rest import MASTER, SOURCE, Progress, Rest, RestError
from tickrec.upstox.timings import Session

log = logging.getLogger("tickrec")

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

    What the broker tells later changes its `calendar` and its `times`.
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
    open_until: dict[str, int] = field(default_factory=dict)
    """Until when, wall nanoseconds, segments are recorded that the feed calls open beyond the planned end."""

    def is_unsure(self, date: dt.date) -> bool:
        """Whether the broker is to be asked again, as something stands in for what it has not told."""
        return not self.whole or bool(self.calendar.doubted(date, self.segments))

    @property
    def symbols(self) -> dict[str, str]:
        """Trading symbol by instrument key."""
        return {each.instrument_key: each.symbol for each in self.instruments}

    @property
    def segments(self) -> set[str]:
        """The exchange segments that are recorded."""
        return {each.segment for each in self.instruments}

    def quiet(self, wall_ns: int) -> bool:
        """Whether silence of the feed is normal at a moment."""
        date = trading_date(wall_ns)
        closed = wall_ns >= expiring_index_end(date)
        trading = {each.segment for each in self.instruments if not (closed and _is_expiring_index(each, date))}
        return self.calendar.quiet(trading, wall_ns)

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


def _is_expiring_index(instrument: Instrument, date: dt.date) -> bool:
    return instrument.expiry == date and instrument.underlying_type == "INDEX"


def load_calendar(store: Store, rest: Rest, now_ns: int, *, anew: bool = False) -> Calendar:
    """The exchange calendar of the day: kept in the store unless asked for `anew`, else the broker's, else as built in
    (with a warning)."""
    date = trading_date(now_ns)
    calendar = ensure_calendar(store.state / "calendar.json", date, rest.holidays, rest.timings, anew=anew)
    if calendar.assumed(date):
        log.warning("no calendar knows %s; it is taken for a trading day", date)
    return calendar


def load_master(store: Store, rest: Rest, now_ns: int, bar: Bar = no_bar, *, anew: bool = False) -> Master:
    """The day's instruments, downloaded unless the store has them, or if `anew`; an older day's, with a warning, stand
    in for what cannot be had.

    Raises RestError when there are none, as from a broker that cannot be asked yet; OSError for a full disk.
    """

    def download(path: Path) -> None:
        with bar() as progress:
            rest.download_master(path, progress)

    try:
        master = ensure_master(download, store.instruments_path, now_ns, anew=anew)
    except UnusableList as error:
        raise RestError(Failure(Situation.BAD_ANSWER, detail=error.what), rest.assets_url + MASTER) from error
    if master.short:
        text = "today's list of instruments is too short (%s); what it lacks is taken from that of %s"
        log.warning(text, master.short, master.stand_in_of)
    elif master.stand_in_of is not None:
        log.warning("today's instruments could not be had; those of %s stand in", master.stand_in_of)
    return master


def resolve_options(
    config: Config,
    options: Options,
    master: Master,
    rest: Rest,
    token: Token | TokenError,
    now_ns: int,
    left_out: list[str] | None = None,
) -> list[Instrument]:
    """The instruments that the options mean, at least one. `left_out` gets the names of lists that mean nothing today.

    Raises UsageError, and where prices are asked for RestError, or the TokenError that there is instead of a token.
    """

    def last_prices(keys: Sequence[str]) -> dict[str, float]:
        if isinstance(token, TokenError):
            raise token
        prices = rest.last_prices(token, keys)
        if keys and not prices:
            raise RestError(
                Failure(Situation.BAD_ANSWER, detail="no last prices"), rest.api_url + "/v3/market-quote/ltp"
            )
        return prices

    return resolve(
        options.symbols,
        master,
        today=trading_date(now_ns),
        last_prices=last_prices,
        universes=config.universes,
        folder=Path.cwd(),
        kept=options.kept,
        left_out=left_out,
    )


def account_plan(config: Config, token: Token | TokenError) -> str:
    """normal or plus: as configured, else as the token says."""
    return config.upstox.plan or ("plus" if isinstance(token, Token) and token.plus else "normal")


def deal_out(config: Config, instruments: Sequence[Instrument], mode: str, plan: str) -> tuple[tuple[Wanted, ...], ...]:
    """The instruments of each connection. Raises UsageError when they cannot fit."""
    by_key = {each.instrument_key: each for each in instruments}
    dealt = spread(by_key, plan, mode, config.upstox.connections)
    return tuple(tuple(Wanted(key, by_key[key].symbol, mode) for key in keys) for keys in dealt)


def make_plan(
    config: Config,
    options: Options,
    store: Store,
    rest: Rest,
    tokens: TokenSource,
    clock: Clock,
    bar: Bar = no_bar,
) -> Plan:
    """Everything there is to know before the first connection.

    Raises NothingToRecord when the calendar leaves nothing, TokenError when there is no token that could work,
    UsageError for symbols, modes and counts that cannot be, RestError and DataError when the day's instruments cannot
    be had.
    """
    now_ns = clock.wall_ns()
    caps(config.upstox.plan or "plus", [options.mode])
    source = rest.source()
    check_origin(store, source, now=options.now)
    calendar = load_calendar(store, rest, now_ns)
    if not options.now and not calendar.sessions(trading_date(now_ns)):
        plan_times(config, options, calendar, set(SHARE_SEGMENTS), now_ns)
    token = tokens.read()
    check_expiry(token, now_ns)
    unknown: list[str] = []
    instruments, whole = _find_instruments(config, options, store, rest, token, now_ns, bar, unknown)
    if unknown:
        log.warning("%s unknown today, the others are recorded: %s", plural(len(unknown), "symbol"), ", ".join(unknown))
    # Counted from here: the instruments may have taken a while to come.
    times = plan_times(config, options, calendar, {each.segment for each in instruments}, clock.wall_ns())
    pa.default_memory_pool().release_unused()
    connections = deal_out(config, instruments, options.mode, account_plan(config, token))
    chosen, expires_ns = tuple(instruments), token.expires_ns
    return Plan(options.mode, chosen, connections, calendar, expires_ns, times, source, tuple(unknown), whole)


def _find_instruments(
    config: Config,
    options: Options,
    store: Store,
    rest: Rest,
    token: Token,
    now_ns: int,
    bar: Bar,
    unknown: list[str],
) -> tuple[list[Instrument], bool]:
    """The instruments that the options mean in today's list, and whether that is whole; `unknown` gets what is left
    out.

    A name given directly that may be in the list later is a broker that cannot be asked yet: raises RestError.
    """
    master = load_master(store, rest, now_ns, bar)
    try:
        found = resolve_options(config, options, master, rest, token, now_ns, unknown)
        return found, master.stand_in_of is None
    except UnknownSymbols as error:
        if (why := _may_come(error, config, options, store, master, now_ns)) is None:
            raise
    try:
        if master.stand_in_of is None:
            master = load_master(store, rest, now_ns, bar, anew=True)
        found = resolve_options(config, options, master, rest, token, now_ns, unknown)
        return found, master.stand_in_of is None
    except UnknownSymbols as error:
        raise RestError(Failure(Situation.BAD_ANSWER, detail=why), rest.assets_url + MASTER) from error


def resolve_before(config: Config, options: Options, before: Master, now_ns: int) -> list[Instrument]:
    """What the options mean in an earlier day's list; of an option chain all strikes, which needs no price.

    Raises UsageError.
    """
    everywhere = [re.sub(r"(?i)(:opt):\d+$", r"\1", text) for text in options.symbols]
    return resolve(
        everywhere,
        before,
        today=trading_date(now_ns),
        last_prices=lambda _keys: {},
        universes=config.universes,
        folder=Path.cwd(),
    )


def _may_come(
    error: UnknownSymbols, config: Config, options: Options, store: Store, master: Master, now_ns: int
) -> str | None:
    """Why names that today's list does not have may be in it later; None for a mistake of the user's."""
    if master.stand_in_of is not None:
        return f"{error.what}, and the day's list of instruments is not whole yet"
    before = latest_before(store.instruments_path, trading_date(now_ns))
    if before is None:
        return None
    try:
        resolve_before(config, options, before, now_ns)
    except UsageError:
        return None
    return f"{error.what}, which the day before's list of instruments has"


def ask_hours(
    config: Config, options: Options, store: Store, rest: Rest, plan: Plan, now_ns: int
) -> tuple[Calendar, Times]:
    """The calendar as the broker tells it now, and when a run that goes by `plan` is to begin and end by it."""
    calendar = load_calendar(store, rest, now_ns, anew=True)
    try:
        return calendar, plan_times(config, options, calendar, plan.segments, plan.times.start_ns)
    except NothingToRecord:  # of a day that is being recorded: what the run goes by stays
        return plan.calendar, plan.times


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
