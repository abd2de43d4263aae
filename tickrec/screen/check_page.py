"""Check page: how complete a day is, on one screen.

Owns the layout of `tickrec check`. What is said, and how a strip is made, is for the room `check`.
"""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

from rich.text import Text

from tickrec import formatting as fmt
from tickrec.check.bar_differences import BarDifferences
from tickrec.check.day_check import DayReport, InstrumentReport
from tickrec.check.grades import Grade
from tickrec.check.reasons import clock_time, length, words_of
from tickrec.check.strip import Columns, heights, marks
from tickrec.query.missing import NEVER
from tickrec.screen.lines import NOTHING, Page, Piece, Tone, spread

_LINES: Final = 12
"""Instruments, or groups of them that miss the same, that are named."""
_SMALL: Final = 24
"""Columns of the small strip of an instrument."""
_SYMBOL: Final = 18
_ALL_WHYS: Final = 12
_LEAST_WORDS: Final = 20
"""Room for words, without which the small strips are left out."""


def check_page(report: DayReport, width: int, *, option: str = "") -> Page:
    """One screen about a day. `option` is what selects the store on the command line, such as ` --simulate`."""
    page = Page(width)
    _head(page, report)
    if report.instruments:
        if report.session is not None:
            _strip(page, Columns.over(*report.session, page.width - 2), report, report.instruments)
        page.say("   ".join(f"{letter} {fmt.grouped(count)}" for letter, count in report.counts.items()))
        if any(each.bars is not None for each in report.instruments):
            page.say(_bars([each.bars for each in report.instruments if each.bars is not None]))
        page.spread(NOTHING)
    below = [each for each in report.instruments if each.grade is not Grade.A]
    groups = _groups(below)
    for group in groups[:_LINES]:
        _group(page, report, group)
    if hidden := sum(map(len, groups[_LINES:])):
        page.say(f"and {fmt.plural(hidden, 'instrument')} more below A: `tickrec check {report.date}{option} --json`")
    return page


def instrument_page(report: DayReport, one: InstrumentReport, width: int) -> Page:
    """One screen about one instrument of a day."""
    page, known = Page(width), one.known
    tone = Tone.STRONG if one.grade.good else Tone.ALARM
    page.say(f"{report.date}  {known.symbol} ({known.instrument_key})  grade {one.grade}", tone)
    if known.begins is not None and known.ends is not None:
        columns = Columns.over(known.begins, known.ends, width - 2)
        _strip(page, columns, report, [one])
    percent = 100 * one.share
    share = f", {f'{percent:.0f}' if percent >= 10 else f'{percent:.2g}'} % of the day" if percent else ""
    page.say(f"missing {length(known.missing_us)} of {length(known.session_us)}" + _volume(one) + share)
    for words in words_of(known, _ALL_WHYS):
        page.say(f"  {words}")
    if one.bars is not None:
        page.say(_bars([one.bars]))
    if known.first_us is not None and known.last_us is not None:
        times = f"{clock_time(known.first_us)} - {clock_time(known.last_us)}"
        page.say(f"{fmt.plural(known.ticks, 'tick')}, {times}, longest silence {length(known.silence_us or 0)}")
    return page


def _head(page: Page, report: DayReport) -> None:
    tone = Tone.STRONG if report.grade.good else Tone.ALARM
    counts = f"{fmt.plural(report.ticks, 'tick')} of {fmt.plural(len(report.instruments), 'instrument')}"
    times = "" if report.session is None else " - ".join(map(clock_time, report.session))
    left = Piece(f"{report.date}  grade {report.grade}", tone), Piece(counts)
    page.lines.append(spread(page.width, left, [Piece(times, rank=1)]))
    page.say(report.sentence)


