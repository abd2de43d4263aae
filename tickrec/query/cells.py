"""Cells: the columns of a query's result as text, for people and for files.

Owns how a value looks: IST times without noise, Indian digit grouping where numbers are large, NULL as NULL, and plain
unambiguous text where a program reads. Works on columns, because what is noise depends on the whole column.
"""

import datetime as dt
import json
import math
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import pyarrow as pa

from tickrec.clock import IST
from tickrec.formatting import grouped

NULL: Final = "NULL"
_LARGE: Final = 10_000
"""Columns of whole numbers that reach it are grouped; below it they may be years or strikes."""
_QUANTITY: Final = 100_000
_OFFSET_US: Final = 19_800_000_000
# Times on an Indian clock, without a zone: it is told by the offset that was added.
_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001
_CYCLE_DAYS: Final = 146_097
"""Days of 400 years, after which the calendar repeats itself."""
_DAY_US: Final = 86_400_000_000
_INFINITE_DAYS: Final = 2**31 - 1
"""How SQL's infinity is stored as a date."""
_INFINITE_US: Final = 2**100
"""Infinity as microseconds: more than any time has."""
_NO_TIME: Final = {None: None, 2**63 - 1: _INFINITE_US, 1 - 2**63: -_INFINITE_US}
"""What is stored as a time, of any unit, and is none."""


class Cells(NamedTuple):
    """A column as text. `number`: aligned right, and never cut."""

    texts: list[str]
    number: bool


# For people


def readable(column: pa.Array, day: Sequence[dt.date | None] | None = None) -> Cells:
    """A column for a table on a screen.

    `day` is the date shown beside it, if there is one: times on that date do not repeat it.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return readable(column.dictionary_decode(), day)
    if pa.types.is_timestamp(kind):
        return Cells(_times(column, day), False)
    if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0):
        return Cells(_whole(column.to_pylist()), True)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Cells(_fractions(column.to_pylist()), True)
    return Cells([NULL if value is None else _printable(text_of(value)) for value in _values(column)], False)


def dates(column: pa.Array) -> list[dt.date | None]:
    """A column of dates; None also for one that Python does not know."""
    return [value if isinstance(value, dt.date) else None for value in _values(column)]


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


def _times(column: pa.Array, day: Sequence[dt.date | None] | None) -> list[str]:
    local = _local_us(column)
    moments = [None if us is None else _datetime(us) for us in local]
    known = [moment for moment in moments if moment is not None]
    clock = _clock(known)
    dated = not clock or day is None or any(m and m.date() != d for m, d in zip(moments, day, strict=True))
    return [
        NULL if us is None else _far_time_text(us) if moment is None else _time(moment, dated, clock)
        for us, moment in zip(local, moments, strict=True)
    ]


def _clock(moments: Sequence[dt.datetime]) -> str:
    """The shortest `timespec` that tells all of them; none when all are midnight."""
    if all(moment.time() == dt.time() for moment in moments) and moments:
        return ""
    if any(moment.microsecond % 1000 for moment in moments):
        return "microseconds"
    if any(moment.microsecond for moment in moments):
        return "milliseconds"
    return "seconds" if any(moment.second for moment in moments) else "minutes"


def _time(moment: dt.datetime, dated: bool, clock: str) -> str:
    if not clock:
        return moment.date().isoformat()
    return moment.isoformat(" ", clock) if dated else moment.time().isoformat(clock)


def _printable(text: str) -> str:
    """Text on one line that cannot do anything to a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


# For programs


