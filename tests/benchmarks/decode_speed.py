"""How fast messages become the columns of `ticks`, against the path of the broker's SDK.

Run by hand: `python -m tests.benchmarks.decode_speed`. Full mode, 30 entries a message with five levels, greeks and
two bars each. The SDK's path is what its streamer does for every message (parse, MessageToDict), without storing
anything. Both run on one core in turns, and the best turn of each counts.
"""

import argparse
import random
import time
from collections.abc import Callable
from typing import Any

from google.protobuf.json_format import MessageToDict

from tickrec.journal.entry import Entry, EntryKind
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode.peek import count_feeds
from tickrec.upstox.decode.quotes import quotes
from tickrec.upstox.decode.tables import decode

ENTRIES = 30
START_MS = 1_790_137_500_000


def option(source: random.Random) -> dict[str, Any]:
    """One entry of an option as the broker sends it in full mode."""
    price = round(source.uniform(5, 900), 2)
    levels = [
        {
            "bidQ": source.randrange(75, 9000, 75),
            "bidP": price - step,
            "askQ": source.randrange(75, 9000, 75),
            "askP": price + step,
        }
        for step in (0.05, 0.1, 0.15, 0.2, 0.25)
    ]
    bar = {"open": price, "high": price + 3, "low": price - 3, "close": price, "vol": source.randrange(10**7)}
    bars = [{"interval": "1d", "ts": START_MS, **bar}, {"interval": "I1", "ts": START_MS + 60_000, **bar}]
    greeks = {"delta": 0.51, "theta": -11.7, "gamma": 0.0009, "vega": 9.63, "rho": 1.2}
    totals = {"atp": price, "vtt": source.randrange(10**8), "oi": 1e6, "iv": 0.13, "tbq": 359157.0, "tsq": 421241.0}
    ltpc = {"ltp": price, "ltt": START_MS + source.randrange(10**6), "ltq": 75, "cp": price + 10}
    return {
        "ltpc": ltpc,
        "marketLevel": {"bidAskQuote": levels},
        "optionGreeks": greeks,
        "marketOHLC": {"ohlc": bars},
        **totals,
    }


def payloads(messages: int, seed: int) -> list[bytes]:
    """Serialized messages of the 220 instruments of a day, 30 at a time."""
    source = random.Random(seed)
    keys = [f"NSE_FO|{number}" for number in source.sample(range(30_000, 150_000), 220)]
    made = []
    for number in range(messages):
        feeds = {
            key: pb.Feed(requestMode=1, fullFeed={"marketFF": option(source)}) for key in source.sample(keys, ENTRIES)
        }
        made.append(pb.FeedResponse(type=1, currentTs=START_MS + number, feeds=feeds).SerializeToString())
    return made


def indices(seed: int) -> bytes:
    """Two more entries for a message, of the other branch of full mode."""
    sent = {name: value for name, value in option(random.Random(seed)).items() if name in ("ltpc", "marketOHLC")}
    feeds = {
        key: pb.Feed(requestMode=1, fullFeed={"indexFF": sent}) for key in ("NSE_INDEX|Nifty 50", "BSE_INDEX|SENSEX")
    }
    return bytes(pb.FeedResponse(feeds=feeds).SerializeToString())


def best(run: Callable[[], object], turns: int) -> float:
    """Seconds of processor time of the fastest turn."""
    times = []
    for _ in range(turns):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def report(name: str, seconds: float, ticks: int, base: float) -> None:
    """One line: microseconds a tick, ticks a second, how many times the SDK's speed."""
    print(
        f"{name:44}{seconds / ticks * 1e6:9.2f} us/tick{ticks / seconds:12,.0f} ticks/s{base / (seconds / ticks):8.1f}x"
    )


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=400)
    options.add_argument("--turns", type=int, default=7)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    from upstox_client.feeder.proto import MarketDataFeedV3_pb2 as sdk

    made = payloads(chosen.messages, chosen.seed)
    entries = [
        Entry(EntryKind.MESSAGE, 1, START_MS * 10**6, n, payload, False, n + 1) for n, payload in enumerate(made)
    ]
    symbols = {key: key for payload in made for key in pb.FeedResponse.FromString(payload).feeds}
    ticks = len(made) * ENTRIES
    print(
        f"{len(made)} messages, {ticks} ticks, {sum(map(len, made)) / ticks:.0f} bytes a tick, best of {chosen.turns}"
    )

    few = made[: max(1, len(made) // 8)]
    seconds = best(lambda: [MessageToDict(sdk.FeedResponse.FromString(payload)) for payload in few], chosen.turns)
    base = seconds / (len(few) * ENTRIES)
    report("the SDK: FromString, MessageToDict", seconds, len(few) * ENTRIES, base)
    for size in (1, 10, 20, 40, len(entries)):
        pieces = [entries[at : at + size] for at in range(0, len(entries), size)][: max(1, 2000 // size)]
        count = sum(map(len, pieces)) * ENTRIES
        seconds = best(lambda pieces=pieces: [decode(piece, symbols) for piece in pieces], chosen.turns)  # type: ignore[misc]
        report(f"decode, {size} messages at a time", seconds, count, base)
    several = [entry._replace(payload=entry.payload + indices(entry.seq)) for entry in entries]
    pieces = [several[at : at + 40] for at in range(0, len(several), 40)]
    seconds = best(lambda: [decode(piece, symbols) for piece in pieces], chosen.turns)
    report("the same, 40 at a time with two indices each", seconds, len(several) * (ENTRIES + 2), base)
    report("quotes, for the live table", best(lambda: [quotes(p) for p in few], chosen.turns), len(few) * ENTRIES, base)
    report("count_feeds", best(lambda: [count_feeds(p) for p in made], chosen.turns), ticks, base)


if __name__ == "__main__":
    main()
