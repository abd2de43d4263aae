"""Alerts: the user's own command, run with one line of text when somebody should look.

Nobody watches a cron job, so `on_alert` is how a recording that goes wrong reaches its owner. The command gets the
text as its last argument. What lasts is told once, again every half hour, and when it is over; over runs too, as cron
starts a recorder that cannot record again and again. A command that fails is run again after a minute, until it
succeeds. Whoever has something to tell goes on at once: one that fails or hangs never delays anything. What needs a
person is decided in `alert_rules`.
"""

import asyncio
import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from tickrec import children
from tickrec.clock import SECOND, Clock
from tickrec.files import publish_bytes
from tickrec.formatting import moment
from tickrec.record.owner_command import tell

QUIET_SECONDS: Final = 1800
"""What lasts is not told again within this time."""
RETRY_SECONDS: Final = 60
"""A command that failed is run again after this time."""
FORGET_SECONDS: Final = 3 * 86_400
"""What is over is remembered so long, so that it is not told twice."""


class Alert(NamedTuple):
    """Something that needs a person: one line of text about a topic, that lasts or is over."""

    topic: str
    text: str
    lasting: bool = True


@dataclasses.dataclass(slots=True)
class _Topic:
    """What is remembered of a topic. Instants are wall nanoseconds."""

    text: str
    lasting: bool
    """Whether it lasts, as far as the owner was told."""
    since_ns: int
    told_ns: int | None = None
    """None: nobody could be told yet."""


class Alerts:
    """Runs `command` (None: nothing is run) with a text. `path` is the file that remembers what was told when."""

    def __init__(self, command: str | None, clock: Clock, path: Path) -> None:
        self._command = children.split_command(command) if command else []
        self._clock = clock
        self._path = path
        self._unsaved: dict[str, _Topic] | None = None
        """What the file would hold; None where it does."""
        self._failed_ns: dict[str, int] = {}
        """When the command failed last, by topic; monotonic."""
        self._waiting: dict[str, Alert] = {}
        """What is to be told when the command is free, by topic."""
        self._telling: asyncio.Task[None] | None = None

    def report(self, alerts: Iterable[Alert], *, judged: Callable[[str], bool] = lambda _topic: True) -> None:
        """Tell what is due of everything that needs a person now; what is not among it any more is over.

        `judged` says of which topics that can be told. Returns at once, as `send` does.
        """
        if not self._command:
            return
        present = {alert.topic: alert for alert in alerts}
        for alert in present.values():
            self.send(alert)
        for topic, known in self._known().items():
            if topic not in present and judged(topic) and (known.lasting or known.told_ns is None):
                self.send(Alert(topic, known.text, lasting=False))

    def send(self, alert: Alert) -> None:
        """Have the command run, if the alert is due, as soon as it has told what came before. Returns at once."""
        if not self._command or not self._due(alert, self._known().get(alert.topic)):
            return
        self._waiting[alert.topic] = alert
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell())

    async def finish(self) -> None:
        """Wait until all that is due has been told: half a minute at most for each."""
        if self._telling is not None:
            await asyncio.wait((self._telling,))

    async def _tell(self) -> None:
        """Tell what waits, one after the other; some of it may have been told in between."""
        while self._waiting:
            alert = self._waiting.pop(next(iter(self._waiting)))
            known = self._known().get(alert.topic)
            if self._due(alert, known):
                await self._deliver(alert, known)

    def _due(self, alert: Alert, known: _Topic | None) -> bool:
        failed_ns = self._failed_ns.get(alert.topic)
        if failed_ns is not None and self._clock.monotonic_ns() - failed_ns < RETRY_SECONDS * SECOND:
            return False
        if known is None or known.told_ns is None:
            return True
        if not alert.lasting:
            return known.lasting
        quiet_seconds = QUIET_SECONDS if known.lasting else RETRY_SECONDS  # what was over and is back is news
        return not 0 <= self._clock.wall_ns() - known.told_ns < quiet_seconds * SECOND

    async def _deliver(self, alert: Alert, known: _Topic | None) -> None:
        """Run the command, and remember the outcome."""
        now_ns = self._clock.wall_ns()
        topic = known if known is not None and known.told_ns is None else _Topic(alert.text, alert.lasting, now_ns)
        self._remember(alert.topic, topic)
        text = alert.text
        if known is not None and known.told_ns is not None and not alert.lasting:
            text = f"over: {alert.text}"
        elif now_ns - topic.since_ns >= RETRY_SECONDS * SECOND:
            text = f"{alert.text} (since {moment(topic.since_ns, now_ns)})"
        if await tell("on_alert", self._command, text):
            self._failed_ns.pop(alert.topic, None)
            self._remember(alert.topic, _Topic(alert.text, alert.lasting, topic.since_ns, self._clock.wall_ns()))
        else:
            self._failed_ns[alert.topic] = self._clock.monotonic_ns()
            if known is not None:
                self._remember(alert.topic, known)

    def _known(self) -> dict[str, _Topic]:
        """What is remembered, by topic; topics of earlier versions have only a time."""
        if self._unsaved is not None:
            return self._unsaved
        try:
            read: dict[str, Any] = json.loads(self._path.read_bytes())
            return {
                topic: _Topic(**facts) if isinstance(facts, dict) else _Topic(topic, False, int(facts), int(facts))
                for topic, facts in read.items()
            }
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def _remember(self, topic: str, facts: _Topic) -> None:
        oldest_ns = self._clock.wall_ns() - FORGET_SECONDS * SECOND
        kept = {
            each: known
            for each, known in self._known().items()
            if known.lasting or known.told_ns is None or known.told_ns >= oldest_ns
        }
        kept[topic] = facts
        known = {each: dataclasses.asdict(of_each) for each, of_each in kept.items()}
        try:
            publish_bytes(self._path, json.dumps(known, ensure_ascii=False).encode())
            self._unsaved = None
        except OSError:  # then whoever comes after this process tells it again: better twice than not at all
            self._unsaved = kept
