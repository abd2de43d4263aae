"""Configurations, machines and schedules for the tests of this room, and what a crontab line means."""

import dataclasses
import datetime as dt
from pathlib import Path

from tests.market.fixtures import TODAY
from tickrec.clock import IST, from_datetime
from tickrec.config import Config, load
from tickrec.schedule.schedule import Machine, Schedule, plan_schedule

NOW = from_datetime(dt.datetime.combine(TODAY, dt.time(8), IST))
UTC, INDIA = dt.timedelta(0), dt.timedelta(hours=5, minutes=30)

MACHINE = Machine(system="linux", python="/venv/bin/python", offsets=(UTC,), environment={})

NEW_YORK = dataclasses.replace(MACHINE, offsets=(dt.timedelta(hours=-5), dt.timedelta(hours=-4)))

WINDOWS = dataclasses.replace(MACHINE, system="win32", python=r"C:\Python 3\python.exe", offsets=(INDIA,))

SESSION = range(535, 961, 5)
"""08:55 to 16:00."""


def config_for(folder: Path, body: str = "") -> Config:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.toml"
    path.write_text(body)
    return load(path, data=None, simulate=False, environ={"HOME": str(folder)})


def schedule_for(config: Config, machine: Machine = MACHINE, at: dt.time | None = None) -> Schedule:
    return plan_schedule(config, machine, {}, NOW, simulate=False, at=at)


def numbers(field: str, end: int, dash: str = "-") -> set[int]:
    """What a field of a crontab line or of a systemd calendar event means; the oracle of these tests."""
    found: set[int] = set()
    for part in field.split(","):
        body, _, step = part.partition("/")
        first, _, last = (f"0{dash}{end - 1}" if body == "*" else body).partition(dash)
        found |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


def minutes_of(lines: list[str]) -> list[int]:
    """Minutes of the day at which crontab lines start something, each as often as it does."""
    found: list[int] = []
    for line in lines:
        minute, hour, *rest = line.split(" ", 5)
        assert rest[:3] == ["*", "*", "*"]
        found += [60 * h + m for h in numbers(hour, 24) for m in numbers(minute, 60)]
    return sorted(found)
