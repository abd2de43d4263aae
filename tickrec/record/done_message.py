"""Done message: what the owner is told when a run has ended well and its day is sealed and checked.

Owns the line of `on_done`. The check is `tickrec check --json` in a process of its own, whose answer the command gets
on its stdin.
"""

import datetime as dt
import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from tickrec import children
from tickrec.config import Config
from tickrec.errors import ExitCode
from tickrec.formatting import duration, plural
from tickrec.record.owner_command import tell

log = logging.getLogger("tickrec")

CHECK_SECONDS: Final = 1800.0
"""The largest day takes a minute to check; a child that takes longer hangs, and would keep the run from ending."""
_CHECKED: Final = (ExitCode.DONE, ExitCode.DATA)
"""The exit codes of a check that has found a grade."""


async def tell_done(config: Config, date: dt.date, *, check_seconds: float = CHECK_SECONDS) -> None:
    """Check a date and run `on_done` with what was found, if there is such a command. What fails is logged, and a check
    that takes longer than `check_seconds` fails."""
    if config.record.on_done is None:
        return
    given = ["--data", str(config.store.data), *(["--config", str(config.path)] if config.path else [])]
    code, report, said = await children.run("tickrec", "check", str(date), "--json", *given, seconds=check_seconds)
    if code in _CHECKED and report:
        await tell("on_done", children.split_command(config.record.on_done), words_of(json.loads(report)), report)
    else:
        why = said[-1] if said else "no answer"
        log.warning("%s could not be checked, so that on_done is not run: %s", date, why)


def words_of(report: Mapping[str, Any]) -> str:
    """A report in one line: `2026-11-27 grade A, 1,02,44,871 ticks of 220 instruments, no gaps`."""
    ticks = [each["ticks"] for each in report["instruments"] if each["ticks"]]
    counts = f"{plural(sum(ticks), 'tick')} of {plural(len(ticks), 'instrument')}"
    return f"{report['date']} grade {report['grade']}, {counts}, {_gaps(report['gaps'])}"


def _gaps(gaps: list[Mapping[str, Any]]) -> str:
    lengths = [each["seconds"] for each in gaps if each["seconds"] is not None]
    together = f" ({duration(sum(lengths))})" if lengths else ""
    return f"{plural(len(gaps), 'gap')}{together}" if gaps else "no gaps"
