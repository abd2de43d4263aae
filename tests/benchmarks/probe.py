"""`tickrec record` with a probe in its event loop: how late the loop does what is due every millisecond.

`python -m tests.benchmarks.probe` takes the options that `recording` gives. When it is stopped it leaves its lateness
in `stalls.json` beside the config file.
"""

import argparse
import asyncio
import json
import os
from pathlib import Path
from typing import Final

from tickrec.clock import SystemClock
from tickrec.config import load
from tickrec.record.plan import Options
from tickrec.record.signals import Signals
from tickrec.record.start import Record

EVERY: Final = 0.001


class Probe:
    """Asks to be called in a millisecond, again and again, and notes how much later that was."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()
        self._again()

    def _again(self) -> None:
        now = self._loop.time()
        self.late.append(now - self._due)
        self._due = now + EVERY
        self._loop.call_at(self._due, self._again)


async def record(config: Path, data: Path, symbols: str) -> list[float]:
    """Record until stopped; lateness in seconds from the first tick on."""
    settings = load(config, data=data, simulate=False, environ=os.environ)
    options = Options(symbols=(symbols,), mode="full", now=True)
    with Signals(lambda: os._exit(1)) as signals:
        stopping = signals.event()
        task = asyncio.create_task(Record(settings, options, os.environ, SystemClock(), stopping).run())
        status = data / "state" / "status.json"
        while not task.done() and not status.exists():  # noqa: ASYNC110 - written by another object
            await asyncio.sleep(0.1)
        probe = Probe()
        await stopping.wait()
        late = list(probe.late)
        await task
    return late


def main() -> None:
    """Record, and leave the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--config", type=Path)
    options.add_argument("--data", type=Path)
    options.add_argument("--symbols")
    chosen, _ = options.parse_known_args()
    late = sorted(asyncio.run(record(chosen.config, chosen.data, chosen.symbols)))
    figures = {"longest": late[-1], "one in a thousand": late[-1 - len(late) // 1000], "looks": len(late)}
    chosen.config.with_name("stalls.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
