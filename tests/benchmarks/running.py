"""The processes of a measurement: a feeder, and `tickrec record` recording it just as a user would run it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tests.benchmarks.pool import Pool, Quotes, Sums
from tests.terminals import foreground
from tickrec.clock import SystemClock
from tickrec.store.paths import Store


class Feed:
    """A feeder that runs."""

    def __init__(self, output: IO[str]) -> None:
        self._output = output
        self._facts: dict[str, Any] = {}
        self.url: str = self.event("api_url")

    def event(self, name: str) -> Any:
        """What the feeder says of an event, once it has come."""
        while name not in self._facts:
            line = self._output.readline()
            if not line:
                raise RuntimeError(f"the feeder ended before: {name}")
            self._facts |= json.loads(line)
        return self._facts[name]

    def sums(self) -> Sums:
        """Everything that was sent, once it has been read by the other side."""
        return Sums(*self.event("sums"))

    @staticmethod
    def now() -> int:
        """The clock of the events."""
        return SystemClock.monotonic_ns()


@contextmanager
def feeding(pool: Pool, messages: int, rate: float = 0.0) -> Iterator[Feed]:
    """A feeder, for the length of the block."""
    command = [sys.executable, "-m", "tests.benchmarks.feeder", pool.path, "--messages", messages, "--rate", rate]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Feed(process.stdout)
        finally:
            process.kill()


class Recorder:
    """A `tickrec record` that runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", store: Store) -> None:
        self.process = process
        self.store = store

    @property
    def pid(self) -> int:
        """The recording process itself."""
        return self.process.pid

    def stop(self) -> None:
        """Stop it as a user does, and wait until everything is stored."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=300)
        if code:
            raise RuntimeError(f"the recorder ended with exit code {code}; see {self.store.root}/state/tickrec.log")


def environment(folder: Path) -> dict[str, str]:
    """The environment of a user with the feeder's token and a home of their own."""
    settings = {"HOME": folder, "XDG_CONFIG_HOME": folder, "UPSTOX_ACCESS_TOKEN": "simulated", "TERM": "xterm-256color"}
    return {**os.environ, **{name: str(value) for name, value in settings.items()}}


def settings(folder: Path, url: str, config: str = "") -> list[str]:
    """A config file for a server, and the options that name it."""
    folder.mkdir(parents=True, exist_ok=True)
    upstox = f'[upstox]\napi_url = "{url}"\nassets_url = "{url}"\n'
    (folder / "config.toml").write_text(upstox + config)
    return ["--config", f"{folder}/config.toml", "--data", f"{folder}/data"]


@contextmanager
def recording(
    folder: Path,
    url: str,
    keys: Sequence[str] = (),
    *,
    config: str = "",
    command: Sequence[str] = ("tickrec", "record"),
    terminal: int = -1,
) -> Iterator[Recorder]:
    """A recorder of a server, with a viewer if it has a terminal, in whose foreground it is then.

    `keys` are what it records, those of a feeder unless given. `command` is a module and its first arguments.
    """
    options = ["--symbols", f"@{folder}/keys.txt", "--mode", "full", "--now"]
    live = ["--no-live"] if terminal < 0 else ["--live"]
    whole = [sys.executable, "-m", *command, *settings(folder, url, config), *options, *live]
    (folder / "keys.txt").write_text("\n".join(keys or Quotes().keys))
    output = subprocess.DEVNULL if terminal < 0 else terminal
    with subprocess.Popen(
        whole if terminal < 0 else foreground(terminal, whole),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.DEVNULL,
        env=environment(folder),
        start_new_session=terminal >= 0,
    ) as process:
        try:
            yield Recorder(process, Store(folder / "data"))
        finally:
            process.kill()


@contextmanager
def terminal(columns: int, lines: int) -> Iterator[int]:
    """A terminal of a size, whose output is read and thrown away; its descriptor."""
    import fcntl
    import pty
    import struct
    import termios
    import threading

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read() -> None:
        try:
            while os.read(ours, 65536):
                pass
        except OSError:  # the other end is closed
            pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield theirs
    finally:
        os.close(theirs)
        reader.join()
        os.close(ours)
