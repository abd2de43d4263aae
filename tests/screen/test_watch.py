"""The live table of a recorder that runs elsewhere, from files only."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from tests.clocks import HandClock
from tests.processes import wait_for
from tests.record.fixtures import DATE, NOW, Recording
from tickrec.clock import SECOND
from tickrec.journal.entry import EntryKind, encode_facts
from tickrec.screen import watch
from tickrec.screen.watch import Watch
from tickrec.status.runstatus import STOPPED
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def recording(store: Store, clock: HandClock) -> Iterator[Recording]:
    recording = Recording(store, clock)
    yield recording
    recording.die()


Begin: TypeAlias = Callable[[], Watch]


@pytest.fixture
def begin(store: Store, clock: HandClock) -> Iterator[Begin]:
    """Begins to watch the store."""
    begun: list[Watch] = []

    def watch() -> Watch:
        begun.append(Watch(store, clock))
        return begun[-1]

    yield watch
    for each in begun:
        each.close()


def prices(watching: Watch) -> dict[str, float | None]:
    """What is known when everything has been looked at."""

    def is_ready() -> bool:
        watching.look()
        return not watching.is_catching_up

    wait_for(is_ready, "the parts are read")
    return {row.symbol: row.ltp for row in watching.live.instruments.values()}


def test_the_last_values_are_there_at_once(recording: Recording, begin: Begin) -> None:
    recording.receive({"a": 1.0, "b": 2.0})
    recording.receive({"a": 1.5})
    recording.say()
    assert prices(begin()) == {"a": 1.5, "b": 2.0}


def test_what_is_journalled_afterwards_appears(clock: HandClock, recording: Recording, begin: Begin) -> None:
    recording.receive({"a": 1.0})
    recording.say()
    watching = begin()
    watching.look()
    recording.receive({"a": 3.0, "c": 4.0})
    clock.pass_s(0.2)
    assert prices(watching) == {"a": 3.0, "c": 4.0}
    assert {row.age_s(clock.wall_ns()) for row in watching.live.instruments.values()} == {0.2}
    assert watching.run.connections[0].last_message_ns == NOW


def test_of_a_journal_that_is_too_long_only_the_end_is_read(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, begin: Begin
) -> None:
    monkeypatch.setattr(watch, "MOST_BYTES", 4000)
    monkeypatch.setattr(watch, "LOOK_BACK_BYTES", 2000)
    recording.receive({"early": 1.0})
    for number in range(100):
        recording.receive({"a": float(number + 1)})
    recording.say()
    watching = begin()
    assert prices(watching) == {"a": 100.0}
    recording.receive({"b": 5.0})
    assert prices(watching) == {"a": 100.0, "b": 5.0}


def test_subscriptions_name_the_instruments(recording: Recording, begin: Begin) -> None:
    wanted = [["NSE_EQ|1", "RELIANCE", "full"], ["NSE_EQ|2", "TCS", "full"]]
    recording.append(EntryKind.NOTE, encode_facts(event="wanted", keys=wanted))
    recording.append(EntryKind.SUBSCRIBED, encode_facts(mode="full", keys=[["NSE_EQ|1", "RELIANCE"]]))
    recording.receive({"NSE_EQ|1": 1412.35, "NSE_EQ|3": 1.0})
    recording.say()
    assert prices(begin()) == {"RELIANCE": 1412.35, "TCS": None, "NSE_EQ|3": 1.0}


def flushed(store: Store, recording: Recording) -> None:
    """Put everything so far into a Parquet part."""
    done = PartWriter(store, DATE).flush(recording.journal.next_seq - 1, final=True)
    recording.say(flushed_seq=done.last)


def test_the_parts_have_the_names_and_the_last_values(
    store: Store, clock: HandClock, recording: Recording, begin: Begin
) -> None:
    asked = [["NSE_EQ|1", "RELIANCE"], ["NSE_EQ|2", "TCS"], ["NSE_EQ|3", "MUTE"]]
    recording.append(EntryKind.CONNECTED, encode_facts(host="h", attempt=1, keys=3))
    recording.append(EntryKind.SUBSCRIBED, encode_facts(mode="full", keys=asked))
    recording.receive({"NSE_EQ|1": 1412.35, "NSE_EQ|2": 3000.0})
    flushed(store, recording)
    clock.pass_s(60)
    recording.receive({"NSE_EQ|1": 1413.0})
    recording.receive({"NSE_EQ|1": 1414.0})
    flushed(store, recording)
    clock.pass_s(1)
    recording.receive({"NSE_EQ|4": 5.0})
    watching = begin()
    assert prices(watching) == {"RELIANCE": 1414.0, "TCS": 3000.0, "MUTE": None, "NSE_EQ|4": 5.0}
    ages = {row.symbol: row.age_s(clock.wall_ns()) for row in watching.live.instruments.values()}
    assert ages == {"RELIANCE": 1.0, "TCS": 61.0, "MUTE": None, "NSE_EQ|4": 0.0}
    recording.receive({"NSE_EQ|1": 1415.0})
    assert prices(watching)["RELIANCE"] == 1415.0


def test_damaged_parts_cost_what_only_they_have(store: Store, recording: Recording, begin: Begin) -> None:
    recording.receive({"NSE_EQ|1": 1412.35})
    flushed(store, recording)
    for path in store.folder("ticks", DATE).iterdir():
        path.write_bytes(b"PAR1 was one once PAR1")
    recording.receive({"NSE_EQ|2": 1.0})
    assert prices(begin()) == {"NSE_EQ|1": 1412.35, "NSE_EQ|2": 1.0}


def rate(watching: Watch) -> float:
    watching.look()
    return watching.run.rate


def test_the_header_is_renewed_once_a_second(clock: HandClock, recording: Recording, begin: Begin) -> None:
    recording.say(rate=100.0)
    watching = begin()
    recording.say(rate=200.0)
    clock.pass_s(0.5)
    assert rate(watching) == 100.0
    clock.pass_s(0.5)
    assert rate(watching) == 200.0


def test_a_recorder_that_says_nothing_is_shown_as_stale(clock: HandClock, recording: Recording, begin: Begin) -> None:
    recording.receive({"a": 1.0})
    recording.say()
    watching = begin()
    clock.pass_s(300)
    watching.look()
    assert watching.run.state == "stale"
    assert "has said nothing since 09:41:07" in watching.run.reason
    assert watching.going


def test_another_date_begins_with_its_own_journal(clock: HandClock, recording: Recording, begin: Begin) -> None:
    recording.receive({"a": 1.0})
    recording.say(date="2026-11-22")
    watching = begin()
    assert prices(watching) == {}
    recording.say(date=str(DATE))
    clock.pass_s(1)
    assert prices(watching) == {"a": 1.0}


def test_what_an_earlier_run_of_the_date_recorded_is_not_shown(store: Store, clock: HandClock, begin: Begin) -> None:
    earlier = Recording(store, clock)
    earlier.receive({"a": 1.0})
    earlier.stop()
    clock.pass_s(60)
    later = Recording(store, clock, next_seq=3)
    later.receive({"b": 2.0})
    later.say()
    assert prices(begin()) == {"b": 2.0}
    later.die()


@pytest.mark.parametrize("how", ["die", "stop"])
def test_watching_ends_with_the_run(store: Store, clock: HandClock, how: str, begin: Begin) -> None:
    recording = Recording(store, clock)
    recording.receive({"a": 1.0})
    recording.say()
    watching = begin()
    watching.look()
    assert watching.going
    getattr(recording, how)()
    clock.pass_s(1)
    watching.look()
    assert not watching.going
    assert watching.report.died == (how == "die")


def test_watching_goes_on_while_the_day_is_sealed(clock: HandClock, recording: Recording, begin: Begin) -> None:
    recording.receive({"a": 1.0})
    recording.say(stop_ns=NOW)
    watching = begin()
    recording.append(EntryKind.CLOSED, encode_facts(reason="planned end"), conn=0)
    recording.say(state=STOPPED)
    clock.pass_s(1)
    watching.look()
    assert watching.going
    assert watching.run.state == "sealing the day"


@pytest.mark.usefixtures("recorded")
def test_the_date_is_graded_now_and_then(clock: HandClock, recording: Recording, begin: Begin) -> None:
    session = ["NSE_EQ", NOW - 60 * SECOND, NOW + 3600 * SECOND, "timings"]
    recording.append(EntryKind.NOTE, encode_facts(event="sessions", sessions=[session]), conn=0)
    recording.append(EntryKind.CONNECTED, encode_facts(host="h", attempt=1, keys=1))
    recording.append(EntryKind.SUBSCRIBED, encode_facts(mode="full", keys=[["NSE_EQ|1", "RELIANCE"]]))
    recording.receive({"NSE_EQ|1": 1412.35})
    recording.say()
    watching = begin()
    watching.look()
    clock.pass_s(10)

    def is_graded() -> bool:
        watching.look()
        return watching.grade != ""

    wait_for(is_graded, "it is graded")
    assert watching.grade == "D"  # the first minute of an hour is missing


def test_without_a_recorder_there_is_nothing_to_watch(begin: Begin) -> None:
    watching = begin()
    assert not watching.going
    watching.look()
    assert watching.live.instruments == {}
