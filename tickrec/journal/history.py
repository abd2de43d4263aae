"""The history of a date: connections, subscriptions, gaps and sessions as rows, folded from its journal entries.

Owns when such a row is settled and what it says; when a gap begins and ends is in `gaps`. A row is settled by one entry
and carries that entry's seq, so the rows of a range of entries are the same whenever and by whom the range was folded.
What is not settled yet is an open row: a connection that lives, a key that has not answered, a gap that lasts. The fold
so far is kept in the footer of every Parquet part, so that the next flush, a restart and a query continue from there.

Does not know what a payload means: whoever feeds it says which keys a message answered.
"""

import base64
import json
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeAlias

import pyarrow as pa

from tickrec import schema
from tickrec.journal.entry import Entry, EntryKind
from tickrec.journal.gaps import DIED, SOUGHT, STOPPED, Event, Gap, Happening, Line, State

Row: TypeAlias = tuple[object, ...]
Tables: TypeAlias = dict[str, pa.Table]

NO_CLOSE_FRAME: Final = 1006
"""The close code of a connection that ended without one (RFC 6455, section 7.1.5)."""
CONNECTION_LOST: Final = "connection lost"
"""Reason where the entry that would tell it is lost, or gives none."""

_MESSAGE: Final = EntryKind.MESSAGE
_OPEN: Final = State.OPEN
_NAMES: Final = ("gaps", "connections", "subscriptions", "sessions")
_TABLES: Final = {name: schema.SMALL_TABLES[name] for name in _NAMES}


@dataclass(slots=True)
class _Asked:
    symbol: str | None
    mode: str
    asked_ns: int | None
    """None: it could not be asked for, as there never was a connection."""
    followed: bool = False


@dataclass(slots=True)
class _Connection:
    """A websocket that is open. `silent` are the keys that have not answered."""

    opened_ns: int
    last_ns: int
    messages: int = 0
    keys: int = 0
    silent: dict[str, _Asked] = field(default_factory=dict)


