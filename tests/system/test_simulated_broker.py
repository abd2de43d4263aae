"""The simulated broker as a process: what it says of itself, and how it ends."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator

import pytest
import websockets

from tests import ROOT
from tests.processes import wait_for
from tests.serve.fixtures import DEADLINE, contracts
from tickrec.upstox.auth import Token
from tickrec.upstox.rest import Rest

SCRIPT = """
import asyncio
from tickrec.serve.server import run
from tickrec.serve.synthetic.simulator import Settings, Simulator
asyncio.run(run(Simulator(Settings()), lambda line: print(line, flush=True), True))
"""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    killer = threading.Timer(DEADLINE * 2, child.kill)
    killer.start()
    yield child
    killer.cancel()
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        assert pipe is not None
        pipe.close()


async def test_it_says_goodbye_when_it_is_terminated(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    api_url = json.loads(await asyncio.to_thread(child.stdout.readline))["api_url"]
    uri = await asyncio.to_thread(Rest(api_url, api_url).authorize, Token("any"))
    again = await asyncio.to_thread(Rest(api_url, api_url).authorize, Token("any"))
    async with websockets.connect(uri) as reading, websockets.connect(again) as waiting:
        for websocket in (reading, waiting):
            await websocket.recv()
        waiting.transport.pause_reading()
        child.terminate()
        assert await asyncio.to_thread(child.wait) == 0
        waiting.transport.resume_reading()
        for websocket in (reading, waiting):
            await websocket.wait_closed()
            assert websocket.close_code == 1001


async def test_it_ends_though_a_client_does_not_read(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    api_url = json.loads(await asyncio.to_thread(child.stdout.readline))["api_url"]
    uri = await asyncio.to_thread(Rest(api_url, api_url).authorize, Token("any"))
    data = {"mode": "full", "instrumentKeys": contracts("CE", "PE")[:1000]}
    request = json.dumps({"guid": "1", "method": "sub", "data": data}).encode()
    async with websockets.connect(uri, max_size=None, ping_interval=None) as websocket:
        await websocket.recv()
        websocket.transport.pause_reading()
        for _ in range(40):
            await websocket.send(request)
        await asyncio.to_thread(wait_for, lambda: sent_bytes(api_url) > 5_000_000, "the client is far behind")
        child.terminate()
        assert await asyncio.to_thread(child.wait) == 0
        websocket.transport.abort()
        await websocket.wait_closed()


def test_it_announces_its_addresses_and_ends_with_its_stdin(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stderr is not None
    addresses = json.loads(child.stdout.readline())
    assert set(addresses) == {"api_url", "assets_url"}
    assert addresses["api_url"].startswith("http://127.0.0.1:")
    child.stdin.close()
    assert child.wait() == 0
    assert child.stderr.read() == ""


def sent_bytes(api_url: str) -> int:
    with urllib.request.urlopen(f"{api_url}/status") as answer:
        return int(json.load(answer)["bytes"])
