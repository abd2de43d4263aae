"""View: what somebody looks at, and what the keys change of it.

Owns the keys: a table of what each does in each mode. Does not know terminals or drawing.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Final

from tickrec.screen.chain import ChainName, chain_names, contract, underlying_of
from tickrec.screen.keys import Key, Pressed
from tickrec.screen.last_values import Instrument, LastValues, Order

_ORDERS: Final = tuple(Order)


class Mode(Enum):
    """What is on the screen."""

    TABLE = "table"
    CHAIN = "chain"


class View:
    """What is looked at: which instruments in which order, which of them is selected, which chain."""

    def __init__(self) -> None:
        self.mode = Mode.TABLE
        self.order = Order.ACTIVITY
        self.words = ""
        """What was typed: symbols that have all of these words are shown."""
        self.selected = ""
        """The key of an instrument; empty: none."""
        self.top = 0
        """The first row that is shown."""
        self.chain: ChainName | None = None
        self.shift = 0
        """How far a chain has been moved from the money; in strikes."""
        self._rows: Sequence[Instrument] = ()
        self._page = 1
        self._live = LastValues()
        self._now_ns = 0

    def show(self, live: LastValues, now_ns: int, page: int) -> Sequence[Instrument]:
        """The rows at a moment, from the first that is shown on; `page` is how many there is room for."""
        self._live, self._now_ns, self._page = live, now_ns, max(page, 1)
        self._rows = live.rows(now_ns, self.order, self.words)
        place = self._place()
        if place is not None:
            self.top = min(self.top, place)
            self.top = max(self.top, place - self._page + 1)
        self.top = max(0, min(self.top, len(self._rows) - self._page))
        return self._rows[self.top :]

    def row(self) -> Instrument | None:
        """The selected instrument, where it is among the rows."""
        place = self._place()
        return None if place is None else self._rows[place]

    def chains(self) -> list[ChainName]:
        """The chains of the underlying that is looked at."""
        if self.chain is None:
            return []
        names = chain_names(self._live.instruments.values())
        return [name for name in names if name.underlying == self.chain.underlying]

    def press(self, pressed: Pressed) -> None:
        """Take a key."""
        self._rows = self._live.rows(self._now_ns, self.order, self.words)  # the key before may have changed them
        if isinstance(pressed, str):
            self._type(pressed)
        else:
            _KEYS[self.mode].get(pressed, View._ignore)(self)

    def _ignore(self) -> None:
        return

    def _place(self) -> int | None:
        if not self.selected:
            return None
        return next((at for at, row in enumerate(self._rows) if row.key == self.selected), None)

    def _type(self, char: str) -> None:
        self.mode = Mode.TABLE
        if char != " " or self.words:
            self.words += char
        self.top = 0

    def _erase(self) -> None:
        self.words = self.words[:-1]
        self.top = 0

    def _clear(self) -> None:
        self.words, self.top = "", 0

    def _leave(self) -> None:
        """Take back what was typed, or else what was selected."""
        if self.words:
            self._clear()
        else:
            self.selected, self.top = "", 0

    def _move(self, by: int) -> None:
        if not self._rows:
            return
        place = self._place()
        if place is None:
            target = self.top if by > 0 else min(self.top + self._page, len(self._rows)) - 1
            target = target + (by - 1 if by > 1 else by + 1 if by < -1 else 0)
        else:
            target = place + by
        self.selected = self._rows[max(0, min(target, len(self._rows) - 1))].key

    def _to(self, place: int) -> None:
        if self._rows:
            self.selected = self._rows[place].key

    def _sort(self, by: int) -> None:
        self.order = _ORDERS[(_ORDERS.index(self.order) + by) % len(_ORDERS)]
        self.selected, self.top = "", 0  # who sorts wants to see what comes first

    def _open_chain(self) -> None:
        """The chain of the selected instrument, or else of the first of the rows that has one."""
        row = self.row()
        names = chain_names(self._live.instruments.values())
        chains = (_chain_of(each, names) for each in (self._rows if row is None else [row]))
        if (chain := next(filter(None, chains), None)) is not None:
            self.mode, self.chain, self.shift = Mode.CHAIN, chain, 0

    def _close_chain(self) -> None:
        self.mode, self.chain = Mode.TABLE, None

    def _other_chain(self, by: int) -> None:
        names = self.chains()
        if self.chain in names:
            self.chain = names[(names.index(self.chain) + by) % len(names)]
            self.shift = 0

    def first_strike(self, money: int, strikes: int, page: int) -> int:
        """The first strike to show of so many: the money in the middle, or where somebody has moved to."""
        self._page = max(page, 1)
        middle = money - self._page // 2
        first = max(0, min(middle + self.shift, strikes - self._page))
        if self.shift:  # a key at the end moves nothing
            self.shift = first - middle
        return first

    def _scroll(self, by: int) -> None:
        self.shift += by

    def _to_money(self) -> None:
        self.shift = 0


def _chain_of(row: Instrument, names: Sequence[ChainName]) -> ChainName | None:
    """The chain that an instrument belongs to: its own if it is an option, else the nearest of those about it."""
    if option := contract(row.symbol):
        return option[0]
    about = underlying_of(row.symbol)
    return next((name for name in names if name.underlying == about), None)


_KEYS: Final[Mapping[Mode, Mapping[Key, Callable[[View], None]]]] = {
    Mode.TABLE: {
        Key.UP: lambda view: view._move(-1),
        Key.DOWN: lambda view: view._move(1),
        Key.PAGE_UP: lambda view: view._move(-view._page),
        Key.PAGE_DOWN: lambda view: view._move(view._page),
        Key.HOME: lambda view: view._to(0),
        Key.END: lambda view: view._to(-1),
        Key.LEFT: lambda view: view._sort(-1),
        Key.RIGHT: lambda view: view._sort(1),
        Key.ENTER: View._open_chain,
        Key.ESCAPE: View._leave,
        Key.BACKSPACE: View._erase,
        Key.CLEAR: View._clear,
    },
    Mode.CHAIN: {
        Key.UP: lambda view: view._scroll(-1),
        Key.DOWN: lambda view: view._scroll(1),
        Key.PAGE_UP: lambda view: view._scroll(-view._page),
        Key.PAGE_DOWN: lambda view: view._scroll(view._page),
        Key.HOME: View._to_money,
        Key.LEFT: lambda view: view._other_chain(-1),
        Key.RIGHT: lambda view: view._other_chain(1),
        Key.ENTER: View._close_chain,
        Key.ESCAPE: View._close_chain,
        Key.BACKSPACE: View._close_chain,
    },
}
"""What each key does; a character is typed in either mode."""
