"""Two minutes of keys at the table, frame by frame, at three sizes."""

import pytest

from tests.screen.script import SIZES, frames, path_of


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_two_minutes_at_the_table_look_as_they_did(width: int, height: int) -> None:
    expected = path_of(width, height).read_text(encoding="utf-8").split("=== ")[1:]
    for seen, known in zip(frames(width, height), expected, strict=True):
        assert seen == f"=== {known}"
