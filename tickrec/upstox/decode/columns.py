"""Columns: the broker's nested messages become the flat columns of `ticks`.

Owns which field of which branch becomes which column, and when one is NULL. Every branch has a row for every entry, so
several are coalesced; where there is one, buffers are taken over as they are.
"""

from collections.abc import Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from tickrec import schema
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode.parsed import Messages
from tickrec.upstox.decode.wire import LAST_INSTANT

_INSTANT: Final = pa.timestamp("ms", tz="UTC")
_MODES: Final = pa.array([value.name for value in pb.DESCRIPTOR.enum_types_by_name["RequestMode"].values])
_BARS: Final = {"day": pa.scalar("1d"), "min": pa.scalar("I1")}
_BAR: Final = {**{name: name for name in ("open", "high", "low", "close")}, "vol": "volume", "ts": "ts"}
_BOOK: Final = {
    "bidP": ("bid", "bid_prices"),
    "bidQ": ("bid_qty", "bid_qtys"),
    "askP": ("ask", "ask_prices"),
    "askQ": ("ask_qty", "ask_qtys"),
}
_MARKET: Final = {
    **{name: name for name in ("atp", "vtt", "oi", "iv", "tbq", "tsq", "iep", "rp", "ieq")},
    **{"iiqTotal": "iiq_total", "iiqM": "iiq_m", "casEligible": "cas_eligible"},
}

# Made once: turning a Python number into a scalar costs as much as most of what is done with it here.
_ZERO: Final = pa.scalar(0.0)
_ONE: Final = pa.scalar(1, pa.int64())
_NO_PRICE: Final = pa.scalar(None, pa.float64())
_NO_NUMBER: Final = pa.scalar(None, pa.int64())
_NO_PLACE: Final = pa.scalar(None, pa.int32())
_LEVEL: Final = pa.scalar(0, pa.int32())
_INSTANTS: Final = pa.scalar(LAST_INSTANT, pa.uint64())
_TYPES: Final = {field.name: field.type for field in schema.TICKS}

Columns = dict[str, pa.Array]


def flatten(messages: Messages) -> Columns:
    """The columns of `ticks` that come from the feed entries, one row an entry; a column nobody sent is missing."""
    makers = {"ltpc": _ltpc, "marketFF": _market, "indexFF": _index, "firstLevelWithGreeks": _first_level}
    found: dict[str, list[pa.Array]] = {"mode": [_modes(messages.modes)]}
    for branch, message in messages.branches.items():
        for name, values in makers[branch](_fields(message)).items():
            found.setdefault(name, []).append(values)
    return {name: arrays[0] if len(arrays) == 1 else pc.coalesce(*arrays) for name, arrays in found.items()}


def table(columns: Columns, rows: int) -> pa.RecordBatch:
    """The columns in the order of `ticks`; a missing one is NULL."""
    arrays = [columns[name] if name in columns else pa.nulls(rows, kind) for name, kind in _TYPES.items()]
    return pa.RecordBatch.from_arrays(arrays, schema=schema.TICKS)


def instants(numbers: pa.Int64Array) -> pa.TimestampArray:
    """Milliseconds since the epoch as times; NULL for 0 (not set) and for what no calendar holds."""
    # One comparison for both ends: of what is less than 1, the unsigned distance from 1 is huge.
    valid = pc.less(pc.subtract(numbers, _ONE).view(pa.uint64()), _INSTANTS)
    if valid.true_count < len(numbers):
        numbers = pc.if_else(valid, numbers, _NO_NUMBER)
    return numbers.view(_INSTANT)


def _fields(message: pa.StructArray) -> Columns:
    """The fields of a message by name, NULL where the message was not sent."""
    return dict(zip(message.type.names, message.flatten(), strict=True))


def _modes(numbers: pa.Int32Array) -> pa.StringArray:
    """Modes by name; a number that the schema does not know stays visible."""
    try:
        return pc.array_take(_MODES, numbers)
    except IndexError:
        names = dict(enumerate(_MODES.to_pylist()))
        return pa.array([names.get(number, f"unknown_{number}") for number in numbers.to_pylist()], pa.string())


