"""The words of a statement, for what DuckDB makes no tree of: EXPLAIN, and a PIVOT without a list of values.

Owns the taking apart of such a text by DuckDB's own tokens, never by patterns, into something that has a tree. Decides
nothing about what is allowed.
"""

from typing import Final


def tokens(sql: str) -> list[tuple[int, str]]:
    """The words and signs of `sql` in capitals with their byte offsets, comments left out."""
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


def explained(sql: str) -> str:
    """The statement behind EXPLAIN, its ANALYZE and its options in parentheses."""
    words = tokens(sql)
    index = 1
    if index < len(words) and words[index][1] == "ANALYZE":
        index += 1
    if index < len(words) and words[index][1] == "(":
        closing = next((i for i in range(index, len(words)) if words[i][1] == ")"), len(words) - 1)
        if not any(word in ("SELECT", "FROM", "WITH", "VALUES") for _, word in words[index:closing]):
            index = closing + 1
    return sql.encode()[words[index][0] :].decode() if index < len(words) else ""


_PIVOT_ENDS: Final = frozenset(["USING", "GROUP", "ORDER", "LIMIT", ";"])


def with_values(sql: str) -> str:
    """`sql` with a made-up list of values behind each column of a PIVOT that names none.

    DuckDB looks the values up before it plans such a PIVOT and so has no tree for it. The text returned is only
    looked at, never run; everything else in it is what will run.
    """
    words = tokens(sql)
    data = sql.encode()
    offsets = [offset for offset, _ in words] + [len(data)]
    pivots = [index for index, (_, word) in enumerate(words) if word in ("PIVOT", "PIVOT_WIDER")]
    inserts = [(offsets[start], b" (") for pivot in pivots for start, _ in _on(words, pivot)]
    inserts += [(offsets[end], b"\n) IN ('x') ") for pivot in pivots for _, end in _on(words, pivot)]
    for offset, text in sorted(set(inserts), reverse=True):
        data = data[:offset] + text + data[offset:]
    return data.decode()


def _on(words: list[tuple[int, str]], pivot: int) -> list[tuple[int, int]]:
    """The columns of the PIVOT at `pivot` that have no list of values: their first token, and the one after them."""
    found: list[tuple[int, int]] = []
    depth, start, listed = 0, 0, False
    for index in range(pivot + 1, len(words) + 1):
        word = words[index][1] if index < len(words) else ";"
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
