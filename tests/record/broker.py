"""A broker of whom one can ask what there is to record: its lists and hours are what a test says."""

import contextlib
import datetime as dt
import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.market.fixtures import Record, write_master
from tests.recordings import DEADLINE
from tests.upstox.rest_fixtures import Answer, Script, running
from tickrec.config import Config, load
from tickrec.market import instruments
from tickrec.market.hours import at
from tickrec.store.paths import Store
from tickrec.upstox.rest import MASTER


def told(date: dt.date, **ends: dt.time) -> list[dict[str, Any]]:
    """Timings of a date as the broker sends them: exchanges that open at 09:15, and when they close."""
    start = at(date, dt.time(9, 15)) // 10**6
    return [
        {"exchange": exchange, "start_time": start, "end_time": at(date, end) // 10**6}
        for exchange, end in ends.items()
    ]


@dataclass
class Broker:
    """What it answers now; `refused` is the HTTP status of everything, 0: it answers."""

    script: Script
    records: list[Record] = field(default_factory=list)
    """Of its list, which it does not have while there are none."""
    timings: list[dict[str, Any]] = field(default_factory=list)
    holidays: list[dict[str, Any]] = field(default_factory=list)
    prices: dict[str, float] = field(default_factory=dict)
    refused: int = 0

    def config(self, folder: Path, record: str = "") -> Config:
        """The configuration of a user of it, with more for the section [record]."""
        path = folder / "config.toml"
        urls = f'api_url = "{self.script.url}"\nassets_url = "{self.script.url}"\n'
        path.write_text(f"[upstox]\n{urls}[record]\n{record}\n")
        return load(path, data=None, simulate=False, environ={"HOME": str(folder)})

    def asked(self, path: str) -> int:
        """How often something was asked for."""
        return sum(asked.startswith(path) for _, asked, _, _ in self.script.requests)

    def answer(self, path: str) -> Answer:
        if self.refused:
            return self.refused, {}, b"{}"
        if path == MASTER and not self.records:
            return 404, {}, b"{}"
        if path == MASTER:
            return 200, {}, gzip.compress(json.dumps(self.records).encode(), 1)
        quotes = {key: {"instrument_token": key, "last_price": price} for key, price in self.prices.items()}
        body = {"holidays": self.holidays, "timings": self.timings, "ltp": quotes}[path.split("?")[0].split("/")[3]]
        return 200, {}, json.dumps({"status": "success", "data": body}).encode()


def keep_list(
    store: Store, date: dt.date, records: list[Record], folder: Path, *, before: dt.date | None = None
) -> None:
    """The instruments of a date as a run at seven left them: nobody downloads and converts them again.

    A list that is too short beside the kept one of the date `before` is filled up from it.
    """
    path = store.instruments_path(date)
    path.parent.mkdir(parents=True, exist_ok=True)
    source = write_master(folder / "complete.json.gz", records)
    compared = [] if before is None else [str(before), str(store.instruments_path(before))]
    assert instruments.main([str(source), str(path), str(at(date, dt.time(7))), *compared]) == 0


@contextlib.contextmanager
def broker() -> Iterator[Broker]:
    """A broker that has nothing to tell yet; it is there until everything that was asked of it is answered."""
    with running() as script:
        one = Broker(script)
        script.answer = one.answer
        yield one
        for thread in threading.enumerate():
            if thread.name == "tickrec-blocking":  # a test that has ended left it behind
                thread.join(DEADLINE)
