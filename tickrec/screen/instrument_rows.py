"""Instrument rows: a line each, in as many columns and panels as a terminal has room for.

Owns which columns there are and which give way. Each column is one cell of rich's Table, of as many lines as there are
rows: a cell for every value takes three times as long to draw.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from rich.table import Table
from rich.text import Text

from tickrec import formatting as fmt
from tickrec.screen.last_values import Extent, Instrument
from tickrec.screen.lines import Tone, clean

_OLD_S: Final = 60.0
"""Rows without news for longer are faint."""
_MIN_SYMBOL: Final = 8
_MIN_VALUE: Final = 9
"""Characters of a price, volume or open interest column at least, so that columns rarely move."""
_BETWEEN: Final = 5
"""Spaces between panels."""
_ARROWS: Final = {1: "▲", -1: "▼", 0: " "}
_SELECTED: Final = "reverse"
_LTP, _CHANGE = "ltp  ", "chg%"


class Palette(NamedTuple):
    """How an instrument that has gone up looks, and one that has gone down; the arrow says the same."""

    up: str
    down: str
    whole: bool
    """Price and change, too, and not the arrow alone."""


CALM: Final = Palette("bold cyan", "", whole=False)
MARKET: Final = Palette("green", "red", whole=True)
"""What traders are used to."""


class _Column(NamedTuple):
    title: str
    width: int
    text: Callable[[Instrument, int], str]
    left: bool = False


class Arrangement(NamedTuple):
    """The columns of one panel, how far apart they are, and how many panels stand side by side."""

    columns: tuple[_Column, ...]
    between: int
    panels: int = 1

    @property
    def width(self) -> int:
        """Characters of a panel."""
        return sum(column.width for column in self.columns) + self.between * (len(self.columns) - 1)


def arrange(extent: Extent, width: int, panels: int = 1) -> Arrangement:
    """The most columns that fit: open interest is left out first, then volume, the book and the change.

    Columns move closer together before one is left out. Open interest that no instrument has takes no room.
    """
    symbol = _symbol_column(max(_MIN_SYMBOL, extent.symbol))
    price = max(_MIN_VALUE, len(fmt.price(extent.price)))
    ltp = _Column(_LTP, price + 2, lambda row, _: f"{fmt.price(row.ltp, _decimals(row))} {_ARROWS[row.direction]}")
    change = _Column(_CHANGE, 7, lambda row, _: fmt.percent(row.change))
    book = (
        _Column("bid", price, lambda row, _: fmt.price(row.bid or None, _decimals(row))),
        _Column("ask", price, lambda row, _: fmt.price(row.ask or None, _decimals(row))),
    )
    volume = _Column("volume", max(_MIN_VALUE, len(fmt.grouped(extent.volume))), lambda row, _: fmt.grouped(row.volume))
    oi = _Column("oi", max(_MIN_VALUE, len(fmt.grouped(int(extent.oi)))), lambda row, _: open_interest(row))
    age = _Column("age", 4, lambda row, now_ns: fmt.age(row.age_s(now_ns)))
    sets = [
        *([(symbol, ltp, change, *book, volume, oi, age)] if extent.oi else []),
        (symbol, ltp, change, *book, volume, age),
        (symbol, ltp, change, *book, age),
        (symbol, ltp, change, age),
        (symbol, ltp, age),
    ]
    for columns in sets:
        for between in (2, 1):
            if (found := Arrangement(columns, between)).width <= width:
                return _widened(found, width, panels)
    room = max(_MIN_SYMBOL, width - (found.width - symbol.width))
    return Arrangement((_symbol_column(room), *columns[1:]), 1)


def _widened(found: Arrangement, width: int, panels: int) -> Arrangement:
    panels = max(1, min(panels, (width + _BETWEEN) // (found.width + _BETWEEN)))
    for between in (4, 3):
        wider = found._replace(between=between)
        if found.between > 1 and (wider.width + _BETWEEN) * panels - _BETWEEN <= width:
            return wider._replace(panels=panels)
    return found._replace(panels=panels)


def instruments_table(
    rows: Sequence[Instrument],
    found: Arrangement,
    height: int,
    now_ns: int,
    palette: Palette = CALM,
    selected: str = "",
) -> Table:
    """The rows, `height` of them below each other, under their titles; `selected` is a key."""
    table = Table(box=None, padding=0, pad_edge=False, show_edge=False, header_style="dim")
    cells = []
    for panel in range(min(found.panels, -(-len(rows) // height)) if rows else 1):
        shown = rows[panel * height : (panel + 1) * height]
        for at, column in enumerate(found.columns):
            before = (_BETWEEN if panel else 0) if at == 0 else found.between
            title = column.title.ljust(column.width) if column.left else column.title.rjust(column.width)
            table.add_column(Text(" " * before + title, end=""), width=before + column.width, no_wrap=True)
            cells.append(_cell(shown, column, before, now_ns, palette, selected))
    if rows:
        table.add_row(*cells)
    return table


def _cell(
    rows: Sequence[Instrument], column: _Column, before: int, now_ns: int, palette: Palette, selected: str
) -> Text:
    """One column of all rows."""
    width = before + column.width
    values = [column.text(row, now_ns) for row in rows]
    lines = [" " * before + value.ljust(column.width) if column.left else value.rjust(width) for value in values]
    cell = Text("\n".join(lines), no_wrap=True)
    for number, row in enumerate(rows):
        begin, end = number * (width + 1), number * (width + 1) + width
        if row.key == selected:
            cell.stylize(_SELECTED, begin, end)
        age_s = row.age_s(now_ns)
        if age_s is None or age_s > _OLD_S:
            cell.stylize(Tone.FAINT, begin, end)
        elif row.direction and column.title in ((_LTP, _CHANGE) if palette.whole else (_LTP,)):
            style = palette.up if row.direction > 0 else palette.down
            if style:
                cell.stylize(style, begin if palette.whole else end - 1, end)
    return cell


def _symbol_column(width: int) -> _Column:
    def symbol(row: Instrument, _now_ns: int) -> str:
        text = clean(row.symbol)
        return text if len(text) <= width else text[: width - 1] + "…"

    return _Column("symbol", width, symbol, left=True)


def _decimals(row: Instrument) -> int:
    return fmt.decimals(row.ltp, row.bid, row.ask)


def open_interest(row: Instrument) -> str:
    """Units; a dash where there is none."""
    return fmt.grouped(int(row.oi)) if row.oi else fmt.NONE
