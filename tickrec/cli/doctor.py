"""The command doctor: everything that a recording depends on."""

import json
import sys
from typing import Annotated

import typer

from tickrec.cli.common import Common, JsonOption, answer, command


@command()
def doctor(
    common: Common,
    test_alert: Annotated[
        bool, typer.Option("--test-alert", help="Run on_alert and on_done, to see that they reach you.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at everything that a recording depends on.

    Says what to do about what is wrong; exit code 5 if something fails.
    """
    from tickrec.clock import SystemClock
    from tickrec.doctor import examine as examination
    from tickrec.screen import display

    if common.verbose:  # what is said otherwise is in the checks
        common.log_to_stderr()
    checks, width = [], display.page_width(sys.stdout)
    with common.broker() as (settings, environ):
        found = examination.examine(settings, environ, SystemClock(), simulate=common.simulate, test_alert=test_alert)
        for check in found:
            checks.append(check)
            if not as_json:
                display.put(examination.page_of(check, width), sys.stdout)
                sys.stdout.flush()
    if as_json:
        answer(json.dumps(examination.to_json(checks), indent=2))
    else:
        display.put(examination.summary(checks, width), sys.stdout)
    raise SystemExit(examination.exit_code(checks))
