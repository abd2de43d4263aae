"""What was recorded of a date over all of its runs, and what a usual day takes of the disk."""

import datetime as dt
from pathlib import Path

import pytest

from tests.query_fixtures import at, tick, write_sealed
from tickrec import manifest
from tickrec.holdings import Holding, holdings
from tickrec.layout import Store
from tickrec.manifest import Manifest
from tickrec.totals import LOOKED_AT, Totals, newest_totals, recorded, ticks_through, totals, usual_day

DATE = dt.date(2026, 11, 23)
HOUR = dt.timedelta(hours=1)


def day(number: int, size: int) -> Holding:
    return Holding(dt.date(2026, 11, number), journal=0, parquet=size, duckdb=0, sealed=True)


def connection(conn: int, opened: str, closed: str | None, date: dt.date = DATE) -> dict[str, object]:
    ends = {"opened_ts": at(opened, date), "closed_ts": at(closed, date) if closed else None}
    return {"seq": conn, "conn": conn, "messages": 1, "keys": 1, **ends}


def sealed(store: Store, date: dt.date = DATE, closed: str = "15:30") -> None:
    """A sealed date with three ticks and two gaps, one of which never ended."""
    ticks = [tick(seq, "09:15:00", key=f"NSE_EQ|{seq}") for seq in range(3)]
    write_sealed(store, date, {"ticks": ticks, "connections": [connection(1, "09:15", closed, date)]})
    gap = {"conn": 1, "reason": "x", "start_ts": at("10:00", date).isoformat(), "end_ts": at("10:01", date).isoformat()}
    Manifest(
        schema_version=1, date=str(date), sealed_at="", versions={}, first_seq=1, last_seq=9, messages=2,
        message_bytes=20, rows={"ticks": 3}, missing=[], gaps=[gap, {**gap, "end_ts": None}], files={}, instruments={},
    ).publish(store)  # fmt: skip


def test_a_sealed_date_tells_ticks_gaps_and_how_long_it_was_recorded(tmp_path: Path) -> None:
    store = Store(tmp_path)
    sealed(store)
    assert totals(store, DATE) == Totals(3, 2, 60_000_000_000, dt.timedelta(hours=6, minutes=15))
    assert newest_totals(store, holdings(store)) == {DATE: totals(store, DATE)}


def test_only_the_newest_sealed_dates_are_looked_at(tmp_path: Path) -> None:
    store = Store(tmp_path)
    dates = [DATE - dt.timedelta(days=back) for back in range(LOOKED_AT + 2)]
    for date in dates:
        sealed(store, date)
    assert set(newest_totals(store, holdings(store))) == set(dates[:LOOKED_AT])


def test_what_cannot_be_read_is_not_known(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert totals(store, DATE) is None
    sealed(store)
    store.sealed_path("connections", DATE).unlink()
    assert totals(store, DATE) is None
    store.manifest_path(DATE).write_text("{}")
    assert totals(store, DATE) is None
    store.sealed_path("ticks", DATE).write_bytes(b"PAR1")
    assert ticks_through(store, DATE, 5) is None
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
    assert recorded(store, DATE) == hours * HOUR


def test_a_usual_day_is_the_median_of_the_newest_long_ones() -> None:
    kept = [day(1, 10**9), *(day(number, number * 100) for number in range(2, 8)), day(9, 7)]
    known = {each.date: Totals(1, 0, 0, 6 * HOUR) for each in kept}
    known[kept[-1].date] = Totals(1, 0, 0, HOUR / 12)
    assert usual_day(kept, known) == 500
    assert usual_day(kept[-1:], known) is None
    assert usual_day(kept, {}) is None


def test_ticks_are_counted_as_far_as_a_run_knows_of_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert ticks_through(store, DATE, 0) == 0
    write_sealed(store, DATE, {"ticks": [tick(1, "09:15:00"), tick(2, "09:15:01")]}, last_seq=5)
    for first, last in ((6, 10), (11, 20)):
        path = store.part_path("ticks", DATE, first, last)
        path.write_bytes(store.sealed_path("ticks", DATE).read_bytes())
    assert [ticks_through(store, DATE, seq) for seq in (5, 10, 20)] == [2, 4, 6]
