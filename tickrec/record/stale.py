"""Stale: instruments that have ticked and stopped, while their segment trades and others on their connection tick.

Owns the ticks of each instrument by the minute, as far as the rule in `market.silence_rule` needs them, and what
becomes of one that is silent for longer than that allows: it is asked for again, and named unless the answer tells of
no trade since its last tick. Silence alone says little: who ticks in bursts, is halted or locked is often silent for so
long. Reads keys, not prices, and only so many in a second; journals nothing.
"""

import logging
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice, repeat
from typing import Final, NamedTuple, NoReturn

from tickrec.clock import SECOND, Clock, ist, until_beat
from tickrec.formatting import duration
from tickrec.journal.entry import Entry, EntryKind
from tickrec.market.instruments import Instrument
from tickrec.market.silence_rule import LEAST_NS, MINUTE_NS, MINUTES, patience_ns, window_start
from tickrec.upstox.decode.peek import feed_keys, is_live, is_market_info, sent_ms
from tickrec.upstox.decode.quotes import quotes

log = logging.getLogger("tickrec")

LOOK_SECONDS: Final = 5.0
"""How often it is looked whether an instrument is silent."""
PARTS: Final = 5
"""In how many parts, one after the other: all of thousands would hold the loop for longer than a message may wait."""
ANSWER_NS: Final = 10 * SECOND
"""Within this time the broker answers who asks again, and ticks come that only waited for that."""
MOST_TICKS: Final = 10_000
"""Ticks a second that are looked at. In a second with more everybody counts as having ticked."""
_AT_ONCE: Final = 32
"""Messages that are looked into at once, if as many come in a second: one alone costs several times as much, because
what it needs has left the processor's caches since the one before."""
MARGIN_NS: Final = 3 * SECOND
"""How much earlier than our last tick the last trade may be told to be, and still be that tick's: it may have come so
late."""


class State(Enum):
    """What a silent instrument is."""

    ASKED = "asked for again"
    IDLE = "nothing is traded, as far as is known"
    STALE = "it should tick and does not"


class Event(Enum):
    """What can happen to a silent instrument. A tick ends the silence whatever the state."""

    SILENT = "silent for too long"
    NOTHING_TRADED = "the answer says that there was nothing to tick for, or could not be looked for"
    NO_EXCUSE = "the answer tells of a trade that was not sent, or none has come; an index needs no trade"
    LOST = "its connection was lost or is new"
    CLOSED = "its session is over"


_NEXT: Final[Mapping[State, Mapping[Event, State | None]]] = {
    State.ASKED: {
        Event.SILENT: State.ASKED,
        Event.NOTHING_TRADED: State.IDLE,
        Event.NO_EXCUSE: State.STALE,
        Event.LOST: None,
        Event.CLOSED: None,
    },
    State.IDLE: {
        Event.SILENT: State.ASKED,
        Event.NOTHING_TRADED: State.IDLE,
        Event.NO_EXCUSE: State.IDLE,
        Event.LOST: None,
        Event.CLOSED: None,
    },
    State.STALE: dict.fromkeys(Event, State.STALE) | {Event.CLOSED: None},
}
"""For every state and event the next state; None: as if it had not been silent."""


class Stopped(NamedTuple):
    """An instrument that is stale."""

    instrument: Instrument
    since_ns: int
    """Its last tick."""


@dataclass(slots=True)
class _Silence:
    """The silence of one instrument. Instants are wall nanoseconds."""

    since_ns: int
    """The last tick before it."""
    state: State
    asked_ns: int
    patience_ns: int
    """How long it had been silent when it was asked for."""
    has_excuse: bool | None = None
    """Whether nothing was traded since, as the answer says; None: none has come."""


@dataclass(slots=True)
class _Line:
    """One connection."""

    begun_ns: int
    """When it was opened first."""
    since_ns: int
    """When it was opened last; silence counts from here at the earliest."""
    ticked_ns: int = 0
    last_ns: dict[bytes, int] = field(default_factory=dict)
    """The last tick of each instrument."""


