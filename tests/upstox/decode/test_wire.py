"""wire: messages taken apart and put together again are the messages that protobuf knows."""

import contextlib
import pathlib

import pytest
from google.protobuf.message import DecodeError

from tests.upstox.decode.agreement import MESSAGES, sample
from tests.upstox.decode.payloads import INFO, KEY, entry_of, field, message
from tests.upstox.decode.random_messages import Maker
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode.wire import frame, outline, parse, read_varint, varint


def assert_outlined(payload: bytes) -> None:
    """Fail unless the outline of a payload is what protobuf reads."""
    expected, found = pb.FeedResponse.FromString(payload), outline(payload)
    assert found is not None
    assert (found.type, found.sent_ms) == (expected.type, expected.currentTs)
    feeds = {each.instrument_key: each for each in found.feeds}
    assert set(feeds) == set(expected.feeds)
    for key, feed in expected.feeds.items():
        assert feeds[key].mode == feed.requestMode
        assert pb.FeedResponse.FromString(feeds[key].data).feeds[key] == feed


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_samples_are_taken_apart(path: pathlib.Path) -> None:
    for payload in sample(path):
        assert_outlined(payload)


@pytest.mark.parametrize("seed", range(10))
def test_random_messages_are_taken_apart(seed: int) -> None:
    maker = Maker(seed)
    for _ in range(20):
        assert_outlined(maker.message(12))


def test_a_market_info_has_no_feeds() -> None:
    assert outline(INFO) == (2, 9, [])
    assert outline(b"") == (0, 0, [])


@pytest.mark.parametrize(
    "payload",
    [
        entry_of(b""),
        entry_of(field(1, b"") + b"\x20\x01"),
        entry_of(b"\x20\x01" + field(2, b"")),
        entry_of(field(1, b"")) + field(7, b"unknown"),
        field(2, field(2, field(1, b"")) + field(1, KEY.encode())),
        field(2, field(1, KEY.encode())),
    ],
    ids=["empty", "mode last", "mode first", "unknown field", "value first", "no value"],
)
def test_what_is_written_in_another_order_is_read_as_protobuf_reads_it(payload: bytes) -> None:
    assert_outlined(payload)


def test_of_an_entry_with_an_unknown_field_the_rest_is_read_whatever_is_in_a_group_beside_it() -> None:
    odd = field(2, field(1, b"B|2") + field(2, b"") + field(7, b"unknown"))
    group = b"\x53\x12\x03\xff\xff\xff\x54"
    found = parse(message("A|1", requestMode=1) + odd + group)
    assert set(found.feeds) == {"A|1", "B|2"}


@pytest.mark.parametrize("seed", range(4))
def test_nothing_but_a_refusal_comes_of_damage(seed: int) -> None:
    """Beside an entry that protobuf's C implementation drops, and inside groups, too."""
    maker = Maker(seed)
    odd = field(2, field(1, b"B|2") + field(2, b"") + field(7, b"unknown")) + b"\x53" + field(2, b"x") + b"\x54"
    found = []
    for _ in range(500):
        with contextlib.suppress(DecodeError):
            found.append(parse(maker.damaged(message("A|1", requestMode=1) + odd)))
    assert 0 < len(found) < 500


@pytest.mark.parametrize("payload", [b"\x12", b"\x12\xff", b"\x12\x05abc", b"\x08", b"\xff" * 40, b"{}", b"\x0a\x01"])
def test_garbage_is_no_message(payload: bytes) -> None:
    assert outline(payload) is None


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_frame_is_a_message_of_the_given_feeds(snapshot: bool) -> None:
    parts = [outline(message(key, requestMode=1)) for key in ("A|1", "B|2")]
    whole = frame([part.feeds[0].data for part in parts if part], 1_742_373_998_670, snapshot=snapshot)
    found = pb.FeedResponse.FromString(whole)
    assert (found.type, found.currentTs, set(found.feeds)) == (not snapshot, 1_742_373_998_670, {"A|1", "B|2"})


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**32, 2**63 - 1])
def test_numbers_are_read_as_they_are_written(number: int) -> None:
    assert read_varint(varint(number), 0) == (number, len(varint(number)))
    assert pb.LTPC.FromString(b"\x10" + varint(number)).ltt == number
    assert pb.LTPC.FromString(b"\x10" + varint(-number)).ltt == -number
