"""Source: what a server serves. Everything it does not know itself, it asks of one of these, and tells it the time.

A source knows which instruments exist, what their feeds say now, and which messages are due. It opens no socket and
reads no clock; the pace is its own, for it says how long to wait.
"""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple, Protocol


class Moment(NamedTuple):
    """A time of the server."""

    wall_ns: int
    """Since the epoch."""
    mono_ns: int
    """Only grows; for intervals."""


class Update(NamedTuple):
    """A message that is due."""

    sent_ms: int
    """The server's time in it (currentTs)."""
    modes: Mapping[str, str] = {}
    """The instruments that it is about, each with the mode that `payload` has it in. Empty: it is for everybody."""
    payload: bytes = b""
    """The message itself, for whoever wants all of it as it is. Empty: it is put together of the source's feeds."""
    snapshot: bool = False
    """It is an initial_feed."""
    text: bool = False
    """It is sent as a text message."""
    lost: bool = False
    """It is no message: the connection that brought those instruments was lost, and so are those of the clients."""


class Minute(NamedTuple):
    """One minute of an exchange: prices in rupees, volume and open interest in units."""

    start_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: int
    oi: float


class Source(Protocol):
    """The market behind a server."""

    @property
    def name(self) -> str:
        """What is served, such as `replay 2026-11-25`; empty where a recording of it is one of the broker's."""

    @property
    def lossless(self) -> bool:
        """Whether a client that reads slowly slows the source, instead of missing messages."""

    @property
    def ended(self) -> bool:
        """Whether nothing will be due any more."""

    def pause_s(self, now: Moment) -> float:
        """Seconds until something may be due."""

    def due(self, now: Moment) -> Iterator[Update]:
        """What is due, in order. While one is looked at, `feed` answers as of that message."""

    def want(self, keys: Collection[str], now: Moment) -> None:
        """Be told which instruments anybody has subscribed to, whenever that changes or somebody subscribes."""

    def feed(self, key: str, mode: str, now: Moment) -> bytes:
        """The newest feed of an instrument in a mode, as in wire.Feed.data; empty: silence is the answer."""

    def sent_ms(self, now: Moment) -> int:
        """The server's time for a message made now."""

    def market_info(self, now: Moment) -> bytes:
        """The message about the segments for a client that comes now; empty: none is known."""

    def instruments(self, exchange: str, now: Moment) -> bytes | None:
        """The broker's file of an exchange (NSE, BSE, MCX, or complete), gzipped JSON; None: no such file. Called in
        a thread."""

    def holidays(self) -> list[dict[str, Any]]:
        """The data of /v2/market/holidays."""

    def timings(self, date: dt.date) -> list[dict[str, Any]]:
        """The data of /v2/market/timings/{date}."""

    def last_price(self, key: str, now: Moment) -> tuple[str, dict[str, Any]] | None:
        """An instrument's name in the data of /v3/market-quote/ltp, and its row; None: unknown."""

    def today(self, now: Moment) -> dt.date:
        """The trading date that the market is at."""

    async def minutes(self, key: str, first: dt.date, last: dt.date, now: Moment) -> list[Minute] | None:
        """The finished minutes of an instrument on the dates from `first` to `last`, in order; None: unknown."""

    def key_of(self, symbol: str) -> str | None:
        """The instrument that a trading symbol or a key stands for; None: unknown."""

    def status(self, now: Moment) -> dict[str, Any]:
        """What GET /status says beside the counts of the server."""
