"""A recording with faults, checked against what the server sent."""

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from tests.clocks import FastClock
from tests.recordings import messages, record_through_an_outage, recording
from tickrec.check.day_check import DayReport, check_date
from tickrec.clock import SECOND
from tickrec.record.plan import Options
from tickrec.serve.faults import Fault
from tickrec.serve.synthetic.simulator import Settings
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb

SILENT = "NSE_EQ|INE467B01029"
MARKET = Settings(
    interval=1.0, rate=6.0, token="simulated", always_open=False, strikes=2, faults=(Fault("silent", SILENT),)
)
SYMBOLS = Options(symbols=("RELIANCE", "TCS", "INFY"), mode="full", now=True)


class Told(NamedTuple):
    """What a message said of an instrument."""

    ms: int
    """The server's time."""
    volume: int
    is_tick: bool
    ltq: int


def told(folder: Path) -> dict[str, list[Told]]:
    """What the messages of a journal said of each key, in order."""
    found = defaultdict(list)
    for entry in messages(folder):
        message = pb.FeedResponse.FromString(entry.payload)
        for key, feed in message.feeds.items():
            full = feed.fullFeed.marketFF
            found[key].append(Told(message.currentTs, full.vtt, message.type == 1, full.ltpc.ltq))
    return found


def missing_at(report: DayReport, key: str, ms: int) -> bool:
    known = next(each.known for each in report.instruments if each.known.instrument_key == key)
    return any(each.begins <= ms * 1000 < each.ends for each in known.longest)


async def test_what_the_server_did_not_get_through_is_missing(tmp_path: Path) -> None:
    clock = FastClock(10.0, "2026-11-23T10:00:20")
    async with recording(tmp_path, settings=MARKET, options=SYMBOLS, clock=clock) as run:
        last = await record_through_an_outage(run, clock, 60)
        ended_ns = clock.wall_ns()
        await clock.sleep(30)
    (date,) = run.store.dates()
    report = await asyncio.to_thread(check_date, run.store, date, clock)
    sent, came = told(tmp_path / "sent"), told(run.store.journal(date))
    for key, each in sent.items():
        assert all(missing_at(report, key, one.ms) for one in each if one not in came[key]), key

    by_key = {each.known.instrument_key: each for each in report.instruments}
    assert by_key[SILENT].to_json()["why"] == ["never answered"]
    assert report.grade == "F", "it began long after the session"
    (gap,) = report.gaps
    assert [(g.conn, g.start_ns // 1000, g.end_ns // 1000) for g in last.gaps if g.end_ns] == [
        (gap.conn, gap.begins, gap.ends)
    ]
    for key, one in by_key.items():
        if key != SILENT:
            whys = [each.why for each in one.known.longest]
            assert whys == ["not answered yet", "gap", "recording ended"], key
            late, lost, over = one.known.longest
            assert (lost.begins, lost.ends) == (gap.begins, gap.ends)
            assert late.ends * 1000 < ended_ns
            assert over.begins * 1000 <= ended_ns + SECOND
            assert one.known.ticks == sum(each.is_tick for each in sent[key])
            before = [each for each in sent[key] if each.ms * 1000 < lost.begins]
            after = next(each for each in sent[key] if each.ms * 1000 > lost.begins)
            assert late.volume == sent[key][0].volume
            assert lost.volume == after.volume - before[-1].volume - after.is_tick * after.ltq
            assert one.known.volume == sent[key][-1].volume
