"""Task Scheduler: the command that has Windows start the recorder. Its starts are evenly spaced."""

import subprocess
from typing import Final

from tickrec.errors import UsageError
from tickrec.schedule.schedule import NAME, Schedule
from tickrec.schedule.time_fields import DAY, IST_AHEAD, clock_text, in_minutes

TASK_LIMIT: Final = 261
"""Characters that schtasks takes as a command (docs: schtasks create, 2026-09)."""


def task_command(schedule: Schedule) -> str:
    """The schtasks command that starts the recorder daily, on the machine's clock.

    With several offsets over the year, the repetitions reach over the starts of each. Raises UsageError.
    """
    starts, minutes = schedule.minutes, [in_minutes(offset) for offset in schedule.machine.offsets]
    begin = (starts[0] - IST_AHEAD + min(minutes)) % DAY
    words = f"schtasks /create /tn {NAME} /sc daily /st {clock_text(begin)}"
    if len(starts) > 1:
        every = starts[1] - starts[0]
        span = min(starts[-1] - starts[0] + every + max(minutes) - min(minutes), DAY - every)
        words += f" /ri {every} /du {clock_text(span)}"
    line = subprocess.list2cmdline(schedule.job.command)
    if len(line) > TASK_LIMIT:
        raise UsageError(f"schtasks takes no command of {len(line)} characters", where=line, hint="Use shorter paths")
    escaped = line.replace('"', '\\"')
    return f'{words} /tr "{escaped}"'
