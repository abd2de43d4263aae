"""A market that is recorded with faults, and then asked for its own bars."""

import asyncio
from pathlib import Path
from typing import Any

from tests.clocks import FastClock
from tests.query.fixtures import answer
from tests.recordings import Recording, record_through_an_outage, recording
from tickrec.check.backfill import Backfill, filled, wanted
from tickrec.check.bar_differences import bar_differences
from tickrec.query.session import Session
from tickrec.record.plan import Options
from tickrec.serve.synthetic.simulator import Settings
from tickrec.upstox.rest import Rest
from tickrec.upstox.throttle import Throttle

MARKET = Settings(interval=1.0, rate=6.0, token="simulated", always_open=False, strikes=2)
SYMBOLS = Options(symbols=("RELIANCE", "TCS", "NIFTY:fut"), mode="full", now=True)
BARS = """
SELECT instrument_key, strftime(start, '%H:%M') AS minute, open, high, low, close, volume, oi, source
FROM {} WHERE start >= TIMESTAMPTZ '2026-11-23 10:00 Asia/Kolkata'
"""


def rows(run: Recording, clock: FastClock, source: str) -> dict[tuple[str, str], list[Any]]:
    """Minutes by instrument and time."""
    with Session(run.store, now_ns=clock.wall_ns()) as session:
        found = answer(session, BARS.format(source))
    return {(row.pop("instrument_key"), row.pop("minute")): list(row.values()) for row in found}


async def test_a_day_agrees_with_its_own_exchange_bars_but_for_its_faults(tmp_path: Path) -> None:
    clock = FastClock(15.0, "2026-11-23T10:00:20")
    async with recording(tmp_path, settings=MARKET, options=SYMBOLS, clock=clock) as run:
        await record_through_an_outage(run, clock, 125)  # two minutes at least
        await clock.sleep(60)
        (date,) = run.store.dates()
        instruments = await asyncio.to_thread(wanted, run.store, date, clock)
        rest = Rest(run.simulator.api_url, run.simulator.api_url)
        filling = Backfill(run.store, date, rest, None, clock, Throttle())
        done = await filling.fetch(instruments, lambda _what, _share: None)
    assert done.asked == len(instruments) >= 3
    exchange = rows(run, clock, "(SELECT *, start_ts AS start FROM exchange_bars)")
    bars = rows(run, clock, "bars('1 minute')")
    candles = rows(run, clock, "(SELECT *, 'ticks' AS source FROM candles('1 minute'))")
    for place, (*values, _) in exchange.items():
        assert bars[place][:-1] == values, place
        if bars[place][-1] == "ticks":
            assert candles[place][:-1] == values, place
    sources = [row[-1] for row in bars.values()]
    assert sources.count("exchange") >= 2 * len(instruments), "the lost connection, the beginning or the end"
    assert sources.count("ticks") >= 2 * len(instruments)
    assert any(candles.get(place, [])[:-1] != row[:-1] for place, row in exchange.items())
    with Session(run.store, now_ns=clock.wall_ns()) as session:
        differences = bar_differences(session)
    assert len(differences) == len(instruments)
    assert {found.differing for found in differences.values()} == {0}
    assert all(found.bars >= 1 for found in differences.values())
    after = filled(run.store, date, clock)
    assert 0 < after.with_bar <= after.minutes
