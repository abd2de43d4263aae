"""Feed entries as nested Arrow structs to the flat columns of `ticks`.

Owns which field of which branch becomes which column, and when a column is NULL. The decoder keeps every branch at
full length, so an entry's row is the same everywhere: a column is a child's buffer under the validity of all its
parents, and columns of several branches are coalesced. Nothing is copied for a piece that uses one branch.
"""

from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tickrec import schema
from tickrec.upstox import MarketDataFeedV3_pb2 as pb

INSTANT: Final = pa.timestamp("ms", tz="UTC")
LAST_INSTANT: Final = 253_402_300_799_999
"""The end of the year 9999 in ms: what every reader of the files can still represent."""

_MODES: Final = pa.array([value.name for value in pb.Feed.DESCRIPTOR.fields_by_name["requestMode"].enum_type.values])
_GREEKS: Final = ("delta", "theta", "gamma", "vega", "rho")
_BARS: Final = (("day", "1d"), ("min", "I1"))
_BAR_FIELDS: Final = (("open", "open"), ("high", "high"), ("low", "low"), ("close", "close"), ("volume", "vol"))
_BOOK: Final = (("bid", "bidP"), ("bid_qty", "bidQ"), ("ask", "askP"), ("ask_qty", "askQ"))
_MARKET_ONLY: Final = (
    *(("atp", "atp"), ("tbq", "tbq"), ("tsq", "tsq"), ("iep", "iep"), ("rp", "rp"), ("ieq", "ieq")),
    *(("iiq_total", "iiqTotal"), ("iiq_m", "iiqM"), ("cas_eligible", "casEligible")),
)


class Sent(NamedTuple):
    """A struct of the schema, one slot an entry, and the rows where it and all its parents were sent."""

    struct: pa.StructArray
    rows: pa.BooleanArray

    def part(self, name: str) -> "Sent | None":
        """A sub-message, or None if no row has it."""
        child = self.struct.field(name)
        if child.null_count == len(child):
            return None
        rows = pc.and_(self.rows, child.is_valid())
        return Sent(child, rows) if pc.any(rows).as_py() else None

    def column(self, name: str) -> pa.Array:
        """A scalar field, NULL where the message was not sent."""
        child = self.struct.field(name)
        if child.offset or self.rows.offset or child.null_count:
            return pc.if_else(self.rows, child, None)
        return pa.Array.from_buffers(child.type, len(child), [self.rows.buffers()[1], child.buffers()[1]])


def columns(entries: pa.StructArray) -> dict[str, pa.Array]:
    """The columns of `ticks` that come from the feed entries, by name, one row an entry.

    `entries` is the values of the map `feeds`.
    """
    feed = Sent(entries, entries.is_valid())
    full = feed.part("fullFeed")
    market = full.part("marketFF") if full else None
    index = full.part("indexFF") if full else None
    first = feed.part("firstLevelWithGreeks")
    found: dict[str, list[pa.Array]] = {}
    for branch in (market, index, first):
        _add(found, _prices(branch.part("ltpc") if branch else None))
    _add(found, _prices(feed.part("ltpc")))
    for branch in (market, index):
        _add(found, _bars(branch.part("marketOHLC") if branch else None))
    if market:
        _add(found, {name: market.column(field) for name, field in _MARKET_ONLY})
        _add(found, _levels(market.part("marketLevel")))
    if first:
        _add(found, _first_level(first.part("firstDepth")))
    for branch in (market, first):
        if branch:
            _add(found, {name: branch.column(name) for name in ("vtt", "oi", "iv")})
            _add(found, _greeks(branch.part("optionGreeks")))
    return {"mode": _modes(feed), **{name: _merged(arrays) for name, arrays in found.items()}}


def instants(numbers: pa.Array) -> pa.Array:
    """Milliseconds since the epoch as times; NULL for 0 (not set) and for what no calendar holds."""
    valid = pc.and_(pc.greater(numbers, 0), pc.less_equal(numbers, LAST_INSTANT))
    return pc.if_else(valid, numbers, None).view(INSTANT)


def _add(found: dict[str, list[pa.Array]], more: dict[str, pa.Array]) -> None:
    for name, array in more.items():
        found.setdefault(name, []).append(array)


def _merged(arrays: list[pa.Array]) -> pa.Array:
    return arrays[0] if len(arrays) == 1 else pc.coalesce(*arrays)


