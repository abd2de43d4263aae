"""Gaps: the intervals without data on one connection, as a table of states and events.

Rule 1: a gap begins where data ended, which is told by the entry that says so (`since_ns`), else is the time of the
connection's last message. Rule 2: it ends with the first message that carries data, or with the goodbye of the run.
Rule 3: between two runs there is a gap on every connection that the earlier one had: until its first data where the
later one has it too, else until the later one began. The time before the first attempt of a date is none, nor is the
time after the last goodbye.

Does not know entries, the calendar, nor what a message means: `history` feeds it what happened.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from enum import Enum
from typing import Any, Final, NamedTuple, Self, TypeAlias

from tickrec.clock import start_of_date

DIED: Final = "the recorder died"
"""Reason of a gap, and end of a connection, when a run left no goodbye."""
UNOPENED: Final = "not connected yet"
"""Reason of a gap when the first attempt was still under way as the run ended."""
STOPPED: Final = "stopped"
"""Reason of a gap between runs when the goodbye gave none."""


class Gap(NamedTuple):
    """An interval without data. Instants are wall nanoseconds.

    `seq` is the entry that ended the gap; `seq` and `end_ns` are None while it lasts. `conn` is 0 when the interval
    is a hole in the journal itself. `keys` is the number of instruments that the connection had when it was lost.
    """

    seq: int | None
    conn: int
    start_ns: int
    end_ns: int | None
    reason: str
    keys: int


class State(Enum):
    """What a connection is to the entries so far."""

    NEW = "new"
    """Not heard of on this date, or given up by a later run."""
    TRYING = "trying"
    """The first attempt of the date is under way; only its failure, or the run's end, makes a gap of it."""
    OPEN = "open"
    """Nothing is missing."""
    LOST = "lost"
    """No websocket, and the run tries to get one."""
    REOPENED = "reopened"
    """A websocket again, but no data yet."""
    PAUSED = "paused"
    """The run has ended; a gap only if another one comes."""
    PASSED = "passed"
    """Another run has begun, and has not said that it has this connection."""
    AWAITED = "awaited"
    """The other run has it, and its first attempt is under way."""


class Event(Enum):
    """What can happen to a connection."""

    WANTED = "wanted"
    """The run says that it has this connection."""
    FAILED = "failed"
    """An attempt to connect failed, or the run could not begin in time."""
    OPENED = "opened"
    DATA = "data"
    INFO = "info"
    """A message without data."""
    DROPPED = "dropped"
    """The websocket ended, and nobody wanted that."""
    LEFT = "left"
    """The run has closed the websocket, in good order."""
    START = "start"
    """A run begins. One before that has not said goodbye has died."""
    GOODBYE = "goodbye"
    """The run ends, or goes on in another date."""


class Act(Enum):
    """What a transition does to the interval that is missing."""

    TRY = "it is missing from the first attempt on, if that fails"
    LOSE = "data has ended"
    END = "data is back, or nobody waits for it any more"
    END_PASSED = "the connection is given up: it was missing until the other run began"
    AGAIN = "it is missing from now on"
    PASS = "another run begins"
    REASON = "why is known now"
    THEN = "there is another reason now"


Cell: TypeAlias = tuple[State, tuple[Act, ...]]

