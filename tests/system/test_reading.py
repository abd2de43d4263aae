"""Questions asked while another process records and seals, and a process that is ended while it asks."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import days
from tests.processes import environment, wait_for
from tests.query.fixtures import Row, answer, feeds
from tickrec.query.session import Session
from tickrec.store.paths import Store

DATE = days.DATE
SORTING = "SELECT max(s) FROM (SELECT repeat('x', 100) || hash(range) AS s FROM range(400000000) ORDER BY s LIMIT 1e8)"


RECORDER = """
import sys
from pathlib import Path
from tests import days
from tickrec.store.paths import Store
from tickrec.seal.seal import seal
from tickrec.store.parts import PartWriter
store = Store(Path(sys.argv[1]))
recording = days.Recording(store, instruments=8)
recording.run()
recording.connect()
print("ready", flush=True)
for step in range(54):
    recording.updates(2, 4)
    if step % 3 == 0:
        PartWriter(store, days.DATE).flush(recording.written.last_seq)
    if step % 18 == 17:
        recording.die()
        seal(store, days.DATE, duckdb=False)
        recording.run()
        recording.connect()
recording.close()
print(recording.written.last_seq, recording.written.ticks, flush=True)
"""


@pytest.fixture
def recorder(store: Store) -> Iterator[subprocess.Popen[str]]:
    """A process that records, flushes and seals as fast as it can."""
    command = [sys.executable, "-c", RECORDER, str(store.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_nothing_is_twice_or_missing_while_another_process_records_flushes_and_seals(
    store: Store, recorder: subprocess.Popen[str]
) -> None:
    sql = "SELECT seq, count(*) AS n, count(DISTINCT instrument_key) AS keys FROM ticks GROUP BY seq ORDER BY seq"
    answers: list[list[Row]] = []
    with Session(store) as session:
        while recorder.poll() is None:
            answers.append(answer(session, sql))
        answers.append(answer(session, sql))
    per_message = Counter(seq for seq, _, _, _, _ in feeds(store))
    lasts = []
    for rows in answers:
        lasts.append(rows[-1]["seq"])
        expected = {seq: n for seq, n in per_message.items() if seq <= lasts[-1]}
        assert {row["seq"]: row["n"] for row in rows} == expected
        assert all(row["n"] == row["keys"] for row in rows)
    assert lasts == sorted(lasts)
    assert len(set(lasts)) > 5
    assert recorder.stdout is not None
    last_seq, ticks = map(int, recorder.stdout.read().split())
    assert sum(per_message.values()) == ticks
    assert lasts[-1] <= last_seq


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_query_that_is_ended_takes_its_folder_with_it(tmp_path: Path, number: int) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "tickrec", "query", SORTING, "--memory", "40MB"]
    env = {**environment(tmp_path), "TMPDIR": str(temporary)}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for(lambda: any(temporary.glob("*/duckdb_temp*")), "it spills")
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 128 + number
    assert "Traceback" not in err
    assert not any(temporary.iterdir())


ENDLESS = "SELECT sum(a.range * b.range % 7) FROM range(10000000) a, range(10000000) b"
INTERRUPTED = f"""
import sys
from pathlib import Path
from tickrec.store.paths import Store
from tickrec.query.session import Session
with Session(Store(Path(sys.argv[1]))) as session:
    try:
        session.execute({ENDLESS!r}, progress=lambda percent: print("running", flush=True))
    except KeyboardInterrupt:
        print("cancelled", flush=True)
    print([batch.to_pylist() for batch in session.execute("SELECT 1 AS one").batches()])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_cancels_the_query_and_not_the_session(store: Store) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(store.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert [line for line in out.splitlines() if line != "running"] == ["cancelled", "[[{'one': 1}]]"]
    assert process.returncode == 0
    assert "Traceback" not in err
