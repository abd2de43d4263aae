"""Which instruments are named as stale: those that are traded and do not tick, and nobody else."""

import pytest

from tests.clocks import HandClock
from tests.record.rhythms import CLOSE, HALT_MINUTES, OPEN, Listening, Market, instrument, message
from tickrec.clock import SECOND
from tickrec.market.silence_rule import LEAST_NS
from tickrec.record import stale
from tickrec.record.stale import ANSWER_NS, LOOK_SECONDS

A, B, C = "NSE_EQ|A", "NSE_EQ|B", "NSE_INDEX|C"
LATE_S = LOOK_SECONDS + ANSWER_NS / SECOND + LOOK_SECONDS
"""How much later than the rule says somebody may be named."""


class Two:
    """A and B trade every second and tick as often; B always does."""

    def __init__(self, *, answers: bool = True) -> None:
        self.listening = Listening([A, B, C], answers=answers)
        self.state = {A: (OPEN, 1), B: (OPEN, 1)}

    def run(self, seconds: int, *ticking: str, traded: tuple[str, ...] = (A, B)) -> None:
        for _ in range(seconds):
            now_ns = self.listening.clock.now_ns + SECOND
            self.state |= {key: (now_ns, self.state[key][1] + 1) for key in traded}
            self.listening.pass_second({key: self.state.get(key) for key in ticking}, self.state)

    @property
    def stale(self) -> list[str]:
        return [each.instrument.instrument_key for each in self.listening.staleness.stale()]

    @property
    def asked(self) -> list[str]:
        return [key for _, key in self.listening.asked]


@pytest.fixture
def two() -> Two:
    return Two()


def test_who_is_traded_and_does_not_tick_is_asked_for_again_and_named_until_it_ticks(
    two: Two, caplog: pytest.LogCaptureFixture
) -> None:
    two.run(600, A, B)
    last_ns = two.listening.clock.now_ns
    two.run(int(LEAST_NS / SECOND + LATE_S), B)
    ((stopped),) = two.listening.staleness.stale()
    assert (stopped.instrument.symbol, stopped.since_ns) == ("A", last_ns)
    assert two.asked == [A]
    two.run(600, B)
    assert two.asked == [A]
    two.run(int(LOOK_SECONDS), A, B)
    assert two.stale == []
    assert "A has stopped ticking at 09:25:00, though it is traded" in caplog.text


@pytest.mark.parametrize("traded", [False, True])
def test_a_halt_misses_nothing(two: Two, traded: bool) -> None:
    two.run(600, A, B)
    two.run(HALT_MINUTES * 60, B, traded=(A, B) if traded else (B,))
    assert bool(two.stale) is traded
    two.run(600, A, B)
    assert two.asked[0] == A
    assert two.stale == []


def test_who_is_traded_again_after_a_halt_and_is_not_sent_is_named(two: Two) -> None:
    two.run(600, A, B)
    two.run(120, B, traded=(B,))
    assert two.stale == []
    two.run(240, B)
    assert two.stale == [A]


def test_an_index_is_judged_by_when_it_was_computed(two: Two) -> None:
    two.run(600, A, B, C)
    two.run(60, A, B)
    assert two.stale == [C]


@pytest.mark.parametrize("answers", [False, True])
def test_who_is_not_answered_is_named(answers: bool) -> None:
    two = Two(answers=answers)
    two.run(600, A, B)
    two.listening.silent.add(A)
    two.run(60, B, traded=(B,))
    assert two.asked == [A]
    assert two.stale == [A]


@pytest.mark.parametrize("seconds", [10, 19])
def test_nobody_is_judged_by_a_few_ticks(two: Two, seconds: int) -> None:
    two.run(seconds, A, B)
    two.run(1800, B)
    assert two.asked == []


def test_a_silent_connection_is_no_matter_of_its_instruments(two: Two) -> None:
    two.run(600, A, B)
    two.run(59)
    assert two.asked == []
    two.listening.open()
    two.run(int(LEAST_NS / SECOND) - 5, B)
    assert two.asked == []
    two.run(30, B)
    assert two.stale == [A]


def test_a_new_connection_does_not_end_that_somebody_is_stale(two: Two) -> None:
    two.run(600, A, B)
    two.run(60, B)
    two.listening.open()
    two.run(5, B)
    assert two.stale == [A]
    two.run(60, A, B)
    assert two.stale == []


def test_others_on_another_connection_say_nothing(two: Two) -> None:
    two.run(600, A, B)
    two.listening.open(2)
    for _ in range(600):
        two.listening.clock.pass_s(1)
        two.listening.hear(message(1, two.listening.clock.now_ns, {C: None}), conn=2)
        two.listening.staleness.look(two.listening.clock.now_ns)
    assert two.asked == []


def test_outside_the_session_nobody_is_silent() -> None:
    two = Two()
    two.listening.clock = clock = HandClock(OPEN - 600 * SECOND)
    two.run(600, A, B)
    assert clock.now_ns == OPEN
    two.run(300, B)
    assert two.asked == []  # ticks before the session tell no rhythm
    clock.now_ns = CLOSE - 600 * SECOND
    two.run(595, A, B)
    two.run(600, B)
    assert two.asked == []


def test_nobody_is_stale_after_the_close(two: Two) -> None:
    two.listening.clock.now_ns = CLOSE - 720 * SECOND
    two.run(600, A, B)
    two.run(115, B)
    assert two.stale == [A]
    two.run(int(LOOK_SECONDS), B)
    assert two.stale == []


def test_a_flood_counts_as_ticks_of_everybody(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stale, "MOST_TICKS", 100)
    two.run(600, A, B)
    keys = [f"NSE_EQ|{number}" for number in range(stale.MOST_TICKS + 1)]
    flood = message(1, two.listening.clock.now_ns, dict.fromkeys(keys))
    for _ in range(60):
        two.run(1)
        two.listening.hear(flood)
        two.listening.hear(message(1, two.listening.clock.now_ns, {A: None}))
    assert two.asked == []
    two.run(60, B)
    assert two.stale == [A]


def test_in_a_market_of_all_rhythms_those_that_are_cut_off_are_named_and_nobody_else() -> None:
    """Halts, locked shares, bursts and the day's busy and quiet hours are all in it."""
    market = Market(16, seed=2)
    cut, listening = market.keys[:2], Listening(market.keys)  # one that ticks evenly, one in bursts
    market.play(listening, cut, 120, 180)
    assert len(listening.asked) > 12
    assert sorted(key for _, key in listening.named) == cut
    for named_ns, _ in listening.named:  # after twenty times its spacing
        assert 30 < (named_ns - OPEN) / SECOND - 120 * 60 < 240
    assert not list(listening.staleness.stale())


def test_instruments_that_are_not_wanted_are_passed_over(two: Two) -> None:
    assert instrument("NSE_EQ|X").symbol == "X"
    for _ in range(120):
        two.run(1, A, B)
        unwanted = message(1, two.listening.clock.now_ns, {"NSE_EQ|X": None})
        two.listening.hear(unwanted)
        two.listening.hear(unwanted.replace(b"|X", b"\xff\xfe"))  # a key that is no UTF-8
    two.run(120, A, B)
    assert two.asked == []
    two.run(60, B)
    assert two.stale == [A]
