"""The broker's own client, as it is installed, pointed at a server of ours."""

import asyncio
import queue
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import upstox_client
import websocket
from google.protobuf.json_format import MessageToDict
from upstox_client.feeder import market_data_feeder_v3
from upstox_client.feeder.proto import MarketDataFeedV3_pb2 as official

from tests.serve.fixtures import DEADLINE
from tickrec.serve.server import HOST, Server

Message = dict[str, Any]


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
