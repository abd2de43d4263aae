"""What was recorded of a date over all of its runs, and what a usual day takes of the disk."""

import datetime as dt
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.query.fixtures import at, tick, write_sealed
from tests.record.fixtures import NOW, feeds, run_status
from tickrec.clock import SECOND, from_datetime
from tickrec.journal import JournalWriter, compress
from tickrec.journal.entry import Entry, EntryKind
from tickrec.journal.format import file_path
from tickrec.journal.gaps import Gap
from tickrec.status.disk_use import DiskUse, disk_use
from tickrec.status.totals import (
    LOOKED_AT,
    Totals,
    connected,
    covered_time,
    newest_totals,
    present,
    ticks_of,
    totals,
    usual_day,
)
from tickrec.store import manifest, parquet
from tickrec.store.manifest import Manifest
from tickrec.store.paths import Store

DATE = dt.date(2026, 11, 23)
HOUR = dt.timedelta(hours=1)


def day(number: int, size: int) -> DiskUse:
    return DiskUse(dt.date(2026, 11, number), journal=0, parquet=size, duckdb=0, sealed=True)


def connection(conn: int, opened: str, closed: str | None, date: dt.date = DATE) -> dict[str, object]:
    ends = {"opened_ts": at(opened, date), "closed_ts": at(closed, date) if closed else None}
    return {"seq": conn, "conn": conn, "messages": 1, "keys": 1, **ends}


def sealed(store: Store, date: dt.date = DATE, closed: str = "15:30") -> None:
    """A sealed date with three ticks and two gaps, one of which never ended."""
    ticks = [tick(seq, "09:15:00", key=f"NSE_EQ|{seq}") for seq in range(3)]
    write_sealed(store, date, {"ticks": ticks, "connections": [connection(1, "09:15", closed, date)]})
    gap = {"seq": 5, "conn": 1, "reason": "x", "keys": 2}
    gap |= {"start_ts": at("10:00", date).isoformat(), "end_ts": at("10:01", date).isoformat()}
    Manifest(
        schema_version=1, date=str(date), sealed_at="", versions={}, first_seq=1, last_seq=9, messages=2,
        message_bytes=20, rows={"ticks": 3}, missing=[], files={}, instruments={},
        gaps=[gap, {**gap, "seq": None, "end_ts": None}],
    ).publish(store)  # fmt: skip


def test_a_sealed_date_tells_ticks_gaps_and_how_long_it_was_recorded(tmp_path: Path) -> None:
    store = Store(tmp_path)
    sealed(store)
    start_ns = from_datetime(at("10:00"))
    gaps = (Gap(5, 1, start_ns, start_ns + 60 * SECOND, "x", 2), Gap(None, 1, start_ns, None, "x", 2))
    found = totals(store, DATE)
    assert found == Totals(3, gaps, dt.timedelta(hours=6, minutes=15), (at("09:15"), at("15:30")))
    assert (found.gap_ns, found.endless_gaps) == (60 * SECOND, 1)
    assert newest_totals(store, disk_use(store)) == {DATE: totals(store, DATE)}


def test_whatever_is_damaged_of_a_sealed_date_it_is_not_known_and_nothing_else_happens(tmp_path: Path) -> None:
    store = Store(tmp_path)
    sealed(store)
    path = store.sealed_path("connections", DATE)
    table = pq.read_table(path)
    path.unlink()
    parquet.write_small(table, path)
    good, known = path.read_bytes(), totals(store, DATE)
    assert known is not None
    for place in range(0, len(good), 3):
        path.write_bytes(good[:place] + bytes([good[place] ^ 8]) + good[place + 1 :])
        assert totals(store, DATE) in (None, known)


def test_only_the_newest_sealed_dates_are_looked_at(tmp_path: Path) -> None:
    store = Store(tmp_path)
    dates = [DATE - dt.timedelta(days=back) for back in range(LOOKED_AT + 2)]
    for date in dates:
        sealed(store, date)
    assert set(newest_totals(store, disk_use(store))) == set(dates[:LOOKED_AT])


