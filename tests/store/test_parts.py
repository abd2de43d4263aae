import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyarrow.dataset import dataset

from tests.days import DATE, Recording, Written, everything, snapshot, write_day
from tickrec import schema
from tickrec.errors import DataError
from tickrec.journal.entry import EntryKind, encode_facts
from tickrec.store.coverage import coverage, read_footer
from tickrec.store.parts import Draft, PartWriter
from tickrec.store.paths import Store


def test_a_flush_reports_what_it_published(store: Store) -> None:
    written = write_day(store)
    flushed = PartWriter(store, DATE).flush(written.last_seq)
    assert flushed.path == store.part_path("ticks", DATE, 1, written.last_seq)
    assert (flushed.first, flushed.last) == (1, written.last_seq)
    assert (flushed.ticks, flushed.rejected) == (written.ticks, 1)
    assert pq.read_schema(flushed.path).equals(schema.TICKS)


def test_a_long_range_becomes_several_parts(store: Store) -> None:
    written = write_day(store)
    flushed = PartWriter(store, DATE, part_ticks=100).flush(written.last_seq, final=True)
    parts = coverage(store, DATE).parts
    assert len(parts) >= 3
    assert flushed.path == parts[-1].path
    assert (flushed.first, flushed.last, flushed.ticks) == (1, written.last_seq, written.ticks)


def test_entries_without_ticks_wait_for_the_next_flush(store: Store) -> None:
    recording = Recording(store)
    recording.run()
    recording.append(EntryKind.CONNECTED, 1, encode_facts(host="h", attempt=1, keys=40))
    recording.drop()
    writer = PartWriter(store, DATE)
    assert writer.flush(recording.written.last_seq).path is None
    assert list(store.root.rglob("*.parquet")) == []
    recording.connect()
    flushed = writer.flush(recording.written.last_seq)
    assert (flushed.first, flushed.ticks) == (1, 40)
    assert everything(store)["connections"].num_rows == 2


def test_the_final_flush_keeps_entries_without_ticks(store: Store) -> None:
    recording = Recording(store)
    recording.run()
    recording.append(EntryKind.CONNECTED, 1, encode_facts(host="h", attempt=1, keys=40))
    recording.close()
    flushed = PartWriter(store, DATE).flush(recording.written.last_seq, final=True)
    assert (flushed.last, flushed.ticks) == (3, 0)
    assert flushed.path is not None
    assert pq.read_schema(flushed.path).equals(schema.TICKS)
    assert {path.parent.parent.name for path in store.root.rglob("*.parquet")} == {"connections", "ticks"}
    assert PartWriter(store, DATE).flush(3, final=True).path is None


def test_many_entries_without_ticks_do_not_wait_for_ever(store: Store) -> None:
    recording = Recording(store)
    recording.run()
    for _ in range(4):
        recording.garbage()
    writer = PartWriter(store, DATE, carried=5)
    assert writer.flush(4).path is None
    assert writer.flush(5).rejected == 4


def test_nothing_is_read_past_the_durable_entry(store: Store) -> None:
    recording = Recording(store)
    recording.run()
    recording.connect()
    durable = recording.written.last_seq
    recording.updates(5)
    assert PartWriter(store, DATE).flush(durable).last == durable
    assert coverage(store, DATE).next_seq == durable + 1
    assert everything(store)["ticks"].num_rows == recording.written.ticks


def test_a_crash_between_the_small_tables_and_the_ticks_repeats_no_row(store: Store) -> None:
    recording = Recording(store)
    recording.run()
    recording.connect()
    writer = PartWriter(store, DATE)
    writer.flush(recording.written.last_seq)
    recording.drop()
    recording.connect()
    whole = snapshot(store)
    first = writer.next_seq
    writer.flush(recording.written.last_seq)
    store.part_path("ticks", DATE, first, recording.written.last_seq).unlink()
    left_over = list(store.root.glob(f"*/date={DATE}/part-{first:012}-*"))
    assert {path.parent.parent.name for path in left_over} == {
        "gaps",
        "connections",
        "subscriptions",
        "market_status",
        "sessions",
    }
    assert snapshot(store) == whole
    recording.updates(3)
    whole = snapshot(store)
    again = PartWriter(store, DATE)
    assert again.next_seq == first
    again.flush(recording.written.last_seq)
    assert snapshot(store) == whole
    assert not any(path.exists() for path in left_over)


