import os
from pathlib import Path

import pytest

from tests.clocks import HandClock
from tests.schedule.fixtures import INDIA, NEW_YORK, NOW, UTC
from tickrec.clock import SECOND, machine_offsets, until_beat


def test_the_machine_s_zone_is_that_of_its_daemons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zones = next((path for path in (Path("/usr/share/zoneinfo"),) if path.is_dir()), None)
    if zones is None or os.name == "nt":
        pytest.skip("no zone files on this machine")
    monkeypatch.setenv("TZ", "Europe/London")
    assert machine_offsets(NOW, zones / "Asia/Kolkata") == (INDIA,)
    assert machine_offsets(NOW, zones / "America/New_York") == NEW_YORK.offsets
    assert machine_offsets(NOW, tmp_path / "none") == (UTC,)


@pytest.mark.parametrize(
    ("now", "every", "left"), [(10.0, 1.0, 1.0), (10.25, 1.0, 0.75), (10.25, 0.5, 0.25), (10.75, 0.5, 0.25)]
)
def test_those_who_wait_for_a_beat_wait_for_one_moment(now: float, every: float, left: float) -> None:
    assert until_beat(HandClock(int(now * SECOND)), every) == left


def test_who_is_woken_a_little_too_early_has_been_woken() -> None:
    assert until_beat(HandClock(10 * SECOND - 1)) == pytest.approx(1.0)
