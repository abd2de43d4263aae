"""An instrument that is traded and does not tick any more: asked for again, named, told, and told when it is over."""

from pathlib import Path

from tests.clocks import FastClock
from tests.recordings import FAST, recording, until
from tickrec.journal import Journal
from tickrec.journal.entry import EntryKind
from tickrec.serve.faults import Fault
from tickrec.status import status
from tickrec.status.as_json import to_json
from tickrec.store.coverage import coverage
from tickrec.store.rows import stored_rows

TCS = "NSE_EQ|INE467B01029"


async def test_an_instrument_that_stops_ticking_is_named_until_it_ticks_again(tmp_path: Path) -> None:
    told, program = tmp_path / "told", tmp_path / "tell.sh"
    program.write_text(f'for text; do :; done\necho "$text" >> "{told}"\n')
    config = f"[record]\non_alert = \"sh '{program}'\"\n[store]\nduckdb = false\n"
    clock = FastClock(10.0, "2026-11-23T10:00")
    async with recording(tmp_path, settings=FAST, config=config, clock=clock) as one:

        def stale() -> list[str]:
            said = to_json(status.collect(one.store, clock))
            keys: list[str] = said["instruments"]["stale"]
            return keys

        await one.sent(400)
        one.simulator.strike(Fault("stale", TCS))
        await until(lambda: stale() == [TCS])
        await until(lambda: told.exists() and "TCS has not ticked since" in told.read_text())
        one.simulator.strike(Fault("stale"))
        await until(lambda: stale() == [])
        await until(lambda: "over: TCS has not ticked since" in told.read_text())
        last = await one.stop()
        (date,) = one.store.dates()
        notes = [entry.facts() for entry in Journal(one.store.journal(date)).entries() if entry.kind is EntryKind.NOTE]
        assert [facts["keys"] for facts in notes if facts["event"] == "again"] == [[TCS]]
        asked = stored_rows(one.store, coverage(one.store, date), "subscriptions")
        assert len(asked) == last.wanted
        assert (last.silent, last.gaps) == ((), ())