def _market(sent: Columns) -> Columns:
    return {
        **{column: sent[field] for field, column in _MARKET.items()},
        **_ltpc(_fields(sent["ltpc"])),
        **_levels(_fields(sent["marketLevel"])["bidAskQuote"]),
        **_greeks(sent["optionGreeks"]),
        **_bars(_fields(sent["marketOHLC"])["ohlc"]),
    }


def _index(sent: Columns) -> Columns:
    return {**_ltpc(_fields(sent["ltpc"])), **_bars(_fields(sent["marketOHLC"])["ohlc"])}


def _first_level(sent: Columns) -> Columns:
    return {
        **{name: sent[name] for name in ("vtt", "oi", "iv")},
        **_ltpc(_fields(sent["ltpc"])),
        **_one_level(sent["firstDepth"]),
        **_greeks(sent["optionGreeks"]),
    }


def _ltpc(sent: Columns) -> Columns:
    plain = {name: sent[name] for name in ("ltp", "ltq", "cp")}
    return {**plain, "ltt": instants(sent["ltt"]), "ltpc_iep": sent["iep"]}


def _greeks(message: pa.StructArray) -> Columns:
    """The greeks, NULL where all are zero: equities and futures carry the message empty (observed 2025-03)."""
    if message.null_count == len(message):
        return {}
    found = _fields(message)
    given = None
    for values in found.values():
        some = pc.not_equal(values, _ZERO)
        given = pc.or_(given, some) if given else some
        if given.true_count == len(message):
            return found
    return {name: pc.if_else(given, values, _NO_PRICE) for name, values in found.items()}


def _levels(quotes: pa.ListArray) -> Columns:
    """All levels as lists, and the first as scalars, which are NULL when there is none."""
    first = quotes.offsets[:-1]
    filled = pc.greater(pc.list_value_length(quotes), _LEVEL)
    if filled.true_count < len(quotes):
        first = pc.if_else(filled, first, _NO_PLACE)
    columns: Columns = {}
    for name, values in _fields(quotes.values).items():
        scalar, plural = _BOOK[name]
        columns[scalar] = pc.array_take(values, first)
        columns[plural] = _lists_like(quotes, values)
    return columns


def _one_level(quote: pa.StructArray) -> Columns:
    """The one level of option_greeks mode, as scalars and as lists of one."""
    ends = pc.cumulative_sum(quote.is_valid().cast(pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    columns: Columns = {}
    for name, values in _fields(quote).items():
        scalar, plural = _BOOK[name]
        columns[scalar] = values
        columns[plural] = pa.ListArray.from_arrays(offsets, values.drop_null(), mask=quote.is_null())
    return columns


def _lists_like(lists: pa.ListArray, values: pa.Array) -> pa.ListArray:
    """Lists of other values at the same places; nothing is copied."""
    buffers = lists.buffers()[:2]
    return pa.Array.from_buffers(pa.list_(values.type), len(lists), buffers, offset=lists.offset, children=[values])


def _bars(lists: pa.ListArray) -> Columns:
    """The bars by their interval, wherever they stand in the list; of two of one interval the last counts."""
    fields, owners, rows = _fields(lists.flatten()), pc.list_parent_indices(lists), len(lists)
    chosen = pa.concat_arrays([_chosen(fields["interval"], wanted, owners, rows) for wanted in _BARS.values()])
    columns: Columns = {}
    for name, column in _BAR.items():
        values = pc.array_take(fields[name], chosen)
        values = instants(values) if name == "ts" else values
        for number, prefix in enumerate(_BARS):
            columns[f"{prefix}_{column}"] = values.slice(number * rows, rows)
    return columns


def _chosen(intervals: pa.StringArray, wanted: pa.StringScalar, owners: pa.Int64Array, rows: int) -> pa.Array:
    """For each row the position of the bar that it has of the wanted interval, or NULL."""
    positions = pc.indices_nonzero(pc.equal(intervals, wanted))
    owners = pc.array_take(owners, positions)
    which = pc.inverse_permutation(owners, max_index=rows - 1)
    if rows - which.null_count < len(owners):
        last: Mapping[int, int] = dict(zip(owners.to_pylist(), positions.to_pylist(), strict=True))
        return pa.array([last.get(row) for row in range(rows)], positions.type)
    return pc.array_take(positions, which)
