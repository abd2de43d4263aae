"""The live table: everything that is on the screen at one moment, as one renderable of rich's.

Owns how the lines are shared out: the header at the top, who is silent, the news and the keys at the bottom, and the
table, with the detail of what is selected, or a chain in what is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.text import Text

from tickrec import formatting as fmt
from tickrec.screen.chain import chain, chain_table, contract, title
from tickrec.screen.detail import LINES, detail
from tickrec.screen.header import header, not_recorded
from tickrec.screen.instrument_rows import CALM, Palette, arrange, instruments_table
from tickrec.screen.last_values import LastValues, Order
from tickrec.screen.lines import Piece, Tone, spread
from tickrec.screen.view import Mode, View
from tickrec.status.runstatus import RunStatus

_ROOMY: Final = 12
"""Lines below the header from which on one is left empty."""
_DETAILED: Final = 9
"""Lines of the table from which on the detail has its place below it."""
_CATCHING_UP: Final = "reading what has been recorded so far"
_NAMED: Final = 20
"""Instruments that are named at most."""
_CURSOR: Final = "▏"
_TABLE_KEYS: Final = "type: filter  ←→: order  ↑↓ PgUp PgDn: select  {chain}Esc: back"
_CHAIN_KEYS: Final = "↑↓ PgUp PgDn: strikes  Home: the money  ←→: expiry  Esc: back"


@dataclass(frozen=True, slots=True)
class Frame:
    """What a frame is made of, beside the values and what is looked at."""

    run: RunStatus
    now_ns: int
    said: str = ""
    """What else there is to say of the run."""
    keys: bool = True
    """Whether keys are taken."""
    palette: Palette = CALM
    catching_up: bool = False
    """Whether what was recorded before is still being read."""
    grade: str = ""
    """Of the date so far."""

    def draw(self, live: LastValues, view: View, width: int, height: int) -> RenderableType:
        """The frame of exactly so many characters and lines."""
        top = header(self.run, self.now_ns, live.breadth(), width, self.said, self.grade)
        room = height - len(top)
        layout = Layout()
        if not live.instruments:
            words = _CATCHING_UP if self.catching_up else " "  # rich draws a box where there is nothing
            layout.split_column(Layout(Group(*top), size=len(top)), Layout(Text(words, Tone.FAINT)))
            return layout
        body, bottom = self._body(live, view, width, room)
        layout.split_column(Layout(Group(*top), size=len(top)), Layout(body), Layout(Group(*bottom), size=len(bottom)))
        return layout

    def _body(self, live: LastValues, view: View, width: int, room: int) -> tuple[RenderableType, list[Text]]:
        """What is in the middle, and the lines below it."""
        roomy = room >= _ROOMY
        below = 1 + bool(self.run.news) + self.keys
        height = max(room - 1 - roomy - below, 1)
        blank = [Text()] if roomy else []
        if view.mode is Mode.CHAIN and view.chain is not None:
            return Group(*blank, self._chain(live, view, width, height - 1)), self._bottom("", _CHAIN_KEYS, width)
        detailed = bool(view.selected) and height >= _DETAILED
        height -= LINES if detailed else 0
        live.settle(self.now_ns)
        found = arrange(live.extent, width, panels=-(-len(live.instruments) // height))
        shown = view.show(live, self.now_ns, height * found.panels)[: height * found.panels]
        table = instruments_table(shown, found, height, self.now_ns, self.palette, view.selected)
        row = view.row() if detailed else None
        option = "Enter: chain  " if any(contract(each.symbol) for each in live.instruments.values()) else ""
        keys = _TABLE_KEYS.format(chain=option)
        bottom = self._bottom(self._count(live, view, len(shown)), keys, width, view.words)
        if row is None:
            return Group(*blank, table), bottom
        body = Layout()
        body.split_column(
            Layout(Group(*blank, table), size=len(blank) + 1 + height), Layout(detail(row, self.now_ns, width))
        )
        return body, bottom

    def _chain(self, live: LastValues, view: View, width: int, height: int) -> RenderableType:
        assert view.chain is not None
        shown = chain(view.chain, live.instruments.values())
        first = view.first_strike(shown.money, len(shown.strikes), height)
        return Group(title(shown, len(view.chains()) - 1), chain_table(shown, first, height, width, self.palette))

    def _bottom(self, count: str, keys: str, width: int, words: str = "") -> list[Text]:
        """Who is silent or stale, and what is shown of how many; the last news; the keys, or what is being typed."""
        lines = [self._silent(count, width)]
        if self.run.news:
            lines.append(spread(width, [Piece(self.run.news[-1], Tone.FAINT)]))
        if self.keys:
            typed = [Piece(f"filter: {words}{_CURSOR}", Tone.ACCENT), Piece("Esc: all again", Tone.FAINT)]
            lines.append(spread(width, typed if words else [Piece(keys, Tone.FAINT)]))
        return lines

    def _silent(self, count: str, width: int) -> Text:
        right = [Piece(count, Tone.FAINT, rank=5, short=count.partition(":")[0])]
        told = "  ".join(_named(word, names) for word, names in not_recorded(self.run))
        room = width - len(right[0].short) - 2
        return spread(width, [Piece(told if len(told) <= room else told[: room - 1] + "…", Tone.ALARM)], right)

    @staticmethod
    def _count(live: LastValues, view: View, shown: int) -> str:
        """`17 of 213 instruments: indices, then what trades most`."""
        total = len(live.instruments)
        if total == 1:
            return fmt.plural(total, "instrument")
        order = view.order.value
        if view.order is Order.ACTIVITY and live.has_pinned:
            order = "indices, then what trades most"
        if shown == total:
            return f"{fmt.plural(total, 'instrument')}: {order}"
        first = view.top + 1
        which = f"{fmt.grouped(shown)}" if first == 1 else f"{fmt.grouped(first)} to {fmt.grouped(view.top + shown)}"
        return f"{which} of {fmt.plural(total, 'instrument')}: {order}"


def _named(word: str, names: Sequence[str]) -> str:
    """`silent: 071XYZ (NSE_EQ|INE0)`, or with their number when there are more."""
    return f"{word}{f' {len(names)}' if len(names) > 1 else ''}: {', '.join(names[:_NAMED])}"
