"""The arguments of the macros, and what is wrong with them in plain words.

DuckDB tells of a bad interval or time in its own terms, and only once rows go through it. So those that are written as
plain values are looked at before anything runs; computed ones are left to DuckDB.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from tickrec.errors import UsageError
from tickrec.query.sandbox import Call

if TYPE_CHECKING:
    import duckdb


class _Kind(NamedTuple):
    """What an argument has to be: SQL that is true of such a text, and words for it."""

    test: str
    what: str
    hint: str


_NUMBER: Final = re.compile(r"[-+0-9. ]*")
_INTERVAL: Final = "Write it as '30 seconds', '5 minutes' or '1 hour'"
_KINDS: Final = {
    ("candles", "interval"): _Kind(
        "epoch_us(TRY_CAST($text AS INTERVAL)) BETWEEN 1000000 AND 86400000000",
        "no interval from 1 second to 1 day",
        _INTERVAL,
    ),
    ("spikes", "window"): _Kind("epoch_us(TRY_CAST($text AS INTERVAL)) > 0", "no length of time", _INTERVAL),
    ("spikes", "percent"): _Kind(
        "TRY_CAST($text AS DOUBLE) > 0", "no percentage above 0", "Write it as 0.5 or 2, without a sign"
    ),
    ("option_chain", "at"): _Kind(
        "TRY_CAST($text AS TIMESTAMPTZ) IS NOT NULL OR TRY_CAST($text AS TIME) IS NOT NULL",
        "no moment",
        "Write it as '10:30', a time of the newest date, or as '2026-11-23 10:30:05'",
    ),
}


def check_arguments(connection: "duckdb.DuckDBPyConnection", calls: Iterable[Call]) -> None:
    """Raise UsageError for the first argument that cannot be what it has to be."""
    for call in calls:
        for name, text in call.given.items():
            kind = _KINDS.get((call.macro, name))
            if kind is not None and not _holds(connection, kind, text):
                raise UsageError(f"{call.macro}: {text or 'nothing'} is {kind.what}", where=call.where, hint=kind.hint)


def _holds(connection: "duckdb.DuckDBPyConnection", kind: _Kind, text: str) -> bool:
    if kind.hint == _INTERVAL and _NUMBER.fullmatch(text):  # DuckDB takes a bare number for seconds
        return False
    row = connection.execute(f"SELECT {kind.test}", {"text": text}).fetchone()
    return bool(row and row[0])
