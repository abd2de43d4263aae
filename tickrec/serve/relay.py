"""Relay: the day that is being recorded as a source, read from the journal as a recorder on this machine writes it.

Owns the place in the journal, over the recorder's restarts and midnight. It only reads: nothing that it does, and no
client of it, can reach the recording.
"""

import logging
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

from tickrec.clock import SECOND, start_of_date
from tickrec.files import lock_holder
from tickrec.journal import Follow
from tickrec.journal.entry import Entry
from tickrec.market.calendar import trading_date
from tickrec.serve.join_state import stand
from tickrec.serve.recorded_market import RecordedSource
from tickrec.serve.source import Moment, Update
from tickrec.store.paths import Store

POLL_S: Final = 0.0125
"""Between two looks at the journal. A look that finds nothing costs 0.1 ms, most of it the event loop's."""
_PIECE: Final = 1_000
"""Entries read before the clients are listened to again."""

log = logging.getLogger("tickrec")


class Relay(RecordedSource):
    """The journal of today, and of the next day when it has begun."""

    name: Final = "relay"
    lossless: Final = False
    ended: Final = False

    def __init__(self, store: Store, now_ns: int) -> None:
        """Read what the day of `now_ns` (wall time) has so far, without sending it. Raises DataError, OSError."""
        super().__init__(store)
        self._date = trading_date(now_ns)
        self._folder = store.journal(self._date)
        self._follow = stand(store, self._date, self._recorded)
        self._next_date_ns = start_of_date(now_ns) + 86_400 * SECOND
        self._newest: Path | None = None
        self._read = (0, 0)
        """The extent of the journal when it was read last."""
        self._more = True
        """Whether there was more than a piece then."""
        self._messages = 0
        self._told: set[str] = set()
        if lock_holder(store.record_lock) is None:
            log.warning("nothing is recording into %s: the relay waits for it", store.root)

    def pause_s(self, _now: Moment) -> float:
        """Seconds until the journal is looked at again."""
        return POLL_S

    def due(self, now: Moment) -> Iterator[Update]:
        """The messages that have come into the journal. Raises DataError, OSError."""
        entries = self._new_entries()
        if not entries:
            self._turn_to_the_next_date(now.wall_ns)
        for entry in entries:
            update = self._recorded.take(entry)
            if update is not None:
                self._messages += 1
                yield update

    def _new_entries(self) -> list[Entry]:
        """A piece of what was written since the last time. A journal that has not grown is not read: it is looked at
        many times a second."""
        extent = self._extent()
        if extent == self._read and not self._more:
            return []
        entries = self._follow.poll(_PIECE)
        self._read, self._more = extent, len(entries) == _PIECE
        return entries

    def _extent(self) -> tuple[int, int]:
        """When a file was added to the journal, and how long the newest is."""
        try:
            changed = os.stat(self._folder).st_mtime_ns
            if changed != self._read[0] or self._newest is None:
                self._newest = self._store.journal_files(self._date)[-1]
            return changed, os.stat(self._newest).st_size
        except (FileNotFoundError, IndexError):
            self._newest = None
            return 0, 0

    def _turn_to_the_next_date(self, wall_ns: int) -> None:
        """Go on with the date of the clock once something of it is recorded, all of the one before having been read."""
        if wall_ns < self._next_date_ns:
            return
        date = trading_date(wall_ns)
        if self._store.journal_files(date):
            self._date = date
            self._folder = self._store.journal(date)
            self._newest, self._more = None, True
            self._follow = Follow(self._folder)
            self._next_date_ns = start_of_date(wall_ns) + 86_400 * SECOND

    def want(self, keys: Collection[str], _now: Moment) -> None:
        """Be told what clients have subscribed to; what is not recorded is named in the log, once."""
        self._wanted = keys
        if unknown := [key for key in self._unrecorded() if key not in self._told]:
            self._told |= set(unknown)
            log.warning("asked for, but not recorded, so it stays silent: %s", ", ".join(unknown))

    def _unrecorded(self) -> list[str]:
        return [key for key in self._wanted if key not in self._recorded.symbols]

    def status(self, now: Moment) -> dict[str, Any]:
        """What is relayed, how old the newest message is, and what was asked for in vain."""
        last_ns = self._recorded.last_ns
        return {
            "source": self.name,
            "date": str(self._date),
            "messages": self._messages,
            "last_message_age_s": (now.wall_ns - last_ns) / SECOND if last_ns else None,
            "recording": lock_holder(self._store.record_lock) is not None,
            "not_recorded": self._unrecorded(),
        }
