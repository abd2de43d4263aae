import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.schedule.fixtures import MACHINE, SESSION, UTC, config_for, minutes_of, numbers, schedule_for
from tickrec.schedule.crontab import cron_times
from tickrec.schedule.printout import RELAY_UNIT
from tickrec.schedule.schedule import relay_job
from tickrec.schedule.systemd import calendar_events, relay_unit, service_unit, timer_unit


def test_systemd_is_told_the_time_in_india() -> None:
    assert calendar_events(SESSION) == [
        "*-*-* 08:55:00 Asia/Kolkata",
        "*-*-* 09..15:00..55/5:00 Asia/Kolkata",
        "*-*-* 16:00:00 Asia/Kolkata",
    ]
    for starts in (SESSION, (555,), range(0, 1440, 5), (3, 7, 8, 61, 62)):
        found = []
        for event in calendar_events(starts):
            hour, minute, _ = event.split(" ")[1].split(":")
            found += [60 * h + m for h in numbers(hour, 24, "..") for m in numbers(minute, 60, "..")]
        assert sorted(found) == list(starts)


needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")


@needs_systemd
@pytest.mark.parametrize("root", [False, True])
def test_systemd_accepts_the_units(tmp_path: Path, root: bool) -> None:
    machine = dataclasses.replace(
        MACHINE, python=sys.executable, root=root, environment={"XDG_CONFIG_HOME": '/a b/50% "c"'}
    )
    config = config_for(tmp_path / 'my $data "here" 100%')
    found, relay = schedule_for(config, machine), relay_job(config, machine, simulate=False)
    written = {
        "tickrec.service": service_unit(found),
        "tickrec.timer": timer_unit(found),
        RELAY_UNIT: relay_unit(relay, machine, config.store.data),
    }
    units = [tmp_path / name for name in written]
    for path, unit in zip(units, written.values(), strict=True):
        path.write_text(unit)
    command = ["systemd-analyze", "verify", "--man=no", *(() if root else ("--user",)), *map(str, units)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)})
    complaints = [line for line in done.stderr.splitlines() if "tickrec" in line]
    assert not complaints
    assert done.returncode == 0, done.stderr


@needs_systemd
def test_systemd_elapses_when_cron_starts(tmp_path: Path) -> None:
    found = schedule_for(config_for(tmp_path))
    elapses: set[str] = set()
    for event in re.findall("^OnCalendar=(.*)$", timer_unit(found), re.MULTILINE):
        command = ["systemd-analyze", "calendar", "--iterations=84", "--base-time=2026-11-23 00:00:00 UTC", event]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TZ": "UTC"})
        if "base-time" in done.stderr:
            pytest.skip("this systemd-analyze is too old to be given a date")
        assert done.returncode == 0, done.stderr
        elapses |= set(re.findall(r"2026-11-23 (\d\d:\d\d):00 UTC", done.stdout))
    cron = minutes_of(cron_times(found.minutes, UTC))
    assert elapses == {f"{minute // 60:02}:{minute % 60:02}" for minute in cron}
