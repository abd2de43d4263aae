"""A recorder that stood still: what it could not read meanwhile is told, whether or not its connection outlived it."""

import signal
from pathlib import Path

import pyarrow.parquet as pq

from tests.processes import running, simulated_broker, stop, wait_for
from tickrec.clock import SECOND, SystemClock
from tickrec.journal import Journal
from tickrec.journal.entry import EntryKind
from tickrec.status import status
from tickrec.store.coverage import coverage
from tickrec.store.paths import Store


def test_a_process_that_was_stopped_tells_what_it_missed(tmp_path: Path) -> None:
    """The market moves so fast that the socket is full within seconds; then the broker leaves out what it must."""
    store = Store(tmp_path / "data")
    with (
        simulated_broker(tmp_path, rate=40_000.0, interval=0.02),
        running("record", "--now", "--symbols", "fno", folder=tmp_path) as process,
    ):
        wait_for(lambda: bool((run := status.read(store.status_path)) and run.ticks > 20_000), "ticks are recorded")
        process.send_signal(signal.SIGSTOP)
        begin_ns = SystemClock.wall_ns()
        wait_for(lambda: SystemClock.wall_ns() - begin_ns > 12 * SECOND, "it has stood still")
        end_ns = SystemClock.wall_ns()
        process.send_signal(signal.SIGCONT)
        wait_for(lambda: bool((run := status.read(store.status_path)) and run.gaps), "the gap is told")
        wait_for(
            lambda: bool((run := status.read(store.status_path)) and run.gaps and run.gaps[0].end_ns), "data is back"
        )
        code, said = stop(process)
    assert (code, "Traceback" in said) == (0, False)
    for date in store.dates():
        assert list(Journal(store.journal(date)).entries())[-1].kind is EntryKind.CLOSED
        assert not store.settled(date), "a signal seals nothing"
    paths = [path for date in store.dates() for path in coverage(store, date).small_parts["gaps"]]
    rows = [row for path in paths for row in pq.ParquetFile(path).read().to_pylist()]
    assert len(rows) == len(store.dates())
    start_ns = int(min(row["start_ts"] for row in rows).timestamp() * SECOND)
    stop_ns = int(max(row["end_ts"] for row in rows).timestamp() * SECOND)
    assert begin_ns - SECOND < start_ns < end_ns - 5 * SECOND
    assert end_ns - SECOND < stop_ns < end_ns + 20 * SECOND