def test_what_cannot_be_read_is_not_known(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert totals(store, DATE) is None
    sealed(store)
    store.sealed_path("connections", DATE).unlink()
    assert totals(store, DATE) is None
    store.manifest_path(DATE).write_text("{}")
    assert totals(store, DATE) is None
    store.sealed_path("ticks", DATE).write_bytes(b"PAR1")
    assert present(store, DATE) is None
    assert manifest.load(store, DATE - HOUR * 24) is None


@pytest.mark.parametrize(
    ("spans", "hours"),
    [
        ([], 0),
        ([("09:00", "10:00"), ("15:00", "16:00")], 2),
        ([("09:00", "12:00"), ("09:00", "11:00"), ("11:00", "13:00")], 4),
        ([("09:00", "10:00"), ("11:00", None)], 1),
    ],
)
def test_connections_side_by_side_count_once_and_pauses_not_at_all(
    tmp_path: Path, spans: list[tuple[str, str | None]], hours: int
) -> None:
    store = Store(tmp_path)
    write_sealed(store, DATE, {"connections": [connection(number, *span) for number, span in enumerate(spans, 1)]})
    assert covered_time(connected(store, DATE)) == hours * HOUR


def test_a_usual_day_is_the_median_of_the_newest_long_ones() -> None:
    kept = [day(1, 10**9), *(day(number, number * 100) for number in range(2, 8)), day(9, 7)]
    known = {each.date: Totals(1, (), 6 * HOUR) for each in kept}
    known[kept[-1].date] = Totals(1, (), HOUR / 12)
    assert usual_day(kept, known) == 500
    assert usual_day(kept[-1:], known) is None
    assert usual_day(kept, {}) is None


def journal(store: Store, seqs: range, *, ticks: int = 2) -> None:
    """A journal file of messages with so many ticks each."""
    prices = {f"NSE_EQ|{number}": 1.0 for number in range(ticks)}
    writer = JournalWriter(store.journal(DATE), source="upstox.v3", next_seq=seqs[0], start_ns=NOW)
    for _ in seqs:
        writer.append(Entry(EntryKind.MESSAGE, 1, NOW, NOW, feeds(prices)))
    writer.close()


def part(store: Store, first: int, last: int) -> None:
    """A part with the rows of the sealed file."""
    store.part_path("ticks", DATE, first, last).write_bytes(store.sealed_path("ticks", DATE).read_bytes())


def test_each_tick_of_a_date_is_counted_once_wherever_it_is(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert present(store, DATE) == (0, 0, 0)
    journal(store, range(1, 6))
    assert present(store, DATE) == (0, 0, 10)
    write_sealed(store, DATE, {"ticks": [tick(1, "09:15:00"), tick(2, "09:15:01")]}, last_seq=5)
    assert present(store, DATE) == (2, 5, 0)
    compress(file_path(store.journal(DATE), 1))
    assert present(store, DATE) == (2, 5, 0)
    journal(store, range(6, 9))
    assert present(store, DATE) == (2, 5, 6)
    part(store, 6, 7)
    assert present(store, DATE) == (4, 7, 2)
    part(store, 8, 8)
    assert present(store, DATE) == (6, 8, 0)


def test_too_much_journal_is_left_to_what_the_run_knows(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_sealed(store, DATE, {"ticks": [tick(1, "09:15:00")]}, last_seq=3)
    journal(store, range(4, 6), ticks=5)
    assert present(store, DATE, most=100) == (1, 3, None)
    knew, knew_not = (run_status(position=(1, 64), unflushed_ticks=10, flushed_seq=seq) for seq in (3, 0))
    assert ticks_of(store, knew, most=100) == (11, 10)
    assert ticks_of(store, knew_not, most=100) == (None, 10)
    assert ticks_of(store, knew_not) == (11, 10)
