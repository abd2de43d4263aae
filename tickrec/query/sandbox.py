"""The sandbox: which SQL a query may be, and what is wrong with the rest, in one line.

Owns the rules that make a query read and do nothing else: one statement, of a reading kind, over the known tables,
macros with arguments that they can take, and a short list of table functions. DuckDB's own parser takes the text
apart; nothing here guesses at SQL with patterns. Does not know the store: it is told which names exist.

The rules name what is allowed. DuckDB accepts COPY and INSERT inside WITH and calls the whole a SELECT, so looking at
the statement's type is not enough: every node of the parsed tree has to be of a known, reading kind.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tickrec.errors import UsageError
from tickrec.query.date_range import EVERY_DATE, DateRange
from tickrec.query.duckdb_errors import usage_error
from tickrec.query.syntax_tree import dates, nodes, plain_text, symbols
from tickrec.query.views import Parameter, Relation
from tickrec.query.words import explained, tokens, with_values

if TYPE_CHECKING:
    import duckdb

ALLOWED: Final = "Allowed: SELECT, WITH, FROM, VALUES, SUMMARIZE, DESCRIBE, SHOW, PIVOT, UNPIVOT, and EXPLAIN of these"

_TREE: Final = frozenset(
    {
        "SELECT_NODE",
        "SET_OPERATION_NODE",
        "RECURSIVE_CTE_NODE",
        "CTE_NODE",
        "BASE_TABLE",
        "EMPTY",
        "EXPRESSION_LIST",
        "JOIN",
        "PIVOT",
        "SHOW_REF",
        "SUBQUERY",
        "TABLE_FUNCTION",
        "DISTINCT_MODIFIER",
        "LIMIT_MODIFIER",
        "LIMIT_PERCENT_MODIFIER",
        "ORDER_MODIFIER",
        "ORDER_DEFAULT",
        "ASCENDING",
        "DESCENDING",
    }
)
"""Kinds of nodes, sources and modifiers that only read. Expressions are told apart by having a class."""

_TABLE_FUNCTIONS: Final = frozenset(
    {
        "range",
        "generate_series",
        "unnest",
        "repeat",
        "repeat_row",
        "json_each",
        "json_tree",
        "duckdb_columns",
        "duckdb_functions",
        "duckdb_keywords",
        "duckdb_tables",
        "duckdb_types",
        "duckdb_views",
    }
)
"""Table functions that read no file. Left out on purpose: `query` and `query_table`, which take text as SQL."""

_REFUSED_FUNCTIONS: Final = frozenset(["write_log", "json_serialize_plan"])
_CATALOG_FUNCTIONS: Final = frozenset(["duckdb_columns", "duckdb_tables", "duckdb_views"])
_CATALOG_SCHEMAS: Final = frozenset(["information_schema", "pg_catalog"])
_SHOWS: Final = frozenset(["DESCRIBE", "SUMMARY", "SHOW", "SHOW_SPECIAL", "SHOW_FROM", "SHOW_UNQUALIFIED"])
_READS_CATALOG: Final = frozenset(["SHOW_SPECIAL", "SHOW_FROM", "SHOW_UNQUALIFIED"])


class Call(NamedTuple):
    """A use of a table macro, with those of its arguments that are written as plain values, as text."""

    macro: str
    given: Mapping[str, str]
    where: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that passed.

    `names` are the tables, views and macros it uses, in lower case; `catalog` says that it looks at the list of
    tables itself, so all of them have to be there. `plan` is true for EXPLAIN, whose answer is text. `symbols` are the
    texts that columns named symbol are compared with. `dates` are those of all rows that it takes, where it has one
    source of rows and says so itself.
    """

    sql: str
    names: frozenset[str]
    catalog: bool
    plan: bool
    calls: tuple[Call, ...] = ()
    symbols: frozenset[str] = frozenset()
    dates: DateRange = EVERY_DATE


@dataclass(slots=True)
class _Uses:
    """What a parsed tree refers to, with the byte offset of each first mention."""

    tables: dict[tuple[str, str], int] = field(default_factory=dict)
    functions: list[tuple[int, str, tuple[tuple[str, str | None], ...]]] = field(default_factory=list)
    """Every mention, with the names of its arguments, if they have one, and their texts, if they are plain values."""
    ctes: set[str] = field(default_factory=set)
    symbols: set[str] = field(default_factory=set)
    catalog: bool = False


