"""The command status: how a store is doing, once or as a live table."""

import contextlib
import json
import os
import sys
from typing import Annotated

import typer

from tickrec.cli.common import ColoursOption, Common, JsonOption, answer, command, say
from tickrec.cli.options import colours_of
from tickrec.errors import UsageError, options_given, to_run


@command()
def status(
    common: Common,
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="The live table of a recorder running elsewhere.")] = False,
    colours: ColoursOption = None,
) -> None:
    """Say whether it records, how far it is, and what is kept."""
    from tickrec.clock import SystemClock
    from tickrec.config import SIMULATED
    from tickrec.screen import display
    from tickrec.screen.beside import can_show
    from tickrec.screen.report import status_page
    from tickrec.status import status as reports
    from tickrec.status.as_json import to_json
    from tickrec.store.paths import Store

    store, clock = Store(common.settings.store.data), SystemClock()
    palette = colours_of(colours)
    if watch:
        if not can_show(sys.stdout, os.environ):
            hint = f"{to_run('status')} says how it is once, and with --json for programs"
            raise UsageError("--watch needs a terminal", hint=hint)
        from tickrec.screen.viewer import watch as watch_until_over

        with contextlib.suppress(KeyboardInterrupt):
            watch_until_over(store, clock, sys.stdout, palette)
    report = reports.collect(store, clock, common.settings.record.start)
    if as_json:
        answer(json.dumps(to_json(report), indent=2))
    else:
        display.put(status_page(report, display.page_width(sys.stdout), option=options_given()), sys.stdout)
        if not store.dates() and Store(store.root / SIMULATED).dates():
            say("the simulated market has been recorded: see `tickrec status --simulate`")
    raise SystemExit(report.exit_code)
