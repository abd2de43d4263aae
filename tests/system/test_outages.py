"""A broker that refuses, drops, stalls, flaps and goes mute: the gaps of a recording are exactly the ones it caused.

What should be in `gaps` is computed from the schedule of faults and from the broker's own log of what it sent.
"""

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tests.clocks import HastyClock
from tests.processes import running
from tests.recordings import Recording, recording, until
from tickrec.clock import SystemClock
from tickrec.config import load
from tickrec.errors import ExitCode
from tickrec.journal import Journal
from tickrec.journal.entry import Entry, EntryKind
from tickrec.record.plan import Options
from tickrec.record.start import Record
from tickrec.serve.faults import Fault
from tickrec.status import status
from tickrec.status.runstatus import RunStatus
from tickrec.store.coverage import coverage
from tickrec.store.paths import Store
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode.peek import count_feeds
from tickrec.upstox.feed import Timing

CONFIG = "connections = 2\n[store]\nduckdb = false\n"
KEYS = {1: 2, 2: 2}
MUTE = Timing(mute=0.5)
RESET, MUTED = "connection reset", "no data for 0.5 s"
CLOSED = "closed by the broker (1011): [token]"
"""The reason the simulator gives is the same word as its token."""


class Row(NamedTuple):
    """A row of `gaps`; instants in microseconds."""

    conn: int
    start: int
    end: int
    reason: str
    keys: int


class Struck(NamedTuple):
    """A fault of the schedule, and what it is to be called."""

    at_ns: int
    reason: str


def stamped_ms(payload: bytes) -> int:
    """The broker's own time in a message."""
    stamped: int = pb.FeedResponse.FromString(payload).currentTs
    return stamped


class Sitting(NamedTuple):
    """What came over one websocket, and when the broker had sent it."""

    messages: list[Entry]
    sent_ns: list[int]

    @property
    def first_data(self) -> int | None:
        """Place of the first message that carries feeds."""
        return next((place for place, each in enumerate(self.messages) if count_feeds(each.payload)), None)

    @property
    def data_ended_ns(self) -> int:
        """When the last message was read, less its lateness against the least late one."""
        late = [each.wall_ns - stamped_ms(each.payload) * 1_000_000 for each in self.messages]
        return self.messages[-1].wall_ns - (late[-1] - min(late))


async def strike(one: Recording, *faults: Fault) -> int:
    """Let faults strike when both connections have had data for a while; the wall time of that."""
    await one.sent(40)
    struck_ns = SystemClock.wall_ns()
    for fault in faults:
        one.simulator.strike(fault)
    return struck_ns


async def back(one: Recording, opened: int) -> None:
    """Wait until so many more websockets have been opened, and data flows again on both."""
    before = one.simulator.stats()["opened"]
    await until(lambda: one.simulator.stats()["opened"] >= before + opened)
    await until(lambda: one.simulator.stats()["subscribed"] == sum(KEYS.values()))
    await one.sent(20)


async def refuse(one: Recording) -> Struck:
    """Drop both connections and refuse handshakes for a while, with authorize saying 200."""
    struck_ns = await strike(one, Fault("refuse", "0.5"), Fault("drop"))
    await back(one, 2)
    return Struck(struck_ns, RESET)


async def fail(one: Recording) -> Struck:
    struck_ns = await strike(one, Fault("error", "503/0.3"), Fault("drop"))
    await back(one, 2)
    return Struck(struck_ns, RESET)


async def drop(one: Recording) -> Struck:
    struck_ns = await strike(one, Fault("drop"))
    await back(one, 2)
    return Struck(struck_ns, RESET)


async def close(one: Recording) -> Struck:
    struck_ns = await strike(one, Fault("close", "1011"))
    await back(one, 2)
    return Struck(struck_ns, CLOSED)


async def stall(one: Recording) -> Struck:
    struck_ns = await strike(one, Fault("stall", "60"))
    await back(one, 2)
    return Struck(struck_ns, MUTED)


async def go_mute(one: Recording) -> Struck:
    """Nothing but market_info, until the connections that replaced the mute ones are mute and replaced themselves."""
    opened = one.simulator.stats()["opened"]
    struck_ns = await strike(one, Fault("mute", "60"))
    await until(lambda: one.simulator.stats()["opened"] >= opened + 4)
    one.simulator.strike(Fault("mute", "0"))
    await one.sent(40)
    return Struck(struck_ns, MUTED)


async def flap(one: Recording) -> Struck:
    """Connections that are accepted and dropped again and again, before any data has come."""
    struck_ns = await strike(one, Fault("mute", "60"), Fault("drop"))
    for _ in range(2):
        opened = one.simulator.stats()["opened"]
        await until(lambda opened=opened: one.simulator.stats()["opened"] >= opened + 2)  # type: ignore[misc]
        one.simulator.strike(Fault("drop"))
    one.simulator.strike(Fault("mute", "0"))
    await back(one, 2)
    return Struck(struck_ns, RESET)