_S, _E, _A = State, Event, Act
_STAYS: Final = ()
_LOST: Final[Mapping[Event, Cell]] = {
    _E.WANTED: (_S.LOST, _STAYS),
    _E.FAILED: (_S.LOST, _STAYS),
    _E.OPENED: (_S.REOPENED, _STAYS),
    _E.DATA: (_S.OPEN, (_A.END,)),
    _E.INFO: (_S.LOST, _STAYS),
    _E.DROPPED: (_S.LOST, _STAYS),
    _E.LEFT: (_S.LOST, _STAYS),
    _E.START: (_S.PASSED, (_A.PASS,)),
    _E.GOODBYE: (_S.PAUSED, (_A.END, _A.AGAIN)),
}
TABLE: Final[Mapping[State, Mapping[Event, Cell]]] = {
    _S.NEW: {
        _E.WANTED: (_S.TRYING, (_A.TRY,)),
        _E.FAILED: (_S.LOST, (_A.TRY, _A.REASON)),
        _E.OPENED: (_S.OPEN, _STAYS),
        _E.DATA: (_S.OPEN, _STAYS),
        _E.INFO: (_S.OPEN, _STAYS),
        _E.DROPPED: (_S.NEW, _STAYS),
        _E.LEFT: (_S.NEW, _STAYS),
        _E.START: (_S.NEW, _STAYS),
        _E.GOODBYE: (_S.NEW, _STAYS),
    },
    _S.TRYING: {
        _E.WANTED: (_S.TRYING, _STAYS),
        _E.FAILED: (_S.LOST, (_A.REASON,)),
        _E.OPENED: (_S.OPEN, _STAYS),
        _E.DATA: (_S.OPEN, _STAYS),
        _E.INFO: (_S.OPEN, _STAYS),
        _E.DROPPED: (_S.TRYING, _STAYS),
        _E.LEFT: (_S.TRYING, _STAYS),
        _E.START: (_S.PASSED, (_A.PASS,)),
        _E.GOODBYE: (_S.PAUSED, (_A.END, _A.AGAIN)),
    },
    _S.OPEN: {
        _E.WANTED: (_S.AWAITED, (_A.LOSE,)),
        _E.FAILED: (_S.LOST, (_A.LOSE,)),
        _E.OPENED: (_S.REOPENED, (_A.LOSE,)),
        _E.DATA: (_S.OPEN, _STAYS),
        _E.INFO: (_S.OPEN, _STAYS),
        _E.DROPPED: (_S.LOST, (_A.LOSE,)),
        _E.LEFT: (_S.PAUSED, (_A.LOSE,)),
        _E.START: (_S.PASSED, (_A.LOSE, _A.PASS)),
        _E.GOODBYE: (_S.PAUSED, (_A.LOSE,)),
    },
    _S.LOST: _LOST,
    _S.REOPENED: {
        **_LOST,
        _E.INFO: (_S.REOPENED, _STAYS),
    },
    _S.AWAITED: {
        **_LOST,
        _E.WANTED: (_S.AWAITED, _STAYS),
        _E.FAILED: (_S.LOST, (_A.THEN,)),
        _E.INFO: (_S.AWAITED, _STAYS),
        _E.DROPPED: (_S.AWAITED, _STAYS),
        _E.LEFT: (_S.AWAITED, _STAYS),
    },
    _S.PAUSED: {
        **_LOST,
        _E.WANTED: (_S.AWAITED, _STAYS),
        _E.FAILED: (_S.LOST, (_A.THEN,)),
        _E.INFO: (_S.PAUSED, _STAYS),
        _E.DROPPED: (_S.PAUSED, _STAYS),
        _E.LEFT: (_S.PAUSED, _STAYS),
        _E.GOODBYE: (_S.PAUSED, _STAYS),
    },
    _S.PASSED: {
        **_LOST,
        _E.WANTED: (_S.AWAITED, _STAYS),
        _E.FAILED: (_S.LOST, (_A.THEN,)),
        _E.INFO: (_S.PASSED, _STAYS),
        _E.DROPPED: (_S.PASSED, _STAYS),
        _E.LEFT: (_S.PASSED, _STAYS),
        _E.GOODBYE: (_S.NEW, (_A.END_PASSED,)),
    },
}
"""For every state and event the next state, and what becomes of the interval that is missing."""
LASTING: Final = (State.LOST, State.REOPENED, State.AWAITED)
"""States in which a gap lasts."""
SOUGHT: Final = (State.TRYING, *LASTING)
"""States in which a run waits for data."""


class Happening(NamedTuple):
    """An event with what is known of it. Instants are wall nanoseconds."""

    event: Event
    seq: int
    wall_ns: int
    reason: str = ""
    since_ns: int | None = None
    """Since when data has been missing, where the entry tells."""
    keys: int | None = None
    """Instruments of the connection, where the entry tells."""


