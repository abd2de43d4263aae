import copy
import shutil
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.days import DATE, Recording, Written, everything, ordered
from tests.processes import reading
from tickrec import schema
from tickrec.errors import AlreadyRecording, DataError
from tickrec.store import day_contents, dayfile
from tickrec.store.coverage import coverage
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store

KEYS = 8


def flushed(store: Store) -> Recording:
    """A day that goes on, with one part published."""
    recording = Recording(store, instruments=KEYS)
    recording.run()
    recording.connect()
    PartWriter(store, DATE).flush(recording.written.last_seq)
    return recording


@pytest.fixture(scope="module")
def appended_to_copy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recording]:
    """A day with one part published and appended to its day file."""
    store = Store(tmp_path_factory.mktemp("appended"))
    recording = flushed(store)
    dayfile.append(store, DATE)
    recording.die()
    return store.root, recording


@pytest.fixture
def appended(store: Store, appended_to_copy: tuple[Path, Recording]) -> Recording:
    """As above; a new run can go on with it."""
    root, before = appended_to_copy
    shutil.copytree(root, store.root)
    recording = copy.deepcopy(before)
    recording.store = store
    return recording


def grow(store: Store, recording: Recording) -> None:
    recording.updates(2)
    recording.drop()
    recording.connect()
    PartWriter(store, DATE).flush(recording.written.last_seq)


def tables(store: Store, *names: str) -> dict[str, pa.Table]:
    """Some of the day file's tables, or all."""
    with duckdb.connect(str(store.duckdb_path(DATE)), read_only=True) as session:
        session.execute("SET TimeZone = 'UTC'")
        return {name: session.sql(f"SELECT * FROM {name}").to_arrow_table() for name in names or schema.TABLES}


def table(store: Store, name: str) -> pa.Table:
    return tables(store, name)[name]


def held(store: Store) -> tuple[int, int]:
    """The last entry that the day file covers, and its ticks."""
    found = day_contents.contents(store.duckdb_path(DATE))
    return found.last_seq, found.rows["ticks"]


def assert_same_rows(store: Store) -> None:
    """The day file holds what the Parquet files hold: everything but the rows that are not settled yet."""
    published = {name: rows.filter(pc.field("seq").is_valid()) for name, rows in everything(store).items()}
    for name, rows in tables(store).items():
        fields = schema.TABLES[name]
        assert rows.column_names == ["date", *fields.names]
        assert set(rows["date"].to_pylist()) <= {DATE}
        if name not in schema.SOURCE_TABLES:
            assert ordered(rows.drop_columns(["date"]).cast(fields)) == ordered(published[name])


def test_a_row_group_is_small_enough_for_the_memory_of_its_writer(tmp_path: Path) -> None:
    path, rows = tmp_path / "day.duckdb", dayfile.ROW_GROUP_ROWS
    batch = pa.record_batch([pa.nulls(rows + 1, column.type) for column in schema.TICKS], schema.TICKS)
    with dayfile.DayFile(path, DATE) as day, day.transaction():
        day.insert("ticks", iter([batch]))
    with duckdb.connect(str(path), read_only=True) as session:
        found = session.sql(
            "SELECT row_group_id, max(start + count) FROM pragma_storage_info('ticks') GROUP BY 1 ORDER BY 1"
        )
        assert found.fetchall() == [(0, rows), (1, 1)]


def test_an_append_takes_every_part_it_has_not_taken(appended: Recording) -> None:
    recording, store = appended, appended.store
    recording.run()
    for _ in range(2):
        grow(store, recording)
    for _ in range(2):
        dayfile.append(store, DATE)
        assert held(store) == (recording.written.last_seq, recording.written.ticks)
    recording.close()
    PartWriter(store, DATE).flush(recording.written.last_seq, final=True)
    dayfile.append(store, DATE)
    assert_same_rows(store)


def test_columns_have_plain_types_and_their_meaning_for_the_oldest_duckdb_that_must_read_them(
    appended: Recording,
) -> None:
    with duckdb.connect() as session:
        session.execute(f"ATTACH '{appended.store.duckdb_path(DATE)}' AS day (READ_ONLY)")
        row = session.execute("SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'day'")
        assert str(row.fetchall()[0][0]).startswith("v1.4.0")
        query = "SELECT column_name, data_type, comment FROM duckdb_columns() WHERE table_name = 'ticks'"
        found = {name: (kind, comment) for name, kind, comment in session.execute(query).fetchall()}
    assert found["date"][0] == "DATE"
    assert found["seq"][0] == "BIGINT"
    assert found["conn"][0] == "SMALLINT"
    assert found["ltt"] == ("TIMESTAMP WITH TIME ZONE", "last trade time; NULL when there was none")
    assert found["bid_prices"][0] == "DOUBLE[]"


def test_a_reader_makes_the_append_be_caught_up_later(appended: Recording) -> None:
    store = appended.store
    appended.run()
    grow(store, appended)
    with (
        reading(store.duckdb_path(DATE)),
        pytest.raises(AlreadyRecording, match="another program has the DuckDB file open"),
    ):
        dayfile.append(store, DATE)
    dayfile.append(store, DATE)
    assert_same_rows(store)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let a file be replaced that is open")
