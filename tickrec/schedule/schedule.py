"""Schedule: having the machine start the recorder, by cron, a systemd timer or Windows' Task Scheduler.

Owns what is started, when, and how that is told and put into the crontab. The recorder is started often and daily:
the exchange calendar decides whether there is something to record, and a start beside a running recorder ends at once
(exit code 7). So a crash, a reboot or a late login heals by itself.
"""

import datetime as dt
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tickrec
from tickrec.clock import machine_offsets
from tickrec.config import SIMULATED, Config, account_home, config_folder
from tickrec.errors import UsageError, to_run
from tickrec.files import make_folder
from tickrec.logs import keep_short
from tickrec.market.calendar import trading_date
from tickrec.schedule.crontab import Crontab, cron_runs
from tickrec.schedule.notation import (
    Job,
    calendar_events,
    clock_text,
    cron_command,
    cron_times,
    offset_text,
    task_command,
    unit_command,
    unit_environment,
    unit_text,
)
from tickrec.schedule.starts import EVERY, recorded_segments, starts
from tickrec.upstox.auth import VARIABLE

NAME: Final = "tickrec"
"""Of the units and the task."""
LOG: Final = "cron.log"
"""Beside the recorder's own log, which has what a run logs; here is what comes before that, such as a missing token."""
CRON_PATH: Final = os.pathsep.join(("/usr/bin", "/bin"))
_PROXIES: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the schedule depends on besides the configuration."""

    system: str
    """As sys.platform."""
    python: str
    """The interpreter that has tickrec, absolute."""
    offsets: tuple[dt.timedelta, ...]
    """From UTC, of the machine's clock over the year; several with daylight saving time."""
    environment: Mapping[str, str]
    """What a scheduled recorder has to be given to find what this process found."""
    cron_runs: bool | None = None
    """None where that cannot be told."""
    root: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A recorder to be started at `minutes` of every day, IST."""

    machine: Machine
    job: Job
    minutes: tuple[int, ...]
    log: Path
    mark: str
    """Of the crontab entry; another for each store and configuration."""
    notes: tuple[str, ...]
    """What the user should know or do, a sentence or two each."""

    @property
    def times(self) -> str:
        """`every 5 minutes from 08:55 to 16:00 IST`."""
        first, last = clock_text(self.minutes[0]), clock_text(self.minutes[-1])
        return f"every {EVERY} minutes from {first} to {last} IST" if len(self.minutes) > 1 else f"at {first} IST"

    @property
    def daylight_saving(self) -> bool:
        """Whether no crontab line starts at these times all year."""
        return len(self.machine.offsets) > 1


def this_machine(environ: Mapping[str, str], now_ns: int) -> Machine:
    """The machine that this process runs on."""
    return Machine(
        system=sys.platform,
        python=os.path.abspath(sys.executable),
        offsets=machine_offsets(now_ns),
        environment=_needed(environ),
        cron_runs=cron_runs(),
        root=sys.platform != "win32" and os.geteuid() == 0,
    )


def _needed(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that this process depends on and that cron does not set."""
    needed = {}
    plain = {name: value for name, value in environ.items() if name not in ("XDG_CONFIG_HOME", "PYTHONPATH")}
    home = environ.get("HOME")
    known = account_home()
    if home and sys.platform != "win32" and (known is None or home != str(known)):
        needed["HOME"] = home
    if config_folder(environ) != config_folder(plain):
        needed["XDG_CONFIG_HOME"] = environ["XDG_CONFIG_HOME"]
    package = Path(tickrec.__file__).parent
    command = [sys.executable, "-c", "import tickrec"]
    if subprocess.run(command, cwd=package.anchor, env=plain, capture_output=True).returncode:
        needed["PYTHONPATH"] = os.pathsep.join(filter(None, (str(package.parent), environ.get("PYTHONPATH"))))
    return needed


