"""Grid: where the columns of a table stand, and what is left out where a terminal is too narrow for them.

Owns which columns give way and in which order, how texts are cut, and the line above a table with what is the same in
all its rows. Numbers and times are never cut. Works on text made by `cells`.
"""

import textwrap
from collections.abc import Iterator, Sequence
from typing import IO, Final

import pyarrow as pa

from tickrec.query.cells import NULL, Cells, dates, readable

_GAP: Final = 2
_CUT: Final = "…"
_NARROWEST: Final = 10
"""Characters of a text column at least, when columns are cut to fit."""
_COMFORTABLE: Final = 24
"""Characters of a text column for which others give way first."""

_SAID_LINES: Final = 2
"""Lines above a table at most."""

_KEY: Final = "instrument_key"
_NAMES_ROWS: Final = "symbol"
"""The column that tells rows apart: it is never cut, and it makes the instrument's key dispensable."""
_FRAME: Final = ("date", "expiry", "underlying_ltp", "conn", "mode", "snapshot")
"""What is mostly the same in all rows, and then stands above the table."""
_MINOR: Final = (
    ("conn", "mode", "snapshot"),
    ("feed_ts",),
    ("call_vtt", "put_vtt"),
    ("call_delta", "put_delta"),
    ("call_iv", "put_iv"),
    ("call_oi", "put_oi"),
)
"""What gives way to the columns right of it, those of one row together."""


class Grid:
    """A table laid out by its first rows, which are all of them if `whole`.

    In a width, columns give way: first those that say little, then from the right. What is the same in all rows is
    said once above them. One row that does not fit is shown as a list instead.
    """

    def __init__(self, first: pa.Table, width: int | None, whole: bool = True) -> None:
        columns = columns_of(first)
        self._names = [_header(name) for name in first.schema.names]
        self._numbers = [cells.number for cells in columns]
        self._limited = width is not None
        self._width = width or 0
        natural = [max(map(len, [name, *cells.texts])) for name, cells in zip(self._names, columns, strict=True)]
        self._listed = width is not None and first.num_rows == 1 and _total(natural) > width
        self._same: list[tuple[str, str]] = []
        """Names and texts of what is said once."""
        self._widths = dict(enumerate(natural))
        if width is not None and not self._listed:
            fit = _Fit(first.schema, columns, natural, width, whole and first.num_rows > 1)
            self._widths = fit.widths()
            self._same = _worth_saying([(self._names[at], columns[at].texts[0]) for at in sorted(fit.same)], width)
        self.counts = (len(self._widths) + len(self._same), len(self._names))
        """Columns shown, and all there are."""

    def head(self, out: IO[str]) -> None:
        """What is the same in all rows, and the names of the columns."""
        if self._listed:
            return
        if self._same:
            out.writelines(f"{line}\n" for line in _said(self._same, self._width))
        tail = _CUT if self.counts[0] < self.counts[1] else ""
        self._line([self._names[index] for index in self._widths], out, tail)

    def rows(self, table: pa.Table, out: IO[str]) -> None:
        """Some rows."""
        columns = columns_of(table)
        if self._listed:
            return self._list(columns, out)
        for row in zip(*(columns[index].texts for index in self._widths), strict=True):
            self._line(row, out)

    def _line(self, texts: Sequence[str], out: IO[str], tail: str = "") -> None:
        cells = [
            _cell(text, width, self._numbers[index], self._limited)
            for text, (index, width) in zip(texts, self._widths.items(), strict=True)
        ]
        out.write((" " * _GAP).join([*cells, tail]).rstrip() + "\n")

    def _list(self, columns: Sequence[Cells], out: IO[str]) -> None:
        label = max(map(len, self._names))
        room = max(self._width - label - _GAP, _NARROWEST)
        for name, cells in zip(self._names, columns, strict=True):
            for text in cells.texts:
                out.write(f"{name:<{label + _GAP}}{_cell(text, min(len(text), room), False, True)}\n")


def columns_of(table: pa.Table) -> list[Cells]:
    """The columns as text; times beside a date do not repeat it."""
    columns = [_in_one(column) for column in table.columns]
    day = next((dates(column) for column in columns if pa.types.is_date(column.type)), None)
    return [readable(column, day) for column in columns]


