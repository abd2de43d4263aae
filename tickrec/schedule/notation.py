"""Notation: starts and a command, as cron, systemd and Windows' Task Scheduler want them written.

Owns their syntax and their quoting. Starts are minutes of the day in IST, in order. Knows nothing of what is started.
"""

import datetime as dt
import itertools
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from tickrec.errors import UsageError

DAY: Final = 24 * 60
"""Minutes."""
IST_AHEAD: Final = 330
"""Minutes that IST is ahead of UTC."""
CRON_LIMIT: Final = 990
"""Debian's cron refuses a command of 1,000 characters (cron 3.0pl1)."""
TASK_LIMIT: Final = 261
"""Characters that schtasks takes as a command (docs: schtasks create, 2026-09)."""


class Job(NamedTuple):
    """What is started."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    """Variables that it is given beside what the scheduler sets."""


class Range(NamedTuple):
    """How a notation writes first to last, and the same in steps."""

    dash: str
    step: str
    width: int
    """Digits of a number."""


CRON: Final = Range("{}-{}", "{}-{}/{}", 1)
SYSTEMD: Final = Range("{}..{}", "{}..{}/{}", 2)


def clock_text(minute: int) -> str:
    """A minute of the day as a clock time: 535 is `08:55`."""
    return f"{minute // 60:02}:{minute % 60:02}"


def offset_text(offset: dt.timedelta) -> str:
    """`UTC+05:30`."""
    minutes = _minutes(offset)
    return f"UTC{'-' if minutes < 0 else '+'}{clock_text(abs(minutes))}"


def cron_times(starts: Sequence[int], offset: dt.timedelta) -> list[str]:
    """The five fields of the crontab lines that run at `starts` every day on a clock at `offset` from UTC."""
    there = [(minute - IST_AHEAD + _minutes(offset)) % DAY for minute in starts]
    return [f"{_some(minutes, CRON, 60)} {_some(hours, CRON, 24)} * * *" for hours, minutes in _by_hour(there)]


def calendar_events(starts: Sequence[int]) -> list[str]:
    """The OnCalendar values that elapse at `starts` every day, whatever the machine's zone."""
    return [
        f"*-*-* {_some(hours, SYSTEMD, 24)}:{_some(minutes, SYSTEMD, 60)}:00 Asia/Kolkata"
        for hours, minutes in _by_hour(starts)
    ]


def _minutes(offset: dt.timedelta) -> int:
    return round(offset.total_seconds() / 60)


def _by_hour(starts: Sequence[int]) -> Iterator[tuple[list[int], tuple[int, ...]]]:
    """Hours that have the same minutes, in the order in which they first come."""
    hours: dict[int, set[int]] = {}
    for minute in starts:
        hours.setdefault(minute // 60, set()).add(minute % 60)
    alike: dict[tuple[int, ...], list[int]] = {}
    for hour, minutes in hours.items():
        alike.setdefault(tuple(sorted(minutes)), []).append(hour)
    for same, which in alike.items():
        yield sorted(which), same


def _some(numbers: Sequence[int], form: Range, end: int) -> str:
    """Numbers below `end`, in order, as one field."""
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    if len(numbers) > 2 and len(steps) == 1 and steps != {1}:
        step = steps.pop()
        if form is CRON and numbers[0] == 0 and numbers[-1] + step >= end:
            return f"*/{step}"
        return form.step.format(_digits(numbers[0], form), _digits(numbers[-1], form), step)
    return ",".join(_runs(numbers, form))


def _runs(numbers: Sequence[int], form: Range) -> Iterator[str]:
    """Numbers, with those that follow each other as a range."""
    for _, group in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [_digits(number, form) for _, number in group]
        yield form.dash.format(run[0], run[-1]) if len(run) > 2 else ",".join(run)


def _digits(number: int, form: Range) -> str:
    return f"{number:0{form.width}}"


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


def unit_command(job: Job) -> str:
    """The value of ExecStart."""
    return " ".join(_unit_word(word).replace("$", "$$") for word in job.command)


def unit_environment(job: Job) -> list[str]:
    """The values of Environment."""
    return [_unit_word(f"{name}={value}") for name, value in job.environment.items()]


def unit_text(text: str) -> str:
    """Text for a unit file, in which a percent sign means something."""
    return text.replace("%", "%%")


def _unit_word(word: str) -> str:
    if "\n" in word or "\r" in word:
        raise UsageError("a path with a line break cannot be in a unit file", where=repr(word))
    word = unit_text(word)
    if word and not set(word) & set(" \t\"'\\;"):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def task_command(job: Job, name: str, starts: Sequence[int], offsets: Sequence[dt.timedelta]) -> str:
    """The schtasks command that starts the job daily at `starts`, which are evenly spaced, on the machine's clock.

    With several offsets over the year, the repetitions reach over the starts of each.
    """
    minutes = [_minutes(offset) for offset in offsets]
    begin = (starts[0] - IST_AHEAD + min(minutes)) % DAY
    words = f"schtasks /create /tn {name} /sc daily /st {clock_text(begin)}"
    if len(starts) > 1:
        every = starts[1] - starts[0]
        span = min(starts[-1] - starts[0] + every + max(minutes) - min(minutes), DAY - every)
        words += f" /ri {every} /du {clock_text(span)}"
    line = subprocess.list2cmdline(job.command)
    if len(line) > TASK_LIMIT:
        raise UsageError(f"schtasks takes no command of {len(line)} characters", where=line, hint="Use shorter paths")
    escaped = line.replace('"', '\\"')
    return f'{words} /tr "{escaped}"'