def plan_schedule(
    config: Config, machine: Machine, environ: Mapping[str, str], now_ns: int, *, simulate: bool, at: dt.time | None
) -> Schedule:
    """When and how to start the recorder with this configuration. Asks nobody, changes nothing.

    `at` (IST) asks for a single start. Raises UsageError for an `at` after the close and for symbols that cannot be
    read; NothingToRecord when the configured times leave nothing to record.
    """
    segments = recorded_segments(config, trading_date(now_ns))
    minutes = starts(config, at, segments.names, trading_date(now_ns))
    log = config.store.data / "state" / LOG
    notes = [*_notes(config, machine, environ, single=at is not None)]
    if segments.guessed and config.record.stop is None:
        notes.append(
            f"The close was taken from the selectors alone, as {segments.guessed}. If commodities are among them, make "
            "the schedule again after a first recording, or set stop in [record]."
        )
    return Schedule(
        machine=machine,
        job=Job(_command(config, machine, simulate), machine.environment),
        minutes=minutes,
        log=log,
        mark=mark_of(config),
        notes=tuple(notes),
    )


def keep_cron_log_short(config: Config) -> None:
    """Begin cron's log anew when it has become long; what it held is beside it."""
    keep_short(config.store.data / "state" / LOG)


def mark_of(config: Config) -> str:
    """The mark of the crontab entry of a store and a configuration file."""
    which = json.dumps([str(config.store.data), str(config.path)])
    return f"{NAME}-{hashlib.sha256(which.encode()).hexdigest()[:8]}"


def _command(config: Config, machine: Machine, simulate: bool) -> tuple[str, ...]:
    data = config.store.data
    if simulate and data.name == SIMULATED:
        data = data.parent
    return (
        *(machine.python, "-m", "tickrec", "record", "--scheduled"),
        *(("--no-live",) if machine.system == "win32" else ()),
        *(("--config", str(config.path)) if config.path else ()),
        *("--data", str(data)),
        *(("--simulate",) if simulate else ()),
    )


def _notes(config: Config, machine: Machine, environ: Mapping[str, str], *, single: bool) -> Iterator[str]:
    upstox, windows = config.upstox, machine.system == "win32"
    if upstox.token_command is None and not upstox.token_file.exists():
        known = f"{VARIABLE} is set in this shell only." if environ.get(VARIABLE) else "There is no token yet."
        yield (
            f"{known} A scheduled recorder takes it from {upstox.token_file}: {to_run('login')} puts it there (daily, "
            f"after 03:30), {to_run('login', '--analytics')} one for a year."
        )
    if not windows:
        for key, command in (("token_command", upstox.token_command), ("on_alert", config.record.on_alert)):
            if command and (word := _unknown_to_cron(command)):
                yield f"cron looks for commands in {CRON_PATH} only: write the full path of {word} in {key}."
    if any(environ.get(name) for name in _PROXIES):
        yield "The proxy set in this shell is not known to a scheduled recorder: set it in the crontab or unit, too."
    if not single:
        yield (
            f"A recorder that is stopped by hand is started again within {EVERY} minutes. Take the schedule out to "
            "keep it stopped."
        )
    if windows:
        yield (
            "The task runs while you are logged on, and not on battery: both are settings of the task in Task "
            "Scheduler."
        )
        if single and len(machine.offsets) > 1:
            yield "This machine's clock has daylight saving time: in summer, the task starts an hour later or earlier."


def _unknown_to_cron(command: str) -> str | None:
    """The program of a command that is not found without the user's own PATH."""
    try:
        word = shlex.split(command)[0]
    except (ValueError, IndexError):
        return None
    known = word.startswith("~") or os.path.isabs(word) or shutil.which(word, path=CRON_PATH)
    return None if known else word


def crontab_lines(schedule: Schedule) -> list[str]:
    """The entry in the crontab: a comment and the lines.

    Raises UsageError on Windows, in a zone with daylight saving time, and for paths that cron cannot take.
    """
    machine = schedule.machine
    if machine.system == "win32":
        raise UsageError("there is no crontab on Windows", hint=f"Use the schtasks command of {to_run('schedule')}")
    if schedule.daylight_saving:
        hint = f"Use the systemd timer of {to_run('schedule')}, or set the machine's zone to UTC or Asia/Kolkata"
        raise UsageError(_daylight_text(machine), hint=hint)
    command = cron_command(schedule.job, str(schedule.log), schedule.mark)
    zone = offset_text(machine.offsets[0])
    return [
        f"# tickrec record, {schedule.times}, for a clock at {zone} # {schedule.mark}",
        *(f"{times} {command}" for times in cron_times(schedule.minutes, machine.offsets[0])),
    ]


def _daylight_text(machine: Machine) -> str:
    zones = " and ".join(map(offset_text, sorted(machine.offsets)))
    return (
        f"no crontab line is right all year, as this machine's clock has daylight saving time ({zones}) and India's "
        "has not"
    )


