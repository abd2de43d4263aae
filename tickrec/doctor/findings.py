"""Findings: what the doctor found, one line each, and what to do about it.

Owns how they are shown and which exit code they make. Knows nothing of what was examined.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tickrec.errors import ExitCode
from tickrec.formatting import plural
from tickrec.screen.lines import Page, Piece, Tone

OK: Final = "ok"
WARN: Final = "warn"
FAIL: Final = "fail"
_TONES: Final = {OK: Tone.FAINT, WARN: Tone.STRONG, FAIL: Tone.ALARM}
_NAMES: Final = 8
"""Characters of the longest name of a check."""
_NARROWEST: Final = 20
"""Characters that a text is given at least, however narrow the terminal."""


class Finding(NamedTuple):
    """What a look at something has found."""

    result: str
    """OK, WARN or FAIL."""
    text: str
    hint: str = ""
    """What to do."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the examination."""

    name: str
    result: str
    text: str
    hint: str = ""


def exit_code(checks: Sequence[Check]) -> ExitCode:
    """DATA if anything fails; warnings are DONE."""
    return ExitCode.DATA if any(check.result == FAIL for check in checks) else ExitCode.DONE


def to_json(checks: Sequence[Check]) -> dict[str, Any]:
    """The checks as JSON values; `result` is the worst of all."""
    worst = max((check.result for check in checks), key=(OK, WARN, FAIL).index, default=OK)
    rows = [
        {"name": check.name, "result": check.result, "text": check.text, "hint": check.hint or None} for check in checks
    ]
    return {"result": worst, "checks": rows}


def page_of(check: Check, width: int) -> Page:
    """A check as lines, with its hint below."""
    shown = Page(max(width, len(_head(FAIL, "")) + _NARROWEST))
    head = _head(check.result, check.name)
    room = shown.width - len(head)
    lines = textwrap.wrap(check.text, room) or [""]
    shown.spread(Piece(check.result, _TONES[check.result]), Piece((head + lines[0])[len(check.result) + 2 :]))
    for line in [*lines[1:], *(textwrap.wrap(check.hint, room) if check.hint else [])]:
        shown.spread(Piece(" " * len(head) + line))
    return shown


def summary(checks: Sequence[Check], width: int) -> Page:
    """The line that sums the checks up."""
    shown = Page(width)
    shown.say(_sum(checks), Tone.PLAIN if exit_code(checks) is ExitCode.DONE else Tone.ALARM)
    return shown


def _head(result: str, name: str) -> str:
    return f"{result:<4}  {name:<{_NAMES}}  "


def _sum(checks: Sequence[Check]) -> str:
    counts = {result: sum(check.result == result for check in checks) for result in (FAIL, WARN)}
    if not any(counts.values()):
        return "ready to record"
    said = [f"{counts[FAIL]} of {plural(len(checks), 'check')} failed"] if counts[FAIL] else ["ready to record"]
    return ", ".join([*said, *([plural(counts[WARN], "warning")] if counts[WARN] else [])])
