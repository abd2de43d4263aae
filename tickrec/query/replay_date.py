"""Replay date: which date a store holds a replay of, so that the stamps in it are not compared with our clock."""

import datetime as dt
import re
from typing import Final

from tickrec.store.paths import Store

_REPLAY: Final = re.compile(r"replay (?:\d{4}-\d\d-\d\d, )*(\d{4}-\d\d-\d\d)")


def replayed_date(store: Store) -> dt.date | None:
    """The last date that was replayed into a store; None: it is no replay's.

    Raises DataError for a journal of a newer format, OSError.
    """
    from tickrec.store.manifest import stored_source  # loaded for the few questions that need it

    match = _REPLAY.fullmatch(stored_source(store) or "")
    return dt.date.fromisoformat(match[1]) if match else None
