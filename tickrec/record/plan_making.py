"""Plan making: the way to a plan, before anything connects.

Owns what is asked of the broker for it, and in which order: calendar, token, instruments. Keeps what it answers in the
store. Also the guess when a run begins and ends that the broker has told nothing of yet.
"""

import logging
from typing import Final

import pyarrow as pa

from tickrec.clock import Clock
from tickrec.config import Config
from tickrec.errors import NothingToRecord, UsageError
from tickrec.formatting import plural
from tickrec.market.calendar import (
    SEGMENTS,
    Calendar,
    ensure_calendar,
    kept_calendar,
    known_calendar,
    trading_date,
)
from tickrec.market.instruments import latest_before
from tickrec.record.choice import choose, resolve_before
from tickrec.record.plan import (
    SHARE_SEGMENTS,
    Bar,
    Options,
    Plan,
    Times,
    account_plan,
    deal_out,
    no_bar,
    plan_times,
)
from tickrec.record.store_source import check_origin
from tickrec.store.paths import Store
from tickrec.upstox.auth import TokenSource, check_expiry
from tickrec.upstox.limits import CONNECTIONS, Limits
from tickrec.upstox.protocol import cap_of
from tickrec.upstox.rest import Rest

log = logging.getLogger("tickrec")

_SHARES: Final = ("fno",)
"""Selectors of which it is known without a list that they are shares."""


def load_calendar(store: Store, rest: Rest, now_ns: int, *, anew: bool = False) -> Calendar:
    """The exchange calendar of the day: kept in the store unless asked for `anew`, else the broker's, else as built in
    (with a warning)."""
    date = trading_date(now_ns)
    calendar = ensure_calendar(store.state / "calendar.json", date, rest.holidays, rest.timings, anew=anew)
    if calendar.assumed(date):
        log.warning("no calendar knows %s; it is taken for a trading day", date)
    return calendar


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
    cap_of(config.upstox.plan or "plus", options.mode)
    source = rest.source()
    check_origin(store, source, now=options.now)
    is_kept = kept_calendar(store.state / "calendar.json", trading_date(now_ns)) is not None
    calendar = load_calendar(store, rest, now_ns)

    def hours(segments: set[str], now_ns: int) -> Times:
        nonlocal calendar
        try:
            return plan_times(config, options, calendar, segments, now_ns)
        except NothingToRecord:
            if not is_kept:
                raise
        calendar = load_calendar(store, rest, now_ns, anew=True)  # a session may have been added or extended since
        return plan_times(config, options, calendar, segments, now_ns)

    if not options.now and not calendar.sessions(trading_date(now_ns)):
        hours(set(SHARE_SEGMENTS), now_ns)
    token = tokens.read()
    check_expiry(token, now_ns)
    choice = choose(config, options, store, rest, token, now_ns, bar)
    instruments, unknown = choice.recorded, choice.unknown
    if unknown:
        log.warning("%s unknown today, the others are recorded: %s", plural(len(unknown), "symbol"), ", ".join(unknown))
    # Counted from here: the instruments may have taken a while to come.
    times = hours({each.segment for each in instruments}, clock.wall_ns())
    pa.default_memory_pool().release_unused()
    account = account_plan(config, token)
    return Plan(
        options.mode,
        instruments,
        deal_out(config, instruments, options.mode, account),
        calendar,
        token.expires_ns,
        times,
        source,
        unknown,
        choice.whole,
        choice.chains,
        Limits(cap_of(account, options.mode), config.upstox.connections or CONNECTIONS[account]),
        choice.money,
    )


def ask_hours(
    config: Config, options: Options, store: Store, rest: Rest, plan: Plan, clock: Clock
) -> tuple[Calendar, Times]:
    """The calendar as the broker tells it now, and when a run that goes by `plan` is to begin and end by it."""
    calendar = load_calendar(store, rest, clock.wall_ns(), anew=True)
    try:
        return calendar, plan_times(config, options, calendar, plan.segments, plan.times.start_ns)
    except NothingToRecord:  # of a day that is being recorded: what the run goes by stays
        return plan.calendar, plan.times


def likely_times(config: Config, options: Options, store: Store, now_ns: int) -> Times:
    """When a run that is started now begins and ends at the latest, as far as that is known from an earlier day's
    instruments. Nobody is asked; what would record nothing begins and ends now."""
    calendar = known_calendar(store.state / "calendar.json")
    try:
        return plan_times(config, options, calendar, _likely_segments(config, options, store, now_ns), now_ns)
    except NothingToRecord:
        return Times(now_ns, now_ns)


def _likely_segments(config: Config, options: Options, store: Store, now_ns: int) -> set[str]:
    """The segments of a run, as far as that is known without today's instruments; all where it is not."""
    if options.symbols == _SHARES:
        return set(SHARE_SEGMENTS)
    before = latest_before(store.instruments_path, trading_date(now_ns))
    try:
        found = [] if before is None else resolve_before(config, options, before, now_ns)
    except UsageError:
        found = []
    return {each.segment for each in found} or set(SEGMENTS)
