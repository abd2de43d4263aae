"""The official Node SDK gets every value of a recorded day. Opt-in: TICKREC_NODE is a folder with `upstox-js-sdk`."""

import asyncio
import json
import os
import re
from typing import Any

import pytest

from tests import ROOT
from tests.clocks import FastClock
from tests.days import DATE, Recording
from tests.serve.fixtures import DEADLINE, keys_of, sent
from tests.serve.sdk import as_sdk
from tests.serve.test_replay import is_closing
from tickrec.serve.replay import Pace, Replay
from tickrec.serve.server import Server, Terms
from tickrec.store.paths import Store

PROGRAM = """
const { ApiClient, MarketDataStreamerV3 } = require("upstox-js-sdk");

ApiClient.instance.authentications["OAUTH2"].accessToken = "any";
const streamer = new MarketDataStreamerV3(process.argv.slice(1), "full");
streamer.on("message", (data) => process.stdout.write(data.toString() + "\\n"));
streamer.connect();
"""
FOLDER = os.environ.get("TICKREC_NODE")


def readme() -> str:
    """The lines of the README that point it elsewhere."""
    match = re.search(r"```js\n(.*?)\n```", (ROOT / "README.md").read_text(), re.S)
    assert match is not None
    return match[1]


@pytest.mark.skipif(FOLDER is None, reason="TICKREC_NODE names no folder in which `npm i upstox-js-sdk` was run")
async def test_its_streamer_gets_every_value_of_the_day(store: Store) -> None:
    day = Recording(store)  # a message that cannot be decoded would end the SDK's process
    day.run()
    day.connect()
    day.updates(20)
    day.drop()
    day.connect()
    day.updates(20)
    day.close()
    source = Replay(store, [DATE], Pace(speed=None))
    async with Server(source, Terms(clock=FastClock())) as server:
        program = await asyncio.create_subprocess_exec(
            "node",
            "-e",
            readme().replace("127.0.0.1:8790", f"127.0.0.1:{server.port}") + PROGRAM,
            *keys_of(store),
            cwd=FOLDER,
            stdout=asyncio.subprocess.PIPE,
            limit=2**24,
        )
        assert program.stdout is not None
        got: list[dict[str, Any]] = []
        async with asyncio.timeout(3 * DEADLINE):
            while not got or not is_closing(got[-1]):
                message = json.loads(await program.stdout.readline())
                got += [message] if message else []  # what comes before it has loaded its schema, it makes null of
        program.kill()
        await program.wait()
    recorded = json.loads(json.dumps([as_sdk(entry.payload) for entry in sent(store)]))
    assert len(got) <= 2 + len(recorded), "market_info, and that the segments are closed"
    assert got[-1 - len(recorded) : -1] == recorded
