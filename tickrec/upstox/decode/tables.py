"""Tables: journalled messages become the rows of `ticks`, `market_status` and `rejected`.

Pure: no socket, no file, no clock. Owns the columns that say which message a row came from; the shape of the feed
entries is in `columns`, the decoding of bytes in `batches`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tickrec import schema
from tickrec.journal.entry import Entry
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode import batches, columns, parsed
from tickrec.upstox.decode.peek import STATUS
from tickrec.upstox.decode.wire import LAST_INSTANT

_NO_STATUS: Final = schema.MARKET_STATUS.empty_table()
_NONE_REJECTED: Final = schema.REJECTED.empty_table()
_RECEIVED: Final = schema.TICKS.field("recv_ts").type
_VALUES: Final = tuple(schema.TICKS)[schema.TICKS.get_field_index("ltp") :]
"""The columns of `ticks` that the broker sent; the ones before say where a row came from."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The rows of some messages, with the columns of `schema` exactly. Ticks are in the order of instruments, and those
    of an instrument, as all other rows, in the order of messages."""

    ticks: pa.Table
    market_status: pa.Table
    rejected: pa.Table


def decode(entries: Sequence[Entry], symbols: Mapping[str, str]) -> Decoded:
    """Decode MESSAGE entries; `symbols` gives the trading symbol of an instrument key.

    Every call costs 2 ms, in which 1,000 ticks could be decoded. A message that cannot be decoded, or a text message,
    becomes a row of `rejected`; nothing is raised for it.
    """
    binary = [entry for entry in entries if not entry.text]
    messages, numbers, errors = batches.read([entry.payload for entry in binary])
    kept = [binary[number] for number in numbers]
    rejected = [_rejected(binary[number], error) for number, error in errors.items()]
    rejected += [_rejected(entry, "a text message") for entry in entries if entry.text]
    return Decoded(
        pa.Table.from_batches([_ticks(messages, kept, symbols)]),
        _table(_market_status(messages, kept), _NO_STATUS),
        _table(sorted(rejected, key=lambda row: row["seq"]), _NONE_REJECTED),
    )


def _ticks(messages: parsed.Messages, entries: list[Entry], symbols: Mapping[str, str]) -> pa.RecordBatch:
    rows = len(messages.keys)
    if not rows:
        return columns.table({}, 0)
    flat = columns.flatten(messages)
    for name, array in _of_messages(messages, entries).items():
        flat[name] = pc.array_take(array, messages.parents)
    names = pa.array([symbols.get(key) for key in messages.codes.dictionary.to_pylist()], pa.string())
    flat["instrument_key"] = messages.keys
    flat["symbol"] = pc.array_take(names, messages.codes.indices)
    return columns.table(flat, rows)


def _of_messages(messages: parsed.Messages, entries: list[Entry]) -> columns.Columns:
    """The columns that all rows of a message share, one row a message."""
    return {
        "seq": pa.array([entry.seq for entry in entries], pa.int64()),
        "conn": pa.array([entry.conn for entry in entries], pa.int16()),
        "recv_ts": pa.array([entry.wall_ns // 1000 for entry in entries], pa.int64()).view(_RECEIVED),
        "feed_ts": columns.instants(messages.times),
        "snapshot": pc.equal(messages.types, pb.FeedResponse().type),
    }


def _market_status(messages: parsed.Messages, entries: list[Entry]) -> list[dict[str, Any]]:
    rows = []
    for number, info in messages.infos.items():
        entry, sent = entries[number], messages.times[number].as_py()
        shared = {"seq": entry.seq, "recv_ts": entry.wall_ns // 1000, "feed_ts": _instant(sent)}
        rows += [{**shared, **row} for row in _statuses(info)]
    return rows


def _statuses(info: Any) -> Iterator[dict[str, Any]]:
    """One row a segment of each kind, in alphabetical order: the order on the wire says nothing."""
    for segment, number in sorted(info.segmentStatus.items()):
        yield {"kind": "segment", "segment": segment, "status": STATUS.get(number, f"unknown_{number}")}
    for kind, infos in (("cas", info.casMarketStatus), ("preopen", info.preOpenSessionStatus)):
        for segment, told in sorted(infos.items()):
            updated = _instant(told.updatedTime)
            yield {"kind": kind, "segment": segment, "status": told.status, "updated_ts": updated}


def _instant(number: int) -> int | None:
    """A time in ms, or None where `columns.instants` has NULL."""
    return number if 0 < number <= LAST_INSTANT else None


def _rejected(entry: Entry, error: str) -> dict[str, Any]:
    return {"seq": entry.seq, "recv_ts": entry.wall_ns // 1000, "size": len(entry.payload), "error": error}


def _table(rows: list[dict[str, Any]], empty: pa.Table) -> pa.Table:
    return pa.Table.from_pylist(rows, empty.schema) if rows else empty


def served(ticks: pa.Table) -> pa.BooleanArray:
    """For each row of `ticks` whether it says something, by the rule of `peek.served_keys`."""
    found = pa.repeat(pa.scalar(False), ticks.num_rows)
    for field in _VALUES:
        if found.true_count == len(found):
            break
        column = ticks.column(field.name).combine_chunks()
        if pa.types.is_list(field.type):
            values = _nonzero(column.flatten())
            rows = pc.list_parent_indices(column).filter(values)
            given = pc.is_in(pa.array(range(len(column)), pa.int64()), value_set=rows)
        else:
            given = _nonzero(column)
        found = pc.or_(found, given)
    return found


def _nonzero(values: pa.Array) -> pa.BooleanArray:
    zero = pa.scalar(False) if pa.types.is_boolean(values.type) else pa.scalar(0, values.type)
    return pc.fill_null(pc.not_equal(values, zero), False)
