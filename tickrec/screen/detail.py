"""The detail: everything that the last message says of one instrument, and its price over the last minutes."""

from collections.abc import Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from tickrec import formatting as fmt
from tickrec.clock import SECOND
from tickrec.screen.last_values import SAMPLE_NS, SAMPLES, Instrument
from tickrec.screen.lines import Tone, clean
from tickrec.upstox.decode.quotes import Level

LINES: Final = 6
"""Of the detail, an empty one above it included."""
LEVELS: Final = 5
_BARS: Final = "▁▂▃▄▅▆▇█"
_RANGES: Final = (8, 16)
"""Characters of the day's range, on a narrow terminal and on one of at least _WIDE characters."""
_WIDE: Final = 100


def detail(row: Instrument, now_ns: int, width: int) -> Table:
    """The book of an instrument and what else is known of it, side by side, in LINES lines."""
    said = row.details()
    decimals = fmt.decimals(row.ltp, row.bid, row.ask)
    book = _book(said.levels[:LEVELS], decimals)
    facts = [
        Text.assemble((clean(row.symbol), Tone.STRONG), (f"  {clean(row.key)}", Tone.FAINT)),
        Text(f"{fmt.price(row.ltp, decimals)}  {fmt.percent(row.change)} % of {fmt.price(row.cp, decimals)}"),
        Text(_day(row, said.day, decimals, _RANGES[width >= _WIDE])),
        Text("  ".join(_traded(row, said.atp, said.iv, decimals))),
        Text(_line(row, now_ns, decimals)),
    ]
    table = Table.grid(padding=(0, 3, 0, 0), pad_edge=False)
    table.add_row(Text(" "))
    table.add_row(book, Text("\n", no_wrap=True, overflow="ellipsis").join(facts))
    return table


def sparkline(row: Instrument, now_ns: int) -> str:
    """The prices of the last quarter of an hour, a character for each SAMPLE_NS; a blank where there was none."""
    samples = dict(row.samples)
    last = now_ns // SAMPLE_NS
    prices = [samples.get(number) for number in range(last - SAMPLES + 1, last + 1)]
    known = [price for price in prices if price is not None]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known)
    bars = (" " if price is None else _BARS[_step(price - low, span)] for price in prices)
    return "".join(bars).lstrip()


def _step(above: float, span: float) -> int:
    return round(above / span * (len(_BARS) - 1)) if span else 0


def _book(levels: Sequence[Level], decimals: int) -> Text:
    """Quantity and price of the bids, price and quantity of the asks."""
    if not levels:
        return Text("no book", Tone.FAINT)
    cells = [
        (
            fmt.grouped(level.bid_qty) if level.bid else fmt.NONE,
            fmt.price(level.bid or None, decimals),
            fmt.price(level.ask or None, decimals),
            fmt.grouped(level.ask_qty) if level.ask else fmt.NONE,
        )
        for level in levels
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return Text("\n".join(lines), no_wrap=True)


def _day(row: Instrument, day: tuple[float, float, float] | None, decimals: int, length: int) -> str:
    """`day 1,401.00 ├────●───┤ 1,420.50  open 1,405.00`."""
    if day is None or row.ltp is None:
        return "day -"
    opened, high, low = day
    high, low = max(high, row.ltp), min(low, row.ltp)
    at = round((row.ltp - low) / (high - low) * (length - 1)) if high > low else 0
    bar = "─" * at + "●" + "─" * (length - 1 - at)
    return f"day {fmt.price(low, decimals)} ├{bar}┤ {fmt.price(high, decimals)}  open {fmt.price(opened, decimals)}"


def _traded(row: Instrument, atp: float | None, iv: float | None, decimals: int) -> list[str]:
    facts = [f"volume {fmt.grouped(row.volume)}"]
    if atp:
        facts.append(f"average {fmt.price(atp, decimals)}")
    if row.oi:
        facts.append(f"oi {fmt.grouped(int(row.oi))}")
    if iv:
        facts.append(f"iv {iv * 100:.1f} %")
    return facts


def _line(row: Instrument, now_ns: int, decimals: int) -> str:
    """The sparkline, and between which prices it is."""
    drawn = sparkline(row, now_ns)
    if not drawn:
        return ""
    first = now_ns // SAMPLE_NS - SAMPLES + 1
    known = [price for number, price in row.samples if number >= first]
    minutes = fmt.duration(len(drawn) * SAMPLE_NS / SECOND)
    return f"{drawn}  {fmt.price(min(known), decimals)} - {fmt.price(max(known), decimals)} in {minutes}"
