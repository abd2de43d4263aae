"""The rows of a message worked out with plain protobuf, field by field: what `decode` must agree with.

Written for being read, not for speed. Times are integers in the unit of their column. The order of entries within
a message is protobuf's, which is none.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from tickrec import schema
from tickrec.journal.entry import Entry
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb

Row = dict[str, Any]
YEAR_10000 = 253_402_300_800_000
MODES = {0: "ltpc", 1: "full_d5", 2: "option_greeks", 3: "full_d30"}
STATUSES = {
    0: "PRE_OPEN_START",
    1: "PRE_OPEN_END",
    2: "NORMAL_OPEN",
    3: "NORMAL_CLOSE",
    4: "CLOSING_START",
    5: "CLOSING_END",
}
MARKET_FIELDS = ("atp", "vtt", "oi", "iv", "tbq", "tsq", "iep", "rp", "ieq")
GREEKS = ("delta", "theta", "gamma", "vega", "rho")


class Rows(NamedTuple):
    """The rows of the three tables; `rejected` without the error text."""

    ticks: list[Row]
    market_status: list[Row]
    rejected: list[Row]


def rows(entries: Sequence[Entry], symbols: Mapping[str, str], messages: Any = pb) -> Rows:
    """What the entries hold, parsed with the protobuf module `messages`."""
    found = Rows([], [], [])
    for entry in entries:
        shared: Row = {"seq": entry.seq, "recv_ts": entry.wall_ns // 1000}
        try:
            if entry.text:
                raise DecodeError("text")
            message = messages.FeedResponse.FromString(entry.payload)
        except DecodeError:
            found.rejected.append({**shared, "size": len(entry.payload)})
            continue
        shared["feed_ts"] = instant(message.currentTs)
        for key, feed in message.feeds.items():
            row: Row = dict.fromkeys(schema.TICKS.names) | shared
            row |= {"conn": entry.conn, "snapshot": message.type == 0, "instrument_key": key}
            row |= {"symbol": symbols.get(key), "mode": MODES.get(feed.requestMode, f"unknown_{feed.requestMode}")}
            found.ticks.append(row | feed_values(feed))
        found.market_status.extend({**shared, **row} for row in status_values(message.marketInfo))
    return found


def instant(number: int) -> int | None:
    """A time in ms; None when not set or beyond what a calendar holds."""
    return number if 0 < number < YEAR_10000 else None


def feed_values(feed: Any) -> Row:
    """The columns that one feed entry fills."""
    if feed.HasField("ltpc"):
        return ltpc_values(feed.ltpc)
    if feed.HasField("firstLevelWithGreeks"):
        first = feed.firstLevelWithGreeks
        values = {"vtt": first.vtt, "oi": first.oi, "iv": first.iv, **common_values(first)}
        return values | (book_values([first.firstDepth]) if first.HasField("firstDepth") else {})
    if feed.HasField("fullFeed") and feed.fullFeed.HasField("indexFF"):
        return common_values(feed.fullFeed.indexFF)
    if feed.HasField("fullFeed") and feed.fullFeed.HasField("marketFF"):
        market = feed.fullFeed.marketFF
        values = {name: getattr(market, name) for name in MARKET_FIELDS}
        values |= {"iiq_total": market.iiqTotal, "iiq_m": market.iiqM, "cas_eligible": market.casEligible}
        values |= common_values(market)
        return values | (book_values(market.marketLevel.bidAskQuote) if market.HasField("marketLevel") else {})
    return {}


def common_values(branch: Any) -> Row:
    """What the branches of full and option_greeks mode share, as far as this one has it."""
    values: Row = {}
    names = branch.DESCRIPTOR.fields_by_name
    if branch.HasField("ltpc"):
        values |= ltpc_values(branch.ltpc)
    if "optionGreeks" in names and branch.HasField("optionGreeks"):
        greeks = {name: getattr(branch.optionGreeks, name) for name in GREEKS}
        values |= greeks if any(greeks.values()) else {}
    if "marketOHLC" in names and branch.HasField("marketOHLC"):
        for bar in branch.marketOHLC.ohlc:
            if prefix := {"1d": "day", "I1": "min"}.get(bar.interval):
                values |= bar_values(prefix, bar)
    return values


def ltpc_values(ltpc: Any) -> Row:
    """Last price, its time and quantity, previous close."""
    iep = ltpc.iep.value if ltpc.HasField("iep") else None
    return {"ltp": ltpc.ltp, "ltt": instant(ltpc.ltt), "ltq": ltpc.ltq, "cp": ltpc.cp, "ltpc_iep": iep}


def book_values(quotes: Sequence[Any]) -> Row:
    """All levels, and the first by itself when there is one."""
    values: Row = {
        "bid_prices": [quote.bidP for quote in quotes],
        "bid_qtys": [quote.bidQ for quote in quotes],
        "ask_prices": [quote.askP for quote in quotes],
        "ask_qtys": [quote.askQ for quote in quotes],
    }
    if quotes:
        best = quotes[0]
        values |= {"bid": best.bidP, "bid_qty": best.bidQ, "ask": best.askP, "ask_qty": best.askQ}
    return values


def bar_values(prefix: str, bar: Any) -> Row:
    """One bar under the names of its columns."""
    values = {"open": bar.open, "high": bar.high, "low": bar.low, "close": bar.close, "volume": bar.vol}
    return {f"{prefix}_{name}": value for name, value in values.items()} | {f"{prefix}_ts": instant(bar.ts)}


def status_values(info: Any) -> list[Row]:
    """The rows of a market_info message."""
    found: list[Row] = []
    for segment, number in info.segmentStatus.items():
        status = STATUSES.get(number, f"unknown_{number}")
        found.append({"kind": "segment", "segment": segment, "status": status, "updated_ts": None})
    for kind, infos in (("cas", info.casMarketStatus), ("preopen", info.preOpenSessionStatus)):
        for segment, told in infos.items():
            times = {"updated_ts": instant(told.updatedTime)}
            found.append({"kind": kind, "segment": segment, "status": told.status, **times})
    return found
