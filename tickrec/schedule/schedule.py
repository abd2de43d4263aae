"""Schedule: what is to be started, when, on which machine, and what the user should know of it.

The recorder is started often and daily: the exchange calendar decides whether there is something to record, and a start
beside a running recorder ends at once (exit code 7). So a crash, a reboot or a late login heals by itself.
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
from typing import Final, NamedTuple

import tickrec
from tickrec.clock import machine_offsets
from tickrec.config import SIMULATED, Config, account_home, config_folder
from tickrec.errors import to_run
from tickrec.logs import keep_short
from tickrec.market.calendar import trading_date
from tickrec.schedule.starts import EVERY, recorded_segments, starts
from tickrec.schedule.time_fields import clock_text
from tickrec.upstox.auth import VARIABLE

NAME: Final = "tickrec"
"""Of the units and the task."""
LOG: Final = "cron.log"
"""Beside the recorder's own log, which has what a run logs; here is what comes before that, such as a missing token."""
CRON_PATH: Final = os.pathsep.join(("/usr/bin", "/bin"))
_DAEMONS: Final = ("cron", "crond", "cronie", "fcron")
_PROXIES: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


class Job(NamedTuple):
    """What is started."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    """Variables that it is given beside what the scheduler sets."""


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


def relay_job(config: Config, machine: Machine, *, simulate: bool) -> Job:
    """The relay of the store, to be kept running."""
    command = (machine.python, "-m", "tickrec", "relay", *_common(config, simulate))
    return Job(command, machine.environment)


def _command(config: Config, machine: Machine, simulate: bool) -> tuple[str, ...]:
    return (
        *(machine.python, "-m", "tickrec", "record", "--scheduled"),
        *(("--no-live",) if machine.system == "win32" else ()),
        *_common(config, simulate),
    )


def _common(config: Config, simulate: bool) -> tuple[str, ...]:
    """The options of every command that select this store and configuration."""
    data = config.store.data
    if simulate and data.name == SIMULATED:
        data = data.parent
    return (
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


def cron_runs() -> bool | None:
    """Whether a cron daemon runs on this machine; None where that cannot be told."""
    names = [_name(process) for process in Path("/proc").glob("[0-9]*")]
    return any(name in _DAEMONS for name in names) if any(names) else None


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:  # it ended meanwhile
        return ""
