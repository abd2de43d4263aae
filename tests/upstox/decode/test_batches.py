"""wire: what repeated fields mean, what is refused, and that nothing breaks it, seen through `decode`."""

import random

import pytest

from tests.upstox.decode import oracle
from tests.upstox.decode.agreement import (
    FIRST_NS,
    SYMBOLS,
    assert_agrees,
    assert_same,
    assert_tables,
    drops_a_feed,
    entries,
    rows,
)
from tests.upstox.decode.payloads import INFO, entry_of, field, market, message
from tests.upstox.decode.random_messages import Maker
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode.tables import decode

# Repetition on the wire, which protobuf gives a meaning

LTPC_1 = pb.LTPC(ltp=1.0, ltt=5).SerializeToString()
LTPC_2 = pb.LTPC(ltp=2.0, ltq=7).SerializeToString()
QUOTE = pb.MarketLevel(bidAskQuote=[pb.Quote(bidQ=1)]).SerializeToString()


def full(*fields: bytes) -> bytes:
    """A fullFeed field holding one marketFF."""
    return field(2, field(1, b"".join(fields)))


@pytest.mark.parametrize(
    ("payload", "expected"),
    {
        "a branch twice merges": (entry_of(field(1, LTPC_1) + field(1, LTPC_2)), {"ltp": 2.0, "ltt": 5, "ltq": 7}),
        "a later branch replaces": (entry_of(field(1, LTPC_1) + full(field(1, LTPC_2))), {"ltp": 2.0, "ltt": None}),
        "in the other order too": (entry_of(full(field(1, LTPC_2)) + field(1, LTPC_1)), {"ltp": 1.0, "vtt": None}),
        "there and back": (entry_of(field(1, LTPC_1) + full() + field(1, b"")), {"ltp": 0.0, "vtt": None}),
        "an empty full feed replaces": (entry_of(field(1, LTPC_1) + field(2, b"")), {"ltp": None, "vtt": None}),
        "index replaces market": (entry_of(field(2, field(1, b"") + field(2, field(1, LTPC_1)))), {"vtt": None}),
        "full feeds merge": (entry_of(full(field(1, LTPC_1)) + full(field(2, QUOTE))), {"ltp": 1.0, "bid_qty": 1}),
        "levels append": (entry_of(full(field(2, QUOTE), field(2, QUOTE))), {"bid_qtys": [1, 1]}),
        "the last entry of a key wins": (entry_of(field(1, LTPC_1)) + entry_of(field(1, LTPC_2)), {"ltp": 2.0}),
        "an entry without a key": (field(2, field(2, field(1, LTPC_1))), {"instrument_key": "", "ltp": 1.0}),
        "an entry without a value": (field(2, field(1, b"k")), {"instrument_key": "k", "mode": "ltpc", "ltp": None}),
        "an entry with neither": (field(2, b""), {"instrument_key": "", "symbol": "NAMELESS"}),
        "a value before its key": (field(2, field(2, field(1, LTPC_1)) + field(1, b"k")), {"instrument_key": "k"}),
        "one bar named twice": (
            entry_of(full(field(4, field(1, field(1, b"1d") + field(1, b"I1"))))),
            {"day_open": None},
        ),
        "a field of the wrong kind": (entry_of(b"\x08\x05"), {"ltp": None}),
    }.values(),
)
def test_repeated_fields_mean_what_they_mean_to_protobuf(payload: bytes, expected: oracle.Row) -> None:
    before, after = message("before", ltpc={"ltp": 8.0}), message("after", fullFeed={"marketFF": {"vtt": 9}})
    decoded = assert_agrees([before, payload, after])
    (row,) = [row for row in rows(decoded.ticks) if row["seq"] == 2]
    assert {name: row[name] for name in expected} == expected


def test_the_same_key_in_two_messages_is_two_rows() -> None:
    assert rows(assert_agrees([market(vtt=1), market(vtt=2)]).ticks)[1]["vtt"] == 2


def test_market_info_sent_twice_merges() -> None:
    more = pb.FeedResponse(marketInfo={"segmentStatus": {"NSE_EQ": 3, "NSE_FO": 2}}).SerializeToString()
    decoded = assert_agrees([INFO + more])
    assert decoded.market_status["status"].to_pylist() == ["NORMAL_CLOSE", "NORMAL_OPEN"]


# What cannot be decoded


