"""Chain: options that are recorded, as traders read them: calls left, strikes, puts right.

Owns what a trading symbol says of a contract, and the columns of a chain.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from rich.table import Table
from rich.text import Text

from tickrec import formatting as fmt
from tickrec.screen.instrument_rows import Palette, open_interest
from tickrec.screen.last_values import Instrument
from tickrec.screen.lines import Tone, clean

_CONTRACT: Final = re.compile(r"(.+) (\d+(?:\.\d+)?) (CE|PE) (\d{1,2} [A-Z]{3} \d{2})")
"""How the broker writes an option's trading symbol: IDEA 22 CE 25 JAN 24 (instrument files, 2024 to 2026)."""
_FUTURE: Final = " FUT "
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_BETWEEN: Final = 2


class ChainName(NamedTuple):
    """Which options: those of an underlying that expire on a day, as symbols write it."""

    underlying: str
    expiry: str

    @property
    def place(self) -> tuple[str, str, int, str]:
        """What chains are sorted by."""
        day, month, year = self.expiry.split()
        return self.underlying, year, _MONTHS.index(month) if month in _MONTHS else 0, day.zfill(2)


class Strike(NamedTuple):
    """The call and the put at a strike, as far as they are recorded."""

    price: float
    call: Instrument | None
    put: Instrument | None


@dataclass(frozen=True, slots=True)
class Chain:
    """The recorded options of a name, by strike."""

    name: ChainName
    strikes: Sequence[Strike]
    underlying: Instrument | None
    """The instrument of that symbol, if it is recorded."""

    @property
    def money(self) -> int:
        """The place of the strike at the money: nearest to the underlying, else where call and put cost the same.

        0 where there are no strikes, as when a new run has not brought any yet.
        """
        spot = self.underlying.ltp if self.underlying is not None else None
        if spot is not None:
            return min(range(len(self.strikes)), key=lambda at: abs(self.strikes[at].price - spot), default=0)
        both = [at for at, strike in enumerate(self.strikes) if _premium(strike) is not None]
        return min(both, key=lambda at: _premium(self.strikes[at]) or 0.0) if both else len(self.strikes) // 2


def _premium(strike: Strike) -> float | None:
    """How far apart call and put are."""
    call, put = strike.call, strike.put
    return abs(call.ltp - put.ltp) if call and put and call.ltp and put.ltp else None


def contract(symbol: str) -> tuple[ChainName, float, str] | None:
    """What a trading symbol says of an option: chain, strike, and CE or PE. None: it is no option's."""
    found = _CONTRACT.fullmatch(symbol)
    return (ChainName(found[1], found[4]), float(found[2]), found[3]) if found else None


def underlying_of(symbol: str) -> str:
    """The symbol of what a contract is about; of anything else its own."""
    option = contract(symbol)
    return option[0].underlying if option else symbol.partition(_FUTURE)[0]


def chain_names(instruments: Iterable[Instrument]) -> list[ChainName]:
    """The chains that are recorded, by underlying and expiry."""
    return sorted({option[0] for each in instruments if (option := contract(each.symbol))}, key=lambda name: name.place)


def chain(name: ChainName, instruments: Iterable[Instrument]) -> Chain:
    """The chain of a name."""
    sides: Mapping[float, dict[str, Instrument]] = defaultdict(dict)
    underlying = None
    for each in instruments:
        option = contract(each.symbol)
        if option and option[0] == name:
            sides[option[1]][option[2]] = each
        elif each.symbol == name.underlying and (underlying is None or each.pinned):
            underlying = each
    strikes = [Strike(price, found.get("CE"), found.get("PE")) for price, found in sorted(sides.items())]
    return Chain(name, strikes, underlying)


class _Column(NamedTuple):
    title: str
    width: int
    text: Callable[[Instrument], str]


def _iv(row: Instrument) -> str:
    iv = row.details().iv
    return f"{iv * 100:.1f}" if iv else fmt.NONE


_COLUMNS: Final = (
    _Column("oi", 12, open_interest),
    _Column("volume", 12, lambda row: fmt.grouped(row.volume)),
    _Column("iv %", 5, _iv),
    _Column("chg%", 7, lambda row: fmt.percent(row.change)),
    _Column("ltp", 9, lambda row: fmt.price(row.ltp)),
)
"""Of the calls, from the outside in; those of the puts stand the other way round."""
_STRIKE: Final = 10
_SETS: Final = ((0, 1, 2, 3, 4), (0, 2, 3, 4), (0, 3, 4), (3, 4), (4,))
"""The columns that stay as it gets narrower."""


def chain_table(shown: Chain, first: int, height: int, width: int, palette: Palette) -> Table:
    """The strikes from number `first` on, `height` of them; the one at the money is marked."""
    calls = next((found for numbers in _SETS if _width(found := [_COLUMNS[n] for n in numbers]) <= width), _COLUMNS[4:])
    strikes = shown.strikes[first : first + height]
    money = shown.money - first
    table = Table(box=None, padding=0, pad_edge=False, show_edge=False, header_style="dim")
    columns = [
        *((column.title, column.width, _side(column, [each.call for each in strikes], palette)) for column in calls),
        ("strike", _STRIKE, _strikes(strikes, money)),
        *(
            (column.title, column.width, _side(column, [each.put for each in strikes], palette))
            for column in calls[::-1]
        ),
    ]
    for name, column_width, _ in columns:
        table.add_column(Text(name.rjust(column_width + _BETWEEN)), width=column_width + _BETWEEN, no_wrap=True)
    if strikes:
        table.add_row(*(cell for *_, cell in columns))
    return table


def title(shown: Chain, others: int) -> Text:
    """`NIFTY 26 NOV 26  24,351.40 +0.42 %  calls left, puts right`; `others` is how many expiries there are beside."""
    name, spot = shown.name, shown.underlying
    text = Text(no_wrap=True)
    text.append(clean(f"{name.underlying} {name.expiry}"), Tone.STRONG)
    if spot is not None:
        text.append(f"  {fmt.price(spot.ltp)}  {fmt.percent(spot.change)} %")
    text.append("  calls left, puts right", Tone.FAINT)
    if others:
        text.append(f"  {fmt.plural(others, 'more chain')}: ← →", Tone.FAINT)
    return text


def _width(calls: Sequence[_Column]) -> int:
    return 2 * sum(column.width + _BETWEEN for column in calls) + _STRIKE + _BETWEEN


def _side(column: _Column, rows: Sequence[Instrument | None], palette: Palette) -> Text:
    cell = Text(no_wrap=True)
    for number, row in enumerate(rows):
        text = fmt.NONE if row is None else column.text(row)
        style = ""
        if palette.whole and row is not None and row.direction and column.title in ("ltp", "chg%"):
            style = palette.up if row.direction > 0 else palette.down
        cell.append("\n" * (number > 0) + text.rjust(column.width + _BETWEEN), style or None)
    return cell


def _strikes(strikes: Sequence[Strike], money: int) -> Text:
    cell = Text(no_wrap=True)
    for number, strike in enumerate(strikes):
        text = fmt.price(strike.price).removesuffix(".00")
        words = f"› {text}" if number == money else text
        cell.append("\n" * (number > 0))
        cell.append(words.rjust(_STRIKE + _BETWEEN), Tone.ACCENT if number == money else Tone.STRONG)
    return cell
