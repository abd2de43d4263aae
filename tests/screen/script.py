"""Two minutes at the table: a made-up market, the keys that somebody presses, and the frames that they see.

`python -m tests.screen.script` writes the frames down anew, for whoever means to change them.
"""

import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests import ROOT
from tests.record.fixtures import NOW, connection, run_status
from tests.screen.drawn import lines
from tickrec.clock import SECOND
from tickrec.screen.keys import Key, Pressed
from tickrec.screen.last_values import LastValues
from tickrec.screen.live_table import Frame
from tickrec.screen.view import View
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb

FRAMES: Final = ROOT / "tests" / "samples" / "frames"
SIZES: Final = ((80, 24), (100, 30), (140, 40))

INDICES: Final = {"NSE_INDEX|Nifty 50": ("NIFTY", 24_249.55), "NSE_INDEX|Nifty Bank": ("BANKNIFTY", 52_180.2)}
NAMES: Final = """
    RELIANCE HDFCBANK ICICIBANK INFY TCS SBIN AXISBANK ITC LT MARUTI M&M TITAN WIPRO ONGC NTPC COALINDIA HINDUNILVR
    BAJFINANCE KOTAKBANK SUNPHARMA TATASTEEL ADANIENT CIPLA DRREDDY EICHERMOT
"""
SHARES: Final = {f"NSE_EQ|INE{n:03}A01018": (name, 240.0 + 391.7 * n) for n, name in enumerate(NAMES.split())}
STRIKES: Final = range(24_000, 24_550, 50)
OPTIONS: Final = {
    f"NSE_FO|{number}": (
        f"NIFTY {strike} {side} {expiry}",
        max(0.0, (24_260 - strike) * (1 if side == "CE" else -1)) + 90.0,
    )
    for number, (expiry, strike, side) in enumerate(
        (expiry, strike, side) for expiry in ("26 NOV 26", "01 DEC 26") for strike in STRIKES for side in ("CE", "PE")
    )
}
ALL: Final = {**INDICES, **SHARES, **OPTIONS}
SCRIPT: Final[tuple[tuple[int, Pressed | None], ...]] = (
    (5, None),
    *((second, Key.DOWN) for second in (10, 11, 12)),
    (16, Key.PAGE_DOWN),
    (20, Key.END),
    (24, Key.HOME),
    (28, Key.RIGHT),
    (32, Key.DOWN),
    (36, Key.RIGHT),
    (40, Key.RIGHT),
    (44, Key.RIGHT),
    *((48 + second, char) for second, char in enumerate("bank")),
    (56, Key.DOWN),
    (60, Key.BACKSPACE),
    (64, Key.ESCAPE),
    (68, Key.ESCAPE),
    (72, Key.LEFT),
    (76, Key.ENTER),
    (80, Key.UP),
    (81, Key.UP),
    (84, Key.PAGE_DOWN),
    (88, Key.HOME),
    (92, Key.RIGHT),
    (96, Key.ESCAPE),
    *((100 + second, char) for second, char in enumerate("pe 243")),
    (108, Key.DOWN),
    (112, Key.ENTER),
    (116, Key.ESCAPE),
    (118, Key.CLEAR),
    (120, None),
)
"""Seconds from the beginning, and the key."""


def frames(width: int, height: int) -> Iterator[str]:
    """What is seen after each key."""
    live, view = LastValues(), View()
    live.name({key: symbol for key, (symbol, _) in ALL.items()})
    told, ticks = 0, 962_747
    for second, key in SCRIPT:
        for passed in range(told, second + 1):
            live.hear(message(passed), NOW + passed * SECOND)
            live.rows(NOW + passed * SECOND, view.order, view.words)
            ticks += len(heard(passed))
        told = second + 1
        if key is not None:
            view.press(key)
        now_ns = NOW + second * SECOND + SECOND // 5
        run = run_status(
            written_ns=now_ns,
            durable_ns=now_ns - SECOND // 5,
            ticks=ticks,
            connections=(connection(last_message_ns=now_ns - SECOND // 5),),
            news=("09:41:05 WARN  conn 1 lost: connection reset; retry in 0.8s",) if second > 50 else (),
        )
        name = "-" if key is None else key if isinstance(key, str) else key.value
        drawn = lines(Frame(run, now_ns).draw(live, view, width, height), width, height)
        assert len(drawn) == height
        yield f"=== {second} s, key {name}\n" + "\n".join(drawn) + "\n"


def heard(second: int) -> list[tuple[int, str]]:
    """The instruments that a message is about, and their places: all at first, then some, the first ones more often."""
    return [(at, key) for at, key in enumerate(ALL) if second % (1 + at % 7) == 0]


@functools.cache
def message(second: int) -> bytes:
    """What the broker sends in a second: prices swing, each at its own pace."""
    sent = pb.FeedResponse(type=1, currentTs=(NOW + second * SECOND) // 1_000_000)
    for at, key in heard(second):
        _, close = ALL[key]
        ltp = round(close * (1 + 0.01 * math.sin(at) + 0.002 * math.sin(second / (5 + at % 11))), 2)
        _fill(sent.feeds[key], key, ltp, close, second, at)
    payload: bytes = sent.SerializeToString(deterministic=True)
    return payload


def _fill(feed: pb.Feed, key: str, ltp: float, close: float, second: int, at: int) -> None:
    full = feed.fullFeed.indexFF if key in INDICES else feed.fullFeed.marketFF
    full.ltpc.ltp, full.ltpc.cp, full.ltpc.ltt = ltp, close, (NOW + second * SECOND) // 1_000_000
    full.marketOHLC.ohlc.add(interval="1d", open=close, high=round(close * 1.013, 2), low=round(close * 0.988, 2))
    if key in INDICES:
        return
    for level in range(5):
        full.marketLevel.bidAskQuote.add(
            bidP=ltp - 0.05 * (level + 1), bidQ=100 * (level + 1) + at, askP=ltp + 0.05 * level, askQ=75 * (5 - level)
        )
    full.vtt, full.atp = 1_000 * (at + 1) + 13 * second, close
    if key in OPTIONS:
        full.oi, full.iv = 75.0 * (1_000 + 37 * at), 0.12 + 0.001 * at


def path_of(width: int, height: int) -> Path:
    """Where the frames of a size are kept."""
    return FRAMES / f"{width}x{height}.txt"


if __name__ == "__main__":
    FRAMES.mkdir(exist_ok=True)
    for width, height in SIZES:
        path_of(width, height).write_text("".join(frames(width, height)), encoding="utf-8")
