"""The plain decoder: what it makes is what the Arrow decoder makes, and it takes over where that one cannot be used."""

import logging
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.upstox.decode import oracle
from tests.upstox.decode.agreement import (
    MESSAGES,
    SYMBOLS,
    assert_agrees,
    assert_same,
    drops_a_feed,
    entries,
    rows,
    sample,
)
from tests.upstox.decode.payloads import INFO, market
from tests.upstox.decode.random_messages import Maker
from tickrec.upstox.decode import batches, plain
from tickrec.upstox.decode.tables import Decoded, decode


@pytest.fixture
def decoded_by_protobuf(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the plain decoder be the one that is used."""
    with monkeypatch.context() as patched:
        patched.setattr(batches, "read", plain.read)
        yield


def assert_equal(ours: Decoded, theirs: Decoded) -> None:
    for table, other, by in (
        (ours.ticks, theirs.ticks, ("seq", "instrument_key")),
        (ours.market_status, theirs.market_status, ("seq", "kind", "segment")),
        (ours.rejected.drop_columns("error"), theirs.rejected.drop_columns("error"), ("seq",)),
    ):
        assert_same(rows(table), rows(other), by)


@pytest.mark.usefixtures("decoded_by_protobuf")
@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_captured_messages_decode_as_the_oracle_reads_them(path: Path) -> None:
    assert_agrees(sample(path))


@pytest.mark.parametrize("seed", range(10))
def test_both_decoders_and_the_oracle_agree_over_random_messages(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    maker = Maker(seed)
    payloads = [maker.message(8) for _ in range(maker.random.randint(1, 40))]
    by_arrow = assert_agrees(payloads)
    monkeypatch.setattr(batches, "read", plain.read)
    assert_equal(assert_agrees(payloads), by_arrow)


@pytest.mark.usefixtures("decoded_by_protobuf")
@pytest.mark.parametrize("seed", range(1000, 1020))
def test_of_damaged_messages_exactly_those_that_protobuf_refuses_are_rejected(seed: int) -> None:
    maker = Maker(seed)
    payloads = [maker.damaged(maker.message(4)) for _ in range(24)]
    payloads += [random.Random(seed).randbytes(40), INFO, b""]
    assert_agrees([payload for payload in payloads if not drops_a_feed(payload)])


@pytest.mark.usefixtures("decoded_by_protobuf")
@pytest.mark.parametrize("payloads", [[], [b""], [INFO], [b"\xff"]], ids=["none", "empty", "info", "garbage"])
def test_messages_without_ticks_give_tables_without_rows(payloads: list[bytes]) -> None:
    assert assert_agrees(payloads).ticks.num_rows == 0


def test_without_ptars_the_plain_decoder_takes_over_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "ptars", None)
    monkeypatch.setattr(batches, "_decoders", batches._decoders.__wrapped__)  # as if nothing had been decoded yet
    batches._warn_once.cache_clear()
    for number in range(3):
        assert assert_agrees([market(vtt=number)]).ticks["vtt"].to_pylist() == [number]
    (warned,) = [record.getMessage() for record in caplog.records if record.name == "tickrec"]
    assert "ptars cannot be used" in warned


class Refusing:
    """A decoder that refuses everything."""

    def list_to_record_batch(self, payloads: list[bytes]) -> object:
        raise ValueError("no")


def test_what_ptars_refuses_and_protobuf_accepts_is_decoded_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(batches, "_decoders", lambda: (Refusing(), {}))
    payloads = [market(vtt=1), b"\xff", market(vtt=2)]
    given = entries(payloads)
    with caplog.at_level(logging.WARNING, "tickrec"):
        for _ in range(2):
            decoded = decode(given, SYMBOLS)
    assert decoded.ticks["vtt"].to_pylist() == [1, 2]
    assert [row["seq"] for row in rows(decoded.rejected)] == [row["seq"] for row in oracle.rows(given, {}).rejected]
    assert sum("refuses a message" in record.getMessage() for record in caplog.records) == 1
