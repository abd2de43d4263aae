"""Commands for tests: `tickrec` called in this process or run as one, and the simulated broker to record."""

import asyncio
import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tickrec.cli import COMMANDS, main
from tickrec.cli.common import app
from tickrec.clock import SECOND, SystemClock
from tickrec.serve.synthetic.simulator import Settings, Simulator

DEADLINE_NS = 60 * SECOND
MEMORY = Path("/proc/self/oom_score_adj")
"""Linux: whether a process is among the first to go when memory is short."""


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Return as soon as `condition` holds; fail after a minute."""
    nothing, deadline = threading.Event(), SystemClock.monotonic_ns() + DEADLINE_NS
    while not condition():
        assert SystemClock.monotonic_ns() < deadline, f"waited too long until {what}"
        nothing.wait(0.02)


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


def called(*arguments: object, folder: Path, check: int = 0, token: bool = True) -> subprocess.CompletedProcess[str]:
    """What `tickrec` does, but in this process: for what is no matter of processes. It finds no standard input."""
    said = {name: io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for name in ("stdout", "stderr")}
    environ, log, code = dict(os.environ), logging.getLogger("tickrec"), 0
    handlers, first_to_go = list(log.handlers), MEMORY.read_text() if MEMORY.exists() else ""
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        if arguments and arguments[0] in COMMANDS:  # as in a process of its own, which makes no other command
            import_module(f"tickrec.cli.{arguments[0]}")
            known = [each for each in app.registered_commands if getattr(each.callback, "__name__", "") == arguments[0]]
            patch.setattr(app, "registered_commands", known)
        os.environ.update(environment(folder))
        if not token:
            del os.environ["UPSTOX_ACCESS_TOKEN"]
        patch.setattr(sys, "argv", ["tickrec", *map(str, arguments)])
        patch.setattr(sys.modules["__main__"], "__package__", None)  # else it is called `python -m pytest.tickrec`
        for name, stream in said.items():
            patch.setattr(sys, name, stream)
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os.environ.clear()
            os.environ.update(environ)
            if first_to_go:
                MEMORY.write_text(first_to_go)
            for handler in {*log.handlers} - {*handlers}:
                log.removeHandler(handler)
                handler.close()
    out, err = (stream.buffer.getvalue().decode() for stream in said.values())
    assert code == check, f"exit {code}: {err}"
    return subprocess.CompletedProcess([], code, out, err)


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
def reading(path: Path) -> Iterator[Callable[[], int]]:
    """Another program holds a DuckDB file open; it tells how many ticks it sees."""
    program = (
        "import duckdb, sys\n"
        "with duckdb.connect(sys.argv[1], read_only=True) as session:\n"
        "    for line in sys.stdin:\n"
        "        print(session.execute('SELECT count(*) FROM ticks').fetchall()[0][0], flush=True)\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def count() -> int:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    try:
        count()
        yield count
    finally:
        process.communicate()


@contextmanager
def in_thread(simulator: Simulator) -> Iterator[Simulator]:
    """A simulated broker in a thread of its own."""
    ready, loops = threading.Event(), list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()

    async def serve() -> None:
        async with simulator:
            loops.append((asyncio.get_running_loop(), asyncio.Event()))
            ready.set()
            await loops[0][1].wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(DEADLINE_NS / SECOND)
    try:
        yield simulator
    finally:
        loop, over = loops[0]
        loop.call_soon_threadsafe(over.set)
        thread.join()


@contextmanager
def simulated_broker(folder: Path, **settings: Any) -> Iterator[Path]:
    """A simulated broker that logs what it sends to `folder`/sent; yields a config file that points to it."""
    usual: dict[str, Any] = {"rate": 1100.0, "interval": 0.2, "strikes": 2, "sent_log": folder / "sent"}
    with in_thread(Simulator(Settings(**usual | settings))) as simulator:
        config, url = folder / "config.toml", simulator.api_url
        config.write_text(f'[upstox]\napi_url = "{url}"\nassets_url = "{url}"\n')
        yield config


def stop(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str]:
    """Send a signal and wait for the end; exit code and stderr."""
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def folder_bytes(folder: Path, pattern: str = "*") -> int:
    """Size of the files in a folder."""
    return sum(path.stat().st_size for path in folder.glob(pattern)) if folder.is_dir() else 0