def _in_one(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece. Arrow makes none of no pieces where the type is a union."""
    if column.num_chunks > 1:
        return column.combine_chunks()
    return column.chunk(0) if column.num_chunks else pa.nulls(0, column.type)


def _worth_saying(same: Sequence[tuple[str, str]], width: int) -> list[tuple[str, str]]:
    """As many as two lines hold: what tells most first, what has no value last."""
    told: list[tuple[str, str]] = []
    for each in sorted(same, key=lambda each: (each[1] == NULL, each[0] not in (_NAMES_ROWS, _KEY, *_FRAME))):
        if len(_said([*told, each], width)) <= _SAID_LINES:
            told.append(each)
    return told


def _said(same: Sequence[tuple[str, str]], width: int) -> list[str]:
    values = [f"{name} {text}" for name, text in same if text != NULL]
    empty = [name for name, text in same if text == NULL]
    text = ", ".join(values + [f"NULL in {', '.join(empty)}"] * bool(empty))
    return textwrap.wrap(f"shown once: {text}", width, subsequent_indent=" " * _GAP)


class _Fit:
    """Which columns of a table stand in a width, which are the same in all rows and said once, and which are not."""

    def __init__(
        self, columns: pa.Schema, cells: Sequence[Cells], natural: Sequence[int], width: int, whole: bool
    ) -> None:
        self.same: set[int] = set()
        self._names = columns.names
        self._natural = natural
        self._width = width
        self._soft = [_soft(field) for field in columns]
        self._nested = [pa.types.is_nested(field.type) for field in columns]
        self._dates = [pa.types.is_date(field.type) for field in columns]
        self._constant = [whole and len(set(each.texts)) == 1 for each in cells]
        self._empty = [self._constant[index] and each.texts[0] == NULL for index, each in enumerate(cells)]
        self._shown = list(range(len(natural)))
        for group in self._lesser():
            if self._fits(_COMFORTABLE):
                break
            self._give_up(group)
        for group in self._from_the_right():
            if self._fits(_NARROWEST):
                break
            self._give_up(group)

    def widths(self) -> dict[int, int]:
        """The width of each column that is shown."""
        widths = {index: self._natural[index] for index in self._shown}
        narrowest = dict(zip(self._shown, self._least(_NARROWEST), strict=True))
        while (excess := _total(list(widths.values())) - self._room()) > 0:
            cuttable = [index for index in widths if widths[index] > narrowest[index]]
            if not cuttable:
                break
            widest = max(cuttable, key=widths.__getitem__)
            others = [widths[index] for index in cuttable if widths[index] < widths[widest]]
            widths[widest] -= max(1, min(excess, widths[widest] - max([*others, narrowest[widest]])))
        return widths

    def _lesser(self) -> Iterator[list[int]]:
        """The columns that say little, the least of them first."""
        if _NAMES_ROWS in self._names:
            yield self._named((_KEY,))
        yield [index for index in self._named(_FRAME) if self._constant[index]]
        yield [index for index, empty in enumerate(self._empty) if empty]
        yield [index for index, nested in enumerate(self._nested) if nested]
        yield from map(self._named, _MINOR)

    def _from_the_right(self) -> Iterator[list[int]]:
        """The others: what is the same everywhere, then all but the last one, and but the dates that times are of."""
        yield from ([index] for index in self._shown[::-1] if self._constant[index])
        yield from ([index] for index in self._shown[:0:-1] if not self._dates[index])

    def _named(self, names: Sequence[str]) -> list[int]:
        return [index for index in self._shown if self._names[index] in names]

    def _give_up(self, group: Sequence[int]) -> None:
        """Columns are not shown any more, but said once where that can be; one always stays."""
        for index in group:
            if index in self._shown and len(self._shown) > 1:
                self._shown.remove(index)
                self.same.update({index} if self._constant[index] else ())

    def _fits(self, text: int) -> bool:
        return _total(self._least(text)) <= self._room()

    def _least(self, text: int) -> list[int]:
        """The widths when texts are cut to so many characters."""
        return [min(self._natural[index], text) if self._soft[index] else self._natural[index] for index in self._shown]

    def _room(self) -> int:
        """The width that is left when a mark stands for what is not shown."""
        whole = len(self._shown) + len(self.same) == len(self._names)
        return self._width if whole else self._width - _GAP - len(_CUT)


def _header(name: str) -> str:
    return name if name.isprintable() else repr(name)


def _soft(field: pa.Field) -> bool:
    """Whether a column's cells may be cut: text and lists, not numbers, times, dates and truths."""
    tests = (pa.types.is_string, pa.types.is_binary, pa.types.is_nested, pa.types.is_dictionary)
    return field.name != _NAMES_ROWS and any(bool(test(field.type)) for test in tests)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _cell(text: str, width: int, number: bool, limited: bool) -> str:
    if limited and len(text) > width and not number:
        text = text[: width - 1] + _CUT
    return text.rjust(width) if number else text.ljust(width)
