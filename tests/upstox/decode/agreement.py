"""Comparing what `decode` made of some payloads with the oracle, value for value."""

import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from tests import SAMPLES
from tests.upstox.decode import oracle
from tickrec import schema
from tickrec.journal.entry import Entry, EntryKind
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode.tables import Decoded, decode

MESSAGES = sorted((SAMPLES / "messages").glob("*.json"))
"""Files with messages as they were captured, as decoded JSON."""
SYMBOLS = {"NSE_EQ|INE090A01021": "ICICIBANK", "NSE_FO|125841": "NIFTY FUT", "": "NAMELESS"}
FIRST_NS = 1_742_373_998_921_000_999


def entries(payloads: Iterable[bytes]) -> list[Entry]:
    """Payloads as journalled messages: seq from 1, on three connections in turn."""
    return [
        Entry(EntryKind.MESSAGE, 1 + number % 3, FIRST_NS + number * 1_000_777, number, payload, False, number + 1)
        for number, payload in enumerate(payloads)
    ]


def sample(path: pathlib.Path) -> list[bytes]:
    """The messages of a sample file, encoded."""
    frames = json.loads(path.read_text())["frames"]
    return [json_format.ParseDict(frame, pb.FeedResponse()).SerializeToString() for frame in frames]


def rows(table: pa.Table) -> list[oracle.Row]:
    """A table as dicts, with times as integers of their unit."""
    columns = {
        field.name: table[field.name].cast(pa.int64()) if pa.types.is_timestamp(field.type) else table[field.name]
        for field in table.schema
    }
    found: list[oracle.Row] = pa.table(columns).to_pylist()
    return found


def assert_tables(decoded: Decoded) -> None:
    """The tables are sound Arrow and have their schemas exactly."""
    tables = (
        (decoded.ticks, schema.TICKS),
        (decoded.market_status, schema.MARKET_STATUS),
        (decoded.rejected, schema.REJECTED),
    )
    for table, wanted in tables:
        table.validate(full=True)
        assert table.schema.equals(wanted, check_metadata=True)


def assert_agrees(payloads: Sequence[bytes], symbols: Mapping[str, str] = SYMBOLS, messages: Any = pb) -> Decoded:
    """Decode payloads and hold the result against the oracle's."""
    given = entries(payloads)
    decoded, expected = decode(given, symbols), oracle.rows(given, symbols, messages)
    assert_tables(decoded)
    assert_same(rows(decoded.ticks), expected.ticks, by=("seq", "instrument_key"))
    assert_same(rows(decoded.market_status), expected.market_status, by=("seq", "kind", "segment"))
    assert_same(rows(decoded.rejected.drop_columns("error")), expected.rejected, by=("seq",))
    return decoded


def drops_a_feed(payload: bytes) -> bool:
    """Whether protobuf is at odds with its own specification: the C implementation drops a map entry that has an
    unknown field beside key and value."""
    try:
        return any(found.field_number == 2 for found in UnknownFieldSet(pb.FeedResponse.FromString(payload)))
    except DecodeError:
        return False


def assert_same(ours: list[oracle.Row], theirs: list[oracle.Row], by: Sequence[str]) -> None:
    """Equal rows up to their order, with NaN equal to NaN and -0.0 not to 0.0."""

    def keyed(found: list[oracle.Row]) -> dict[tuple[object, ...], dict[str, str]]:
        result = {tuple(row[name] for name in by): exact(row) for row in found}
        assert len(result) == len(found), f"not unique by {by}"
        return result

    assert keyed(ours) == keyed(theirs)


def exact(row: oracle.Row) -> dict[str, str]:
    """Something that compares equal only to the same values of the same types: as each is written in Python."""
    return {name: repr(value) for name, value in row.items()}
