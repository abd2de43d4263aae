"""What an idle store says of the exchanges: open or not, and when the next recording would begin."""

import json

import pytest

from tests.clocks import HandClock, at
from tests.record.fixtures import Recording
from tickrec.clock import ist
from tickrec.errors import ExitCode
from tickrec.status.as_json import to_json
from tickrec.status.next_session import next_session
from tickrec.status.runstatus import WAITING
from tickrec.status.status import collect
from tickrec.store.paths import Store

MCX = ("MCX_FO",)


@pytest.mark.parametrize(
    ("when", "segments", "open_", "next_start"),
    [
        ("2026-11-23T09:41", (), True, "2026-11-25T09:00"),  # a Monday; Tuesday is a holiday
        ("2026-11-23T08:59", (), False, "2026-11-23T09:00"),
        ("2026-11-23T16:30", (), False, "2026-11-25T09:00"),
        ("2026-11-24T11:00", (), False, "2026-11-25T09:00"),
        ("2026-11-21T11:00", (), False, "2026-11-23T09:00"),  # a Saturday
        ("2026-11-23T20:00", MCX, True, "2026-11-24T16:45"),  # a holiday with an evening session
        ("2026-11-23T20:00", ("NSE_EQ",), False, "2026-11-25T09:00"),
    ],
)
def test_an_exchange_is_open_or_opens_next(
    store: Store, when: str, segments: tuple[str, ...], open_: bool, next_start: str
) -> None:
    found = next_session(store, segments, at(when))
    assert found.open is open_
    assert found.next_start_ns is not None
    assert f"{ist(found.next_start_ns):%Y-%m-%dT%H:%M}" == next_start


def test_the_calendar_that_the_store_keeps_counts(store: Store) -> None:
    store.state.mkdir(parents=True)
    closed = [{"date": "2026-11-23", "description": "Strike", "closed_exchanges": ["NSE", "NFO"], "open_exchanges": []}]
    kept = {"date": "2026-11-20", "holidays": closed, "timings": []}
    (store.state / "calendar.json").write_text(json.dumps(kept))
    found = next_session(store, (), at("2026-11-23T09:41"))
    assert not found.open
    assert found.next_start_ns == at("2026-11-24T09:00")


@pytest.mark.parametrize(("when", "missing"), [("2026-11-23T09:41", True), ("2026-11-22T09:41", False)])
@pytest.mark.parametrize("died", [False, True])
def test_nothing_recording_while_the_exchange_is_open_is_told(
    store: Store, when: str, missing: bool, died: bool
) -> None:
    clock = HandClock(at("2026-11-20T15:20"))
    run = Recording(store, clock)
    run.receive({"a": 1.0})
    run.say()
    run.die() if died else run.stop()
    clock.now_ns = at(when)
    report = collect(store, clock)
    assert report.missing is missing
    assert report.exit_code == (ExitCode.DATA if died else ExitCode.DONE)
    told = to_json(report)
    assert told["open"] is missing
    assert told["next_start"][:16] == ("2026-11-25T09:00" if missing else "2026-11-23T09:00")


def test_nothing_is_missing_while_something_is_recorded_or_waits(store: Store) -> None:
    clock = HandClock(at("2026-11-23T09:41"))
    run = Recording(store, clock)
    run.receive({"a": 1.0})
    run.say()
    assert not collect(store, clock).missing
    clock.now_ns = at("2026-11-23T09:42")
    run.say(state=WAITING, start_ns=at("2026-11-23T10:00"))
    report = collect(store, clock)
    assert not report.missing
    assert to_json(report)["next_start"][:16] == "2026-11-23T10:00"
    run.die()


def test_the_simulated_market_has_hours_of_its_own(store: Store) -> None:
    clock = HandClock(at("2026-11-23T09:41"))
    report = collect(Store(store.root / "simulated"), clock)
    assert not report.missing
    assert to_json(report)["next_start"] is None