@pytest.mark.parametrize("bad", [[0], [7], [31], [0, 1, 30, 31], list(range(32))], ids=str)
def test_a_bad_message_is_rejected_and_the_rest_decoded(bad: list[int]) -> None:
    payloads = [market(vtt=number) for number in range(32)]
    for number in bad:
        payloads[number] = payloads[number][:-3]
    decoded = assert_agrees(payloads)
    assert [row["seq"] for row in rows(decoded.rejected)] == [number + 1 for number in bad]
    assert [row["vtt"] for row in rows(decoded.ticks)] == [number for number in range(32) if number not in bad]
    assert all(row["error"] for row in rows(decoded.rejected))


@pytest.mark.parametrize(
    "payload",
    {
        "cut in the middle of a field": field(2, b"")[:1],
        "a key that is no UTF-8": field(2, field(1, b"\xff\xfe") + field(2, b"")),
        "an interval that is no UTF-8": entry_of(full(field(4, field(1, field(1, b"\xc3"))))),
        "a status that is no UTF-8": field(4, field(2, field(1, b"NSE_EQ") + field(2, field(1, b"\xff")))),
        "market info cut short": field(4, b"\x0a\x05"),
        "a branch cut short": entry_of(field(1, b"\x09\x00")),
        "a branch cut short that is replaced": entry_of(field(1, b"\x09\x00") + full()),
        "field number 0": b"\x02\x00",
        "a number of eleven bytes": b"\x18" + b"\xff" * 10 + b"\x01",
        "a size beyond any memory": b"\x12" + b"\xff" * 9 + b"\x01",
        "JSON": b'{"status":"failed"}',
    }.values(),
)
def test_malformed_messages_are_rejected_and_harm_no_other(payload: bytes) -> None:
    decoded = assert_agrees([market(vtt=1), payload, INFO, market(vtt=2)])
    (row,) = rows(decoded.rejected)
    assert (row["seq"], row["size"], row["recv_ts"]) == (2, len(payload), (FIRST_NS + 1_000_777) // 1000)
    assert decoded.ticks["vtt"].to_pylist() == [1, 2]


def test_text_messages_are_rejected_in_their_place() -> None:
    given = entries([b"\xff", market(), b'{"status":"failed"}', b"\xff"])
    given[2] = given[2]._replace(text=True)
    found = rows(decode(given, {}).rejected)
    assert [row["seq"] for row in found] == [1, 3, 4]
    assert found[1] == {"seq": 3, "recv_ts": given[2].wall_ns // 1000, "size": 19, "error": "a text message"}


@pytest.mark.parametrize("payloads", [[], [b""], [INFO], [b"\xff"]], ids=["none", "empty", "info", "garbage"])
def test_messages_without_ticks_give_tables_without_rows(payloads: list[bytes]) -> None:
    assert assert_agrees(payloads).ticks.num_rows == 0


# Anything


@pytest.mark.parametrize("seed", range(20, 24))
def test_random_messages_decode_as_protobuf_reads_them(seed: int) -> None:
    maker = Maker(seed)
    decoded = assert_agrees([maker.message(8) for _ in range(maker.random.randint(1, 60))])
    assert decoded.rejected.num_rows == 0


@pytest.mark.parametrize("seed", range(1000, 1012))
def test_damaged_messages_are_rejected_or_decoded_as_protobuf_reads_them(seed: int) -> None:
    maker = Maker(seed)
    payloads = [maker.message(4) for _ in range(24)]
    payloads = [maker.damaged(payload) if maker.random.random() < 0.4 else payload for payload in payloads]
    given = entries(payloads)
    decoded, expected = decode(given, SYMBOLS), oracle.rows(given, SYMBOLS)
    assert_tables(decoded)
    rejected = set(decoded.rejected["seq"].to_pylist())
    refused = {row["seq"] for row in expected.rejected}  # the Arrow decoder is laxer about unknown groups
    assert rejected <= refused
    comparable = {entry.seq for entry in given if entry.seq not in refused and not drops_a_feed(entry.payload)}
    for ours, theirs in ((decoded.ticks, expected.ticks), (decoded.market_status, expected.market_status)):
        by = ("seq", "instrument_key") if ours is decoded.ticks else ("seq", "kind", "segment")
        ours_rows = [row for row in rows(ours) if row["seq"] in comparable]
        assert_same(ours_rows, [row for row in theirs if row["seq"] in comparable], by)


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_are_rejected_or_empty(seed: int) -> None:
    source = random.Random(seed)
    payloads = [source.randbytes(source.randint(0, 60)) for _ in range(150)]
    decoded = decode(entries(payloads), {})
    assert_tables(decoded)
    assert decoded.rejected.num_rows > 100
