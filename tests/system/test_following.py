"""Strikes follow the money: a trending market, recorded over the ordinary path."""

import asyncio
import contextlib
import dataclasses
import logging
import signal
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.processes import running, simulated_broker, wait_for
from tests.recordings import DEADLINE, FAST, Recording, recorded, recording, sent, until
from tickrec.journal import Journal
from tickrec.journal.entry import Entry, EntryKind
from tickrec.market.instruments import Instrument, Master
from tickrec.record.plan import Options
from tickrec.store.coverage import coverage
from tickrec.store.paths import Store
from tickrec.store.rows import stored_rows
from tickrec.upstox.auth import Token
from tickrec.upstox.decode.peek import last_prices, served_keys
from tickrec.upstox.rest import Rest

NIFTY = "NSE_INDEX|Nifty 50"
EACH_SIDE = 10
UP = dataclasses.replace(FAST, trend=0.02, trend_span=6.0)
SUDDEN = dataclasses.replace(FAST, trend=0.02, trend_span=0.5)
ANSWERED_WITHIN = 50
"""Messages of the market, 20 ms apart, that may come before the answer to a request is among them."""


def options(*symbols: str, mode: str = "full") -> Options:
    return Options(symbols=symbols, mode=mode, now=True)


def master_of(run: Recording) -> Master:
    return Master.read(run.store.instruments_path(run.store.dates()[0]))


def options_by_key(run: Recording, keys: Sequence[str]) -> dict[str, Instrument]:
    master = master_of(run)
    rows = master.rows(master.find(list(dict.fromkeys(keys))))
    return {each.instrument_key: each for each in rows if each.strike}


def money_in(payload: bytes, key: str = NIFTY) -> float | None:
    return last_prices(payload, [key]).get(key)


def asked(run: Recording) -> list[str]:
    """Every key that was asked for, in order."""
    facts = [entry.facts() for entry in journal_of(run.store) if entry.kind is EntryKind.SUBSCRIBED]
    return [key for each in facts for key, _ in each["keys"]]


def journal_of(store: Store) -> list[Entry]:
    """What is journalled so far, over all dates."""
    return [entry for date in store.dates() for entry in Journal(store.journal(date)).entries()]


def subscribed(store: Store) -> set[str]:
    """Every key asked for so far."""
    asked = [entry.facts() for entry in journal_of(store) if entry.kind is EntryKind.SUBSCRIBED]
    return {key for facts in asked for key, _ in facts["keys"]}


def followed_in(store: Store) -> int:
    return max(0, len(subscribed(store)) - 43)


def runs(entries: Sequence[Entry]) -> list[list[bytes]]:
    """The messages of each run."""
    found: list[list[bytes]] = []
    for entry in entries:
        if entry.kind is EntryKind.NOTE and entry.facts().get("event") == "start":
            found.append([])
        elif entry.kind is EntryKind.MESSAGE:
            found[-1].append(entry.payload)
    return found


def too_few(
    payloads: Sequence[bytes],
    chain: dict[str, Instrument],
    key: str = NIFTY,
    begin: int = 0,
    within: int = ANSWERED_WITHIN,
) -> list[tuple[int, float]]:
    """The messages from `begin` on at which fewer strikes than asked for were recorded on one side of the money, and
    the money; from when there were enough for the first time.

    A strike is recorded from the first message on that tells of both its options.
    """
    first: dict[float, list[int]] = defaultdict(list)
    seen: set[str] = set()
    for number, payload in enumerate(payloads):
        for each in served_keys(payload) - seen:
            seen.add(each)
            if each in chain:
                first[chain[each].strike or 0].append(number)
    known = {strike: max(numbers) for strike, numbers in first.items() if len(numbers) == 2}
    begin = max(begin, sorted(known.values())[2 * EACH_SIDE])
    found = []
    for number, payload in enumerate(payloads):
        money = money_in(payload, key)
        if money is None or number < begin:
            continue
        there = [strike for strike, at in known.items() if at <= number + within]
        if min(sum(strike >= money for strike in there), sum(strike <= money for strike in there)) < EACH_SIDE:
            found.append((number, money))
    return found


async def until_money_moves(run: Recording, share: float, key: str = NIFTY) -> None:
    """Wait until the price of the underlying has moved by a share from what it is before anybody subscribes."""
    rest, token = Rest(run.simulator.api_url, run.simulator.api_url), Token("simulated")
    async with asyncio.timeout(4 * DEADLINE):
        begin = last = await asyncio.to_thread(rest.last_prices, token, [key])
        while abs(last[key] / begin[key] - 1) < share:
            with contextlib.suppress(TimeoutError):  # a busy machine takes its time to begin
                await run.sent(50)
            last = await asyncio.to_thread(rest.last_prices, token, [key])


