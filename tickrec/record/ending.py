"""Ending: when a run is over.

Owns the planned end and how it moves. The broker is asked for the hours again before it, and earlier where it has not
told them yet; the end moves on while the feed says that a recorded segment is open and brings ticks of it. An end that
the user set never moves, and none past midnight. Reads the messages; journals nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from tickrec.clock import SECOND, Clock, start_of_date, until_beat
from tickrec.journal.entry import Entry
from tickrec.logs import log_unexpected
from tickrec.market.calendar import Calendar
from tickrec.record.plan import Plan, Times
from tickrec.upstox.auth import in_thread
from tickrec.upstox.decode.peek import is_live, is_market_info, segment_status, served_keys

log = logging.getLogger("tickrec")

OPEN: Final = ("NORMAL_OPEN", "CLOSING_START")
"""What the feed says of a segment that trades: continuously, or at the closing price (observed 2026-09)."""
TICKED_NS: Final = 300 * SECOND
"""A segment whose last tick is older than this does not trade, whatever is said of it."""
STEP_NS: Final = 60 * SECOND
"""How far the end moves at a time, so that the last ticks after a close are in."""
BEFORE_NS: Final = 60 * SECOND
"""How long before the planned end the hours are asked for again."""
FIRST_PAUSE_NS: Final = 60 * SECOND
LONGEST_PAUSE_NS: Final = 900 * SECOND
POLL_SECONDS: Final = 1.0
ASK_SECONDS: Final = 60.0
"""An answer that takes longer does not come: a name server that hangs must not keep the run from ending."""

_DAY_NS: Final = 86_400 * SECOND

Ask = Callable[[], tuple[Calendar, Times]]
"""Asks the broker for the hours of the day again; blocks. Raises nothing for a broker that does not answer."""


class Ending:
    """The planned end of one run, which is the plan's `times`; these and its calendar are what changes here."""

    def __init__(self, plan: Plan, clock: Clock, ask: Ask, seconds: float = ASK_SECONDS) -> None:
        """`seconds` is how long the broker may take to answer."""
        self._plan = plan
        self._seconds = seconds
        self._clock = clock
        self._ask = ask
        self._lock = asyncio.Lock()
        self._asked_before_ns: int | None = None
        """The planned end before which the hours were asked for."""
        self._status: dict[str, str] = {}
        """What the feed said last of each segment."""
        self._ticked_ns: dict[str, int] = {}
        """When the last tick of a recorded segment came, as far as it was looked at."""
        self._looked_ns = 0
        self._told: set[str] = set()
        """The segments for which the end moved last."""

    @property
    def seconds_left(self) -> float:
        """Until the planned end; infinite where there is none."""
        stop_ns = self._plan.times.stop_ns
        return float("inf") if stop_ns is None else (stop_ns - self._clock.wall_ns()) / SECOND

    def hear(self, entries: Sequence[Entry]) -> None:
        """Take messages that came in: what they say of segments, and, towards the end, of which segments ticks are."""
        for entry in entries:
            if is_market_info(entry.payload):
                self._status |= segment_status(entry.payload)
            elif self._is_to_be_looked_at(entry) and is_live(entry.payload):
                self._looked_ns = entry.wall_ns
                segments = {key.partition("|")[0] for key in served_keys(entry.payload)}
                self._ticked_ns |= dict.fromkeys(segments, entry.wall_ns)

    def is_open(self, segment: str) -> bool:
        """Whether a segment trades as far as the feed says; also where it has said nothing of it."""
        return self._status.get(segment, OPEN[0]) in OPEN

    def _is_to_be_looked_at(self, entry: Entry) -> bool:
        """Whether the instruments of a message matter: once a second, in the last minutes of a run whose end moves."""
        times = self._plan.times
        if not times.moves or times.stop_ns is None or entry.wall_ns < times.stop_ns - TICKED_NS:
            return False
        return not 0 <= entry.wall_ns - self._looked_ns < SECOND

    def trading(self) -> set[str]:
        """The recorded segments that the feed calls open and of which ticks come."""
        since_ns = self._clock.wall_ns() - TICKED_NS
        ticking = {segment for segment, last_ns in self._ticked_ns.items() if last_ns >= since_ns}
        return {each for each in ticking & self._plan.segments if self._status.get(each) in OPEN}

    async def is_moved(self) -> bool:
        """At the planned end: whether it has moved on, because the broker tells other hours now or the feed goes on."""
        times = self._plan.times
        if not times.moves or times.stop_ns is None:
            return False
        await self._ask_before_end()
        if self.seconds_left > 0:
            return True
        midnight_ns = start_of_date(times.start_ns) + _DAY_NS
        moved_ns = min(self._clock.wall_ns() + STEP_NS, midnight_ns)
        trading = self.trading()
        if not trading or moved_ns <= self._clock.wall_ns():
            return False
        if trading != self._told:
            log.info("recording goes on, as %s is still open", ", ".join(sorted(trading)))
            self._told = trading
        self._plan.times = self._plan.times._replace(stop_ns=moved_ns)
        self._plan.open_until |= dict.fromkeys(trading, moved_ns)
        return True

    async def keep_asking(self) -> NoReturn:
        """Ask for the hours again: while the broker has not told them, less and less often, and before the end."""
        pause_ns = FIRST_PAUSE_NS
        next_ns = self._clock.monotonic_ns() + pause_ns
        while True:
            await self._clock.sleep(until_beat(self._clock, POLL_SECONDS))
            if self.seconds_left <= BEFORE_NS / SECOND:
                await self._ask_before_end()
            elif self._clock.monotonic_ns() >= next_ns and self._plan.has_doubted_hours(self._clock.wall_ns()):
                await self._ask_again()
                pause_ns = min(2 * pause_ns, LONGEST_PAUSE_NS)
                next_ns = self._clock.monotonic_ns() + pause_ns

    async def _ask_before_end(self) -> None:
        """Ask once before each planned end."""
        async with self._lock:
            stop_ns = self._plan.times.stop_ns
            if self._plan.times.moves and stop_ns != self._asked_before_ns:
                self._asked_before_ns = stop_ns
                await self._ask_again()

    async def _ask_again(self) -> None:
        """Go by what the broker tells now. An earlier end than the planned one is not believed."""
        try:
            async with asyncio.timeout(self._seconds):
                self._plan.calendar, times = await in_thread(self._ask)
        except Exception as error:  # noqa: BLE001 - the named boundary of asking: hours are no reason to end a run
            log_unexpected(f"the hours could not be asked for: {error!r}", error)
            return
        planned = self._plan.times
        if planned.moves and planned.stop_ns is not None and times.stop_ns is not None:
            self._plan.times = planned._replace(stop_ns=max(planned.stop_ns, times.stop_ns))
