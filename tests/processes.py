"""Real processes for tests: the simulated broker, and `tickrec` recording it."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tickrec.clock import SECOND, SystemClock

DEADLINE_NS = 60 * SECOND


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Return as soon as `condition` holds; fail after a minute."""
    nothing, deadline = threading.Event(), SystemClock.monotonic_ns() + DEADLINE_NS
    while not condition():
        assert SystemClock.monotonic_ns() < deadline, f"waited too long until {what}"
        nothing.wait(0.005)


def environment(folder: Path) -> dict[str, str]:
    """The environment of a user with a home of their own and the simulator's token."""
    return {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "UPSTOX_ACCESS_TOKEN": "simulated"}


def tickrec(*arguments: object, folder: Path, check: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; `check` is the exit code it must have."""
    command = [sys.executable, "-m", "tickrec", *map(str, arguments)]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert check is None or done.returncode == check, f"exit {done.returncode}: {done.stderr}"
    return done


@contextmanager
def running(*arguments: object, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that runs beside the block and is killed at its end if it still does."""
    command = [sys.executable, "-m", "tickrec", *map(str, arguments)]
    with subprocess.Popen(
        command, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def simulated_broker(folder: Path, *options: object) -> Iterator[Path]:
    """A simulated broker that logs what it sends to `folder`/sent; yields a config file that points to it."""
    with running("simulate", "--port", "0", "--sent-log", folder / "sent", *options, folder=folder) as process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        config = folder / "config.toml"
        config.write_text(f'[upstox]\napi_url = "{facts["api_url"]}"\nassets_url = "{facts["assets_url"]}"\n')
        yield config


def stop(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str]:
    """Send a signal and wait for the end; exit code and stderr."""
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def folder_bytes(folder: Path, pattern: str = "*") -> int:
    """Size of the files in a folder."""
    return sum(path.stat().st_size for path in folder.glob(pattern)) if folder.is_dir() else 0


__all__: Sequence[str] = ("folder_bytes", "running", "simulated_broker", "stop", "tickrec", "wait_for")