class Staleness:
    """Listens to one run.

    `trades` tells since when the segment of an instrument has been in continuous trading at a moment, or None;
    `wanted` names the instruments by key, and may grow; `ask` asks for some again, on their connections.
    """

    def __init__(
        self,
        clock: Clock,
        wanted: Mapping[str, Instrument],
        trades: Callable[[Instrument, int], int | None],
        ask: Callable[[Sequence[str]], None],
    ) -> None:
        self._clock = clock
        self._wanted = wanted
        self._trades = trades
        self._ask = ask
        self._lines: dict[int, _Line] = {}
        self._silences: dict[bytes, _Silence] = {}
        self._allowed: dict[bytes, tuple[int, int | None]] = {}
        """For the last tick of an instrument how long it may be silent after it."""
        self._sessions: dict[tuple[object, ...], int | None] = {}
        """When sessions began, by kind of instrument; of one look."""
        self._places: dict[bytes, int] = {}
        """Where in a row of `_minutes` an instrument's count is."""
        self._minutes: deque[tuple[int, array[int]]] = deque(maxlen=2 * MINUTES + 1)
        """The ticks of whole minutes before the present one: nobody may be silent for more than MINUTES, and as many
        before that tell how long."""
        self._minute = 0
        self._counts: Counter[bytes] = Counter()
        """Those of the present one."""
        self._unread: list[Entry] = []
        """Messages that have not been looked into."""
        self._second = 0
        self._left = MOST_TICKS
        self._flooded_ns = 0
        """When more came last than is looked at."""

    def hear(self, entries: Sequence[Entry]) -> None:
        """Take messages of one connection that came together."""
        newest_ns = entries[-1].wall_ns
        if self._left <= 0 and newest_ns // SECOND == self._second:
            self._flooded_ns = newest_ns
            return
        self._unread += entries
        if len(self._unread) >= _AT_ONCE:
            self._read()

    def _read(self) -> None:
        """Look into what was heard."""
        entries, self._unread = self._unread, []
        for entry in entries:
            payload = entry.payload
            if is_live(payload):
                self._count(entry.conn, payload, entry.wall_ns)
            elif self._silences and not entry.text and not is_market_info(payload):
                self._learn_answers(payload, entry.wall_ns)

    def happened(self, entry: Entry) -> None:
        """Take any other entry: the silence on a new connection begins with it."""
        if entry.kind in (EntryKind.CONNECTED, EntryKind.DISCONNECTED):
            self._read()
            line = self._lines.setdefault(entry.conn, _Line(entry.wall_ns, entry.wall_ns))
            line.since_ns, line.ticked_ns = entry.wall_ns, 0
            for key in line.last_ns.keys() & self._silences.keys():
                self._enter(key, Event.LOST)

    def _count(self, conn: int, payload: bytes, wall_ns: int) -> None:
        second = wall_ns // SECOND
        if second != self._second:
            self._second, self._left = second, MOST_TICKS
            if (minute := wall_ns // MINUTE_NS) != self._minute:
                self._turn(minute)
        line = self._lines.get(conn)
        if line is None:
            line = self._lines[conn] = _Line(wall_ns, wall_ns)
        line.ticked_ns = wall_ns
        if self._left <= 0:
            self._flooded_ns = wall_ns
            return
        keys = feed_keys(payload)
        self._left -= len(keys)
        self._counts.update(keys)
        line.last_ns.update(dict.fromkeys(keys, wall_ns))

    def _turn(self, minute: int) -> None:
        """Put the counts of the minute that has ended away."""
        for key in self._counts.keys() - self._places.keys():
            self._places[key] = len(self._places)
        if self._counts:
            self._minutes.append((self._minute, array("I", map(self._counts.get, self._places, repeat(0)))))
        self._counts.clear()
        self._minute = minute

    def _learn_answers(self, payload: bytes, wall_ns: int) -> None:
        """Take in what a snapshot tells of instruments that were asked for again.

        How long ago the last trade was is told by the broker's clock alone, so that clocks need not agree.
        """
        told_ms = sent_ms(payload)
        for quote in quotes(payload):
            silence = self._silences.get(quote.instrument_key.encode())
            if silence is None or silence.state is not State.ASKED or told_ms is None:
                continue
            traded_ns = None if quote.ltt_ms is None else (told_ms - quote.ltt_ms) * 1_000_000
            silent_ns = wall_ns - silence.since_ns
            silence.has_excuse = traded_ns is None or traded_ns >= silent_ns - MARGIN_NS

    async def keep_looking(self) -> NoReturn:
        """Look who is silent, for ever."""
        part = 0
        while True:
            await self._clock.sleep(until_beat(self._clock, LOOK_SECONDS / PARTS))
            self.look(self._clock.wall_ns(), part, PARTS)
            part = (part + 1) % PARTS

    def look(self, now_ns: int, part: int = 0, parts: int = 1) -> None:
        """Judge everybody of a part who is silent; ask for those again who have become so."""
        self._read()
        ask = []
        self._sessions.clear()
        for line in self._lines.values():
            for key, last_ns in islice(line.last_ns.items(), part, None, parts):
                if now_ns - last_ns < LEAST_NS and key not in self._silences:
                    continue
                instrument = self._wanted.get(key.decode("utf-8", "replace"))
                if instrument is not None and self._judge(key, instrument, line, now_ns):
                    ask.append(instrument.instrument_key)
        if ask:
            self._ask(ask)

    def _judge(self, key: bytes, instrument: Instrument, line: _Line, now_ns: int) -> bool:
        """Whether an instrument is to be asked for again now."""
        last_ns, silence = line.last_ns[key], self._silences.get(key)
        if silence is not None and last_ns > silence.since_ns:
            self._over(key, instrument, last_ns)
            silence = None
        session_ns = self._session(instrument, now_ns)
        if session_ns is None:
            if silence is not None:
                self._enter(key, Event.CLOSED)
            return False
        if now_ns - line.ticked_ns >= LEAST_NS:  # then nobody's silence means anything
            return False
        silent_ns = now_ns - max(last_ns, line.since_ns, session_ns, self._flooded_ns)
        if silence is None:
            allowed_ns = self._allowed_ns(key, last_ns, max(session_ns, line.begun_ns))
            if allowed_ns is None or silent_ns < allowed_ns:
                return False
            self._silences[key] = _Silence(last_ns, State.ASKED, now_ns, silent_ns)
            return True
        if silence.state is State.ASKED and now_ns - silence.asked_ns >= ANSWER_NS:
            unheard = self._flooded_ns >= silence.asked_ns
            is_index = instrument.segment.endswith("_INDEX")  # computed, not traded: no trade excuses its silence
            excused = unheard if silence.has_excuse is None else silence.has_excuse and not is_index
            if self._enter(key, Event.NOTHING_TRADED if excused else Event.NO_EXCUSE) is State.STALE:
                since = f"{ist(last_ns):%H:%M:%S}"
                log.warning("%s has stopped ticking at %s, though it is traded", instrument.symbol, since)
        elif silence.state is State.IDLE and silent_ns >= 2 * silence.patience_ns:
            self._enter(key, Event.SILENT)
            silence.asked_ns, silence.patience_ns, silence.has_excuse = now_ns, silent_ns, None
            return True
        return False

    def _session(self, instrument: Instrument, now_ns: int) -> int | None:
        """When the session began in which an instrument trades now; looked up once for all that are alike."""
        kind = instrument.segment, instrument.expiry, instrument.underlying_type
        if kind not in self._sessions:
            self._sessions[kind] = self._trades(instrument, now_ns)
        return self._sessions[kind]

    def _over(self, key: bytes, instrument: Instrument, last_ns: int) -> None:
        silence = self._silences.pop(key)
        if silence.state is State.STALE:
            silent = duration((last_ns - silence.since_ns) / SECOND)
            log.info("%s ticks again, after up to %s", instrument.symbol, silent)

    def _enter(self, key: bytes, event: Event) -> State | None:
        """The state after an event."""
        silence = self._silences[key]
        state = _NEXT[silence.state][event]
        if state is None:
            del self._silences[key]
        else:
            silence.state = state
        return state

    def _allowed_ns(self, key: bytes, last_ns: int, begin_ns: int) -> int | None:
        """How long an instrument may be silent after its last tick; None: nobody can tell. Counted once a silence."""
        counted_ns, allowed_ns = self._allowed.get(key, (0, None))
        if counted_ns == last_ns:
            return allowed_ns
        start_ns = window_start(last_ns, begin_ns)
        first, place = start_ns // MINUTE_NS, self._places.get(key)
        ticks = self._counts[key] if first <= self._minute else 0
        if place is not None:
            ticks += sum(row[place] for minute, row in self._minutes if minute >= first and place < len(row))
        allowed_ns = patience_ns(ticks, last_ns - start_ns)
        self._allowed[key] = last_ns, allowed_ns
        return allowed_ns

    def stale(self) -> Iterator[Stopped]:
        """The instruments that are stale now, the longest first."""
        stale = [(silence.since_ns, key) for key, silence in self._silences.items() if silence.state is State.STALE]
        for since_ns, key in sorted(stale):
            yield Stopped(self._wanted[key.decode()], since_ns)
