"""A day recorded from the simulator and sealed: what the macros say of it, against plain Python over its journal."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from tests.processes import tickrec
from tests.query.fixtures import answer, feeds, trades_by_hand
from tickrec.query.session import Session
from tickrec.store.paths import Store

SYMBOLS = "RELIANCE,TCS,NIFTY,BANKNIFTY,NIFTY:opt:3"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("day")
    tickrec("record", "--simulate", "--no-live", "--now", "--symbols", SYMBOLS, "--for", "4s", folder=folder)
    store = Store(folder / "data" / "simulated")
    assert store.settled(store.dates()[-1])
    return store


def rows_of(store: Store, sql: str) -> list[tuple[Any, ...]]:
    with Session(store) as session:
        return [tuple(row.values()) for row in answer(session, sql)]


def trades_of(store: Store) -> dict[str, list[dict[str, Any]]]:
    """The trades of each instrument in order."""
    found = defaultdict(list)
    for trade in trades_by_hand(store, store.dates()[-1]):
        found[trade["key"]].append(trade)
    return found


def test_trades(store: Store) -> None:
    expected = {
        (t["key"], t["seq"], t["ltp"], t["qty"]) for each in trades_of(store).values() for t in each if t["qty"]
    }
    found = rows_of(store, "SELECT instrument_key, seq, ltp, qty FROM trades")
    assert set(found) == expected
    assert len(found) == len(expected) > 50


def test_candles(store: Store) -> None:
    expected = set()
    for key, trades in trades_of(store).items():
        bars = defaultdict(list)
        for trade in trades:
            bars[trade["ltt"] // 1000].append(trade)
        for start, bar in bars.items():
            prices = [trade["ltp"] for trade in bar]
            volume = sum(trade["qty"] or 0 for trade in bar) or None
            expected.add((key, start, prices[0], max(prices), min(prices), prices[-1], volume, len(bar)))
    columns = "instrument_key, epoch_ms(start) // 1000, open, high, low, close, volume, ticks"
    found = rows_of(store, f"SELECT {columns} FROM candles('1 second')")
    assert set(found) == expected
    assert len(found) == len(expected) > 20


def moves(trades: list[dict[str, Any]], window_ms: int) -> Iterator[tuple[dict[str, Any], float, float]]:
    """Each trade with the price within the window before it that it is furthest from, and the change in percent."""
    for trade in trades:
        near = [each["ltp"] for each in trades if trade["ltt"] - window_ms <= each["ltt"] <= trade["ltt"]]
        up, down = trade["ltp"] / min(near), max(near) / trade["ltp"]
        base = min(near) if up >= down else max(near)
        yield trade, base, (trade["ltp"] / base - 1) * 100


@pytest.mark.parametrize(("window_ms", "share"), [(500, 0.1), (2000, 0.3), (3000, 0.9)])
def test_spikes(store: Store, window_ms: int, share: float) -> None:
    """Thresholds are shares of the largest move of the day, so that every day has some."""
    days_trades = trades_of(store)
    largest = max(abs(change) for trades in days_trades.values() for _, _, change in moves(trades, window_ms))
    percent = round(largest * share, 4)
    expected = set()
    for key, trades in days_trades.items():
        last: dict[bool, int] = {}
        for trade, base, change in moves(sorted(trades, key=lambda t: (t["ltt"], t["seq"])), window_ms):
            if abs(change) >= percent:
                up = change > 0
                if up not in last or last[up] < trade["ltt"] - window_ms:
                    expected.add((key, trade["seq"], trade["ltp"], base, round(change, 6)))
                last[up] = trade["ltt"]
    columns = "instrument_key, seq, ltp, from_ltp, round(change_percent, 6)"
    found = rows_of(store, f"SELECT {columns} FROM spikes('{window_ms} milliseconds', {percent})")
    assert set(found) == expected
    assert len(found) == len(expected) > 0


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_an_option_chain(store: Store, share: float) -> None:
    date = store.dates()[-1]
    received = feeds(store, date)
    first, last = received[0][1], received[-1][1]
    moment_us = int(first + share * (last - first)) // 1000 + 1
    known: dict[str, Any] = {}
    for _, wall_ns, _, key, feed in received:
        if wall_ns // 1000 <= moment_us:
            known[key] = feed.fullFeed
    options = rows_of(
        store, "SELECT instrument_key, strike, instrument_type FROM instruments WHERE instrument_type IN ('CE', 'PE')"
    )
    sides: dict[float, dict[str, Any]] = defaultdict(dict)
    for key, strike, kind in options:
        if key in known:
            full = known[key].marketFF
            sides[strike][kind] = full.ltpc.ltp, full.oi, full.vtt, full.marketLevel.bidAskQuote[0].bidP
    spot = known["NSE_INDEX|Nifty 50"].indexFF.ltpc.ltp if "NSE_INDEX|Nifty 50" in known else None
    nothing = (None,) * 4
    expected = [(s, *sides[s].get("CE", nothing), *sides[s].get("PE", nothing), spot) for s in sorted(sides)]
    columns = ", ".join(f"{side}_{name}" for side in ("call", "put") for name in ("ltp", "oi", "vtt", "bid"))
    at = dt.datetime.fromtimestamp(moment_us / 1e6, dt.UTC).isoformat()
    found = rows_of(store, f"SELECT strike, {columns}, underlying_ltp FROM option_chain('NIFTY', '{at}')")
    assert found == expected
    assert len(found) == 7 or share == 0.0
