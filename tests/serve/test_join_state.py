"""Joining a recording that goes on: the same as if all of its journal had been read, and only some of it is."""

import random

import pytest

from tests.days import DATE, Recording, Written, every_entry
from tickrec.clock import SECOND
from tickrec.errors import DataError
from tickrec.journal.entry import EntryKind, encode_facts
from tickrec.serve.join_state import stand
from tickrec.serve.recorded_market import Recorded
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store


def everything(store: Store) -> Recorded:
    """The market after every entry, read one after the other."""
    recorded = Recorded()
    for entry in every_entry(store):
        recorded.take(entry)
    return recorded


def joined(store: Store) -> Recorded:
    recorded = Recorded()
    stand(store, DATE, recorded)
    return recorded


def assert_same(store: Store) -> None:
    expected, found = everything(store), joined(store)
    assert vars(found) == vars(expected)


def day(store: Store, seed: int) -> Recording:
    """A day with busy and quiet instruments, restarts and lost connections, flushed now and then."""
    rng = random.Random(seed)
    recording = Recording(store, instruments=7, seed=seed)
    recording.run()
    recording.connect()
    recording.append(EntryKind.SUBSCRIBED, 1, encode_facts(mode="full", keys=[["NSE_EQ|SILENT", "SILENT"]]))
    recording.updates(3, 7)
    busy = recording.market.instruments
    writer = PartWriter(store, DATE)
    for _ in range(rng.randint(2, 6)):
        recording.market.instruments = rng.sample(busy, 4)
        recording.updates(rng.randint(1, 20), 4)
        if rng.random() < 0.3:
            recording.drop()
            recording.connect()
        if rng.random() < 0.7:
            writer.flush(recording.written.last_seq)
    recording.market.instruments = busy
    return recording


@pytest.mark.parametrize("seed", [0, 5, 6, 16, 17])
def test_it_is_as_if_all_had_been_read(store: Store, seed: int) -> None:
    recording = day(store, seed)
    if seed % 2:
        recording.garbage()
    assert_same(store)


def test_what_follows_is_what_has_not_been_read(store: Store) -> None:
    recording = day(store, 1)
    follow = stand(store, DATE, Recorded())
    assert follow.poll() == []
    recording.updates(3)
    assert [entry.seq for entry in follow.poll()] == list(
        range(recording.written.last_seq - 2, 1 + recording.written.last_seq)
    )


def test_parts_whose_instruments_have_all_been_met_are_not_read(store: Store) -> None:
    recording = Recording(store, instruments=5)
    for _ in range(2):
        recording.run()
        recording.connect()
        recording.updates(5, 5)
        recording.die()
        PartWriter(store, DATE).flush(recording.written.last_seq)
    expected = everything(store)
    store.journal_files(DATE)[0].write_bytes(b"not a journal")
    with pytest.raises(DataError):
        everything(store)
    assert vars(joined(store)) == vars(expected)


def test_a_part_that_is_damaged_or_gone_costs_time_and_nothing_else(store: Store) -> None:
    day(store, 2)
    for path in sorted(store.folder("ticks", DATE).glob("part-*"))[:-1]:
        path.write_bytes(path.read_bytes()[:-20])
    assert_same(store)
    for path in sorted(store.folder("ticks", DATE).glob("part-*"))[:1]:
        path.unlink()
    assert_same(store)


def test_a_date_that_goes_on_after_it_was_sealed_is_joined(sealed: Store, written: Written) -> None:
    recording = Recording(sealed, instruments=15)
    recording.written.last_seq = written.last_seq
    recording.now_ns += 600 * SECOND
    recording.run()
    recording.connect()
    recording.updates(5)
    PartWriter(sealed, DATE).flush(recording.written.last_seq)
    recording.updates(5)
    assert_same(sealed)


def test_a_date_of_which_nothing_is_recorded_stands_nowhere(store: Store) -> None:
    assert vars(joined(store)) == vars(Recorded())
