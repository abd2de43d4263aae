"""Events a second."""

from tickrec.clock import SECOND
from tickrec.record.rate import Rate

NOW = 1_795_407_067 * SECOND


def test_a_rate_covers_the_last_seconds_only() -> None:
    rate = Rate()
    rates = [rate.sample(total, NOW + second * SECOND) for second, total in enumerate([0, 600, 1200, 1800, 2400, 3000])]
    assert rates == [0.0, 600.0, 600.0, 600.0, 600.0, 600.0]
    for second in range(6, 20):
        last = rate.sample(3000, NOW + second * SECOND)
    assert last == 0.0


def test_a_rate_survives_a_long_pause_between_samples() -> None:
    rate = Rate()
    rate.sample(0, NOW)
    rate.sample(100, NOW + SECOND)
    assert rate.sample(700, NOW + 61 * SECOND) == 10.0