def test_a_reader_does_not_stop_the_file_from_being_made_anew_and_goes_on_reading_the_old_one(
    appended: Recording,
) -> None:
    store = appended.store
    path = store.duckdb_path(DATE)
    before = path.read_bytes()
    appended.run()
    grow(store, appended)
    with reading(path) as count, path.open("rb") as old:
        dayfile.rebuild(store, DATE)
        assert count() == KEYS
        assert old.read() == before
    assert held(store) == (appended.written.last_seq, appended.written.ticks)


def test_two_writers_do_not_meet(store: Store) -> None:
    flushed(store)
    with dayfile._writing(store, DATE), pytest.raises(AlreadyRecording, match="writing the DuckDB file of 2026-11-23"):
        dayfile.append(store, DATE)


def test_the_draft_of_another_writer_is_left_alone(appended: Recording) -> None:
    store = appended.store
    draft = store.duckdb_path(DATE).with_name(f".{DATE}.duckdb.draft")
    draft.write_bytes(b"half of it")
    with dayfile._writing(store, DATE), pytest.raises(AlreadyRecording):
        dayfile.rebuild(store, DATE)
    assert draft.read_bytes() == b"half of it"
    dayfile.rebuild(store, DATE)
    assert held(store) == (appended.written.last_seq, KEYS)
    assert not draft.exists()


def test_instruments_come_along_and_follow_their_file(appended: Recording) -> None:
    store = appended.store
    path = store.instruments_path(DATE)
    path.parent.mkdir(parents=True)

    def write(*symbols: str) -> None:
        rows = [{"instrument_key": f"NSE_EQ|{symbol}", "symbol": symbol} for symbol in symbols]
        pq.write_table(pa.Table.from_pylist(rows, schema.INSTRUMENTS), path)

    write("A", "B")
    dayfile.append(store, DATE)
    assert table(store, "instruments")["symbol"].to_pylist() == ["A", "B"]
    write("A", "C", "D")
    appended.run()
    grow(store, appended)
    dayfile.append(store, DATE)
    rows = table(store, "instruments")
    assert rows["symbol"].to_pylist() == ["A", "C", "D"]
    assert set(rows["date"].to_pylist()) == {DATE}


def test_an_empty_date_has_every_table(store: Store) -> None:
    dayfile.append(store, DATE)
    assert held(store) == (0, 0)
    assert_same_rows(store)


def test_a_rebuilt_file_holds_the_same_rows(journalled: Store, written: Written) -> None:
    store = journalled
    PartWriter(store, DATE, part_ticks=60).flush(written.last_seq, final=True)
    dayfile.append(store, DATE)
    before = {name: ordered(rows) for name, rows in tables(store).items()}
    store.duckdb_path(DATE).unlink()
    dayfile.rebuild(store, DATE)
    after = tables(store)
    assert after["ticks"].num_rows == written.ticks
    assert {name: ordered(rows) for name, rows in after.items()} == before
    stored = [
        seq for path in coverage(store, DATE).ticks_files for seq in pq.ParquetFile(path).read()["seq"].to_pylist()
    ]
    assert after["ticks"]["seq"].to_pylist() == stored
    assert [path.name for path in store.duckdb_path(DATE).parent.iterdir()] == [f"{DATE}.duckdb"]


def test_a_file_of_another_schema_version_is_built_anew(appended: Recording) -> None:
    store = appended.store
    with duckdb.connect(str(store.duckdb_path(DATE))) as session:
        session.execute("UPDATE tickrec SET schema_version = 0")
        session.execute("ALTER TABLE ticks DROP COLUMN vtt")
    dayfile.append(store, DATE)
    assert_same_rows(store)


def test_something_else_under_its_name_is_not_touched_and_names_with_the_letters_of_patterns_are_names(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "it's [my] *blockchain being used by another process")
    flushed(store)
    flushed(Store(tmp_path / "it's m *blockchain being used by another process"))
    path = store.duckdb_path(DATE)
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(DataError, match=r"not a DuckDB file.*tickrec rebuild 2026-11-23"):
        dayfile.append(store, DATE)
    with pytest.raises(DataError, match="cannot be read"):
        day_contents.contents(path)
    path.unlink()
    dayfile.append(store, DATE)
    assert_same_rows(store)


def test_a_file_that_ends_inside_a_part_written_again_is_made_anew(appended: Recording) -> None:
    recording, store = appended, appended.store
    part = coverage(store, DATE).parts[-1].path
    part.write_bytes(part.read_bytes()[:-50])
    recording.run()
    recording.updates(3)
    PartWriter(store, DATE).flush(recording.written.last_seq)
    assert coverage(store, DATE).parts[-1].first <= int(part.stem.split("-")[2]) < recording.written.last_seq
    dayfile.append(store, DATE)
    assert_same_rows(store)
