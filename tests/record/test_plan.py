"""When a run begins and ends, by configuration, options and calendar."""

import datetime as dt
from pathlib import Path

import pytest

from tickrec.config import Config, load
from tickrec.market.calendar import Calendar
from tickrec.market.hours import at
from tickrec.record.plan import Options, plan_times

DATE = dt.date(2026, 11, 23)
"""A Monday, on which NSE is open."""
SUNDAY = DATE - dt.timedelta(days=1)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration with an end of its own."""
    path = tmp_path / "config.toml"
    path.write_text('[record]\nstop = "15:45"\n')
    return load(path, data=None, simulate=False, environ={"HOME": str(tmp_path)})


@pytest.mark.parametrize(
    ("begun", "options", "stop"),
    [
        ((DATE, dt.time(11)), {}, dt.time(15, 45)),
        ((SUNDAY, dt.time(11)), {}, dt.time(15, 45)),
        ((DATE, dt.time(15, 45)), {}, None),
        ((DATE, dt.time(18)), {}, None),
        ((DATE, dt.time(11)), {"until": dt.time(12)}, dt.time(12)),
        ((DATE, dt.time(11)), {"until": dt.time(17)}, dt.time(17)),
        ((DATE, dt.time(11)), {"duration": dt.timedelta(hours=6)}, dt.time(17)),
    ],
    ids=["in the session", "on a Sunday", "at the stop", "after it", "until", "until after it", "for"],
)
def test_without_the_calendar_the_configured_end_counts_while_it_is_to_come(
    config: Config, begun: tuple[dt.date, dt.time], options: dict[str, dt.time | dt.timedelta], stop: dt.time | None
) -> None:
    now_ns = at(*begun)
    asked = Options(symbols=("RELIANCE",), mode="full", now=True, **options)  # type: ignore[arg-type]
    times = plan_times(config, asked, Calendar(), {"NSE_EQ"}, now_ns)
    assert times.start_ns == now_ns
    assert times.stop_ns == (None if stop is None else at(begun[0], stop))


def test_with_the_calendar_a_run_ends_at_the_configured_end(config: Config) -> None:
    asked = Options(symbols=("RELIANCE",), mode="full")
    times = plan_times(config, asked, Calendar(), {"NSE_EQ"}, at(DATE, dt.time(8)))
    assert (times.start_ns, times.stop_ns) == (at(DATE, dt.time(9)), at(DATE, dt.time(15, 45)))