def _strip(page: Page, columns: Columns, report: DayReport, chosen: Sequence[InstrumentReport]) -> None:
    """A strip over all of the width, its marks where something is missing, and its axis.

    Who never answered is named, and makes no mark under all of the day.
    """
    lost, whole = _missing(columns, chosen)
    page.spread(NOTHING)
    page.spread(Piece(f"  {heights(_counts(columns, report, chosen), lost, whole)}", Tone.ACCENT))
    named = columns.lengths(
        (each.begins, each.ends) for one in chosen for each in one.known.longest if each.why == NEVER
    )
    if (under := marks([each - less for each, less in zip(lost, named, strict=True)], whole)).strip():
        page.spread(Piece(f"  {under}", Tone.ALARM))
    page.spread(Piece(f"  {columns.axis()}", Tone.FAINT))
    page.spread(NOTHING)


def _counts(columns: Columns, report: DayReport, chosen: Iterable[InstrumentReport]) -> list[int]:
    """How much came in each column, over some instruments."""
    keys = (each.known.instrument_key for each in chosen)
    return columns.sums(report.minutes[key] for key in keys if key in report.minutes)


def _missing(columns: Columns, chosen: Iterable[InstrumentReport]) -> tuple[list[int], list[int]]:
    """How much of each column is missing, and how much there is in all, over some instruments."""
    known = [each.known for each in chosen]
    lost = columns.lengths((each.begins, each.ends) for one in known for each in one.longest)
    whole = columns.lengths((one.begins, one.ends) for one in known if one.begins is not None and one.ends is not None)
    return lost, whole


def _groups(below: Iterable[InstrumentReport]) -> list[list[InstrumentReport]]:
    """Instruments that have the same grade for the same reasons, together, in the order of the first of each."""
    found: dict[tuple[Grade, tuple[str, ...]], list[InstrumentReport]] = {}
    for each in below:
        found.setdefault((each.grade, tuple(words_of(each.known))), []).append(each)
    return list(found.values())


def _group(page: Page, report: DayReport, group: Sequence[InstrumentReport]) -> None:
    """A line: the grade, who it is, the small strip of the first, and the reasons."""
    first = group[0]
    name = first.known.symbol if len(group) == 1 else fmt.plural(len(group), "instrument")
    head = f"{first.grade}  {_cut(name, _SYMBOL):<{_SYMBOL}}  "
    if report.session is not None and page.width - len(head) - _SMALL - 2 >= _LEAST_WORDS:
        columns = Columns.over(*report.session, _SMALL)
        counts = _counts(columns, report, [first])
        head += f"{heights(counts, *_missing(columns, [first])):<{_SMALL}}  "
    words = "; ".join(words_of(first.known))
    if len(group) > 1:
        words = f"{words} ({', '.join(each.known.symbol for each in group[:3])}{', ...' * (len(group) > 3)})"
    room = max(page.width - len(head), _LEAST_WORDS)
    for number, part in enumerate(textwrap.wrap(words, room) or [""]):
        line = Text(f"{' ' * len(head) if number else head}{part}")
        if not number and not first.grade.good:
            line.stylize(Tone.ALARM, 0, 1)
        page.lines.append(line)


def _bars(compared: Sequence[BarDifferences]) -> str:
    """How minutes compare with the exchange's: `of 375 minutes 3 differ from the exchange's: 2 in price, ...`."""
    minutes, differing = sum(each.bars for each in compared), sum(each.differing for each in compared)
    if not differing:
        return f"{fmt.plural(minutes, 'minute')} agree with the exchange's bars"
    price, volume = sum(each.in_price for each in compared), sum(each.in_volume for each in compared)
    widest = max((each.widest_percent or 0.0 for each in compared), default=0.0)
    return (
        f"{fmt.grouped(differing)} of {fmt.plural(minutes, 'minute')} differ from the exchange's bars: "
        f"{fmt.grouped(price)} in price (by {widest:.2g} % at most), {fmt.grouped(volume)} in volume"
    )


def _volume(one: InstrumentReport) -> str:
    known = one.known
    if not known.volume:
        return ""
    return f", {fmt.grouped(known.missing_volume or 0)} of {fmt.grouped(known.volume)} traded"


def _cut(name: str, room: int) -> str:
    return name if len(name) <= room else name[: room - 1] + "…"
