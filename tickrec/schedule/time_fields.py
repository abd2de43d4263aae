"""Time fields: the minutes of a day at which something is started, as fields of cron's and systemd's lines.

Minutes are of the day in IST, in order, unless said otherwise. Knows nothing of what is started.
"""

import datetime as dt
import itertools
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

DAY: Final = 24 * 60
"""Minutes."""
IST_AHEAD: Final = 330
"""Minutes that IST is ahead of UTC."""


class Form(NamedTuple):
    """How first to last, and the same in steps, is written."""

    dash: str
    step: str
    width: int
    """Digits of a number."""
    all_in_steps: str = ""
    """The same for steps over all numbers that there are; empty where that is written like other steps."""


def clock_text(minute: int) -> str:
    """A minute of the day as a clock time: 535 is `08:55`."""
    return f"{minute // 60:02}:{minute % 60:02}"


def offset_text(offset: dt.timedelta) -> str:
    """`UTC+05:30`."""
    minutes = in_minutes(offset)
    return f"UTC{'-' if minutes < 0 else '+'}{clock_text(abs(minutes))}"


def in_minutes(offset: dt.timedelta) -> int:
    """An offset from UTC in minutes."""
    return round(offset.total_seconds() / 60)


def by_hour(starts: Sequence[int]) -> Iterator[tuple[list[int], tuple[int, ...]]]:
    """Hours that have the same minutes, in the order in which they first come."""
    hours: dict[int, set[int]] = {}
    for minute in starts:
        hours.setdefault(minute // 60, set()).add(minute % 60)
    alike: dict[tuple[int, ...], list[int]] = {}
    for hour, minutes in hours.items():
        alike.setdefault(tuple(sorted(minutes)), []).append(hour)
    for same, which in alike.items():
        yield sorted(which), same


def field(numbers: Sequence[int], form: Form, end: int) -> str:
    """Numbers below `end`, in order, as one field of a line."""
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    if len(numbers) > 2 and len(steps) == 1 and steps != {1}:
        step = steps.pop()
        if form.all_in_steps and numbers[0] == 0 and numbers[-1] + step >= end:
            return form.all_in_steps.format(step)
        return form.step.format(_digits(numbers[0], form), _digits(numbers[-1], form), step)
    return ",".join(_runs(numbers, form))


def _runs(numbers: Sequence[int], form: Form) -> Iterator[str]:
    """Numbers, with those that follow each other as a range."""
    for _, group in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [_digits(number, form) for _, number in group]
        yield form.dash.format(run[0], run[-1]) if len(run) > 2 else ",".join(run)


def _digits(number: int, form: Form) -> str:
    return f"{number:0{form.width}}"
