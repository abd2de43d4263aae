"""kill -9 at random moments of real recordings: nothing is lost, nothing comes twice, and the gap is named."""

import json
import os
import random
from itertools import groupby
from pathlib import Path

from tests.processes import called, folder_bytes, running, simulated_broker, tickrec, wait_for
from tickrec.clock import SECOND, SystemClock
from tickrec.journal import Journal
from tickrec.journal.entry import Entry, EntryKind
from tickrec.journal.gaps import DIED
from tickrec.store.paths import Store
from tickrec.upstox.decode.peek import count_feeds

KILLS = int(os.environ.get("TICKREC_KILLS", "2"))
SEED = int(os.environ.get("TICKREC_SEED", "20261122"))
GRACE_NS = SECOND // 10
"""What was received less than this before a kill may be lost."""


def test_killed_recordings_lose_nothing(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    print(f"{KILLS} kills, seed {SEED}")
    killed = []
    with simulated_broker(tmp_path, rate=4000.0, interval=0.02, seed=SEED) as config:
        with config.open("a") as file:
            file.write('[record]\nflush_interval = "1s"\n')
        store = Store(tmp_path / "data")
        for _ in range(KILLS):
            killed.append(record_and_kill(tmp_path, store, chance.uniform(0, 2e6)))
            nothing_twice_none_missing(tmp_path, store)
        tickrec("record", "--now", "--no-live", "--symbols", "fno", "--for", "1s", folder=tmp_path)
        nothing_twice_none_missing(tmp_path, store)
    date = store.dates()[0]
    runs, sent = recorded_runs(store), sent_connections(tmp_path / "sent")
    assert len(runs) == len(sent) == KILLS + 1
    for run, connection, killed_ns in zip(runs, sent, [*killed, 0], strict=True):
        assert [entry.payload for entry in run] == [entry.payload for entry in connection[: len(run)]]
        assert len(run) >= sum(entry.wall_ns < killed_ns - GRACE_NS for entry in connection)
    reasons = query(tmp_path, "SELECT reason FROM gaps ORDER BY seq")
    assert reasons == [{"reason": DIED}] * KILLS
    tickrec("verify", date, folder=tmp_path)


def record_and_kill(folder: Path, store: Store, more_bytes: float) -> int:
    """Record until so much more is journalled after the first answers, and kill; when that was."""
    before = sum(folder_bytes(store.journal(date)) for date in store.dates())
    with running("record", "--now", "--no-live", "--symbols", "fno", folder=folder) as process:
        wait_for(
            lambda: (
                process.poll() is not None
                or sum(folder_bytes(store.journal(date)) for date in store.dates()) > before + 200_000 + more_bytes
            ),
            "enough is journalled",
        )
        assert process.poll() is None, process.stderr and process.stderr.read()
        killed_ns = SystemClock.wall_ns()
        process.kill()
        process.wait()
    return killed_ns


def nothing_twice_none_missing(folder: Path, store: Store) -> None:
    """What a query sees is what the journal holds."""
    (row,) = query(
        folder, "SELECT count(*) AS n, count(DISTINCT (seq, instrument_key)) AS d, max(seq) AS last FROM ticks"
    )
    entries = [entry for date in store.dates() for entry in Journal(store.journal(date)).entries()]
    ticks = [entry for entry in entries if entry.kind is EntryKind.MESSAGE]
    counts = [count_feeds(entry.payload) for entry in ticks]
    assert row["n"] == row["d"] == sum(counts)
    assert row["last"] == max(entry.seq for entry, count in zip(ticks, counts, strict=True) if count)
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))


def query(folder: Path, sql: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(called("query", sql, "--format", "json", folder=folder).stdout)
    return rows


def recorded_runs(store: Store) -> list[list[Entry]]:
    """The messages of each run."""
    runs: list[list[Entry]] = []
    for date in store.dates():
        for entry in Journal(store.journal(date)).entries():
            if entry.kind is EntryKind.NOTE and entry.facts().get("event") == "start":
                runs.append([])
            elif entry.kind is EntryKind.MESSAGE:
                runs[-1].append(entry)
    return runs


def sent_connections(folder: Path) -> list[list[Entry]]:
    """The messages that the broker sent on each websocket, in the order these were opened."""
    sent = [entry for entry in Journal(folder).entries() if entry.kind is EntryKind.MESSAGE]
    return [list(group) for _, group in groupby(sent, key=lambda entry: entry.conn)]