@dataclass(slots=True)
class Line:
    """One connection over a date: its state, and the interval that is missing while there is one."""

    conn: int
    last_ns: int
    """When it was opened or heard last."""
    keys: int = 0
    state: State = State.NEW
    start_ns: int = 0
    reason: str = ""
    lost_keys: int = 0
    passed_ns: int | None = None
    """When the run began that has not said that it has this connection."""

    def take(self, happening: Happening) -> list[Gap]:
        """Go on to the next state. Returns the gaps that this ended, which is one at most."""
        self.state, acts = TABLE[self.state][happening.event]
        gaps = [gap for act in acts if (gap := self._act(act, happening)) is not None]
        if happening.keys is not None:
            self.keys = happening.keys
        if happening.event in (Event.OPENED, Event.DATA, Event.INFO):
            self.last_ns = happening.wall_ns
        return gaps

    def _act(self, act: Act, happening: Happening) -> Gap | None:
        now_ns, since_ns, reason = happening.wall_ns, happening.since_ns, happening.reason
        match act:
            case Act.TRY:
                self._lose(now_ns if since_ns is None else since_ns, UNOPENED, happening.keys or 0)
            case Act.LOSE:
                ended_ns = self.last_ns if since_ns is None else max(since_ns, start_of_date(now_ns))
                self._lose(ended_ns, reason, self.keys)
            case Act.AGAIN:
                self._lose(now_ns, reason, self.lost_keys)
            case Act.PASS:
                self.passed_ns = now_ns
            case Act.REASON:
                self.reason, self.start_ns = reason, self.start_ns if since_ns is None else since_ns
            case Act.THEN:
                self.reason = f"{self.reason}, then {reason}"
            case Act.END:
                return self._gap(happening.seq, now_ns)
            case Act.END_PASSED:
                return self._gap(happening.seq, self.passed_ns or now_ns)
        return None

    def _lose(self, start_ns: int, reason: str, keys: int) -> None:
        self.start_ns, self.reason, self.lost_keys, self.passed_ns = start_ns, reason, keys, None

    def _gap(self, seq: int | None, end_ns: int | None) -> Gap:
        # A machine's clock may be set back in between; an interval never ends before it starts.
        end_ns = None if end_ns is None else max(self.start_ns, end_ns)
        return Gap(seq, self.conn, self.start_ns, end_ns, self.reason, self.lost_keys)

    def unsettled(self) -> Gap | None:
        """The gap that has no row yet, as a reader of a date that is being recorded sees it."""
        if self.state is State.PASSED:
            return self._gap(None, self.passed_ns)
        return self._gap(None, None) if self.state in LASTING else None

    def abandoned(self) -> Gap | None:
        """The gap that will never end, or never has a row, when nobody works on the date any more."""
        if self.state is State.OPEN:
            return Gap(None, self.conn, self.last_ns, None, DIED, self.keys)
        return self._gap(None, None) if self.state is State.TRYING else self.unsettled()

    def to_state(self) -> list[Any]:
        """Everything as JSON values."""
        return [each.value if isinstance(each, State) else each for each in astuple(self)]

    @classmethod
    def from_state(cls, state: Sequence[Any]) -> Self:
        """The line of `to_state`."""
        conn, last_ns, keys, name, *loss = state
        return cls(conn, last_ns, keys, State(name), *loss)

    @classmethod
    def from_old_state(cls, conn: int, state: Sequence[Any], *, is_open: bool, running_ns: int | None) -> Self:
        """The line as earlier versions wrote it, with two booleans a loss instead of a state.

        `is_open`: it has a websocket; `running_ns`: the last entry of the run that goes on, None after a goodbye.
        """
        keys, last_ns, loss = state
        if loss is None:
            return cls(conn, last_ns, keys, State.OPEN)
        start_ns, reason, lasting, _, lost_keys = [*loss, keys][:5]
        if lasting:
            return cls(conn, last_ns, keys, State.REOPENED if is_open else State.LOST, start_ns, reason, lost_keys)
        waiting = State.PAUSED if running_ns is None else State.PASSED
        return cls(conn, last_ns, keys, waiting, start_ns, reason, lost_keys, running_ns)
