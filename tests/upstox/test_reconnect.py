"""When to connect again, without a socket."""

import random

import pytest

from tickrec.upstox.protocol import Failure, Situation
from tickrec.upstox.reconnect import PATIENCE, Next, Reconnect

MUTE_S = 60.0
DROPPED, MUTE = Failure(Situation.DROPPED), Failure(Situation.MUTE)
TIMEOUT = Failure(Situation.TIMEOUT, "authorize")
REFUSED = Failure(Situation.TOKEN_REFUSED, "authorize", 401)
REFUSED_TWICE = Failure(Situation.TOKEN_REFUSED_TWICE, "authorize", 401)
BUG, BUG_CONNECTING = Failure(Situation.UNEXPECTED), Failure(Situation.UNEXPECTED, "connecting")


class Longest(random.Random):
    """Always the longest delay."""

    def uniform(self, a: float, b: float) -> float:
        return b


def fresh() -> Reconnect:
    return Reconnect(Longest(), MUTE_S)


def websocket(one: Reconnect, *, proven: bool = True, ticked_promptly: bool = False) -> None:
    """Opened, and ended."""
    one.opened()
    one.ended(proven=proven, ticked_promptly=ticked_promptly)


def test_attempts_that_fail_are_counted_and_further_and_further_apart() -> None:
    one = fresh()
    assert [one.failed(TIMEOUT).delay for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert one.failed_attempts == 7


def test_only_a_websocket_that_proved_itself_begins_again_with_the_shortest_delay() -> None:
    one = fresh()
    one.failed(TIMEOUT)
    websocket(one, proven=False)
    assert one.failed(DROPPED) == Next(DROPPED, 2)
    assert one.failed_attempts == 2
    websocket(one)
    assert one.failed(DROPPED) == Next(DROPPED, 1)
    assert one.failed_attempts == 0
    assert one.failed(TIMEOUT) == Next(TIMEOUT, 2)
    assert one.failed_attempts == 1


def test_each_time_that_a_feed_is_mute_after_its_snapshot_silence_may_last_twice_as_long() -> None:
    one = fresh()
    found = []
    for _ in range(6):
        websocket(one)
        one.failed(MUTE)
        found.append(one.patience / MUTE_S)
    assert found == [2, 4, 8, PATIENCE, PATIENCE, PATIENCE]
    websocket(one)
    one.failed(DROPPED)
    assert one.patience == PATIENCE * MUTE_S


def test_a_feed_that_is_mute_without_a_snapshot_gets_no_more_patience() -> None:
    one = fresh()
    websocket(one, proven=False)
    one.failed(MUTE)
    assert one.patience == MUTE_S


def test_a_tick_soon_after_the_opening_ends_the_patience() -> None:
    one = fresh()
    websocket(one)
    one.failed(MUTE)
    websocket(one, ticked_promptly=True)
    assert one.patience == MUTE_S
    one.failed(MUTE)
    assert one.patience == 2 * MUTE_S


def test_a_token_refused_twice_is_refused_for_good() -> None:
    one = fresh()
    assert one.failed(REFUSED, token_is_new=False) == Next(REFUSED, 1)
    assert one.failed(TIMEOUT) == Next(TIMEOUT, 2)
    assert one.failed(REFUSED, token_is_new=False) == Next(REFUSED_TWICE, None)


def test_a_token_that_opened_a_websocket_meanwhile_has_two_tries_again() -> None:
    one = fresh()
    one.failed(REFUSED, token_is_new=False)
    websocket(one)
    assert one.failed(REFUSED, token_is_new=False) == Next(REFUSED, 1)


def test_another_token_is_tried_at_once_and_has_two_tries_of_its_own() -> None:
    one = fresh()
    one.failed(REFUSED, token_is_new=False)
    assert one.failed(REFUSED, token_is_new=True) == Next(REFUSED, 0)
    assert one.failed(REFUSED, token_is_new=False) == Next(REFUSED, 2)
    assert one.failed(REFUSED, token_is_new=False) == Next(REFUSED_TWICE, None)


def test_a_source_of_ever_new_bad_tokens_makes_no_loop_without_pause() -> None:
    one = fresh()
    assert [one.failed(REFUSED, token_is_new=True).delay for _ in range(4)] == [0, 1, 2, 4]
    websocket(one)
    assert one.failed(REFUSED, token_is_new=True).delay == 0


def test_sources_that_cannot_be_read_do_not_count_as_a_refusal() -> None:
    one = fresh()
    one.failed(REFUSED, token_is_new=False)
    assert one.failed(BUG_CONNECTING) == Next(BUG_CONNECTING, 2)
    assert one.unexpected


def test_an_error_that_nobody_expected_is_known_until_a_websocket_proves_itself() -> None:
    one = fresh()
    one.failed(BUG_CONNECTING)
    assert one.unexpected
    websocket(one, proven=False)
    one.failed(DROPPED)
    assert one.unexpected
    websocket(one)
    assert not one.unexpected
    one.failed(BUG)
    assert not one.unexpected


@pytest.mark.parametrize("seed", range(20))
def test_delays_begin_below_a_second_double_and_stay_below_thirty(seed: int) -> None:
    one = Reconnect(random.Random(seed), MUTE_S)
    delays = [one.failed(TIMEOUT).delay or 0.0 for _ in range(12)]
    for delay, ceiling in zip(delays, [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30], strict=True):
        assert ceiling / 2 <= delay <= ceiling
    websocket(one)
    assert (one.failed(DROPPED).delay or 0.0) <= 1


def test_delays_are_not_the_same_for_everybody() -> None:
    assert len({Reconnect(random.Random(seed), MUTE_S).failed(TIMEOUT).delay for seed in range(20)}) == 20
