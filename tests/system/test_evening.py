"""on_done: the owner is told when a run has ended well and its day is sealed and checked, and only then."""

import dataclasses
import datetime as dt
import json
from pathlib import Path

import pytest

from tests.clocks import ShiftedClock, at
from tests.recordings import FAST, recording
from tickrec.clock import SystemClock
from tickrec.errors import ExitCode
from tickrec.record.plan import Options

SECONDS = Options(symbols=("RELIANCE", "TCS"), mode="full", duration=dt.timedelta(seconds=1), now=True)


def config(folder: Path) -> str:
    """A command that keeps what it is told and what it is given."""
    program = folder / "done.sh"
    program.write_text(f'for text; do :; done\necho "$text" >> "{folder}/told"\ncat >> "{folder}/given"\n')
    return f"[record]\non_done = \"sh '{program}'\"\n[store]\nduckdb = false\n"


async def test_the_owner_is_told_of_a_day_that_is_sealed_and_checked(tmp_path: Path) -> None:
    clock = ShiftedClock(at("2026-11-23T10:00") - SystemClock.wall_ns())
    async with recording(tmp_path, options=SECONDS, config=config(tmp_path), clock=clock) as one:
        last = await one.result()
    assert last.exit_code == ExitCode.DONE
    assert one.store.settled(dt.date(2026, 11, 23))
    report = json.loads((tmp_path / "given").read_text())
    ticks = sum(each["ticks"] for each in report["instruments"])
    assert (report["date"], len(report["instruments"])) == ("2026-11-23", 2)
    assert 0 < ticks <= last.ticks
    (line,) = (tmp_path / "told").read_text().splitlines()
    assert line.startswith(f"2026-11-23 grade {report['grade']}, ")
    assert line.endswith(" of 2 instruments, no gaps")


@pytest.mark.parametrize("why", ["a signal", "not sealed"])
async def test_of_another_day_nobody_is_told(tmp_path: Path, why: str) -> None:
    clock = ShiftedClock(at("2026-11-23T10:00") - SystemClock.wall_ns())
    options = dataclasses.replace(SECONDS, duration=None) if why == "a signal" else SECONDS
    async with recording(tmp_path, options=options, config=config(tmp_path), clock=clock, settings=FAST) as one:
        if why == "a signal":
            await one.sent(20)
            last = await one.stop()
        else:
            one.store.root.mkdir(parents=True, exist_ok=True)
            (one.store.root / "manifest").write_text("in the way of a folder")
            last = await one.result()
    assert last.exit_code == ExitCode.DONE
    assert not (tmp_path / "told").exists()
