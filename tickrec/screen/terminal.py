"""Terminal: the screen and the keys of somebody who looks, taken, and given back as they were found.

A terminal may stop taking text at any time: Ctrl-S, a slow line, a suspended window. Nothing here waits for one without
watching whether the recorder, whose end is seen on a pipe, is still there. On Windows see `windows_console`.
"""

import contextlib
import os
import select
import signal
import sys
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

LEAVE: Final = "\x1b[?2026l\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
"""Back from the alternate screen, with everything that a frame may have left on."""
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
"""Show nothing until the frame is complete; terminals that cannot do so ignore it."""
_ASCII: Final = str.maketrans(dict(zip("▲▼…›─●├┤▁▂▃▄▅▆▇█", "^v~>-o||_...---^", strict=True)))
_LEAVE_S: Final = 0.3
"""How long a terminal is waited for that does not take the text that gives it back."""
_MOST_WAITING: Final = 65_536
"""Bytes."""

Attributes = list[Any]
"""What termios knows of a terminal."""


class Size(NamedTuple):
    """Of a terminal."""

    width: int
    height: int


class Ended(Exception):
    """The recorder has ended, or the terminal is gone."""


class Terminal:
    """The terminal of a stream, from `with` to the end of it; a file for rich's Console to write to.

    With `keyboard`, stdin is read for keys. `recorder` is a pipe that ends with the recorder.
    """

    def __init__(self, fd: int, *, keyboard: int | None, recorder: int | None, encoding: str = "utf-8") -> None:
        self.encoding = encoding
        self._fd = fd
        self._keyboard = keyboard
        self._recorder = recorder
        self._out = reopened(fd)
        self._text: list[str] = []
        self._found: Attributes | None = None
        self._over = False
        self._resumed = False
        """Whether the process was stopped and goes on: others have used the terminal meanwhile."""

    @property
    def has_keyboard(self) -> bool:
        """Whether keys are taken."""
        return self._keyboard is not None

    @property
    def size(self) -> Size:
        """Columns and lines."""
        return size_of(self._fd)

    @property
    def foreground(self) -> bool:
        """Whether the terminal is ours to draw on."""
        return is_foreground(self._fd)

    def isatty(self) -> bool:
        """For rich."""
        return True

    def write(self, text: str) -> int:
        """Keep a text for `flush`."""
        self._text.append(text)
        return len(text)

    def flush(self) -> None:
        """Write what was kept. Raises Ended when the recorder ends meanwhile."""
        text, self._text = "".join(self._text), []
        if not text or self._over:
            return
        if not self.encoding.lower().startswith("utf"):
            text = text.translate(_ASCII)
        rest = memoryview(f"{_BEGIN}{text}{_END}".encode(self.encoding, "replace"))
        while rest:
            try:
                rest = rest[os.write(self._out, rest) :]
            except BlockingIOError:
                self._await_room()
            except OSError:
                self._over = True
                raise Ended from None

    def keys(self, seconds: float) -> bytes:
        """What was typed, within so long. Raises Ended."""
        keyboard = self._keyboard if self.foreground else None
        watched = [fd for fd in (keyboard, self._recorder) if fd is not None]
        ready, _, _ = select.select(watched, [], [], seconds)
        self._require_recorder(ready)
        if keyboard is None or keyboard not in ready:
            return b""
        try:
            data = os.read(keyboard, 1024)
        except OSError:  # taken into the background at this moment
            return b""
        if not data:
            self._over = True
            raise Ended
        return data

    def retake(self) -> bool:
        """Take the terminal again after others have had it; whether that was so."""
        resumed, self._resumed = self._resumed, False
        if resumed and self.foreground:
            self._take()
        return resumed

    def _await_room(self) -> None:
        watched = [] if self._recorder is None else [self._recorder]
        ready, _, _ = select.select(watched, [self._out], [])
        self._require_recorder(ready)

    def _require_recorder(self, ready: list[int]) -> None:
        if self._recorder in ready:
            self._over = True
            raise Ended

    def _take(self) -> None:
        import termios

        if self._found is not None:
            termios.tcsetattr(self._fd, termios.TCSANOW, taken(self._fd, self._found))

    def __enter__(self) -> Self:
        for name in ("SIGTSTP", "SIGTTOU", "SIGTTIN"):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        signal.signal(signal.SIGCONT, lambda *_: setattr(self, "_resumed", True))
        self._found = attributes(self._fd)
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        give_back(self._fd, self._found)
        with contextlib.suppress(OSError):
            os.close(self._out)


