"""Selection: what selectors mean today, and what recording them needs of the account.

Owns the answer of `tickrec symbols`, as JSON and as text.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from tickrec.clock import Clock
from tickrec.config import Config
from tickrec.errors import UsageError
from tickrec.formatting import grouped, plural, price
from tickrec.market.calendar import trading_date
from tickrec.market.instruments import Instrument
from tickrec.record.choice import choose_from, load_master
from tickrec.record.plan import Bar, Options, account_plan, deal_out, no_bar
from tickrec.store.paths import Store
from tickrec.upstox.auth import TokenSource
from tickrec.upstox.limits import CONNECTIONS
from tickrec.upstox.protocol import cap_of
from tickrec.upstox.rest import Rest


@dataclass(frozen=True, slots=True)
class Selection:
    """The instruments, and how they fit: `connections` needed is None when they do not, for the reason `refusal`."""

    date: str
    mode: str
    plan: str
    instruments: tuple[Instrument, ...]
    cap: int
    """Keys that one connection may hold."""
    allowed: int
    """Connections of the plan."""
    connections: int | None
    refusal: str = ""
    unknown: tuple[str, ...] = ()
    """Configured selectors that mean nothing today: the others are recorded without them."""
    underlyings: tuple[Instrument, ...] = ()
    """Recorded as well, for their price: strikes follow it."""
    most: int | None = None
    """Instruments in all, when the money has been at every strike; None where nothing follows it."""

    @property
    def most_connections(self) -> int:
        """Needed for these; those that the plan does not have are done without."""
        return max(self.connections or 0, -(-(self.most or 0) // self.cap))


def select(config: Config, options: Options, environ: Mapping[str, str], clock: Clock, bar: Bar = no_bar) -> Selection:
    """Resolve selectors with the day's instruments, downloaded (with a `bar`) if the store has none yet.

    A token is needed only for selectors that ask for the money. Raises UsageError, also for one unknown name unless
    the options are `kept` in the configuration; TokenError, RestError, DataError.
    """
    now_ns = clock.wall_ns()
    store = Store(config.store.data)
    rest = Rest(config.upstox.api_url, config.upstox.assets_url)
    master = load_master(store, rest, now_ns, bar)
    token = TokenSource(config.upstox, environ).try_read()
    choice = choose_from(config, options, master, rest, token, now_ns, strict=not options.kept)
    plan = account_plan(config, token)
    cap = cap_of(plan, options.mode)
    connections, refusal = None, ""
    try:
        connections = len(deal_out(config, choice.recorded, options.mode, plan))
    except UsageError as error:
        refusal = str(error)
    every_strike = {each.instrument_key for each in chain(choice.recorded, *choice.chains)}
    return Selection(
        str(trading_date(now_ns)),
        options.mode,
        plan,
        choice.instruments,
        cap,
        CONNECTIONS[plan],
        connections,
        refusal,
        choice.unknown,
        choice.underlyings,
        len(every_strike) if choice.chains else None,
    )


def to_json(selection: Selection) -> dict[str, Any]:
    """The selection as JSON values; `expiry` is an ISO date."""
    return {
        "date": selection.date,
        "mode": selection.mode,
        "plan": selection.plan,
        "count": len(selection.instruments),
        "segments": dict(Counter(each.segment for each in selection.instruments)),
        "keys_per_connection": selection.cap,
        "connections_allowed": selection.allowed,
        "connections_needed": selection.connections,
        "refusal": selection.refusal or None,
        "follow": None
        if selection.most is None
        else {
            "underlyings": [each.instrument_key for each in selection.underlyings],
            "count_at_most": selection.most,
            "connections_at_most": selection.most_connections,
        },
        "instruments": [_instrument_json(each) for each in selection.instruments],
    }


def _instrument_json(instrument: Instrument) -> dict[str, Any]:
    facts = asdict(instrument)
    facts["expiry"] = instrument.expiry.isoformat() if instrument.expiry else None
    return facts


def to_lines(selection: Selection) -> Iterator[str]:
    """The selection for people: a line an instrument, then what it takes."""
    width = max(len(each.symbol) for each in selection.instruments)
    keys = max(len(each.instrument_key) for each in selection.instruments)
    for each in selection.instruments:
        lot = grouped(each.lot_size) if each.lot_size else "-"
        step = price(each.tick_size) if each.tick_size else "-"
        yield f"{each.symbol:<{width}}  {each.instrument_key:<{keys}}  lot {lot:>8}  tick {step:>6}  {each.name or ''}"
    yield ""
    segments = Counter(each.segment for each in selection.instruments)
    parts = ", ".join(f"{grouped(count)} {segment}" for segment, count in sorted(segments.items()))
    yield f"{plural(len(selection.instruments), 'instrument')} on {selection.date}: {parts}"
    if selection.connections is None:
        yield selection.refusal
    else:
        yield (
            f"mode {selection.mode}, plan {selection.plan}: {plural(selection.connections, 'connection')} of "
            f"{selection.allowed}, each up to {grouped(selection.cap)} keys"
        )
    if selection.most is not None:
        yield _follow_text(selection, selection.most)


def _follow_text(selection: Selection, count: int) -> str:
    symbols = [each.symbol for each in selection.underlyings]
    also = ", ".join(symbols[:5]) + (", ..." if len(symbols) > 5 else "")
    needs = f"{plural(count, 'instrument')} on {plural(selection.most_connections, 'connection')} at most"
    most = selection.cap * selection.allowed
    bound = f"; {grouped(most)} are the most that fit" if count > most else ""
    return f"strikes follow the money{f' (the price of {also} is recorded for it)' if also else ''}: {needs}{bound}"
