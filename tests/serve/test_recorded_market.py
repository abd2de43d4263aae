"""Recorded: the state of a market after some entries of a journal."""

import pytest

from tests.days import every_entry
from tests.serve.fixtures import keys_of
from tickrec.serve.recorded_market import Recorded
from tickrec.store.paths import Store


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_skipped_entries_leave_the_state_that_reading_each_would(journalled: Store, piece: int) -> None:
    entries = list(every_entry(journalled))
    read, skipped = Recorded(), Recorded()
    for entry in entries:
        read.take(entry)
    for start in range(0, len(entries), piece):
        skipped.skip(entries[start : start + piece])
    assert (skipped.info, skipped.sent_ms, skipped.symbols) == (read.info, read.sent_ms, read.symbols)
    for mode in ("full", "ltpc"):
        assert [skipped.feed(key, mode) for key in keys_of(journalled)] == [
            read.feed(key, mode) for key in keys_of(journalled)
        ]
    assert any(read.feed(key, "full") for key in keys_of(journalled))
