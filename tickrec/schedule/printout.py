"""Printout: the schedule in every form that a machine knows, for people and as JSON."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tickrec.errors import UsageError, to_run
from tickrec.schedule import systemd
from tickrec.schedule.crontab import crontab_lines, daylight_text
from tickrec.schedule.schedule import NAME, Job, Machine, Schedule
from tickrec.schedule.task_scheduler import task_command
from tickrec.schedule.time_fields import clock_text, offset_text

RELAY_UNIT: Final = f"{NAME}-relay.service"


def text(schedule: Schedule) -> str:
    """The schedule in every form that this machine knows; all but the lines and units are comments."""
    return "\n\n".join("\n".join(section).rstrip() for section in _sections(schedule)) + "\n"


def _sections(schedule: Schedule) -> Iterator[list[str]]:
    machine = schedule.machine
    if machine.system == "win32":
        yield [task_command(schedule)]
        return
    if schedule.daylight_saving:
        yield [f"# {daylight_text(machine)}"]
    else:
        made = [] if schedule.log.parent.is_dir() else [f"# once: mkdir -p {shlex.quote(str(schedule.log.parent))}"]
        yield [f"# for `crontab -e`, or let {to_run('schedule', '--install')} do it", *made, *crontab_lines(schedule)]
    if machine.system == "linux":
        folder = systemd.unit_folder(machine)
        yield ["# or with systemd, which needs no zone:", f"# {folder}/{NAME}.service", systemd.service_unit(schedule)]
        yield [f"# {folder}/{NAME}.timer", systemd.timer_unit(schedule)]
        yield ["# then", *(f"#   {command}" for command in systemd.unit_commands(machine, f"{NAME}.timer"))]


def relay_text(job: Job, machine: Machine, data: Path) -> str:
    """The unit of the relay of a store, and what makes systemd use it as comments. Raises UsageError."""
    unit = _relay_unit(job, machine, data).rstrip()
    commands = systemd.unit_commands(machine, RELAY_UNIT)
    then = ["# then", *(f"#   {command}" for command in commands)]
    return "\n".join([f"# {systemd.unit_folder(machine)}/{RELAY_UNIT}", unit, "", *then]) + "\n"


def relay_json(job: Job, machine: Machine, data: Path) -> dict[str, Any]:
    """The relay's unit as JSON values. Raises UsageError."""
    service = _relay_unit(job, machine, data)
    return {"command": list(job.command), "environment": dict(job.environment), "service": service}


def _relay_unit(job: Job, machine: Machine, data: Path) -> str:
    if machine.system != "linux":
        hint = f"Start {to_run('relay')} as your machine starts programs that always run"
        raise UsageError("the relay's unit is for systemd, which this machine has not", hint=hint)
    return systemd.relay_unit(job, machine, data)


def to_json(schedule: Schedule) -> dict[str, Any]:
    """The schedule as JSON values. `starts` are IST; what a machine does not know is null."""
    machine = schedule.machine
    unix, linux = machine.system != "win32", machine.system == "linux"
    return {
        "starts": [clock_text(minute) for minute in schedule.minutes],
        "offsets": [offset_text(offset) for offset in machine.offsets],
        "command": list(schedule.job.command),
        "environment": dict(schedule.job.environment),
        "log": str(schedule.log) if unix else None,
        "crontab": crontab_lines(schedule) if unix and not schedule.daylight_saving else None,
        "service": systemd.service_unit(schedule) if linux else None,
        "timer": systemd.timer_unit(schedule) if linux else None,
        "schtasks": None if unix else task_command(schedule),
        "notes": list(schedule.notes),
    }
