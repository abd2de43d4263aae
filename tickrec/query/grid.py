"""Grid: where the columns of a table stand, and what is left out where a terminal is too narrow for them.

Owns which columns give way and in which order, how texts are cut, and the line above a table with what is the same in
all its rows. Numbers and times are never cut. Works on text made by `cells`.
"""

import textwrap
from collections.abc import Iterator, Sequence
from typing import IO, Final

import pyarrow as pa

from tickrec.query.cells import NULL, Cells, readable
from tickrec.query.forms import NESTED, SOFT

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
    *(
        tuple(f"{side}_{name}{change}" for side in ("call", "put") for change in ("", "_change"))
        for name in ("rho", "vega", "gamma", "theta")
    ),
    *((f"call_{name}_change", f"put_{name}_change") for name in ("delta", "iv", "ltp", "oi")),
    ("call_vtt", "put_vtt"),
    ("call_delta", "put_delta"),
    ("call_iv", "put_iv"),
    ("call_oi", "put_oi"),
)
"""What gives way to the columns right of it, those of one row together."""


class Grid:
    """A table laid out by its first rows, which are all of them if `whole`.

    In a width, columns that hold nothing are only named; others give way when there is no room: first those that say
    little, then from the right. What is the same in all rows is said once above them. One row that does not fit is
    shown as a list instead.
    """

    def __init__(self, first: pa.Table, kinds: Sequence[str], width: int | None, whole: bool = True) -> None:
        columns = columns_of(first, kinds)
        self._kinds = kinds
        self._names = [_header(name) for name in first.schema.names]
        self._numbers = [cells.number for cells in columns]
        self._limited = width is not None
        self._width = width or 0
        natural = [max(map(len, [name, *cells.texts])) for name, cells in zip(self._names, columns, strict=True)]
        self._listed = width is not None and first.num_rows == 1 and _total(natural) > width
        self._same: list[tuple[str, str]] = []
        """Names and texts of what is said once."""
        self._empty: list[str] = []
        """Names of what holds nothing."""
        self._widths = dict(enumerate(natural))
        if width is not None and not self._listed:
            fit = _Fit(first.schema.names, kinds, columns, natural, width, whole and first.num_rows > 1)
            self._widths = fit.widths()
            self._same = _worth_saying([(self._names[at], columns[at].texts[0]) for at in sorted(fit.same)], width)
            self._empty = [self._names[at] for at in fit.empty]
        self.counts = (len(self._widths) + len(self._same) + len(self._empty), len(self._names))
        """Columns shown, and all there are."""

    def head(self, out: IO[str]) -> None:
        """What is the same in all rows, and the names of the columns."""
        if self._listed:
            return
        if self._same:
            out.writelines(f"{line}\n" for line in _said(self._same, self._width))
        if self._empty:
            out.write(_named(self._empty, self._width) + "\n")
        tail = _CUT if self.counts[0] < self.counts[1] else ""
        self._line([self._names[index] for index in self._widths], out, tail)

    def rows(self, table: pa.Table, out: IO[str]) -> None:
        """Some rows."""
        columns = columns_of(table, self._kinds)
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


def columns_of(table: pa.Table, kinds: Sequence[str]) -> list[Cells]:
    """The columns as text; times beside a date do not repeat it. `kinds` are their types in DuckDB."""
    days = (column.to_pylist() for column, kind in zip(table.columns, kinds, strict=True) if kind == "date")
    day = next(days, None)
    return [readable(column, kind, day) for column, kind in zip(table.columns, kinds, strict=True)]


def _worth_saying(same: Sequence[tuple[str, str]], width: int) -> list[tuple[str, str]]:
    """As many as two lines hold: what tells most first."""
    told: list[tuple[str, str]] = []
    for each in sorted(same, key=lambda each: each[0] not in (_NAMES_ROWS, _KEY, *_FRAME)):
        if len(_said([*told, each], width)) <= _SAID_LINES:
            told.append(each)
    return told


def _said(same: Sequence[tuple[str, str]], width: int) -> list[str]:
    text = ", ".join(f"{name} {text}" for name, text in same)
    return textwrap.wrap(f"shown once: {text}", width, subsequent_indent=" " * _GAP)


def _named(empty: Sequence[str], width: int) -> str:
    """As many names as a line holds, and how many more there are."""
    for count in range(len(empty), 0, -1):
        more = f" and {len(empty) - count} more" if count < len(empty) else ""
        line = f"NULL in {', '.join(empty[:count])}{more}"
        if len(line) <= width:
            return line
    return f"NULL in {len(empty)} columns"[:width]


class _Fit:
    """Which columns of a table stand in a width, which are the same in all rows and said once, and which are not."""

    def __init__(
        self,
        names: Sequence[str],
        kinds: Sequence[str],
        cells: Sequence[Cells],
        natural: Sequence[int],
        width: int,
        whole: bool,
    ) -> None:
        self.same: set[int] = set()
        self.empty: list[int] = []
        self._names = names
        self._natural = natural
        self._width = width
        self._soft = [kind in SOFT and name != _NAMES_ROWS for name, kind in zip(names, kinds, strict=True)]
        self._nested = [kind in NESTED for kind in kinds]
        self._dates = [kind == "date" for kind in kinds]
        self._constant = [whole and len(set(each.texts)) == 1 for each in cells]
        self._shown = list(range(len(natural)))
        nothing = [index for index in self._shown if self._constant[index] and cells[index].texts[0] == NULL]
        if len(nothing) < len(self._shown):
            self.empty = nothing
            self._shown = [index for index in self._shown if index not in nothing]
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
        whole = len(self._shown) + len(self.same) + len(self.empty) == len(self._names)
        return self._width if whole else self._width - _GAP - len(_CUT)


def _header(name: str) -> str:
    return name if name.isprintable() else repr(name)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _cell(text: str, width: int, number: bool, limited: bool) -> str:
    if limited and len(text) > width and not number:
        text = text[: width - 1] + _CUT
    return text.rjust(width) if number else text.ljust(width)