def check(
    connection: "duckdb.DuckDBPyConnection", sql: str, tables: Collection[str], macros: Mapping[str, Relation]
) -> Statement:
    """The statement in `sql`, which may use `tables` and the table macros `macros`.

    Raises UsageError, with the place in the text where there is one, for anything but one reading statement.
    """
    word = sql.strip().rstrip(";").lower()
    if word in tables or word in macros:
        raise UsageError(f"{word} is no statement", hint=f"Write FROM {macros[word].usage if word in macros else word}")
    kind = _kind(connection, sql)
    plan = kind == "EXPLAIN" or (kind == "MULTI" and tokens(sql)[0][1] == "EXPLAIN")
    body = explained(sql) if plan else sql
    tree = _tree(connection, body)
    if tree is None and kind == "MULTI":
        tree = _tree(connection, with_values(body))
    if tree is None:
        raise _refused(body if plan else sql, kind, plan)
    uses = _uses(tree)
    placed = _Places(sql, body)
    _check_tables(uses, placed, tables, macros)
    calls = tuple(_calls(uses, placed, tables, macros))
    _check_arguments(connection, calls, macros)
    names = {name for _, name in uses.tables if name in tables} | {name for _, name, _ in uses.functions}
    return Statement(sql, frozenset(names), uses.catalog, plan, calls, frozenset(uses.symbols), dates(tree))


def _kind(connection: "duckdb.DuckDBPyConnection", sql: str) -> str:
    import duckdb

    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise usage_error(error, sql) from None
    if not statements:
        raise UsageError("the query is empty", hint='Try: tickrec query "FROM latest"')
    if len(statements) > 1:
        raise UsageError(f"a query is one statement, not {len(statements)}")
    return str(statements[0].type.name)


def _tree(connection: "duckdb.DuckDBPyConnection", sql: str) -> Any:
    """The parsed statement, or None when it is not of a kind that only reads."""
    rows = connection.execute("SELECT json_serialize_sql(CAST(? AS VARCHAR))", [sql]).fetchall()
    parsed = json.loads(rows[0][0])
    statements = [] if parsed["error"] else parsed["statements"]
    return statements[0] if len(statements) == 1 else None


def _refused(sql: str, kind: str, plan: bool) -> UsageError:
    if kind == "MULTI":
        return UsageError("this PIVOT cannot be checked", hint="Name its values: PIVOT ... ON column IN ('a', 'b') ...")
    words = sql.split(None, 1)
    word = words[0].upper().rstrip(";(") if plan and words else kind.replace("_", " ")
    return UsageError(f"{word} is refused: a query only reads", hint=ALLOWED)


def _uses(tree: Any) -> _Uses:
    uses = _Uses()
    for node in nodes(tree):
        kind = node.get("type")
        for entry in node.get("cte_map", {}).get("map", []):
            if re.search(r"[./\\:*?\[]", entry["key"]):  # it would hide a file of that name from the check
                raise UsageError(f'"{entry["key"]}" is no name for a WITH', hint="Take letters, digits and _")
            uses.ctes.add(entry["key"].lower())
        if node.get("function_name", "").lower() in _REFUSED_FUNCTIONS:
            raise UsageError(f"the function {node['function_name']} is refused: a query only reads")
        uses.symbols.update(symbols(node))
        if "class" in node or not isinstance(kind, str) or kind.endswith("_TYPE_INFO"):
            continue
        if kind not in _TREE:
            raise UsageError(f"{_words(kind)} is refused: a query only reads", hint=ALLOWED)
        _note(node, kind, uses)
    return uses


def _words(kind: str) -> str:
    return kind.removesuffix("_NODE").removesuffix("_QUERY").replace("_", " ")


def _note(node: dict[str, Any], kind: str, uses: _Uses) -> None:
    """Remember what a source of rows refers to."""
    where = _location(node)
    if kind == "BASE_TABLE":
        _note_table(node, where, uses)
    elif kind == "TABLE_FUNCTION":
        name = node["function"]["function_name"].lower()
        given = node["function"]["arguments"]
        uses.functions.append(
            (where, name, tuple((each["name"].lower(), plain_text(each["expression"])) for each in given))
        )
        uses.catalog |= name in _CATALOG_FUNCTIONS
    elif kind == "SHOW_REF":
        if node["show_type"] not in _SHOWS:
            raise UsageError(f"{_words(node['show_type'])} is refused: a query only reads", hint=ALLOWED)
        uses.catalog |= node["show_type"] in _READS_CATALOG
        if node["show_type"] == "SHOW":
            _note_table(node, where, uses)


def _location(node: dict[str, Any]) -> int:
    """The byte offset of a node, -1 when DuckDB does not say: it then gives the largest number it has."""
    where = node.get("query_location")
    return where if isinstance(where, int) and where < 2**32 else -1


def _note_table(node: dict[str, Any], where: int, uses: _Uses) -> None:
    schema = (node.get("schema_name") or "").lower()
    uses.tables.setdefault((schema, node["table_name"].lower()), where)
    uses.catalog |= schema in _CATALOG_SCHEMAS


