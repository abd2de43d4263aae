"""The command schedule: what has the machine start the recorder, and keep a relay running."""

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
    relay: Annotated[bool, typer.Option("--relay", help="The systemd unit of `tickrec relay` instead.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Have the machine start the recorder every day.

    Prints a crontab entry, a systemd timer, or a task for Windows.
    """
    from tickrec import values
    from tickrec.clock import SystemClock
    from tickrec.schedule import crontab, printout
    from tickrec.schedule import schedule as schedules

    settings = common.settings
    given = {"--at": at, "--install": install, "--remove": remove, "--relay": relay}
    ways = [name for name, value in given.items() if value and name != "--at"]
    if len(ways) > 1 or (relay and at):
        raise UsageError(f"{' and '.join(name for name, value in given.items() if value)} exclude each other")
    if remove:
        return say(crontab.remove(schedules.mark_of(settings), crontab.Crontab()))
    now_ns, start = SystemClock.wall_ns(), value_of("--at", values.time_of_day, at)
    machine = schedules.this_machine(os.environ, now_ns)
    if relay:
        job, data = schedules.relay_job(settings, machine, simulate=common.simulate), settings.store.data
        unit = printout.relay_json(job, machine, data) if as_json else printout.relay_text(job, machine, data)
        return answer(json.dumps(unit, indent=2) if as_json else str(unit).rstrip())
    planned = schedules.plan_schedule(settings, machine, os.environ, now_ns, simulate=common.simulate, at=start)
    if as_json:
        answer(json.dumps(printout.to_json(planned), indent=2))
    else:
        answer("\n".join(crontab.crontab_lines(planned)) if install else printout.text(planned).rstrip())
        for note in planned.notes:
            say(f"\n{note}")
    if install:
        say(crontab.install(planned, crontab.Crontab()))
