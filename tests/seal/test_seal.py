import datetime as dt
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.days import DATE, Recording, Written, everything, ordered, write_day
from tickrec import __version__, schema
from tickrec.clock import SystemClock
from tickrec.errors import AlreadyRecording, DataError, ExitCode
from tickrec.files import Lock
from tickrec.journal import Journal
from tickrec.journal.gaps import DIED
from tickrec.journal.packed import same
from tickrec.seal.build import NewFiles
from tickrec.seal.lost_entries import may_have
from tickrec.seal.seal import Sealing, rebuild, seal
from tickrec.seal.verify import verify
from tickrec.store import day_contents, dayfile
from tickrec.store.coverage import Footer, coverage, read_footer
from tickrec.store.manifest import Manifest, load
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store


@pytest.fixture
def reference(days_to_copy: Path) -> Store:
    """The date of `journalled` as it is sealed when nothing went wrong; not to be changed."""
    return Store(days_to_copy / "sealed")


def flush(store: Store, last: int, step: int | None = None) -> None:
    writer = PartWriter(store, DATE)
    for seq in range(step or last, last + (step or 1), step or last):
        writer.flush(min(seq, last), final=seq >= last)


def copy(store: Store, name: str) -> Store:
    root = store.root.parent / name
    shutil.copytree(store.root, root)
    return Store(root)


def rows(store: Store) -> dict[str, list[dict[str, Any]]]:
    return {name: ordered(table) for name, table in everything(store).items()}


def parquet_files(store: Store) -> dict[str, bytes]:
    return {str(path.relative_to(store.root)): path.read_bytes() for path in sorted(store.root.rglob("*.parquet"))}


def sealed_files(store: Store) -> dict[str, bytes]:
    """The sealed file of each table."""
    return {table: store.sealed_path(table, DATE).read_bytes() for table in ("ticks", *schema.SMALL_TABLES)}


def begin(store: Store, *, duckdb: bool = False, anew: bool = False) -> Sealing:
    """A sealing whose steps a test takes one by one; one `anew` is a rebuild."""
    return Sealing(store, DATE, lambda _what, _share: None, duckdb=duckdb, anew=anew, clock=SystemClock())


def checked(store: Store, *, duckdb: bool = False, anew: bool = False) -> Sealing:
    """A sealing that has made the new files and checked them, before anything of them is published."""
    sealing = begin(store, duckdb=duckdb, anew=anew)
    for name, step in sealing.steps():
        step()
        if name == "check":
            break
    return sealing


def checked_files(store: Store, *, anew: bool = False) -> dict[str, bytes]:
    """The file of each table that sealing has made and checked."""
    new_files = checked(store, anew=anew).new_files
    return {table: new_files.path(table).read_bytes() for table in ("ticks", *schema.SMALL_TABLES)}


def everything_in(store: Store) -> dict[Path, bytes]:
    return {path.relative_to(store.root): path.read_bytes() for path in store.root.rglob("*") if path.is_file()}


def tree(store: Store) -> dict[str, bytes]:
    """What is stored: everything but the state folder."""
    return {str(path): data for path, data in everything_in(store).items() if path.parts[0] != "state"}


def day_rows(store: Store, table: str) -> list[dict[str, Any]]:
    with duckdb.connect(str(store.duckdb_path(DATE)), read_only=True) as session:
        session.execute("SET TimeZone = 'UTC'")
        found: list[dict[str, Any]] = session.sql(f"SELECT * FROM {table}").to_arrow_table().to_pylist()
        return found


def child(store: Store) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tickrec.seal.seal", str(store.root), str(DATE)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


OTHER = dt.date(2026, 11, 20)


class Sealed(NamedTuple):
    """A date as it was sealed first, in three pieces, beside one that was not; not to be changed."""

    store: Store
    before: dict[str, list[dict[str, Any]]]
    """Its rows as they were before."""
    manifest: Manifest
    told: list[tuple[str, float]]
    """Its progress."""
    other: dict[str, bytes]
    """What was stored of the other date before."""


