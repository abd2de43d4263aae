"""A recorder and a relay beside each other, as processes of their own."""

import asyncio
import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import websockets

from tests.processes import running, simulated_broker, wait_for
from tests.recordings import until
from tickrec.journal import Journal
from tickrec.journal.entry import EntryKind
from tickrec.store.paths import Store
from tickrec.upstox.auth import Token
from tickrec.upstox.decode.wire import outline
from tickrec.upstox.rest import Rest

RECORD = ("record", "--now", "--symbols", "RELIANCE,TCS,NIFTY")


def journalled(store: Store) -> list[bytes]:
    """The messages of the store's newest date."""
    entries = Journal(store.journal(store.dates()[-1])).entries() if store.dates() else ()
    return [entry.payload for entry in entries if entry.kind is EntryKind.MESSAGE]


@contextlib.contextmanager
def relay(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A relay of the folder's store, and its address."""
    with running("relay", "--port", "0", folder=folder) as process:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())["api_url"]


async def listen(api_url: str, keys: list[str], got: list[bytes]) -> None:
    """A program that subscribes and takes whatever comes."""
    uri = await asyncio.to_thread(Rest(api_url, api_url).authorize, Token("any"))
    with contextlib.suppress(websockets.ConnectionClosed):
        async with websockets.connect(uri, max_size=None, max_queue=None) as websocket:
            data = {"mode": "full", "instrumentKeys": keys}
            await websocket.send(json.dumps({"guid": "1", "method": "sub", "data": data}).encode())
            async for message in websocket:
                assert isinstance(message, bytes)
                got.append(message)


async def test_a_killed_recorder_is_followed_when_it_is_back_and_a_killed_relay_is_not_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    got: list[bytes] = []
    with simulated_broker(tmp_path), relay(tmp_path) as (relaying, api_url):
        with running(*RECORD, folder=tmp_path) as recorder:
            await asyncio.to_thread(wait_for, lambda: len(journalled(store)) > 5, "messages are journalled")
            found = [outline(payload) for payload in journalled(store)]
            keys = list({feed.instrument_key for each in found if each for feed in each.feeds})
            task = asyncio.create_task(listen(api_url, keys, got))
            await until(lambda: len(got) > 10)
            recorder.send_signal(signal.SIGKILL)
            await asyncio.to_thread(recorder.wait)
        with running(*RECORD, folder=tmp_path) as recorder:
            before = len(journalled(store))
            await until(lambda: len(journalled(store)) > before + 10 and got[-1] in journalled(store)[-3:])
            relaying.send_signal(signal.SIGKILL)
            await task
            after = len(journalled(store))
            await asyncio.to_thread(wait_for, lambda: len(journalled(store)) > after + 10, "the recording goes on")
            recorder.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(recorder.wait, 60) == 0
    kept = journalled(store)
    live = [payload for payload in got[2:] if payload in kept]
    assert live == got[2:], "after market_info and its snapshot a client gets the recorded bytes"
    first = kept.index(live[0])
    assert live == kept[first : first + len(live)]
