"""Parts of which an earlier one is damaged or gone: they stay, as the journal may have lost what they hold."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.days import DATE, Written, everything, ordered, write_day
from tickrec.clock import SystemClock
from tickrec.errors import DataError
from tickrec.journal import Journal
from tickrec.record.day import Day
from tickrec.seal.seal import rebuild, seal
from tickrec.seal.verify import verify
from tickrec.store import dayfile
from tickrec.store.coverage import coverage, leftovers
from tickrec.store.day_contents import contents
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store

PARTS = [(1, 20), (21, 40), (41, 60)]


@pytest.fixture
def written(store: Store) -> Written:
    """A day in four parts, with all of which something happened."""
    written = write_day(store, instruments=5)
    writer = PartWriter(store, DATE)
    for _, last in PARTS:
        writer.flush(last, final=True)
    writer.flush(written.last_seq, final=True)
    return written


def cut(part: Path) -> None:
    """Take the end of a part of `ticks`."""
    part.write_bytes(part.read_bytes()[:-50])


def harm_market_status(part: Path) -> None:
    """Flip a bit of the small table beside a part of `ticks`."""
    path = Path(str(part).replace("/ticks/", "/market_status/"))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def lose(store: Store, first: int, last: int) -> None:
    """Damage entries in the journal; all are in its first file."""
    ends = {entry.seq: place for entry, place in Journal(store.journal(DATE)).positioned()}
    assert ends[first - 1].file == ends[last].file == 1
    path = store.journal_files(DATE)[0]
    data = bytearray(path.read_bytes())
    begin, end = ends[first - 1].offset, ends[last].offset
    data[begin:end] = b"\x55" * (end - begin)
    path.write_bytes(data)


def end_with(store: Store, last: int) -> None:
    """Cut the journal after an entry."""
    ends = {entry.seq: place for entry, place in Journal(store.journal(DATE)).positioned()}
    files = store.journal_files(DATE)
    for path in files[ends[last].file :]:
        path.unlink()
    files[ends[last].file - 1].write_bytes(files[ends[last].file - 1].read_bytes()[: ends[last].offset])


def ticks(store: Store) -> list[dict[str, object]]:
    return ordered(everything(store)["ticks"])


def ranges(store: Store) -> list[tuple[int, int]]:
    return [(part.first, part.last) for part in coverage(store, DATE).parts]


def part_of(store: Store, number: int) -> Path:
    return store.part_path("ticks", DATE, *PARTS[number])


@pytest.mark.parametrize("damage", [cut, harm_market_status])
def test_only_the_range_of_a_damaged_part_is_written_again(
    store: Store, written: Written, damage: Callable[[Path], None]
) -> None:
    whole = ticks(store)
    damage(part_of(store, 0))
    lose(store, 25, 34)
    PartWriter(store, DATE)  # and is killed before it writes anything
    covered = coverage(store, DATE)
    assert (covered.next_seq, covered.awaited) == (1, 20)
    assert [part.first for part in covered.waiting] == [21, 41, 61]
    assert not {path.name for path in leftovers(store, covered)} & {part.path.name for part in covered.waiting}
    writer = PartWriter(store, DATE)
    writer.flush(0)
    assert writer.next_seq == written.last_seq + 1
    assert ranges(store) == [*PARTS, (61, written.last_seq)]
    assert ticks(store) == whole
    assert seal(store, DATE, duckdb=False).rows["ticks"] == written.ticks
    assert ticks(store) == whole


def test_a_part_that_is_gone_is_written_again(store: Store, written: Written) -> None:
    whole = {name: ordered(table) for name, table in everything(store).items()}
    part_of(store, 1).unlink()
    assert everything(store)["ticks"].num_rows == written.ticks
    PartWriter(store, DATE).flush(written.last_seq)
    assert ranges(store) == [*PARTS, (61, written.last_seq)]
    assert {name: ordered(table) for name, table in everything(store).items()} == whole


def test_what_the_journal_has_lost_of_a_part_is_lost_once(store: Store, written: Written) -> None:
    """All small tables of the mended part differ from what later parts remember of it; it stands all the same."""
    before = ticks(store)
    path = part_of(store, 1)
    cut(path)
    lose(store, 21, 40)
    PartWriter(store, DATE).flush(0)
    assert ranges(store) == [*PARTS, (61, written.last_seq)]
    assert PartWriter(store, DATE).next_seq == written.last_seq + 1
    assert ticks(store) == [row for row in before if not 21 <= int(str(row["seq"])) <= 40]
    assert len(list(path.parent.glob(".*.damaged"))) == 1
    manifest = seal(store, DATE, duckdb=False)
    assert manifest.missing == [(21, 40)]
    assert [each.name for each in path.parent.glob(".*.damaged")] == [f".{path.name}.damaged"]


@pytest.mark.parametrize("lost", [(15, 20), (12, 18), (16, 34)])
def test_what_is_lost_at_the_end_of_a_part_is_a_gap(store: Store, written: Written, lost: tuple[int, int]) -> None:
    cut(part_of(store, 0))
    lose(store, *lost)
    PartWriter(store, DATE).flush(0)
    seal(store, DATE, duckdb=False)
    gaps = [row for row in ordered(everything(store)["gaps"]) if "are lost" in str(row["reason"])]
    assert [row["reason"] for row in gaps] == [f"journal damaged: entries {lost[0]} to {min(lost[1], 20)} are lost"]
    assert gaps[0]["start_ts"] < gaps[0]["end_ts"]
    assert 12 < gaps[0]["seq"] <= 20


def test_parts_of_which_the_journal_lost_the_end_are_sealed(store: Store, written: Written) -> None:
    whole = ticks(store)
    part_of(store, 1).unlink()
    end_with(store, 30)
    assert seal(store, DATE, duckdb=False).missing == [(31, written.last_seq)]
    assert ticks(store) == [row for row in whole if not 31 <= int(str(row["seq"])) <= 40]


def test_a_number_that_a_part_stands_for_is_never_used_again(store: Store, written: Written) -> None:
    part_of(store, 1).unlink()
    cut(store.part_path("ticks", DATE, 61, written.last_seq))
    end_with(store, 30)
    day = Day(store, DATE, SystemClock())
    try:
        assert day.journal.next_seq == written.last_seq + 2  # the note that the run begins has the first
    finally:
        day.close()


def test_a_part_that_is_damaged_twice_is_kept_twice(store: Store, written: Written) -> None:
    path = part_of(store, 0)
    kept = []
    for harmed in (cut, harm_market_status):
        harmed(path)
        kept.append(path.read_bytes())
        PartWriter(store, DATE).flush(written.last_seq)
    names = [f".{path.name}.damaged", f".{path.name}.2.damaged"]
    assert [path.with_name(name).read_bytes() for name in names] == kept


@pytest.mark.parametrize("sealed_by", [seal, rebuild])
def test_ticks_that_only_a_file_set_aside_holds_are_not_left_out_in_silence(
    store: Store, written: Written, sealed_by: Callable[[Store, dt.date], object]
) -> None:
    """Its ticks are whole, a small table beside them is damaged, and the journal has lost some of its entries."""
    whole = ticks(store)
    harm_market_status(part_of(store, 0))
    lose(store, 8, 9)
    lost = sum(row["seq"] in (8, 9) for row in whole)
    aside = part_of(store, 0).with_name(f".{part_of(store, 0).name}.damaged")
    with pytest.raises(
        DataError, match=f"has lost {lost} ticks that are still stored in .*{aside.name} .*Nothing was replaced"
    ):
        sealed_by(store, DATE)
    assert not store.sealed_path("ticks", DATE).exists()
    assert len(ticks(store)) == written.ticks - lost
    aside.rename(store.root / "kept")
    assert seal(store, DATE, duckdb=False).rows["ticks"] == written.ticks - lost


def test_a_rebuild_does_not_leave_out_what_waits(store: Store, written: Written) -> None:
    whole = ticks(store)
    harm_market_status(part_of(store, 0))
    lose(store, 25, 34)
    with pytest.raises(DataError, match=r"lost \d+ ticks that are still stored"):
        rebuild(store, DATE, duckdb=False)
    assert ticks(store) == whole


def test_a_rebuild_keeps_a_damaged_part_of_which_the_journal_has_lost_something(store: Store, written: Written) -> None:
    path = part_of(store, 1)
    data = bytearray(path.read_bytes())
    data[4:2000] = bytes(1996)
    path.write_bytes(data)
    lose(store, 25, 34)
    assert rebuild(store, DATE, duckdb=False).missing == [(25, 34)]
    assert path.with_name(f".{path.name}.damaged").read_bytes() == data


def test_verify_tells_of_parts_that_wait(store: Store, written: Written) -> None:
    part_of(store, 1).unlink()
    assert verify(store, DATE).differences == ("Parquet: no file has entries 21 to 40, 2 parts after them must wait",)
    PartWriter(store, DATE).flush(written.last_seq)
    assert verify(store, DATE).differences == ()


def test_the_day_file_has_every_tick_once(store: Store, written: Written) -> None:
    def ticks_after(work: Callable[[Store, dt.date], None]) -> int:
        work(store, DATE)
        return contents(store.duckdb_path(DATE)).rows["ticks"]

    assert ticks_after(dayfile.append) == written.ticks
    harm_market_status(part_of(store, 0))
    writer = PartWriter(store, DATE)
    assert ticks_after(dayfile.append) == written.ticks
    writer.flush(written.last_seq)
    assert ticks_after(dayfile.append) == written.ticks
    assert verify(store, DATE).differences == ()
    assert ticks_after(dayfile.rebuild) == written.ticks
