"""The sandbox: which SQL a query may be, and what is wrong with the rest, in one line.

Owns the rules that make a query read and do nothing else: one statement, of a reading kind, over the known tables
and a short list of table functions. DuckDB's own parser takes the text apart; nothing here guesses at SQL with
patterns. Does not know the store: it is told which names exist.

The rules name what is allowed. DuckDB accepts COPY and INSERT inside WITH and calls the whole a SELECT, so looking at
the statement's type is not enough: every node of the parsed tree has to be of a known, reading kind.
"""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from tickrec.errors import UsageError

if TYPE_CHECKING:
    import duckdb

EXPLAIN: Final = "EXPLAIN "
"""In front of a statement, lets DuckDB look at it without running it."""
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

_REFUSED_FUNCTIONS: Final = frozenset(["write_log"])
_CATALOG_FUNCTIONS: Final = frozenset(["duckdb_columns", "duckdb_tables", "duckdb_views"])
_CATALOG_SCHEMAS: Final = frozenset(["information_schema", "pg_catalog"])
_SHOWS: Final = frozenset(["DESCRIBE", "SUMMARY", "SHOW", "SHOW_SPECIAL", "SHOW_FROM", "SHOW_UNQUALIFIED"])
_READS_CATALOG: Final = frozenset(["SHOW_SPECIAL", "SHOW_FROM", "SHOW_UNQUALIFIED"])


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that passed.

    `names` are the tables, views and macros it uses, in lower case; `catalog` says that it looks at the list of
    tables itself, so all of them have to be there. `plan` is true for EXPLAIN, whose answer is text.
    """

    sql: str
    names: frozenset[str]
    catalog: bool
    plan: bool


@dataclass(slots=True)
class _Uses:
    """What a parsed tree refers to, with the byte offset of each first mention."""

    tables: dict[tuple[str, str], int] = field(default_factory=dict)
    functions: dict[str, int] = field(default_factory=dict)
    ctes: set[str] = field(default_factory=set)
    catalog: bool = False


def check(
    connection: "duckdb.DuckDBPyConnection", sql: str, tables: Collection[str], macros: Collection[str]
) -> Statement:
    """The statement in `sql`, which may use `tables` and the table macros `macros`.

    Raises UsageError, with the place in the text where there is one, for anything but one reading statement.
    """
    kind = _kind(connection, sql)
    plan = kind == "EXPLAIN" or (kind == "MULTI" and _tokens(sql)[0][1] == "EXPLAIN")
    body = _explained(sql) if plan else sql
    tree = _tree(connection, body)
    if tree is None and kind == "MULTI":
        tree = _tree(connection, _with_values(body))
    if tree is None:
        raise _refused(body if plan else sql, kind, plan)
    uses = _uses(tree)
    _check_names(uses, body, len(sql) - len(body), sql, tables, macros)
    names = {name for _, name in uses.tables} - uses.ctes | set(uses.functions)
    return Statement(sql, frozenset(names), uses.catalog, plan)


def _kind(connection: "duckdb.DuckDBPyConnection", sql: str) -> str:
    import duckdb

    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise explain(error, sql) from None
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


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


def _uses(tree: Any) -> _Uses:
    uses = _Uses()
    for node in _nodes(tree):
        kind = node.get("type")
        for entry in node.get("cte_map", {}).get("map", []):
            if re.search(r"[./\\:*?\[]", entry["key"]):  # it would hide a file of that name from the check
                raise UsageError(f'"{entry["key"]}" is no name for a WITH', hint="Take letters, digits and _")
            uses.ctes.add(entry["key"].lower())
        if node.get("function_name", "").lower() in _REFUSED_FUNCTIONS:
            raise UsageError(f"the function {node['function_name']} is refused: a query only reads")
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
        uses.functions.setdefault(name, where)
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


def _check_names(
    uses: _Uses, body: str, shift: int, sql: str, tables: Collection[str], macros: Collection[str]
) -> None:
    """Raise UsageError for the first table or table function that is not one of ours."""
    for (schema, name), offset in sorted(uses.tables.items(), key=lambda item: item[1]):
        if schema in _CATALOG_SCHEMAS or (not schema and name in uses.ctes):
            continue
        if schema not in ("", "main") or name not in tables:
            label = f"{schema}.{name}" if schema else name
            raise _unknown("table", label, _place(body, offset, shift, sql), [*tables, *uses.ctes])
    for name, offset in sorted(uses.functions.items(), key=lambda item: item[1]):
        if name not in macros and name not in _TABLE_FUNCTIONS:
            raise _unknown("table function", name, _place(body, offset, shift, sql), macros)


def _unknown(what: str, name: str, place: str, known: Collection[str]) -> UsageError:
    near = get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        return UsageError(f"no {what} {name}", where=place, hint=f"Nearest: {', '.join(near)}")
    if what == "table function" or any(mark in name for mark in "./\\:*"):
        rule = "a query reads the recorded tables, not files"
        return UsageError(f"{what} {name} is refused: {rule}", where=place)
    return UsageError(f"no {what} {name}", where=place, hint="See `tickrec query --tables`")


# Places in the text


def _place(body: str, offset: int, shift: int, sql: str) -> str:
    """A byte offset into `body`, the last part of `sql`, as a line and column of `sql`, both from 1.

    `body` may have had values written into it; offsets behind those are close, not exact.
    """
    if offset < 0:
        return ""
    before = sql[: len(body.encode()[:offset].decode(errors="ignore")) + shift]
    line = before.count("\n") + 1
    return f"line {line}, column {len(before) - before.rfind(chr(10))}"


_LABEL: Final = re.compile(r"[A-Z][A-Za-z -]{1,40}(Error|Exception): ")
_EXCERPT: Final = re.compile(r"\n\nLINE (\d+): (.*)\n( *)\^+", re.DOTALL)


def explain(error: BaseException, sql: str) -> UsageError:
    """A DuckDB error about a statement, in one line with its place."""
    text = str(error)
    place = ""
    if excerpt := _EXCERPT.search(text):
        text = text[: excerpt.start()]
        place = _excerpt_place(int(excerpt[1]), excerpt[2], len(excerpt[3]), sql)
    lines = [line.strip() for line in _LABEL.sub("", text, count=1).splitlines() if line.strip()]
    what = lines[0].rstrip("!.") if lines else type(error).__name__
    hint = next((line for line in lines[1:] if line.startswith(("Did you mean", "Candidate bindings"))), "")
    return UsageError(what, where=place, hint=hint)


def _excerpt_place(line: int, shown: str, indent: int, sql: str) -> str:
    """The line and column that DuckDB marks under an excerpt of the text; long lines are shown in part."""
    text = shown.removeprefix("...").removesuffix("...")
    skipped = len(f"LINE {line}: ") + len(shown) - len(shown.removeprefix("..."))
    lines = sql.splitlines()
    written = lines[line - 1] if line <= len(lines) else ""
    if text.startswith(EXPLAIN) and not written.startswith(EXPLAIN):
        text, skipped = text.removeprefix(EXPLAIN), skipped + len(EXPLAIN)
    start = written.find(text)
    return f"line {line}, column {indent - skipped + start + 1}" if start >= 0 else f"line {line}"


# EXPLAIN and PIVOT, which DuckDB does not turn into a tree


def _tokens(sql: str) -> list[tuple[int, str]]:
    """The words and signs of `sql` with their byte offsets, comments left out."""
    import duckdb

    data = sql.encode()
    marks = [(start, str(kind)) for start, kind in duckdb.tokenize(sql)]
    ends = [start for start, _ in marks[1:]] + [len(data)]
    spans = zip(marks, ends, strict=True)
    return [
        (start, data[start:end].decode().strip().upper())
        for (start, kind), end in spans
        if not kind.lower().endswith("comment")
    ]


def _explained(sql: str) -> str:
    """The statement behind EXPLAIN, its ANALYZE and its options in parentheses."""
    tokens = _tokens(sql)
    index = 1
    if index < len(tokens) and tokens[index][1] == "ANALYZE":
        index += 1
    if index < len(tokens) and tokens[index][1] == "(":
        closing = next((i for i in range(index, len(tokens)) if tokens[i][1] == ")"), len(tokens) - 1)
        if not any(word in ("SELECT", "FROM", "WITH", "VALUES") for _, word in tokens[index:closing]):
            index = closing + 1
    return sql.encode()[tokens[index][0] :].decode() if index < len(tokens) else ""


_PIVOT_ENDS: Final = frozenset(["USING", "GROUP", "ORDER", "LIMIT", ";"])


def _with_values(sql: str) -> str:
    """`sql` with a made-up list of values behind each column of a PIVOT that names none.

    DuckDB looks the values up before it plans such a PIVOT and so has no tree for it. The text returned is only
    looked at, never run; everything else in it is what will run.
    """
    tokens = _tokens(sql)
    data = sql.encode()
    offsets = [offset for offset, _ in tokens] + [len(data)]
    pivots = [index for index, (_, word) in enumerate(tokens) if word in ("PIVOT", "PIVOT_WIDER")]
    inserts = [(offsets[start], b" (") for pivot in pivots for start, _ in _on(tokens, pivot)]
    inserts += [(offsets[end], b"\n) IN ('x') ") for pivot in pivots for _, end in _on(tokens, pivot)]
    for offset, text in sorted(set(inserts), reverse=True):
        data = data[:offset] + text + data[offset:]
    return data.decode()


def _on(tokens: list[tuple[int, str]], pivot: int) -> list[tuple[int, int]]:
    """The columns of the PIVOT at `pivot` that have no list of values: their first token, and the one after them."""
    found: list[tuple[int, int]] = []
    depth, start, listed = 0, 0, False
    for index in range(pivot + 1, len(tokens) + 1):
        word = tokens[index][1] if index < len(tokens) else ";"
        over = word in _PIVOT_ENDS or (word == ")" and depth == 0)
        if depth == 0 and start and not listed and (over or word == ","):
            found.append((start, index))
        if depth == 0 and over:
            break
        if depth == 0 and (word == "ON" or (word == "," and start)):
            start, listed = index + 1, False
        listed |= depth == 0 and word == "IN"
        depth += (word in ("(", "[", "{")) - (word in (")", "]", "}"))
    return found
