"""Crontab: the lines that have cron start the recorder, put into the user's crontab and taken out of it.

Nothing else in it is touched: every line of an entry of ours ends in a mark of the entry's own.
"""

import datetime as dt
import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from typing import Final

from tickrec.errors import UsageError, to_run
from tickrec.files import make_folder
from tickrec.schedule.schedule import Job, Machine, Schedule
from tickrec.schedule.time_fields import DAY, IST_AHEAD, Form, by_hour, field, in_minutes, offset_text

FORM: Final = Form("{}-{}", "{}-{}/{}", 1, "*/{}")
CRON_LIMIT: Final = 990
"""Debian's cron refuses a command of 1,000 characters (cron 3.0pl1)."""

NONE_YET: Final = re.compile(r"no crontab for|can't open .*no such file", re.IGNORECASE | re.DOTALL)
"""What `crontab -l` says when there is no crontab: Debian, cronie and macOS; busybox."""
MARK: Final = re.compile(r"# (tickrec-[0-9a-f]{8})$")
_CRON_TZ: Final = re.compile(r"\s*CRON_TZ\s*=")
_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")
_SECONDS: Final = 30
_HINT: Final = "Run `crontab -e` and put the lines in by hand"


def crontab_lines(schedule: Schedule) -> list[str]:
    """The entry in the crontab: a comment and the lines.

    Raises UsageError on Windows, in a zone with daylight saving time, and for paths that cron cannot take.
    """
    machine = schedule.machine
    if machine.system == "win32":
        raise UsageError("there is no crontab on Windows", hint=f"Use the schtasks command of {to_run('schedule')}")
    if schedule.daylight_saving:
        hint = f"Use the systemd timer of {to_run('schedule')}, or set the machine's zone to UTC or Asia/Kolkata"
        raise UsageError(daylight_text(machine), hint=hint)
    command = cron_command(schedule.job, str(schedule.log), schedule.mark)
    zone = offset_text(machine.offsets[0])
    return [
        f"# tickrec record, {schedule.times}, for a clock at {zone} # {schedule.mark}",
        *(f"{times} {command}" for times in cron_times(schedule.minutes, machine.offsets[0])),
    ]


def daylight_text(machine: Machine) -> str:
    """Why a crontab cannot do it."""
    zones = " and ".join(map(offset_text, sorted(machine.offsets)))
    return (
        f"no crontab line is right all year, as this machine's clock has daylight saving time ({zones}) and India's "
        "has not"
    )


def cron_times(starts: Sequence[int], offset: dt.timedelta) -> list[str]:
    """The five fields of the crontab lines that run at `starts` every day on a clock at `offset` from UTC."""
    there = [(minute - IST_AHEAD + in_minutes(offset)) % DAY for minute in starts]
    return [f"{field(minutes, FORM, 60)} {field(hours, FORM, 24)} * * *" for hours, minutes in by_hour(there)]


def cron_command(job: Job, log: str, mark: str) -> str:
    """The rest of a crontab line: run the job, its output appended to `log`; `mark` is a comment to the shell.

    A percent sign means the end of a line to cron, unless escaped. Raises UsageError for what cron cannot take.
    """
    words = [f"{name}={shlex.quote(value)}" for name, value in job.environment.items()]
    words += map(shlex.quote, job.command)
    text = f"{' '.join(words)} >>{shlex.quote(log)} 2>&1 # {mark}"
    if "\n" in text or "\r" in text or "\\" in text:
        raise UsageError("a path with a line break or a backslash cannot be in a crontab", where=repr(text))
    text = text.replace("%", r"\%")
    if len(text) > CRON_LIMIT:
        hint = "Use shorter paths, or the systemd timer"
        raise UsageError(f"cron takes no command of {len(text)} characters", where=text[:80] + "...", hint=hint)
    return text


class Crontab:
    """The crontab of the user, through the program `crontab`."""

    def __init__(self, program: str = "crontab") -> None:
        self._program = program

    def read(self) -> str:
        """Its text; empty when there is none. Raises UsageError when it cannot be read."""
        done = self._run("-l")
        if done.returncode == 0:
            return _decoded(done.stdout)
        said = _decoded(done.stderr).strip()
        if NONE_YET.search(said):
            return ""
        raise UsageError(f"the crontab cannot be read: {said or f'exit code {done.returncode}'}", hint=_HINT)

    def put(self, lines: Sequence[str], mark: str) -> bool:
        """Put an entry in, in place of the one with the same mark; False when it was there already."""
        before = self.read()
        if entry(before, mark) == list(lines):
            return False
        self._write(with_entry(before, lines, mark))
        return True

    def take_out(self, mark: str) -> int:
        """Take an entry out; how many lines it had."""
        before = self.read()
        count = len(entry(before, mark))
        if count:
            self._write(without_entry(before, mark))
        return count

    def _write(self, text: str) -> None:
        """Replace the crontab, or remove it when nothing is left; checked by reading it back."""
        done = self._run("-", text) if text else self._run("-r")
        said = _decoded(done.stderr).strip()
        if done.returncode:
            raise UsageError(f"the crontab cannot be written: {said or f'exit code {done.returncode}'}", hint=_HINT)
        if self.read() != text:
            raise UsageError("the crontab is not what was written to it", hint="Look at it with `crontab -l`")

    def _run(self, option: str, text: str = "") -> subprocess.CompletedProcess[bytes]:
        command = [self._program, option]
        try:
            return subprocess.run(command, input=os.fsencode(text), capture_output=True, timeout=_SECONDS)
        except FileNotFoundError:
            hint = f"Install cron, or use the systemd timer that {to_run('schedule')} prints"
            raise UsageError("there is no crontab on this machine", hint=hint) from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UsageError(f"crontab cannot be run: {error}", hint=_HINT) from None


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


def entry(text: str, mark: str) -> list[str]:
    """The lines of the entry with this mark."""
    return [line.rstrip("\n") for line in _LINE.findall(text) if _mark(line) == mark]


def marks(text: str) -> list[str]:
    """The marks of all entries of ours."""
    return list(dict.fromkeys(filter(None, map(_mark, _LINE.findall(text)))))


def with_entry(text: str, lines: Sequence[str], mark: str) -> str:
    """The crontab's text with the entry, and without an older one of the same mark.

    It goes to the end, where all variables of the user's are set; but before a line that moves what follows it to
    another zone (cronie's CRON_TZ).
    """
    kept: list[str] = _LINE.findall(without_entry(text, mark))
    if kept and not kept[-1].endswith("\n"):
        kept[-1] += "\n"
    place = next((number for number, line in enumerate(kept) if _CRON_TZ.match(line)), len(kept))
    return "".join([*kept[:place], *(f"{line}\n" for line in lines), *kept[place:]])


def without_entry(text: str, mark: str) -> str:
    """The crontab's text without the lines of the entry."""
    return "".join(line for line in _LINE.findall(text) if _mark(line) != mark)


def _mark(line: str) -> str | None:
    found = MARK.search(line.rstrip())
    return found[1] if found else None


def _decoded(data: bytes) -> str:
    """Text that `os.fsencode` turns back into the same bytes."""
    return os.fsdecode(data)
