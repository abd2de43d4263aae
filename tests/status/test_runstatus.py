"""The facts of a run as JSON text."""

import json

import pytest

from tests.record.fixtures import NOW, connection, run_status
from tickrec.clock import SECOND
from tickrec.journal.gaps import Gap
from tickrec.status.runstatus import decode, encode


def test_facts_come_back_as_they_were() -> None:
    run = run_status(
        connections=(connection(1), connection(2, state="waiting", retry_ns=NOW, reason='403 "forbidden"')),
        silent=(("NSE_EQ|INE0", "071XYZ"),),
        stale=(("NSE_EQ|INE1", "072XYZ", NOW - SECOND),),
        gaps=(Gap(7, 1, NOW - SECOND, NOW, "connection reset", 220), Gap(None, 2, NOW, None, "no data", 5)),
        position=(3, 4096),
        reason="Ende \u2013 \u0930",
    )
    assert decode(encode(run)) == run


def test_facts_of_another_version_are_read_as_far_as_they_are_known() -> None:
    facts = json.loads(encode(run_status()))
    facts["mood"] = "calm"
    facts["connections"][0]["colour"] = "blue"
    del facts["gaps"], facts["session"]
    assert decode(json.dumps(facts).encode()) == run_status(session="")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"{}", b'{"state": "recording"}', b"\xff\x00", b'{"gaps": [1]}']
)
def test_what_is_no_status_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        decode(text)


def test_the_length_of_gaps_counts_lasting_ones_until_now() -> None:
    run = run_status(
        gaps=(Gap(7, 1, NOW - 10 * SECOND, NOW - 7 * SECOND, "", 1), Gap(None, 1, NOW - 2 * SECOND, None, "", 1))
    )
    assert run.gap_seconds(NOW) == 5.0


def test_the_disk_lasts_for_the_free_space_at_the_days_cost_and_the_present_rate() -> None:
    run = run_status(disk_free_bytes=72_000_000, day_bytes=36_000_000, byte_rate=10_000.0)
    assert (run.disk_days, run.disk_hours) == (2.0, 2.0)
    unknown = run_status(disk_free_bytes=72_000_000, day_bytes=None, byte_rate=0.0)
    assert (unknown.disk_days, unknown.disk_hours) == (None, None)


def test_the_disk_is_low_below_the_limit_only() -> None:
    assert [run_status(disk_free_bytes=free, min_free_bytes=5).disk_low for free in (4, 5, None)] == [
        True,
        False,
        False,
    ]
