"""Beside: the viewer as a process beside the recorder, from its start until the terminal is given back.

Owns what the recorder has of it: a process, the pipe whose end tells the viewer that the recorder has ended, and how
the terminal was found. Nothing here waits for a viewer for more than a second.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TextIO

from tickrec import children
from tickrec.screen.terminal import attributes, give_back, is_foreground

CLOSE_SECONDS: Final = 1.0
"""How long the viewer may take to go."""
_DUMB: Final = ("", "dumb", "unknown")


def can_show(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Whether the table can be shown there: a terminal that can move its cursor, and that is ours to draw on."""
    if stream is None or not stream.isatty():  # None: started with the stream closed
        return False
    if sys.platform == "win32":
        from rich.console import Console

        return not Console(file=stream).legacy_windows
    return environ.get("TERM", "") not in _DUMB and is_foreground(stream.fileno())


def suits_viewer(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Whether to show the table there unasked: where it can be shown, unless NO_COLOR is set."""
    return can_show(stream, environ) and not environ.get("NO_COLOR")


class Beside:
    """The viewer of a recorder, on the terminal of stdout: from `start` on, until `close`, or until it ends itself."""

    def __init__(self, data: Path, *, colours: str, gone: Callable[[str], None]) -> None:
        """`gone` is told when the viewer ends by itself, in a thread, with the last line that it wrote to stderr."""
        self._arguments = [str(data.absolute()), "--colours", colours]
        self._gone = gone
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: int | None = None
        self._found = attributes(1)
        self._waiting: threading.Thread | None = None
        self._closing = False
        self._ended = False

    @property
    def is_shown(self) -> bool:
        """Whether the terminal is the viewer's."""
        return self._process is not None and not self._ended

    def start(self) -> None:
        """Start the viewer, once. From the main thread. Without one, the recording is no worse."""
        if self._process is not None or self._closing:
            return
        for name in ("SIGTSTP", "SIGTTOU"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        with contextlib.suppress(OSError):
            self._process = self._started()
            self._waiting = threading.Thread(target=self._wait, name="viewer", daemon=True)
            self._waiting.start()

    def close(self) -> None:
        """Let the viewer end, and wait until the terminal is as it was found. Can be repeated."""
        self._closing = True
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                os.close(self._pipe)
            self._pipe = None
        if self._waiting is None or self._process is None:
            return
        self._waiting.join(CLOSE_SECONDS)
        if self._waiting.is_alive():
            self._process.kill()
            self._waiting.join(CLOSE_SECONDS)

    def _started(self) -> "subprocess.Popen[bytes]":
        """The process, in our group, so that it may draw. Its stdin is ours, for the keys."""
        if sys.platform == "win32":  # file descriptors are not inherited there, and keys come from the console
            command = children.command("tickrec.screen.viewer", *self._arguments, "--recorder", "0")
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=children.without_secrets()
            )
            assert process.stdin is not None
            self._pipe = os.dup(process.stdin.fileno())
            process.stdin.close()
            return process
        reading, self._pipe = os.pipe()
        try:
            command = children.command("tickrec.screen.viewer", *self._arguments, "--recorder", str(reading))
            return subprocess.Popen(command, stderr=subprocess.PIPE, env=children.without_secrets(), pass_fds=[reading])
        finally:
            os.close(reading)

    def _wait(self) -> None:
        """Until the process has ended, however it does: then the terminal is as it was."""
        assert self._process is not None
        assert self._process.stderr is not None
        said = self._process.stderr.read().decode("utf-8", "replace").strip()
        if self._process.wait() != 0:
            give_back(1, self._found)
        self._ended = True
        if not self._closing:
            self._gone(said.rpartition("\n")[2])
