"""Join state: how a date that is being recorded stands at this moment, from as little of its journal as can be.

Owns the way there: what no Parquet part covers is read whole, and of the parts, newest first, only the entries of those
that have an instrument not met yet. A recorder that has run all day is joined as fast as one that has just begun.
"""

import datetime as dt
import logging
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Final

from tickrec.errors import DataError
from tickrec.journal import Follow, Journal
from tickrec.journal.entry import Entry
from tickrec.journal.history import History
from tickrec.serve.recorded_market import Recorded
from tickrec.store.coverage import Coverage, Part, coverage, read_footer
from tickrec.store.parquet import opened
from tickrec.store.paths import Store

_PIECE: Final = 1_000
"""Entries read at a time."""

log = logging.getLogger("tickrec")


def stand(store: Store, date: dt.date, recorded: Recorded) -> Follow:
    """Bring a market that knows nothing to where the journal of a date is now; what follows is left to read.

    Raises DataError, OSError.
    """
    covered = _covered(store, date)
    follow = Follow(store.journal(date), covered.next_seq, start=covered.position)
    while entries := follow.poll(_PIECE):
        recorded.skip(entries)
    try:
        _add_parts(store, covered, recorded)
    except (DataError, FileNotFoundError) as error:  # sealing has removed a part, or one is damaged
        log.info("all of the journal of %s is read: %s", date, error)
        recorded.precede(_read(Journal(store.journal(date)).entries(last_seq=covered.next_seq - 1)))
    return follow


def _covered(store: Store, date: dt.date) -> Coverage:
    """The parts of a date. What was sealed before it went on has no places in the journal: then nothing is covered."""
    try:
        covered = coverage(store, date)
    except DataError:
        return Coverage(date)
    return Coverage(date) if covered.sealed is not None else covered


def _add_parts(store: Store, covered: Coverage, recorded: Recorded) -> None:
    recorded.learn(History.from_text(covered.history).symbols)
    status = covered.small_parts.get("market_status", ())
    with_info = status[-1].name if status else ""
    for part, before in _backwards(covered):
        wanted = recorded.unmet()
        if not recorded.last_ns or (part.path.name == with_info and not recorded.info) or wanted & _keys(part):
            start = read_footer(before.path).position if before is not None else None
            journal = Journal(store.journal(covered.date))
            recorded.precede(_read(journal.entries(part.first, start=start, last_seq=part.last)))


def _backwards(covered: Coverage) -> Iterator[tuple[Part, Part | None]]:
    """The parts, newest first, each with the one before it."""
    yield from ((part, before) for part, before in pairwise((*reversed(covered.parts), None)) if part is not None)


def _read(entries: Iterator[Entry]) -> Recorded:
    """How a market stands after some entries."""
    found = Recorded()
    while piece := list(islice(entries, _PIECE)):
        found.skip(piece)
    return found


def _keys(part: Part) -> set[str]:
    """The instruments of a part."""
    with opened(part.path) as file:
        keys = file.read(columns=["instrument_key"])["instrument_key"]
    return set(keys.unique().to_pylist())
