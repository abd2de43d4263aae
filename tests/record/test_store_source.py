"""Origin: a store takes messages of one source only."""

import datetime as dt
import shutil

import pytest

from tickrec.errors import UsageError
from tickrec.journal import JournalWriter
from tickrec.record.store_source import check_origin
from tickrec.seal.seal import seal
from tickrec.store.manifest import stored_source
from tickrec.store.paths import Store
from tickrec.upstox.rest import SOURCE

DATE = dt.date(2026, 11, 25)
REPLAY = "replay 2026-11-23"


def begin(store: Store, source: str, date: dt.date = DATE) -> None:
    """A journal of a source, without anything in it."""
    JournalWriter(store.journal(date), source=source, next_seq=1, start_ns=0).close()


def test_a_new_store_takes_any_source(store: Store) -> None:
    assert stored_source(store) is None
    for source in (SOURCE, REPLAY, "relay"):
        check_origin(store, source, now=True)


@pytest.mark.parametrize("source", [REPLAY, "relay"])
def test_what_is_not_the_broker_is_recorded_with_now_only(store: Store, source: str) -> None:
    with pytest.raises(UsageError, match=f"leads to a {source}, not to the broker.*--now"):
        check_origin(store, source, now=False)
    check_origin(store, SOURCE, now=False)


@pytest.mark.parametrize("source", [REPLAY, "relay"])
def test_a_store_of_the_broker_takes_nothing_else(store: Store, source: str) -> None:
    begin(store, SOURCE)
    with pytest.raises(UsageError, match=f"holds data of {SOURCE}, not of {source}.*--data"):
        check_origin(store, source, now=True)


@pytest.mark.parametrize("source", [SOURCE, "relay", "replay 2026-11-24"])
def test_a_store_of_a_replay_takes_that_replay_only(store: Store, source: str) -> None:
    begin(store, REPLAY)
    check_origin(store, REPLAY, now=True)
    with pytest.raises(UsageError, match=f"holds data of {REPLAY}, not of {source}"):
        check_origin(store, source, now=True)


def test_a_store_whose_journals_are_gone_is_that_of_its_manifest_or_the_brokers(store: Store) -> None:
    begin(store, REPLAY)
    seal(store, DATE, duckdb=False)
    shutil.rmtree(store.journal(DATE))
    assert stored_source(store) == REPLAY
    store.manifest_path(DATE).unlink()
    assert stored_source(store) is None
    check_origin(store, SOURCE, now=False)
    with pytest.raises(UsageError, match=f"holds data of {SOURCE}, not of {REPLAY}"):
        check_origin(store, REPLAY, now=True)


def test_a_journal_that_was_cut_off_before_its_header_does_not_decide(store: Store) -> None:
    begin(store, REPLAY, dt.date(2026, 11, 24))
    store.journal(DATE).mkdir(parents=True)
    (store.journal(DATE) / "0001.journal").write_bytes(b"")
    assert stored_source(store) == REPLAY
