"""The folder of a query's temporary files goes with its process, however that ends."""

import os
from pathlib import Path

import pytest

from tickrec.query.spill import Spill


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, in this process and in those it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


def aged(folder: Path) -> Path:
    """The folder with a lock that was made an hour ago."""
    os.utime(folder / "lock", (1, 1))
    return folder


def test_a_folder_is_there_until_it_is_removed(temporary: Path) -> None:
    spill = Spill()
    (spill.path / "block").write_bytes(b"x")
    assert spill.path.parent == temporary
    spill.remove()
    spill.remove()
    assert not any(temporary.iterdir())


def test_what_nobody_holds_is_removed_by_the_next_and_nothing_else(temporary: Path) -> None:
    held, left, young, other = Spill(), Spill(), Spill(), temporary / "tickrec-query-without-lock"
    for spill in (left, young):
        spill._lock.release()
    for spill in (held, left):
        aged(spill.path)
    other.mkdir()
    new = Spill()
    assert set(temporary.iterdir()) == {held.path, young.path, other, new.path}
    held.remove()
    new.remove()