def sittings(journal: Path, sent: Path) -> dict[int, list[Sitting]]:
    """What each connection received over its websockets; each is the beginning of what was sent over one of them."""
    sessions: dict[int, list[Entry]] = {}
    for entry in Journal(sent).entries():
        if entry.kind is EntryKind.MESSAGE:
            sessions.setdefault(entry.conn, []).append(entry)
    received: dict[int, list[list[Entry]]] = {}
    for entry in Journal(journal).entries():
        if entry.kind is EntryKind.CONNECTED:
            received.setdefault(entry.conn, []).append([])
        elif entry.kind is EntryKind.MESSAGE:
            received[entry.conn][-1].append(entry)
    return {conn: [_matched(each, sessions) for each in of_conn] for conn, of_conn in received.items()}


def _matched(messages: list[Entry], sessions: dict[int, list[Entry]]) -> Sitting:
    payloads = [each.payload for each in messages]
    found = [sent for sent in sessions.values() if [each.payload for each in sent[: len(payloads)]] == payloads]
    assert found, "something was received that was not sent like that"
    return Sitting(messages, [each.wall_ns for each in found[0][: len(payloads)]])


def caused(schedule: list[Struck], sat: dict[int, list[Sitting]]) -> Iterator[Row]:
    """The gaps that the faults caused: from where data ended before each to the first data after it."""
    for conn, all_of_conn in sat.items():
        fed = [each for each in all_of_conn if each.first_data is not None]
        for fault in schedule:
            after = next(place for place, each in enumerate(fed) if each.sent_ns[each.first_data or 0] > fault.at_ns)
            lost, found = fed[after - 1], fed[after]
            assert lost.sent_ns[-1] <= fault.at_ns
            first = found.messages[found.first_data or 0]
            yield Row(conn, lost.data_ended_ns // 1000, first.wall_ns // 1000, fault.reason, KEYS[conn])


def rows_of(one: Recording) -> list[Row]:
    """The table `gaps` of the one date."""
    (date,) = one.store.dates()
    paths = coverage(one.store, date).small_parts["gaps"]
    table = pa.concat_tables(pq.read_table(path) for path in paths)
    instants = [table[name].cast(pa.int64()).to_pylist() for name in ("start_ts", "end_ts")]
    columns = [table["conn"].to_pylist(), *instants, table["reason"].to_pylist(), table["keys"].to_pylist()]
    return [Row(*values) for values in zip(*columns, strict=True)]


async def test_a_recording_has_exactly_the_gaps_that_the_broker_caused(tmp_path: Path) -> None:
    schedule: list[Struck] = []

    options = Options(symbols=("RELIANCE", "TCS", "INFY", "NIFTY"), mode="full", now=True)
    settings = {"options": options, "config": CONFIG, "clock": HastyClock(), "timing": MUTE}
    async with recording(tmp_path, **settings) as one:  # type: ignore[arg-type]
        await until(lambda: one.simulator.stats()["subscribed"] == sum(KEYS.values()))
        for outage in (drop, refuse, stall, flap, close, fail, go_mute):
            schedule.append(await outage(one))
        last = await one.stop()
        (date,) = one.store.dates()
        expected = list(caused(schedule, sittings(one.store.journal(date), tmp_path / "sent")))
        assert len(expected) == 2 * len(schedule)
        assert sorted(rows_of(one)) == sorted(expected)
        assert len(last.gaps) == len(expected)
        assert last.exit_code == ExitCode.DONE


async def test_a_broker_that_hangs_is_found_by_its_missing_pongs(tmp_path: Path) -> None:
    """The process is stopped: its sockets stay open, and nothing comes out of them any more."""
    with running("simulate", "--port", "0", "--interval", "50ms", folder=tmp_path) as process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        path = tmp_path / "config.toml"
        path.write_text(f'[upstox]\napi_url = "{facts["api_url"]}"\nassets_url = "{facts["assets_url"]}"\n')
        config = load(path, data=None, simulate=False, environ={"HOME": str(tmp_path)})
        stopping, clock = asyncio.Event(), HastyClock()
        options = Options(symbols=("RELIANCE",), mode="full", now=True)
        timing = Timing(ping_interval=0.2, ping_timeout=0.3)
        environ = {"UPSTOX_ACCESS_TOKEN": "simulated"}
        task = asyncio.create_task(Record(config, options, environ, clock, stopping, timing=timing).run())
        store = Store(config.store.data)

        def now() -> RunStatus | None:
            return status.read(store.status_path)

        await until(lambda: (run := now()) is not None and run.ticks > 10)
        process.send_signal(signal.SIGSTOP)
        await until(lambda: (run := now()) is not None and len(run.gaps) == 1)
        process.send_signal(signal.SIGCONT)
        await until(lambda: (run := now()) is not None and run.gaps[0].end_ns is not None)
        stopping.set()
        last = await task
        assert [(gap.conn, gap.reason, gap.keys) for gap in last.gaps] == [(1, "no answer to pings", 1)]
