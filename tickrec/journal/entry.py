"""Entry: one thing that happened on a connection, as the feed yields it and the journal stores it."""

import json
from enum import IntEnum
from typing import Any, NamedTuple


class EntryKind(IntEnum):
    """What an entry says. The numbers are part of the journal format and never change."""

    MESSAGE = 1
    """A message from the broker; the payload is exactly what arrived."""
    CONNECTED = 2
    """A websocket was opened: {"host", "attempt", "keys"}."""
    SUBSCRIBED = 3
    """Keys were asked for: {"mode", "keys": [[instrument_key, symbol], ...]}, one entry a request, and "followed":
    [key, ...], those of them that were asked for because the money moved, if there are any."""
    DISCONNECTED = 4
    """A websocket ended: {"code", "reason", "since_ns", "stopped"}: since when data is missing, and whether the run
    wanted that end and left nothing behind. Journals of earlier versions have the first two."""
    CLOSED = 5
    """The run ended with a goodbye: {"reason"}. Connection 0."""
    NOTE = 6
    """Anything else worth keeping: {"event", ...}.

    "start" begins a run. "wanted": {"keys": [[instrument_key, symbol, mode], ...]} of a connection that the run has,
    before its first attempt, "added": {"keys"} in the same way of what it wants besides from here on, both with
    "followed" as above. "silent": {"keys"} without an answer. "again": {"keys"} that had stopped ticking and were
    asked for once more. "attempt": {"reason", "retry_s"} of one to connect that failed; in journals of earlier
    versions the first of a run has {"since_ns", "keys"} too. "lost": {"reason"} of a connection that is not recorded
    since "since_ns", or since the entry itself, with its "keys" if it was not wanted before. "missed": {"reason",
    "since_ns", "until_ns", "keys"} of data that turned out to be missing after the date had been left; here the keys
    are a number. "sessions": {"sessions": [[segment, start_ns, end_ns, source], ...]}: the sessions of the date that
    the run goes by from here on, those of all its segments; connection 0.
    """


class Entry(NamedTuple):
    """One journal entry.

    `seq` is 0 until the journal numbers it. `conn` counts from 1; 0 is the run itself. `wall_ns` and `mono_ns` were
    read when the message was taken from the socket. Payloads of every kind but MESSAGE are UTF-8 JSON objects.
    """

    kind: EntryKind
    conn: int
    wall_ns: int
    mono_ns: int
    payload: bytes
    text: bool = False
    """The message was a text frame; the broker's data messages are binary."""
    seq: int = 0

    def facts(self) -> dict[str, Any]:
        """The JSON payload of an entry that is not a message."""
        facts: dict[str, Any] = json.loads(self.payload)
        return facts


def encode_facts(**facts: object) -> bytes:
    """The payload of an entry that is not a message."""
    return json.dumps(facts, separators=(",", ":"), ensure_ascii=False).encode()
