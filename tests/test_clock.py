import os
from pathlib import Path

import pytest

from tests.schedule.fixtures import INDIA, NEW_YORK, NOW, UTC
from tickrec.clock import machine_offsets


def test_the_machine_s_zone_is_that_of_its_daemons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zones = next((path for path in (Path("/usr/share/zoneinfo"),) if path.is_dir()), None)
    if zones is None or os.name == "nt":
        pytest.skip("no zone files on this machine")
    monkeypatch.setenv("TZ", "Europe/London")
    assert machine_offsets(NOW, zones / "Asia/Kolkata") == (INDIA,)
    assert machine_offsets(NOW, zones / "America/New_York") == NEW_YORK.offsets
    assert machine_offsets(NOW, tmp_path / "none") == (UTC,)
