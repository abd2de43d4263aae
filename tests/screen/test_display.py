"""Pages as they are printed: in colour on a terminal, plain elsewhere."""

import io
import os
import pty

import pytest

from tests.record.fixtures import NOW, run_status
from tickrec.screen.display import page_width, put
from tickrec.screen.lines import Page, Tone
from tickrec.screen.report import status_page
from tickrec.status.status import StatusReport


def test_a_page_is_printed_in_colour_on_a_terminal_and_plain_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    page = Page(60)
    page.say("stopped: nothing is recording", Tone.ALARM)
    inner, outer = pty.openpty()
    with os.fdopen(outer, "w") as terminal:
        put(page, terminal)
        terminal.flush()
        assert b"\x1b[1;31mstopped: nothing is recording\x1b[0m" in os.read(inner, 1000)
        monkeypatch.setenv("NO_COLOR", "1")
        put(page, terminal)
        terminal.flush()
        assert b"31m" not in os.read(inner, 1000)
    os.close(inner)
    plain = io.StringIO()
    put(page, plain)
    assert plain.getvalue() == "stopped: nothing is recording\n"


def test_pages_are_wide_where_there_is_no_terminal() -> None:
    assert page_width(io.StringIO()) > 120


def test_status_is_printed_without_trailing_spaces() -> None:
    out = io.StringIO()
    put(status_page(StatusReport(state="recording", now_ns=NOW, run=run_status()), page_width(out)), out)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("recording since 09:15:00 (pid 4121)")
    assert all(line == line.rstrip() for line in lines)
