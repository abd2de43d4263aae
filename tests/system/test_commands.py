"""Commands as users meet them, with a recording that runs: real processes, signals, exit codes, what is said."""

import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import called, environment, folder_bytes, running, simulated_broker, stop, tickrec, wait_for
from tickrec.errors import ExitCode
from tickrec.journal import Journal
from tickrec.journal.entry import EntryKind
from tickrec.store.paths import Store

RECORD = ("record", "--now", "--no-live", "--symbols", "RELIANCE,TCS,NIFTY")
SAME = ("--config", "config.toml")


def journalled(store: Store) -> int:
    return sum(folder_bytes(store.journal(date)) for date in store.dates())


@pytest.fixture
def _in_the_background() -> Iterator[None]:
    """What is started now ignores SIGINT, as it does when a script starts it with `&`."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_recorder_without_standard_streams_records_and_keeps_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tickrec", "record", "--simulate", "--symbols", "RELIANCE", "--for", "1s"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(tmp_path), preexec_fn=lambda: os.closerange(0, 3), timeout=60
    )
    assert done.returncode == ExitCode.DONE
    store = Store(tmp_path / "data" / "simulated")
    (date,) = store.dates()
    said = called("verify", date, "--simulate", folder=tmp_path).stdout
    assert "sealed: " in said
    assert "everything agrees" in said
    assert "stopping: the planned end" in (store.state / "tickrec.log").read_text()


@pytest.mark.usefixtures("_in_the_background")
def test_a_recorder_tells_how_it_is_doing_refuses_a_second_one_and_says_goodbye(with_broker: Path) -> None:
    """A signal seals nothing; one that a script started in the background can be interrupted, too."""
    store = Store(with_broker / "data")
    with running(*RECORD, folder=with_broker) as process:
        wait_for(lambda: journalled(store) > 20_000 and store.status_path.exists(), "ticks are journalled")
        report = json.loads(called("status", "--json", folder=with_broker).stdout)
        assert report["state"] == "recording"
        assert report["pid"] == process.pid
        assert report["connections"][0]["keys"] == 3
        assert "recording" in called("status", folder=with_broker).stdout
        refused = tickrec(*RECORD, folder=with_broker, check=ExitCode.LOCKED)
        assert f"pid {process.pid}" in refused.stderr
        assert refused.stderr.count("\n") == 1
        code, err = stop(process, signal.SIGINT)
    assert code == ExitCode.DONE
    assert "Traceback" not in err
    date = store.dates()[0]
    assert list(Journal(store.journal(date)).entries())[-1].kind is EntryKind.CLOSED
    assert not store.settled(date)
    report = json.loads(called("status", "--json", folder=with_broker).stdout)
    assert report["state"] == "stopped"
    assert report["unflushed_ticks"] == 0
    assert report["instruments"]["answered"] == report["instruments"]["wanted"] == 3


def test_a_recorder_whose_terminal_is_closed_says_goodbye_and_seals_nothing(with_broker: Path) -> None:
    store = Store(with_broker / "data")
    with running(*RECORD, folder=with_broker) as process:
        wait_for(lambda: journalled(store) > 20_000, "ticks are journalled")
        for number in (signal.SIGHUP, signal.SIGHUP):
            process.send_signal(number)
        code, err = stop(process, signal.SIGTERM)
    assert (code, "Traceback" in err) == (ExitCode.DONE, False)
    date = store.dates()[0]
    assert list(Journal(store.journal(date)).entries())[-1].kind is EntryKind.CLOSED
    assert not store.settled(date)


def test_status_after_a_kill(with_broker: Path) -> None:
    store = Store(with_broker / "data")
    with running(*RECORD, folder=with_broker) as process:
        wait_for(lambda: journalled(store) > 20_000 and store.status_path.exists(), "ticks are journalled")
        process.kill()
        process.wait()
    report = json.loads(called("status", "--json", folder=with_broker, check=ExitCode.DATA).stdout)
    assert report["state"] == "stale"
    frames = sum(each.kind is EntryKind.MESSAGE for each in Journal(store.journal(store.dates()[0])).entries())
    assert report["frames"] == frames


def test_a_run_that_fails_says_why_once_in_the_log_and_once_at_the_end_with_the_same_hint(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    with simulated_broker(tmp_path) as config, running(*RECORD, *SAME, folder=tmp_path) as process:
        wait_for(lambda: journalled(store) > 20_000, "ticks are journalled")
        api_url = tomllib.loads(config.read_text())["upstox"]["api_url"]
        for fault in ({"kind": "token", "arg": "another"}, {"kind": "drop"}):
            data = json.dumps(fault).encode()
            urllib.request.urlopen(urllib.request.Request(f"{api_url}/simulator/fault", data), timeout=10).close()
        said = " ".join(process.communicate(timeout=60)[1].split())
    assert process.returncode == ExitCode.TOKEN
    why, hint = "the broker refused the access token twice", "Run `tickrec login --config config.toml`"
    assert said.count(why) == said.count(hint) == 2
    assert f"ERROR stopping: {why}" in said
    assert f"ended by: {why}" in said
    over = " ".join(called("status", *SAME, folder=tmp_path, check=ExitCode.DATA).stdout.split())
    assert over.count(why) == over.count(hint) == 1


def test_a_shell_is_told_how_a_command_goes_on(tmp_path: Path) -> None:
    env = {**environment(tmp_path), "_TICKREC_COMPLETE": "complete_bash", "COMP_WORDS": "tickrec re", "COMP_CWORD": "1"}
    program = "import sys; sys.argv = ['tickrec']; from tickrec.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60)
    assert {"record", "rebuild"} <= set(done.stdout.split())
    assert "seal" not in done.stdout


def test_doctor_says_each_finding_when_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"http://127.0.0.1:{mute.getsockname()[1]}"
        (tmp_path / "config.toml").write_text(f'[upstox]\napi_url = "{address}"\nassets_url = "{address}"\n')
        with running("doctor", folder=tmp_path) as process:
            assert process.stdout is not None
            said = b""
            while b"schedule " not in said:
                piece = os.read(process.stdout.fileno(), 65_536)
                assert piece, said
                said += piece
    assert b"token " not in said, "the broker has not answered yet"
