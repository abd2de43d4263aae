"""Feed: the broker's market data, as entries, for as long as it is wanted.

Owns the set of connections and how they end together. Each lives, fails and comes back by itself (see `link`).
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Final

from tickrec.clock import Clock
from tickrec.errors import TokenError, leaves
from tickrec.upstox.auth import Access, Token, TokenSource
from tickrec.upstox.limits import NO_LIMITS_KNOWN, Limits
from tickrec.upstox.link import ConnectionState, Link, SinkFailed
from tickrec.upstox.protocol import BATCH, Subscription, Wanted
from tickrec.upstox.rest import Rest
from tickrec.upstox.subscriber import Quiet, Shared, Sink, Timing

__all__ = ["ConnectionState", "Feed", "Timing", "Wanted"]

TIMING: Final = Timing()


class Feed:
    """The market data of `plan`, one list of instruments per connection, none of them twice: the broker would go by the
    later request.

    `limits` bound what may be added to it; without any, nothing. `quiet` tells when silence is normal, so that a mute
    feed is not replaced then. Not `stamped`: what the broker stamps messages with is no time of now, as in a replay.
    Must be used inside a running event loop; everything belongs to the loop's thread.
    """

    def __init__(
        self,
        rest: Rest,
        tokens: TokenSource,
        plan: Sequence[Sequence[Wanted]],
        clock: Clock,
        *,
        limits: Limits = NO_LIMITS_KNOWN,
        batch_size: int = BATCH,
        quiet: Quiet = lambda _wall_ns: False,
        timing: Timing = TIMING,
        stamped: bool = True,
        chance: random.Random | None = None,
    ) -> None:
        self._fatal: TokenError | None = None
        self._shared = Shared(
            rest=rest,
            access=Access(tokens),
            clock=clock,
            timing=timing,
            quiet=quiet,
            chance=chance or random.Random(),
            stopping=asyncio.Event(),
            stamped=stamped,
        )
        self._limits = limits
        self._batch_size = batch_size
        self._links = [self._link(conn, wanted) for conn, wanted in enumerate(plan, 1)]
        self._sink: Sink | None = None
        self._group: asyncio.TaskGroup | None = None
        """Of the connections, while the feed runs."""

    def _link(self, conn: int, wanted: Sequence[Wanted]) -> Link:
        return Link(conn, Subscription(wanted, batch_size=self._batch_size), self._shared)

    @property
    def ever_connected(self) -> bool:
        """Whether any websocket was opened in this run."""
        return any(link.opened for link in self._links)

    @property
    def reason(self) -> str:
        """Why the last attempt or connection failed; empty if none did."""
        return max(self._links, key=lambda link: link.failed_ns).last_reason if self._links else ""

    @property
    def reconnects(self) -> int:
        """Websockets opened after the first of each connection."""
        return sum(max(link.opened - 1, 0) for link in self._links)

    @property
    def token(self) -> Token | None:
        """The access token in use, which may have been replaced since the run began; None if none was needed yet."""
        return self._shared.access.current

    @property
    def unexpected(self) -> str:
        """The error that nobody expected and that keeps a connection from working; empty when there is none."""
        return next((link.unexpected for link in self._links if link.unexpected), "")

    def states(self) -> list[ConnectionState]:
        """Each connection as it is now."""
        return [link.state() for link in self._links]

    def silent(self) -> list[str]:
        """Keys that were asked for twice and have never answered since."""
        return [key for link in self._links for key in link.subscription.silent]

    def unasked(self) -> list[str]:
        """Keys that could not be asked for in this run: their connection has never been opened, after two attempts."""
        return [key for link in self._links for key in link.unasked]

    @property
    def room(self) -> int:
        """How many instruments may be added."""
        keys, connections = self._limits
        free = sum(max(0, keys - link.subscription.count) for link in self._links)
        return free + keys * max(0, connections - len(self._links))

    def add(self, wanted: Sequence[Wanted]) -> None:
        """Subscribe to instruments that the feed does not have yet, at most as many as there is `room`, while it runs.

        Each goes to the connection with the fewest; there is another connection only when all are full. All are passed
        over when the feed has been stopped. Raises what the sink raises.
        """
        new = list(wanted)
        if len(new) > self.room:
            raise ValueError(f"{len(new)} instruments, and room for {self.room}")
        while new and self._group is not None and self._sink is not None and not self._shared.stopping.is_set():
            link = min(self._links, key=lambda link: link.subscription.count, default=None)
            free = self._limits.keys - link.subscription.count if link is not None else 0
            if link is not None and free > 0:
                link.add(new[:free], self._sink)
                new = new[free:]
            else:
                link = self._link(len(self._links) + 1, new[: self._limits.keys])
                self._links.append(link)
                self._group.create_task(self._keep(link, self._sink))
                new = new[self._limits.keys :]

    def ask_again(self, keys: Sequence[str]) -> None:
        """Subscribe once more to instruments that the feed has, each on its connection; one that is down is left out.

        Whoever asks reads the answers.
        """
        for link in self._links:
            link.ask_again(keys)

    def stop(self) -> None:
        """Say goodbye to the broker; `run` returns when everything received has gone to the sink."""
        self._shared.stopping.set()

    async def run(self, sink: Sink) -> None:
        """Call `sink` with all entries until `stop`, or until there is no point in going on.

        Raises TokenError when the broker refuses the token for good; the other connections are closed properly before.
        Whatever `sink` raises ends the run at once and is raised here.
        """
        try:
            async with asyncio.TaskGroup() as group:
                self._sink, self._group = sink, group
                for link in self._links:
                    group.create_task(self._keep(link, sink))
        except ExceptionGroup as errors:
            first = next(leaves(errors))
            raise first.__cause__ or first if isinstance(first, SinkFailed) else first from None
        finally:
            self._sink = self._group = None
        if self._fatal is not None:
            raise self._fatal

    async def _keep(self, link: "Link", sink: Sink) -> None:
        try:
            await link.run(sink)
        except TokenError as error:
            self._fatal = self._fatal or error
            self.stop()
