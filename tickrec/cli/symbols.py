"""The command symbols: what selectors mean today."""

import json
from typing import Annotated

import typer

from tickrec.cli.common import Common, JsonOption, ModeOption, answer, command
from tickrec.cli.completion import complete_symbol
from tickrec.cli.options import mode_of, value_of
from tickrec.cli.progress_bars import download_line


@command()
def symbols(
    common: Common,
    selectors: Annotated[
        list[str],
        typer.Argument(
            autocompletion=complete_symbol, metavar="SEL...", help="fno, RELIANCE, NIFTY:opt:10, @file, ..."
        ),
    ],
    mode: ModeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a selector means today, and what it needs."""
    from tickrec.clock import SystemClock
    from tickrec.record import selection
    from tickrec.record.plan import Options

    settings = common.settings
    options = Options(symbols=tuple(selectors), mode=value_of("--mode", mode_of, mode) or settings.record.mode)
    common.log_to_stderr()
    with common.broker() as (settings, environ):
        found = selection.select(settings, options, environ, SystemClock(), download_line)
    if as_json:
        answer(json.dumps(selection.to_json(found), indent=1, ensure_ascii=False))
    else:
        answer("\n".join(selection.to_lines(found)))
