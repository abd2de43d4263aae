"""Master: the broker's list of everything that can be subscribed, turned into a table, and back.

Owns the shape of the broker's file (JSON, 55 MB unpacked; docs: instruments, 2026-09) and what each of its fields
becomes. To be read in a process of its own: its records as Python objects take hundreds of megabytes.
"""

import datetime as dt
import gzip
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from tickrec.schema import INSTRUMENTS

_IST_MS: Final = 19_800_000
_DAY_MS: Final = 86_400_000
_CHUNK_BYTES: Final = 1 << 20
_BATCH_ROWS: Final = 8192
"""Rows in a batch while converting."""
EXCHANGES: Final = ("complete", "NSE", "BSE", "MCX")
"""The broker's files: of everything, and of single exchanges."""
_NAMES: Final = {"symbol": "trading_symbol", "strike": "strike_price"}
"""The broker's names of columns that we call otherwise."""
_LAST_EXPIRY_MS: Final = 7_258_118_400_000
"""The year 2200."""
_INT64: Final = 1 << 63


class BrokerList(NamedTuple):
    """The broker's list as a table of the instruments schema, and how many odd records it leaves out."""

    table: pa.Table
    odd: int


def read_master(path: Path) -> BrokerList:
    """The broker's .json.gz, one row for each record that can be subscribed.

    A record is odd that has a number or a text which no table can hold (NaN, an expiry in a million years). Raises
    ValueError when it is not what the broker sends or lists nothing; OSError, EOFError, zlib.error, RecursionError or
    pyarrow's ArrowException when it cannot be read.
    """
    found = _table(_records(path))
    if not found.table.num_rows:
        raise ValueError("it lists no instruments")
    return found


def master_file(instruments: pa.Table, exchange: str = "complete") -> bytes | None:
    """The broker's .json.gz of an exchange (NSE, BSE, MCX) or of all, made of a table of the instruments schema.

    None where the broker has no such file. It reads as the table again; what the table does not have is left out.
    """
    if exchange not in EXCHANGES:
        return None
    pieces = []
    for batch in instruments.to_batches(max_chunksize=_BATCH_ROWS):
        pieces += [_encode(row) for row in batch.to_pylist() if exchange in ("complete", row["exchange"])]
    return gzip.compress(b"[" + b",".join(pieces) + b"]", 1, mtime=0)


def _encode(row: Mapping[str, Any]) -> bytes:
    """One record of the broker's file, without the fields that the instrument does not have."""
    record = {_NAMES.get(name, name): value for name, value in row.items() if value is not None}
    if "expiry" in record:
        days = (record["expiry"] - dt.date(1970, 1, 1)).days + 1
        record["expiry"] = days * _DAY_MS - _IST_MS - 1000  # 23:59:59 of that day
    if "tick_size" in record:
        record["tick_size"] = round(record["tick_size"] * 100, 6)
    if not record["cas_eligible"]:
        del record["cas_eligible"]
    return json.dumps(record, separators=(",", ":")).encode()


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a gzipped JSON array, one at a time: the whole array as Python objects takes 400 MB."""
    decoder = json.JSONDecoder()
    with gzip.open(path, "rt", encoding="utf-8") as file:
        text = file.read(_CHUNK_BYTES).lstrip()
        if not text.startswith("["):
            raise ValueError("it is not a JSON array")
        at = 1
        while True:
            at = _skip(text, at)
            if text[at : at + 1] == "]":
                return
            try:
                record, at = decoder.raw_decode(text, at)
            except json.JSONDecodeError:
                more = file.read(_CHUNK_BYTES)
                if not more:
                    raise ValueError("it ends in the middle, or is not JSON") from None
                text, at = text[at:] + more, 0
                continue
            if isinstance(record, dict):
                yield record


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\n", "\r", "\t", ","):
        at += 1
    return at


def _row(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """One record of the broker's file as a row of the schema; None for one that cannot be subscribed.

    Raises ValueError for an odd one.
    """
    key, symbol = _text(record, "instrument_key"), _text(record, "trading_symbol")
    if key is None or symbol is None:
        return None
    kind, expiry = _text(record, "instrument_type"), _number(record, "expiry")
    if expiry and not 0 < expiry < _LAST_EXPIRY_MS:
        raise ValueError("an expiry beyond all dates")
    paise = _number(record, "tick_size")
    return {
        "instrument_key": key,
        "segment": _text(record, "segment") or key.partition("|")[0],
        "exchange": _text(record, "exchange"),
        "symbol": symbol,
        "name": _text(record, "name"),
        "instrument_type": kind,
        "expiry": int(expiry + _IST_MS) // _DAY_MS if expiry else None,
        "strike": _number(record, "strike_price") if kind in ("CE", "PE") else None,
        "lot_size": _whole(record, "lot_size"),
        "tick_size": None if paise is None else paise / 100,
        "underlying_key": _text(record, "underlying_key"),
        "underlying_symbol": _text(record, "underlying_symbol"),
        "underlying_type": _text(record, "underlying_type"),
        "isin": _text(record, "isin"),
        "exchange_token": _text(record, "exchange_token"),
        "freeze_quantity": _number(record, "freeze_quantity"),
        "qty_multiplier": _number(record, "qty_multiplier"),
        "weekly": record.get("weekly") if isinstance(record.get("weekly"), bool) else None,
        "cas_eligible": record.get("cas_eligible") is True,  # the broker sends it only when true
        "security_type": _text(record, "security_type"),
        "short_name": _text(record, "short_name"),
    }


def _text(record: Mapping[str, Any], name: str) -> str | None:
    """A text field without blanks around it; None if it is missing, empty or something else, as for records of a
    shape not seen yet. Raises ValueError for half of a character."""
    value = record.get(name)
    if not isinstance(value, str):
        return None
    if not value.isascii():
        value.encode()
    return value.strip() or None


def _number(record: Mapping[str, Any], name: str) -> float | None:
    """A number field. Raises ValueError for one that is not finite."""
    value = record.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    if not math.isfinite(value) or abs(value) >= _INT64:
        raise ValueError("a number beyond all bounds")
    return float(value)


def _whole(record: Mapping[str, Any], name: str) -> int | None:
    value = _number(record, name)
    return None if value is None else int(value)


def _table(records: Iterator[dict[str, Any]]) -> BrokerList:
    batches, rows, odd = [], [], 0
    for record in records:
        try:
            row = _row(record)
        except (ValueError, OverflowError):
            odd += 1
            continue
        if row is not None:
            rows.append(row)
        if len(rows) == _BATCH_ROWS:
            batches.append(pa.RecordBatch.from_pylist(rows, schema=INSTRUMENTS))
            rows = []
    batches.append(pa.RecordBatch.from_pylist(rows, schema=INSTRUMENTS))
    return BrokerList(pa.Table.from_batches(batches), odd)
