"""When a websocket is pinged and given up, and where its data ends: by literals, without sockets and clocks."""

import pytest

from tickrec.clock import SECOND
from tickrec.upstox.liveness import Liveness, Look, Now

WALL = 1_795_404_600


def at(second: float, *, slept: float = 0.0, stepped: float = 0.0) -> Now:
    """So long after the opening; `slept` seconds of it without the monotonic clock, and the wall clock was set."""
    return Now(int((WALL + second + stepped) * SECOND), int((100 + second - slept) * SECOND))


def opened(mute: float = 60, patience: float = 60) -> Liveness:
    return Liveness(
        at(0),
        mute_ns=int(mute * SECOND),
        patience_ns=int(patience * SECOND),
        ping_interval_ns=20 * SECOND,
        ping_timeout_ns=20 * SECOND,
    )


def stamp(sent: float | None) -> int | None:
    """What the broker calls a moment so long after the opening; its clock is half an hour ahead."""
    return None if sent is None else int((WALL + sent + 1800) * SECOND)


def receive(line: Liveness, now: Now, sent: float | None, *, tick: bool = True) -> None:
    """A message of 100 bytes that the broker sent so long after the opening."""
    line.received(now, stamp(sent), 100)
    line.received_data(now, tick=tick)


def looks(line: Liveness, begin: int, end: int, *, quiet: bool = False) -> list[tuple[int, Look]]:
    """What each second says that does not say nothing; pings are sent, and never answered."""
    said: list[tuple[int, Look]] = []
    for second in range(begin, end):
        look = line.look(at(second), quiet=quiet)
        if look is Look.PING:
            line.pinged(at(second))
        if look is not Look.NOTHING:
            said.append((second, look))
    return said


def since(line: Liveness, now: Now) -> float:
    return line.missing_since(now.wall_ns) / SECOND - WALL


def test_a_ping_that_is_not_answered_in_time_is_the_end() -> None:
    assert looks(opened(), 1, 41) == [(20, Look.PING), (40, Look.NO_PONG)]


def test_a_ping_is_sent_at_every_interval_while_they_are_answered() -> None:
    line = opened(mute=1000)
    for second in range(1, 100):
        if line.look(at(second), quiet=False) is Look.PING:
            assert second % 20 == 0
            line.pinged(at(second))
            line.answered(at(second))
    assert line.due_ns() == at(100).mono_ns


def test_silence_is_mute_after_a_while_unless_it_is_quiet() -> None:
    line = opened(mute=10)
    assert looks(line, 1, 8) == []
    assert looks(line, 8, 15, quiet=True) == []
    assert looks(line, 15, 19) == []
    receive(line, at(19), 19)
    line = opened(mute=10, patience=15)
    receive(line, at(1), 1, tick=False)
    assert looks(line, 2, 17) == [(16, Look.MUTE)]


def test_a_tick_soon_after_the_opening_is_told() -> None:
    for second, prompt in ((9, True), (11, False)):
        line = opened()
        receive(line, at(1), 1, tick=False)
        assert not line.ticked_promptly
        receive(line, at(second), second)
        receive(line, at(second + 1), second + 1)
        assert line.ticked_promptly is prompt


def test_data_ends_with_the_last_message() -> None:
    line = opened()
    receive(line, at(1), 0.98)
    receive(line, at(5), 4.98)
    assert since(line, at(8)) == 5.0


def test_bytes_that_come_late_do_not_shorten_a_gap() -> None:
    """The network holds everything back from 5 s on, for 25 s; the broker has given up at 20 s."""
    line = opened()
    receive(line, at(5), 4.99)
    for sent in (5.24, 10.0, 19.99):
        receive(line, at(30), sent)
    assert since(line, at(30.1)) == 20.0


def test_a_quiet_line_that_answers_does_not_lengthen_a_gap() -> None:
    line = opened()
    receive(line, at(5), 4.99)
    line.pinged(at(20))
    line.answered(at(20))
    line.pinged(at(40))
    assert since(line, at(60)) == 20.0


def test_an_answer_counts_from_when_its_ping_was_sent_however_late_it_comes() -> None:
    line = opened()
    line.pinged(at(20))
    line.look(at(39), quiet=True)
    line.answered(at(20))
    assert since(line, at(45)) == 20.0


def test_a_message_without_a_stamp_is_taken_to_be_in_time() -> None:
    line = opened()
    receive(line, at(1), 0.9)
    receive(line, at(7), None)
    assert since(line, at(9)) == 7.0


def test_a_clock_of_the_broker_that_is_off_does_not_matter() -> None:
    for offset in (-19_800, -3, 0, 4, 1e6):
        line = opened()
        receive(line, at(1), 0.9 + offset)
        receive(line, at(7), 6.8 + offset)
        assert since(line, at(9)) == pytest.approx(6.9, abs=1e-6)


