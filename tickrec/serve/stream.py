"""Stream: what is sent to the clients of a server, and when.

Owns the open websockets, who gets which part of a message, what a client that is behind gets instead, and the faults
that strike websockets. Knows nothing about HTTP, tokens and where messages come from.
"""

import asyncio
import random
from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.message import DecodeError

from tickrec.clock import SECOND, Clock
from tickrec.serve.client import Client
from tickrec.serve.faults import Fault, Lasting
from tickrec.serve.source import Moment, Source, Update
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode.wire import frame, varint

UNREAD_SECONDS: Final = 30.0
"""A client of a lossless source that has read nothing for this long is closed."""
PING_NS: Final = 20 * SECOND
"""Without a message for so long, a websocket is pinged."""
_UNKNOWN_FIELD: Final = varint(1000 << 3 | 2)
"""Tag of a bytes field that no schema has."""
_OVERSIZE: Final = 2 * 1024 * 1024
_LATE_MS: Final = 1000


class Stream:
    """The messages of a source to all websockets."""

    def __init__(self, source: Source, lasting: Lasting, clock: Clock) -> None:
        self._source = source
        self._lasting = lasting
        self._clock = clock
        self._clients: dict[int, Client] = {}
        self._chance = random.Random("times")
        self._feeds = 0
        self._partial = 0
        self._fell_behind = 0

    def __len__(self) -> int:
        """How many websockets are open."""
        return len(self._clients)

    def stats(self) -> dict[str, Any]:
        """Open websockets, feeds sent so far, instruments subscribed, and how often a client fell behind."""
        counts = {"connections": len(self), "ticks": self._feeds, "subscribed": len(self._wanted())}
        return counts | {"fell_behind": self._fell_behind}

    def join(self, client: Client) -> None:
        """Take a new websocket in; the first it gets is market_info."""
        self._clients[client.number] = client
        self._send_info(client, self._now())

    def leave(self, client: Client) -> None:
        """Forget a websocket that has ended."""
        del self._clients[client.number]
        self._source.want(self._wanted(), self._now())

    def end(self) -> None:
        """Reset every websocket, also one that is just being closed."""
        for client in self._clients.values():
            client.reset()

    def request(self, client: Client, message: bytes) -> None:
        """Act on a client's request: a snapshot of what was subscribed, silence about everything else."""
        now = self._now()
        asked = client.subscriptions.take(message)
        self._source.want(self._wanted(), now)
        if client.ready(now.mono_ns):
            self._send_feeds(client, asked.snapshot, now, snapshot=True)
        else:
            client.missed.update(dict.fromkeys(asked.snapshot))
        client.missed.update(dict.fromkeys(asked.changed))

    async def turn(self) -> None:
        """Send what is due, to those that can take it; of a lossless source everything to everybody."""
        now = self._now()
        for client in self._clients.values():
            if client.missed or client.missed_info:
                self._catch_up(client, now)
        for update in self._source.due(now):
            if update.lost:
                self._lose(update, now)
                continue
            for client in self._clients.values():
                self._send(client, update, now)
            if self._source.lossless:
                await self._drain()
        for client in self._clients.values():
            if now.mono_ns - client.last_sent_ns > PING_NS and client.ready(now.mono_ns):
                client.ping(now.mono_ns)

    def _lose(self, lost: Update, now: Moment) -> None:
        """End the connections of the clients that want any of the instruments that are lost."""
        for client in self._clients.values():
            if lost.modes.keys() & client.subscriptions.modes.keys():
                client.reset()
        self._source.want(self._wanted(), now)

    def strike(self, fault: Fault) -> None:
        """Let a fault strike every websocket."""
        now = self._now()
        for client in [each for each in self._clients.values() if each.open]:
            keys = list(client.subscriptions.modes)
            match fault.kind:
                case "drop":
                    client.reset(self._live(client, keys, now) if fault.arg else b"")
                case "close":
                    client.close(int(fault.arg or 1001), "simulated")
                case "stall":
                    client.stalled_until_ns = now.mono_ns + int(float(fault.arg or 30) * SECOND)
                case "garbage" if fault.arg == "text":
                    client.send(b'{"status":"failed","error":"simulated"}', now.mono_ns, text=True)
                case "garbage":
                    client.send(b"\x0a\xff\xff\xff\xff\xff\xff not a message", now.mono_ns)
                case "oversize":
                    size = int(float(fault.arg or _OVERSIZE))
                    padding = _UNKNOWN_FIELD + varint(size) + bytes(size)
                    client.send(self._live(client, keys, now) + padding, now.mono_ns)
                case "snapshot":
                    self._send_feeds(client, keys, now, snapshot=True)

    def _now(self) -> Moment:
        return Moment(self._clock.wall_ns(), self._clock.monotonic_ns())

    def _wanted(self) -> dict[str, None]:
        clients = (client for client in self._clients.values() if client.open)
        return {key: None for client in clients for key in client.subscriptions.modes}

    def _catch_up(self, client: Client, now: Moment) -> None:
        """Send a client that was behind, or whose modes changed, the state of what it has missed."""
        if not client.ready(now.mono_ns):
            return
        if client.missed_info:
            self._send_info(client, now)
        missed, client.missed = client.missed, {}
        keys = [key for key in missed if key in client.subscriptions.modes]
        self._send_feeds(client, keys, now, snapshot=True)

    def _send(self, client: Client, update: Update, now: Moment) -> None:
        """Send a client its part of a message, or remember what it misses."""
        if not update.modes:
            if self._source.lossless or client.ready(now.mono_ns):
                client.send(update.payload, now.mono_ns, text=update.text)
            else:
                client.missed_info = True
            return
        if self._lasting.holds("mute", now.mono_ns):
            return
        modes = client.subscriptions.modes
        whole = bool(update.payload) and update.modes.items() <= modes.items() and not self._lasting.stale
        keys = update.modes if whole else [key for key in update.modes if key in modes]
        if not self._source.lossless and (client.missed or not client.ready(now.mono_ns)):
            self._fell_behind += bool(keys) and not client.missed
            client.missed.update(dict.fromkeys(keys))
        elif whole:
            self._feeds += len(keys) * client.send(update.payload, now.mono_ns)
        else:
            self._send_feeds(client, keys, now, snapshot=update.snapshot, sent_ms=update.sent_ms)

    def _send_info(self, client: Client, now: Moment) -> None:
        client.missed_info = False
        if info := self._source.market_info(now):
            client.send(info, now.mono_ns)

    async def _drain(self) -> None:
        """Wait for the clients that read slowly, however slowly; reset one that reads nothing."""
        for client in [each for each in self._clients.values() if each.slow]:
            left = client.unsent + 1
            while client.slow and client.unsent < left:
                left = client.unsent
                await self._wait_for(client)
            if client.slow:
                client.reset()

    async def _wait_for(self, client: Client) -> None:
        """Return when a client has read most of what was sent, or UNREAD_SECONDS have passed."""
        waits = {asyncio.ensure_future(client.drained()), asyncio.ensure_future(self._clock.sleep(UNREAD_SECONDS))}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    def _send_feeds(
        self, client: Client, keys: Iterable[str], now: Moment, *, snapshot: bool = False, sent_ms: int = 0
    ) -> None:
        """Send the newest feeds of some instruments, unless they are kept silent, or stale, which answer."""
        if self._lasting.holds("mute", now.mono_ns):
            return
        hidden = self._lasting.silent if snapshot else self._lasting.silent | self._lasting.stale
        feeds = self._feeds_of(client, [key for key in keys if key not in hidden], now)
        if feeds and client.send(frame(feeds, self._time_of(now, sent_ms), snapshot=snapshot), now.mono_ns):
            self._feeds += len(feeds)

    def _live(self, client: Client, keys: Iterable[str], now: Moment) -> bytes:
        return frame(self._feeds_of(client, keys, now), self._time_of(now), snapshot=False)

    def _time_of(self, now: Moment, sent_ms: int = 0) -> int:
        late = self._chance.randrange(_LATE_MS) if self._lasting.holds("late", now.mono_ns) else 0
        return (sent_ms or self._source.sent_ms(now)) - late

    def _feeds_of(self, client: Client, keys: Iterable[str], now: Moment) -> list[bytes]:
        modes = client.subscriptions.modes
        found = [self._source.feed(key, modes[key], now) for key in keys]
        if self._lasting.holds("partial", now.mono_ns):
            found = [self._without_a_part(feed) for feed in found]
        return [feed for feed in found if feed]

    def _without_a_part(self, data: bytes) -> bytes:
        """A feed without its book and greeks, or, every other time, without its last price."""
        try:
            message = pb.FeedResponse.FromString(data)
        except DecodeError:
            return data
        for feed in message.feeds.values():
            if feed.fullFeed.HasField("marketFF"):
                self._partial += 1
                gone = ("ltpc",) if self._partial % 2 else ("marketLevel", "optionGreeks")
                for field in gone:
                    feed.fullFeed.marketFF.ClearField(field)
        return bytes(message.SerializeToString())
