import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.days import DATE, Recording, Written, write_instruments
from tickrec import schema
from tickrec.clock import IST, SystemClock
from tickrec.errors import DataError
from tickrec.files import Lock
from tickrec.journal.gaps import DIED
from tickrec.seal.counts import TickCount
from tickrec.seal.seal import rebuild, seal
from tickrec.seal.verify import verify
from tickrec.store import day_contents, dayfile
from tickrec.store.coverage import coverage, read_footer
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def begun(store: Store) -> Recording:
    """A date that goes on, with one part published."""
    recording = Recording(store, instruments=8)
    recording.run()
    recording.connect()
    PartWriter(store, DATE).flush(recording.written.last_seq)
    return recording


def plain_journal(store: Store) -> list[Path]:
    """The sealed journal as it was before it was compressed."""
    plain = []
    for path in store.journal_files(DATE):
        plain.append(path.with_suffix(""))
        plain[-1].write_bytes(pa.input_stream(str(path), compression="zstd").read())
        path.unlink()
    return plain


def says(store: Store, *words: str) -> bool:
    """Whether a line about what differs has all the words; it is not in order then."""
    report = verify(store, DATE)
    assert report.to_json()["ok"] is False
    return any(all(word in line for word in words) for line in report.differences)


def test_a_sealed_date_agrees_with_itself(with_day_file: Store, written: Written) -> None:
    assert verify(with_day_file, DATE).to_json() == {
        "date": "2026-11-23",
        "ok": True,
        "sealed": True,
        "journal": True,
        "entries": written.last_seq,
        "ticks": written.ticks,
        "unflushed": 0,
        "differences": [],
        "skipped": [],
    }


