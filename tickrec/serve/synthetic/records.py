"""Records: the instrument master files: one JSON record for each instrument, in the broker's shape.

Owns which fields a record of each kind has, and their types (page Instruments, and files observed 2026-09).
"""

import gzip
import json
from collections.abc import Iterable
from typing import Any, Final

from tickrec.serve.synthetic.listings import Listing

FILES: Final = ("complete", "NSE", "BSE", "MCX")
"""The files served, as in .../instruments/exchange/<name>.json.gz."""

_UNITS: Final = {"CRUDEOIL": "BBL", "GOLDM": "10 GRMS"}
"""What the price of a commodity is a price of."""


def master_file(name: str, listings: Iterable[Listing]) -> bytes:
    """The file `name` (one of FILES) as gzipped JSON."""
    rows = [record(x) for x in listings if name == "complete" or _exchange(x) == name]
    return gzip.compress(json.dumps(rows, separators=(",", ":")).encode(), 1, mtime=0)


def record(x: Listing) -> dict[str, Any]:
    """One row of a master file, with the fields of its kind and their types."""
    row: dict[str, Any] = {
        "segment": x.segment,
        "name": x.name,
        "exchange": _exchange(x),
        "instrument_type": x.kind,
        "instrument_key": x.key,
        "exchange_token": x.token,
        "trading_symbol": x.symbol,
    }
    if x.kind == "INDEX":
        return row | ({"cas_eligible": True} if x.segment == "NSE_INDEX" else {})
    row |= {"tick_size": float(x.tick), "qty_multiplier": 1.0}
    return row | (_of_contract(x) if x.expiry_ms else _of_share(x))


def _exchange(listing: Listing) -> str:
    return {"NC": "NSE", "BC": "BSE", "NS": "NSE", "BS": "BSE", "MC": "MCX"}[listing.segment[:2]]


def _of_share(x: Listing) -> dict[str, Any]:
    row: dict[str, Any] = {"isin": x.isin, "lot_size": 1, "freeze_quantity": 100000.0}
    if x.closing_auction:
        row |= {"short_name": x.symbol.title(), "cas_eligible": True}
    if x.segment == "NSE_EQ":
        row["security_type"] = "NORMAL"
        if x.closing_auction:
            row |= {"mtf_enabled": True, "mtf_bracket": 26.5}
    return row


def _of_contract(x: Listing) -> dict[str, Any]:
    row: dict[str, Any] = {
        "weekly": x.weekly,
        "expiry": x.expiry_ms,
        "asset_symbol": x.underlying_symbol,
        "underlying_symbol": x.underlying_symbol,
        "lot_size": x.lot,
        "freeze_quantity": float(x.lot * 30),
        "minimum_lot": x.lot,
        "asset_key": x.underlying_key,
        "underlying_key": x.underlying_key,
        "asset_type": x.underlying_type,
        "underlying_type": x.underlying_type,
        "strike_price": x.strike,
    }
    if x.segment == "MCX_FO":
        row |= {"last_trading_date": x.expiry_ms, "price_quote_unit": _UNITS[x.underlying_symbol]}
    return row