def _modes(feed: Sent) -> pa.Array:
    """The wire's mode by name; a number that the schema does not know is kept visible."""
    numbers = pc.fill_null(feed.column("requestMode"), 0)
    bounds = pc.min_max(numbers)
    if bounds["min"].as_py() >= 0 and bounds["max"].as_py() < len(_MODES):
        return _MODES.take(numbers)
    names = dict(enumerate(_MODES.to_pylist()))
    return pa.array([names.get(number, f"unknown_{number}") for number in numbers.to_pylist()], pa.string())


def _prices(ltpc: Sent | None) -> dict[str, pa.Array]:
    if not ltpc:
        return {}
    plain = {name: ltpc.column(name) for name in ("ltp", "ltq", "cp")}
    return {**plain, "ltt": instants(ltpc.column("ltt")), "ltpc_iep": ltpc.column("iep")}


def _greeks(greeks: Sent | None) -> dict[str, pa.Array]:
    """The greeks, NULL where all are zero: equities and futures carry the message empty (observed 2025-03)."""
    if not greeks:
        return {}
    found = [greeks.struct.field(name) for name in _GREEKS]
    set_ = pc.not_equal(found[0], 0.0)
    for values in found[1:]:
        set_ = pc.or_(set_, pc.not_equal(values, 0.0))
    meant = Sent(greeks.struct, pc.and_(greeks.rows, set_))
    return {name: meant.column(name) for name in _GREEKS}


def _levels(market_level: Sent | None) -> dict[str, pa.Array]:
    """All levels as lists, and the first as scalars that are NULL when the list is empty."""
    if not market_level:
        return {}
    quotes = market_level.struct.field("bidAskQuote")
    offsets = _from_zero(quotes.offsets)
    starts, ends = offsets[:-1], offsets[1:]
    first = pc.if_else(pc.and_(market_level.rows, pc.less(starts, ends)), starts, None)
    columns: dict[str, pa.Array] = {}
    for name, field in _BOOK:
        values = quotes.values.field(field)
        columns[name] = values.take(first)
        columns[_plural(name)] = _lists(offsets, values, market_level.rows)
    return columns


def _first_level(quote: Sent | None) -> dict[str, pa.Array]:
    """The one level of option_greeks mode, as scalars and as lists of one."""
    if not quote:
        return {}
    offsets = pa.array(range(len(quote.struct) + 1), pa.int32())
    columns: dict[str, pa.Array] = {}
    for name, field in _BOOK:
        columns[name] = quote.column(field)
        columns[_plural(name)] = _lists(offsets, quote.struct.field(field), quote.rows)
    return columns


def _plural(name: str) -> str:
    """bid -> bid_prices, bid_qty -> bid_qtys."""
    return f"{name}s" if name.endswith("_qty") else f"{name}_prices"


def _lists(offsets: pa.Int32Array, values: pa.Array, rows: pa.BooleanArray) -> pa.ListArray:
    validity = rows.buffers()[1]
    return pa.Array.from_buffers(pa.list_(values.type), len(rows), [validity, offsets.buffers()[1]], children=[values])


def _from_zero(array: pa.Array) -> pa.Array:
    """The same values in a buffer that begins with them; a slice shares its parent's buffer."""
    return pc.add(array, 0).cast(array.type) if array.offset else array


def _bars(ohlc: Sent | None) -> dict[str, pa.Array]:
    """The bars by their interval, wherever they stand in the list; of two of one interval the first counts."""
    if not ohlc:
        return {}
    bars = ohlc.struct.field("ohlc")
    parents = pc.list_parent_indices(bars)
    first = bars.offsets[0].as_py()
    entries = bars.values.slice(first, bars.offsets[-1].as_py() - first)
    wanted = pa.array(range(len(bars)), pa.int64())
    columns: dict[str, pa.Array] = {}
    for prefix, interval in _BARS:
        positions = pc.indices_nonzero(pc.equal(entries.field("interval"), interval))
        chosen = positions.take(pc.index_in(wanted, value_set=parents.take(positions)))
        for name, field in _BAR_FIELDS:
            columns[f"{prefix}_{name}"] = entries.field(field).take(chosen)
        columns[f"{prefix}_ts"] = instants(entries.field("ts").take(chosen))
    return columns


def table(columns: dict[str, pa.Array], rows: int) -> pa.Table:
    """The columns in the order of `ticks`; a column that no entry had is NULL."""
    arrays = [columns[field.name] if field.name in columns else pa.nulls(rows, field.type) for field in schema.TICKS]
    return pa.Table.from_arrays(arrays, schema=schema.TICKS)
