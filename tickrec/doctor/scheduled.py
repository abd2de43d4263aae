"""Scheduled: whether something starts the recorder by itself, and whether it would work.

Looks at the user's crontab, systemd's unit files and Windows' tasks. Changes nothing.
"""

import getpass
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tickrec.config import Config
from tickrec.doctor.findings import FAIL, OK, WARN, Finding
from tickrec.errors import UsageError, to_run
from tickrec.schedule.crontab import MARK, Crontab, cron_command, entry
from tickrec.schedule.schedule import NAME, Machine, Schedule, plan_schedule
from tickrec.schedule.systemd import unit_text
from tickrec.schedule.time_fields import offset_text

SYSTEM_UNITS: Final = Path("/etc/systemd/system")
LINGER: Final = Path("/var/lib/systemd/linger")
"""A file for each user whose units run without a login."""
_SECONDS: Final = 10


def look(
    config: Config, machine: Machine, environ: Mapping[str, str], now_ns: int, *, simulate: bool, crontab: Crontab
) -> Finding:
    """What starts the recorder of this store and configuration. Raises UsageError, NothingToRecord."""
    schedule = plan_schedule(config, machine, environ, now_ns, simulate=simulate, at=None)
    if machine.system == "win32":
        return _task()
    found = [*_in_crontab(schedule, crontab), *_in_systemd(config, environ)]
    order = (OK, WARN, FAIL)
    return min(found, key=lambda each: order.index(each.result)) if found else _nothing()


def _nothing() -> Finding:
    hint = f"{to_run('schedule', '--install')} has cron do it; {to_run('schedule')} shows other ways"
    return Finding(WARN, "nothing starts the recorder by itself", hint)


def _task() -> Finding:
    query = ["schtasks", "/query", "/tn", NAME]
    try:
        done = subprocess.run(query, capture_output=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return Finding(WARN, "the scheduled tasks cannot be looked at")
    return Finding(OK, f"the task {NAME} is there") if done.returncode == 0 else _nothing()


def _in_crontab(schedule: Schedule, crontab: Crontab) -> Iterator[Finding]:
    try:
        text = crontab.read()
    except UsageError:  # no cron here, or not for this user
        return
    ours = entry(text, schedule.mark)
    if ours:
        yield _entry(schedule, ours)
        return
    root = str(schedule.log.parent.parent).replace("%", r"\%")
    if any(_records(line, root) for line in text.splitlines() if not line.startswith("#") and not MARK.search(line)):
        yield _running(schedule.machine, "a line of your own in the crontab")


def _records(command: str, root: str) -> bool:
    """Whether a command is a recorder's, and not that of another store."""
    return "tickrec" in command and " record" in command and ("--data" not in command or root in command)


def _entry(schedule: Schedule, lines: list[str]) -> Finding:
    """The entry that `tickrec schedule --install` made, against what it would make now."""
    machine = schedule.machine
    again = f"Run {to_run('schedule', '--install')} again"
    if schedule.daylight_saving:
        return Finding(FAIL, "the crontab's lines are not right all year: daylight saving time", "Use a systemd timer")
    if not any(f"for a clock at {offset_text(machine.offsets[0])} #" in line for line in lines):
        return Finding(FAIL, "the crontab's lines are for another zone than this machine's", again)
    command = cron_command(schedule.job, str(schedule.log), schedule.mark)
    if not all(line.endswith(command) for line in lines if not line.startswith("#")):
        return Finding(WARN, "the crontab starts another tickrec than this one, or with other folders", again)
    what = next((line[2:].partition(", for a clock")[0] for line in lines if line.startswith("#")), "crontab")
    return _running(machine, f"crontab: {what}")


def _running(machine: Machine, text: str) -> Finding:
    if machine.cron_runs is False:
        return Finding(FAIL, f"{text}; but no cron daemon runs", "Start it: sudo systemctl enable --now cron")
    return Finding(OK, text)


def _in_systemd(config: Config, environ: Mapping[str, str]) -> Iterator[Finding]:
    own = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/nowhere")) / ".config") / "systemd/user"
    for folder in (own, SYSTEM_UNITS):
        for timer in sorted(folder.glob("*.timer")):
            if _starts(timer.with_suffix(".service"), config):
                yield _timer(timer, lingers=folder != own or (LINGER / _user()).exists())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name; OSError from Python 3.13 on
        return str(os.getuid())


def _starts(service: Path, config: Config) -> bool:
    """Whether a service records into the store."""
    try:
        text = service.read_text()
    except (OSError, UnicodeDecodeError):
        return False
    root = unit_text(str(config.store.data))
    return any(_records(line, root) for line in text.splitlines() if line.startswith("ExecStart="))


def _timer(timer: Path, *, lingers: bool) -> Finding:
    if not (timer.parent / "timers.target.wants" / timer.name).is_symlink():
        option = "" if timer.parent == SYSTEM_UNITS else "--user "
        return Finding(WARN, f"{timer} is not enabled", f"systemctl {option}enable --now {timer.name}")
    if not lingers:
        return Finding(WARN, f"{timer} starts nothing while you are not logged in", "loginctl enable-linger")
    return Finding(OK, f"{timer} is enabled")