def test_one_stamp_that_is_far_ahead_costs_no_more_than_the_time_to_the_last_answered_ping() -> None:
    line = opened()
    receive(line, at(1), 0.9)
    receive(line, at(2), 19_800)
    line.pinged(at(20))
    line.answered(at(20))
    receive(line, at(33), 32.9)
    assert since(line, at(35)) == 20.0


def test_a_clock_that_was_set_back_does_not_put_the_end_into_the_future() -> None:
    line = opened()
    receive(line, at(50), 49.9)
    assert since(line, at(50, stepped=-3600)) == 50 - 3600
    assert line.look(at(60, stepped=-3600), quiet=False) is Look.PING
    assert since(line, at(60, stepped=-3600)) == 50 - 3600
    receive(line, at(61, stepped=-3600), 60.9)
    assert since(line, at(90, stepped=-3600)) == 61 - 3600


@pytest.mark.parametrize("slept", [0.0, 62.0], ids=["the monotonic clock goes on", "it stands still"])
def test_after_a_pause_the_socket_is_read_before_anything_is_judged(slept: float) -> None:
    """A process that was stopped, or a laptop that slept, for 62 s, with a ping under way."""
    line = opened()
    looks(line, 1, 8)
    receive(line, at(8), 7.99)
    line.pinged(at(8))
    assert looks(line, 8, 9) == []
    assert line.look(at(70, slept=slept), quiet=False) is Look.NOTHING
    receive(line, at(70.1, slept=slept), 22.0)
    line.answered(at(8))
    assert line.look(at(71, slept=slept), quiet=False) is not Look.NO_PONG
    assert line.look(at(71.5, slept=slept), quiet=False) is not Look.MUTE
    assert since(line, at(72, slept=slept)) == pytest.approx(22.01)


def test_after_a_pause_the_line_is_asked_at_once_whether_it_lives() -> None:
    line = opened()
    looks(line, 1, 8)
    receive(line, at(8), 7.99)
    assert looks(line, 8, 9) == []
    assert line.look(at(3600, slept=3590), quiet=False) is Look.PING


def test_after_a_pause_in_which_nothing_came_the_line_is_given_up_at_the_second_look() -> None:
    line = opened()
    looks(line, 1, 8)
    receive(line, at(8), 7.99)
    assert looks(line, 8, 9) == []
    assert line.look(at(70), quiet=False) is Look.PING
    line.pinged(at(70))
    assert line.look(at(71), quiet=False) is Look.MUTE
    assert since(line, at(71)) == 8.0


# What the broker leaves out


def caught_up(sizes: list[int], *, hole: float = 47.0, read: float = 70.0) -> list[bool]:
    """After a pause: late messages of these sizes, one a second from 9 s on, then one that was sent so much later."""
    line = opened()
    receive(line, at(8), 7.99)
    sent = [9.0 + place for place in range(len(sizes))]
    found = []
    assert line.may_have_skipped(at(read), stamp(sent[-1]))
    for moment, size in zip([*sent, sent[-1] + hole], [*sizes, 100], strict=True):
        found.append(line.has_skipped(at(read), stamp(moment)))
        line.received(at(read), stamp(moment), size)
    return found


def test_much_that_is_late_and_then_something_that_is_not_means_that_the_broker_has_left_something_out() -> None:
    assert caught_up([20_000] * 10) == [False] * 10 + [True]


def test_a_quiet_line_has_left_nothing_out() -> None:
    """Its messages fit into the socket, so that the broker could send at any time."""
    assert not any(caught_up([100] * 10, hole=40.0))


def test_a_broker_that_could_send_everything_has_left_nothing_out() -> None:
    assert not any(caught_up([20_000] * 60, hole=1.0))


def test_a_clock_that_is_set_makes_nothing_look_left_out() -> None:
    for stepped in (-60, 60):
        line = opened()
        for second in range(1, 60):
            receive(line, at(second), second - 0.01)
            line.received(at(second), stamp(second), 40_000)
        assert not line.has_skipped(at(61, stepped=stepped), stamp(61))
        line.received(at(61, stepped=stepped), stamp(61), 40_000)
        for second in (62, 63, 80):
            assert not line.has_skipped(at(second, stepped=stepped), stamp(second))
            line.received(at(second, stepped=stepped), stamp(second), 40_000)


def test_reads_that_follow_each_other_closely_are_not_looked_at_one_by_one() -> None:
    line = opened()
    receive(line, at(1), 0.99)
    assert not line.may_have_skipped(at(1.2), stamp(1.19))
    assert line.may_have_skipped(at(4.2), stamp(4.19))
