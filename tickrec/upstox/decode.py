"""Journalled messages to the rows of `ticks`, `market_status` and `rejected`.

Pure: no socket, no file, no clock. Owns the columns that say which message a row came from; the shape of the feed
entries is in `flatten`, the decoding of bytes in `wire`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tickrec import schema
from tickrec.entry import Entry
from tickrec.upstox import MarketDataFeedV3_pb2 as pb
from tickrec.upstox import flatten, wire

PIECE: Final = 512 * 1024
"""Payload bytes decoded at a time: some 1,200 ticks, 3 ms. The Arrow decoder holds the interpreter's lock."""

_INITIAL: Final = pb.FeedResponse.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_name["initial_feed"].number
_STATUS: Final = {value.number: value.name for value in pb.DESCRIPTOR.enum_types_by_name["MarketStatus"].values}


@dataclass(frozen=True, slots=True)
class Decoded:
    """The rows of some messages, in message order, with the columns of `schema` exactly."""

    ticks: pa.Table
    market_status: pa.Table
    rejected: pa.Table


def decode(entries: Sequence[Entry], symbols: Mapping[str, str]) -> Decoded:
    """Decode MESSAGE entries; `symbols` gives the trading symbol of an instrument key.

    A message that cannot be decoded, or a text message, becomes a row of `rejected`; nothing is raised for it.
    """
    pieces = [_piece(piece, symbols) for piece in _pieces([entry for entry in entries if not entry.text])]
    rejected = [(entry, "a text message") for entry in entries if entry.text]
    for piece in pieces:
        rejected += piece[2]
    rejected.sort(key=lambda row: row[0].seq)
    return Decoded(
        pa.concat_tables([schema.TICKS.empty_table(), *(piece[0] for piece in pieces)]),
        pa.Table.from_pylist([row for piece in pieces for row in piece[1]], schema.MARKET_STATUS),
        pa.Table.from_pylist([_rejected(entry, error) for entry, error in rejected], schema.REJECTED),
    )


def _pieces(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Consecutive entries of about PIECE bytes."""
    piece: list[Entry] = []
    size = 0
    for entry in entries:
        piece.append(entry)
        size += len(entry.payload)
        if size >= PIECE:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _piece(
    entries: list[Entry], symbols: Mapping[str, str]
) -> tuple[pa.Table, list[dict[str, Any]], list[tuple[Entry, str]]]:
    messages = wire.read([entry.payload for entry in entries])
    kept = [entries[number] for number in messages.kept]
    rejected = [(entries[number], error) for number, error in messages.errors.items()]
    return _ticks(messages.batch, kept, symbols), _market_status(messages.batch, kept), rejected


def _ticks(batch: pa.RecordBatch, entries: list[Entry], symbols: Mapping[str, str]) -> pa.Table:
    feeds = batch.column("feeds")
    rows = wire.parent_rows(feeds)
    if not len(rows):
        return schema.TICKS.empty_table()
    columns = flatten.columns(feeds.items)
    for name, array in _message_columns(batch, entries).items():
        columns[name] = array.take(rows)
    columns["instrument_key"] = feeds.keys
    columns["symbol"] = _symbols(feeds.keys, symbols)
    return flatten.table(columns, len(rows))


def _message_columns(batch: pa.RecordBatch, entries: list[Entry]) -> dict[str, pa.Array]:
    """What all rows of a message share, one row a message."""
    return {
        "seq": pa.array([entry.seq for entry in entries], pa.int64()),
        "conn": pa.array([entry.conn for entry in entries], pa.int16()),
        "recv_ts": pa.array([entry.wall_ns // 1000 for entry in entries], schema.TICKS.field("recv_ts").type),
        "feed_ts": flatten.instants(batch.column("currentTs")),
        "snapshot": pc.equal(batch.column("type"), _INITIAL),
    }


def _symbols(keys: pa.StringArray, symbols: Mapping[str, str]) -> pa.Array:
    encoded = keys.dictionary_encode()
    names = pa.array([symbols.get(key) for key in encoded.dictionary.to_pylist()], pa.string())
    return names.take(encoded.indices)


def _market_status(batch: pa.RecordBatch, entries: list[Entry]) -> list[dict[str, Any]]:
    infos = batch.column("marketInfo")
    if infos.null_count == len(infos):
        return []
    times = flatten.instants(batch.column("currentTs"))
    rows = []
    for number, info in enumerate(infos.to_pylist()):
        if info:
            shared = {"seq": entries[number].seq, "recv_ts": entries[number].wall_ns // 1000}
            shared["feed_ts"] = times[number].value
            rows += [{**shared, **row} for row in _statuses(info)]
    return rows


def _statuses(info: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of one market_info message; of a segment sent twice the last counts, as in protobuf."""
    for segment, number in dict(info["segmentStatus"]).items():
        yield {"kind": "segment", "segment": segment, "status": _STATUS.get(number or 0, f"unknown_{number}")}
    for kind, field in (("cas", "casMarketStatus"), ("preopen", "preOpenSessionStatus")):
        for segment, value in dict(info[field]).items():
            updated = value["updatedTime"] if value else 0
            yield {
                "kind": kind,
                "segment": segment,
                "status": value["status"] if value else "",
                "updated_ts": updated if 0 < updated <= flatten.LAST_INSTANT else None,
            }


def _rejected(entry: Entry, error: str) -> dict[str, Any]:
    return {"seq": entry.seq, "recv_ts": entry.wall_ns // 1000, "size": len(entry.payload), "error": error}
