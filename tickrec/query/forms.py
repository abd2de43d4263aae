"""Forms: in which form the rows of a query leave DuckDB: as values for Arrow, as lines of text, or for people.

Owns what a line of csv and of JSON is. A form takes the relation of a statement and gives another, whose rows are in
the same order.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import duckdb

from tickrec.query.texts import NUMBERS, TIMES, json_object, text_of

Form: TypeAlias = Callable[[duckdb.DuckDBPyRelation], duckdb.DuckDBPyRelation]

_NOT_IN_ARROW: Final = ("uhugeint", "bignum", "bit", "variant", "time with time zone")
"""Types of which Arrow gets another value, or bytes that mean nothing outside DuckDB."""
NESTED: Final = frozenset(["list", "array", "struct", "tuple", "map", "union"])
SOFT: Final = NESTED | {"varchar", "enum", "blob", *_NOT_IN_ARROW}
"""Types whose text may be long, and can be cut: no numbers, times, dates and truths."""
_NEVER_IN_QUOTES: Final = NUMBERS | TIMES | {"boolean", "date", "uuid", "blob", "time", "null"}
"""Types whose text has nothing that csv puts in quotes."""
_IN_QUOTES: Final = ("','", "'\"'", "chr(10)", "chr(13)")
"""What csv puts in quotes, as SQL; to look for each takes half as long as a regular expression does."""


def for_arrow(rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """The rows as they are, with text in the columns whose type Arrow cannot carry."""
    lost = [not _is_in_arrow(kind) for kind in rows.types]
    if not any(lost):
        return rows
    return _projected(rows, [f"CAST(#{at} AS VARCHAR)" if each else f"#{at}" for at, each in enumerate(lost, 1)])


def for_people(rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Numbers as they are, and text in all other columns."""
    rows = for_arrow(rows)
    columns = list(enumerate(rows.types, 1))
    if all(kind.id in NUMBERS for _, kind in columns):
        return rows
    return _projected(rows, [f"#{at}" if kind.id in NUMBERS else text_of(f"#{at}", kind).plain for at, kind in columns])


def csv_lines(rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Lines of csv, each with its end, in one column."""
    rows = for_arrow(rows)
    kinds = list(enumerate(rows.types, 1))
    texts = [f"{text_of(f'#{at}', kind).plain} AS c{at}" for at, kind in kinds]
    rows = rows.project(", ".join(texts))  # first, as a cell names its text often, and that of a nested value is long
    cells = [_csv_cell(f"c{at}", kind) for at, kind in kinds]
    line = ", ',', ".join(cells)
    if len(cells) == 1:  # a line of nothing would be none
        line = f"""coalesce(nullif({line}, ''), '""')"""
    return rows.project(f"concat({line}, chr(10)) AS line")


def json_lines(rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """JSON objects, a line each with its end, in one column."""
    rows = for_arrow(rows)
    values = [text_of(f"#{at}", kind).json for at, kind in enumerate(rows.types, 1)]
    line = json_object(unique(rows.columns), values, "'}' || chr(10)")
    return rows.project(f"{line} AS line")


FORMS: Final[dict[str, Form]] = {
    "table": for_people,
    "markdown": for_people,
    "csv": csv_lines,
    "json": json_lines,
    "jsonl": json_lines,
    "parquet": for_arrow,
    "arrow": for_arrow,
}
"""In which form the rows of each format are taken."""


def unique(names: Sequence[str]) -> list[str]:
    """The same names, all different: `a, a` becomes `a, a_1`."""
    found: list[str] = []
    for name in names:
        new, number = name, 0
        while new in found:
            number += 1
            new = f"{name}_{number}"
        found.append(new)
    return found


def _is_in_arrow(kind: Any) -> bool:
    """Whether Arrow carries a type, and all that are in it."""
    if kind.id in NESTED:  # the children of an array are a type and a number
        return all(_is_in_arrow(child) for _, child in kind.children if not isinstance(child, int))
    return kind.id not in _NOT_IN_ARROW


def _csv_cell(text: str, kind: Any) -> str:
    if kind.id in _NEVER_IN_QUOTES:
        return text
    if kind.id == "list" and kind.children[0][1].id in NUMBERS:  # it has nothing but commas
        return f"""CASE WHEN contains({text}, ',') THEN '"' || {text} || '"' ELSE {text} END"""
    inside = f"""'"' || replace({text}, '"', '""') || '"'"""
    quotes = " OR ".join(f"contains({text}, {each})" for each in _IN_QUOTES)
    return f"CASE WHEN {quotes} THEN {inside} ELSE {text} END"


def _projected(rows: duckdb.DuckDBPyRelation, columns: Sequence[str]) -> duckdb.DuckDBPyRelation:
    names = (name.replace('"', '""') for name in rows.columns)
    return rows.project(", ".join(f'{column} AS "{name}"' for column, name in zip(columns, names, strict=True)))
