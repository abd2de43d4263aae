"""The judgement on a store, from its files alone: after every way a run can go."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT, days
from tests.clocks import HandClock
from tests.query.fixtures import tick, write_sealed
from tests.record.fixtures import DATE, NOW, Recording, connection, run_status
from tickrec.clock import SECOND
from tickrec.errors import ExitCode
from tickrec.files import Lock
from tickrec.journal import Journal
from tickrec.journal.entry import EntryKind, encode_facts
from tickrec.journal.gaps import Gap
from tickrec.seal.seal import seal
from tickrec.status import status
from tickrec.status.as_json import to_json
from tickrec.status.runstatus import RECORDING, STOPPED, WAITING, RunStatus
from tickrec.status.status import StatusReport, collect
from tickrec.store.paths import Store

JSON_FIELDS = {
    "state", "pid", "date", "started", "frames", "ticks", "bytes", "rate", "last_message_age_s", "durable_lag_s",
    "unflushed_ticks", "reconnects", "rejected", "connections", "instruments", "gaps", "disk_free_bytes",
    "token_expires", "duckdb_lag_ticks",
}  # fmt: skip


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def facts(report: StatusReport) -> tuple[str, bool, ExitCode]:
    return report.state, report.died, report.exit_code


def present(report: StatusReport) -> RunStatus:
    assert report.run is not None
    return report.run


def test_an_empty_store_is_stopped(store: Store, clock: HandClock) -> None:
    report = collect(store, clock)
    assert facts(report) == ("stopped", False, ExitCode.DONE)
    assert report.run is None
    assert not store.root.exists()


def test_a_recorder_at_work_is_recording(store: Store, clock: HandClock) -> None:
    recording = Recording(store, clock)
    recording.receive({"a": 1.0})
    recording.say()
    clock.pass_s(0.9)
    report = collect(store, clock)
    assert facts(report) == ("recording", False, ExitCode.DONE)
    assert present(report).pid == os.getpid()
    recording.die()


def test_what_came_after_the_status_file_is_counted(store: Store, clock: HandClock) -> None:
    recording = Recording(store, clock)
    recording.receive({"a": 1.0})
    recording.say(frames=1, ticks=1, bytes=10, unflushed_ticks=1)
    clock.pass_s(0.5)
    recording.receive({"a": 1.0, "b": 2.0, "c": 3.0})
    clock.pass_s(0.25)
    run = present(collect(store, clock))
    size = len(list(Journal(store.journal(DATE)).entries())[-1].payload)
    assert (run.frames, run.ticks, run.bytes, run.unflushed_ticks) == (2, 4, 10 + size, 4)
    assert (run.connections[0].frames, run.connections[0].ticks) == (1, 3)
    assert to_json(collect(store, clock))["last_message_age_s"] == 0.25
    recording.die()


def test_a_recorder_that_waits_for_the_session_is_waiting(store: Store, clock: HandClock) -> None:
    recording = Recording(store, clock)
    recording.say(state=WAITING, start_ns=NOW + 600 * SECOND)
    assert facts(collect(store, clock)) == ("waiting", False, ExitCode.DONE)
    recording.die()


def test_a_recorder_that_has_not_said_anything_yet_is_waiting(store: Store, clock: HandClock) -> None:
    with Lock(store.record_lock) as lock:
        lock.acquire({"since_ns": NOW})
        report = collect(store, clock)
    assert facts(report) == ("waiting", False, ExitCode.DONE)
    assert present(report).pid == os.getpid()


def test_a_goodbye_makes_it_stopped(store: Store, clock: HandClock) -> None:
    recording = Recording(store, clock)
    recording.receive({"a": 1.0})
    recording.say()
    recording.stop()
    clock.pass_s(3600)
    report = collect(store, clock)
    assert facts(report) == ("stopped", False, ExitCode.DONE)
    assert report.ended_ns == NOW


def test_a_recorder_that_seals_after_its_goodbye_is_stopped(store: Store, clock: HandClock) -> None:
    recording = Recording(store, clock)
    recording.append(EntryKind.CLOSED, encode_facts(reason="planned end"), conn=0)
    recording.say(state=STOPPED, stop_ns=NOW)
    clock.pass_s(600)
    report = collect(store, clock)
    assert facts(report) == ("stopped", False, ExitCode.DONE)
    assert (report.reason, report.leaving) == ("sealing the day", True)
    recording.die()
    over = collect(store, clock)
    assert (over.reason, over.leaving) == ("", False)


def test_a_run_that_ended_with_an_error_is_stopped_but_not_well(store: Store, clock: HandClock) -> None:
    recording = Recording(store, clock)
    recording.receive({"a": 1.0})
    recording.stop("the token was refused", ExitCode.TOKEN)
    report = collect(store, clock)
    assert facts(report) == ("stopped", False, ExitCode.DATA)
    assert report.reason == "the token was refused"


def test_a_killed_run_is_stale_and_ended_with_its_last_entry(store: Store, clock: HandClock) -> None:
    recording = Recording(store, clock)
    recording.receive({"a": 1.0})
    recording.say(frames=1, ticks=1)
    clock.pass_s(0.7)
    recording.receive({"a": 1.0, "b": 2.0})
    recording.die()
    clock.pass_s(600)
    report = collect(store, clock)
    assert facts(report) == ("stale", True, ExitCode.DATA)
    assert report.ended_ns == NOW + 7 * SECOND // 10
    assert (present(report).frames, present(report).ticks, present(report).rate) == (2, 3, 0.0)
    assert present(report).connections[0].state == "closed"


def test_a_run_killed_right_after_its_status_is_stale(store: Store, clock: HandClock) -> None:
    recording = Recording(store, clock)
    recording.receive({"a": 1.0})
    recording.say(frames=1, ticks=1)
    recording.die()
    report = collect(store, clock)
    assert facts(report) == ("stale", True, ExitCode.DATA)
    assert (present(report).frames, present(report).ticks) == (1, 1)


def test_a_run_killed_while_it_waited_is_stale(store: Store, clock: HandClock) -> None:
    lock = Lock(store.record_lock)
    lock.acquire({"since_ns": NOW})
    status.write(store.status_path, run_status(state=WAITING, pid=os.getpid()))
    lock.release()
    assert facts(collect(store, clock)) == ("stale", True, ExitCode.DATA)


@pytest.mark.parametrize("goodbye", [True, False])
def test_without_a_status_file_the_journal_tells_how_it_ended(store: Store, clock: HandClock, goodbye: bool) -> None:
    recording = Recording(store, clock)
    recording.receive({"a": 1.0})
    if goodbye:
        recording.append(EntryKind.CLOSED, encode_facts(reason="stopped"), conn=0)
    recording.die()
    clock.pass_s(60)
    report = collect(store, clock)
    assert facts(report) == (("stopped", False, ExitCode.DONE) if goodbye else ("stale", True, ExitCode.DATA))
    assert report.ended_ns == NOW
    assert to_json(report)["frames"] == 0


def test_a_goodbye_in_the_journal_counts_although_the_status_file_missed_it(store: Store, clock: HandClock) -> None:
    recording = Recording(store, clock)
    recording.receive({"a": 1.0})
    recording.say()
    recording.append(EntryKind.CLOSED, encode_facts(reason="stopped"), conn=0)
    recording.die()
    assert facts(collect(store, clock)) == ("stopped", False, ExitCode.DONE)


def test_the_goodbye_of_an_earlier_run_does_not_cover_a_later_one(store: Store, clock: HandClock) -> None:
    earlier = Recording(store, clock)
    earlier.receive({"a": 1.0})
    earlier.stop()
    clock.pass_s(60)
    later = Recording(store, clock, next_seq=3)
    later.receive({"a": 1.0})
    later.die()
    clock.pass_s(60)
    report = collect(store, clock)
    assert facts(report) == ("stale", True, ExitCode.DATA)
    assert report.ended_ns == NOW + 60 * SECOND


def test_a_status_file_that_cannot_be_written_does_not_make_a_live_recorder_stale(
    store: Store, clock: HandClock
) -> None:
    recording = Recording(store, clock)
    recording.say()
    clock.pass_s(300)
    recording.receive({"a": 1.0})
    clock.pass_s(5)
    report = collect(store, clock)
    assert facts(report) == ("recording", False, ExitCode.DONE)
    assert present(report).frames == 1
    recording.die()


def test_a_recorder_that_hangs_is_stale_but_not_dead(store: Store, clock: HandClock) -> None:
    recording = Recording(store, clock)
    recording.receive({"a": 1.0})
    recording.say()
    clock.pass_s(300)
    report = collect(store, clock)
    assert facts(report) == ("stale", False, ExitCode.DATA)
    assert report.reason == f"pid {os.getpid()} is there but has said nothing since 09:41:07"
    recording.die()


def test_a_recorder_that_receives_nothing_is_stale_only_while_data_is_expected(store: Store, clock: HandClock) -> None:
    recording = Recording(store, clock)
    recording.receive({"a": 1.0})
    clock.pass_s(400)
    recording.say(last_message_ns=NOW, expects_data=True)
    report = collect(store, clock)
    assert facts(report) == ("stale", False, ExitCode.DATA)
    assert report.reason == "nothing has been received since 09:41:07"
    recording.say(expects_data=False)
    assert facts(collect(store, clock)) == ("recording", False, ExitCode.DONE)
    recording.die()


def test_a_sealed_date_needs_no_goodbye(store: Store, clock: HandClock) -> None:
    path = store.sealed_path("ticks", DATE)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1")
    assert facts(collect(store, clock)) == ("stopped", False, ExitCode.DONE)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"state": "recording"}'])
def test_a_broken_status_file_is_no_status_file(store: Store, clock: HandClock, content: bytes) -> None:
    recording = Recording(store, clock)
    recording.receive({"a": 1.0})
    store.status_path.write_bytes(content)
    assert collect(store, clock).state == "recording"
    recording.die()
    assert facts(collect(store, clock)) == ("stale", True, ExitCode.DATA)


def test_status_leaves_the_store_as_it_is(store: Store, clock: HandClock) -> None:
    recording = Recording(store, clock)
    recording.receive({"a": 1.0})
    recording.say()
    recording.die()
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*")}
    collect(store, clock)
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*")} == before


def test_the_ticks_of_the_date_are_those_of_all_its_runs(store: Store, clock: HandClock) -> None:
    recording = Recording(store, clock, next_seq=6)
    write_sealed(store, DATE, {"ticks": [tick(1, "09:15:00"), tick(2, "09:15:01")]}, last_seq=5)
    recording.receive({"a": 1.0})
    recording.say(frames=1, ticks=1, unflushed_ticks=1, flushed_seq=5)
    recording.receive({"a": 1.0, "b": 2.0, "c": 3.0})
    report = collect(store, clock)
    assert (present(report).ticks, report.date_ticks) == (4, 6)
    assert to_json(report)["date_ticks"] == 6
    recording.say(flushed_seq=0)  # as before its first flush
    assert collect(store, clock).date_ticks == 6
    recording.say(unflushed_ticks=4, flushed_seq=5)
    newer = store.part_path("ticks", DATE, 6, 7)  # published after the run wrote its status
    newer.write_bytes(store.sealed_path("ticks", DATE).read_bytes())
    report = collect(store, clock)
    assert (report.date_ticks, present(report).unflushed_ticks) == (4, 0)
    recording.die()


@pytest.mark.parametrize("state", [RECORDING, STOPPED], ids=["killed", "stopped"])
def test_a_date_sealed_after_its_run_has_each_tick_once_and_nothing_waits(
    store: Store, clock: HandClock, state: str
) -> None:
    day = days.Recording(store)
    day.run()
    day.connect()
    day.updates(5)
    said = {"ticks": day.written.ticks, "unflushed_ticks": day.written.ticks, "duckdb_lag_ticks": day.written.ticks}
    store.state.mkdir()
    run = run_status(state=state, started_ns=day.now_ns, connections=(), position=(1, 64), **said)
    status.write(store.status_path, run)
    day.die() if state == RECORDING else day.close()
    seal(store, DATE)
    report = collect(store, clock)
    told = to_json(report)
    assert report.date_ticks == day.written.ticks == told["kept"][0]["ticks"]
    assert (told["unflushed_ticks"], told["duckdb_lag_ticks"]) == (0, 0)
    count = 1 if state == RECORDING else 0
    assert (told["gap_count"], report.endless_gaps, told["kept"][0]["endless_gaps"]) == (count, count, count)
    assert told["gap_s"] == told["kept"][0]["gap_s"] == 0


def test_what_a_dead_run_left_unflushed_is_counted_as_the_day_file_lacks_it(store: Store, clock: HandClock) -> None:
    recording = Recording(store, clock)
    recording.receive({"a": 1.0})
    recording.say(unflushed_ticks=1, duckdb_lag_ticks=3)
    recording.receive({"a": 1.0, "b": 2.0})
    recording.die()
    told = to_json(collect(store, clock))
    assert (told["date_ticks"], told["unflushed_ticks"], told["duckdb_lag_ticks"]) == (3, 3, 5)


def test_what_is_kept_is_told_and_the_disk_is_measured_by_sealed_days(store: Store, clock: HandClock) -> None:
    recording = Recording(store, clock)
    recording.receive({"a": 1.0})
    recording.say(disk_free_bytes=1, day_bytes=1)
    report = collect(store, clock)
    assert [each.date for each in report.kept] == [DATE]
    assert report.kept[0].journal > 100
    assert present(report).disk_free_bytes == report.disk_free_bytes > 1
    recording.die()


def test_a_status_file_that_cannot_be_written_is_harmless(store: Store) -> None:
    status.write(store.status_path, run_status())
    assert not store.root.exists()


def test_the_status_file_is_replaced_in_one_step(store: Store) -> None:
    store.state.mkdir(parents=True)
    status.write(store.status_path, run_status())
    done = threading.Event()
    torn = []

    def look() -> None:
        while not done.is_set():
            if status.read(store.status_path) is None:
                torn.append("not whole")

    reader = threading.Thread(target=look)
    reader.start()
    for frames in range(200):
        status.write(store.status_path, run_status(frames=frames))
    done.set()
    reader.join()
    assert not torn
    assert status.read(store.status_path) == run_status(frames=199)
    assert os.listdir(store.state) == ["status.json"]


def test_the_last_word_of_a_run_is_not_replaced_by_what_comes_late(store: Store) -> None:
    store.state.mkdir(parents=True)
    last = run_status(state=STOPPED)
    status.write(store.status_path, last)
    status.write(store.status_path, run_status())
    assert status.read(store.status_path) == last
    another = run_status(started_ns=NOW)
    status.write(store.status_path, another)
    assert status.read(store.status_path) == another


def report_of(**facts: Any) -> StatusReport:
    return StatusReport(state="recording", now_ns=NOW, run=run_status(**facts), disk_free_bytes=61_000_000_000)


def test_json_has_every_promised_field_for_every_state(store: Store, clock: HandClock) -> None:
    for report in (collect(store, clock), report_of(), replace(report_of(), state="stale", died=True)):
        told = to_json(report)
        assert told.keys() >= JSON_FIELDS
        assert told["instruments"].keys() == {"wanted", "answered", "silent", "stale", "unknown"}
        assert json.loads(json.dumps(told)) == told
    assert told["connections"][0].keys() >= {"conn", "state", "keys", "answered", "frames", "ticks", "since"}


def test_json_tells_the_facts_in_seconds_and_ist() -> None:
    gap = Gap(7, 1, NOW - 60 * SECOND, NOW - 56_600_000_000, "connection reset", 220)
    stale = (("NSE_EQ|INE1", "072XYZ", NOW - SECOND),)
    told = to_json(report_of(gaps=(gap,), silent=(("NSE_EQ|INE0", "071XYZ"),), stale=stale))
    assert told["state"] == "recording"
    assert told["started"] == "2026-11-23T09:15:00.000+05:30"
    assert told["token_expires"] == "2026-11-24T03:30:00.000+05:30"
    assert (told["last_message_age_s"], told["durable_lag_s"]) == (0.2, 0.3)
    of_instruments = {
        "wanted": 220,
        "answered": 220,
        "silent": ["NSE_EQ|INE0"],
        "stale": ["NSE_EQ|INE1"],
        "unknown": [],
    }
    assert told["instruments"] == of_instruments
    assert told["gaps"] == [
        {
            "conn": 1,
            "start": "2026-11-23T09:40:07.000+05:30",
            "end": "2026-11-23T09:40:10.400+05:30",
            "reason": "connection reset",
            "keys": 220,
        }
    ]
    assert told["gap_s"] == 3.4
    assert told["connections"][0]["since"] == "2026-11-23T09:15:00.000+05:30"


def test_json_of_a_lost_connection_tells_when_it_is_tried_again() -> None:
    lost = connection(2, state="waiting", attempt=3, retry_ns=NOW + 4 * SECOND, reason="403 on handshake")
    told = to_json(report_of(connections=(lost,)))["connections"][0]
    assert (told["state"], told["attempt"], told["retry_in_s"], told["reason"]) == (
        "waiting",
        3,
        4.0,
        "403 on handshake",
    )


CHILD = """
import sys
from pathlib import Path
from tests.clocks import HandClock
from tests.record.fixtures import Recording
from tickrec.store.paths import Store
recording = Recording(Store(Path(sys.argv[1])), HandClock())
recording.receive({"a": 1.0})
recording.say(frames=1, ticks=1)
recording.receive({"a": 1.0, "b": 2.0})
print("ready", flush=True)
sys.stdin.read()
"""


def test_another_process_is_recording_until_it_is_killed(store: Store, clock: HandClock) -> None:
    command = [sys.executable, "-c", CHILD, str(store.root)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            alive = collect(store, clock)
            process.send_signal(signal.SIGKILL)
            process.wait()
        finally:
            process.kill()
    dead = collect(store, clock)
    assert (alive.state, present(alive).pid) == ("recording", process.pid)
    assert facts(dead) == ("stale", True, ExitCode.DATA)
    assert present(dead).ticks == present(alive).ticks == 3


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="needs another user's account")
def test_another_users_recorder_can_be_asked_about(clock: HandClock) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        store = Store(Path(folder) / "data")
        recording = Recording(store, clock)
        recording.receive({"a": 1.0})
        recording.say()
        child = os.fork()
        if not child:
            os.setuid(65534)
            os._exit(0 if collect(store, clock).state == "recording" else 1)
        _, code = os.waitpid(child, 0)
        recording.die()
    assert code == 0
