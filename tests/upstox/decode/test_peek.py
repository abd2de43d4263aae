"""peek: what is read from a message without decoding it agrees with what decode makes of it."""

import pathlib
import random
from typing import Any

import pyarrow as pa
import pytest

from tests.upstox.decode.agreement import MESSAGES, SYMBOLS, entries, sample
from tests.upstox.decode.random_messages import Maker
from tickrec import schema
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode.peek import count_feeds, last_prices, sent_ms, served_keys
from tickrec.upstox.decode.quotes import quotes
from tickrec.upstox.decode.tables import decode, served

EMPTY = pb.Feed(fullFeed={"marketFF": {"ltpc": {}, "marketLevel": {}, "optionGreeks": {}, "marketOHLC": {}}})
INFO = pb.FeedResponse(type=2, currentTs=9, marketInfo={"segmentStatus": {"NSE_EQ": 2}}).SerializeToString()


def message(**feeds: Any) -> bytes:
    """A message with one entry for each key."""
    return bytes(pb.FeedResponse(type=1, currentTs=5, feeds=feeds).SerializeToString())


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_samples_have_the_feeds_that_decode_finds(path: pathlib.Path) -> None:
    payloads = sample(path)
    seqs = decode(entries(payloads), SYMBOLS).ticks["seq"].to_pylist()
    assert [count_feeds(payload) for payload in payloads] == [seqs.count(n + 1) for n in range(len(payloads))]
    times = [pb.FeedResponse.FromString(payload).currentTs for payload in payloads]
    assert [sent_ms(payload) or 0 for payload in payloads] == times


def test_entries_of_every_size_are_counted() -> None:
    sizes = (0, 1, 124, 125, 126, 127, 128, 129, 16_200, 16_400, 3_000_000)
    payloads = [message(**{"k" * size: pb.Feed()}) for size in sizes]
    assert [count_feeds(payload) for payload in payloads] == [1] * len(sizes)
    assert [sent_ms(payload) for payload in payloads] == [5] * len(sizes)
    assert count_feeds(b"".join(payloads)) == len(sizes)
    assert count_feeds(message()) == count_feeds(b"") == count_feeds(INFO) == 0


@pytest.mark.parametrize("seed", range(8))
def test_counts_agree_on_random_messages(seed: int) -> None:
    maker = Maker(seed)
    payloads = [maker.message(12) for _ in range(20)]
    counts = [len(pb.FeedResponse.FromString(payload).feeds) for payload in payloads]
    assert [count_feeds(payload) for payload in payloads] == counts


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_last_prices_are_those_of_the_quotes(path: pathlib.Path) -> None:
    for payload in sample(path):
        told = {each.instrument_key: each.ltp for each in quotes(payload) if each.ltp}
        assert last_prices(payload, told) == told
        assert last_prices(payload, ["NSE_EQ|OTHER", *(key[:-1] for key in told)]) == {}


def test_no_last_price_is_found_in_what_is_cut_off_or_was_not_sent() -> None:
    payload = message(**{"NSE_EQ|A": pb.Feed(ltpc={"ltp": 1412.35}), "NSE_EQ|B": pb.Feed(ltpc={}), "NSE_EQ|C": EMPTY})
    keys = ["NSE_EQ|A", "NSE_EQ|B", "NSE_EQ|C"]
    assert last_prices(payload, keys) == {"NSE_EQ|A": 1412.35}
    for end in range(len(payload)):
        assert last_prices(payload[:end], keys) in ({}, {"NSE_EQ|A": 1412.35})
    assert last_prices(INFO, keys) == last_prices(b"{}", keys) == {}


@pytest.mark.parametrize(
    "payload", [b"\x12", b"\x12\xff", b"\x12\x05abc", b"\x12\x80\x01" + b"x" * 127, b"\x08", b"\xff" * 40, b"{}"]
)
def test_garbage_has_no_feeds(payload: bytes) -> None:
    assert count_feeds(payload) == 0
    assert sent_ms(payload) is None
    assert served_keys(payload) == set()
    assert quotes(payload) == []


@pytest.mark.parametrize("seed", range(5))
def test_damaged_messages_and_random_bytes_raise_nothing(seed: int) -> None:
    maker, source = Maker(seed), random.Random(seed)
    for _ in range(100):
        for payload in (maker.damaged(maker.message(3)), source.randbytes(source.randint(0, 40))):
            assert count_feeds(payload) >= len(served_keys(payload))
            assert len(quotes(payload)) >= len(served_keys(payload))


def test_an_entry_of_empty_messages_is_not_served() -> None:
    bars = {"ohlc": [{"interval": "1d"}, {"interval": "I30", "open": 5.0}]}
    unserved = [pb.Feed(), EMPTY, pb.Feed(requestMode=1), pb.Feed(fullFeed={"indexFF": {"marketOHLC": bars}})]
    unserved += [pb.Feed(ltpc={"ltt": -1, "iep": {}}), pb.Feed(firstLevelWithGreeks={"optionGreeks": {"rho": -0.0}})]
    deep = {"bidAskQuote": [{}, {"askQ": 1}]}
    saying = [pb.Feed(ltpc={"cp": 2.0}), pb.Feed(fullFeed={"marketFF": {"marketLevel": deep}})]
    saying += [pb.Feed(ltpc={"ltt": 1}), pb.Feed(fullFeed={"marketFF": {"casEligible": True}})]
    payload = message(
        **{f"no{n}": feed for n, feed in enumerate(unserved)}, **{f"yes{n}": f for n, f in enumerate(saying)}
    )
    assert served_keys(payload) == {"yes0", "yes1", "yes2", "yes3"}
    ticks = decode(entries([payload]), {}).ticks
    assert set(ticks["instrument_key"].filter(served(ticks)).to_pylist()) == {"yes0", "yes1", "yes2", "yes3"}


@pytest.mark.parametrize("seed", range(8))
def test_columns_say_the_same_about_who_is_served(seed: int) -> None:
    maker = Maker(seed)
    payloads = [maker.message(8) for _ in range(30)]
    ticks = decode(entries(payloads), {}).ticks
    by_message = {(n + 1, key) for n, payload in enumerate(payloads) for key in served_keys(payload)}
    mask = served(ticks)
    rows = ticks.filter(mask)
    assert len(mask) == ticks.num_rows
    assert set(zip(rows["seq"].to_pylist(), rows["instrument_key"].to_pylist(), strict=True)) == by_message


def test_served_takes_slices_chunks_and_no_rows() -> None:
    ticks = decode(entries([message(a=EMPTY), message(b=pb.Feed(ltpc={"ltp": 1.0}))]), {}).ticks
    assert served(schema.TICKS.empty_table()).to_pylist() == []
    assert served(ticks.slice(1)).to_pylist() == [True]
    assert served(pa.concat_tables([ticks, ticks])).to_pylist() == [False, True, False, True]