class Lines:
    """Text to a terminal that may stand still: what it does not take now waits for the next text.

    So nobody who logs is held up by Ctrl-S. The oldest is given up when it has become much.
    """

    def __init__(self, fd: int, encoding: str) -> None:
        self._out = reopened(fd)
        self._encoding = encoding
        self._waiting = b""

    def write(self, text: str) -> int:
        """Keep a text for `flush`."""
        self._waiting += text.encode(self._encoding, "replace")
        if len(self._waiting) > _MOST_WAITING:
            self._waiting = self._waiting[-_MOST_WAITING:].partition(b"\n")[2]
        return len(text)

    def flush(self) -> None:
        """Write what the terminal takes."""
        with contextlib.suppress(OSError):  # BlockingIOError among them; one that is gone takes nothing
            while self._waiting:
                self._waiting = self._waiting[os.write(self._out, self._waiting) :]


def size_of(fd: int) -> Size:
    """The size of a terminal; a usual one where it does not say."""
    try:
        width, height = os.get_terminal_size(fd)
    except OSError:
        width, height = 0, 0
    return Size(width or 80, height or 24)


def is_foreground(fd: int) -> bool:
    """Whether a terminal is this process group's to draw on. On Windows always."""
    if sys.platform == "win32":
        return True
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False


def attributes(fd: int) -> Attributes | None:
    """What termios knows of a terminal; None when it is none, or on Windows."""
    if sys.platform == "win32":
        return None
    import termios

    try:
        return termios.tcgetattr(fd)
    except termios.error:
        return None


def taken(fd: int, found: Attributes) -> Attributes:
    """The attributes of a terminal that is drawn on: no echo, no lines, no Ctrl-Z; Ctrl-C stays."""
    import termios

    changed = [*found[:6], [*found[6]]]
    changed[3] &= ~(termios.ECHO | termios.ICANON)
    changed[6][termios.VMIN], changed[6][termios.VTIME] = 1, 0
    changed[6][termios.VSUSP] = bytes([os.fpathconf(fd, "PC_VDISABLE")])
    return changed


def give_back(fd: int, found: Attributes | None) -> None:
    """Give a terminal back as it was found, without what was typed meanwhile. Waits for nothing, or shortly.

    Attributes that somebody else has changed since stay as they are: the shell may have the terminal already. SIGTTOU
    must be ignored.
    """
    if sys.platform == "win32":
        return
    import termios

    resume_output(fd)
    with contextlib.suppress(OSError):
        out = reopened(fd)
        _write_shortly(out, LEAVE.encode())
        os.close(out)
    with contextlib.suppress(termios.error):
        if found is not None and _is_taken(fd, termios.tcgetattr(fd)):
            termios.tcsetattr(fd, termios.TCSANOW, found)
            termios.tcflush(fd, termios.TCIFLUSH)


def _is_taken(fd: int, present: Attributes) -> bool:
    ours = taken(fd, present)
    return bool(ours[3] == present[3] and ours[6] == present[6])


def resume_output(fd: int) -> None:
    """Let a terminal that was stopped with Ctrl-S go on."""
    import termios

    with contextlib.suppress(OSError, termios.error):
        termios.tcflow(fd, termios.TCOOFF)  # Linux starts only what a program has stopped
        termios.tcflow(fd, termios.TCOON)


def reopened(fd: int) -> int:
    """The terminal at `fd` opened once more, not to block on it: whether that blocks is shared by all who have `fd`.

    Where it cannot be opened, it is the same open file. Raises OSError.
    """
    try:
        return os.open(os.ttyname(fd), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return os.dup(fd)


def _write_shortly(out: int, data: bytes) -> None:
    """Write a few bytes unless the terminal does not take them for some time. Raises OSError."""
    _, ready, _ = select.select([], [out], [], _LEAVE_S)
    if ready:
        with contextlib.suppress(BlockingIOError):
            os.write(out, data)
