"""A small instrument master in the broker's format: real record shapes, made-up contracts of November 2026."""

import datetime as dt
import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests import SAMPLES
from tickrec.clock import IST
from tickrec.market import instruments
from tickrec.market.instruments import Master

RECORDS: dict[str, dict[str, Any]] = json.loads((SAMPLES / "instrument_records.json").read_text())
"""The broker's records by what each stands for."""
TODAY = dt.date(2026, 11, 23)
Record = Mapping[str, Any]


def expiry_ms(date: dt.date) -> int:
    """As the broker writes an expiry: 23:59:59 IST of the day."""
    return int(dt.datetime.combine(date, dt.time(23, 59, 59), IST).timestamp()) * 1000


def share(symbol: str, isin: str, *, segment: str = "NSE_EQ", kind: str = "EQ") -> Record:
    known = {
        "segment": segment,
        "exchange": segment[:3],
        "instrument_type": kind,
        "instrument_key": f"{segment}|{isin}",
    }
    return {**RECORDS["EQ"], **known, "trading_symbol": symbol, "isin": isin, "name": f"{symbol} LTD"}


def index(symbol: str, name: str, *, segment: str = "NSE_INDEX") -> Record:
    known = {"segment": segment, "exchange": segment[:3], "instrument_key": f"{segment}|{name}"}
    return {**RECORDS["INDEX"], **known, "trading_symbol": symbol, "name": name}


def contract(
    underlying: str, on: str, kind: str, expiry: dt.date, *, strike: float = 0.0, segment: str = "NSE_FO"
) -> Record:
    """A contract on the instrument key `on`; its number is made from what it is."""
    shown = f"{expiry:%d %b %y}".upper()
    symbol = f"{underlying} FUT {shown}" if kind == "FUT" else f"{underlying} {strike:g} {kind} {shown}"
    number = str(sum(place * letter for place, letter in enumerate(f"{segment}{symbol}".encode(), 1)))
    sort = "INDEX" if "INDEX" in on else "COM" if segment == "MCX_FO" else "EQUITY"
    return {
        **RECORDS["FUT"],
        **{
            "segment": segment,
            "exchange": segment[:3],
            "instrument_key": f"{segment}|{number}",
            "exchange_token": number,
        },
        **{"underlying_symbol": underlying, "underlying_key": on, "underlying_type": sort, "name": underlying},
        **{"instrument_type": kind, "expiry": expiry_ms(expiry), "strike_price": strike, "trading_symbol": symbol},
    }


def chain(underlying: str, on: str, expiry: dt.date, strikes: Iterable[float], segment: str = "NSE_FO") -> list[Record]:
    return [
        contract(underlying, on, kind, expiry, strike=strike, segment=segment)
        for strike in strikes
        for kind in ("PE", "CE")
    ]


def write_master(path: Path, records: Iterable[object]) -> Path:
    """Write records as the broker's .json.gz."""
    path.write_bytes(gzip.compress(json.dumps(list(records), separators=(",", ":")).encode(), 1))
    return path


def master_of(folder: Path, records: Iterable[object]) -> Master:
    """The records converted in this process and read back."""
    source = write_master(folder / "complete.json.gz", records)
    assert instruments.main([str(source), str(folder / "instruments.parquet"), "0"]) == 0
    return Master.read(folder / "instruments.parquet")
