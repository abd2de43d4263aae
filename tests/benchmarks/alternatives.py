"""What people record with instead, fed with the same messages: the broker's SDK, and the usual steps from there.

`python -m tests.benchmarks.alternatives NAME URL FOLDER MESSAGES` in a process of its own; prints {"ticks", "done"}
(CLOCK_MONOTONIC, ns) when so many live messages have been dealt with.

    sdk         the SDK's streamer: every message becomes a dict; nothing is stored
    csv         the same, and a line of CSV for each tick
    parquet     protobuf attributes read in Python into columns, written as Parquet every 250,000 ticks
    duckdb      protobuf attributes, and an INSERT for each message into a DuckDB table
"""

import csv
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import websocket
from upstox_client.feeder.proto import MarketDataFeedV3_pb2 as pb

from tests.benchmarks.pool import Quotes

PART_TICKS: Final = 250_000
FEED: Final = "/v3/feed/market-data-feed"
AUTHORIZATION: Final = {"Authorization": "Bearer simulated"}
_ONE: Final = ("ltp", "ltt", "ltq", "cp")
_SIDES: Final = ("bidP", "bidQ", "askP", "askQ")
_FULL: Final = ("atp", "vtt", "oi", "iv", "tbq", "tsq")
_GREEKS: Final = ("delta", "theta", "gamma", "vega", "rho")
_BAR: Final = ("open", "high", "low", "close", "vol", "ts")
COLUMNS: Final = (
    *("key", "recv_ts", "feed_ts", *_ONE, *_SIDES, *_FULL, *_GREEKS),
    *(f"{bar}_{name}" for bar in ("day", "min") for name in _BAR),
)

Row = list[Any]


class Countdown:
    """Counts live messages and their ticks, and says when they have all come."""

    def __init__(self, messages: int) -> None:
        self.over = threading.Event()
        self.ticks = 0
        self._left = messages

    def message(self, ticks: int) -> None:
        """One more was dealt with."""
        self.ticks += ticks
        self._left -= 1
        if not self._left:
            self.over.set()


def stream(url: str, take: Callable[[dict[str, Any]], None], countdown: Countdown) -> None:
    """The SDK's streamer, with the broker's address replaced; `take` gets each live message."""
    import upstox_client
    from upstox_client.feeder import market_data_feeder_v3 as feeder

    class Here(websocket.WebSocketApp):
        def __init__(self, theirs: str, **options: Any) -> None:
            super().__init__(theirs.replace("wss://api.upstox.com", url), **{**options, "header": AUTHORIZATION})

    def message(received: dict[str, Any]) -> None:
        if received.get("type") == "live_feed":
            take(received)
            countdown.message(len(received["feeds"]))

    feeder.websocket = SimpleNamespace(WebSocketApp=Here, ABNF=websocket.ABNF)
    configuration = upstox_client.Configuration()
    configuration.access_token = "simulated"
    streamer = upstox_client.MarketDataStreamerV3(upstox_client.ApiClient(configuration), Quotes().keys, "full")
    streamer.on("message", message)
    streamer.connect()
    countdown.over.wait()


def sdk(url: str, folder: Path, countdown: Countdown) -> None:
    """Dicts, and nothing more."""
    stream(url, lambda message: None, countdown)


