"""Market: all instruments of the synthetic market on a date, and which of them move next.

A value is computed only for an instrument that somebody asks for. Knows nothing about messages and connections.
"""

import datetime as dt
import random
from collections.abc import Iterable
from typing import Final

from tickrec.clock import ist
from tickrec.serve.synthetic.listings import SHARE_STRIKES, master_of
from tickrec.serve.synthetic.minutes import Minute
from tickrec.serve.synthetic.phases import Hours, Phase
from tickrec.serve.synthetic.prices import Security, Trend

_STEP_MS: Final = 10_000
"""Between two trades of an instrument that was left alone."""
_STEPS: Final = 400
"""Of those at most."""
_REMEMBERED: Final = dt.timedelta(days=40)
"""How far back there are candles."""


class Market:
    """All instruments of a date; creates the state of one when it is first asked for. `strikes` is as in `Master`."""

    def __init__(
        self, seed: int, hours: Hours, wall_ns: int, trend: Trend | None = None, strikes: int = SHARE_STRIKES
    ) -> None:
        self.hours = hours
        self._seed = seed
        self.trend = trend or Trend()
        self._securities: dict[str, Security] = {}
        self.master = master_of(ist(wall_ns).date(), strikes)
        self._session = self._session_date(wall_ns)

    def security(self, key: str, wall_ns: int) -> Security | None:
        """The instrument of a key, or None when there is none."""
        known = self._securities.get(key)
        if known is not None:
            return known
        listing = self.master.listings.get(key)
        if listing is None:
            return None
        spot = self.security(listing.underlying, wall_ns) if listing.underlying else None
        now = wall_ns // 1_000_000
        start, end = self.hours.session(listing.segment, self._session)
        made = Security(listing, spot, self._seed, min(now, end), start, self.trend)
        self._securities[key] = made
        return made

    def phase(self, security: Security, wall_ns: int) -> Phase:
        """What may happen to an instrument now."""
        listing = security.listing
        return self.hours.phase(listing.segment, wall_ns, closing_auction=listing.closing_auction)

    def move(self, securities: Iterable[Security], wall_ns: int) -> list[Security]:
        """Let instruments change as the phase of their segment allows; those that did."""
        now = wall_ns // 1_000_000
        phases: dict[tuple[str, bool], Phase] = {}
        moved = []
        for security in securities:
            listing = security.listing
            kind = (listing.segment, listing.closing_auction)
            phase = phases.get(kind)
            if phase is None:
                phase = phases[kind] = self.phase(security, wall_ns)
            if phase is not Phase.CLOSED:
                security.move(now, phase)
                moved.append(security)
        return moved

    def catch_up(self, key: str, wall_ns: int) -> None:
        """Let an instrument that exists, and was left alone, have traded until now as the hours allowed."""
        security = self._securities.get(key)
        if security is None:
            return
        now = wall_ns // 1_000_000
        step = max(_STEP_MS, (now - security.ltt) // _STEPS)
        for moment in range(security.ltt + step, now - step, step):
            if self.phase(security, moment * 1_000_000) is Phase.OPEN:
                security.move(moment)

    def minutes(self, key: str, first: dt.date, last: dt.date, wall_ns: int) -> list[Minute] | None:
        """The exchange's bars of an instrument on the dates from `first` to `last`, as far as they are over."""
        security = self.security(key, wall_ns)
        if security is None:
            return None
        found: list[Minute] = []
        first = max(first, self.master.date - _REMEMBERED)
        for date in (first + dt.timedelta(days=n) for n in range((last - first).days + 1)):
            if self.hours.trades_on(date):
                start, end = self.hours.session(security.listing.segment, date)
                found += security.minutes(start, end, wall_ns // 1_000_000)
        return found

    def turn(self, wall_ns: int) -> None:
        """Start the next date, with new expiries, and the next session, with volumes from zero, when they have come."""
        date = ist(wall_ns).date()
        if date != self.master.date:
            self.master = master_of(date, self.master.strikes)
        session = self._session_date(wall_ns)
        if session == self._session:
            return
        self._session = session
        for security in self._securities.values():
            start, _ = self.hours.session(security.listing.segment, session)
            security.new_day(wall_ns // 1_000_000, start)

    def _session_date(self, wall_ns: int) -> dt.date:
        """The date of the latest session that has begun."""
        date = ist(wall_ns).date()
        while not self.hours.trades_on(date) or self.hours.session("NSE_EQ", date)[0] > wall_ns // 1_000_000:
            date -= dt.timedelta(1)
        return date


class Wheel:
    """Which of the wanted instruments move next: all of them, the busy ones more often, in a shuffled order."""

    def __init__(self, securities: Iterable[Security], seed: int) -> None:
        self._random = random.Random(seed)
        self._round = [x for x in securities for _ in range(x.listing.weight)]
        self._random.shuffle(self._round)
        self._at = 0

    def take(self, count: int) -> list[Security]:
        """Up to `count` different instruments."""
        taken: dict[str, Security] = {}
        for _ in range(min(len(self._round), count * 4)):
            if len(taken) == count:
                break
            security = self._round[self._at]
            self._at = (self._at + 1) % len(self._round)
            taken[security.listing.key] = security
        return list(taken.values())
