"""Frames written by a thread of their own, to terminals that read, lag, stop and go away."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from tickrec.screen.painter import ENTER, LEAVE, Painter, terminal_writer

DEADLINE = 10.0


class Terminal:
    """What was written, and a gate that stops writing."""

    def __init__(self) -> None:
        self.written = b""
        self.open = threading.Event()
        self.open.set()
        self.changed = threading.Condition()
        self.stuck = threading.Event()

    def write(self, data: bytes) -> int:
        if not self.open.is_set():
            self.stuck.set()
            self.open.wait()
        part = data[:7]  # a terminal may take less than it is given
        with self.changed:
            self.written += part
            self.changed.notify_all()
        return len(part)

    def text(self) -> str:
        return self.written.decode(errors="replace")

    def wait_for(self, what: str, count: int = 1) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.text().count(what) >= count, DEADLINE), self.text()


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture
def painter(terminal: Terminal) -> Iterator[Painter]:
    painter = Painter(terminal.write)
    painter.start()
    yield painter
    terminal.open.set()
    assert painter.close(DEADLINE)


def test_frames_are_written_between_entering_and_leaving(terminal: Terminal, painter: Painter) -> None:
    painter.offer(["hello ▲", "world"])
    terminal.wait_for("world")
    assert painter.close(DEADLINE)
    text = terminal.text()
    assert text.startswith(ENTER)
    assert text.endswith(LEAVE)
    assert "\x1b[1;1Hhello ▲\x1b[2;1Hworld" in text


def test_only_lines_that_changed_are_written_again(terminal: Terminal, painter: Painter) -> None:
    painter.offer(["same", "one"])
    terminal.wait_for("one")
    painter.offer(["same", "two"])
    terminal.wait_for("two")
    assert terminal.text().count("same") == 1


def test_everything_is_written_again_now_and_then(terminal: Terminal, painter: Painter) -> None:
    for number in range(25):
        painter.offer(["same", f"frame {number}."])
        terminal.wait_for(f"frame {number}.")
    assert terminal.text().count("same") == 2


def test_another_size_is_written_whole(terminal: Terminal, painter: Painter) -> None:
    painter.offer(["same", "one"])
    terminal.wait_for("one")
    painter.offer(["same", "one", "more"])
    terminal.wait_for("more")
    assert terminal.text().count("same") == 2


def test_a_stopped_terminal_delays_nobody_and_gets_only_the_newest_frame(terminal: Terminal, painter: Painter) -> None:
    painter.offer(["first"])
    terminal.wait_for("first")
    terminal.open.clear()
    painter.offer(["stuck"])
    assert terminal.stuck.wait(DEADLINE)
    for number in range(1000):
        painter.offer([f"frame {number}."])
    terminal.open.set()
    terminal.wait_for("frame 999.")
    assert "frame 998." not in terminal.text()


def test_closing_gives_up_on_a_terminal_that_has_stopped_and_can_be_repeated(
    terminal: Terminal, painter: Painter
) -> None:
    terminal.wait_for(ENTER)
    terminal.open.clear()
    painter.offer(["stuck"])
    assert terminal.stuck.wait(DEADLINE)
    assert not painter.close(0.01)
    terminal.open.set()
    assert painter.close(DEADLINE)
    assert terminal.text().endswith(LEAVE)


def test_a_terminal_that_goes_away_is_nobodys_trouble() -> None:
    def gone(data: bytes) -> int:
        raise OSError(5, "Input/output error")

    painter = Painter(gone)
    painter.start()
    painter.offer(["hello"])
    assert painter.close(DEADLINE)
    painter.offer(["again"])


def test_closing_what_was_never_started_is_harmless() -> None:
    assert Painter(lambda data: len(data)).close()


@pytest.mark.skipif(sys.platform == "win32", reason="pipes cannot be non-blocking there")
def test_a_descriptor_somebody_made_non_blocking_loses_nothing() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    write: Callable[[bytes], int] = terminal_writer(writing)
    sent = os.urandom(1 << 20)
    received: list[bytes] = []

    def send() -> None:
        rest = sent
        while rest:
            rest = rest[write(rest) :]
        os.close(writing)

    thread = threading.Thread(target=send)
    thread.start()
    while piece := os.read(reading, 1 << 16):
        received.append(piece)
    thread.join(DEADLINE)
    os.close(reading)
    assert b"".join(received) == sent


STUCK = """
import select, sys, threading
from tickrec.screen.painter import Painter, terminal_writer
stuck, plain = threading.Event(), terminal_writer(1)
def write(data):
    if not select.select([], [1], [], 0)[1]:
        stuck.set()
    return plain(data[:4096])
painter = Painter(write)
painter.start()
painter.offer(["x" * 1_000_000])
assert stuck.wait(10)
assert not painter.close(0.1)
sys.stderr.write("done")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="select asks sockets only there")
def test_the_interpreter_ends_although_the_thread_is_stuck() -> None:
    with subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.wait(DEADLINE) == 0  # nobody reads its stdout
            assert process.stderr is not None
            assert process.stderr.read() == b"done"
        finally:
            process.kill()
