"""News: one log line for each thing that happens to a recording, nothing per tick.

Owns the wording. Told of every entry that is not a message, and of gaps and answers; `last` is the newest line, for
the live table, which has no room for a log.
"""

import logging
from collections import Counter
from typing import Final

from tickrec.clock import SECOND, ist
from tickrec.entry import Entry, EntryKind
from tickrec.format import duration, grouped, ordinal, plural
from tickrec.gaps import Gap
from tickrec.journal import Repair
from tickrec.plan import Plan

log = logging.getLogger("tickrec")

NAMED: Final = 5
"""How many silent instruments a line names before it only counts the rest."""


class News:
    """Tells the log what happens."""

    def __init__(self, plan: Plan) -> None:
        self.last = ""
        self._plan = plan
        self._requests: Counter[int] = Counter()
        self._answered: dict[int, int] = {}

    def begin(self, date: object, where: object) -> None:
        """The run begins."""
        plan = self._plan
        stop = plan.times.stop_ns
        until = f"until {ist(stop):%H:%M:%S}" if stop is not None else "until stopped"
        self._info(
            f"recording {date} into {where}: {plural(len(plan.instruments), 'instrument')}, mode {plan.mode}, "
            f"{plural(len(plan.connections), 'connection')}, {until}"
        )

    def repaired(self, repair: Repair) -> None:
        """What the run before left behind."""
        for aside in repair.torn:
            self._warn(f"the last run ended within an entry: {aside.bytes} bytes were set aside in {aside.path}")
        for damage in repair.damage:
            self._warn(f"the journal is damaged: {damage}; everything else of it is used")

    def entry(self, entry: Entry) -> None:
        """An entry that is not a message was journalled."""
        match entry.kind:
            case EntryKind.CONNECTED:
                self._connected(entry)
            case EntryKind.SUBSCRIBED:
                self._requests[entry.conn] += 1
            case EntryKind.DISCONNECTED:
                self._requests[entry.conn] = 0
                self._answered.pop(entry.conn, None)
                self._lost(entry)
            case EntryKind.NOTE:
                self._note(entry)
            case _:
                pass

    def answers(self, conn: int, answered: int, keys: int) -> None:
        """How many keys of a connection have answered; told once, when all of them have."""
        if answered == keys and self._answered.get(conn) != keys:
            self._answered[conn] = keys
            self._info(f"conn {conn} {grouped(answered)} of {plural(keys, 'instrument')} answered")

    def gap(self, gap: Gap) -> None:
        """A gap ended."""
        assert gap.end_ns is not None
        seconds = (gap.end_ns - gap.start_ns) / SECOND
        self._info(f"conn {gap.conn} gap of {duration(seconds)} since {ist(gap.start_ns):%H:%M:%S}: {gap.reason}")

    def flushed(self, ticks: int, total: int) -> None:
        """A part was published."""
        self._info(f"flushed {plural(ticks, 'tick')}, {grouped(total)} in Parquet")

    def _connected(self, entry: Entry) -> None:
        facts = entry.facts()
        tries = int(facts.get("attempt", 1))
        after = f" at the {ordinal(tries)} try" if tries > 1 else ""
        self._info(f"conn {entry.conn} connected to {facts['host']}{after}, asking for {facts['keys']} instruments")

    def _lost(self, entry: Entry) -> None:
        reason = str(entry.facts().get("reason", ""))
        if reason != "stopped":
            self._warn(f"conn {entry.conn} lost: {reason}")

    def _note(self, entry: Entry) -> None:
        facts = entry.facts()
        match facts.get("event"):
            case "attempt":
                self._warn(f"conn {entry.conn} {facts['reason']}; retry in {duration(facts['retry_s'])}")
            case "silent":
                names = [self._plan.symbols.get(key, key) for key in facts["keys"]]
                more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
                self._warn(f"conn {entry.conn} no answer for {', '.join(names[:NAMED])}{more}")
            case _:
                pass

    def _info(self, line: str) -> None:
        self.last = line
        log.info(line)

    def _warn(self, line: str) -> None:
        self.last = line
        log.warning(line)