def to_csv(url: str, folder: Path, countdown: Countdown) -> None:
    """Dicts, and a line for each tick."""
    with (folder / "ticks.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        stream(url, lambda message: writer.writerows(_dict_rows(message)), countdown)


def to_parquet(url: str, folder: Path, countdown: Countdown) -> None:
    """Columns in lists, and from time to time a row group."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[Row] = []
    for message in _messages(url, countdown):
        found = list(_rows(message))
        rows += found
        countdown.message(len(found))
        if len(rows) >= PART_TICKS or countdown.over.is_set():
            table = pa.table(dict(zip(COLUMNS, zip(*rows, strict=True), strict=True)))
            pq.write_table(table, folder / f"{countdown.ticks}.parquet", compression="zstd")
            rows = []


def to_duckdb(url: str, folder: Path, countdown: Countdown) -> None:
    """An INSERT a message."""
    import duckdb

    kinds = {"key": "VARCHAR", **dict.fromkeys(_SIDES, "DOUBLE[]")}
    marks = ", ".join("?" * len(COLUMNS))
    with duckdb.connect(str(folder / "ticks.duckdb")) as session:
        columns = ", ".join(f"{name} {kinds.get(name, 'DOUBLE')}" for name in COLUMNS)
        session.execute(f"CREATE TABLE ticks ({columns})")
        for message in _messages(url, countdown):
            found = list(_rows(message))
            session.executemany(f"INSERT INTO ticks VALUES ({marks})", found)
            countdown.message(len(found))


def _messages(url: str, countdown: Countdown) -> Iterator[Any]:
    """Live messages from a plain websocket, parsed by the SDK's protobuf classes."""
    socket = websocket.create_connection(url + FEED, header=AUTHORIZATION)
    request = {"guid": "1", "method": "sub", "data": {"mode": "full", "instrumentKeys": Quotes().keys}}
    socket.send_binary(json.dumps(request).encode())
    while not countdown.over.is_set():
        message = pb.FeedResponse.FromString(socket.recv())
        if message.type == 1:
            yield message


def _rows(message: Any) -> Iterator[Row]:
    now = time.time_ns()
    for key, feed in message.feeds.items():
        full = feed.fullFeed.marketFF if feed.fullFeed.HasField("marketFF") else feed.fullFeed.indexFF
        index = full.DESCRIPTOR.name == "IndexFullFeed"
        quotes = [] if index else full.marketLevel.bidAskQuote
        bars = {bar.interval: bar for bar in full.marketOHLC.ohlc}
        yield [
            *(key, now, message.currentTs),
            *(getattr(full.ltpc, name) for name in _ONE),
            *([getattr(quote, side) for quote in quotes] for side in _SIDES),
            *(None if index else getattr(full, name) for name in _FULL),
            *(None if index else getattr(full.optionGreeks, name) for name in _GREEKS),
            *(getattr(bars[bar], name) if bar in bars else None for bar in ("1d", "I1") for name in _BAR),
        ]


def _dict_rows(message: dict[str, Any]) -> Iterator[Row]:
    now = time.time_ns()
    for key, feed in message["feeds"].items():
        full = feed["fullFeed"].get("marketFF") or feed["fullFeed"]["indexFF"]
        ltpc, greeks = full.get("ltpc", {}), full.get("optionGreeks", {})
        quotes = full.get("marketLevel", {}).get("bidAskQuote", [])
        bars = {bar["interval"]: bar for bar in full["marketOHLC"]["ohlc"]}
        yield [
            *(key, now, message["currentTs"]),
            *(ltpc.get(name) for name in _ONE),
            *([quote.get(side) for quote in quotes] for side in _SIDES),
            *(full.get(name) for name in _FULL),
            *(greeks.get(name) for name in _GREEKS),
            *(bars.get(bar, {}).get(name) for bar in ("1d", "I1") for name in _BAR),
        ]


WAYS: Final = {"sdk": sdk, "csv": to_csv, "parquet": to_parquet, "duckdb": to_duckdb}


def main() -> None:
    """Run one way and say how it went."""
    name, url, folder, messages = sys.argv[1:]
    countdown = Countdown(int(messages))
    Path(folder).mkdir(parents=True, exist_ok=True)
    WAYS[name](url.replace("http", "ws"), Path(folder), countdown)
    print(json.dumps({"ticks": countdown.ticks, "done": time.monotonic_ns()}), flush=True)
    os._exit(0)  # the SDK's threads have no end


if __name__ == "__main__":
    main()
