import dataclasses
import datetime as dt
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import tickrec
from tests.schedule.fixtures import MACHINE, NOW, UTC, config_for, schedule_for
from tickrec.config import load
from tickrec.schedule.crontab import crontab_lines
from tickrec.schedule.printout import text, to_json
from tickrec.schedule.schedule import mark_of, plan_schedule, this_machine


def test_the_command_names_everything_in_full(tmp_path: Path) -> None:
    config = config_for(tmp_path, '[store]\ndata = "ticks"')
    command = schedule_for(config).job.command
    assert command == (
        *("/venv/bin/python", "-m", "tickrec", "record", "--scheduled"),
        *("--config", str(tmp_path / "config.toml"), "--data", str(tmp_path / "ticks")),
    )
    assert crontab_lines(schedule_for(config))[1].endswith(
        f" >>{tmp_path}/ticks/state/cron.log 2>&1 # {mark_of(config)}"
    )


def test_the_simulated_store_is_scheduled_as_such(tmp_path: Path) -> None:
    config = load(None, data=tmp_path / "ticks", simulate=True, environ={"HOME": str(tmp_path)})
    found = plan_schedule(config, MACHINE, {}, NOW, simulate=True, at=None)
    assert found.job.command[-3:] == ("--data", str(tmp_path / "ticks"), "--simulate")
    assert found.log == tmp_path / "ticks/simulated/state/cron.log"


def test_the_other_folder_of_settings_is_handed_on(tmp_path: Path) -> None:
    environ = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "settings")}
    if os.name == "nt":
        pytest.skip("Windows has no such variable")
    machine = this_machine(environ, NOW)
    assert machine.environment["XDG_CONFIG_HOME"] == str(tmp_path / "settings")
    assert machine.python == os.path.abspath(sys.executable)
    assert machine.environment["HOME"] == str(tmp_path), "cron and systemd would set another"
    same = {**environ, "XDG_CONFIG_HOME": str(tmp_path / ".config")}
    assert "XDG_CONFIG_HOME" not in this_machine(same, NOW).environment
    line = crontab_lines(schedule_for(config_for(tmp_path), dataclasses.replace(machine, offsets=(UTC,))))[1]
    assert f" HOME={tmp_path} XDG_CONFIG_HOME={tmp_path}/settings {machine.python} -m tickrec" in line


def test_a_package_that_is_not_installed_is_found_all_the_same(tmp_path: Path) -> None:
    libraries = [each for each in sys.path if "site-packages" in each]
    if any((Path(each) / "tickrec").exists() for each in libraries):
        pytest.skip("tickrec is installed among its libraries")
    copy = tmp_path / "checkout"
    shutil.copytree(Path(tickrec.__file__).parent, copy / "tickrec", ignore=shutil.ignore_patterns("__pycache__"))
    venv.create(tmp_path / "venv", symlinks=os.name != "nt")
    next(tmp_path.glob("venv/**/site-packages")).joinpath("libraries.pth").write_text("\n".join(libraries))
    python = next(tmp_path.glob("venv/[bS]*/python*"))
    program = (
        "import os; from tickrec.schedule.schedule import this_machine; "
        "print(this_machine(os.environ, 0).environment['PYTHONPATH'])"
    )
    environ = {**os.environ, "PYTHONPATH": "more"}
    done = subprocess.run([python, "-c", program], env=environ, cwd=copy, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.strip() == os.pathsep.join([str(copy), "more"])


def test_what_the_schedule_lacks_is_said(tmp_path: Path) -> None:
    body = '[upstox]\ntoken_file = "token"\n[record]\non_alert = "my-own-alert --loud"'
    config = config_for(tmp_path, body)
    token = "eyJ0b2tlbiI6InNlY3JldCJ9"
    environ = {"UPSTOX_ACCESS_TOKEN": token, "https_proxy": "http://user:word@proxy:1"}
    found = plan_schedule(config, MACHINE, environ, NOW, simulate=False, at=None)
    said = " ".join(found.notes)
    assert f"UPSTOX_ACCESS_TOKEN is set in this shell only. A scheduled recorder takes it from {tmp_path}/token" in said
    assert "tickrec login" in said
    assert "my-own-alert in on_alert" in said
    assert "proxy" in said
    everything = said + text(found) + str(to_json(found))
    assert token not in everything
    assert "word" not in everything
    (tmp_path / "token").write_text("there")
    quiet = plan_schedule(config, MACHINE, {}, NOW, simulate=False, at=dt.time(9))
    assert not any("token" in note or "proxy" in note or "again" in note for note in quiet.notes)
