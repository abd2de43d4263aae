"""Texts: values as text, in SQL, because making one at a time in Python takes ten times as long.

Owns how a value of each of DuckDB's types looks to a program: instants as ISO 8601 with their offset, whole numbers
whole, no number as null, lists and structures as JSON. Dates and times that Python does not know have DuckDB's own
text. Writes expressions; does not run them.
"""

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

PLAIN: Final = frozenset(
    ["tinyint", "utinyint", "smallint", "usmallint", "integer", "uinteger", "bigint", "ubigint", "hugeint"]
)
"""Types of whole numbers."""
NUMBERS: Final = PLAIN | {"float", "double", "decimal"}
TIMES: Final = frozenset(["timestamp", "timestamp with time zone", "timestamp_s", "timestamp_ms", "timestamp_ns"])
_OFFSET_US: Final = 19_800_000_000
"""Indian time since 1945. The time zone has another one before."""


class Text(NamedTuple):
    """Expressions for a value: its text, NULL where there is none, and its JSON, which always is."""

    plain: str
    json: str


def text_of(value: str, kind: Any, depth: int = 0) -> Text:
    """How a value looks. `value` is an expression, `kind` its type as DuckDB's Python package has it.

    `depth` is how many lists it is inside of; there, an instant does not say microseconds that are all 0.
    """
    match kind.id:
        case "boolean" | "null":
            return _unquoted(f"CAST({value} AS VARCHAR)")
        case whole if whole in PLAIN:
            return _unquoted(f"CAST({value} AS VARCHAR)")
        case "float" | "double" | "decimal":
            return _unquoted(_number(value, kind.id))
        case time if time in TIMES:
            text = _instant(value, kind.id)
            return _quoted(f"replace({text}, '.000000', '')" if depth else text)
        case "time" | "time_ns":
            return _quoted(_time_of_day(value, 15 if kind.id == "time" else 18))
        case "interval":
            return _quoted(_interval(value))
        case "blob":
            return _quoted(f"lower(hex({value}))")
        case "list" | "array" | "map":
            return _unquoted(_list(value, kind, depth))
        case "struct" | "tuple":
            return _unquoted(_structure(value, kind, depth))
        case "union":
            return _one_of(value, kind, depth)
        case "date" | "uuid":
            return _quoted(f"CAST({value} AS VARCHAR)")
        case _:
            text = f"CAST({value} AS VARCHAR)"
            return Text(text, f"coalesce({_json_string(text)}, 'null')")


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _unquoted(text: str) -> Text:
    return Text(text, f"coalesce({text}, 'null')")


def _quoted(text: str) -> Text:
    """Of a text that has nothing in it that JSON would write otherwise."""
    return Text(text, f"""coalesce('"' || {text} || '"', 'null')""")


def _json_string(text: str) -> str:
    """DuckDB's JSON, with the small letters in `\\u001f` that Python writes."""
    shown = "CAST(to_json({}) AS VARCHAR)"
    each = f"CASE WHEN c < ' ' THEN lower({shown.format('c')}) ELSE {shown.format('c')} END"
    small = f"list_transform(string_split({text}, ''), lambda c: ({each})[2:-2])"
    return f"""CASE WHEN regexp_matches({text}, '[\\x0b\\x0e\\x0f\\x1a-\\x1f]')
        THEN '"' || array_to_string({small}, '') || '"' ELSE {shown.format(text)} END"""


def _number(value: str, kind: str) -> str:
    """As Python writes it. JSON's text is DuckDB's fastest, and has another exponent."""
    if kind == "decimal":
        fraction = _number(f"CAST(CAST({value} AS VARCHAR) AS DOUBLE)", "double")
        whole = f"CAST(CAST({value} AS DECIMAL(38, 0)) AS VARCHAR)"
        return f"CASE WHEN {value} = trunc({value}) THEN {whole} ELSE {fraction} END"
    if kind == "float":
        value = f"CAST({value} AS DOUBLE)"
    return f"""CASE WHEN abs({value}) BETWEEN 1e-4 AND 9e15 THEN CAST(to_json({value}) AS VARCHAR)
        WHEN isfinite({value}) THEN CAST({value} AS VARCHAR) END"""


def _instant(value: str, kind: str) -> str:
    zone, shift = ("+05:30", f" + {_OFFSET_US}") if kind == "timestamp with time zone" else ("", "")
    known = f"{value} BETWEEN {kind} '0001-01-01' AND {kind} '9999-12-31 23:59:59'"
    if kind == "timestamp_ns":  # it has no such years
        known = f"isfinite({value})"
    text = f"strftime(make_timestamp(epoch_us({value}){shift}), '%Y-%m-%dT%H:%M:%S.%f{zone}')"
    return f"CASE WHEN {known} THEN {text} ELSE CAST({value} AS VARCHAR) END"


