"""How long silence may last, from how often an instrument ticks."""

import pytest

from tests.clocks import at
from tickrec.clock import SECOND
from tickrec.market.silence_rule import patience_ns, window_start

OPEN = at("2026-11-23T09:15")


@pytest.mark.parametrize(
    ("ticks", "span_s", "patience_s"),
    [(1800, 1800, 30), (600, 1800, 60), (60, 1800, 600), (20, 1800, 1800), (20, 10, 30), (19, 1800, None)],
    ids=["every second", "every three", "two a minute", "just enough", "a burst", "too few"],
)
def test_an_instrument_may_be_silent_for_twenty_times_its_spacing(
    ticks: int, span_s: int, patience_s: int | None
) -> None:
    assert patience_ns(ticks, span_s * SECOND) == (None if patience_s is None else patience_s * SECOND)


@pytest.mark.parametrize(
    ("last", "start"),
    [
        ("2026-11-23T10:00:59", "2026-11-23T09:30"),
        ("2026-11-23T10:01", "2026-11-23T09:31"),
        ("2026-11-23T09:20:30", "2026-11-23T09:15"),
    ],
)
def test_the_spacing_is_that_of_the_last_half_hour_of_the_session(last: str, start: str) -> None:
    assert window_start(at(last), OPEN) == at(start)