async def test_ten_strikes_either_side_of_the_money_are_recorded_all_day(tmp_path: Path) -> None:
    async with recording(tmp_path, settings=UP, options=options("NIFTY:opt:10")) as run:
        await until_money_moves(run, 0.018)
        await run.stop()
    payloads = recorded(run)
    assert payloads == sent(tmp_path)[: len(payloads)]
    chain = options_by_key(run, asked(run))
    assert too_few(payloads, chain) == []
    assert len(chain) > 2 * (2 * EACH_SIDE + 8)
    rows = stored_rows(run.store, coverage(run.store, run.store.dates()[0]), "subscriptions")
    assert len(rows) == len({row["instrument_key"] for row in rows}) == len(chain) + 1
    followed = [row["instrument_key"] for row in rows if row["followed"]]
    assert len(followed) == len(chain) - 2 * (2 * EACH_SIDE + 1)
    assert all(row["answered_ts"] for row in rows)
    late = set().union(*map(served_keys, payloads[-300:]))
    assert late >= chain.keys(), "what was recorded stays"


def test_a_kill_in_the_middle_changes_none_of_it(tmp_path: Path) -> None:
    record = ("record", "--now", "--no-live", "--symbols", "NIFTY:opt:10")
    with simulated_broker(tmp_path, interval=0.02, trend=0.02, trend_span=8.0) as config:
        store = Store(tmp_path / "data")
        with running(*record, folder=tmp_path) as process:
            wait_for(lambda: followed_in(store) >= 6, "strikes have followed the money")
            process.kill()
            process.wait()
        before = subscribed(store)
        with running(*record, folder=tmp_path) as process:
            wait_for(lambda: len(runs(journal_of(store))[-1]) > 250, "enough is recorded again")
            process.send_signal(signal.SIGINT)
            process.wait()
        assert config.exists()
    (date,) = store.dates()
    entries = journal_of(store)
    assert len(subscribed(store) - before) >= 4, "strikes follow the money again"
    master = Master.read(store.instruments_path(date))
    chain = {each.instrument_key: each for each in master.rows(master.find(list(subscribed(store)))) if each.strike}
    for payloads in runs(entries):
        assert too_few(payloads, chain, within=2 * ANSWERED_WITHIN) == []
    late = set().union(*map(served_keys, runs(entries)[1][-150:]))
    assert late >= before, "what was recorded before is recorded again"
    asked = {
        row["instrument_key"]: row["followed"] for row in stored_rows(store, coverage(store, date), "subscriptions")
    }
    assert sum(not followed for followed in asked.values()) == 43, "all others are there because the money moved"


async def test_the_choice_of_the_start_stays_when_nothing_is_to_follow(tmp_path: Path) -> None:
    config = "[store]\nduckdb = false\n[record]\nfollow = false\n"
    async with recording(tmp_path, settings=SUDDEN, options=options("NIFTY:opt:10"), config=config) as run:
        await until_money_moves(run, 0.015)
        await run.stop()
    assert len(asked(run)) == 42
    assert NIFTY not in asked(run)


@pytest.mark.parametrize("connections", ["connections = 1", ""], ids=["one connection", "those of the account"])
async def test_caps_are_never_passed(tmp_path: Path, connections: str, caplog: pytest.LogCaptureFixture) -> None:
    settings = dataclasses.replace(SUDDEN, plus=True)
    wanted = options("NIFTY:opt:10", mode="full_d30")
    caplog.set_level(logging.INFO, "tickrec")
    text = f'plan = "plus"\n{connections}\n[store]\nduckdb = false\n'
    async with recording(tmp_path, settings=settings, options=wanted, config=text) as run:
        await until_money_moves(run, 0.015)
        await until(lambda: bool(connections) or run.simulator.stats()["connections"] > 1)
        await run.sent(3000)
        status = await run.stop()
    told = [record.message for record in caplog.records if "no further strikes" in record.message]
    keys = asked(run)
    assert len(keys) == len(set(keys))
    counts = [each.keys for each in status.connections]
    assert max(counts) <= 50
    if connections:
        assert (counts, len(told)) == ([50], 1)
    else:
        assert (len(counts) > 1, told) == (True, [])
        assert too_few(recorded(run), options_by_key(run, keys), begin=len(recorded(run)) - 10) == []
