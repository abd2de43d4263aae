"""Formatting: how numbers, prices, sizes, ages and times look to people in India.

Digits are grouped as 1,23,45,678, clock times are IST. Everything returns plain text of the fewest characters that
say enough; aligning it is the caller's.
"""

import math
from typing import Final

from tickrec.clock import SECOND, ist

NONE: Final = "-"
"""What stands where there is no value."""

_LAKH: Final = 100_000
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400
_SIZES: Final = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


def grouped(number: int | None) -> str:
    """A whole number with Indian grouping: 12345678 is `1,23,45,678`. None is `-`."""
    if number is None:
        return NONE
    if -_LAKH < number < _LAKH:
        return f"{number:,}"
    digits = str(abs(number))
    at = len(digits) - 3
    groups = [digits[at:]]
    while at > 0:
        groups.append(digits[max(at - 2, 0) : at])
        at -= 2
    return ("-" if number < 0 else "") + ",".join(reversed(groups))


def price(rupees: float | None, decimals: int = 2) -> str:
    """A price with Indian grouping: 1234567.8 is `12,34,567.80`. None and values that are no number are `-`."""
    if rupees is None or not math.isfinite(rupees):
        return NONE
    text = f"{rupees:,.{decimals}f}"
    if 1 - _LAKH < rupees < _LAKH - 1:  # both ways of grouping agree
        return text
    whole, dot, fraction = text.replace(",", "").partition(".")
    return grouped(int(whole)) + dot + fraction


def decimals(*prices: float | None) -> int:
    """Two, or four when one of the prices needs them, as currency pairs do."""
    for value in prices:
        if value is not None and abs(value - round(value, 2)) > 0.00004:
            return 4
    return 2


def percent(value: float | None) -> str:
    """A signed percentage without its sign of percent: `+0.42`, `-0.18`, `0.00`, `+1500`. None is `-`."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:+.2f}" if abs(value) < 1000 else f"{value:+.0f}"
    return "0.00" if text in ("+0.00", "-0.00") else text


def age(seconds: float | None) -> str:
    """How long ago, in four characters at most: `0.2s`, `14s`, `3m`, `5h`, `3d`. None is `-`."""
    if seconds is None:
        return NONE
    seconds = max(seconds, 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    if seconds < _MINUTE:
        return f"{min(round(seconds), 59)}s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)}m"
    if seconds < _DAY:
        return f"{int(seconds // _HOUR)}h"
    return f"{int(seconds // _DAY)}d"


def countdown(seconds: float) -> str:
    """How long until something, in whole seconds: `4s`, `3m`."""
    return f"{max(math.ceil(seconds), 0)}s" if seconds < _MINUTE else age(seconds)


def duration(seconds: float) -> str:
    """How long something took, two units at most: `3.4s`, `26m 07s`, `6h 41m`, `2d 03h`."""
    seconds = max(seconds, 0.0)
    if seconds < _MINUTE:
        return age(seconds)
    whole = int(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE:02}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE:02}m"
    return f"{whole // _DAY}d {whole % _DAY // _HOUR:02}h"


def size(count: int | None) -> str:
    """Bytes with a decimal unit: `118 MB`, `1.2 GB`, `0 B`. None is `-`."""
    if count is None:
        return NONE
    for unit, factor in _SIZES:
        if count >= factor:
            value = count / factor
            return f"{value:.1f} {unit}" if value < 9.95 else f"{value:,.0f} {unit}"
    return f"{count} B"


def rate(per_second: float) -> str:
    """A rate without its unit: `4.1`, `612`, `1,20,000`."""
    return f"{per_second:.1f}" if per_second < 9.95 else grouped(round(per_second))


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `3rd`, `4th`, `11th`."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def plural(number: int, noun: str) -> str:
    """`1 day`, `24 days`."""
    return f"{grouped(number)} {noun}" if number == 1 else f"{grouped(number)} {noun}s"


def clock_time(wall_ns: int) -> str:
    """An instant as IST clock time: `09:41:07`."""
    return f"{ist(wall_ns):%H:%M:%S}"


def moment(wall_ns: int, now_ns: int) -> str:
    """An instant as somebody would say it now: `15:45`, `Tue 03:30` within a week, else `24 Nov 2026`. IST."""
    then, now = ist(wall_ns), ist(now_ns)
    if then.date() == now.date():
        return f"{then:%H:%M}"
    near = abs(wall_ns - now_ns) < 6 * _DAY * SECOND
    return f"{then:%a %H:%M}" if near else f"{then.day} {then:%b %Y}"
