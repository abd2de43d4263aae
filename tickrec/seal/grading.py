"""Grading: how complete a date is, for its manifest.

Owns that this never keeps a date from being sealed, and never takes the memory that sealing does without.
"""

import datetime as dt
from typing import Final

from tickrec import logs
from tickrec.check.day_check import Verdict, check_date
from tickrec.clock import Clock
from tickrec.errors import NothingToRecord
from tickrec.store.paths import Store

MEMORY: Final = "300MB"
"""Of DuckDB; what does not fit goes to the disk."""


def graded(store: Store, date: dt.date, clock: Clock) -> Verdict | None:
    """The verdict on a date whose files are in place; None while its session lasts, and when nobody can tell."""
    try:
        report = check_date(store, date, clock, memory_limit=MEMORY)
    except NothingToRecord:
        return None
    except Exception as error:  # noqa: BLE001 - the named boundary of grading: a date without a grade is sealed, too
        logs.log_unexpected(f"{date} is sealed, but could not be graded: {error!r}", error)
        return None
    return None if report.lasts else Verdict(report.grade, report.sentence)
