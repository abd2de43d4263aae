"""Intervals not recorded, computed from journal entries.

Owns the rule of what a gap is: from the last message of a connection to the first data after it is back, within one
date. What could not be recorded from the first attempt to connect on is a gap too; the time before that attempt, and
after a run that ended with a goodbye and was never followed by another, is none. Does not know the calendar, nor what
a payload means: whoever feeds it says whether a message carried data.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tickrec.journal.entry import Entry, EntryKind

DIED: Final = "the recorder died"
"""Reason of a gap, and end of a connection, when a run left no goodbye."""
MIDNIGHT: Final = "midnight"
"""Reason of the goodbye to a date that a run leaves behind; what lasts then goes on in the next."""
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


@dataclass(slots=True)
class _Loss:
    start_ns: int
    reason: str
    lasting: bool
    """False between a goodbye and the next attempt: nobody is trying to record, so it may never become a gap."""
    tried: bool
    """An attempt to connect followed the loss."""
    keys: int


@dataclass(slots=True)
class _Line:
    """One connection number over a date."""

    keys: int
    last_ns: int
    loss: _Loss | None = None

    def lose(self, reason: str, *, lasting: bool) -> None:
        """Have lost the connection with its last message."""
        self.loss = _Loss(self.last_ns, reason, lasting, False, self.keys)


@dataclass(slots=True)
class Outages:
    """Fold over the entries of one date, in order: settled gaps come out of `feed`, lasting ones are in `lasting`.

    A run that starts while the one before has not said goodbye means that the recorder died in between.
    """

    settled: int = 0
    """Gaps that have ended so far."""
    _running: bool = False
    _last_seq: int = 0
    _last_ns: int = 0
    _lines: dict[int, _Line] = field(default_factory=dict)

    def feed(self, entry: Entry, data: bool = False) -> list[Gap]:
        """Take the next entry; `data` says whether a message carried feeds. Returns the gaps that it ended."""
        line = self._lines.get(entry.conn)
        if (
            entry.kind is EntryKind.MESSAGE
            and line is not None
            and line.loss is None
            and entry.seq == self._last_seq + 1
        ):
            line.last_ns = self._last_ns = entry.wall_ns  # nearly every entry
            self._last_seq = entry.seq
            return []
        gaps = self._hole(entry)
        match entry.kind:
            case EntryKind.MESSAGE:
                gaps += self._message(entry, data)
            case EntryKind.CONNECTED:
                self._connected(entry)
            case EntryKind.DISCONNECTED:
                self._lost(entry)
            case EntryKind.CLOSED:
                gaps += self._closed(entry)
            case EntryKind.NOTE:
                self._note(entry)
            case EntryKind.SUBSCRIBED:
                pass
        self.settled += len(gaps)
        self._last_seq, self._last_ns = entry.seq, entry.wall_ns
        return gaps

    def skip(self, after: Entry) -> list[Gap]:
        """The entries in front of `after`, which is not taken itself, are lost. Returns the gap that they leave."""
        gaps = [gap._replace(seq=after.seq - 1) for gap in self._hole(after)]
        self.settled += len(gaps)
        self._last_seq = after.seq - 1
        return gaps

    @property
    def over(self) -> bool:
        """Whether the last run has said goodbye."""
        return not self._running

    def lasting(self) -> list[Gap]:
        """Gaps that have not ended, as a reader of a date that is being recorded sees them."""
        return [
            Gap(None, conn, line.loss.start_ns, None, line.loss.reason, line.loss.keys)
            for conn, line in sorted(self._lines.items())
            if line.loss is not None and line.loss.lasting
        ]

    def abandoned(self) -> list[Gap]:
        """Gaps that will never end because no recorder works on the date any more; for a date that is sealed."""
        died = [
            Gap(None, conn, line.last_ns, None, DIED, line.keys)
            for conn, line in self._lines.items()
            if self._running and line.loss is None
        ]
        return sorted(self.lasting() + died, key=lambda gap: gap.conn)

    def _hole(self, entry: Entry) -> list[Gap]:
        """Entries that the journal once had and lost to damage."""
        if not self._last_seq or entry.seq == self._last_seq + 1:
            return []
        reason = f"journal damaged: entries {self._last_seq + 1} to {entry.seq - 1} are lost"
        keys = sum(line.keys for line in self._lines.values())
        return [_ended(entry, 0, self._last_ns, reason, keys)]

    def _message(self, entry: Entry, data: bool) -> list[Gap]:
        line = self._lines.get(entry.conn)
        if line is None:
            line = self._lines[entry.conn] = _Line(0, entry.wall_ns)
        line.last_ns = entry.wall_ns
        if line.loss is None or not data:
            return []
        loss, line.loss = line.loss, None
        return [_ended(entry, entry.conn, loss.start_ns, loss.reason, loss.keys)]

    def _connected(self, entry: Entry) -> None:
        keys = entry.facts().get("keys", 0)
        count = keys if isinstance(keys, int) else len(keys)
        line = self._lines.get(entry.conn)
        if line is None:
            self._lines[entry.conn] = _Line(count, entry.wall_ns)
            return
        if line.loss is None:
            line.lose("connection lost", lasting=True)
        line.keys = count
        if line.loss is not None:
            line.loss.lasting = line.loss.tried = True

    def _lost(self, entry: Entry) -> None:
        line = self._lines.get(entry.conn)
        if line is not None and line.loss is None:
            reason = str(entry.facts().get("reason") or "connection lost")
            line.lose(reason, lasting=True)

    def _closed(self, entry: Entry) -> list[Gap]:
        """A goodbye: what was being waited for ends here, and what follows is a gap only if another run comes."""
        self._running = False
        reason = str(entry.facts().get("reason") or STOPPED)
        gaps = []
        for conn, line in sorted(self._lines.items()):
            loss = line.loss
            if loss is None:
                line.lose(reason, lasting=False)
            elif loss.lasting and (loss.tried or reason == MIDNIGHT):
                gaps.append(_ended(entry, conn, loss.start_ns, loss.reason, loss.keys))
                line.loss = _Loss(entry.wall_ns, reason, False, False, loss.keys)
            else:
                loss.lasting = False
        return gaps

    def _note(self, entry: Entry) -> None:
        facts = entry.facts()
        match facts.get("event"):
            case "start":
                self._started()
            case "lost" | "attempt":
                self._failed(entry, facts)

    def _failed(self, entry: Entry, facts: dict[str, Any]) -> None:
        """A connection is being tried for in vain, from before its first or since it was lost."""
        line = self._lines.get(entry.conn)
        if line is None and "keys" in facts:
            keys, since_ns = facts["keys"], int(facts.get("since_ns", entry.wall_ns))
            count = keys if isinstance(keys, int) else len(keys)
            loss = _Loss(since_ns, str(facts["reason"]), True, True, count)
            self._lines[entry.conn] = _Line(count, since_ns, loss)
        elif line is not None and line.loss is not None:
            if (
                not line.loss.lasting and facts["reason"] not in line.loss.reason
            ):  # why this run cannot go on from there
                line.loss.reason += f", then {facts['reason']}"
            line.loss.lasting = line.loss.tried = True

    def _started(self) -> None:
        for line in self._lines.values():
            if line.loss is None and self._running:
                line.lose(DIED, lasting=False)
            elif line.loss is not None:  # the new run may have no such connection
                line.loss.lasting = line.loss.tried = False
        self._running = True

    def to_state(self) -> dict[str, Any]:
        """The fold so far as JSON values."""
        lines = {
            str(conn): [
                line.keys,
                line.last_ns,
                line.loss and list(dataclasses.astuple(line.loss)),
            ]
            for conn, line in self._lines.items()
        }
        return {
            "settled": self.settled,
            "running": self._running,
            "last": [self._last_seq, self._last_ns],
            "lines": lines,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Outages":
        """The fold continued from `to_state`."""
        lines = {
            int(conn): _Line(keys, last_ns, _Loss(*[*loss, keys][:5]) if loss else None)
            for conn, (keys, last_ns, loss) in state["lines"].items()
        }
        last_seq, last_ns = state["last"]
        return cls(state["settled"], state["running"], last_seq, last_ns, lines)


def _ended(entry: Entry, conn: int, start_ns: int, reason: str, keys: int) -> Gap:
    # A machine's clock may be set back in between; an interval never ends before it starts.
    return Gap(entry.seq, conn, start_ns, max(start_ns, entry.wall_ns), reason, keys)
