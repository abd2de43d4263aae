"""Replay date: which date a store holds a replay of, so that the stamps in it are not compared with our clock."""

import datetime as dt
import re
from typing import Final

from tickrec.store.paths import Store

_REPLAY: Final = re.compile(r"replay (?:\d{4}-\d\d-\d\d, )*(\d{4}-\d\d-\d\d)")


def replayed_date(store: Store) -> dt.date | None:
    """The last date that was replayed into a store, as its newest journal says; None: it is no replay's.

    Raises DataError for a journal of a newer format, OSError.
    """
    from tickrec.journal.format import file_numbers
    from tickrec.journal.scan import JournalFile

    for date in reversed(store.dates()):
        if numbers := file_numbers(store.journal(date)):
            with JournalFile(store.journal(date), numbers[-1]) as file:
                header = file.header()
            match = _REPLAY.fullmatch(header.source) if header else None
            return dt.date.fromisoformat(match[1]) if match else None
    return None
