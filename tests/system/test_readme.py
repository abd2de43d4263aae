"""The README's promises are kept: its commands run, its queries answer, its programs run."""

import json
import re
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import tickrec as package
from tests import ROOT
from tests.processes import called, environment, folder_bytes, running, tickrec, wait_for
from tickrec.query import examples
from tickrec.store.paths import Store

README = (ROOT / "README.md").read_text()
BLOCKS: list[str] = re.findall(r"^```sh\n(.*?)\n```$", README, re.M | re.S)
TRIED = ("schedule", "doctor", "login", "status", "query")


def block(word: str) -> str:
    """The first command of the README with a word in it."""
    return next(text for text in BLOCKS if word in text)


def arguments(command: str) -> list[str]:
    """What follows `tickrec` in a command line."""
    words = shlex.split(command)
    return words[next(n for n, word in enumerate(words) if word.endswith("tickrec")) + 1 :]


def test_the_first_command_records_the_second_terminal_is_answered_and_the_python_recipe_runs(tmp_path: Path) -> None:
    store = Store(tmp_path / "data" / "simulated")
    with running(*arguments(block("record --simulate")), folder=tmp_path) as process:
        wait_for(lambda: any(folder_bytes(store.journal(date)) > 200_000 for date in store.dates()), "it records")
        answer = tickrec(*arguments(block("query --simulate")), folder=tmp_path).stdout.splitlines()
        with package.open(store.root) as day:
            for sql in queries():
                day.sql(sql).arrow().read_all()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0
    assert "Traceback" not in said
    assert not Store(tmp_path / "data").dates(), "made-up ticks are never among real ones"
    assert len(answer) == 6
    assert answer[0].split()[0] == "symbol"
    code = python("tickrec.open").replace('"data"', '"data/simulated"')
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "symbol" in done.stdout


def python(word: str) -> str:
    """The first piece of Python of the README with a word in it."""
    blocks: list[str] = re.findall(r"```python\n(.*?)\n```", README, re.S)
    return next(block for block in blocks if word in block)


def queries() -> list[str]:
    """Every query of the README and of the help."""
    table = [text for text in re.findall(r"`(FROM [^`]+)`", README)]
    assert len(table) > 5
    return table + [each.sql for each in examples.EXAMPLES]


@pytest.mark.parametrize("client", ["upstox_client", "websockets.connect"])
def test_a_program_is_pointed_at_a_server_of_ours_as_printed(client: str, tmp_path: Path) -> None:
    with running("simulate", "--port", "0", folder=tmp_path) as server:
        assert server.stdout is not None
        address = json.loads(server.stdout.readline())["api_url"].removeprefix("http://")
        code = python(client).replace("127.0.0.1:8790", address)
        program = subprocess.Popen(
            [sys.executable, "-u", "-c", code],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with program:
            assert program.stdout is not None
            killer = threading.Timer(60, program.kill)
            killer.start()
            seen = 0
            for line in program.stdout:
                seen += "NSE_EQ|INE002A01018" in line
                if seen == 3:
                    break
            killer.cancel()
            program.kill()
    assert seen == 3, "a snapshot and two live messages"


@pytest.mark.parametrize("command", [text for text in BLOCKS if text.split()[0].endswith("tickrec")])
def test_its_commands_have_the_options_they_use(command: str, tmp_path: Path) -> None:
    name, *rest = arguments(command)
    shown = called(name, "--help", folder=tmp_path).stdout
    assert all(word.partition("=")[0] in shown for word in rest if word.startswith("--"))


def test_the_ci_runs_the_test_command() -> None:
    command = block("pytest -q")
    assert ".venv/bin/python -m pytest" in command
    assert "README.md" in (ROOT / ".ci" / "run").read_text()
