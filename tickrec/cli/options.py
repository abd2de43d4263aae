"""What the texts of options stand for. Each reader raises UsageError, which names the option and what is allowed."""

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tickrec.errors import UsageError

if TYPE_CHECKING:
    import datetime as dt

Result = TypeVar("Result")


def mode_of(text: str) -> str:
    """A mode's name, checked. Raises ValueError."""
    from tickrec import values
    from tickrec.config import MODES

    read = values.choice(*MODES)
    return str(read(text, Path()))


def colours_of(text: str | None) -> str:
    """The name of the live table's colours, checked. Raises UsageError."""
    from tickrec import values

    read = values.choice("calm", "market")
    return str(value_of("--colours", lambda given: read(given, Path()), text) or "calm")


def value_of(name: str, read: Callable[[str], Result], text: str | None) -> Result | None:
    """The value that an option's text stands for. Raises UsageError."""
    try:
        return None if text is None else read(text)
    except ValueError as error:
        raise UsageError(f"{name} {error}") from None


def seconds_of(name: str, text: str | None) -> float | None:
    """The seconds that an option such as 30s or 250ms stands for. Raises UsageError."""
    from tickrec.values import duration

    length = value_of(name, duration, text)
    return None if length is None else length.total_seconds()


def date_of(name: str, text: str | None) -> "dt.date | None":
    """The date that 2026-11-23, today or yesterday stands for. Raises UsageError."""
    import datetime as dt

    from tickrec.clock import SystemClock
    from tickrec.market.calendar import trading_date

    today = trading_date(SystemClock.wall_ns())
    if text is None or text in ("today", "yesterday"):
        return today - dt.timedelta(days=text == "yesterday") if text else None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name} must be a date such as 2026-11-23, today or yesterday, not {text}") from None


def whole_of(name: str, text: str, low: int, high: int) -> int:
    """The whole number from `low` to `high` that an option's text is. Raises UsageError."""
    if text.isascii() and text.isdecimal() and low <= int(text[:20]) <= high:
        return int(text)
    raise UsageError(f"{name} must be a whole number from {low} to {high}, not {text}")


def positive_of(name: str, text: str) -> float:
    """The number above zero, and not endless, that an option's text is. Raises UsageError."""
    with contextlib.suppress(ValueError):
        if 0 < (number := float(text)) < math.inf:
            return number
    raise UsageError(f"{name} must be a number above zero, not {text}")


def trend_of(name: str, text: str) -> tuple[float, float | None]:
    """The share and the seconds that 2% or -1.5%/10m stands for; None where no time is given. Raises UsageError."""
    share, _, span = text.partition("/")
    number = share.strip().removesuffix("%")
    with contextlib.suppress(ValueError):
        if share.strip().endswith("%") and -90 <= float(number) <= 900:
            return float(number) / 100, seconds_of(name, span or None)
    raise UsageError(f"{name} must be a share such as 2% or -1.5%/10m, not {text}")
