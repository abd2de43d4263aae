"""A list of instruments that was short when the recording began: what it lacked is recorded once the broker has it."""

import asyncio
import gzip
import json
import urllib.request
from pathlib import Path

from tests.clocks import FastClock, HandClock, at
from tests.record.broker import broker
from tests.recordings import DEADLINE, FAST, until
from tickrec.config import load
from tickrec.errors import ExitCode
from tickrec.record.choice import load_master
from tickrec.record.plan import Options
from tickrec.record.start import Record
from tickrec.serve.synthetic.simulator import Simulator
from tickrec.status import status
from tickrec.store.coverage import coverage
from tickrec.store.paths import Store
from tickrec.store.rows import stored_rows
from tickrec.upstox.rest import MASTER, Rest

TCS = "NSE_EQ|INE467B01029"


async def test_what_the_list_lacked_is_subscribed_on_the_running_feed(tmp_path: Path) -> None:
    clock, stopping = FastClock(20.0, "2026-11-23T10:00"), asyncio.Event()
    async with Simulator(FAST) as simulator:
        url = simulator.api_url + MASTER
        whole = json.loads(gzip.decompress(await asyncio.to_thread(lambda: urllib.request.urlopen(url).read())))
        before = [each for each in whole if each["instrument_key"] != TCS and each["segment"] == "NSE_EQ"]
        with broker() as asked:
            path = tmp_path / "config.toml"
            urls = f'[upstox]\napi_url = "{simulator.api_url}"\nassets_url = "{asked.script.url}"\n'
            path.write_text(urls + "[store]\nduckdb = false\n")
            config = load(path, data=None, simulate=False, environ={"HOME": str(tmp_path)})
            store, asked.records = Store(config.store.data), before
            rest = Rest(simulator.api_url, asked.script.url)
            await asyncio.to_thread(load_master, store, rest, HandClock(at("2026-11-20T10:00")).wall_ns())
            asked.records = [each for each in before if each["trading_symbol"] < "R"]
            options = Options(symbols=("RELIANCE", "TCS"), mode="full", now=True, kept=True)
            record = Record(config, options, {"UPSTOX_ACCESS_TOKEN": "simulated"}, clock, stopping)
            task = asyncio.create_task(record.run())

            def answered(count: int) -> bool:
                said = status.read(store.status_path)
                return said is not None and said.answered == said.wanted == count

            await until(lambda: answered(1))
            said = status.read(store.status_path)
            assert said is not None
            assert said.unknown == ("TCS",)
            asked.records = [*before, *(each for each in whole if each["instrument_key"] == TCS)]
            await until(lambda: answered(2))
            stopping.set()
            async with asyncio.timeout(DEADLINE):
                last = await task
    assert (last.exit_code, last.unknown, last.gaps) == (ExitCode.DONE, (), ())
    (date,) = store.dates()
    rows = {row["symbol"]: row for row in stored_rows(store, coverage(store, date), "subscriptions")}
    assert rows.keys() == {"RELIANCE", "TCS"}
    assert rows["TCS"]["answered_ts"] > rows["TCS"]["asked_ts"] > rows["RELIANCE"]["answered_ts"]
    assert not rows["TCS"]["followed"]
