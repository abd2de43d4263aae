"""Choice: the instruments that a run is to record, as its selectors mean them in the day's list.

Owns the list as a run gets it, what stands in for it, and whether a name that it lacks may be in it later. Asks the
broker over REST only, and keeps its list in the store.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tickrec.config import Config
from tickrec.errors import TokenError, UsageError
from tickrec.market.calendar import trading_date
from tickrec.market.chains import Chain
from tickrec.market.instruments import Instrument, Master, UnusableList, ensure_master, latest_before
from tickrec.market.selectors import UnknownSymbols, resolve, with_every_strike
from tickrec.record.plan import Bar, Options, no_bar
from tickrec.store.paths import Store
from tickrec.upstox.auth import Token
from tickrec.upstox.protocol import Failure, Situation
from tickrec.upstox.rest import MASTER, Rest, RestError

log = logging.getLogger("tickrec")


class Choice(NamedTuple):
    """What the options mean on a day."""

    instruments: tuple[Instrument, ...]
    """At least one."""
    underlyings: tuple[Instrument, ...]
    """What the chains are on, as far as the instruments do not have it: recorded for its price."""
    chains: tuple[Chain, ...]
    """The options of which further strikes are to be recorded as the money moves."""
    whole: bool
    """Whether the list of instruments was the day's own, and as long as the day before's."""
    unknown: tuple[str, ...]
    """Selectors of lists that mean nothing."""
    money: Mapping[str, float]
    """The last prices by which strikes were chosen, in rupees, by the underlying's key."""

    @property
    def recorded(self) -> tuple[Instrument, ...]:
        """All that is to be recorded."""
        return self.instruments + self.underlyings


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


def choose_from(
    config: Config,
    options: Options,
    master: Master,
    rest: Rest,
    token: Token | TokenError,
    now_ns: int,
    *,
    money: Mapping[str, float] | None = None,
    strict: bool = False,
) -> Choice:
    """What the options mean in a list. Of `money`, as in Choice, nobody is asked; `strict`: a name in a file or a
    universe that means nothing is refused as one that was given directly.

    Raises UsageError, and where prices are asked for RestError, or the TokenError that there is instead of a token.
    """
    known = dict(money or {})

    def last_prices(keys: Sequence[str]) -> dict[str, float]:
        if lacking := [key for key in keys if key not in known]:
            if isinstance(token, TokenError):
                raise token
            known.update(rest.last_prices(token, lacking))
        if not known:
            raise RestError(
                Failure(Situation.BAD_ANSWER, detail="no last prices"), rest.api_url + "/v3/market-quote/ltp"
            )
        return known

    unknown: list[str] = []
    found = resolve(
        options.symbols,
        master,
        today=trading_date(now_ns),
        last_prices=last_prices,
        universes=config.universes,
        folder=Path.cwd(),
        kept=options.kept,
        left_out=None if strict else unknown,
    )
    chains = tuple(each for each in found.chains if config.record.follow and master.find([each.underlying_key]))
    recorded = {each.instrument_key for each in found.instruments}
    keys = dict.fromkeys(chain.underlying_key for chain in chains if chain.underlying_key not in recorded)
    underlyings = master.rows(master.find(list(keys)))
    whole = master.stand_in_of is None
    return Choice(tuple(found.instruments), tuple(underlyings), chains, whole, tuple(unknown), known)


def choose(
    config: Config,
    options: Options,
    store: Store,
    rest: Rest,
    token: Token | TokenError,
    now_ns: int,
    bar: Bar = no_bar,
    *,
    money: Mapping[str, float] | None = None,
) -> Choice:
    """What the options mean in today's list. Of `money`, as in Choice, nobody is asked: for what a run would have
    chosen with another list.

    A name given directly that may be in the list later is a broker that cannot be asked yet: raises RestError. Raises
    what `choose_from` and `load_master` raise.
    """

    def chosen(master: Master) -> Choice:
        return choose_from(config, options, master, rest, token, now_ns, money=money)

    master = load_master(store, rest, now_ns, bar)
    try:
        return chosen(master)
    except UnknownSymbols as error:
        if (why := _may_come(error, config, options, store, master, now_ns)) is None:
            raise
    try:
        return chosen(load_master(store, rest, now_ns, bar, anew=True) if master.stand_in_of is None else master)
    except UnknownSymbols as error:
        raise RestError(Failure(Situation.BAD_ANSWER, detail=why), rest.assets_url + MASTER) from error


def resolve_before(config: Config, options: Options, before: Master, now_ns: int) -> list[Instrument]:
    """What the options mean in an earlier day's list; of an option chain all strikes, which needs no price.

    Raises UsageError.
    """
    return resolve(
        with_every_strike(options.symbols),
        before,
        today=trading_date(now_ns),
        last_prices=lambda _keys: {},
        universes=config.universes,
        folder=Path.cwd(),
    ).instruments


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