def service_unit(schedule: Schedule) -> str:
    """The systemd service. Exit codes 3 (closed today) and 7 (already recording) are no failure.

    A crash is healed at once; what needs a person (configuration, token, disk) is left to the next start of the timer.
    """
    lines = [
        "[Unit]",
        f"Description=Record the Upstox market data feed into {unit_text(str(schedule.log.parent.parent))}",
        "",
        "[Service]",
        "Type=exec",
        *(("User=root",) if schedule.machine.root else ()),
        *(f"Environment={each}" for each in unit_environment(schedule.job)),
        f"ExecStart={unit_command(schedule.job)}",
        "SuccessExitStatus=3 7",
        "Restart=on-failure",
        "RestartSec=10",
        "RestartPreventExitStatus=2 4 5 6 8",
        "KillMode=mixed",
    ]
    return "\n".join(lines) + "\n"


def timer_unit(schedule: Schedule) -> str:
    """The systemd timer: in India's time, to the second, and at once after a boot that came too late for a start."""
    lines = [
        "[Unit]",
        f"Description=Start the tickrec recorder {schedule.times}",
        "",
        "[Timer]",
        *(f"OnCalendar={event}" for event in calendar_events(schedule.minutes)),
        "AccuracySec=1s",
        "Persistent=true",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return "\n".join(lines) + "\n"


def unit_folder(machine: Machine) -> str:
    """Where the unit files go, as a shell takes it."""
    return "/etc/systemd/system" if machine.root else "~/.config/systemd/user"


def unit_commands(machine: Machine) -> list[str]:
    """What makes systemd use the unit files. A user's units run without a login only when lingering is enabled."""
    option = "" if machine.root else "--user "
    enable = [f"systemctl {option}daemon-reload", f"systemctl {option}enable --now {NAME}.timer"]
    return enable if machine.root else [*enable, "loginctl enable-linger"]


def text(schedule: Schedule) -> str:
    """The schedule in every form that this machine knows; all but the lines and units are comments."""
    return "\n\n".join("\n".join(section).rstrip() for section in _sections(schedule)) + "\n"


def _sections(schedule: Schedule) -> Iterator[list[str]]:
    machine = schedule.machine
    if machine.system == "win32":
        yield [task_command(schedule.job, NAME, schedule.minutes, machine.offsets)]
        return
    if schedule.daylight_saving:
        yield [f"# {_daylight_text(machine)}"]
    else:
        made = [] if schedule.log.parent.is_dir() else [f"# once: mkdir -p {shlex.quote(str(schedule.log.parent))}"]
        yield [f"# for `crontab -e`, or let {to_run('schedule', '--install')} do it", *made, *crontab_lines(schedule)]
    if machine.system == "linux":
        folder = unit_folder(machine)
        yield ["# or with systemd, which needs no zone:", f"# {folder}/{NAME}.service", service_unit(schedule)]
        yield [f"# {folder}/{NAME}.timer", timer_unit(schedule)]
        yield ["# then", *(f"#   {command}" for command in unit_commands(machine))]


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
        "service": service_unit(schedule) if linux else None,
        "timer": timer_unit(schedule) if linux else None,
        "schtasks": None if unix else task_command(schedule.job, NAME, schedule.minutes, machine.offsets),
        "notes": list(schedule.notes),
    }


def install(schedule: Schedule, crontab: Crontab) -> str:
    """Put the entry into the user's crontab, in place of an earlier one; what was done, in a line.

    Makes the folder of the log, without which the shell would not start anything. Raises UsageError.
    """
    lines = crontab_lines(schedule)
    try:
        make_folder(schedule.log.parent)
    except OSError as error:
        raise UsageError(
            f"the store's folder cannot be made: {error.strerror}", where=str(schedule.log.parent)
        ) from None
    changed = crontab.put(lines, schedule.mark)
    said = f"{'put into' if changed else 'already in'} the crontab: {schedule.times}, output to {schedule.log}"
    return said if schedule.machine.cron_runs is not False else f"{said}\nBut no cron daemon runs on this machine."


def remove(mark: str, crontab: Crontab) -> str:
    """Take the entry with this mark out of the user's crontab; what was done, in a line. Raises UsageError."""
    return "taken out of the crontab" if crontab.take_out(mark) else "the crontab has no entry of this store"
