"""What the owner is told when a day is done."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.days import DATE
from tickrec.config import load
from tickrec.record.done_message import tell_done, words_of

WHOLE: dict[str, Any] = {
    "date": "2026-11-27",
    "grade": "A",
    "gaps": [],
    "instruments": [{"ticks": 10_000_000}, {"ticks": 244_871}, {"ticks": 0}],
}
GAP = {"conn": 1, "seconds": 3.4}


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "2026-11-27 grade A, 1,02,44,871 ticks of 2 instruments, no gaps"),
        ({"gaps": [GAP]}, "2026-11-27 grade A, 1,02,44,871 ticks of 2 instruments, 1 gap (3.4s)"),
        (
            {"grade": "F", "gaps": [GAP, GAP | {"seconds": None}, GAP | {"seconds": 180.0}]},
            "2026-11-27 grade F, 1,02,44,871 ticks of 2 instruments, 3 gaps (3m 03s)",
        ),
        ({"grade": "F", "instruments": []}, "2026-11-27 grade F, 0 ticks of 0 instruments, no gaps"),
    ],
)
def test_a_day_is_told_in_one_line(facts: dict[str, Any], words: str) -> None:
    assert words_of(WHOLE | facts) == words


async def test_a_check_that_hangs_does_not_keep_the_run_from_ending(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"[record]\non_done = \"touch '{tmp_path}/told'\"\n")
    config = load(path, data=None, simulate=False, environ={"HOME": str(tmp_path)})
    await tell_done(config, DATE, check_seconds=0.0)  # as if it hung
    assert f"{DATE} could not be checked, so that on_done is not run: it took more than" in caplog.text
    assert "told" not in os.listdir(tmp_path)
