"""Cells: the columns of a query's result as a table on a screen shows them.

Owns what is noise to people: the seconds of times that are all whole minutes, the date of times that stand beside it,
decimals that tell nothing; Indian digit grouping where numbers are large, NULL as NULL. Works on columns, because what
is noise depends on the whole column; their values are numbers, or text by `texts`.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

import pyarrow as pa

from tickrec.formatting import grouped
from tickrec.query.texts import TIMES

NULL: Final = "NULL"
_LARGE: Final = 10_000
"""Columns of whole numbers that reach it are grouped; below it they may be years or strikes."""
_QUANTITY: Final = 100_000
_CLOCKS: Final = ((15, slice(23, 26)), (12, slice(20, 23)), (8, slice(17, 19)), (5, slice(11, 16)))
"""How many characters of a time of day to show when those at a place of one of the times are not all 0."""


class Cells(NamedTuple):
    """A column as text. `number`: aligned right, and never cut."""

    texts: list[str]
    number: bool


def readable(column: pa.Array, kind: str, day: Sequence[str | None] | None = None) -> Cells:
    """A column for a table on a screen. `kind` is its type in DuckDB, in small letters.

    `day` is the date shown beside it, if there is one: times on that date do not repeat it.
    """
    values = column.to_pylist()
    if kind in TIMES:
        return Cells(_times(values, day), False)
    if pa.types.is_integer(column.type) or (pa.types.is_decimal(column.type) and column.type.scale == 0):
        return Cells(_whole(values), True)
    if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        return Cells(_fractions(values), True)
    return Cells([NULL if value is None else _printable(value) for value in values], False)


def _whole(values: Sequence[int | Decimal | None]) -> list[str]:
    numbers = [None if value is None else int(value) for value in values]
    show: Callable[[int], str] = grouped if any(abs(n) >= _LARGE for n in numbers if n is not None) else str
    return [NULL if number is None else show(number) for number in numbers]


def _fractions(values: Sequence[float | Decimal | None]) -> list[str]:
    numbers = [None if value is None else float(value) for value in values]
    decimals = _decimals([n for n in numbers if n is not None and math.isfinite(n)])
    return [NULL if number is None else _fraction(number, decimals) for number in numbers]


def _fraction(number: float, decimals: int) -> str:
    if not math.isfinite(number):
        return str(number)
    whole, dot, rest = f"{number:.{decimals}f}".partition(".")
    sign = "-" if whole.startswith("-") else ""
    return sign + grouped(abs(int(whole))) + dot + rest


def _decimals(numbers: Iterable[float]) -> int:
    """Two, or as many as are needed to tell the values apart: four for rupees with paise in fractions, more for small
    numbers. Averages and the like, which have no end, are cut; large whole numbers are quantities and have none."""
    numbers = list(numbers)
    largest = max(map(abs, numbers), default=0.0)
    if largest >= _QUANTITY and all(number.is_integer() for number in numbers):
        return 0
    enough = 2 if largest >= 100 else 4 if largest >= 1 else 6
    for decimals in (2, 4, 6):
        if all(abs(number - round(number, decimals)) <= 1e-9 * max(1.0, largest) for number in numbers):
            return decimals if decimals <= 4 else enough
    return enough


def _times(texts: Sequence[str | None], day: Sequence[str | None] | None) -> list[str]:
    """`texts` are as in 2026-11-23T09:15:00.250000+05:30, but for times that only SQL knows."""
    known = [text for text in texts if text is not None and text[10:11] == "T"]
    clock = next((width for width, place in _CLOCKS if any(text[place].strip("0:") for text in known)), 0)
    dated = not clock or day is None or any(t and t[:10] != d for t, d in zip(texts, day, strict=True))
    return [NULL if text is None else _time(text, dated, clock) for text in texts]


def _time(text: str, dated: bool, clock: int) -> str:
    if text[10:11] != "T":
        return text
    time = text[11 : 11 + clock]
    return f"{text[:10]} {time}".rstrip() if dated else time


def _printable(text: str) -> str:
    """Text on one line that cannot do anything to a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
