import shutil
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.days import DATE, Recording, write_day
from tickrec import dayfile
from tickrec.errors import DataError
from tickrec.layout import Store, coverage, read_footer
from tickrec.seal import rebuild, seal
from tickrec.store import PartWriter
from tickrec.verify import Survey, verify


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data")


@pytest.fixture
def sealed(store: Store) -> Store:
    write_day(store)
    seal(store, DATE)
    return store


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def plain_journal(store: Store) -> list[Path]:
    """The sealed journal as it was before it was compressed."""
    plain = []
    for path in store.journal_files(DATE):
        plain.append(path.with_suffix(""))
        plain[-1].write_bytes(pa.input_stream(str(path), compression="zstd").read())
        path.unlink()
    return plain


def assert_one(store: Store, *words: str) -> None:
    """Something differs, a line says what, and making the date anew mends it."""
    report = verify(store, DATE)
    assert any(all(word in line for word in words) for line in report.differences), report.differences
    assert report.to_json()["ok"] is False
    rebuild(store, DATE)
    assert verify(store, DATE).differences == ()


def test_a_sealed_date_agrees_with_itself(store: Store) -> None:
    written = write_day(store)
    seal(store, DATE)
    assert verify(store, DATE).to_json() == {
        "date": "2026-11-23",
        "ok": True,
        "sealed": True,
        "journal": True,
        "entries": written.last_seq,
        "ticks": written.ticks,
        "unflushed": 0,
        "differences": [],
    }


def test_a_changed_byte_of_parquet_is_found(sealed: Store) -> None:
    path = sealed.sealed_path("ticks", DATE)
    flip(path, path.stat().st_size // 3)
    assert_one(sealed, "ticks.parquet", "not the file that was sealed")


def test_a_truncated_parquet_file_is_found(sealed: Store) -> None:
    path = sealed.sealed_path("gaps", DATE)
    path.write_bytes(path.read_bytes()[:-100])
    assert_one(sealed, "gaps.parquet", "not the file that was sealed")


def test_unreadable_ticks_and_manifest_are_mended_by_a_rebuild(sealed: Store) -> None:
    path = sealed.sealed_path("ticks", DATE)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"ticks.parquet.*tickrec rebuild"):
        verify(sealed, DATE)
    sealed.manifest_path(DATE).write_bytes(b"{}")
    with pytest.raises(DataError, match=r"2026-11-23.json.*tickrec rebuild"):
        seal(sealed, DATE)
    rebuild(sealed, DATE)
    assert verify(sealed, DATE).differences == ()


def test_a_file_that_is_gone_is_found(sealed: Store) -> None:
    sealed.sealed_path("rejected", DATE).unlink()
    assert_one(sealed, "rejected.parquet", "is gone")


def test_a_day_file_that_is_gone_is_found(sealed: Store) -> None:
    sealed.duckdb_path(DATE).unlink()
    assert_one(sealed, "2026-11-23.duckdb", "is gone")


def test_a_changed_value_in_duckdb_is_found(sealed: Store) -> None:
    with duckdb.connect(str(sealed.duckdb_path(DATE))) as session:
        session.execute("UPDATE ticks SET ltp = ltp + 0.05 WHERE seq = (SELECT max(seq) FROM ticks)")
    assert_one(sealed, "2026-11-23.duckdb", "ticks is not what Parquet has")


def test_rows_missing_from_duckdb_are_found(sealed: Store) -> None:
    with duckdb.connect(str(sealed.duckdb_path(DATE))) as session:
        session.execute("DELETE FROM ticks WHERE seq = (SELECT max(seq) FROM ticks)")
    assert_one(sealed, "2026-11-23.duckdb", "has", "of", "ticks")


def test_a_day_file_that_is_none_is_found(sealed: Store) -> None:
    sealed.duckdb_path(DATE).write_bytes(b"nothing" * 1000)
    assert_one(sealed, "2026-11-23.duckdb", "cannot be read")


