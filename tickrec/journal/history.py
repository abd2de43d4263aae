"""The history of a date: connections, subscriptions and gaps as rows, folded from its journal entries.

Owns when such a row is settled and what it says. A row is settled by one entry and carries that entry's seq, so the
rows of a range of entries are the same whenever and by whom the range was folded. What is not settled yet is an open
row: a connection that lives, a key that has not answered, a gap that lasts. The fold so far is kept in the footer of
every Parquet part, so that the next flush, a restart and a query continue from there.

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
from tickrec.journal.gaps import DIED, Gap, Outages

Row: TypeAlias = tuple[object, ...]
Tables: TypeAlias = dict[str, pa.Table]

NO_CLOSE_FRAME: Final = 1006
"""The close code of a connection that ended without one (RFC 6455, section 7.1.5)."""

_TABLES: Final = {"gaps": schema.GAPS, "connections": schema.CONNECTIONS, "subscriptions": schema.SUBSCRIPTIONS}


@dataclass(slots=True)
class _Asked:
    symbol: str | None
    mode: str
    asked_ns: int | None
    """None: it could not be asked for, as there never was a connection."""


@dataclass(slots=True)
class _Connection:
    """A connection that lives. `silent` are the keys that have not answered."""

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
        self.outages = Outages()
        self._connections: dict[int, _Connection] = {}
        self._unasked: dict[int, dict[str, _Asked]] = {}
        """The keys of connections that the run has tried for in vain."""
        self._rows: dict[str, list[Row]] = defaultdict(list)

    def feed(self, entry: Entry, data: bool = False, answered: Collection[str] = ()) -> None:
        """Take the next entry. Of a message: whether it carried feeds, and which keys it said something about."""
        match entry.kind:
            case EntryKind.MESSAGE:
                self._message(entry, answered)
            case EntryKind.CONNECTED:
                self._end(entry, entry.conn, "connection lost")
                self._unasked.pop(entry.conn, None)
                self._connections[entry.conn] = _Connection(entry.wall_ns, entry.wall_ns)
            case EntryKind.SUBSCRIBED:
                self._subscribed(entry)
            case EntryKind.DISCONNECTED:
                self._disconnected(entry)
            case EntryKind.CLOSED:
                self._end_all(entry, str(entry.facts().get("reason") or "stopped"))
            case EntryKind.NOTE:
                self._note(entry)
        self._rows["gaps"] += map(_gap_row, self.outages.feed(entry, data))

    def skip(self, after: Entry) -> None:
        """The entries in front of `after`, which is not taken itself, are lost."""
        self._rows["gaps"] += map(_gap_row, self.outages.skip(after))

    def silent(self) -> set[str]:
        """Keys that a living connection asked for and that have not answered."""
        return {key for connection in self._connections.values() for key in connection.silent}

    def take(self) -> Tables:
        """The rows settled since the last call, in the order of the entries that settled them."""
        rows, self._rows = self._rows, defaultdict(list)
        return {name: _table(name, rows[name]) for name in _TABLES}

    def open_rows(self) -> Tables:
        """What is not settled, as a reader of a date that may still be recorded sees it; without a seq."""
        connections = [
            (None, conn, us(c.opened_ns), None, None, None, c.messages, c.keys)
            for conn, c in sorted(self._connections.items())
        ]
        return self._open(map(_gap_row, self.outages.lasting()), connections)

    def last_rows(self) -> Tables:
        """What never will be settled because no recorder works on the date any more; without a seq."""
        connections = [
            (None, conn, us(c.opened_ns), us(c.last_ns), NO_CLOSE_FRAME, DIED, c.messages, c.keys)
            for conn, c in sorted(self._connections.items())
        ]
        return self._open(map(_gap_row, self.outages.abandoned()), connections)

    def _open(self, gaps: Iterable[Row], connections: Sequence[Row]) -> Tables:
        silent = [(conn, connection.silent) for conn, connection in self._connections.items()]
        subscriptions = [
            _subscription_row(None, conn, key, asked, None)
            for conn, keys in sorted([*silent, *self._unasked.items()], key=lambda pair: pair[0])
            for key, asked in keys.items()
        ]
        rows: dict[str, Sequence[Row]] = {
            "gaps": list(gaps),
            "connections": connections,
            "subscriptions": subscriptions,
        }
        return {name: _table(name, rows[name]) for name in _TABLES}

    def _message(self, entry: Entry, answered: Collection[str]) -> None:
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
        connection = self._connections.setdefault(entry.conn, _Connection(entry.wall_ns, entry.wall_ns))
        for key, symbol in facts["keys"]:
            if symbol is not None:
                self.symbols[key] = symbol
            again = connection.silent.get(key)
            if again is None:
                connection.keys += 1
                connection.silent[key] = _Asked(symbol, facts["mode"], entry.wall_ns)
            else:  # the broker serves the mode asked for last
                again.mode = facts["mode"]

    def _note(self, entry: Entry) -> None:
        facts = entry.facts()
        match facts.get("event"):
            case "start":
                self._end_all(entry, DIED, at_last_message=True)
            case "attempt" if "keys" in facts:
                wanted = {key: _Asked(symbol, mode, None) for key, symbol, mode in facts["keys"]}
                self._unasked[entry.conn] = wanted

    def _disconnected(self, entry: Entry) -> None:
        facts = entry.facts()
        self._end(entry, entry.conn, str(facts.get("reason") or "connection lost"), facts.get("code"))

    def _end_all(self, entry: Entry, reason: str, *, at_last_message: bool = False) -> None:
        for conn in sorted(self._connections):
            self._end(entry, conn, reason, at_last_message=at_last_message)
        for conn, keys in sorted(self._unasked.items()):
            self._settle_silent(entry, conn, keys)
        self._unasked.clear()

    def _end(
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

    def to_text(self) -> str:
        """The fold so far, without the rows settled since `take`, as ASCII text."""
        connections = {conn: _connection_state(connection) for conn, connection in self._connections.items()}
        unasked = {conn: _asked_state(keys) for conn, keys in self._unasked.items()}
        state = {"symbols": self.symbols, "outages": self.outages.to_state(), "connections": connections}
        state |= {"unasked": unasked} if unasked else {}
        packed = zlib.compress(json.dumps(state, separators=(",", ":"), ensure_ascii=False).encode())
        return base64.b64encode(packed).decode("ascii")

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The fold continued from `to_text`; from the start of a date for an empty text."""
        ledger = cls()
        if text:
            state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(text)))
            ledger.symbols = state["symbols"]
            ledger.outages = Outages.from_state(state["outages"])
            for conn, (opened, last, messages, keys, silent) in state["connections"].items():
                ledger._connections[int(conn)] = _Connection(opened, last, messages, keys, _asked(silent))
            ledger._unasked = {int(conn): _asked(keys) for conn, keys in state.get("unasked", {}).items()}
        return ledger


def _connection_state(connection: _Connection) -> list[Any]:
    silent = _asked_state(connection.silent)
    return [connection.opened_ns, connection.last_ns, connection.messages, connection.keys, silent]


def _asked_state(keys: dict[str, _Asked]) -> dict[str, list[Any]]:
    return {key: [asked.symbol, asked.mode, asked.asked_ns] for key, asked in keys.items()}


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
    return seq, conn, key, asked.symbol, asked.mode, *times


def _table(name: str, rows: Sequence[Row]) -> pa.Table:
    fields = _TABLES[name]
    columns = zip(*rows, strict=True) if rows else [()] * len(fields)
    return pa.Table.from_arrays(
        [pa.array(column, kind) for column, kind in zip(columns, fields.types, strict=True)], schema=fields
    )
