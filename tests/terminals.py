"""Commands on a terminal of their own, as a shell would start them there."""

import fcntl
import os
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.processes import environment

_JOB: Final = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:], process_group=0).returncode)"


class Session:
    """A command whose stdin, stdout and stderr are one terminal; `seen` is everything that appeared on it."""

    def __init__(self, process: "subprocess.Popen[bytes]", inner: int, outer: int) -> None:
        self.process = process
        self.seen = ""
        self._inner = inner
        self._outer = outer

    def shows(self, text: str) -> bool:
        """Whether a text has appeared; takes in what came since."""
        os.set_blocking(self._inner, False)
        try:
            while data := os.read(self._inner, 1 << 16):
                self.seen += data.decode("utf-8", "replace")
        except OSError:  # nothing more, or nobody writes there any more
            pass
        return text in self.seen

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._inner, text.encode())

    @property
    def attributes(self) -> list[Any]:
        """What termios knows of the terminal."""
        return termios.tcgetattr(self._outer)

    @property
    def typed_ahead(self) -> int:
        """How many bytes of what was typed nobody has read; a shell would take them for a command."""
        return int.from_bytes(fcntl.ioctl(self._outer, termios.FIONREAD, bytes(4)), sys.byteorder)

    @property
    def viewer(self) -> int | None:
        """The pid of the viewer, if there is one."""
        listed = subprocess.run(["pgrep", "-P", str(self.process.pid), "-f", "screen.viewer"], capture_output=True)
        return int(listed.stdout.split()[0]) if listed.stdout.strip() else None


def foreground(terminal: int, command: Sequence[str]) -> list[str]:
    """The command line that runs a command in the foreground of a terminal, when it begins a new session.

    A session leader that opens a terminal has it as its own, and is in the foreground of it.
    """
    take = (
        f"import os, sys; os.close(os.open({os.ttyname(terminal)!r}, os.O_RDWR)); os.execv(sys.argv[1], sys.argv[1:])"
    )
    return [sys.executable, "-c", take, *command]


@contextmanager
def in_terminal(
    folder: Path, *arguments: object, columns: int = 100, lines: int = 30, background: bool = False
) -> Iterator[Session]:
    """A tickrec command in the foreground of a new terminal; in the `background`, as a shell's job that has `&`."""
    pty = pytest.importorskip("pty")
    inner, outer = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    command = [sys.executable, "-m", "tickrec", *map(str, arguments)]
    if background:
        command = [sys.executable, "-c", _JOB, *command]
    env = {**environment(folder), "TERM": "xterm"}
    with subprocess.Popen(
        foreground(outer, command), cwd=folder, env=env, stdin=outer, stdout=outer, stderr=outer, start_new_session=True
    ) as process:
        try:
            yield Session(process, inner, outer)
        finally:
            process.kill()
            os.close(inner)
            os.close(outer)
