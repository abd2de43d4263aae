"""A run as its files show it: a clock moved by hand, messages with feeds, and a recorder's lock, journal and status."""

import datetime as dt
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.clocks import HandClock
from tickrec.clock import SECOND
from tickrec.files import Lock
from tickrec.journal import JournalWriter
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.status import status
from tickrec.status.runstatus import CONNECTED, RECORDING, STOPPED, ConnectionStatus, RunStatus
from tickrec.store.paths import Store
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb

DATE = dt.date(2026, 11, 23)
NOW = 1_795_407_067 * SECOND
"""2026-11-23 09:41:07 IST."""
START = NOW - 1567 * SECOND
"""26m 07s before."""


def connection(conn: int = 1, **facts: Any) -> ConnectionStatus:
    """A connection that works."""
    usual: dict[str, Any] = {
        "conn": conn,
        "state": CONNECTED,
        "keys": 220,
        "answered": 220,
        "frames": 6402,
        "ticks": 962_747,
        "since_ns": START,
        "message_rate": 4.1,
        "rate": 612.0,
        "last_message_ns": NOW - SECOND // 5,
    }
    return ConnectionStatus(**usual | facts)


def run_status(**facts: Any) -> RunStatus:
    """A recording that is well."""
    usual: dict[str, Any] = {
        "state": RECORDING,
        "pid": 4121,
        "date": str(DATE),
        "started_ns": START,
        "written_ns": NOW,
        "frames": 6402,
        "ticks": 962_747,
        "bytes": 118_000_000,
        "rate": 612.0,
        "message_rate": 4.1,
        "last_message_ns": NOW - SECOND // 5,
        "expects_data": True,
        "durable_ns": NOW - 3 * SECOND // 10,
        "journal_bytes": 118_000_000,
        "byte_rate": 5_000.0,
        "parquet_ticks": 941_207,
        "parquet_ns": NOW - 55 * SECOND,
        "unflushed_ticks": 21_540,
        "duckdb_lag_ticks": 21_540,
        "connections": (connection(),),
        "wanted": 220,
        "answered": 220,
        "disk_free_bytes": 61_000_000_000,
        "min_free_bytes": 2_000_000_000,
        "day_bytes": 2_500_000_000,
        "token_expires_ns": NOW + 64_133 * SECOND,
        "session": "NSE open until 15:30, F&O until 15:40",
        "stop_ns": NOW + 21_833 * SECOND,
    }
    return RunStatus(**usual | facts)


def feeds(prices: Mapping[str, float], ltt_ms: int = 1) -> bytes:
    """A message with a feed of each key."""
    message = pb.FeedResponse(type=1)  # live_feed
    for key, price in prices.items():
        ltpc = message.feeds[key].ltpc
        ltpc.ltp, ltpc.cp, ltpc.ltt = price, 100.0, ltt_ms
    payload: bytes = message.SerializeToString()
    return payload


class Recording:
    """What a recorder does to the files of a store, step by step."""

    def __init__(self, store: Store, clock: HandClock, *, next_seq: int = 1) -> None:
        self.store = store
        self.clock = clock
        self.lock = Lock(store.record_lock)
        self.lock.acquire({"since_ns": clock.wall_ns()})
        self.journal = JournalWriter(
            store.journal(DATE), source="upstox.v3", next_seq=next_seq, start_ns=clock.wall_ns()
        )
        self.run = run_status(
            pid=os.getpid(),
            started_ns=clock.wall_ns(),
            frames=0,
            ticks=0,
            bytes=0,
            unflushed_ticks=0,
            connections=(connection(frames=0, ticks=0),),
        )

    def append(self, kind: EntryKind, payload: bytes, conn: int = 1) -> None:
        """Journal an entry now."""
        now_ns = self.clock.wall_ns()
        self.journal.append(Entry(kind, conn, now_ns, now_ns, payload))

    def receive(self, prices: Mapping[str, float]) -> None:
        """Journal a message now."""
        self.append(EntryKind.MESSAGE, feeds(prices, self.clock.wall_ns() // 1_000_000))

    def say(self, **facts: Any) -> None:
        """Write the status file."""
        position = tuple(self.journal.position)
        said = {"written_ns": self.clock.wall_ns(), "position": position, **facts}
        self.run = replace(self.run, **said)
        status.write(self.store.status_path, self.run)

    def die(self) -> None:
        """Leave the files as `kill -9` does."""
        self.lock.release()
        self.journal.close()

    def stop(self, reason: str = "", exit_code: int = 0) -> None:
        """End with a goodbye."""
        self.append(EntryKind.CLOSED, encode_facts(reason="stopped"), conn=0)
        self.say(state=STOPPED, reason=reason, exit_code=exit_code)
        self.die()
