"""The token is nowhere but where it has to be: commands that use it, and everything they leave, print and start."""

import json
import os
import stat
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.processes import environment, simulated_broker
from tests.upstox.rest_fixtures import jwt
from tickrec.clock import SECOND, SystemClock
from tickrec.journal import Journal
from tickrec.store.paths import Store

EXPIRY = SystemClock.wall_ns() // SECOND + 86_400
GOOD, PASTED, REFUSED = (jwt({"exp": EXPIRY, "sub": f"SECRET-{name}"}) + f"-SECRET-{name}" for name in "abc")
APP_SECRET = "SECRET-of-the-app"
SECRETS = [part.encode() for token in (GOOD, PASTED, REFUSED) for part in token.split(".")[1:]] + [APP_SECRET.encode()]
"""The parts of the tokens that are nobody else's."""
RECORD = ("record", "--now", "--no-live", "--symbols", "NIFTY:opt:2,RELIANCE", "--for", "2s")
AFTERWARDS: Sequence[tuple[tuple[str, ...], str]] = (
    (("status", "--json"), GOOD),
    (("symbols", "NIFTY:opt:2", "-v"), GOOD),
    (("symbols", "NIFTY:opt:2", "--data", "elsewhere"), REFUSED),
    (("record", "--symbols", "RELAINCE", "--now"), GOOD),
    (("record", "--symbols", "RELIANCE", "--now", "--for", "20s", "--data", "elsewhere"), REFUSED),
    (("doctor", "--json"), REFUSED),
    (("schedule",), GOOD),
    (("login",), GOOD),
    (("login", "--analytics"), ""),
)
"""Commands, and the token in their environment."""


def secrets_in(data: bytes) -> list[bytes]:
    return [secret for secret in SECRETS if secret in data]


def run(folder: Path, arguments: Sequence[str], token: str, pasted: str = "") -> str:
    """Everything a command says."""
    env = {**environment(folder), "UPSTOX_ACCESS_TOKEN": token, "UPSTOX_CLIENT_SECRET": APP_SECRET}
    command = [sys.executable, "-m", "tickrec", *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=90, input=pasted)
    assert "Traceback" not in done.stderr
    return f"{done.returncode}\n{done.stdout}{done.stderr}"


def descendants(pid: int) -> Iterator[int]:
    """The processes that a process has started, and theirs."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    yield from found - {pid}


def watched(process: "subprocess.Popen[bytes]") -> tuple[bytes, int]:
    """Command line of a process, and what its children were told, until it ends; how many children there were."""
    seen: dict[int, bytes] = {}
    nothing = threading.Event()
    told = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    while process.poll() is None:
        for pid in descendants(process.pid):
            try:
                files = [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
            except OSError:
                continue
            seen[pid] = max(seen.get(pid, b""), b" ".join(files), key=len)
        nothing.wait(0.03)
    return told + b"".join(seen.values()), len(seen)


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below a folder, also as it reads when it is unpacked."""
    for path in (path for path in folder.rglob("*") if path.is_file()):
        yield path, path.read_bytes()
        if path.suffix == ".parquet":
            yield path, repr(pq.read_table(path).to_pydict()).encode()
        if path.suffix == ".duckdb":
            with duckdb.connect(path, read_only=True) as connection:
                for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                    yield path, repr(connection.sql(f"FROM {name}").to_arrow_table().to_pydict()).encode()
    store = Store(folder / "data")
    for date in store.dates():
        yield store.journal(date), b"".join(entry.payload for entry in Journal(store.journal(date)).entries())


def accept(folder: Path, token: str) -> None:
    """Make a token the one that the simulated broker takes."""
    api_url = json.loads((folder / "config.toml").read_text().split("api_url = ")[1].split("\n")[0])
    data = json.dumps({"kind": "token", "arg": token}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{api_url}/simulator/fault", data), timeout=10) as answer:
        assert answer.status == 200


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks at processes through /proc")
def test_the_token_is_in_no_file_no_output_and_no_other_process(tmp_path: Path) -> None:
    program = tmp_path / "alert.py"
    program.write_text(f"import os, sys\nopen({str(tmp_path / 'told')!r}, 'a').write(repr((sys.argv, os.environ)))\n")
    settings = f"[record]\nflush_interval = '1s'\non_alert = \"'{sys.executable}' '{program}'\"\n"
    with simulated_broker(tmp_path) as config:
        config.write_text(config.read_text() + "client_id = 'app'\n" + settings + "[store]\nmin_free = '900TB'\n")
        accept(tmp_path, GOOD)
        env = {**environment(tmp_path), "UPSTOX_ACCESS_TOKEN": GOOD, "UPSTOX_CLIENT_SECRET": APP_SECRET}
        with subprocess.Popen(
            [sys.executable, "-m", "tickrec", *RECORD],
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            told, children = watched(process)
            assert process.stdout is not None
            said = process.stdout.read().decode()
        assert process.returncode == 0, said
        with ThreadPoolExecutor(4) as pool:
            outputs = list(pool.map(lambda each: run(tmp_path, each[0], each[1], f"{PASTED}\n"), AFTERWARDS))
        accept(tmp_path, PASTED)
        outputs.append(run(tmp_path, ("login", "--analytics"), "", f"{PASTED}\n"))
    assert children >= 3, "the master's, the DuckDB file's and the alert's"
    assert (tmp_path / "told").exists()
    assert outputs[-1].startswith("0\n")
    assert any("refused" in text for text in outputs)
    assert not secrets_in(told)
    assert not [text for text in (said, *outputs) if secrets_in(text.encode())]
    token_file = tmp_path / "tickrec" / "token"
    assert token_file.read_text().strip() == PASTED
    assert stat.S_IMODE(os.stat(token_file).st_mode) == 0o600
    found = list(contents(tmp_path))
    assert len(found) > 20
    assert {path for path, data in found if secrets_in(data)} == {token_file}
