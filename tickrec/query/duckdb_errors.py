"""DuckDB's errors: what is wrong with a statement, in one line, with its place and, for common slips, what to write.

Owns the reading of DuckDB's error texts. Does not know the store.
"""

import re
from typing import Final

from tickrec.errors import UsageError

EXPLAIN: Final = "EXPLAIN "
"""In front of a statement, lets DuckDB look at it without running it."""

_LABEL: Final = re.compile(r"[A-Z][A-Za-z -]{1,40}(Error|Exception): ")
_EXCERPT: Final = re.compile(r"\n\nLINE (\d+): (.*)\n( *)\^+", re.DOTALL)


def usage_error(error: BaseException, sql: str) -> UsageError:
    """A DuckDB error about a statement, in one line with its place."""
    text = str(error)
    place = ""
    if excerpt := _EXCERPT.search(text):
        text = text[: excerpt.start()]
        place = _excerpt_place(int(excerpt[1]), excerpt[2], len(excerpt[3]), sql)
    lines = [line.strip() for line in _LABEL.sub("", text, count=1).splitlines() if line.strip()]
    what = lines[0].rstrip("!.") if lines else type(error).__name__
    hint = next((line for line in lines[1:] if line.startswith(("Did you mean", "Candidate bindings"))), "")
    return UsageError(what, where=place, hint=_instead(what) or hint)


_TIME_OF_DAY: Final = re.compile(r'invalid timestamp field format: "\d\d?:\d\d')
_NO_COLUMN: Final = re.compile(r'Referenced column "([A-Z0-9&-]+)" not found')


def _instead(what: str) -> str:
    """What to write instead, where the slip is a common one."""
    if match := _NO_COLUMN.match(what):
        return f"A text is written in single quotes: '{match[1]}'"
    if _TIME_OF_DAY.match(what) or "(TIMESTAMP WITH TIME ZONE -> TIME)" in what:
        day = "CAST(recv_ts AT TIME ZONE 'Asia/Kolkata' AS TIME)"
        return f"A moment is '2026-11-23 10:30', a time of day {day} >= '10:30'"
    return ""


def _excerpt_place(line: int, shown: str, indent: int, sql: str) -> str:
    """The line and column that DuckDB marks under an excerpt of the text; long lines are shown in part."""
    text = shown.removeprefix("...").removesuffix("...")
    skipped = len(f"LINE {line}: ") + len(shown) - len(shown.removeprefix("..."))
    lines = sql.splitlines()
    written = lines[line - 1] if line <= len(lines) else ""
    if text.startswith(EXPLAIN) and not written.startswith(EXPLAIN):
        text, skipped = text.removeprefix(EXPLAIN), skipped + len(EXPLAIN)
    if text not in written:  # the statement ran inside another
        line, written = next((pair for pair in enumerate(lines, 1) if text in pair[1]), (line, written))
    start = written.find(text)
    return f"line {line}, column {indent - skipped + start + 1}" if start >= 0 else f"line {line}"
