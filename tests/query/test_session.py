"""A session answers from sealed files, parts and the journal's tail as if they were one table."""

import datetime as dt
import gc
import json
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

import tickrec
from tests import days
from tests.query.fixtures import answer, at, feeds, seal_parts, tick, tree, write_sealed
from tickrec import schema
from tickrec.clock import SECOND
from tickrec.errors import DataError, UsageError
from tickrec.journal.history import History
from tickrec.query import interruptible
from tickrec.query.attached import attachments
from tickrec.query.date_range import DateRange
from tickrec.query.session import Session
from tickrec.query.views import BY_DATE, TABLES
from tickrec.seal.seal import seal
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store
from tickrec.upstox.decode.peek import count_feeds, served_keys

DATE = days.DATE
NEXT = DATE + dt.timedelta(days=1)


@pytest.fixture
def store(asking: Session) -> Store:
    """The store of the session that these tests share, in which nothing is."""
    return asking.store


def as_journal(store: Store, last_seq: int) -> None:
    """Nothing but the journal."""


def as_parts_and_tail(store: Store, last_seq: int) -> None:
    writer = PartWriter(store, DATE)
    writer.flush(last_seq // 3)
    writer.flush(2 * last_seq // 3)


def as_parts(store: Store, last_seq: int) -> None:
    PartWriter(store, DATE).flush(last_seq, final=True)


def as_sealed(store: Store, last_seq: int) -> None:
    seal(store, DATE, duckdb=False)


def as_sealed_and_going_on(store: Store, last_seq: int) -> None:
    PartWriter(store, DATE).flush(last_seq // 3)
    seal_parts(store, DATE)
    PartWriter(store, DATE).flush(2 * last_seq // 3)


def as_sealed_with_parts_left(store: Store, last_seq: int) -> None:
    """Sealing was interrupted before it removed the parts."""
    as_parts(store, last_seq)
    parts = {path: path.read_bytes() for path in store.root.rglob("part-*.parquet")}
    seal_parts(store, DATE)
    for path, data in parts.items():
        path.write_bytes(data)


State = Callable[[Store, int], None]
STATES: list[State] = [
    as_journal,
    as_parts_and_tail,
    as_parts,
    as_sealed,
    as_sealed_and_going_on,
    as_sealed_with_parts_left,
]


@pytest.mark.parametrize("state", STATES)
def test_every_tick_comes_once_wherever_it_is_stored(
    asking: Session, journalled: Store, written: days.Written, state: State
) -> None:
    store = journalled
    state(store, written.last_seq)
    rows = answer(asking, "SELECT date, seq, instrument_key, vtt FROM ticks")
    expected = Counter(
        (DATE, seq, key, feed.fullFeed.marketFF.vtt if feed.fullFeed.HasField("marketFF") else None)
        for seq, _, _, key, feed in feeds(store)
    )
    assert Counter(tuple(row.values()) for row in rows) == expected
    assert len(rows) == written.ticks


def ledger_rows(store: Store) -> dict[str, Counter[str]]:
    """The rows of the small tables by folding the whole journal at once."""
    ledger = History()
    for entry in days.every_entry(store):
        ledger.feed(entry, count_feeds(entry.payload) > 0, served_keys(entry.payload))
    tables = [ledger.take(), ledger.open_rows()]
    return {name: Counter(str(row) for t in tables for row in t[name].to_pylist()) for name in tables[0]}


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("state", STATES[:3])
def test_small_tables_come_once_too_with_what_is_still_open(asking: Session, store: Store, state: State) -> None:
    recording = days.Recording(store, instruments=12)
    recording.run()
    recording.connect(silent=["NSE_EQ|SILENT"])
    recording.updates(20, 3)
    recording.drop()
    recording.connect(silent=["NSE_EQ|SILENT"])
    recording.updates(20, 3)
    state(store, recording.written.last_seq)
    expected = ledger_rows(store)
    for table in ("gaps", "connections", "subscriptions"):
        result = asking.execute(f"SELECT * EXCLUDE (date) FROM {table}")
        rows = pa.Table.from_batches(result.batches(), result.schema).cast(schema.TABLES[table]).to_pylist()
        assert Counter(map(str, rows)) == expected[table]
        assert rows


def test_a_store_without_anything_has_every_table(asking: Session) -> None:
    for name in schema.TABLES:
        result = asking.execute(f"SELECT * FROM {name}")
        assert result.schema.names == ["date", *schema.TABLES[name].names]
        assert list(result.batches()) == []
    assert answer(asking, "SELECT count(*) AS n FROM candles('1 minute')") == [{"n": 0}]
    assert answer(asking, "SELECT count(*) AS n FROM latest") == [{"n": 0}]


def test_a_query_changes_nothing_in_the_store(asking: Session, journalled: Store, written: days.Written) -> None:
    as_parts_and_tail(journalled, written.last_seq)
    before = tree(journalled.root)
    pivot = "PIVOT (FROM candles('1 minute')) ON symbol USING sum(volume) GROUP BY start"
    for sql in ("SUMMARIZE ticks", "SHOW ALL TABLES", pivot):
        answer(asking, sql)
    with Session(journalled, locked=False) as session:
        answer(session, pivot)
    assert tree(journalled.root) == before


def test_what_was_recorded_since_is_in_the_next_answer(asking: Session, store: Store) -> None:
    recording = days.Recording(store, instruments=4)
    recording.run()
    recording.connect()
    recording.updates(1)
    count = "SELECT count(*) AS n, max(seq) AS last FROM ticks"
    with tickrec.open(store.root) as day:
        for _ in range(3):
            expected = {"n": recording.written.ticks, "last": recording.written.last_seq}
            assert answer(asking, count) == [expected]
            assert day.sql(count).fetchall() == [tuple(expected.values())]
            recording.updates(5)


def test_dates_narrow_every_table(store: Store) -> None:
    dates = [DATE + dt.timedelta(days=n) for n in range(4)]
    for date in dates[:2]:
        write_sealed(store, date, {"ticks": [tick(1, "09:15", ltp=1.0)]})
    for date in dates[2:]:
        days.write_day(store, date, messages=3, instruments=4)
    everything = "SELECT list(DISTINCT date ORDER BY date) AS dates FROM {}".format
    for chosen, expected in [
        (DateRange(dates[1], dates[2]), dates[1:3]),
        (DateRange(last=dates[0]), dates[:1]),
        (DateRange(first=dates[3]), dates[3:]),
    ]:
        with Session(store, chosen) as session:
            ticks, gaps = answer(session, f"{everything('ticks')} UNION ALL {everything('gaps')}")
            assert ticks["dates"] == expected
            assert (gaps["dates"] or []) == [date for date in expected if date in dates[2:]]


def test_a_question_about_some_dates_looks_at_no_other(asking: Session, store: Store) -> None:
    write_sealed(store, DATE, {"ticks": [tick(1, "09:15", ltp=1.0)]})
    written = days.write_day(store, NEXT, messages=20, instruments=4)
    PartWriter(store, NEXT).flush(written.last_seq, final=True)
    seal_parts(store, NEXT)
    shutil.rmtree(store.journal(NEXT))
    empty = set()
    for name in BY_DATE:
        source = {"candles": "candles('1 second')", "spikes": "spikes('1 minute', 0.0001)"}.get(name, name)
        rows = answer(asking, f"FROM {source} WHERE date = '{NEXT}' ORDER BY ALL")
        assert rows == answer(asking, f"FROM (FROM {source}) WHERE date = '{NEXT}' ORDER BY ALL")
        assert "Scanning Files" not in str(answer(asking, f"EXPLAIN FROM {source} WHERE date = '{NEXT}'"))
        if not rows:
            empty.add(name)
    assert empty == {"instruments", "exchange_bars"}


@pytest.mark.parametrize("damaged", [0, 2])
def test_a_damaged_date_fails_only_who_asks_for_it(asking: Session, store: Store, damaged: int) -> None:
    dates = [DATE - dt.timedelta(days=back) for back in range(3)]
    for date in dates:
        write_sealed(store, date, {"ticks": [tick(1, "09:15", ltp=1.0)]})
    assert answer(asking, "SELECT count(*) AS n FROM ticks") == [{"n": 3}]
    bad = store.sealed_path("ticks", dates[damaged])
    bad.write_bytes(b"not parquet")
    for date in set(dates) - {dates[damaged]}:
        for rows in (
            f"(FROM ticks) WHERE date = '{date}'",
            f"ticks WHERE date = '{date}'",
            f"ticks WHERE date > DATE '{date}' - 1 AND date <= '{date}'",
        ):
            assert answer(asking, f"SELECT date, ltp FROM {rows}") == [{"date": date, "ltp": 1.0}]
    for sql in ("SELECT ltp FROM ticks", f"SELECT ltp FROM ticks WHERE date = '{dates[damaged]}'"):
        with pytest.raises(DataError) as caught:
            answer(asking, sql)
        assert str(bad) in str(caught.value)
        assert f"`tickrec rebuild {dates[damaged]}`" in str(caught.value)
    if damaged == 0:
        with pytest.raises(DataError, match=bad.name):
            answer(asking, "FROM latest")


def test_a_file_that_is_replaced_is_read_anew(asking: Session, store: Store) -> None:
    for count in range(1, 6):
        rows = [tick(seq, "09:15", ltp=float(count)) for seq in range(count % 7 + 1)]
        write_sealed(store, DATE, {"ticks": rows})
        found = answer(asking, "SELECT count(*) AS n, min(ltp) AS low, max(ltp) AS high FROM ticks")
        assert found == [{"n": count % 7 + 1, "low": count, "high": count}]


def test_a_store_with_nothing_but_damage_says_so(asking: Session, store: Store) -> None:
    write_sealed(store, DATE, {"ticks": [tick(1, "09:15", ltp=1.0)]})
    store.sealed_path("ticks", DATE).write_bytes(b"not parquet")
    with pytest.raises(DataError, match=f"rebuild {DATE}"):
        answer(asking, "FROM ticks")
    with Session(store, locked=False) as session, pytest.raises(duckdb.Error, match=f"rebuild {DATE}"):
        session.sql("FROM ticks").fetchall()


def test_damaged_parts_fail_only_who_asks_for_their_date(asking: Session, store: Store) -> None:
    write_sealed(store, DATE - dt.timedelta(days=1), {"ticks": [tick(1, "09:15", ltp=1.0)]})
    written = days.write_day(store, messages=12, instruments=12)
    as_parts_and_tail(store, written.last_seq)
    bad = max(store.folder("ticks", DATE).iterdir())
    bad.write_bytes(b"not parquet")
    for table in ("ticks", "gaps"):
        assert len(answer(asking, f"FROM {table} WHERE date < '{DATE}'")) == (table == "ticks")
        with pytest.raises(DataError, match=bad.name):
            answer(asking, f"FROM {table}")


def test_a_damaged_first_part_is_told_beside_the_tail(asking: Session, store: Store) -> None:
    """The first file is the one that is looked into before a statement runs."""
    as_parts_and_tail(store, days.write_day(store, messages=12, instruments=12).last_seq)
    bad = min(store.folder("ticks", DATE).iterdir())
    bad.write_bytes(b"not parquet")
    with pytest.raises(DataError, match=bad.name):
        answer(asking, "SELECT count(*) FROM ticks")


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_bytes(b"no")])
def test_a_small_table_of_a_sealed_date_that_goes_on_is_missed(
    asking: Session, store: Store, harm: Callable[[Path], object]
) -> None:
    recording = days.Recording(store, instruments=3)
    for run in range(2):
        recording.run()
        recording.connect()
        if not run:
            recording.die()
            as_parts(store, recording.written.last_seq)
            seal_parts(store, DATE)
    harm(store.sealed_path("connections", DATE))
    assert answer(asking, "FROM subscriptions")
    with pytest.raises(DataError, match="connections"):
        answer(asking, "FROM connections")


def test_a_file_of_a_sealed_date_that_is_gone_is_missed(asking: Session, store: Store) -> None:
    for date in (DATE, NEXT):
        write_sealed(
            store, date, {"ticks": [tick(1, "09:15", ltp=1.0)], "rejected": [{"seq": 1, "recv_ts": at("09:15")}]}
        )
    gone = store.sealed_path("rejected", DATE)
    gone.unlink()
    assert answer(asking, "SELECT count(*) AS n FROM ticks") == [{"n": 2}]
    assert len(answer(asking, f"FROM rejected WHERE date = '{NEXT}'")) == 1
    with pytest.raises(DataError, match=f"is gone .*{gone.name}.*rebuild {DATE}"):
        answer(asking, "FROM rejected")


def test_the_newest_date_s_ticks_that_are_gone_are_missed_by_latest(asking: Session, store: Store) -> None:
    for date in (DATE, NEXT):
        write_sealed(store, date, {"ticks": [tick(1, "09:15", ltp=1.0)]})
    gone = store.sealed_path("ticks", NEXT)
    gone.unlink()
    gone.symlink_to(store.root / "a disk that is not there")
    with pytest.raises(DataError, match=f"is gone .*{gone.name}.*rebuild {NEXT}"):
        answer(asking, "FROM latest")


def test_what_the_owner_made_or_dropped_of_our_views_is_made_again(store: Store) -> None:
    days.write_day(store, messages=6, instruments=3)
    with tickrec.open(store.root) as day:
        latest, ticks, trades = (
            len(day.sql(f"FROM {each}").to_arrow_table()) for each in ("latest", "ticks", "trades")
        )
        owned = day.connection
        for _ in range(2):
            owned.execute("CREATE OR REPLACE VIEW latest AS SELECT 1 AS mine; DROP VIEW trades")
            owned.execute("CREATE OR REPLACE VIEW ticks AS SELECT 1 AS mine")
            assert len(day.sql("FROM ticks").to_arrow_table()) == ticks > 1
            assert len(day.sql("SELECT symbol FROM latest").to_arrow_table()) == latest > 1
            assert len(day.sql("FROM trades").to_arrow_table()) == trades


def test_a_table_younger_than_a_date_is_empty_there(asking: Session, store: Store) -> None:
    write_sealed(store, DATE, {"ticks": [tick(1, "09:15", ltp=1.0)]})
    store.sealed_path("rejected", DATE).unlink()
    store.manifest_path(DATE).parent.mkdir()
    store.manifest_path(DATE).write_text(json.dumps({"schema_version": 1, "rows": {"ticks": 1}}))
    assert answer(asking, "FROM rejected") == []


def test_a_tail_is_read_only_when_its_date_is_asked_for(asking: Session, store: Store) -> None:
    write_sealed(store, DATE, {"ticks": [tick(1, "09:15", ltp=1.0)]})
    days.write_day(store, NEXT, messages=3, instruments=4)
    journal = store.journal_files(NEXT)[0]
    journal.write_bytes(b"something else" + journal.read_bytes())
    assert answer(asking, f"SELECT count(*) AS n FROM ticks WHERE date = '{DATE}'") == [{"n": 1}]
    with pytest.raises(DataError, match=journal.name):
        answer(asking, "SELECT count(*) AS n FROM ticks")


def test_columns_added_since_are_null_in_older_dates(asking: Session, store: Store) -> None:
    for date, missing in ((DATE, ["rho", "min_ts", "bid_qtys"]), (NEXT, [])):
        write_sealed(store, date, {"ticks": [tick(1, "09:15", ltp=1.0, rho=0.5, bid_qtys=[1, 2])]})
        path = store.sealed_path("ticks", date)
        pq.write_table(pq.read_table(path, partitioning=None).drop_columns(missing), path)
        store.manifest_path(date).parent.mkdir(exist_ok=True)
        facts = {"counts": {"x": "y" * 5000}, "schema_version": 0 if missing else schema.SCHEMA_VERSION}
        store.manifest_path(date).write_text(json.dumps(facts))
    rows = answer(asking, "SELECT date, ltp, rho, min_ts, bid_qtys FROM ticks ORDER BY date")
    assert [list(row.values()) for row in rows] == [[DATE, 1.0, None, None, None], [NEXT, 1.0, 0.5, None, [1, 2]]]


def test_parts_from_before_and_after_an_upgrade_are_read_together(
    asking: Session, journalled: Store, written: days.Written
) -> None:
    as_parts_and_tail(journalled, written.last_seq)
    first = min(journalled.folder("ticks", DATE).iterdir())
    table = pq.read_table(first, partitioning=None)
    pq.write_table(table.drop_columns(["tbq"]), first)
    rows = answer(asking, "SELECT count(*) AS n, count(tbq) AS known FROM ticks")
    lost = table.num_rows - table["tbq"].null_count
    assert rows[0]["n"] == written.ticks
    assert lost > 0
    assert answer(asking, "SELECT count(tbq) AS known FROM ticks")[0]["known"] == rows[0]["known"]
    indices = sum(feed.fullFeed.HasField("indexFF") for _, _, _, _, feed in feeds(journalled))
    assert rows[0]["known"] == written.ticks - indices - lost


def test_an_index_of_the_files_goes_stale_when_they_change(journalled: Store, written: days.Written) -> None:
    from tickrec.query.sources import Listing

    as_parts_and_tail(journalled, written.last_seq)
    listing = Listing(journalled, [DATE], journalled.root.parent)
    listing.sources("ticks")
    assert not listing.vanished()
    seal_parts(journalled, DATE)
    assert listing.vanished()
    listing = Listing(journalled, [DATE], journalled.root.parent)
    listing.sources("ticks")
    assert not listing.vanished()
    assert not listing.replaced()
    seal_parts(journalled, DATE)
    assert listing.vanished()
    assert listing.replaced()


# Cancelling

ENDLESS = "SELECT sum(a.range * b.range % 7) FROM range(10000000) a, range(10000000) b"


def test_a_query_that_takes_too_long_is_given_up(asking: Session) -> None:
    with pytest.raises(UsageError, match=r"longer than 0\.05 s"):
        asking.execute(ENDLESS, timeout=0.05)
    assert answer(asking, "SELECT 1 AS one") == [{"one": 1}]


def test_time_also_runs_while_rows_are_taken(asking: Session) -> None:
    result = asking.execute("SELECT range, repeat('x', 500) AS text FROM range(100000000)", timeout=0.3)
    with pytest.raises(UsageError, match="longer than"):
        for _ in result.batches():
            pass


def test_progress_is_reported_while_a_query_runs(asking: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruptible, "_PATIENCE_NS", SECOND // 5)
    seen: list[float] = []
    enough = threading.Event()

    def progress(percent: float) -> None:
        seen.append(percent)
        if len(seen) >= 2:
            enough.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asking.execute(ENDLESS, progress=progress)
    assert enough.is_set()


def test_rows_nobody_wants_are_not_computed(asking: Session) -> None:
    endless = "SELECT range FROM range(100000000000)"
    with asking.execute(endless) as result:
        assert next(result.batches()).num_rows > 0
    for _ in range(3):
        asking.execute(endless)  # and dropped
    assert not [thread for thread in threading.enumerate() if thread.name == "query"]
    assert answer(asking, "SELECT 1 AS one") == [{"one": 1}]


# Errors and notices


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A session over a small day, for what is refused."""
    store = Store(tmp_path_factory.mktemp("asked") / "data")
    days.write_day(store, messages=3, instruments=4)
    with Session(store) as session:
        yield session


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", 'syntax error at or near "SELEC" (line 1, column 1)'),
        ("SELECT\n  volume FROM ticks", 'Referenced column "volume" not found in FROM clause (line 2, column 3). Cand'),
        ("FROM tick", "no table tick (line 1, column 6). Nearest: ticks"),
        ("FROM candels('1 minute')", "no table function candels (line 1, column 6). Nearest: candles"),
        (
            "FROM candles('2 days')",
            "candles: 2 days is no interval from 1 second to 1 day (line 1, column 6). Write it as",
        ),
        ("FROM candles", "candles takes 1 argument (line 1, column 6). Write FROM candles('1 minute')"),
        ("FROM ticks, spikes", "spikes takes 2 arguments (line 1, column 13). Write FROM spikes('1 minute', 0.5)"),
        ("FROM candles('1 minute', 2)", "candles takes 1 argument, not 2 (line 1, column 6). Write FROM candles("),
        ("FROM option_chain('NIFTY')", "option_chain takes 2 arguments, not 1"),
        ("FROM latest()", "latest takes no arguments (line 1, column 6). Write FROM latest"),
        ("FROM candles('1 foo')", "candles: 1 foo is no interval"),
        ("FROM candles(5)", "candles: 5 is no interval"),
        ("FROM candles('5')", "candles: 5 is no interval"),
        ("FROM candles(NULL)", "candles: NULL is no interval"),
        ("FROM candles(\"interval\" := 'x')", "candles: x is no interval"),
        ("FROM spikes('-1 minute', 1)", "spikes: -1 minute is no length of time"),
        ("FROM spikes(percent := 0, \"window\" := '1 minute')", "spikes: 0 is no percentage above 0"),
        ("FROM option_chain('NIFTY', 'noonish')", "option_chain: noonish is no moment (line 1, column 6). Write it as"),
        ("FROM option_chain('NIFTY', '25:30')", "option_chain: 25:30 is no moment"),
        ("latest", "latest is no statement. Write FROM latest"),
        ("Candles;", "candles is no statement. Write FROM candles('1 minute')"),
        ('FROM ticks WHERE symbol = "M&M"', "A text is written in single quotes: 'M&M'"),
        ("FROM ticks WHERE recv_ts > '10:30'", "A moment is '2026-11-23 10:30', a time of day CAST(recv_ts AT TIME"),
        ("FROM ticks WHERE recv_ts::TIME > '10:30'", "a time of day CAST(recv_ts AT TIME ZONE 'Asia/Kolkata' AS TIME)"),
        ("SELECT 'é', ltpp FROM ticks", 'Referenced column "ltpp" not found in FROM clause (line 1, column 13)'),
        ("SELECT " + "ltp, " * 60 + "nix FROM ticks", "not found in FROM clause (line 1, column 308)"),
        ("SELECT CAST(symbol AS INTEGER) FROM latest", "Could not convert string"),
        ("", "the query is empty"),
    ],
)
def test_what_is_wrong_with_sql_is_one_line_with_its_place(asked: Session, sql: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        answer(asked, sql)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_query_that_needs_too_much_memory_says_so(store: Store) -> None:
    with Session(store, memory_limit="20MB") as session, pytest.raises(UsageError, match="memory"):
        answer(session, "SELECT list(range) AS l FROM range(20000000)")


def test_a_store_may_be_named_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "data")
    written = days.write_day(store, messages=3, instruments=4)
    as_parts_and_tail(store, written.last_seq)
    monkeypatch.chdir(tmp_path)
    with Session(Store(Path("data"))) as session:
        assert answer(session, "SELECT count(*) AS n FROM ticks") == [{"n": written.ticks}]
        with pytest.raises(UsageError, match='"data" not found'):
            answer(session, "SELECT data FROM ticks")


@pytest.mark.parametrize("limit", ["much", "0", "-1", "5", "200%", "0%", "GB"])
def test_a_memory_limit_that_is_none_is_refused(store: Store, limit: str) -> None:
    with pytest.raises(UsageError, match=f"not a memory limit: {limit}"):
        Session(store, memory_limit=limit)


def test_a_memory_limit_too_small_for_anything_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="1KB of memory is too little"):
        Session(store, memory_limit="1KB")
    with Session(store, memory_limit="16MB") as session:
        assert answer(session, "SELECT count(*) AS n FROM candles('1 minute')") == [{"n": 0}]


def test_memory_that_is_short_is_helped_out_elsewhere_and_given_back(store: Store, tmp_path: Path) -> None:
    days.write_day(store, messages=3, instruments=4)
    before = tree(store.root), tree(tmp_path)
    with Session(store, memory_limit="60MB") as session:
        spill = session._spill.path
        sql = (
            "SELECT max(s) AS m FROM (SELECT range, repeat('x', 100) || range AS s FROM range(600000) ORDER BY s DESC)"
        )
        assert answer(session, sql)[0]["m"].endswith("x99999")
        assert not spill.is_relative_to(store.root)
    assert not spill.exists()
    assert (tree(store.root), tree(tmp_path)) == before


def test_an_empty_store_points_at_the_simulated_one(asking: Session, store: Store) -> None:
    assert "tickrec record" in (asking.notice() or "")
    days.write_day(Store(store.root / "simulated"), messages=3, instruments=4)
    assert "--simulate" in (asking.notice() or "")
    days.write_day(store, messages=3, instruments=4)
    assert asking.notice() is None
    with Session(store, DateRange(first=NEXT)) as session:
        assert f"nothing was recorded since {NEXT} in {store.root}. Recorded: {DATE}" == session.notice()


# Python


def test_a_relation_can_be_taken_apart_in_python(journalled: Store, written: days.Written) -> None:
    as_parts_and_tail(journalled, written.last_seq)
    with tickrec.open(journalled.root) as day:
        relation = day.sql("SELECT symbol, seq, ltp FROM ticks")
        other = day.sql("SELECT count(*) AS n FROM candles('1 minute')")
        assert relation.filter("seq > 10").to_arrow_table().num_rows == sum(seq > 10 for seq, *_ in feeds(journalled))
        assert relation.to_arrow_table().num_rows == written.ticks
        assert other.fetchall()[0][0] > 0
    with tickrec.open(str(journalled.root), first=NEXT) as later:
        assert later.sql("SELECT count(*) FROM ticks").fetchall() == [(0,)]


def test_what_the_docstring_offers_without_other_packages_gives_rows_with_instants(store: Store) -> None:
    days.write_day(store, messages=3, instruments=4)
    (offered,) = {text for text in re.findall(r"`\.([\w.()]+)\(\)`", Session.sql.__doc__ or "") if "pylist" in text}
    first, last = offered.split("().")
    with tickrec.open(store.root) as day:
        rows = getattr(getattr(day.sql("FROM ticks ORDER BY seq LIMIT 1"), first)(), last)()
    assert "fetchall" not in (Session.sql.__doc__ or "")
    assert rows[0]["recv_ts"].utcoffset() == dt.timedelta(hours=5, minutes=30)


def test_open_results_do_not_stop_the_next_question(journalled: Store, written: days.Written) -> None:
    with tickrec.open(journalled.root) as day:
        reader = day.sql("SELECT * FROM ticks").to_arrow_reader(2)
        assert reader.read_next_batch().num_rows == 2
        assert day.sql("SELECT count(*) FROM ticks").fetchall() == [(written.ticks,)]
        assert reader.read_next_batch().num_rows == 2


def test_the_owner_asks_frames_and_files_beside_what_is_recorded_meanwhile(store: Store, tmp_path: Path) -> None:
    recording = days.Recording(store, instruments=12)
    recording.run()
    recording.connect()
    recording.updates(4)
    wanted = feeds(store)[0][3]
    (tmp_path / "mine.csv").write_text(f"instrument_key,lots\n{wanted},5\n")
    mine = pa.table({"instrument_key": [wanted], "lots": [5]})
    count = "SELECT count(*), max(lots) FROM ticks JOIN {} USING (instrument_key)"
    with tickrec.open(store.root) as day:
        owned = day.connection
        owned.register("frame", mine)
        owned.execute("CREATE TABLE kept AS FROM frame")
        owned.execute("CREATE VIEW pair AS FROM ticks JOIN kept USING (instrument_key)")
        for names in (["kept"], ["mine", "frame", f"'{tmp_path / 'mine.csv'}'"]):
            recording.updates(4)
            ticks = sum(key == wanted for _, _, _, key, _ in feeds(store))
            for name in names:
                assert day.sql(count.format(name)).fetchall() == [(ticks, 5)], name
            assert day.sql("SELECT count(*) FROM pair").fetchall() == [(ticks,)]
            assert day.connection.sql("SELECT count(*) FROM pair").fetchall() == [(ticks,)]
    assert mine.num_rows == 1


def test_what_the_owner_gets_wrong_is_one_line(store: Store) -> None:
    days.write_day(store, messages=3, instruments=4)
    with tickrec.open(store.root) as day:
        with pytest.raises(UsageError, match=r'"ltpp" not found in FROM clause \(line 1, column 8\)'):
            day.sql("SELECT ltpp FROM ticks")
        with pytest.raises(UsageError, match="Table with name nowhere does not exist"):
            day.sql("FROM nowhere")
        assert {name for (name,) in day.sql("SHOW TABLES").fetchall()} >= TABLES


@pytest.mark.parametrize("name", ["mine.csv", "date=2026-01-01 [x].parquet"])
def test_an_attached_file_is_asked_under_a_name_and_nothing_else_is(store: Store, tmp_path: Path, name: str) -> None:
    days.write_day(store, messages=3, instruments=4)
    mine = pa.table({"instrument_key": [feeds(store)[0][3]], "lots": [5]})
    path = tmp_path / name
    (csv.write_csv if path.suffix == ".csv" else pq.write_table)(mine, path)
    (tmp_path / "other.csv").write_text("a\n1\n")
    attached = attachments([f"lots={path}"])
    with Session(store, attached=attached) as session:
        assert answer(session, "FROM lots") == mine.to_pylist()
        joined = answer(session, "SELECT DISTINCT symbol, lots FROM ticks JOIN Lots USING (instrument_key)")
        assert [row["lots"] for row in joined] == [5]
        for other in (f"FROM '{path}'", f"FROM read_csv('{tmp_path / 'other.csv'}')"):
            with pytest.raises(UsageError, match=r"refused|no table"):
                answer(session, other)
        with pytest.raises(UsageError, match="disabled by configuration"):
            session.read(f"FROM read_csv('{tmp_path / 'other.csv'}')", ())
        path.unlink()
        gone = re.escape(f"the file cannot be read: it is gone ({path})")
        with pytest.raises(UsageError, match=gone):
            answer(session, "FROM lots")
    with pytest.raises(UsageError, match=gone):
        Session(store, attached=attached)


def test_a_file_that_cannot_be_attached_is_named(store: Store, tmp_path: Path) -> None:
    good, bad = tmp_path / "2026 bonds.csv", tmp_path / "bad.parquet"
    good.write_text("a\n1\n")
    bad.write_text("no Parquet")
    for texts, message in [
        ([str(good)], "2026 bonds is no name for a table. Give it one: --attach mine="),
        ([f"ticks={good}"], "the name ticks is taken"),
        ([f"a={good}", f"A={good}"], "the name a is taken"),
        ([str(tmp_path / "gone.csv")], "no such file to attach"),
        ([str(tmp_path / "book.xlsx")], "cannot tell what book.xlsx holds"),
    ]:
        with pytest.raises(UsageError, match=message):
            attachments(texts)
    with pytest.raises(UsageError, match=f"the file cannot be read: .*{bad.name}"):
        Session(store, attached=attachments([str(bad)]))


def test_opening_what_is_no_store_says_which_is_or_how_to_begin(tmp_path: Path) -> None:
    for folder in (tmp_path / "dta", tmp_path):
        with pytest.raises(UsageError, match=f"in {folder}.*`tickrec record` begins a store"):
            tickrec.open(folder)
    days.write_day(Store(tmp_path / "data" / "simulated"), messages=3, instruments=4)
    for folder in (tmp_path, tmp_path / "data", tmp_path / "data" / "typo"):
        with pytest.raises(UsageError, match=f"There is a store in {tmp_path / 'data' / 'simulated'}: {DATE}"):
            tickrec.open(folder)


def test_a_relation_outlives_the_session_it_came_from(journalled: Store, written: days.Written) -> None:
    relation = tickrec.open(journalled.root).sql("SELECT * FROM ticks ORDER BY ltp").filter("seq > 0")
    gc.collect()
    assert relation.to_arrow_table().num_rows == written.ticks


def test_a_session_left_open_says_nothing_when_python_ends(store: Store) -> None:
    days.write_day(store, messages=3, instruments=4)
    program = f"import tickrec\nday = tickrec.open({str(store.root)!r})\nprint(day.sql('SELECT 7').fetchall())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[(7,)]\n"
    assert done.stderr == ""


def test_the_newest_tick_is_visible_at_once(asking: Session, store: Store) -> None:
    recording = days.Recording(store)
    recording.run()
    recording.connect()
    answer(asking, "SELECT max(seq) FROM ticks")
    recording.updates(1)
    assert answer(asking, "SELECT max(seq) AS last FROM latest") == [{"last": recording.written.last_seq}]


def test_a_time_of_day_is_one_of_the_newest_date_when_it_is_asked(asking: Session, store: Store) -> None:
    option = {"instrument_key": "NSE_EQ|A", "instrument_type": "CE", "strike": 5.0, "underlying_symbol": "X"}
    for date, price in ((DATE, 1.0), (NEXT, 2.0)):
        moments = dict.fromkeys(("recv_ts", "feed_ts", "ltt"), at("10:00", date))
        rows = [tick(1, "10:00", vtt=1) | {"ltp": price} | moments]
        write_sealed(store, date, {"ticks": rows, "instruments": [option]})
        assert answer(asking, "SELECT call_ltp FROM option_chain('X', '10:01')") == [{"call_ltp": price}]


HIDING = [
    "WITH ticks AS (FROM main.ticks) SELECT count(*) AS n FROM ticks",
    "WITH ticks AS MATERIALIZED (FROM memory.main.ticks) SELECT count(*) AS n FROM ticks",
    "WITH Ticks AS (FROM main.TICKS WHERE seq > 0), t AS (FROM ticks) SELECT count(*) AS n FROM t",
    "SELECT count(*) AS n FROM ticks WHERE seq NOT IN (WITH ticks AS (SELECT 0 AS seq) FROM ticks)",
    "WITH ticks AS (SELECT 1 AS x) SELECT (SELECT count(*) FROM main.ticks) AS n FROM ticks",
    "WITH RECURSIVE ticks AS (SELECT count(*) AS n FROM main.ticks UNION SELECT n FROM ticks) FROM ticks",
    "WITH latest AS (SELECT max(seq) AS seq FROM main.latest) SELECT count(*) AS n FROM ticks, latest",
    "WITH ticks AS (SELECT NULL AS seq) SELECT max(seq) - 1 AS n FROM main.latest",
]


@pytest.mark.parametrize("sql", HIDING)
def test_a_with_of_a_tables_name_hides_neither_the_table_nor_what_was_recorded_since(asking: Session, sql: str) -> None:
    rows = [tick(seq, "10:00", ltp=1.0, ltt="09:59", vtt=seq) for seq in range(1, 9)]
    for count in (3, 7):
        write_sealed(asking.store, DATE, {"ticks": rows[:count]})
        assert answer(asking, sql) == [{"n": count - ("latest" in sql and "NULL" in sql)}]


def test_a_with_is_not_what_views_and_macros_are_made_of(asking: Session, store: Store) -> None:
    rows = [tick(seq, "10:00", ltp=1.0, ltt=f"09:59:0{seq}", vtt=seq) for seq in range(1, 4)]
    option = {"instrument_key": "NSE_EQ|A", "instrument_type": "CE", "strike": 5.0, "underlying_symbol": "X"}
    write_sealed(store, DATE, {"ticks": rows, "instruments": [option]})
    counts = ", ".join(
        f"(SELECT count(*) FROM {each})"
        for each in ("candles('1 minute')", "spikes('1 minute', 1)", "main.trades", "option_chain('X', '10:01')")
    )
    names = ("ticks", "instruments", "contracts", "known", "trades")
    hiding = ", ".join(f"{name} AS (SELECT 1 AS one)" for name in names)
    (row,) = answer(asking, f"WITH {hiding} SELECT {counts} FROM {', '.join(names)}")
    assert list(row.values()) == [1, 0, 2, 1]
