"""Latecomers: instruments that the day's list lacked when the run began.

Owns when a list that was short, or stood in for the day's, is asked for again, and that what it lacked is recorded from
then on. What was recorded stays. Which instruments the run wants is for `choice` to say.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from tickrec.clock import Clock
from tickrec.errors import TickrecError
from tickrec.formatting import plural
from tickrec.logs import Once
from tickrec.market.instruments import Instrument
from tickrec.record.choice import Choice
from tickrec.record.plan import Plan
from tickrec.upstox.auth import in_thread
from tickrec.upstox.feed import Feed
from tickrec.upstox.protocol import Wanted

log = logging.getLogger("tickrec")

FIRST_PAUSE_SECONDS: Final = 60.0
LONGEST_PAUSE_SECONDS: Final = 900.0
"""The list is asked for less and less often."""
_NAMED: Final = 5

Ask = Callable[[], Choice]
"""Chooses the instruments of the run again, by the list that the broker has now and the money that there was when the
run began: strikes that have come near it since are no latecomers. Blocks.

Raises TickrecError, OSError.
"""


class Latecomers:
    """Of one run, by its plan; `feed` is where they are added."""

    def __init__(self, plan: Plan, feed: Feed, clock: Clock, ask: Ask) -> None:
        self._plan = plan
        self._feed = feed
        self._clock = clock
        self._ask = ask
        self._once = Once()
        """Every time the same list is short."""
        self._left_out: set[str] = set()
        """Keys that the account leaves no room for."""

    async def keep_asking(self) -> NoReturn:
        """Ask for the list until it is whole. Raises StorageError."""
        pause, told = FIRST_PAUSE_SECONDS, ""
        while True:
            await self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            if self._plan.whole:
                continue
            try:
                choice = await in_thread(self._ask_quietly)
            except (TickrecError, OSError) as error:
                why = error.brief if isinstance(error, TickrecError) else error.strerror or str(error)
                if why != told:
                    log.warning("the list of instruments cannot be asked for again now, and is later: %s", why)
                told = why
            else:
                self.take(choice)

    def _ask_quietly(self) -> Choice:
        with self._once:
            return self._ask()

    def take(self, choice: Choice) -> None:
        """Record what is new in a choice. Raises StorageError."""
        known = self._plan.by_key.keys() | self._left_out
        late = [each for each in choice.recorded if each.instrument_key not in known]
        self._plan.whole, self._plan.unknown = choice.whole, choice.unknown
        self._plan.chains, self._plan.money = choice.chains, choice.money
        if choice.whole:
            log.info("the day's list of instruments is whole now")
        fits, left_out = late[: self._feed.room], late[self._feed.room :]
        if fits:
            mode = self._plan.mode
            self._plan.add(fits)
            self._feed.add([Wanted(each.instrument_key, each.symbol, mode) for each in fits])
            log.info("%s that the list lacked: recorded from now on: %s", plural(len(fits), "instrument"), _names(fits))
        if left_out:
            self._left_out |= {each.instrument_key for each in left_out}
            text = "%s that the list lacked, and for which the account leaves no room: not recorded: %s"
            log.warning(text, plural(len(left_out), "instrument"), _names(left_out))


def _names(instruments: Sequence[Instrument]) -> str:
    names = [each.symbol for each in instruments[:_NAMED]]
    more = len(instruments) - _NAMED
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
