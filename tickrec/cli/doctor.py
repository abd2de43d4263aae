"""The command doctor: everything that a recording depends on."""

import json
import sys

from tickrec.cli.common import Common, JsonOption, answer, command


@command()
def doctor(common: Common, as_json: JsonOption = False) -> None:
    """Look at everything that a recording depends on.

    Says what to do about what is wrong; exit code 5 if something fails.
    """
    from tickrec.clock import SystemClock
    from tickrec.doctor import examine as examination
    from tickrec.screen import display

    with common.broker() as (settings, environ):
        checks = list(examination.examine(settings, environ, SystemClock(), simulate=common.simulate))
    if as_json:
        answer(json.dumps(examination.to_json(checks), indent=2))
    else:
        display.put(examination.page(checks, display.page_width(sys.stdout)), sys.stdout)
    raise SystemExit(examination.exit_code(checks))
