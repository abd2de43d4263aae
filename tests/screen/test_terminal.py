"""Writing to terminals that do not take anything."""

import os
import pty
import termios
import threading

from tickrec.screen.terminal import Lines


def test_nobody_waits_for_a_terminal_that_stands_still() -> None:
    inner, outer = pty.openpty()
    lines = Lines(outer, "utf-8")

    def write() -> None:
        for number in range(5_000):
            lines.write(f"{number:05} {'x' * 90}\n")
            lines.flush()

    termios.tcflow(outer, termios.TCOOFF)  # as Ctrl-S does
    writing = threading.Thread(target=write, daemon=True)
    writing.start()
    writing.join(30)
    assert not writing.is_alive()
    termios.tcflow(outer, termios.TCOON)
    seen = b""
    while not seen.endswith(b"\r\n") or b"04999" not in seen:
        lines.flush()
        seen += os.read(inner, 65_536)
    numbers = [int(line.split()[0]) for line in seen.split(b"\r\n") if line]
    assert numbers == list(range(numbers[0], 5_000))
    assert len(numbers) > 100
    os.close(inner)
    os.close(outer)