def test_a_flush_that_fails_loses_nothing_and_is_caught_up(journalled: Store, written: Written) -> None:
    store = journalled
    whole = snapshot(store)
    writer = PartWriter(store, DATE, part_ticks=20)
    writer.flush(10)
    obstacle = store.folder("rejected", DATE)
    obstacle.parent.mkdir()
    obstacle.touch()
    with pytest.raises(OSError, match="rejected"):
        writer.flush(written.last_seq)
    assert everything(store)["ticks"].num_rows == written.ticks
    obstacle.unlink()
    for part in store.root.rglob("part-*.parquet"):
        part.unlink()
    PartWriter(store, DATE).flush(written.last_seq)
    assert snapshot(store) == whole
    assert not list(store.root.rglob("*.draft"))


def test_a_damaged_part_is_set_aside_and_written_again(journalled: Store, written: Written) -> None:
    store = journalled
    whole = snapshot(store)
    writer = PartWriter(store, DATE)
    writer.flush(30)
    writer.flush(written.last_seq)
    path = coverage(store, DATE).parts[1].path
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match=path.name):
        coverage(store, DATE)
    again = PartWriter(store, DATE)
    assert again.next_seq == 31
    again.flush(written.last_seq)
    assert snapshot(store) == whole
    assert path.with_name(f".{path.name}.damaged").exists()


def test_other_programs_do_not_count_what_is_no_part(journalled: Store, written: Written) -> None:
    store = journalled
    writer = PartWriter(store, DATE)
    writer.flush(30)
    writer.flush(written.last_seq)
    path = coverage(store, DATE).parts[1].path
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:-50])
    again = PartWriter(store, DATE)
    path.with_name(f".{path.name}.damaged").write_bytes(data)  # with a footer, so that its rows would be counted
    again.flush(written.last_seq)
    with Draft(store, DATE, written.last_seq + 1):
        names = {path.name for path in store.folder("ticks", DATE).iterdir()}
        assert dataset(store.root / "ticks", partitioning="hive").count_rows() == written.ticks
    assert len(names) == 4


def remove_part(path: Path) -> None:
    path.unlink()


def empty_part(path: Path) -> None:
    held = pq.ParquetFile(path).read()
    pq.write_table(held.slice(0, 0), path)


