import pytest

from tests.days import DATE, Recording, everything, read_tail, snapshot, write_day
from tickrec import schema
from tickrec.files import Lock
from tickrec.journal import Journal
from tickrec.journal.gaps import DIED
from tickrec.store.coverage import coverage
from tickrec.store.parts import PartWriter
from tickrec.store.paths import SEALING, Store


def test_the_journal_alone_holds_every_row(store: Store) -> None:
    written = write_day(store)
    tables = read_tail(store, DATE).tables
    assert set(tables) == {"ticks", *schema.SMALL_TABLES}
    assert all(table.schema.equals(schema.TABLES[name]) for name, table in tables.items())
    assert tables["ticks"].num_rows == written.ticks
    counted = tables["ticks"].group_by("instrument_key").aggregate([([], "count_all")]).to_pylist()
    assert {row["instrument_key"]: row["count_all"] for row in counted} == written.by_key
    assert tables["rejected"].num_rows == written.rejected == 1
    assert tables["connections"].num_rows == 3
    assert [row["reason"] for row in tables["gaps"].to_pylist()] == [
        "connection reset by the broker",
        "the recorder died",
    ]
    silent = [row for row in tables["subscriptions"].to_pylist() if row["answered_ts"] is None]
    assert [row["instrument_key"] for row in silent] == ["NSE_EQ|SILENT"]


def test_rows_are_the_same_wherever_the_flushes_fall(store: Store) -> None:
    last = write_day(store, messages=6, instruments=8).last_seq
    whole = snapshot(store)
    for step in (3, 8):
        for part in store.root.rglob("part-*.parquet"):
            part.unlink()
        writer = PartWriter(store, DATE)
        for seq in range(step, last + step, step):
            writer.flush(min(seq, last), final=seq % 2 == 0)
            if seq % (3 * step) == 0:
                writer = PartWriter(store, DATE)
            if step > 3:
                assert snapshot(store) == whole
        writer.flush(last, final=True)
        assert writer.next_seq == last + 1
        assert snapshot(store) == whole
        covered = coverage(store, DATE)
        assert [part.first for part in covered.parts[1:]] == [part.last + 1 for part in covered.parts[:-1]]


def test_what_nobody_records_any_more_is_as_sealing_would_settle_it(store: Store) -> None:
    recording = Recording(store)
    recording.run()
    recording.connect(silent=["NSE_EQ|SILENT"])
    tables = everything(store)
    assert [row["reason"] for row in tables["connections"].to_pylist()] == [DIED]
    assert [(gap["end_ts"], gap["reason"]) for gap in tables["gaps"].to_pylist()] == [(None, DIED)]
    with Lock(store.day_lock(DATE)) as lock:
        lock.acquire({SEALING: True})
        assert [row["reason"] for row in everything(store)["connections"].to_pylist()] == [DIED]
        lock.remove()


@pytest.mark.usefixtures("recorded")
def test_open_rows_are_seen_until_they_are_settled(store: Store) -> None:
    recording = Recording(store)
    recording.run()
    recording.connect(silent=["NSE_EQ|SILENT"])
    writer = PartWriter(store, DATE)
    writer.flush(recording.written.last_seq)
    tables = everything(store)
    assert [(row["seq"], row["closed_ts"]) for row in tables["connections"].to_pylist()] == [(None, None)]
    assert [row["instrument_key"] for row in tables["subscriptions"].to_pylist() if row["seq"] is None] == [
        "NSE_EQ|SILENT"
    ]
    recording.drop(reason="no data for 60 s")
    assert [(gap["end_ts"], gap["reason"]) for gap in everything(store)["gaps"].to_pylist()] == [
        (None, "no data for 60 s")
    ]
    recording.connect()
    writer.flush(recording.written.last_seq)
    tables = everything(store)
    assert [row["closed_ts"] is None for row in tables["connections"].to_pylist()] == [False, True]
    assert [gap["end_ts"] is None for gap in tables["gaps"].to_pylist()] == [False]


def test_a_symbol_that_changes_counts_from_its_subscription_on(store: Store) -> None:
    recording = Recording(store, instruments=1)
    before = recording.market.instruments[0].symbol
    recording.run()
    recording.connect()
    recording.updates(2, 1)
    recording.market.instruments[0].symbol = "RENAMED"
    recording.connect()
    recording.updates(2, 1)
    whole = [row["symbol"] for row in everything(store)["ticks"].to_pylist()]
    assert whole == [before] * 3 + ["RENAMED"] * 3
    PartWriter(store, DATE).flush(recording.written.last_seq)
    assert [row["symbol"] for row in everything(store)["ticks"].to_pylist()] == whole


def test_damage_in_the_journal_is_a_gap_and_costs_its_neighbours_nothing(store: Store) -> None:
    written = write_day(store)
    before = everything(store)["ticks"]
    places = [(entry, place) for entry, place in Journal(store.journal(DATE)).positioned() if len(entry.payload) > 2000]
    entry, place = places[5]
    path = store.journal_files(DATE)[place.file - 1]
    data = bytearray(path.read_bytes())
    data[place.offset - 100] ^= 1
    path.write_bytes(data)
    PartWriter(store, DATE).flush(written.last_seq)
    after = everything(store)
    lost = set(before["seq"].to_pylist()) - set(after["ticks"]["seq"].to_pylist())
    assert lost == {entry.seq}
    assert f"entries {entry.seq} to {entry.seq} are lost" in after["gaps"]["reason"].to_pylist()[0]
