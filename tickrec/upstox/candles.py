"""Candles: the exchange's minute bars of an instrument, asked for and judged.

Owns the addresses of the two endpoints and the shape of their answers (docs: v3 historical-candle and
intraday-candle, 2026-09): rows newest first, times with the offset of India, no token needed. A bar of the intraday
endpoint is there 6 to 36 s after its end (observed 2026-09).
"""

import datetime as dt
import math
import urllib.parse
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from tickrec.clock import from_datetime, ist
from tickrec.upstox.auth import Token
from tickrec.upstox.protocol import Failure, Situation
from tickrec.upstox.rest import Rest, RestError

_ODD: Final = (TypeError, ValueError, OverflowError)
"""What reading a row of a shape not seen yet raises."""
_INT64: Final = 1 << 63


class Candle(NamedTuple):
    """A minute of the exchange: rupees, units."""

    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: int | None
    """None: what the broker said cannot be (32-bit overflow made volumes negative, IDEA 2024-08-30)."""
    oi: float | None


class Candles(NamedTuple):
    """The minutes of a date, oldest first, and how many rows of the answer were none."""

    rows: list[Candle]
    odd: int


def fetch(rest: Rest, key: str, date: dt.date, token: Token | None, *, today: bool) -> Candles:
    """The minutes of an instrument on a date; of `today` as far as it has come. A token is sent if there is one.

    Raises RestError.
    """
    name = urllib.parse.quote(key, safe="")
    way = f"intraday/{name}/minutes/1" if today else f"{name}/minutes/1/{date}/{date}"
    path = f"/v3/historical-candle/{way}"
    data = rest.data(path, token)
    rows = data.get("candles") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise RestError(Failure(Situation.BAD_ANSWER, detail="no candles in it"), rest.api_url + path)
    return judge(rows, date)


def judge(rows: Iterable[Any], date: dt.date) -> Candles:
    """The rows of an answer that are minutes of a date. Of two of one minute the first counts; those of other dates
    are passed over (the intraday endpoint was seen to serve the day before, 2026-09)."""
    found: dict[int, Candle] = {}
    odd = 0
    for row in rows:
        try:
            candle = _candle(row)
        except _ODD:
            odd += 1
            continue
        if ist(candle.start_ns).date() == date:
            found.setdefault(candle.start_ns, candle)
    return Candles([found[start] for start in sorted(found)], odd)


def _candle(row: Any) -> Candle:
    """One row of an answer. Raises TypeError, ValueError or OverflowError for what is none."""
    text, opened, high, low, close, volume, *rest = row
    start = dt.datetime.fromisoformat(text)
    if start.tzinfo is None or start.second or start.microsecond:
        raise ValueError("no minute of a zone")
    opened, high, low, close = map(_finite, (opened, high, low, close))
    if not low <= min(opened, close) <= max(opened, close) <= high:
        raise ValueError("prices outside of high and low")
    oi = _units(rest[0]) if rest else None
    return Candle(from_datetime(start), opened, high, low, close, _units(volume), oi)


def _finite(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError("no price")
    return float(value)


def _units(value: Any) -> int | None:
    """A count of units; None for what cannot be one."""
    whole = int(value) if isinstance(value, int | float) and math.isfinite(value) else -1
    return whole if 0 <= whole < _INT64 else None
