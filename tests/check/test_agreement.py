"""Over random schedules, whoever tells of an interval tells the same: gaps, missing, check, status, verify, a run."""

import json
import os
import random
from typing import Any

import pyarrow as pa
import pytest

from tests.check.planned import CLOSE, DATE, OPEN, Key, Planned
from tests.clocks import HandClock
from tickrec.check.day_check import check_date
from tickrec.clock import SECOND, from_datetime
from tickrec.journal import Journal
from tickrec.journal.entry import EntryKind
from tickrec.journal.history import History
from tickrec.query.missing import GAP
from tickrec.query.session import Session
from tickrec.seal.seal import seal
from tickrec.seal.verify import verify
from tickrec.status.status import collect
from tickrec.status.totals import totals
from tickrec.store.paths import Store

KEYS = (Key("A", 30, 5), Key("B", 60, 7), Key("C", 40, 9, conn=2))
Gaps = list[tuple[int, int, int]]
"""Connection, begin and end in microseconds, in order."""


def random_schedule(store: Store, rng: random.Random) -> Planned:
    """Runs that die or stop, and connections that are lost and come back, at random times of the session."""
    day = Planned(store, KEYS)
    day.go_on(OPEN + rng.randrange(-30, 600) * SECOND)
    for _ in range(rng.randrange(1, 4)):
        day.run(silent=[key for key in KEYS if rng.random() < 0.1])
        for _ in range(rng.randrange(4)):
            day.go_on(day.now_ns + rng.randrange(10**6, 2_000 * 10**6) * 1000)
            day.drop(rng.choice((1, 2)), rng.choice((0.3, 5.0, 61.7, 400.0)))
        day.go_on(day.now_ns + rng.randrange(10**6, 2_000 * 10**6) * 1000)
        rng.choice((day.kill, day.stop))()
        day.go_on(day.now_ns + rng.randrange(10**6, 900 * 10**6) * 1000)
    return day


def rows_of(store: Store, sql: str) -> list[tuple[Any, ...]]:
    with Session(store) as session, session.execute(sql) as result:
        rows = pa.Table.from_batches(result.batches(), result.schema).to_pylist()
    return [tuple(row.values()) for row in rows]


def folded(store: Store) -> Gaps:
    """What a run that looked at every entry would know, as its summary and status do."""
    history = History()
    for entry in Journal(store.journal(DATE)).entries():
        history.feed(entry, data=entry.kind is EntryKind.MESSAGE)
    found = [*history.take()["gaps"].to_pylist(), *history.last_rows()["gaps"].to_pylist()]
    return sorted(
        (row["conn"], from_datetime(row["start_ts"]) // 1000, row["end_ts"] and from_datetime(row["end_ts"]) // 1000)
        for row in found
    )


@pytest.mark.parametrize("seed", range(int(os.environ.get("TICKREC_SCHEDULES", "1"))))
def test_everybody_tells_the_same_gaps(store: Store, seed: int) -> None:
    day = random_schedule(store, random.Random(seed))
    evening = HandClock(max(CLOSE, day.now_ns) + 3600 * SECOND)
    day.close_books()
    expected = folded(store)
    for sealed in (False, True):
        if sealed:
            manifest = seal(store, DATE, duckdb=False, clock=evening)
            kept = totals(store, DATE)
            assert kept is not None
            assert kept.grade == manifest.grade
            status = collect(store, evening)
            assert sorted((g.conn, g.start_ns // 1000, g.end_ns and g.end_ns // 1000) for g in kept.gaps) == expected
            assert status.totals[DATE] == kept
            read = verify(store, DATE).totals
            assert read is not None
            assert read.gaps == kept.gaps
        table = rows_of(store, "SELECT conn, epoch_us(start_ts), epoch_us(end_ts) FROM gaps ORDER BY ALL")
        assert table == expected
        report = check_date(store, DATE, evening)
        assert not sealed or report.grade == manifest.grade
        assert sorted((each.conn, each.begins, each.ends) for each in report.gaps) == expected
        missing = rows_of(
            store, f"SELECT instrument_key, epoch_us(start_ts), epoch_us(end_ts) FROM missing WHERE why = '{GAP}'"
        )
        for key in KEYS:
            spans = [
                (max(begin, OPEN // 1000), min(end or CLOSE // 1000, CLOSE // 1000))
                for conn, begin, end in expected
                if conn == key.conn
            ]
            found = [(begin, end) for name, begin, end in missing if name == key.instrument_key]
            assert found == joined([span for span in spans if span[0] < span[1]]), key.name
        for each in report.instruments:
            planned = next(day.expected[key] for key in KEYS if key.name == each.known.symbol)
            assert each.known.missing_us * 1000 == sum(end - begin for begin, end in planned.spans), each.known
            assert (each.known.missing_volume or 0) == planned.volume
        json.dumps(report.to_json())


def joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if found and found[-1][1] >= begin:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return found
