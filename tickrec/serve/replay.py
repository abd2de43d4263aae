"""Replay: recorded days as a source, message after message at the pace at which they came, or at another.

Owns the replay's clock. It starts 1 s after the last subscribe of the first burst, and goes by the receive times of
the journal from an absolute start, so that nothing adds up.
"""

import datetime as dt
import logging
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from tickrec.clock import SECOND
from tickrec.errors import DataError, UsageError
from tickrec.journal import Journal
from tickrec.journal.entry import Entry, EntryKind
from tickrec.market.hours import at
from tickrec.serve.recorded_market import Recorded, RecordedSource, closed
from tickrec.serve.source import Moment, Update
from tickrec.store.paths import Store

START_NS: Final = SECOND
"""From the last subscribe of the first burst to the first message."""
_IDLE_S: Final = 0.02
"""Between two looks at whether somebody has subscribed."""
_NAMED: Final = 5
"""Days named that can be replayed, where the one that was asked for cannot."""
_PIECE: Final = 200
"""Messages sent before the clients are listened to again."""
SKIPPED: Final = 1_000
"""Entries before the begin that are read at a time."""
_OPENING: Final = 2_000
"""Entries looked at for the prices that REST gives before the replay has begun."""

log = logging.getLogger("tickrec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a day is replayed."""

    speed: float | None = 1.0
    """Times as fast as it was; None: as fast as the clients read."""
    start: dt.time | None = None
    """The IST time of day to begin at; None: with the first message."""
    until: dt.time | None = None
    """The IST time of day to end at; None: after the last message."""
    loop: bool = False
    """Begin again at the end."""
    drop: bool = False
    """Where a connection was lost, those of the clients are lost, too."""
    longest_idle: float | None = None
    """Seconds of the day that a stretch without messages is cut to; None: it stays as long as it was."""


class Replay(RecordedSource):
    """The journals of one date or of several, one after the other, played once or again and again."""

    def __init__(self, store: Store, dates: Sequence[dt.date], pace: Pace, *, skipped: int = SKIPPED) -> None:
        """`skipped` entries before the begin are read at a time.

        Raises DataError when there is nothing to replay, UsageError for a pace that makes no sense.
        """
        if pace.speed is not None and not 0 < pace.speed < float("inf"):
            raise UsageError("--speed must be above zero, or max")
        if pace.start and pace.until and pace.start >= pace.until:
            raise UsageError("--from must be before --until")
        super().__init__(store)
        self._days = [(date, _journal(store, date)) for date in dates]
        self._place = 0
        """Of the date that is played, in those."""
        self._pace = pace
        self._skipped = skipped
        self._start_ns: int | None = None
        self._running = False
        self.name = f"replay {', '.join(map(str, dates))}"
        """What is served."""
        self.lossless = pace.speed is None
        """At full speed, nothing is dropped."""
        self.ended = False
        """Whether the last day is over."""
        self.messages = 0
        """Sent so far."""
        self._sent_before = 0
        """Of those, in the rounds before this one."""
        self._rounds = 0
        self._beginning: Iterator[None] | None = None
        """The reading of what lies before the begin of the date, while it is not done."""
        for _ in self._begin():  # nobody waits yet
            pass

    def _begin(self) -> Iterator[None]:
        """Go to the begin of the date at the present place: read what lies before it, a piece at each step."""
        pace, recorded = self._pace, Recorded()
        self._date, journal = self._days[self._place]
        begin_ns = at(self._date, pace.start) if pace.start else 0
        self._end_ns = at(self._date, pace.until) if pace.until else sys.maxsize
        self._opening = Recorded()
        self._opening.skip([*islice(journal.entries(), _OPENING)])
        self._keys: dict[int, dict[str, str]] = {}
        """What each open connection was asked for."""
        self._entries = journal.entries()
        self._next: Entry | None = next(self._entries, None)
        while self._next is not None and self._next.wall_ns < begin_ns:
            yield
            self._skip_a_piece(recorded, begin_ns)
        self._recorded = recorded
        while self._next is not None and self._next.kind is not EntryKind.MESSAGE:
            self._take(self._next)
            self._next = next(self._entries, None)
        self._base_ns = begin_ns or (self._next.wall_ns if self._next is not None else 0)
        """When the replay begins. It moves on by what is cut from stretches without messages."""
        self._said_ns = 0
        """When the last message was, from there."""
        self._cut_idle()

    def _skip_a_piece(self, recorded: Recorded, begin_ns: int) -> None:
        """Read some of the entries that lie before the begin."""
        piece: list[Entry] = []
        while self._next is not None and self._next.wall_ns < begin_ns and len(piece) < self._skipped:
            piece.append(self._next)
            self._next = next(self._entries, None)
        recorded.skip(piece)
        for entry in piece:
            self._lost(entry)

    def _take(self, entry: Entry) -> Update | None:
        """Read the next entry; what clients are to see of it."""
        lost = self._lost(entry)
        if lost and self._pace.drop:
            return Update(self._recorded.sent_ms, lost, lost=True)
        return self._recorded.take(entry)

    def _lost(self, entry: Entry) -> dict[str, str]:
        """The instruments whose connection was lost, as an entry tells; a run that died left its connections open."""
        match entry.kind:
            case EntryKind.CONNECTED:
                self._keys[entry.conn] = {}
            case EntryKind.SUBSCRIBED:
                self._keys.setdefault(entry.conn, {}).update((key, "") for key, _ in entry.facts()["keys"])
            case EntryKind.DISCONNECTED:
                keys = self._keys.pop(entry.conn, {})
                return {} if entry.facts().get("stopped") else keys
            case EntryKind.NOTE if entry.facts()["event"] == "start":
                left, self._keys = self._keys, {}
                return {key: "" for keys in left.values() for key in keys}
        return {}

    def want(self, keys: Collection[str], now: Moment) -> None:
        """Be told of a subscribe: the replay starts a second after the last one of the first burst.

        One that waits while nobody wants anything, as at full speed, starts so again.
        """
        self._wanted = keys
        self._running = self._running and (bool(keys) or not self.lossless)
        if not self._running:
            self._start_ns = now.mono_ns + START_NS if keys else None

    def pause_s(self, now: Moment) -> float:
        """Seconds until the next message is due."""
        if self._beginning is not None:
            return 0.0
        if self._start_ns is None or self.ended:
            return _IDLE_S
        if now.mono_ns < self._start_ns:
            return (self._start_ns - now.mono_ns) / SECOND
        if self._pace.speed is None:
            return 0.0 if self._wanted else _IDLE_S
        return max(0.0, (self._due_ns() - now.mono_ns) / SECOND)

    def due(self, now: Moment) -> Iterator[Update]:
        """The messages that are due, no more than a piece of them at a time."""
        if self._beginning is not None:
            self._go_on_beginning(self._beginning, now)
            return
        if self._start_ns is None or now.mono_ns < self._start_ns or self.ended:
            return
        self._running = True
        for _ in range(_PIECE):
            if not self._is_due(now):
                return
            if self._next is None or self._next.wall_ns >= self._end_ns:
                yield from self._finish(now)
                return
            update = self._take(self._next)
            self._go_on(self._next)
            if update is None:
                continue
            self.messages += not update.lost
            yield update

    def _go_on_beginning(self, beginning: Iterator[None], now: Moment) -> None:
        if next(beginning, True):
            self._beginning = None
            if self._running:
                self._start_ns = now.mono_ns

    def _go_on(self, before: Entry) -> None:
        """Go to the next entry."""
        if before.kind is EntryKind.MESSAGE:
            self._said_ns = before.wall_ns - self._base_ns
        self._next = next(self._entries, None)
        self._cut_idle()

    def _cut_idle(self) -> None:
        """Let the next entry come no longer after the last message, or the begin, than a stretch without any may be."""
        if self._next is not None and self._pace.longest_idle is not None:
            latest_ns = self._said_ns + int(self._pace.longest_idle * SECOND)
            self._base_ns = max(self._base_ns, min(self._next.wall_ns, self._end_ns) - latest_ns)

    def _is_due(self, now: Moment) -> bool:
        return bool(self._wanted) if self._pace.speed is None else self._due_ns() <= now.mono_ns

    def _due_ns(self) -> int:
        """The monotonic time at which the next entry is due; at once after the last."""
        assert self._start_ns is not None
        if self._next is None or self._pace.speed is None:
            return self._start_ns
        return self._start_ns + int((min(self._next.wall_ns, self._end_ns) - self._base_ns) / self._pace.speed)

    def _finish(self, now: Moment) -> Iterator[Update]:
        """Say that the segments are closed; then rest, or begin again."""
        self._recorded.info = closed(self._recorded.info, self._recorded.sent_ms)
        yield Update(self._recorded.sent_ms, payload=self._recorded.info)
        last = self._place == len(self._days) - 1
        self._rounds += last
        self.ended = last and not (self._pace.loop and self._has_messages())
        if not self.ended:
            self._place = 0 if last else self._place + 1
            self._beginning = self._begin()

    def _has_messages(self) -> bool:
        """Whether there were any in this round. A loop of nothing would turn for ever."""
        before, self._sent_before = self._sent_before, self.messages
        if before == self.messages:
            log.warning("there is no message from --from to --until, so the replay does not begin again")
        return before < self.messages

    def status(self, _now: Moment) -> dict[str, Any]:
        """Where the replay is."""
        state = "ended" if self.ended else "running" if self._running else "waiting for a subscription"
        place = self._recorded.sent_ms / 1000 if self._recorded.sent_ms else None
        return {"source": self.name, "state": state, "at": place, "messages": self.messages, "rounds": self._rounds}


def _journal(store: Store, date: dt.date) -> Journal:
    """The journal of a date. Raises DataError when there is none."""
    if store.journal_files(date):
        return Journal(store.journal(date))
    known = [f"{each}" for each in store.dates() if store.journal_files(each)]
    hint = f"Days that can be replayed: {', '.join(known[-_NAMED:])}" if known else "No day can be replayed"
    if store.manifest_path(date).exists() or store.sealed_path("ticks", date).exists():
        what = f"the journal of {date} has been removed, and a replay needs it"
        raise DataError(what, hint=f"`keep_journal` in [store] says how long journals are kept. {hint}")
    raise DataError(f"nothing was recorded on {date}", where=str(store.root), hint=hint)