def plain(column: pa.Array) -> list[Any]:
    """A column as values for JSON: instants as ISO 8601 with their offset, whole numbers whole, no number as null."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return plain(column.dictionary_decode())
    if pa.types.is_timestamp(kind):
        return _iso_texts(column)
    if pa.types.is_list(kind) and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        return _lists(column)
    values = _values(column)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind):
        return values
    if pa.types.is_floating(kind) and all(map(math.isfinite, filter(None, values))):
        return values
    return [_plain(value) for value in values]


def text_of(value: Any) -> str:
    """A value that is not NULL as text for a program: lists and structures as JSON."""
    value = _plain(value)
    return value if isinstance(value, str) else to_json(value)


to_json: Final = json.JSONEncoder(ensure_ascii=False).encode
"""JSON on one line of a value made by `plain`."""


def _iso_texts(column: pa.Array) -> list[str | None]:
    """Instants as ISO 8601. Neighbours mostly share their second."""
    zone = "+05:30" if column.type.tz else ""
    seconds: dict[int, str | None] = {}
    texts: list[str | None] = []
    for us in _local_us(column):
        if us is None:
            texts.append(None)
            continue
        second, rest = divmod(us, 1_000_000)
        if second not in seconds:
            moment = _datetime(second * 1_000_000)
            seconds[second] = None if moment is None else moment.isoformat(timespec="seconds")
        known = seconds[second]
        texts.append(_far_time_text(us, zone) if known is None else f"{known}.{rest:06}{zone}")
    return texts


def _lists(column: pa.Array) -> list[list[Any] | None]:
    """Lists of numbers, taken out of the one array that they share."""
    numbers = plain(column.values)
    ends = column.offsets.to_pylist()
    known = [True] * len(column) if not column.null_count else column.is_valid().to_pylist()
    return [numbers[start:end] if valid else None for start, end, valid in zip(ends, ends[1:], known, strict=False)]


def _values(column: pa.Array) -> list[Any]:
    """A column as Python's values, and as text where Python has none: dates and times that it does not know."""
    if pa.types.is_time(column.type):
        return list(map(_value, column))
    try:
        values: list[Any] = column.to_pylist()
    except (OverflowError, ValueError):
        return list(map(_value, column))
    return values


def _value(scalar: pa.Scalar) -> Any:
    """A single value, whatever is inside it."""
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if pa.types.is_struct(kind):
        return {name: _value(item) for name, item in scalar.items()}
    if pa.types.is_map(kind):
        return [[_value(item) for item in pair.values()] for pair in scalar.values]
    if pa.types.is_nested(kind):  # lists of any kind have values, a union has one
        return _value(scalar.value) if pa.types.is_union(kind) else list(map(_value, scalar.values))
    if pa.types.is_date(kind):
        return _date_text(scalar.value)
    if pa.types.is_timestamp(kind):
        return _iso_texts(pa.array([scalar.value], pa.int64()).view(kind))[0]
    if pa.types.is_time(kind):
        return _time_text(scalar.value, 10 ** (9 if kind.unit == "ns" else 6))
    return scalar.as_py()


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case dt.datetime():
            return (value.astimezone(IST) if value.tzinfo else value).isoformat()
        case dt.date() | dt.time():
            return value.isoformat()
        case bytes():
            return value.hex()
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case pa.MonthDayNano():
            return _interval(value)
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return str(value)


def _interval(value: Any) -> str:
    months, days, nanoseconds = value
    parts = [f"{months} months"] * bool(months) + [f"{days} days"] * bool(days)
    if nanoseconds or not parts:
        parts.append("-" * (nanoseconds < 0) + str(dt.timedelta(microseconds=abs(nanoseconds) // 1000)))
    return " ".join(parts)


def _datetime(local_us: int) -> dt.datetime | None:
    """The time; None when Python cannot tell it."""
    try:
        return _EPOCH + dt.timedelta(microseconds=local_us)
    except OverflowError:
        return None


def _far_time_text(local_us: int, zone: str = "") -> str:
    """A time that Python cannot tell, as SQL writes it."""
    if abs(local_us) == _INFINITE_US:
        return "infinity" if local_us > 0 else "-infinity"
    days, us = divmod(local_us, _DAY_US)
    return f"{_date_text(days)} {_time_text(us, 1_000_000)}{zone}"


def _date_text(days: int) -> str:
    """A date of any year, by the days since 1970, as SQL writes it."""
    if abs(days) == _INFINITE_DAYS:
        return "infinity" if days > 0 else "-infinity"
    cycles, rest = divmod(days, _CYCLE_DAYS)
    date = _EPOCH + dt.timedelta(days=rest)
    year = date.year + 400 * cycles
    return f"{year:04}-{date:%m-%d}" if year > 0 else f"{1 - year:04}-{date:%m-%d} (BC)"


def _time_text(count: int, each: int) -> str:
    """A time of day by its fractions of a second, of which a second has `each`; 24:00:00 is one in SQL."""
    seconds, rest = divmod(count, each)
    fraction = f".{rest:0{len(str(each)) - 1}}" if rest else ""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{fraction}"


def _local_us(column: pa.Array) -> list[int | None]:
    """Microseconds since the epoch on an Indian clock; of times without a zone, as they are."""
    offset = _OFFSET_US if column.type.tz else 0
    parts, each = {"s": (1, 1_000_000), "ms": (1, 1000), "us": (1, 1), "ns": (1000, 1)}[column.type.unit]
    # A view, because a cast imports pyarrow.compute, which takes as long as most queries.
    numbers = column.view(pa.int64()).to_pylist()
    return [_NO_TIME[number] if number in _NO_TIME else number // parts * each + offset for number in numbers]
