"""Syntax tree: a statement as DuckDB's parser takes it apart, and which rows it says that it wants.

Owns how the nodes of a tree are found, which symbols its conditions name, and which dates they leave.
"""

import contextlib
import datetime as dt
import re
from collections.abc import Iterator
from typing import Any, Final

from tickrec.query.date_range import EVERY_DATE, DateRange

_SOURCES: Final = ("BASE_TABLE", "TABLE_FUNCTION")
_PLAIN: Final = "WITHOUT_ORDINALITY"
_FIRST: Final = ("COMPARE_EQUAL", "COMPARE_GREATERTHAN", "COMPARE_GREATERTHANOREQUALTO")
_LAST: Final = ("COMPARE_EQUAL", "COMPARE_LESSTHAN", "COMPARE_LESSTHANOREQUALTO")
"""Comparisons that nothing before a date passes, and nothing behind it."""
_ISO: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every node of a tree, whatever its kind."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


def symbols(node: dict[str, Any]) -> list[str]:
    """The texts that an expression compares a column named symbol with, by = or IN."""
    if node.get("type") not in ("COMPARE_EQUAL", "COMPARE_IN"):
        return []
    sides = node.get("children") or [node.get("left"), node.get("right")]
    if not any(side and side.get("column_names", [""])[-1].lower() == "symbol" for side in sides):
        return []
    return [text for side in sides if (text := plain_text(side)) is not None]


def dates(tree: Any) -> DateRange:
    """The dates of all rows that are taken, where the statement has one source of rows and says so itself."""
    sources = [node for node in nodes(tree) if "class" not in node and node.get("type") in _SOURCES]
    source, where = tree["node"].get("from_table"), tree["node"].get("where_clause") or {}
    if len(sources) != 1 or sources[0] is not source or source["sample"] or source["column_name_alias"]:
        return EVERY_DATE
    if source.get("with_ordinality", _PLAIN) != _PLAIN:  # rows are counted before they are left out
        return EVERY_DATE
    every = [_range(each) for each in (where["children"] if where.get("type") == "CONJUNCTION_AND" else [where])]
    return DateRange(
        max((each.first for each in every if each.first), default=None),
        min((each.last for each in every if each.last), default=None),
    )


def _range(condition: dict[str, Any]) -> DateRange:
    """The dates that a condition leaves of the column of that name, and at most one at either end that it does not."""
    kind = condition.get("type")
    if kind == "COMPARE_BETWEEN" and _is_date(condition["input"]):
        return DateRange(_date(condition["lower"]), _date(condition["upper"]))
    if kind not in (*_FIRST, *_LAST):
        return EVERY_DATE
    sides, from_it, to_it = (condition["left"], condition["right"]), kind in _FIRST, kind in _LAST
    if _is_date(sides[1]):
        sides, from_it, to_it = sides[::-1], to_it, from_it
    date = _date(sides[1]) if _is_date(sides[0]) else None
    return DateRange(date if from_it else None, date if to_it else None)


def _is_date(expression: dict[str, Any]) -> bool:
    return [name.lower() for name in expression.get("column_names", ())] == ["date"]


def _date(expression: dict[str, Any]) -> dt.date | None:
    """The date that is written down; None for anything else."""
    if expression.get("type") == "OPERATOR_CAST" and expression["type_expr"].get("type_name", "").upper() == "DATE":
        expression = expression["child"]
    text = plain_text(expression) or ""
    with contextlib.suppress(ValueError):
        return dt.date.fromisoformat(text) if _ISO.fullmatch(text) else None
    return None


def plain_text(expression: Any) -> str | None:
    """What an expression says that is nothing but a value."""
    literal = (expression or {}).get("literal")
    return None if literal is None else str(literal["text"]) if literal["kind"] != "NULL_LITERAL" else "NULL"
