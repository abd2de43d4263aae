"""The live table of a recorder that runs elsewhere, from files only."""

import asyncio
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.clocks import HandClock
from tests.record.fixtures import DATE, NOW, Recording
from tickrec import schema
from tickrec.journal.entry import EntryKind, encode_facts
from tickrec.market import instruments
from tickrec.screen import watch
from tickrec.screen.live import LiveView
from tickrec.screen.watch import Watch
from tickrec.status.runstatus import STOPPED
from tickrec.store.paths import Store


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def recording(store: Store, clock: HandClock) -> Iterator[Recording]:
    recording = Recording(store, clock)
    yield recording
    recording.die()


def prices(view: LiveView) -> dict[str, float | None]:
    return {row.symbol: row.ltp for row in view.rows}


def test_the_last_values_are_there_at_once(store: Store, clock: HandClock, recording: Recording) -> None:
    recording.receive({"a": 1.0, "b": 2.0})
    recording.receive({"a": 1.5})
    recording.say()
    assert prices(Watch(store, clock).view()) == {"a": 1.5, "b": 2.0}


def test_what_is_journalled_afterwards_appears(store: Store, clock: HandClock, recording: Recording) -> None:
    recording.receive({"a": 1.0})
    recording.say()
    watching = Watch(store, clock)
    watching.view()
    recording.receive({"a": 3.0, "c": 4.0})
    clock.pass_s(0.2)
    view = watching.view()
    assert prices(view) == {"a": 3.0, "c": 4.0}
    assert {row.age_s for row in view.rows} == {0.2}
    assert view.run.connections[0].last_message_ns == NOW


def test_only_the_end_of_a_long_journal_is_read(
    store: Store, clock: HandClock, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_BACK_BYTES", 2000)
    recording.receive({"early": 1.0})
    for number in range(100):
        recording.receive({"a": float(number + 1)})
    recording.say()
    watching = Watch(store, clock)
    assert prices(watching.view()) == {"a": 100.0}
    recording.receive({"b": 5.0})
    assert prices(watching.view()) == {"a": 100.0, "b": 5.0}


def test_symbols_come_from_the_instruments_of_the_date(store: Store, clock: HandClock, recording: Recording) -> None:
    path = store.instruments_path(DATE)
    path.parent.mkdir(parents=True)
    rows = [{"instrument_key": "NSE_EQ|INE002A01018", "symbol": "RELIANCE"}]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema.INSTRUMENTS), path)
    recording.receive({"NSE_EQ|INE002A01018": 1412.35, "NSE_EQ|INE0": 1.0})
    recording.say()
    assert prices(Watch(store, clock).view()) == {"RELIANCE": 1412.35, "NSE_EQ|INE0": 1.0}


def test_a_damaged_list_of_instruments_costs_the_symbols_only(
    store: Store, clock: HandClock, recording: Recording
) -> None:
    path = store.instruments_path(DATE)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1 was one once PAR1")
    recording.receive({"NSE_EQ|INE002A01018": 1412.35})
    recording.say()
    assert prices(Watch(store, clock).view()) == {"NSE_EQ|INE002A01018": 1412.35}


def test_a_flipped_bit_in_the_instruments_costs_the_symbols_only(
    store: Store, clock: HandClock, recording: Recording
) -> None:
    path = store.instruments_path(DATE)
    path.parent.mkdir(parents=True)
    instruments.write(pa.Table.from_pylist([{"instrument_key": "x", "symbol": "Sa"}], schema=schema.INSTRUMENTS), path)
    path.write_bytes(path.read_bytes().replace(b"Sa", b"\xd3a", 1))
    recording.receive({"x": 1412.35})
    recording.say()
    assert prices(Watch(store, clock).view()) == {"x": 1412.35}


def test_the_header_is_renewed_once_a_second(store: Store, clock: HandClock, recording: Recording) -> None:
    recording.say(rate=100.0)
    watching = Watch(store, clock)
    recording.say(rate=200.0)
    clock.pass_s(0.5)
    assert watching.view().run.rate == 100.0
    clock.pass_s(0.5)
    assert watching.view().run.rate == 200.0


def test_a_recorder_that_says_nothing_is_shown_as_stale(store: Store, clock: HandClock, recording: Recording) -> None:
    recording.receive({"a": 1.0})
    recording.say()
    watching = Watch(store, clock)
    clock.pass_s(300)
    view = watching.view()
    assert view.run.state == "stale"
    assert "has said nothing since 09:41:07" in view.run.reason
    assert watching.going


def test_another_date_begins_with_its_own_journal(store: Store, clock: HandClock, recording: Recording) -> None:
    recording.receive({"a": 1.0})
    recording.say(date="2026-11-22")
    watching = Watch(store, clock)
    assert prices(watching.view()) == {}
    recording.say(date=str(DATE))
    clock.pass_s(1)
    assert prices(watching.view()) == {"a": 1.0}


def test_what_an_earlier_run_of_the_date_recorded_is_not_shown(store: Store, clock: HandClock) -> None:
    earlier = Recording(store, clock)
    earlier.receive({"a": 1.0})
    earlier.stop()
    clock.pass_s(60)
    later = Recording(store, clock, next_seq=3)
    later.receive({"b": 2.0})
    later.say()
    assert prices(Watch(store, clock).view()) == {"b": 2.0}
    later.die()


@pytest.mark.parametrize("how", ["die", "stop"])
def test_watching_ends_with_the_run(store: Store, clock: HandClock, how: str) -> None:
    recording = Recording(store, clock)
    recording.receive({"a": 1.0})
    recording.say()
    watching = Watch(store, clock)
    views: list[LiveView] = []

    def show(view: LiveView) -> None:
        views.append(view)
        if len(views) == 10:
            getattr(recording, how)()

    asyncio.run(watching.until_over(show))
    assert 10 <= len(views) <= 14
    assert watching.report.died == (how == "die")


def test_watching_goes_on_while_the_day_is_sealed_and_ends_with_it(
    store: Store, clock: HandClock, recording: Recording
) -> None:
    recording.receive({"a": 1.0})
    recording.say(stop_ns=NOW)
    watching = Watch(store, clock)
    states: list[str] = []

    def show(view: LiveView) -> None:
        states.append(view.run.state)
        if len(states) == 4:
            recording.append(EntryKind.CLOSED, encode_facts(reason="planned end"), conn=0)
            recording.say(state=STOPPED)
        if len(states) == 20:
            recording.die()

    asyncio.run(watching.until_over(show))
    assert (states[0], states[10]) == ("recording", "sealing the day")
    assert 20 <= len(states) <= 24
    assert (watching.report.state, watching.report.reason) == ("stopped", "")


def test_without_a_recorder_there_is_nothing_to_watch(store: Store, clock: HandClock) -> None:
    watching = Watch(store, clock)
    assert not watching.going
    assert watching.view().rows == ()
    assert watching.view().now_ns == NOW
