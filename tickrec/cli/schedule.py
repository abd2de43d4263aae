"""The command schedule: what has the machine start the recorder."""

import json
import os
from typing import Annotated

import typer

from tickrec.cli.common import Common, JsonOption, answer, command, say
from tickrec.cli.options import value_of
from tickrec.errors import UsageError


@command()
def schedule(
    common: Common,
    at: Annotated[str | None, typer.Option("--at", metavar="HH:MM", help="One start a day instead, IST: 9:15.")] = None,
    install: Annotated[bool, typer.Option("--install", help="Put it into your crontab.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take it out of your crontab again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Have the machine start the recorder every day.

    Prints a crontab entry, a systemd timer, or a task for Windows.
    """
    from tickrec import values
    from tickrec.clock import SystemClock
    from tickrec.schedule import schedule as schedules
    from tickrec.schedule.crontab import Crontab

    settings = common.settings
    if install and remove:
        raise UsageError("--install and --remove exclude each other")
    if remove:
        return say(schedules.remove(schedules.mark_of(settings), Crontab()))
    now_ns, start = SystemClock.wall_ns(), value_of("--at", values.time_of_day, at)
    machine = schedules.this_machine(os.environ, now_ns)
    planned = schedules.plan_schedule(settings, machine, os.environ, now_ns, simulate=common.simulate, at=start)
    if as_json:
        answer(json.dumps(schedules.to_json(planned), indent=2))
    else:
        answer("\n".join(schedules.crontab_lines(planned)) if install else schedules.text(planned).rstrip())
        for note in planned.notes:
            say(f"\n{note}")
    if install:
        say(schedules.install(planned, Crontab()))
