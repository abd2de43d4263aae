"""What only the journal has is read in pieces, each once, and put aside where it is much."""

import gc
import shutil
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from tests import days
from tests.days import read_tail
from tickrec import schema
from tickrec.errors import DataError, UsageError
from tickrec.query.session import Session
from tickrec.query.unflushed import LostTable, Unflushed, UnflushedTable
from tickrec.store.coverage import coverage
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store

DATE = days.DATE
SMALL_PIECE = 40_000
"""Bytes of a piece: a message is some thousands, and all messages between two other entries are decoded at once."""


@pytest.fixture(scope="module")
def unflushed_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day that nobody has flushed, with entries of all kinds between its messages. To be copied."""
    store = Store(tmp_path_factory.mktemp("unflushed"))
    recording = days.Recording(store, instruments=20)
    recording.run()
    for _ in range(6):
        recording.connect()
        recording.updates(20)
        recording.garbage()
        recording.drop()
    recording.die()
    return store.root


@pytest.fixture
def recorded(store: Store, unflushed_day: Path) -> Store:
    shutil.copytree(unflushed_day, store.root)
    return store


def unflushed(store: Store, scratch: Path) -> Unflushed:
    scratch.mkdir(exist_ok=True)
    return Unflushed(store, coverage(store, DATE), scratch, piece_bytes=SMALL_PIECE)


def rows_of(tail: Unflushed, table: str) -> pa.Table:
    return pa.RecordBatchReader.from_stream(UnflushedTable(tail, table)).read_all()


def test_every_table_is_whole_and_comes_again(recorded: Store, tmp_path: Path) -> None:
    tail = unflushed(recorded, tmp_path / "scratch")
    whole = read_tail(recorded, DATE)
    for table in (*whole.tables, *reversed(whole.tables)):
        assert rows_of(tail, table).equals(whole.tables[table].cast(schema.TABLES[table])), table
    assert len(list((tmp_path / "scratch").rglob("*.parquet"))) >= 4
    assert whole.tables["ticks"].num_rows > 1000
    assert all(rows.num_rows for rows in whole.tables.values() if rows is not whole.tables["market_status"])


def test_ticks_that_are_all_in_files_take_no_decoder(recorded: Store, tmp_path: Path) -> None:
    PartWriter(recorded, DATE).flush(read_tail(recorded, DATE).last_seq, final=True)
    tail = unflushed(recorded, tmp_path / "scratch")
    assert not tail.has_ticks()
    assert rows_of(tail, "ticks").num_rows == 0
    assert tail._source is None
    assert rows_of(tail, "gaps").num_rows == 1


def test_what_was_put_aside_goes_with_the_last_who_can_ask_for_it(recorded: Store, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    tail: Unflushed | None = unflushed(recorded, scratch)
    assert tail is not None
    rows_of(tail, "ticks")
    assert any(scratch.iterdir())
    del tail
    gc.collect()
    assert not any(scratch.iterdir())


def test_a_few_ticks_stay_in_memory(store: Store, tmp_path: Path) -> None:
    days.write_day(store, messages=6, instruments=4)
    tail = Unflushed(store, coverage(store, DATE), tmp_path)
    assert rows_of(tail, "ticks").num_rows == read_tail(store, DATE).tables["ticks"].num_rows
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_scans_of_several_threads_get_the_same(recorded: Store, tmp_path: Path) -> None:
    tail = unflushed(recorded, tmp_path / "scratch")
    found: list[pa.Table] = []
    threads = [threading.Thread(target=lambda: found.append(rows_of(tail, "ticks"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(rows.equals(found[0]) for rows in found)


def test_reading_ends_at_the_next_piece_when_nobody_wants_more(recorded: Store, tmp_path: Path) -> None:
    tail = unflushed(recorded, tmp_path / "scratch")
    batches = tail.batches("ticks")
    first = next(batches)
    tail.cancel()
    with pytest.raises(UsageError, match="cancelled"):
        list(batches)
    with pytest.raises(UsageError, match="cancelled"):
        list(tail.batches("gaps"))
    assert first.num_rows
    assert sum(rows.num_rows for rows in tail._pieces if isinstance(rows, pa.Table)) < 1000


def test_a_closed_answer_lets_the_reading_end(recorded: Store) -> None:
    with Session(recorded) as session:
        result = session.execute("SELECT * FROM ticks")
        listing = result._listing
        result.close()
    assert listing.unflushed[DATE]._cancelled.is_set()


def test_whether_there_is_a_tick_costs_one_piece(recorded: Store, tmp_path: Path) -> None:
    tail = unflushed(recorded, tmp_path / "scratch")
    assert tail.has_ticks()
    assert len(tail._pieces) == 1
    last = read_tail(recorded, DATE).last_seq
    PartWriter(recorded, DATE).flush(last, final=True)
    assert not unflushed(recorded, tmp_path / "scratch").has_ticks()


def test_why_a_journal_cannot_be_read_is_kept_for_who_needs_it(store: Store, tmp_path: Path) -> None:
    days.write_day(store, messages=6, instruments=4)
    tail = Unflushed(store, coverage(store, DATE), tmp_path)
    for file in store.journal_files(DATE):
        file.unlink()
        file.mkdir()
    with pytest.raises(DataError, match="the journal cannot be read") as caught:
        list(tail.batches("ticks"))
    assert tail.failure is caught.value


def test_rows_that_are_lost_fail_who_asks_for_them() -> None:
    lost = LostTable(DataError("gone"), "ticks")
    with pytest.raises(DataError, match="gone"):
        lost.__arrow_c_stream__()
    assert lost.failure is not None