def test_damage_in_the_journal_is_found_with_its_place(sealed: Store) -> None:
    path = plain_journal(sealed)[1]
    flip(path, path.stat().st_size // 2)
    lines = verify(sealed, DATE).differences
    assert any("at offset" in line and path.name in line and "lost" in line for line in lines)
    assert any(line.startswith("journal: ") and "were sealed" in line for line in lines)


def test_a_damaged_compressed_journal_is_found(sealed: Store) -> None:
    path = sealed.journal_files(DATE)[0]
    flip(path, path.stat().st_size // 2)
    assert any(line.startswith("journal: ") and path.name in line for line in verify(sealed, DATE).differences)


def test_a_date_without_a_journal_is_held_against_its_manifest(sealed: Store) -> None:
    shutil.rmtree(sealed.journal(DATE))
    report = verify(sealed, DATE)
    assert (report.journal, report.differences) == (False, ())
    sealed.sealed_path("ticks", DATE).write_bytes(sealed.sealed_path("gaps", DATE).read_bytes())
    with_other = verify(sealed, DATE).differences
    assert any("not the file that was sealed" in line for line in with_other)


def test_a_date_that_is_being_recorded_is_verified_as_far_as_its_parts_go(store: Store) -> None:
    recording = Recording(store)
    recording.run()
    recording.connect()
    PartWriter(store, DATE).flush(recording.written.last_seq)
    dayfile.append(store, DATE)
    recording.updates(3)
    report = verify(store, DATE)
    assert (report.sealed, report.ticks, report.differences) == (False, 40, ())
    part = coverage(store, DATE).parts[0].path
    metadata = read_footer(part).to_metadata()
    held = pq.ParquetFile(part).read()
    with pq.ParquetWriter(part, held.schema) as writer:
        writer.write_table(pa.concat_tables([held, held.slice(0, 1)]))
        writer.add_key_value_metadata(metadata)
    assert any("41 ticks, the journal has 40" in line for line in verify(store, DATE).differences)


def test_a_day_file_may_lag_behind_the_parts(store: Store) -> None:
    recording = Recording(store)
    recording.run()
    recording.connect()
    PartWriter(store, DATE).flush(recording.written.last_seq)
    dayfile.append(store, DATE)
    recording.updates(3)
    PartWriter(store, DATE).flush(recording.written.last_seq)
    assert verify(store, DATE).differences == ()


def test_a_sealed_date_that_goes_on_is_verified(sealed: Store) -> None:
    recording = Recording(sealed)
    recording.written.last_seq = coverage(sealed, DATE).sealed_last
    recording.run()
    recording.connect()
    PartWriter(sealed, DATE).flush(recording.written.last_seq)
    assert verify(sealed, DATE).differences == ()
    dayfile.append(sealed, DATE)
    assert verify(sealed, DATE).differences == ()


def test_nothing_stored_is_an_error(store: Store) -> None:
    with pytest.raises(DataError, match="nothing is stored of 2026-11-23"):
        verify(store, DATE)


@pytest.mark.parametrize(
    ("rows", "in_order"),
    [
        ([("A", 1), ("A", 2), ("B", 1)], True),
        ([("A", 1), ("A", 1)], False),
        ([("B", 1), ("A", 2)], False),
        ([("A", 2), ("A", 1)], False),
        ([], True),
    ],
)
def test_a_survey_knows_whether_rows_are_in_order(tmp_path: Path, rows: list[tuple[str, int]], in_order: bool) -> None:
    keys, seqs = zip(*rows, strict=True) if rows else ((), ())
    table = pa.table({"instrument_key": pa.array(keys, pa.string()), "seq": pa.array(seqs, pa.int64())})
    path = tmp_path / "ticks.parquet"
    pq.write_table(table, path)
    survey = Survey.of([path])
    assert (survey.rows, survey.in_order) == (len(rows), in_order)
    assert (survey.first, survey.last) == (min(seqs, default=0), max(seqs, default=0))


def test_a_journal_that_has_lost_its_end_is_told_and_never_rebuilt_from(sealed: Store) -> None:
    ticks = sealed.sealed_path("ticks", DATE).read_bytes()
    sealed.journal_files(DATE)[-1].unlink()
    assert any("are gone" in line for line in verify(sealed, DATE).differences)
    with pytest.raises(DataError, match="has lost"):
        rebuild(sealed, DATE)
    assert sealed.sealed_path("ticks", DATE).read_bytes() == ticks


def test_a_sealed_date_without_its_manifest_is_told_and_sealed_again(sealed: Store) -> None:
    sealed.manifest_path(DATE).unlink()
    assert verify(sealed, DATE).differences == ("manifest: is gone",)
    seal(sealed, DATE)
    assert verify(sealed, DATE).differences == ()


def test_ticks_that_only_the_journal_has_are_told(store: Store) -> None:
    recording = Recording(store)
    recording.run()
    recording.connect()
    PartWriter(store, DATE).flush(recording.written.last_seq)
    before = recording.written.ticks
    recording.updates(3, each=7)
    report = verify(store, DATE)
    assert (report.differences, report.ticks, report.unflushed) == ((), before, 21)
    assert not report.sealed