def cut_part(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def test_rows_of_a_small_table_that_are_gone_are_written_again(store: Store, tmp_path: Path) -> None:
    last = write_day(store, messages=3, instruments=6).last_seq
    whole = snapshot(store)
    writer = PartWriter(store, DATE)
    for seq in range(5, last, 5):
        writer.flush(seq, final=True)
    writer.flush(last, final=True)
    harms = [("connections", remove_part), ("gaps", empty_part), ("rejected", cut_part)]
    for number, (name, harm) in enumerate(harms):
        one = Store(tmp_path / str(number))
        shutil.copytree(store.root, one.root)
        harmed = coverage(one, DATE).small_parts[name][0]
        harm(harmed)
        again = PartWriter(one, DATE)
        assert again.next_seq == int(harmed.name.split("-")[1]), (name, harm)
        again.flush(last, final=True)
        assert snapshot(one) == whole, (name, harm)
        assert (one.folder("ticks", DATE) / f".{harmed.name}.damaged").exists()


def test_rows_of_a_small_table_that_are_gone_are_missed_by_every_reader(store: Store) -> None:
    last = write_day(store).last_seq
    PartWriter(store, DATE).flush(last)
    gaps = coverage(store, DATE).small_parts["gaps"][0]
    gaps.unlink()
    with pytest.raises(DataError, match=r"its rows of gaps are gone.*tickrec rebuild"):
        coverage(store, DATE)


def test_nothing_is_set_aside_that_the_journal_cannot_make_again(store: Store) -> None:
    PartWriter(store, DATE).flush(write_day(store).last_seq)
    covered = coverage(store, DATE)
    covered.small_parts["gaps"][0].unlink()
    shutil.rmtree(store.journal(DATE))
    with pytest.raises(DataError, match="its rows of gaps are gone"):
        PartWriter(store, DATE)
    assert covered.parts[0].path.exists()


def test_parts_of_a_version_that_did_not_count_small_rows_are_read(journalled: Store, written: Written) -> None:
    store = journalled
    writer = PartWriter(store, DATE)
    writer.flush(30)
    part = coverage(store, DATE).parts[0].path
    held, metadata = pq.ParquetFile(part).read().replace_schema_metadata(), read_footer(part).to_metadata()
    with pq.ParquetWriter(part, held.schema) as old:
        old.write_table(held)
        unknown = ("tickrec.small_rows", "tickrec.check")
        old.add_key_value_metadata({name: value for name, value in metadata.items() if name not in unknown})
    whole = snapshot(store)
    again = PartWriter(store, DATE)
    assert again.next_seq == 31
    again.flush(written.last_seq)
    assert snapshot(store) == whole
    assert 1 not in coverage(store, DATE).small_rows["connections"]


def test_a_part_is_sorted_and_says_how_many_ticks_each_instrument_has(store: Store) -> None:
    written = write_day(store)
    PartWriter(store, DATE).flush(written.last_seq)
    part = coverage(store, DATE).parts[0].path
    rows = pq.ParquetFile(part).read()
    assert rows.equals(rows.sort_by([("instrument_key", "ascending"), ("seq", "ascending")]))
    group = pq.read_metadata(part).row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    assert [each.path_in_schema for each in columns if each.statistics] == [
        "seq",
        "recv_ts",
        "instrument_key",
        "symbol",
    ]
    counts = read_footer(part).counts
    assert counts == written.by_key
    assert counts is not None
    assert list(counts) == sorted(counts)


def test_a_part_names_those_that_are_quiet_in_it_unless_one_before_did_not(store: Store) -> None:
    recording = Recording(store, instruments=3)
    recording.run()
    recording.connect()
    first, second, third = (each.key for each in recording.market.instruments)
    writer = PartWriter(store, DATE)
    for still in (3, 2, 1):
        recording.market.instruments = recording.market.instruments[:still]
        recording.updates(2, 3)
        writer.flush(recording.written.last_seq)
    parts = [(part.first, part.last) for part in coverage(store, DATE).parts]
    assert coverage(store, DATE).last_in == dict(zip((third, second, first), parts, strict=True))
    part = coverage(store, DATE).parts[-1].path
    held, footer = pq.ParquetFile(part).read().replace_schema_metadata(), read_footer(part)
    with pq.ParquetWriter(part, held.schema) as old:
        old.write_table(held)
        old.add_key_value_metadata(replace(footer, quiet=None).to_metadata())
    recording.updates(1)
    PartWriter(store, DATE).flush(recording.written.last_seq)
    covered = coverage(store, DATE)
    assert covered.last_in is None
    assert len(covered.parts_with_last()) == 4


def test_parts_are_all_looked_into_when_some_were_written_again_with_other_borders(store: Store) -> None:
    """What the parts behind them say of who ticked last where holds no more."""
    recording = Recording(store, instruments=3)
    recording.run()
    recording.connect()
    writer = PartWriter(store, DATE)
    for still in (3, 3, 2, 1, 1):
        recording.market.instruments = recording.market.instruments[:still]
        recording.updates(4, still)
        writer.flush(recording.written.last_seq)
    for part in coverage(store, DATE).parts[1:3]:
        part.path.unlink()
    PartWriter(store, DATE).flush(recording.written.last_seq)
    covered = coverage(store, DATE)
    assert len(covered.parts) == 4
    assert covered.parts_with_last() == [part.path for part in covered.parts]
