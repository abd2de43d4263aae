import random

import pytest

from tickrec.clock import SECOND
from tickrec.upstox.limits import RATES
from tickrec.upstox.throttle import POLITE, Throttle


def moments(throttle: Throttle, count: int, took_ns: int = 0) -> list[int]:
    """When so many requests are made that each wait as long as they are told."""
    now, made = 5 * SECOND, []
    for _ in range(count):
        now += round(throttle.wait_s(now) * SECOND)
        throttle.made(now)
        made.append(now)
        now += took_ns
    return made


@pytest.mark.parametrize("took_ns", [0, 30_000_000, 200_000_000])
def test_no_limit_of_the_broker_is_reached(took_ns: int) -> None:
    made = moments(Throttle(), 4000, took_ns)
    for (most, seconds), (own, _) in zip(RATES, POLITE, strict=True):
        assert own < most
        span = int(seconds * SECOND)
        assert all(made[n + own] - made[n] >= span - 1 for n in range(len(made) - own))


def test_what_is_allowed_is_used() -> None:
    made = moments(Throttle(), 1801)
    assert made[449] - made[0] < 60 * SECOND
    assert made[1799] - made[0] < 240 * SECOND
    assert made[1800] - made[0] >= 1799 * SECOND


def test_a_few_requests_do_not_wait() -> None:
    throttle = Throttle([(3, 1.0)])
    assert moments(throttle, 4) == [5 * SECOND, 5 * SECOND, 5 * SECOND, 6 * SECOND]


def test_after_a_refusal_there_is_none_for_a_while() -> None:
    throttle, rng = Throttle(), random.Random(4)
    now = rng.randrange(10**15)
    assert throttle.wait_s(now) == 0
    throttle.hold(now, 60.0)
    assert throttle.wait_s(now + 20 * SECOND) == 40.0
    assert throttle.wait_s(now + 61 * SECOND) == 0