def _check_tables(uses: _Uses, placed: "_Places", tables: Collection[str], macros: Mapping[str, Relation]) -> None:
    """Raise UsageError for the first table that is not one of ours."""
    for (schema, name), offset in sorted(uses.tables.items(), key=lambda item: item[1]):
        if schema in _CATALOG_SCHEMAS or (not schema and name in uses.ctes):
            continue
        if schema in ("", "main") and name in macros:
            hint = f"Write FROM {macros[name].usage}"
            raise UsageError(f"{name} takes {_arguments(macros[name])}", where=placed.at(offset), hint=hint)
        if schema not in ("", "main") or name not in tables:
            label = f"{schema}.{name}" if schema else name
            raise _unknown("table", label, placed.at(offset), [*tables, *macros, *uses.ctes])


def _calls(uses: _Uses, placed: "_Places", tables: Collection[str], macros: Mapping[str, Relation]) -> Iterator[Call]:
    """The uses of macros. Raises UsageError for the first table function that is not one of ours."""
    for offset, name, given in sorted(uses.functions):
        where = placed.at(offset)
        if name in tables:
            raise UsageError(f"{name} takes no arguments", where=where, hint=f"Write FROM {name}")
        if name not in macros and name not in _TABLE_FUNCTIONS:
            raise _unknown("table function", name, where, macros)
        if name not in macros:
            continue
        parameters = macros[name].parameters
        by_name = {written for written, _ in given if written}
        unknown = by_name - {own.name for own in parameters}
        lacking = [
            own for own in parameters[len(given) - len(by_name) :] if not own.optional and own.name not in by_name
        ]
        if len(given) > len(parameters) or lacking or unknown:
            what = f"{name} takes {_arguments(macros[name])}, not {len(given)}"
            if unknown:
                what = f"{name} takes no {min(unknown)}"
            raise UsageError(what, where=where, hint=f"Write FROM {macros[name].usage}")
        named = {written or own.name: text for (written, text), own in zip(given, parameters, strict=False)}
        yield Call(name, {parameter: text for parameter, text in named.items() if text is not None}, where)


_NUMBER: Final = re.compile(r"[-+0-9. ]*")


def _check_arguments(
    connection: "duckdb.DuckDBPyConnection", calls: Iterable[Call], macros: Mapping[str, Relation]
) -> None:
    """Raise UsageError for the first argument that cannot be what it has to be.

    DuckDB tells of a bad interval or time in its own terms, and only once rows go through it. Computed arguments are
    left to it all the same.
    """
    for call in calls:
        for parameter in macros[call.macro].parameters:
            text = call.given.get(parameter.name)
            if parameter.test and text is not None and not _holds(connection, parameter, text):
                what = f"{call.macro}: {text or 'nothing'} is {parameter.what}"
                raise UsageError(what, where=call.where, hint=parameter.hint)


def _holds(connection: "duckdb.DuckDBPyConnection", parameter: Parameter, text: str) -> bool:
    if "AS INTERVAL" in parameter.test and _NUMBER.fullmatch(text):  # DuckDB takes a bare number for seconds
        return False
    row = connection.execute(f"SELECT {parameter.test}", {"text": text}).fetchone()
    return bool(row and row[0])


def _arguments(macro: Relation) -> str:
    count = sum(not own.optional for own in macro.parameters)
    return f"{count} argument" if count == 1 else f"{count} arguments"


def _unknown(what: str, name: str, place: str, known: Collection[str]) -> UsageError:
    near = get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        return UsageError(f"no {what} {name}", where=place, hint=f"Nearest: {', '.join(near)}")
    if what == "table function" or any(mark in name for mark in "./\\:*"):
        rule = "a query reads the recorded tables, not files"
        return UsageError(f"{what} {name} is refused: {rule}", where=place)
    return UsageError(f"no {what} {name}", where=place, hint="See `tickrec query --tables`")


# Places in the text


@dataclass(frozen=True, slots=True)
class _Places:
    """Byte offsets into `body`, the last part of `sql`, as lines and columns of `sql`, both from 1.

    `body` may have had values written into it; offsets behind those are close, not exact.
    """

    sql: str
    body: str

    def at(self, offset: int) -> str:
        """The place, empty where DuckDB does not say any."""
        if offset < 0:
            return ""
        shift = len(self.sql) - len(self.body)
        before = self.sql[: len(self.body.encode()[:offset].decode(errors="ignore")) + shift]
        line = before.count("\n") + 1
        return f"line {line}, column {len(before) - before.rfind(chr(10))}"
