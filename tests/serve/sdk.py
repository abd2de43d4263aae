"""The broker's own clients, as they are installed, pointed at a server of ours."""

import asyncio
import json
import os
import queue
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import upstox_client
import websocket
from google.protobuf.json_format import MessageToDict
from upstox_client.feeder import market_data_feeder_v3
from upstox_client.feeder.proto import MarketDataFeedV3_pb2 as official

from tests import ROOT
from tests.serve.fixtures import DEADLINE
from tickrec.serve.server import HOST, Server

Message = dict[str, Any]
NODE_FOLDER = os.environ.get("TICKREC_NODE")
"""A folder in which `npm i upstox-js-sdk` was run; None: that SDK is not tried."""
_NODE_PROGRAM = """
const { ApiClient, MarketDataStreamerV3 } = require("upstox-js-sdk");

ApiClient.instance.authentications["OAUTH2"].accessToken = "any";
const streamer = new MarketDataStreamerV3(process.argv.slice(1), "full");
streamer.on("message", (data) => process.stdout.write(data.toString() + "\\n"));
streamer.connect();
"""


async def sdk_messages(
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
    keys: Sequence[str],
    last: Callable[[Message], bool],
    mode: str = "full",
) -> list[Message]:
    """What the SDK's streamer hands to its listener, up to and with the `last` message."""
    messages: queue.Queue[Message] = queue.Queue()

    class Here(websocket.WebSocketApp):
        def __init__(self, url: str, **options: Any) -> None:
            options["header"] = {"Authorization": "Bearer simulated"}
            super().__init__(url.replace("wss://api.upstox.com", f"ws://{HOST}:{server.port}"), **options)

    def stream() -> list[Message]:
        configuration = upstox_client.Configuration()
        configuration.access_token = "simulated"
        api = upstox_client.ApiClient(configuration)
        streamer = upstox_client.MarketDataStreamerV3(api, list(keys), mode)
        streamer.on("message", messages.put)
        streamer.connect()
        got = [messages.get(timeout=DEADLINE)]
        while not last(got[-1]):
            got.append(messages.get(timeout=DEADLINE))
        streamer.disconnect()
        api.pool.terminate()
        return got

    monkeypatch.setattr(market_data_feeder_v3.websocket, "WebSocketApp", Here)
    return await asyncio.to_thread(stream)


def as_sdk(payload: bytes) -> Message:
    """A message as the SDK's listeners see it."""
    message: Message = MessageToDict(official.FeedResponse.FromString(payload))
    return message


async def node_messages(server: Server, keys: Sequence[str], last: Callable[[Message], bool]) -> list[Message]:
    """What the Node SDK's streamer hands to its listener, up to and with the `last` message, by the README's lines."""
    lines = re.search(r"```js\n(.*?)\n```", (ROOT / "README.md").read_text(), re.S)
    assert lines is not None
    code = lines[1].replace("127.0.0.1:8790", f"127.0.0.1:{server.port}") + _NODE_PROGRAM
    program = await asyncio.create_subprocess_exec(
        "node", "-e", code, *keys, cwd=NODE_FOLDER, stdout=asyncio.subprocess.PIPE, limit=2**24
    )
    assert program.stdout is not None
    got: list[Message] = []
    async with asyncio.timeout(3 * DEADLINE):
        while not got or not last(got[-1]):
            message = json.loads(await program.stdout.readline())
            got += [message] if message else []  # what comes before it has loaded its schema, it makes null of
    program.kill()
    await program.wait()
    return got
