"""What the commands about recorded dates share: seal, rebuild and verify take one date or a range."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickrec.cli.common import Common, answer, say
from tickrec.cli.completion import complete_date
from tickrec.cli.options import date_of
from tickrec.cli.progress_bars import step_line
from tickrec.errors import AlreadyRecording, DataError, ExitCode, UsageError

if TYPE_CHECKING:
    import datetime as dt

    from tickrec.status.totals import Totals
    from tickrec.store.manifest import Manifest
    from tickrec.store.paths import Store


def date_option(name: str, text: str) -> Any:
    """An option that takes a date."""
    return typer.Option(name, autocompletion=complete_date, metavar="DATE", help=text)


ToOption = Annotated[str | None, date_option("--to", "Every stored date from DATE to this one.")]
DateArgument = Annotated[
    str, typer.Argument(autocompletion=complete_date, metavar="DATE", help="2026-11-23, today or yesterday.")
]


def make_days(
    make: "Callable[..., Manifest]", done: str, first: str, last: str | None, as_json: bool, common: Common
) -> None:
    """Seal or rebuild each date of a range, and say what came out."""
    from tickrec.formatting import plural
    from tickrec.status.totals import totals
    from tickrec.store.paths import Store

    config = common.settings
    store = Store(config.store.data)
    common.log_to_stderr()

    def work(date: "dt.date") -> None:
        with step_line(f"{date}") as progress:
            manifest = make(store, date, progress, duckdb=config.store.duckdb)
        if as_json:
            answer(manifest.to_json().decode().rstrip())
        else:
            ticks, count = plural(manifest.rows["ticks"], "tick"), plural(len(manifest.instruments), "instrument")
            answer(f"{done} {date}: {ticks} of {count}{how_much(totals(store, date))}")

    raise SystemExit(each_date(dates_of(store, first, last), work, as_json))


def each_date(dates: "list[dt.date]", work: "Callable[[dt.date], ExitCode | None]", as_json: bool) -> ExitCode:
    """Work through dates: of several, one that does not work out is told, and the others have their turn.

    With `as_json` it is told in the answer, too, where a program looks for each date. Raises what `work` raises for a
    single date, and what is not about the date itself.
    """
    codes = []
    for date in dates:
        try:
            codes.append(work(date))
        except (DataError, AlreadyRecording) as error:
            if len(dates) == 1:
                raise
            say(f"tickrec: {date}: {error}")
            if as_json:
                answer(json.dumps({"date": str(date), "error": str(error), "exit_code": int(error.code)}))
            codes.append(error.code)
    return max(filter(None, codes), key=lambda code: code is ExitCode.DATA, default=ExitCode.DONE)


def how_much(totals: "Totals | None") -> str:
    """From when to when there is data, and its gaps; nothing where that is not known."""
    from tickrec.screen.report import day_words

    return "" if totals is None else f", {day_words(totals)}"


def dates_of(store: "Store", first: str, last: str | None) -> "list[dt.date]":
    """The date, or the stored dates of a range. Raises UsageError."""
    begin, end = date_of("DATE", first), date_of("--to", last)
    assert begin is not None
    if end is None:
        return [begin]
    found = [date for date in store.dates() if begin <= date <= end]
    if not found:
        raise UsageError(f"nothing is stored from {begin} to {end}", where=str(store.root))
    return found
