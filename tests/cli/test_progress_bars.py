import io
import sys

import pytest

from tests.clocks import HandClock
from tickrec.cli.progress_bars import progress_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_takes_long_shows_how_far_it_is_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, terminal = HandClock(), Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_line("2026-11-23", after_s=2.0, clock=clock) as show:
        assert show is not None
        clock.pass_s(1.9)
        show(10.0, "sort")
        assert terminal.getvalue() == ""
        clock.pass_s(0.1)
        show(48.0, "sort")
        assert "2026-11-23 ############ " in terminal.getvalue()
        assert "48 %  sort" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_what_is_done_soon_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, terminal = HandClock(), Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_line(after_s=2.0, clock=clock) as show:
        assert show is not None
        show(99.0)
    assert terminal.getvalue() == ""


def test_nobody_is_shown_anything_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_line() as show:
        assert show is None
