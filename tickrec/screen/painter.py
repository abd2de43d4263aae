"""Painter: whole screens of text to a terminal, written by a thread of their own.

A terminal may stop reading at any time: Ctrl-S, a slow line, a suspended window. Whoever records must not notice, so
frames are handed over and never waited for: the newest replaces the ones that were not written yet, and a terminal
that has stopped cannot hold up the end of the program either. Nothing here goes through sys.stdout, whose lock a
stuck thread would take into the interpreter's shutdown. Knows nothing of what is on the screen.
"""

import os
import select
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Final

ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[2J"
"""The alternate screen, without a cursor, empty."""
LEAVE: Final = "\x1b[0m\x1b[?25h\x1b[?1049l"
_BEGIN: Final = "\x1b[?2026h\x1b[?7l"
"""Show nothing until the frame is complete (terminals that cannot do so ignore it), and do not wrap lines."""
_END: Final = "\x1b[?7h\x1b[?2026l"
_REPAINT_EVERY: Final = 20
"""Frames between two that are written whole, in case something else wrote to the terminal."""
_CLOSE_SECONDS: Final = 1.0

Write = Callable[[bytes], int]
"""Writes some of the bytes and says how many; may block; raises OSError when the terminal is gone."""


class Painter:
    """Takes frames and writes the newest, on the alternate screen, until closed.

    A frame is a list of lines, each as wide as the terminal, escape sequences included.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._changed = threading.Condition()
        self._next: tuple[str, ...] | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="painter", daemon=True)

    def start(self) -> None:
        """Take the screen."""
        self._thread.start()

    def offer(self, lines: Sequence[str]) -> None:
        """Write these lines next, in place of any that still wait. Returns at once."""
        with self._changed:
            self._next = tuple(lines)
            self._changed.notify()

    def close(self, timeout: float = _CLOSE_SECONDS) -> bool:
        """Give the screen back; False when the terminal does not take it within `timeout` seconds. Can be repeated."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._put(ENTER)
            self._paint()
            self._put(LEAVE)
        except OSError:  # the terminal is gone, and with it anybody to tell
            return

    def _paint(self) -> None:
        before: tuple[str, ...] = ()
        painted = 0
        while (lines := self._take()) is not None:
            whole = painted % _REPAINT_EVERY == 0 or len(lines) != len(before)
            if text := _frame(lines, () if whole else before):
                self._put(text)
            before = lines
            painted += 1

    def _take(self) -> tuple[str, ...] | None:
        """The newest frame, when there is one; None when the painter is to close."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._next is not None)
            lines, self._next = self._next, None
            return None if self._closing else lines

    def _put(self, text: str) -> None:
        rest = memoryview(text.encode())
        while rest:
            rest = rest[self._write(rest.tobytes()) :]


def _frame(lines: tuple[str, ...], before: tuple[str, ...]) -> str:
    """The text that turns a screen of `before` into `lines`; nothing when they are equal."""
    changed = [
        f"\x1b[{number};1H{line}"
        for number, line in enumerate(lines, 1)
        if number > len(before) or line != before[number - 1]
    ]
    return f"{_BEGIN}{''.join(changed)}{_END}" if changed else ""


def terminal_writer(fd: int) -> Write:
    """What writes to the terminal at a file descriptor, whatever else writes there."""
    if sys.platform == "win32":
        return open("CONOUT$", "wb", buffering=0).write

    def write(data: bytes) -> int:
        while True:
            try:
                return os.write(fd, data)
            except BlockingIOError:  # somebody made the terminal non-blocking
                select.select([], [fd], [])

    return write


def resume_output(fd: int) -> None:
    """Let a terminal that was stopped with Ctrl-S go on, if it is ours to say so."""
    if sys.platform == "win32":
        return
    import termios

    try:
        if os.tcgetpgrp(fd) == os.getpgrp():
            termios.tcflow(fd, termios.TCOOFF)  # Linux starts only what a program has stopped
            termios.tcflow(fd, termios.TCOON)
    except (OSError, termios.error):  # not a terminal, or no longer
        return
