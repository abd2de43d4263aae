"""A store that the version before wrote: read, verified, asked, sealed and recorded into."""

import datetime as dt
import lzma
import shutil
from pathlib import Path

import pytest

import tickrec
from tests.clocks import HandClock, at
from tests.days import Market
from tickrec.journal.entry import Entry, EntryKind, encode_facts
from tickrec.record.day import Day
from tickrec.seal.seal import rebuild, seal
from tickrec.seal.verify import verify
from tickrec.store import dayfile
from tickrec.store.day_contents import contents
from tickrec.store.paths import Store

SAMPLES = Path(__file__).parents[1] / "samples" / "old_store"
DATE = dt.date(2026, 11, 27)
TICKS = {"sealed": 50, "stopped": 54}
"""`sealed`: a date that reached its end. `stopped`: one that a signal ended, with two parts and not sealed."""


@pytest.fixture(params=TICKS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Store, int]:
    """A copy of an old store, and the ticks that it holds."""
    root = tmp_path / "data"
    shutil.copytree(SAMPLES / request.param, root)
    for packed in root.rglob("*.xz"):
        packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
        packed.unlink()
    return Store(root), TICKS[request.param]


def count(store: Store) -> int:
    with tickrec.open(store.root) as day:
        return int(day.sql("SELECT count(*) FROM ticks").fetchall()[0][0])


def record(store: Store) -> int:
    """Go on recording an hour later; how many ticks came."""
    clock = HandClock(at("2026-11-27T22:17"))
    market = Market(2, date=DATE)
    day = Day(store, DATE, clock)
    keys = [[each.key, each.symbol] for each in market.instruments]
    day.append(Entry(EntryKind.CONNECTED, 1, clock.wall_ns(), 0, encode_facts(host="h", attempt=1, keys=2)))
    day.append(Entry(EntryKind.SUBSCRIBED, 1, clock.wall_ns(), 0, encode_facts(mode="full", keys=keys)))
    ms = clock.wall_ns() // 1_000_000
    ticks = day.append(Entry(EntryKind.MESSAGE, 1, clock.wall_ns(), 0, market.snapshot(ms, market.instruments)))
    day.say_goodbye("stopped")
    day.flush(day.journal.next_seq - 1, final=True)
    day.close()
    return ticks


def test_an_old_store_is_read_verified_and_asked(old: tuple[Store, int]) -> None:
    store, ticks = old
    report = verify(store, DATE)
    assert (report.differences, report.skipped, report.ticks) == ((), (), ticks)
    assert count(store) == ticks
    assert contents(store.duckdb_path(DATE)).rows["ticks"] == ticks


def test_an_old_store_is_recorded_into_and_sealed(old: tuple[Store, int]) -> None:
    store, ticks = old
    ticks += record(store)
    dayfile.append(store, DATE)
    assert verify(store, DATE).differences == ()
    assert count(store) == ticks
    seal(store, DATE)
    report = verify(store, DATE)
    assert (report.sealed, report.differences, report.ticks) == (True, (), ticks)
    assert count(store) == ticks


def test_an_old_store_is_rebuilt_from_its_journal(old: tuple[Store, int]) -> None:
    store, ticks = old
    assert rebuild(store, DATE).rows["ticks"] == ticks
    assert verify(store, DATE).differences == ()
