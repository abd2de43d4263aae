"""Day: one trading date while it is recorded.

Owns the date's lock, journal writer and part writer, its gaps so far, and what its connections said last, so that a
run that crosses midnight hands over from one Day to the next. Does not know sockets, tasks or signals.
"""

import datetime as dt
from collections import deque
from collections.abc import Sequence
from typing import Final

from tickrec import __version__
from tickrec.clock import IST, Clock, from_datetime
from tickrec.errors import StorageError
from tickrec.files import Lock
from tickrec.journal import Journal, JournalWriter, repair
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.journal.gaps import Gap
from tickrec.journal.history import History
from tickrec.store.coverage import Coverage, coverage
from tickrec.store.parts import Flushed, PartWriter
from tickrec.store.paths import Store
from tickrec.store.rows import stored_rows
from tickrec.upstox.decode.peek import count_feeds
from tickrec.upstox.rest import SOURCE

SessionRow = tuple[str, int, int, str]
"""A session: segment, start and end in wall nanoseconds, who says so."""
NEWEST_GAPS: Final = 100
MIDNIGHT: Final = "midnight"
"""Reason of the goodbye to a date that a run leaves behind; what lasts then goes on in the next."""


class Day:
    """A trading date of a store, opened for recording.

    Opening sets a torn tail aside, numbers on from the last entry, and begins a new journal file with a "start" note.
    Raises AlreadyRecording if the date is being sealed or rebuilt, DataError if its journal is of another source or
    a newer format, StorageError if the journal cannot be written.
    """

    def __init__(self, store: Store, date: dt.date, clock: Clock, source: str = SOURCE) -> None:
        """`source`: what its messages are, for the header of the journal."""
        self.date = date
        self.begin_ns = from_datetime(dt.datetime.combine(date, dt.time(), IST))
        self.end_ns = from_datetime(dt.datetime.combine(date + dt.timedelta(days=1), dt.time(), IST))
        self.gaps: deque[Gap] = deque(maxlen=NEWEST_GAPS)
        """The newest of the date's gaps that have ended, in this run or before."""
        self.gaps_ended = 0
        self.gaps_ns = 0
        """How many have ended in all, and how long they were together."""
        self.unflushed = 0
        """Ticks in the journal that are not in Parquet."""
        self.flushed_seq = 0
        """The last entry covered by a part."""
        self.flushed_ns: int | None = None
        """Everything received until then is in Parquet, as far as it came in this run."""
        self.flushed_bytes = 0
        """Size of the journal then."""
        self.asked_before: dict[str, str] = {}
        """Trading symbol of every key that earlier runs asked for on the date."""
        self.followed_before: frozenset[str] = frozenset()
        """Those of them that were asked for because the money moved."""
        self._gaps_seen = 0
        self._noted_sessions: Sequence[SessionRow] | None = None
        self._clock = clock
        self._spoken: dict[int, list[Entry]] = {}
        """What each connection of the run said since it was opened last, to be said again in the next date."""
        self._lock = Lock(store.day_lock(date))
        try:
            self._open(store, source)
        except BaseException:
            self._lock.release()
            raise
        self._gaps_seen = self.gaps_ended
        self.append(self._own(EntryKind.NOTE, event="start", version=__version__))

    def _open(self, store: Store, source: str) -> None:
        now_ns, date = self._clock.wall_ns(), self.date
        try:
            self._lock.acquire({"since_ns": now_ns, "doing": f"recording {date}", "date": str(date)})
            self.repair = repair(store.journal(date))
            self._parts = PartWriter(store, date)
            covered = coverage(store, date)
            self.flushed_seq = covered.next_seq - 1
            self._history = self._restore(store, covered)
            self.asked_before = dict(self._history.symbols)
            self.followed_before = frozenset(self._history.followed)
            # A journal may have lost its end, or be gone, where Parquet has more: a seq is never used twice.
            next_seq = max(self.repair.last_seq, covered.written_last) + 1
            self.journal = JournalWriter(store.journal(date), source=source, next_seq=next_seq, start_ns=now_ns)
        except OSError as error:
            what = f"{date} cannot be recorded: {error.strerror or error}"
            where = str(error.filename or store.root)
            raise StorageError(what, where=where, hint="Check that it is there and writable") from error

    def _restore(self, store: Store, covered: Coverage) -> History:
        """The date so far: as the last part knew it, and what the journal holds beyond it."""
        history = History.from_text(covered.history)
        for row in stored_rows(store, covered, "gaps"):
            if row["end_ts"] is not None:
                times = from_datetime(row["start_ts"]), from_datetime(row["end_ts"])
                self._count(Gap(row["seq"], row["conn"], *times, row["reason"], row["keys"]))
        for entry in Journal(store.journal(self.date)).entries(covered.next_seq, start=covered.position):
            self._take(history, entry)
        return history

    def append(self, entry: Entry) -> int:
        """Journal an entry, before anything else is done with it; returns its ticks. Raises StorageError."""
        seq = self.journal.append(entry)
        ticks = self._take(self._history, entry._replace(seq=seq))
        if entry.kind is not EntryKind.MESSAGE:
            self._history.drop_rows()
            self._remember(entry)
        return ticks

    def append_messages(self, entries: Sequence[Entry]) -> int:
        """Journal messages of one connection that came together, as `append` does; returns their ticks."""
        seq = self.journal.append_many(entries) - len(entries)
        return sum([self._take(self._history, entry._replace(seq=seq + n)) for n, entry in enumerate(entries, 1)])

    def _take(self, history: History, entry: Entry) -> int:
        """Count an entry that is in the journal; returns its ticks."""
        ticks = _ticks(entry)
        self.unflushed += ticks
        for gap in history.feed(entry, ticks > 0):
            self._count(gap)
        return ticks

    def lasting(self) -> list[Gap]:
        """The gaps that have not ended, and those of connections that the run does not have any more."""
        return self._history.lasting()

    def _count(self, gap: Gap) -> None:
        self.gaps.append(gap)
        self.gaps_ended += 1
        self.gaps_ns += (gap.end_ns or gap.start_ns) - gap.start_ns

    def new_gaps(self) -> list[Gap]:
        """The gaps that have ended since the last call, in this run, as far as they are still known."""
        count, self._gaps_seen = self.gaps_ended - self._gaps_seen, self.gaps_ended
        return list(self.gaps)[-count:] if count else []

    def _remember(self, entry: Entry) -> None:
        said = self._spoken.setdefault(entry.conn, [])
        match entry.kind:
            case EntryKind.NOTE if entry.facts()["event"] == "wanted":
                said[:] = [entry]
            case EntryKind.NOTE if said and entry.facts()["event"] == "added":
                said[0] = _with_more(said[0], entry)
            case EntryKind.CONNECTED | EntryKind.SUBSCRIBED:
                said.append(entry)
            case EntryKind.DISCONNECTED:
                said[:] = said[:1]

    def succeed(self, old: "Day") -> None:
        """Take over from another date: what its connections said, and what is lost, is said again. Raises StorageError.

        The date before ends at its midnight, however late that is noticed, and what lasts goes on from there.
        """
        now_ns, mono_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        sought = old._history.sought()
        old.say_goodbye(MIDNIGHT, min(now_ns, old.end_ns))
        since_ns = self.begin_ns if old.end_ns == self.begin_ns else now_ns
        for conn, entries in old._spoken.items():
            for entry in entries:
                self.append(entry._replace(wall_ns=now_ns, mono_ns=mono_ns))
                if conn in sought and entry.kind is EntryKind.NOTE:
                    facts = encode_facts(event="lost", reason=sought[conn], since_ns=since_ns)
                    self.append(Entry(EntryKind.NOTE, conn, now_ns, mono_ns, facts))

    def add_missed(self, conn: int, reason: str, since_ns: int) -> None:
        """Journal that data of this date, from `since_ns` on, turned out to be missing after the date was left.

        Raises StorageError.
        """
        keys = sum(len(entry.facts()["keys"]) for entry in self._spoken.get(conn, ())[:1])
        since_ns = max(since_ns, self.begin_ns)
        facts = {"event": "missed", "reason": reason, "since_ns": since_ns, "until_ns": self.end_ns, "keys": keys}
        entry = self._own(EntryKind.NOTE, **facts)
        self.append(entry._replace(conn=conn, wall_ns=min(entry.wall_ns, self.end_ns)))

    def begin_again(self) -> None:
        """Go on in a date that had been left: the clock was set back. Raises StorageError."""
        self.append(self._own(EntryKind.NOTE, event="start", version=__version__))

    def note_sessions(self, rows: Sequence[SessionRow]) -> None:
        """Journal the sessions that the run goes by, unless it has said so. Raises StorageError."""
        if rows != self._noted_sessions:
            self._noted_sessions = rows
            self.append(self._own(EntryKind.NOTE, event="sessions", sessions=rows))

    def say_goodbye(self, reason: str, wall_ns: int | None = None) -> None:
        """Journal that the run ends here, now or at `wall_ns`. Raises StorageError."""
        entry = self._own(EntryKind.CLOSED, reason=reason)
        self.append(entry if wall_ns is None else entry._replace(wall_ns=wall_ns))

    def flush(self, last_seq: int, *, final: bool = False) -> Flushed:
        """Publish the next part of what the journal holds beyond the last one, through `last_seq` at most.

        Runs in a worker thread. The journal is made durable first, so that a part never covers what a power cut could
        still take. `final` publishes also when there are no ticks. Raises OSError, DataError, StorageError.
        """
        self.journal.sync()
        return self._parts.flush(last_seq, final=final, most=1)

    def close(self) -> None:
        """Close the journal and give the date free."""
        try:
            self.journal.close()
        finally:
            self._lock.release()

    def _own(self, kind: EntryKind, **facts: object) -> Entry:
        """An entry of the run itself."""
        return Entry(kind, 0, self._clock.wall_ns(), self._clock.monotonic_ns(), encode_facts(**facts))


def _with_more(wanted: Entry, added: Entry) -> Entry:
    """The note of what is wanted on a connection, with what was added."""
    facts, more = wanted.facts(), added.facts()
    facts["keys"] += more["keys"]
    if followed := [*facts.get("followed", ()), *more.get("followed", ())]:
        facts["followed"] = followed
    return wanted._replace(payload=encode_facts(**facts))


def _ticks(entry: Entry) -> int:
    """The feeds in a message, as far as that can be told without decoding it; the broker's are binary."""
    return count_feeds(entry.payload) if entry.kind is EntryKind.MESSAGE and not entry.text else 0