@pytest.fixture(scope="module")
def first_sealing(recorded_day: tuple[Path, Written], tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    root, written = recorded_day
    store = Store(tmp_path_factory.mktemp("sealed") / "data")
    shutil.copytree(root, store.root)
    flush(store, written.last_seq, 20)
    write_day(store, OTHER, messages=3, instruments=4, seed=2)
    before, other, told = rows(store), of_other_date(store), list[tuple[str, float]]()
    manifest = seal(store, DATE, lambda what, share: told.append((what, share)))
    return Sealed(store, before, manifest, told, other)


def of_other_date(store: Store) -> dict[str, bytes]:
    return {name: data for name, data in tree(store).items() if str(OTHER) in name}


def test_a_sealed_date_is_one_sorted_file_a_table(first_sealing: Sealed, written: Written) -> None:
    store = first_sealing.store
    assert rows(store) == first_sealing.before
    assert sorted(tree(store).keys() - first_sealing.other) == [
        f"connections/date={DATE}/connections.parquet",
        f"duckdb/{DATE}.duckdb",
        f"gaps/date={DATE}/gaps.parquet",
        f"journal/{DATE}/0001.journal.zst",
        f"journal/{DATE}/0002.journal.zst",
        f"manifest/{DATE}.json",
        f"market_status/date={DATE}/market_status.parquet",
        f"rejected/date={DATE}/rejected.parquet",
        f"sessions/date={DATE}/sessions.parquet",
        f"subscriptions/date={DATE}/subscriptions.parquet",
        f"ticks/date={DATE}/ticks.parquet",
    ]
    ticks = pq.ParquetFile(store.sealed_path("ticks", DATE)).read()
    assert ticks.schema.equals(schema.TICKS)
    order = list(zip(ticks["instrument_key"].to_pylist(), ticks["seq"].to_pylist(), strict=True))
    assert order == sorted(order)
    assert len(order) == written.ticks
    assert first_sealing.manifest.rows["ticks"] == written.ticks
    assert store.settled(DATE)
    assert of_other_date(store) == first_sealing.other


def test_the_manifest_says_what_was_sealed(first_sealing: Sealed, written: Written) -> None:
    store = first_sealing.store
    manifest = load(store, DATE)
    assert manifest is not None
    assert (manifest.date, manifest.schema_version) == ("2026-11-23", schema.SCHEMA_VERSION)
    assert (manifest.first_seq, manifest.last_seq) == (1, written.last_seq)
    assert (manifest.messages, manifest.message_bytes) == (written.messages, written.bytes)
    assert manifest.instruments == written.by_key
    assert manifest.rows == {table: len(found) for table, found in rows(store).items()}
    assert [gap["reason"] for gap in manifest.gaps] == ["connection reset by the broker", DIED]
    assert manifest.gaps[0]["start_ts"].startswith("2026-11-23T09:15:0")
    assert manifest.versions["tickrec"] == __version__
    assert set(manifest.files) == {
        str(path.relative_to(store.root)) for name in ("*.parquet", "*.duckdb") for path in store.root.rglob(name)
    }
    assert manifest.files[f"duckdb/{DATE}.duckdb"].bytes == store.duckdb_path(DATE).stat().st_size


def test_progress_goes_from_nothing_to_all(first_sealing: Sealed) -> None:
    shares = [share for _, share in first_sealing.told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert next(what for what, _ in first_sealing.told if what in STEPS) == "prepare"


def test_the_day_file_has_the_rows_of_parquet_in_their_order(first_sealing: Sealed) -> None:
    for table in ("ticks", *schema.SMALL_TABLES):
        sealed = pq.ParquetFile(first_sealing.store.sealed_path(table, DATE)).read().to_pylist()
        assert len(sealed) > 0
        stored = [
            {name: value for name, value in row.items() if name != "date"}
            for row in day_rows(first_sealing.store, table)
        ]
        assert stored == sealed


def test_sealed_files_only_depend_on_the_journal(journalled: Store, written: Written, reference: Store) -> None:
    flush(journalled, written.last_seq, 3)
    assert checked_files(journalled) == sealed_files(reference)


def test_a_compressed_journal_can_be_rebuilt_from(with_day_file: Store, written: Written) -> None:
    store = with_day_file
    before, ordered_rows = tree(store), day_rows(store, "ticks")
    for path in store.root.rglob("*.parquet"):
        path.unlink()
    store.manifest_path(DATE).unlink()
    assert rebuild(store, DATE).rows["ticks"] == written.ticks
    after = tree(store)
    assert after.keys() == before.keys()
    assert all(
        after[name] == before[name]
        for name in before
        if name.endswith((".parquet", ".zst")) and "instruments" not in name
    )
    assert day_rows(store, "ticks") == ordered_rows
    assert verify(store, DATE).differences == ()


def test_a_date_whose_journal_is_gone_is_not_touched(sealed: Store) -> None:
    shutil.rmtree(sealed.journal(DATE))
    before = tree(sealed)
    with pytest.raises(DataError, match="the journal of 2026-11-23 is gone"):
        rebuild(sealed, DATE, duckdb=False)
    assert tree(sealed) == before
    seal(sealed, DATE, duckdb=False)  # nothing is left to do
    assert tree(sealed) == before


def test_a_journal_with_a_file_missing_is_not_sealed(journalled: Store, written: Written) -> None:
    store = journalled
    flush(store, written.last_seq)
    store.journal_files(DATE)[0].unlink()
    before = tree(store)
    with pytest.raises(DataError, match="file 1 of the journal is gone"):
        seal(store, DATE, duckdb=False)
    assert tree(store) == before


def test_a_journal_that_lost_messages_does_not_replace_what_was_sealed(sealed: Store) -> None:
    for path in sealed.journal_files(DATE):
        data = bytearray(pa.input_stream(str(path), compression="zstd").read())
        data[len(data) * 3 // 4] ^= 1
        path.unlink()
        path.with_suffix("").write_bytes(data)
    before = tree(sealed)
    with pytest.raises(DataError, match=r"lost \d+ ticks that are still stored.*Nothing was replaced"):
        rebuild(sealed, DATE, duckdb=False)
    assert tree(sealed) == before


def test_parts_keep_what_the_journal_has_lost_since(store: Store) -> None:
    written = write_day(store, messages=30, instruments=12)
    flush(store, written.last_seq, 20)
    whole = rows(store)
    entry, place = [
        (entry, place) for entry, place in Journal(store.journal(DATE)).positioned() if len(entry.payload) > 2000
    ][7]
    path = store.journal_files(DATE)[place.file - 1]
    data = bytearray(path.read_bytes())
    data[place.offset - 100] ^= 1
    path.write_bytes(data)
    aside = store.folder("ticks", DATE) / ".part-000000000001-000000000020.parquet.damaged"
    later = aside.with_name(".part-000000000021-000000000040.parquet.damaged")
    aside.touch()
    later.touch()
    manifest = seal(store, DATE, duckdb=False)
    assert entry.seq <= 20
    assert aside.exists()  # it may hold what the journal has lost
    assert not later.exists()  # in its range nothing is lost
    assert manifest.missing == [(entry.seq, entry.seq)]
    assert manifest.rows["ticks"] == written.ticks
    assert manifest.instruments == written.by_key
    assert rows(store) == whole
    (line,) = verify(store, DATE).differences
    assert line.startswith("journal: ")
    assert f"entry {entry.seq} is lost" in line
    before = tree(store)
    with pytest.raises(DataError, match=r"lost \d+ ticks that are still stored"):
        rebuild(store, DATE, duckdb=False)
    assert tree(store) == before


@pytest.mark.parametrize(
    ("name", "lost", "may"),
    [
        (".part-000000000021-000000000040.parquet.damaged", [(1, 20), (41, 50)], False),
        (".part-000000000021-000000000040.parquet.damaged", [(40, 40)], True),
        (".part-000000000021-000000000040.parquet.damaged", [(1, 21)], True),
        (".part-000000000021-000000000040.parquet.2.damaged", [(30, 31)], True),
        ("part-000000000021-000000000040.parquet.damaged", [(1, 99)], True),
        (".ticks.parquet.damaged", [(7, 7)], True),
        (".ticks.parquet.damaged", [], False),
    ],
)
def test_a_file_may_have_what_was_lost_in_its_range(name: str, lost: list[tuple[int, int]], may: bool) -> None:
    assert may_have(Path(name), lost) is may


def test_nothing_to_seal_is_said_so(store: Store) -> None:
    with pytest.raises(DataError, match="nothing was recorded on 2026-11-23"):
        seal(store, DATE, duckdb=False)
    assert tree(store) == {}


def test_sealing_again_changes_nothing(sealed: Store) -> None:
    before = tree(sealed)
    assert seal(sealed, DATE, duckdb=False) == load(sealed, DATE)
    assert tree(sealed) == before


def test_a_sealed_date_that_is_recorded_into_again_is_sealed_again(store: Store) -> None:
    recording = Recording(store, instruments=8)
    recording.run()
    recording.connect(silent=["NSE_EQ|SILENT"])
    last = recording.now_ns
    recording.die()
    seal(store, DATE)
    sealed = rows(store)
    (gap,) = sealed["gaps"]
    assert (gap["reason"], gap["seq"], gap["end_ts"]) == (DIED, None, None)
    assert 0 <= gap["start_ts"].timestamp() - last / 1e9 < 0.1
    ((reason, closed),) = ((row["reason"], row["closed_ts"]) for row in sealed["connections"])
    assert reason == DIED
    assert closed is not None
    silent = [row for row in sealed["subscriptions"] if row["answered_ts"] is None]
    assert [row["instrument_key"] for row in silent] == ["NSE_EQ|SILENT"]
    dayfile.append(store, DATE)
    recording.run()
    recording.connect()
    recording.updates(5)
    assert len(rows(store)["ticks"]) == recording.written.ticks
    flush(store, recording.written.last_seq)
    assert len(rows(store)["ticks"]) == recording.written.ticks
    with Lock(store.day_lock(DATE)) as lock:
        lock.acquire({})
        assert [row["reason"] for row in rows(store)["connections"]] == [DIED, None]
    dayfile.append(store, DATE)
    assert [row["reason"] for row in day_rows(store, "connections")] == [DIED]
    recording.drop(reason="stopped")
    recording.close()
    fresh = copy(store, "fresh")
    shutil.rmtree(fresh.root / "ticks")
    for each in (store, fresh):
        each.duckdb_path(DATE).unlink()
    seal(store, DATE, duckdb=False)
    assert sealed_files(store) == checked_files(fresh, anew=True)
    assert verify(store, DATE).differences == ()
    assert [gap["end_ts"] is None for gap in rows(store)["gaps"]] == [False]


def test_a_date_without_ticks_has_every_table(store: Store) -> None:
    recording = Recording(store)
    recording.run()
    recording.close()
    manifest = seal(store, DATE, duckdb=False)
    assert manifest.rows == {name: 0 for name in ("ticks", *schema.SMALL_TABLES)}
    for table in ("ticks", *schema.SMALL_TABLES):
        assert pq.read_schema(store.sealed_path(table, DATE)).equals(schema.TABLES[table])
    assert verify(store, DATE).differences == ()


def test_a_day_file_is_made_only_if_wanted_and_without_a_damaged_list_of_instruments(
    sealed: Store, written: Written
) -> None:
    assert not sealed.duckdb_path(DATE).exists()
    assert verify(sealed, DATE).differences == ()
    path = sealed.instruments_path(DATE)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1 was one once PAR1")
    day = checked(sealed, duckdb=True).new_files.duckdb_path
    assert day is not None
    held = day_contents.contents(day)
    assert (held.by_key, held.rows["instruments"]) == (written.by_key, 0)


def test_a_date_that_is_recorded_cannot_be_sealed(journalled: Store) -> None:
    store = journalled
    with Lock(store.day_lock(DATE)) as lock:
        lock.acquire({"doing": "recording 2026-11-23"})
        before = tree(store)
        for work in (seal, rebuild):
            with pytest.raises(AlreadyRecording, match="already recording 2026-11-23"):
                work(store, DATE)
        refused = child(store)
    assert refused.returncode == ExitCode.LOCKED
    assert "already recording 2026-11-23" in refused.stderr
    assert tree(store) == before


def test_parts_that_do_not_agree_with_the_journal_are_not_sealed_but_by_a_rebuild(
    journalled: Store, written: Written, reference: Store
) -> None:
    store = journalled
    flush(store, written.last_seq, 20)
    part = coverage(store, DATE).parts[0].path
    metadata = read_footer(part).to_metadata()
    held = pq.ParquetFile(part).read().replace_schema_metadata()
    with pq.ParquetWriter(part, held.schema) as writer:
        writer.write_table(held.slice(1))
        writer.add_key_value_metadata(metadata)
    before = tree(store)
    said = rf"does not add up.*{written.ticks - 1} ticks, the journal has {written.ticks}.*has \d+ of \d+ ticks"
    with pytest.raises(DataError, match=said):
        seal(store, DATE, duckdb=False)
    assert tree(store) == before
    assert checked_files(store, anew=True) == sealed_files(reference)


def test_a_damaged_part_is_set_aside_and_sealed_from_the_journal(
    journalled: Store, written: Written, reference: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store = journalled
    flush(store, written.last_seq, 30)
    part = coverage(store, DATE).parts[0].path
    data = bytearray(part.read_bytes())
    data[1000:4000] = bytes(3000)
    part.write_bytes(data)
    rebuilt = copy(store, "rebuilt")
    older = part.with_name(f"{part.name}.damaged")
    older.touch()
    seal(store, DATE, duckdb=False)
    assert f"set aside as {part.with_name(f'.{part.name}.damaged')}" in caplog.text
    assert [path.name for path in part.parent.iterdir()] == ["ticks.parquet"]
    assert checked_files(rebuilt, anew=True) == sealed_files(store) == sealed_files(reference)


def small_parts(store: Store) -> dict[str, list[Path]]:
    """The parts of the small tables by the range that they are of."""
    found: dict[str, list[Path]] = {}
    for table in schema.SMALL_TABLES:
        for path in sorted(store.folder(table, DATE).glob("part-*.parquet")):
            found.setdefault(path.name, []).append(path)
    return found


def test_rows_of_a_small_table_that_have_gone_are_sealed_all_the_same(
    journalled: Store, written: Written, reference: Store
) -> None:
    """Those of every table, each in a range of its own."""
    flush(journalled, written.last_seq, 5)
    left = set(schema.SMALL_TABLES)
    for paths in small_parts(journalled).values():
        for path in paths:
            if (table := path.relative_to(journalled.root).parts[0]) in left:
                path.unlink()
                left.remove(table)
                break
    assert not left
    assert checked_files(journalled) == sealed_files(reference)


def test_a_changed_name_of_a_column_is_damage(journalled: Store, written: Written, reference: Store) -> None:
    flush(journalled, written.last_seq, 20)
    for name, part in zip((b"instrument_key", b"theta"), coverage(journalled, DATE).parts, strict=False):
        data = part.path.read_bytes()
        assert name in data
        part.path.write_bytes(data.replace(name, name[:-1] + b"x"))
    assert checked_files(journalled) == sealed_files(reference)


@pytest.mark.parametrize("seed", range(int(os.environ.get("TICKREC_FLIPS", "1"))))
def test_a_flipped_bit_anywhere_in_the_parts_is_not_sealed(
    journalled: Store, written: Written, reference: Store, seed: int
) -> None:
    """One in every range, in a part of the ticks or of another table: what a range lacks is made anew as a whole."""
    chance = random.Random(seed)
    flush(journalled, written.last_seq, 10)
    for number, part in enumerate(coverage(journalled, DATE).parts):
        small = small_parts(journalled).get(part.path.name)
        path = chance.choice(small) if small and (number + seed) % 2 else part.path
        data = bytearray(path.read_bytes())
        footer = int.from_bytes(data[-8:-4], "little") + 8
        place, bit = chance.randrange(len(data) - footer * (number % 2)), chance.randrange(8)
        print(path, place, bit)
        data[place] ^= 1 << bit
        path.write_bytes(data)
    assert checked_files(journalled) == sealed_files(reference)


def test_parts_of_an_older_schema_are_made_anew(journalled: Store, written: Written, reference: Store) -> None:
    flush(journalled, written.last_seq)
    part = coverage(journalled, DATE).parts[0].path
    footer = read_footer(part)
    held = pq.ParquetFile(part).read().drop_columns(["vtt"]).replace_schema_metadata()
    old = Footer(footer.first, footer.last, footer.history, footer.position, schema_version=0)
    with pq.ParquetWriter(part, held.schema) as writer:
        writer.write_table(held)
        writer.add_key_value_metadata(old.to_metadata())
    assert checked_files(journalled) == sealed_files(reference)


STEPS = ("prepare", "flush", "sort", "check", "publish", "compress", "clean")


def test_sealing_that_ends_after_any_step_is_seen_whole_and_can_be_repeated(
    journalled: Store, written: Written, reference: Store
) -> None:
    flush(journalled, written.last_seq, 20)
    whole, seen = rows(reference), everything_in(journalled)
    done, repeated = [], {}
    for name, step in begin(journalled).steps():
        step()
        done.append(name)
        broken = copy(journalled, name)
        assert rows(broken) == whole
        if everything_in(broken) == seen:
            continue  # as it was before the step
        seen = everything_in(broken)
        seal(broken, DATE, duckdb=False)
        repeated[name] = tree(broken)
        assert parquet_files(broken) == parquet_files(reference)
    assert tuple(done) == STEPS
    assert list(repeated) == ["sort", "publish", "compress", "clean"]
    assert repeated["publish"] == repeated["compress"] == repeated["clean"] == tree(journalled)
    assert verify(journalled, DATE).differences == ()


def test_the_journal_is_packed_with_the_new_files_and_stays_until_they_are_published(
    journalled: Store, written: Written, reference: Store
) -> None:
    flush(journalled, written.last_seq)
    before = tree(journalled)
    plain = journalled.journal_files(DATE)
    sealing = checked(journalled)
    drafts = sealing.new_files.packed
    assert list(drafts) == plain
    assert all(same(path, draft) for path, draft in drafts.items())
    assert tree(journalled) == before
    sealed = sorted(reference.journal(DATE).iterdir())
    assert [path.name for path in sealed] == [f"{path.name}.zst" for path in plain]
    assert [path.read_bytes() for path in sealed] == [draft.read_bytes() for draft in drafts.values()]


def test_a_large_journal_is_counted_in_another_process(journalled: Store, written: Written, tmp_path: Path) -> None:
    store = journalled
    flush(store, written.last_seq)
    covered = coverage(store, DATE)
    new_files = NewFiles(tmp_path, store, covered, store, duckdb=False, many=0)
    new_files.make(lambda _what, _share: None)
    assert new_files.journal_count.by_key == written.by_key
    assert new_files.differences() == []
    ticks = new_files.path("ticks")
    pq.write_table(pq.ParquetFile(ticks).read().sort_by("seq"), ticks)
    assert new_files.differences() == ["the new Parquet file is not in order"]