def test_damage_of_sealed_files_is_found_and_mended_by_a_rebuild(sealed: Store) -> None:
    sealed.sealed_path("rejected", DATE).unlink()
    assert says(sealed, "rejected.parquet", "is gone")
    ticks, gaps = sealed.sealed_path("ticks", DATE), sealed.sealed_path("gaps", DATE)
    flip(ticks, ticks.stat().st_size // 3)
    assert says(sealed, "ticks.parquet", "not the file that was sealed")
    gaps.write_bytes(gaps.read_bytes()[:-100])
    assert says(sealed, "gaps.parquet", "not the file that was sealed")
    ticks.write_bytes(ticks.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"ticks.parquet.*tickrec rebuild"):
        verify(sealed, DATE)
    sealed.manifest_path(DATE).write_bytes(b"{}")
    with pytest.raises(DataError, match=r"2026-11-23.json.*tickrec rebuild"):
        seal(sealed, DATE)
    rebuild(sealed, DATE, duckdb=False)
    assert verify(sealed, DATE).differences == ()


def test_a_file_that_is_gone_is_told_once(sealed: Store) -> None:
    for table in schema.SMALL_TABLES:
        sealed.sealed_path(table, DATE).unlink()
    gone = [f"{table}/date={DATE}/{table}.parquet: is gone" for table in sorted(schema.SMALL_TABLES)]
    assert sorted(verify(sealed, DATE).differences) == gone
    sealed.manifest_path(DATE).unlink()
    told = [line for line in gone if line.partition("/")[0] not in schema.LATER_TABLES]  # an earlier version had none
    assert sorted(verify(sealed, DATE).differences) == sorted([*told, "manifest: is gone"])


def test_a_damaged_file_is_not_blamed_on_the_day_file(with_day_file: Store) -> None:
    for table, offset in (("gaps", 20), ("rejected", 20), ("ticks", 2000)):
        flip(with_day_file.sealed_path(table, DATE), offset)
    with_day_file.sealed_path("connections", DATE).write_bytes(b"PAR1")
    said = [line.split(".parquet: ") for line in verify(with_day_file, DATE).differences]
    assert sorted(file.rpartition("/")[2] for file, _ in said) == ["connections", "gaps", "rejected", "ticks"]
    assert {what for _, what in said} == {"not the file that was sealed"}


LIST = f"instruments/date={DATE}/instruments.parquet"


def listed_symbols(store: Store) -> list[list[str]]:
    """The symbols that Parquet has, and those of the day file."""
    stored = pq.ParquetFile(store.instruments_path(DATE)).read()["symbol"].to_pylist()
    return [stored, day_contents.read_instruments(store.duckdb_path(DATE))["symbol"].to_pylist()]


def test_a_list_of_instruments_that_is_gone_or_damaged_is_told_once_and_taken_from_the_day_file(
    with_day_file: Store,
) -> None:
    before = pq.ParquetFile(with_day_file.instruments_path(DATE)).read().replace_schema_metadata()
    shutil.rmtree(with_day_file.instruments_path(DATE).parent)
    assert verify(with_day_file, DATE).differences == (f"{LIST}: is gone",)
    seal(with_day_file, DATE)
    assert verify(with_day_file, DATE).differences == ()
    assert listed_symbols(with_day_file) == [["A", "B"], ["A", "B"]]
    kept = with_day_file.instruments_path(DATE)
    assert pq.ParquetFile(kept).read().replace_schema_metadata().equals(before)
    flip(kept, 20)
    (line,) = verify(with_day_file, DATE).differences
    assert line.startswith("instruments: cannot be read")
    assert dayfile.keep_instruments(with_day_file, DATE)
    assert pq.ParquetFile(kept).read().replace_schema_metadata().equals(before)


def test_a_day_file_that_is_gone_or_damaged_is_mended_by_a_rebuild_that_misses_the_list_nothing_else_has_in_words(
    with_day_file: Store, caplog: pytest.LogCaptureFixture
) -> None:
    path = with_day_file.duckdb_path(DATE)
    path.unlink()
    assert says(with_day_file, path.name, "is gone")
    path.write_bytes(b"nothing" * 1000)
    assert says(with_day_file, path.name, "cannot be read")
    with_day_file.instruments_path(DATE).unlink()
    rebuild(with_day_file, DATE, duckdb=False)
    assert f"{with_day_file.instruments_path(DATE)} is gone or damaged, and nothing else has its rows" in caplog.text
    assert LIST not in json.loads(with_day_file.manifest_path(DATE).read_bytes())["files"]
    assert path.exists()
    assert verify(with_day_file, DATE).differences == ()


def test_a_list_that_was_exchanged_is_told_unless_it_was_downloaded_after_the_sealing(with_day_file: Store) -> None:
    write_instruments(with_day_file, ["A", "C"])
    assert verify(with_day_file, DATE).differences == (f"{LIST}: not the file that was sealed",)
    write_instruments(with_day_file, ["A", "C"], SystemClock.wall_ns())
    assert verify(with_day_file, DATE).differences == ()


def test_a_manifest_of_a_version_that_did_not_name_the_list_agrees(with_day_file: Store) -> None:
    path = with_day_file.manifest_path(DATE)
    facts = json.loads(path.read_bytes())
    del facts["files"][LIST]
    path.write_text(json.dumps(facts))
    assert verify(with_day_file, DATE).differences == ()
    with_day_file.instruments_path(DATE).unlink()
    assert verify(with_day_file, DATE).differences == (
        f"duckdb/{DATE}.duckdb: has instruments, the file of which is gone",
    )


def test_the_list_survives_a_day_file_that_is_made_anew_while_recording(store: Store) -> None:
    begun(store)
    write_instruments(store, ["A", "B"])
    dayfile.append(store, DATE)
    store.instruments_path(DATE).unlink()
    dayfile.rebuild(store, DATE)
    assert listed_symbols(store) == [["A", "B"], ["A", "B"]]


def test_what_was_changed_in_the_day_file_is_found(with_day_file: Store) -> None:
    path = with_day_file.duckdb_path(DATE)
    for statement, words in {
        "UPDATE ticks SET ltp = ltp + 0.05": ("ticks is not what Parquet has",),
        "DELETE FROM ticks": ("has", "of", "ticks"),
    }.items():
        with duckdb.connect(str(path)) as session:
            session.execute(f"{statement} WHERE seq = (SELECT max(seq) FROM ticks)")
        assert says(with_day_file, path.name, *words)


def test_damage_in_the_journal_is_found_with_its_place(sealed: Store) -> None:
    path = plain_journal(sealed)[1]
    flip(path, path.stat().st_size // 2)
    lines = verify(sealed, DATE).differences
    assert any("at offset" in line and path.name in line and "lost" in line for line in lines)
    assert any(line.startswith("journal: ") and "were sealed" in line for line in lines)


def test_a_damaged_compressed_journal_is_found(sealed: Store) -> None:
    path = sealed.journal_files(DATE)[0]
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes(64) + data[middle + 64 :])  # a single bit may make no difference
    assert any(line.startswith("journal: ") and path.name in line for line in verify(sealed, DATE).differences)


def write_again(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Write a file of ticks with its rows changed, and what it says of itself."""
    metadata, held = read_footer(path).to_metadata(), pq.ParquetFile(path).read().replace_schema_metadata()
    with pq.ParquetWriter(path, held.schema) as writer:
        writer.write_table(change(held))
        writer.add_key_value_metadata(metadata)


def test_a_date_without_a_journal_is_held_against_its_manifest(sealed: Store) -> None:
    shutil.rmtree(sealed.journal(DATE))
    report = verify(sealed, DATE)
    assert (report.journal, report.differences) == (False, ())
    ticks = sealed.sealed_path("ticks", DATE)
    write_again(ticks, lambda held: held.sort_by("seq"))
    assert "Parquet: not sorted by (instrument_key, seq)" in verify(sealed, DATE).differences
    ticks.write_bytes(sealed.sealed_path("gaps", DATE).read_bytes())
    with_other = verify(sealed, DATE).differences
    assert any("not the file that was sealed" in line for line in with_other)


def test_a_date_that_is_being_recorded_is_verified_as_far_as_its_parts_go(store: Store) -> None:
    recording = begun(store)
    dayfile.append(store, DATE)
    recording.updates(3)
    report = verify(store, DATE)
    assert (report.sealed, report.ticks, report.unflushed, report.differences) == (False, 8, 24, ())
    write_again(coverage(store, DATE).parts[0].path, lambda held: pa.concat_tables([held, held.slice(0, 1)]))
    assert any("9 ticks, the journal has 8" in line for line in verify(store, DATE).differences)


def test_a_sealed_date_that_goes_on_is_verified(sealed: Store) -> None:
    recording = Recording(sealed, instruments=8)
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
    tick_count = TickCount.of([path])
    assert (tick_count.rows, tick_count.in_order) == (len(rows), in_order)
    assert (tick_count.first, tick_count.last) == (min(seqs, default=0), max(seqs, default=0))


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
    seal(sealed, DATE, duckdb=False)
    assert verify(sealed, DATE).differences == ()


def test_what_is_said_of_a_date_is_of_the_rows_that_were_read(store: Store) -> None:
    """Sealed, recorded into again with parts, with a journal only, and without a manifest."""
    recording = Recording(store, instruments=4)

    def run() -> None:
        recording.run()
        recording.connect()
        recording.updates(4)

    def said() -> tuple[str, str, list[str]]:
        totals = verify(store, DATE).totals
        assert totals is not None
        assert totals.span is not None
        start, end = (moment.astimezone(IST) for moment in totals.span)
        return f"{start:%H:%M:%S}", f"{end:%H:%M:%S}", [gap.reason for gap in totals.gaps]

    run()
    recording.die()
    PartWriter(store, DATE).flush(recording.written.last_seq, final=True)
    assert said() == ("09:15:00", "09:15:01", [])
    seal(store, DATE, duckdb=False)
    assert said() == ("09:15:00", "09:15:01", [DIED])
    run()
    assert said() == ("09:15:00", "09:15:01", [DIED])  # the new entries are in the journal only
    PartWriter(store, DATE).flush(recording.written.last_seq)
    assert said() == ("09:15:00", "09:16:02", [DIED])
    recording.drop()
    recording.connect()
    recording.updates(1)
    PartWriter(store, DATE).flush(recording.written.last_seq)
    assert said() == ("09:15:00", "09:16:07", [DIED, "connection reset by the broker"])
    store.manifest_path(DATE).unlink()
    assert said() == ("09:15:00", "09:16:07", [DIED, "connection reset by the broker"])
    store.sealed_path("connections", DATE).write_bytes(b"PAR1")
    assert verify(store, DATE).totals is None


def test_damage_of_what_only_the_journal_has_is_told(store: Store) -> None:
    recording = begun(store)
    (path,) = store.journal_files(DATE)
    covered = path.stat().st_size
    recording.updates(4)
    flip(path, covered + 60)
    (line,) = verify(store, DATE).differences
    assert line.startswith("journal: ")
    assert f"offset {covered}" in line


def test_sealed_ticks_that_are_gone_are_told(sealed: Store) -> None:
    shutil.rmtree(sealed.folder("ticks", DATE))
    report = verify(sealed, DATE)
    assert (report.ticks, report.differences) == (0, (f"ticks/date={DATE}/ticks.parquet: is gone",))


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "is of 2026-11-24": lambda facts: facts.update(date="2026-11-24"),
    "begins with entry 2": lambda facts: facts.update(first_seq=2),
    "schema version 7": lambda facts: facts.update(schema_version=7),
    "1 were sealed": lambda facts: facts.update(messages=1),
    "bytes of messages, 5 were sealed": lambda facts: facts.update(message_bytes=5),
    "when it was sealed entries 4 to 6 were": lambda facts: facts.update(missing=[[4, 6]]),
    "9 ticks": lambda facts: facts["rows"].update(ticks=9),
    "9 rows of gaps": lambda facts: facts["rows"].update(gaps=9),
    "9 rows of connections": lambda facts: facts["rows"].update(connections=9),
    "9 rows of subscriptions": lambda facts: facts["rows"].update(subscriptions=9),
    "9 rows of market_status": lambda facts: facts["rows"].update(market_status=9),
    "9 rows of rejected": lambda facts: facts["rows"].update(rejected=9),
    "counts rows of trades": lambda facts: facts["rows"].update(trades=9),
    "the gaps are not those": lambda facts: facts["gaps"].pop(),
    "NSE_EQ|NEW": lambda facts: facts["instruments"].update({"NSE_EQ|NEW": 4}),
    "not the file that was sealed": lambda facts: facts["files"][f"ticks/date={DATE}/ticks.parquet"].update(bytes=4),
    "says nothing of gaps": lambda facts: facts["files"].pop(f"gaps/date={DATE}/gaps.parquet"),
}


def test_every_fact_of_the_manifest_is_compared(sealed: Store) -> None:
    path = sealed.manifest_path(DATE)
    facts = json.loads(path.read_bytes())
    for change in CHANGES.values():
        change(facts)
    path.write_text(json.dumps(facts))
    lines = verify(sealed, DATE).differences
    assert [said for said in CHANGES if not any(said in line for line in lines)] == []
    path.write_text(json.dumps(facts | {"last_seq": 3}))
    (line,) = verify(sealed, DATE).differences
    assert "entries up to 3" in line, "then nothing else can be compared"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"7", b"null", b"{", b"\xff", b"[" * 100_000,
        *(f'"{name}": {value}'.encode() for name, value in [
            ("files", "[]"), ("files", '{"a": 1}'), ("files", '{"a": {"bytes": "x", "sha256": ""}}'),
            ("rows", "[]"), ("rows", '{"ticks": "4"}'), ("gaps", "4"), ("gaps", "[4]"), ("missing", "[[1]]"),
            ("missing", "[4]"), ("instruments", "null"), ("messages", '"4"'), ("date", "4"), ("versions", "[]"),
        ]),
    ],
)  # fmt: skip
def test_a_manifest_of_any_other_shape_is_told(sealed: Store, content: bytes) -> None:
    path = sealed.manifest_path(DATE)
    changed = json.loads(b"{" + content + b"}") if content.startswith(b'"') else None
    path.write_bytes(content if changed is None else json.dumps(json.loads(path.read_bytes()) | changed).encode())
    with pytest.raises(DataError, match=r"the manifest cannot be read.*2026-11-23.json.*tickrec rebuild"):
        verify(sealed, DATE)


def record_two_parts(store: Store) -> Recording:
    recording = Recording(store, instruments=8)
    recording.run()
    recording.connect()
    recording.drop()
    recording.connect()
    writer = PartWriter(store, DATE)
    writer.flush(recording.written.last_seq)
    recording.updates(5)
    writer.flush(recording.written.last_seq)
    dayfile.append(store, DATE)
    return recording


@pytest.fixture
def flushed(store: Store) -> Recording:
    """A date that is being recorded, with two parts and a day file."""
    return record_two_parts(store)


@pytest.fixture(scope="module")
def two_parts_to_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store(tmp_path_factory.mktemp("two_parts"))
    record_two_parts(store).die()
    return store.root


@pytest.fixture
def two_parts(store: Store, two_parts_to_copy: Path) -> Store:
    """As `flushed`, but that nobody records any more."""
    shutil.copytree(two_parts_to_copy, store.root)
    return store


def test_a_changed_byte_of_a_part_is_found_before_it_is_sealed(two_parts: Store) -> None:
    part = coverage(two_parts, DATE).parts[0].path
    whole = part.read_bytes()
    for offset in range(7, len(whole), len(whole) // 25):
        part.write_bytes(whole)
        flip(part, offset)
        try:
            said = "; ".join(verify(two_parts, DATE).differences)
        except DataError as error:  # the footer: nothing can be said about the date at all
            said = str(error)
        assert f"ticks/date={DATE}/{part.name}" in said


def test_a_changed_byte_of_a_small_part_is_found(two_parts: Store) -> None:
    for table in ("gaps", "connections", "subscriptions", "market_status"):
        path = coverage(two_parts, DATE).small_parts[table][0]
        flip(path, 20)
        (line,) = verify(two_parts, DATE).differences
        flip(path, 20)
        assert path.name in line
        assert f"its rows of {table} are damaged" in line


def test_the_day_file_of_a_date_that_goes_on_is_compared_row_by_row(two_parts: Store) -> None:
    assert verify(two_parts, DATE).differences == ()
    with duckdb.connect(str(two_parts.duckdb_path(DATE))) as session:
        session.execute("UPDATE ticks SET ltp = 1 WHERE seq = 5; DELETE FROM gaps")
    said = [f"duckdb/{DATE}.duckdb: {table} is not what Parquet has" for table in ("ticks", "gaps")]
    assert verify(two_parts, DATE).differences == tuple(said)


@contextmanager
def writing(store: Store) -> Iterator["subprocess.Popen[str]"]:
    """Another process has the day file open and changes its ticks, until its input or the block ends."""
    program = (
        "import duckdb, sys\n"
        "with duckdb.connect(sys.argv[1]) as session:\n"
        "    session.execute('UPDATE ticks SET ltp = ltp + 1')\n"
        "    print('open', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(store.duckdb_path(DATE))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        yield writer
        if writer.poll() is None:
            writer.communicate("")


def test_a_day_file_that_is_being_written_is_no_difference(two_parts: Store) -> None:
    with writing(two_parts):
        report = verify(two_parts, DATE)
    assert report.differences == ()
    assert report.skipped == (f"duckdb/{DATE}.duckdb: another program has the DuckDB file open",)


def test_a_day_file_that_one_of_ours_writes_is_waited_for(two_parts: Store) -> None:
    held = two_parts.duckdb_lock(DATE)
    with writing(two_parts) as writer, Lock(held) as lock:
        lock.acquire({})

        def let_go(event: str, arguments: tuple[object, ...]) -> None:
            """Once it is asked who writes."""
            if event == "open" and str(arguments[0]) == str(held) and writer.poll() is None:
                writer.communicate("")

        sys.addaudithook(let_go)
        report = verify(two_parts, DATE)
    assert report.differences == (f"duckdb/{DATE}.duckdb: ticks is not what Parquet has",)
    assert report.skipped == ()


def test_a_part_that_is_published_meanwhile_is_no_difference(flushed: Recording) -> None:
    flushed.updates(2)
    PartWriter(flushed.store, DATE).flush(flushed.written.last_seq)
    assert verify(flushed.store, DATE).differences == (), "a day file may lag behind the parts"
    before = flushed.written.ticks
    told = []

    def grow(what: str, _share: float) -> None:
        told.append(what)
        flushed.updates(2)
        PartWriter(flushed.store, DATE).flush(flushed.written.last_seq)
        if what == "reading DuckDB":
            dayfile.append(flushed.store, DATE)

    report = verify(flushed.store, DATE, grow)
    assert "reading DuckDB" in told
    assert (report.differences, report.skipped, report.ticks) == ((), (), before)


@pytest.mark.parametrize("moment", ["reading Parquet", "reading DuckDB"])
def test_a_date_that_is_sealed_meanwhile_is_read_again(
    journalled: Store, written: Written, days_to_copy: Path, moment: str
) -> None:
    store = journalled
    PartWriter(store, DATE).flush(written.last_seq, final=True)

    def seal_once(what: str, _share: float) -> None:
        if what == moment and not store.settled(DATE):
            shutil.rmtree(store.root)
            shutil.copytree(days_to_copy / "sealed", store.root)

    report = verify(store, DATE, seal_once)
    assert (report.sealed, report.differences, report.ticks) == (True, (), written.ticks)
    assert report == verify(store, DATE)


def test_a_damaged_header_of_the_journal_costs_no_entry(two_parts: Store) -> None:
    path = two_parts.journal_files(DATE)[0]
    flip(path, 3)
    (line,) = verify(two_parts, DATE).differences
    assert line.startswith("journal: ")
    assert line.endswith(f"bytes at offset 0 of {path} are damaged, no entry is lost")
