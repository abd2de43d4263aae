"""When to connect again, without a socket."""

import random

import pytest

from tickrec.upstox.reconnect import Backoff


@pytest.mark.parametrize("seed", range(20))
def test_delays_begin_below_a_second_double_and_stay_below_thirty(seed: int) -> None:
    backoff = Backoff(random.Random(seed))
    delays = [backoff.next_seconds() for _ in range(12)]
    for delay, ceiling in zip(delays, [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30], strict=True):
        assert ceiling / 2 <= delay <= ceiling
    backoff.reset()
    assert backoff.next_seconds() <= 1


def test_delays_are_not_the_same_for_everybody() -> None:
    assert len({Backoff(random.Random(seed)).next_seconds() for seed in range(20)}) == 20
