import dataclasses
import datetime as dt
from pathlib import Path

import pytest

from tests.schedule.fixtures import NEW_YORK, WINDOWS, config_for, schedule_for
from tickrec.errors import UsageError
from tickrec.schedule.crontab import crontab_lines
from tickrec.schedule.printout import text
from tickrec.schedule.task_scheduler import task_command


def test_windows_gets_a_task(tmp_path: Path) -> None:
    found = schedule_for(config_for(tmp_path), WINDOWS)
    assert text(found) == (
        'schtasks /create /tn tickrec /sc daily /st 08:55 /ri 5 /du 07:10 /tr "\\"C:\\Python 3\\python.exe\\" -m '
        f'tickrec record --scheduled --no-live --config {tmp_path / "config.toml"} --data {tmp_path / "data"}"\n'
    )
    with pytest.raises(UsageError, match="Windows"):
        crontab_lines(found)


def test_a_task_reaches_over_the_starts_of_summer_and_winter(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    new_york = dataclasses.replace(WINDOWS, offsets=NEW_YORK.offsets)
    assert "/st 22:25 /ri 5 /du 08:10 " in task_command(schedule_for(config, new_york))
    assert "/sc daily /st 09:15 /tr " in task_command(schedule_for(config, WINDOWS, dt.time(9, 15)))
    with pytest.raises(UsageError, match="characters"):
        task_command(schedule_for(config, dataclasses.replace(WINDOWS, python="x" * 300)))
