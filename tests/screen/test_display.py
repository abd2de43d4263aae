"""Colours, and the screen on a real terminal."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from typing import TextIO

import pytest

from tests.record.fixtures import NOW, connection, run_status
from tickrec.screen.display import Screen, can_show, page_width, print_status, put, suits_live
from tickrec.screen.live import Extent, LiveView, Row
from tickrec.screen.page import Page, Tone
from tickrec.screen.painter import ENTER, LEAVE
from tickrec.status.status import StatusReport

DEADLINE = 20.0
ROW = Row("RELIANCE", 1412.35, 1, 0.18, 1412.3, 1412.35, 3_104_512, None, 0.1)
VIEW = LiveView(run_status(), NOW, (ROW,), 0, Extent(8, 1412.35, 3_104_512, 0.0))


class Tty:
    """A pseudo-terminal of which everything that appears is collected."""

    def __init__(self, width: int, height: int) -> None:
        self.inner, self.outer = pty.openpty()
        self.resize(width, height)
        self.stream: TextIO = os.fdopen(self.outer, "w", encoding="utf-8")
        self.seen = ""
        self.changed = threading.Condition()
        threading.Thread(target=self._collect, daemon=True).start()

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.inner, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def wait_for(self, what: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: what in self.seen, DEADLINE), self.seen

    def _collect(self) -> None:
        try:
            while data := os.read(self.inner, 1 << 16):
                with self.changed:
                    self.seen += data.decode(errors="replace")
                    self.changed.notify_all()
        except OSError:
            return


@pytest.fixture
def tty() -> Iterator[Tty]:
    tty = Tty(80, 24)
    yield tty
    tty.stream.close()


def test_red_marks_what_needs_a_person_and_nothing_else(tty: Tty) -> None:
    run = run_status(connections=(connection(state="waiting", attempt=5, retry_ns=NOW + 4 * 10**9, reason="403"),))
    with Screen(tty.stream, {"TERM": "xterm"}) as screen:
        screen.show(VIEW)
        tty.wait_for("RELIANCE")
        assert "\x1b[1;31m" not in tty.seen
        screen.show(LiveView(run, NOW, (ROW,), 0, VIEW.extent))
        tty.wait_for("403")
    assert re.findall(r"\x1b\[1;31m([^\x1b]*)\x1b\[0m", tty.seen) == ["retry in 4s (5th)"]


def test_a_live_table_needs_a_terminal_that_moves_its_cursor(tty: Tty) -> None:
    assert can_show(tty.stream, {"TERM": "xterm"})
    assert not can_show(tty.stream, {"TERM": "dumb"})
    assert not can_show(tty.stream, {})
    assert not can_show(io.StringIO(), {"TERM": "xterm"})


def test_no_color_keeps_the_live_table_from_coming_unasked(tty: Tty) -> None:
    assert suits_live(tty.stream, {"TERM": "xterm"})
    assert suits_live(tty.stream, {"TERM": "xterm", "NO_COLOR": ""})
    assert not suits_live(tty.stream, {"TERM": "xterm", "NO_COLOR": "1"})


def test_the_screen_shows_views_and_gives_the_terminal_back(tty: Tty) -> None:
    with Screen(tty.stream, {"TERM": "xterm"}) as screen:
        screen.show(VIEW)
        tty.wait_for("RELIANCE")
    tty.wait_for(LEAVE)
    assert tty.seen.startswith(ENTER)
    assert "\x1b[1;36mtickrec\x1b[0m" in tty.seen


def test_the_screen_is_given_back_when_the_run_fails(tty: Tty) -> None:
    with pytest.raises(KeyboardInterrupt), Screen(tty.stream, {"TERM": "xterm"}):
        raise KeyboardInterrupt
    tty.wait_for(LEAVE)


def test_the_screen_follows_the_size_of_the_terminal(tty: Tty) -> None:
    with Screen(tty.stream, {"TERM": "xterm"}) as screen:
        screen.show(VIEW)
        tty.wait_for("\x1b[24;1H")
        assert "\x1b[40;1H" not in tty.seen
        tty.resize(120, 40)
        screen.show(VIEW)
        tty.wait_for("\x1b[40;1H" + " " * 120)


def test_no_color_leaves_bold_and_dim_but_no_colour(tty: Tty) -> None:
    with Screen(tty.stream, {"TERM": "xterm", "NO_COLOR": "1"}) as screen:
        screen.show(VIEW)
        tty.wait_for("RELIANCE")
    tty.wait_for(LEAVE)
    assert "\x1b[1mtickrec" in tty.seen
    assert set(re.findall(r"\x1b\[([0-9;]*)m", tty.seen)) <= {"0", "1", "2"}


def test_a_terminal_of_another_encoding_gets_letters_for_arrows() -> None:
    tty = Tty(80, 24)
    with (
        os.fdopen(os.dup(tty.outer), "w", encoding="latin-1") as stream,
        Screen(stream, {"TERM": "xterm"}) as screen,
    ):
        screen.show(VIEW)
        tty.wait_for("RELIANCE")
    tty.wait_for(LEAVE)
    assert "▲" not in tty.seen
    assert "1,412.35 ^" in tty.seen.replace("\x1b[1;36m", "")


STOPPED = """
import sys, termios
from tests.screen.test_display import VIEW
from tickrec.screen.display import Screen
with Screen(sys.stdout, {"TERM": "xterm"}) as screen:
    termios.tcflow(1, termios.TCOOFF)
    for _ in range(3):
        screen.show(VIEW)
sys.stderr.write("done")
"""


def test_a_terminal_stopped_by_its_user_does_not_hold_up_the_end(tty: Tty) -> None:
    command = [sys.executable, "-c", STOPPED]
    with subprocess.Popen(command, stdout=tty.outer, stderr=subprocess.PIPE, cwd=os.getcwd()) as process:
        try:
            assert process.wait(DEADLINE) == 0
            assert process.stderr is not None
            assert process.stderr.read() == b"done"
        finally:
            process.kill()
            termios.tcflow(tty.outer, termios.TCOON)


def test_a_page_is_printed_in_colour_on_a_terminal_and_plain_elsewhere(
    tty: Tty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    page = Page(30)
    page.say("stopped: nothing is recording", Tone.ALARM)
    put(page, tty.stream)
    tty.stream.flush()
    tty.wait_for("\x1b[1;31mstopped: nothing is recording\x1b[0m")
    plain = io.StringIO()
    put(page, plain)
    assert plain.getvalue() == "stopped: nothing is recording\n"


def test_pages_are_as_wide_as_the_terminal_and_wide_elsewhere(tty: Tty) -> None:
    assert page_width(tty.stream) == 80
    assert page_width(io.StringIO()) > 120


def test_status_is_printed_without_trailing_spaces() -> None:
    out = io.StringIO()
    print_status(StatusReport(state="recording", now_ns=NOW, run=run_status()), out)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("recording since 09:15:00 (pid 4121)")
    assert all(line == line.rstrip() for line in lines)