def _time_of_day(value: str, width: int) -> str:
    text = f"CAST({value} AS VARCHAR)"
    return f"CASE WHEN contains({text}, '.') THEN rpad({text}, {width}, '0') ELSE {text} END"


def _interval(value: str) -> str:
    """As `1 months 2 days 0:00:01`; hours beyond a day are told as Python tells them."""
    part = "datepart('{}', {})".format
    months = f"({part('year', value)} * 12 + {part('month', value)})"
    days = part("day", value)
    us = f"(({part('hour', value)} * 60 + {part('minute', value)}) * 60000000 + {part('microsecond', value)})"
    seconds = f"abs({us}) // 1000000"
    clock = f"""concat(CASE WHEN {us} < 0 THEN '-' END,
        CASE {seconds} // 86400 WHEN 0 THEN '' WHEN 1 THEN '1 day, ' ELSE {seconds} // 86400 || ' days, ' END,
        printf('%d:%02d:%02d', {seconds} // 3600 % 24, {seconds} // 60 % 60, {seconds} % 60),
        CASE WHEN {us} % 1000000 != 0 THEN printf('.%06d', abs({us}) % 1000000) END)"""
    parts = f"""concat_ws(' ', CASE WHEN {months} != 0 THEN {months} || ' months' END,
        CASE WHEN {days} != 0 THEN {days} || ' days' END,
        CASE WHEN {us} != 0 OR ({months} = 0 AND {days} = 0) THEN {clock} END)"""
    return f"CASE WHEN {value} IS NOT NULL THEN {parts} END"


def _list(value: str, kind: Any, depth: int) -> str:
    each = f"x{depth}"
    if kind.id == "map":
        (_, key), (_, item) = kind.children
        pair = (text_of(f"{each}.{name}", child, depth + 1).json for name, child in (("key", key), ("value", item)))
        shown = _joined("'['", pair, "']'")
        return _array(f"list_transform(map_entries({value}), lambda {each}: {shown})")
    child = kind.children[0][1]
    if child.id in PLAIN:
        return f"replace(CAST(to_json({value}) AS VARCHAR), ',', ', ')"
    text = text_of(each, child, depth + 1)
    if child.id in NUMBERS:  # their text has nothing that DuckDB would put in quotes
        numbers = f"list_transform({value}, lambda {each}: {text.plain})"
        return f"replace(CAST({numbers} AS VARCHAR), 'NULL', 'null')"
    return _array(f"list_transform({value}, lambda {each}: {text.json})")


def _array(texts: str) -> str:
    return f"'[' || array_to_string({texts}, ', ') || ']'"


def _structure(value: str, kind: Any, depth: int) -> str:
    items = [
        text_of(f"struct_extract_at({value}, {at})", child, depth + 1).json
        for at, (_, child) in enumerate(kind.children, 1)
    ]
    if kind.id == "tuple":
        shown = _joined("'['", items, "']'")
    else:
        shown = json_object([name for name, _ in kind.children], items)
    return f"CASE WHEN {value} IS NOT NULL THEN {shown} END"


def json_object(names: Iterable[str], values: Iterable[str], end: str = "'}'") -> str:
    """An expression for the JSON of an object whose values are JSON already."""
    named = (
        f"{literal(json.dumps(name, ensure_ascii=False) + ': ')}, {value}"
        for name, value in zip(names, values, strict=True)
    )
    return _joined("'{'", named, end)


def _joined(begin: str, texts: Iterable[str], end: str) -> str:
    inside = ", ', ', ".join(texts) or "''"
    return f"concat({begin}, {inside}, {end})"


def _one_of(value: str, kind: Any, depth: int) -> Text:
    """A union: the value of the member that it has."""
    members = [
        (name, text_of(f"union_extract({value}, {literal(name)})", child, depth + 1))
        for name, child in kind.children[1:]
    ]
    tag = f"CASE CAST(union_tag({value}) AS VARCHAR)"
    plain = " ".join(f"WHEN {literal(name)} THEN {text.plain}" for name, text in members)
    shown = " ".join(f"WHEN {literal(name)} THEN {text.json}" for name, text in members)
    return Text(f"{tag} {plain} END", f"{tag} {shown} ELSE 'null' END")