class History:
    """Fold over the entries of one date, from seq 1 on and in order."""

    def __init__(self) -> None:
        self.symbols: dict[str, str] = {}
        """Trading symbol of every key asked for so far."""
        self.followed: set[str] = set()
        """The keys that were asked for because the money moved."""
        self._last_seq = 0
        self._last_ns = 0
        self._lines: dict[int, Line] = {}
        self._connections: dict[int, _Connection] = {}
        self._unasked: dict[int, dict[str, _Asked]] = {}
        """The keys of connections that the run has not opened yet, or that were added and have not been asked for."""
        self._rows: dict[str, list[Row]] = defaultdict(list)

    def feed(self, entry: Entry, data: bool = False, answered: Collection[str] = ()) -> Sequence[Gap]:
        """Take the next entry; returns the gaps that it ended.

        Of a message: whether it carried feeds, and which keys it said something about.
        """
        kind, conn, wall_ns, *_, seq = entry
        if kind is _MESSAGE and seq == self._last_seq + 1:
            line = self._lines.get(conn)
            if line is not None and line.state is _OPEN:  # nearly every entry, and nothing can happen with it
                self._last_seq = seq
                self._last_ns = line.last_ns = wall_ns
                self._heard(entry, answered)
                return ()
        gaps = [*self._hole(entry), *self._take(entry, data, answered)]
        self._rows["gaps"] += map(_gap_row, gaps)
        self._last_seq, self._last_ns = seq, wall_ns
        return gaps

    def skip(self, after: Entry) -> None:
        """The entries in front of `after`, which is not taken itself, are lost."""
        self._rows["gaps"] += [_gap_row(gap._replace(seq=after.seq - 1)) for gap in self._hole(after)]
        self._last_seq = after.seq - 1

    def lasting(self) -> list[Gap]:
        """Gaps without a row so far, as a reader of a date that is being recorded sees them.

        Those of connections that the present run does not have any more have an end, all others have none.
        """
        return _sorted(line.unsettled() for line in self._lines.values())

    def sought(self) -> dict[int, str]:
        """The connections whose data the run waits for, and why it has none."""
        return {conn: line.reason for conn, line in self._lines.items() if line.state in SOUGHT}

    def silent(self) -> set[str]:
        """Keys that a living connection asked for and that have not answered."""
        return {key for connection in self._connections.values() for key in connection.silent}

    def take(self) -> Tables:
        """The rows settled since the last call, in the order of the entries that settled them."""
        rows, self._rows = self._rows, defaultdict(list)
        return {name: _table(name, rows[name]) for name in _TABLES}

    def drop_rows(self) -> None:
        """Forget the rows settled since the last call, as a caller that looks at gaps only."""
        self._rows.clear()

    def open_rows(self) -> Tables:
        """What is not settled, as a reader of a date that may still be recorded sees it; without a seq."""
        connections = [
            (None, conn, us(c.opened_ns), None, None, None, c.messages, c.keys)
            for conn, c in sorted(self._connections.items())
        ]
        return self._open(self.lasting(), connections)

    def last_rows(self) -> Tables:
        """What never will be settled because no recorder works on the date any more; without a seq."""
        connections = [
            (None, conn, us(c.opened_ns), us(c.last_ns), NO_CLOSE_FRAME, DIED, c.messages, c.keys)
            for conn, c in sorted(self._connections.items())
        ]
        return self._open(_sorted(line.abandoned() for line in self._lines.values()), connections)

    def _open(self, gaps: Iterable[Gap], connections: Sequence[Row]) -> Tables:
        silent = [(conn, connection.silent) for conn, connection in self._connections.items()]
        subscriptions = [
            _subscription_row(None, conn, key, asked, None)
            for conn, keys in sorted([*silent, *self._unasked.items()], key=lambda pair: pair[0])
            for key, asked in keys.items()
        ]
        rows = {"gaps": [*map(_gap_row, gaps)], "connections": connections, "subscriptions": subscriptions}
        return {name: _table(name, rows.get(name, ())) for name in _TABLES}

    # What entries mean

    def _take(self, entry: Entry, data: bool, answered: Collection[str]) -> list[Gap]:
        match entry.kind:
            case EntryKind.MESSAGE:
                self._heard(entry, answered)
                return self._happened(entry, Event.DATA if data else Event.INFO)
            case EntryKind.CONNECTED:
                self._settle(entry, entry.conn, CONNECTION_LOST)
                self._unasked.pop(entry.conn, None)
                self._connections[entry.conn] = _Connection(entry.wall_ns, entry.wall_ns)
                keys = _count(entry.facts().get("keys", 0))
                return self._happened(entry, Event.OPENED, reason=CONNECTION_LOST, keys=keys)
            case EntryKind.SUBSCRIBED:
                self._subscribed(entry)
            case EntryKind.DISCONNECTED:
                return self._disconnected(entry)
            case EntryKind.CLOSED:
                reason = str(entry.facts().get("reason") or STOPPED)
                self._settle_all(entry, reason)
                return self._happened_to_all(entry, Event.GOODBYE, reason)
            case EntryKind.NOTE:
                return self._note(entry)
        return []

    def _note(self, entry: Entry) -> list[Gap]:
        facts = entry.facts()
        keys = facts.get("keys")
        if isinstance(keys, list) and facts["event"] in ("wanted", "added", "attempt", "lost"):
            followed = facts.get("followed", ())
            named = {key: _Asked(symbol, mode, None, key in followed) for key, symbol, mode in keys}
            added = facts["event"] == "added"
            self._unasked[entry.conn] = (self._unasked.get(entry.conn, {}) if added else {}) | named
        match facts.get("event"):
            case "start":
                self._settle_all(entry, DIED, at_last_message=True)
                return self._happened_to_all(entry, Event.START, DIED)
            case "wanted":
                return self._happened(entry, Event.WANTED, reason=CONNECTION_LOST, keys=_count(facts["keys"]))
            case "attempt" | "lost" if keys is not None or entry.conn in self._lines:
                told = {"reason": str(facts["reason"]), "since_ns": facts.get("since_ns")}
                return self._happened(entry, Event.FAILED, **told, keys=None if keys is None else _count(keys))
            case "sessions":
                self._rows["sessions"] += [
                    (entry.seq, segment, us(start_ns), us(end_ns), source)
                    for segment, start_ns, end_ns, source in facts["sessions"]
                ]
            case "missed":
                gap = Gap(entry.seq, entry.conn, facts["since_ns"], facts["until_ns"], facts["reason"], facts["keys"])
                return [gap]
        return []

    def _disconnected(self, entry: Entry) -> list[Gap]:
        facts = entry.facts()
        reason = str(facts.get("reason") or CONNECTION_LOST)
        self._settle(entry, entry.conn, reason, facts.get("code"))
        left = facts.get("stopped", reason == STOPPED)  # journals of earlier versions have only the reason
        return self._happened(
            entry, Event.LEFT if left else Event.DROPPED, reason=reason, since_ns=facts.get("since_ns")
        )

    def _happened(self, entry: Entry, event: Event, **facts: Any) -> list[Gap]:
        line = self._lines.get(entry.conn)
        if line is None:
            line = self._lines[entry.conn] = Line(entry.conn, entry.wall_ns)
        return line.take(Happening(event, entry.seq, entry.wall_ns, **facts))

    def _happened_to_all(self, entry: Entry, event: Event, reason: str) -> list[Gap]:
        happening = Happening(event, entry.seq, entry.wall_ns, reason)
        return [gap for _, line in sorted(self._lines.items()) for gap in line.take(happening)]

    def _hole(self, entry: Entry) -> list[Gap]:
        """Entries that the journal once had and lost to damage."""
        if not self._last_seq or entry.seq == self._last_seq + 1:
            return []
        reason = f"journal damaged: entries {self._last_seq + 1} to {entry.seq - 1} are lost"
        keys = sum(line.keys for line in self._lines.values())
        return [Gap(entry.seq, 0, self._last_ns, max(self._last_ns, entry.wall_ns), reason, keys)]

    def _heard(self, entry: Entry, answered: Collection[str]) -> None:
        connection = self._connections.get(entry.conn)
        if connection is None:
            return
        connection.messages += 1
        connection.last_ns = entry.wall_ns
        if answered and connection.silent:
            for key in sorted(connection.silent.keys() & set(answered)):
                asked = connection.silent.pop(key)
                self._rows["subscriptions"].append(_subscription_row(entry.seq, entry.conn, key, asked, entry.wall_ns))

    def _subscribed(self, entry: Entry) -> None:
        facts = entry.facts()
        followed = facts.get("followed", ())
        self.followed.update(followed)
        connection = self._connections.setdefault(entry.conn, _Connection(entry.wall_ns, entry.wall_ns))
        for key, symbol in facts["keys"]:
            if symbol is not None:
                self.symbols[key] = symbol
            self._unasked.get(entry.conn, {}).pop(key, None)
            again = connection.silent.get(key)
            if again is None:
                connection.keys += 1
                connection.silent[key] = _Asked(symbol, facts["mode"], entry.wall_ns, key in followed)
            else:  # the broker serves the mode asked for last
                again.mode = facts["mode"]
        if (line := self._lines.get(entry.conn)) is not None:
            line.keys = max(line.keys, connection.keys)  # instruments may be added to a connection that is open

    # Rows

    def _settle_all(self, entry: Entry, reason: str, *, at_last_message: bool = False) -> None:
        for conn in sorted(self._connections):
            self._settle(entry, conn, reason, at_last_message=at_last_message)
        for conn, keys in sorted(self._unasked.items()):
            self._settle_silent(entry, conn, keys)
        self._unasked.clear()

    def _settle(
        self, entry: Entry, conn: int, reason: str, code: int | None = None, *, at_last_message: bool = False
    ) -> None:
        """Settle a connection and the keys that never answered on it."""
        connection = self._connections.pop(conn, None)
        if connection is None:
            return
        closed = us(connection.last_ns if at_last_message else entry.wall_ns)
        code = NO_CLOSE_FRAME if code is None else code
        row = (entry.seq, conn, us(connection.opened_ns), closed, code, reason, connection.messages, connection.keys)
        self._rows["connections"].append(row)
        self._settle_silent(entry, conn, connection.silent)

    def _settle_silent(self, entry: Entry, conn: int, silent: dict[str, _Asked]) -> None:
        self._rows["subscriptions"] += [
            _subscription_row(entry.seq, conn, key, asked, None) for key, asked in silent.items()
        ]

    # The fold as text

    def to_text(self) -> str:
        """The fold so far, without the rows settled since `take`, as ASCII text."""
        connections = {conn: _connection_state(connection) for conn, connection in self._connections.items()}
        unasked = {conn: _asked_state(keys) for conn, keys in self._unasked.items()}
        lines = [line.to_state() for line in self._lines.values()]
        state = {"symbols": self.symbols, "last": [self._last_seq, self._last_ns], "lines": lines}
        state |= {"connections": connections, "unasked": unasked, "followed": sorted(self.followed)}
        packed = zlib.compress(json.dumps(state, separators=(",", ":"), ensure_ascii=False).encode())
        return base64.b64encode(packed).decode("ascii")

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The fold continued from `to_text`, of this version or an earlier one; an empty text begins a date."""
        history = cls()
        if text:
            state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(text)))
            history.symbols, history.followed = state["symbols"], set(state.get("followed", ()))
            for conn, (opened, last, messages, keys, silent) in state["connections"].items():
                history._connections[int(conn)] = _Connection(opened, last, messages, keys, _asked(silent))
            history._unasked = {int(conn): _asked(keys) for conn, keys in state.get("unasked", {}).items()}
            if "outages" in state:
                lines, last = _old_lines(state["outages"], history._connections), state["outages"]["last"]
            else:
                lines, last = [Line.from_state(facts) for facts in state["lines"]], state["last"]
            history._lines = {line.conn: line for line in lines}
            history._last_seq, history._last_ns = last
        return history


def _old_lines(state: dict[str, Any], connections: Collection[int]) -> list[Line]:
    """The lines of a fold as earlier versions wrote it."""
    running_ns = state["last"][1] if state["running"] else None
    return [
        Line.from_old_state(int(conn), facts, is_open=int(conn) in connections, running_ns=running_ns)
        for conn, facts in state["lines"].items()
    ]


def _sorted(gaps: Iterable[Gap | None]) -> list[Gap]:
    return sorted((gap for gap in gaps if gap is not None), key=lambda gap: gap.conn)


def _count(keys: int | Sequence[object]) -> int:
    """How many instruments an entry tells of: it has their number, or names them."""
    return keys if isinstance(keys, int) else len(keys)


def _connection_state(connection: _Connection) -> list[Any]:
    silent = _asked_state(connection.silent)
    return [connection.opened_ns, connection.last_ns, connection.messages, connection.keys, silent]


def _asked_state(keys: dict[str, _Asked]) -> dict[str, list[Any]]:
    return {key: [asked.symbol, asked.mode, asked.asked_ns, asked.followed] for key, asked in keys.items()}


def _asked(state: dict[str, list[Any]]) -> dict[str, _Asked]:
    return {key: _Asked(*facts) for key, facts in state.items()}


def us(wall_ns: int) -> int:
    """Nanoseconds since the epoch to the microseconds of the tables."""
    return wall_ns // 1000


def _gap_row(gap: Gap) -> Row:
    end = None if gap.end_ns is None else us(gap.end_ns)
    return gap.seq, gap.conn, us(gap.start_ns), end, gap.reason, gap.keys


def _subscription_row(seq: int | None, conn: int, key: str, asked: _Asked, answered_ns: int | None) -> Row:
    times = (None if ns is None else us(ns) for ns in (asked.asked_ns, answered_ns))
    return seq, conn, key, asked.symbol, asked.mode, *times, asked.followed


def _table(name: str, rows: Sequence[Row]) -> pa.Table:
    fields = _TABLES[name]
    columns = zip(*rows, strict=True) if rows else [()] * len(fields)
    return pa.Table.from_arrays(
        [pa.array(column, kind) for column, kind in zip(columns, fields.types, strict=True)], schema=fields
    )
