"""Following: strikes follow the money, so that as many as asked for are recorded on either side of it at every moment.

Owns when further strikes are asked for, and that those of earlier runs of the date are asked for again. The money is
the underlying's last price as the feed tells it; what is recorded stays so. Knows no sockets, and no journal.
"""

import asyncio
import logging
import math
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NoReturn

from tickrec.clock import SECOND
from tickrec.formatting import plural, price
from tickrec.journal.entry import Entry
from tickrec.market.chains import Chain
from tickrec.market.instruments import Instrument
from tickrec.record.day import Day
from tickrec.record.plan import Plan
from tickrec.upstox.decode.peek import feed_keys, last_prices
from tickrec.upstox.feed import Feed
from tickrec.upstox.protocol import Wanted

log = logging.getLogger("tickrec")

LOOK_NS: Final = SECOND // 100
"""The price of an underlying is looked at this often at most, which is each that comes but in a burst."""


def mark_followed(plan: Plan, day: Day) -> None:
    """Mark in the plan what it asks for because the money has moved since the first run of the date: of the chains that
    earlier runs recorded the strikes that they did not, and what followed the money then."""
    begun = [chain for chain in plan.chains if not _keys(chain).isdisjoint(day.asked_before)]
    moved = day.followed_before.union(*map(_keys, begun)) - (day.asked_before.keys() - day.followed_before)
    plan.connections = tuple(
        tuple(each._replace(followed=each.instrument_key in moved) for each in wanted) for wanted in plan.connections
    )


def _keys(options: Iterable[Instrument]) -> set[str]:
    return {each.instrument_key for each in options}


class Following:
    """The strikes of a run's chains, as the run begins in `day`."""

    def __init__(self, plan: Plan, feed: Feed, day: Day) -> None:
        self._plan = plan
        self._feed = feed
        self._take_chains()
        self._asked_before, self._followed_before = day.asked_before, day.followed_before
        self._money: dict[str, float] = {}
        """Last price of each underlying."""
        self._moved = asyncio.Event()
        """Set when strikes are lacking."""

    def _take_chains(self) -> None:
        self._planned = self._chains = self._plan.chains
        self._due_ns = dict.fromkeys((chain.underlying_key.encode() for chain in self._chains), 0)
        """From when on the price of each underlying is looked at again; monotonic."""
        self._first_due_ns = 0

    def hear(self, entries: Sequence[Entry]) -> None:
        """Take messages that came in together: the newest that they say of the underlyings."""
        now_ns = entries[-1].mono_ns
        if self._planned is not self._plan.chains:  # a list that was short is whole now
            self._take_chains()
        if not self._chains:
            return
        for entry in reversed(entries):
            if now_ns < self._first_due_ns:
                return
            self._look(entry.payload, now_ns)

    def _look(self, payload: bytes, now_ns: int) -> None:
        due = [key.decode() for key in feed_keys(payload) if self._due_ns.get(key, math.inf) <= now_ns]
        if prices := last_prices(payload, due):
            self._money |= prices
            self._due_ns |= {key.encode(): now_ns + LOOK_NS for key in prices}
            self._first_due_ns = min(self._due_ns.values())
            if any(self._lacking(chain) for chain in self._chains if chain.underlying_key in prices):
                self._moved.set()

    async def keep_following(self) -> NoReturn:
        """Ask for further strikes whenever some are lacking. Raises StorageError."""
        self._record_again()
        while True:
            await self._moved.wait()
            self._moved.clear()
            self._follow()

    def _record_again(self) -> None:
        """Ask for the strikes that earlier runs of the date recorded."""
        asked = [each for chain in self._chains for each in chain if each.instrument_key in self._asked_before]
        if lacking := self._unrecorded(asked):
            self._add(lacking, self._followed_before)
            log.info("%s recorded earlier today: recorded again", plural(len(lacking), "option"))

    def _follow(self) -> None:
        lacking = self._unrecorded(each for chain in self._chains for each in self._lacking(chain))
        if not lacking:
            return
        money = {each.underlying_symbol: self._money[each.underlying_key or ""] for each in lacking}
        names = [f"{symbol} to {price(last)}" for symbol, last in money.items()]
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        log.info("followed %s: %s more", shown, plural(len(lacking), "option"))
        self._add(lacking, _keys(lacking))

    def _lacking(self, chain: Chain) -> list[Instrument]:
        """The options around the money that are not recorded, those nearest to it first."""
        money = self._money.get(chain.underlying_key)
        return self._unrecorded(chain.near(money)) if money is not None else []

    def _unrecorded(self, options: Iterable[Instrument]) -> list[Instrument]:
        """Those that are not recorded, each once."""
        found = {each.instrument_key: each for each in options if each.instrument_key not in self._plan.by_key}
        return list(found.values())

    def _add(self, lacking: Sequence[Instrument], followed: Collection[str]) -> None:
        """Record more, as long as the account allows it; after that no chain follows the money any more."""
        fits = lacking[: self._feed.room]
        self._plan.add(fits)
        mode = self._plan.mode
        wanted = [Wanted(each.instrument_key, each.symbol, mode, each.instrument_key in followed) for each in fits]
        self._feed.add(wanted)
        if len(fits) < len(lacking):
            self._chains = ()
            keys, connections = self._plan.limits
            text = "no further strikes are recorded: in mode %s there is room for %s on %s"
            where = plural(connections, "connection")
            log.warning(text, mode, plural(keys, "instrument"), where if connections == 1 else f"each of {where}")
