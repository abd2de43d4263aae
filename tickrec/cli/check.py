"""The command check: is a day complete?"""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tickrec.cli.backfill import fetch_candles
from tickrec.cli.common import Common, JsonOption, answer, command, say
from tickrec.cli.date_commands import date_option, each_date
from tickrec.cli.options import date_of
from tickrec.errors import ExitCode, NothingToRecord, TickrecError, UsageError, options_given

if TYPE_CHECKING:
    import datetime as dt

    from tickrec.check.day_check import DayReport, InstrumentReport, Verdict
    from tickrec.store.paths import Store


@command()
def check(
    common: Common,
    date: Annotated[
        str | None,
        typer.Argument(metavar="[DATE]", help="2026-11-23, today or yesterday; without: the newest trading day."),
    ] = None,
    first: Annotated[str | None, date_option("--from", "A line for each day from this one.")] = None,
    last: Annotated[str | None, date_option("--to", "Until this one.")] = None,
    symbol: Annotated[str | None, typer.Option("--symbol", metavar="NAME", help="Explain one instrument.")] = None,
    exchange: Annotated[
        bool, typer.Option("--exchange", help="Fetch the exchange's minute candles and compare with them.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Grade a day: is it complete, and what is missing?

    A: nothing is missing. B: at most 0.1 % of the session, or of the volume, C: 1 %, D: 10 %, F: more. The day has the
    grade that 99 of 100 instruments reach. Exit code 0 for A and B, 5 for the others, 3 for a day without trading.
    """
    from tickrec.check.day_check import newest_date
    from tickrec.clock import SystemClock
    from tickrec.store.paths import Store

    store = Store(common.settings.store.data)
    if not store.dates():
        from tickrec.query.date_range import elsewhere

        say(f"nothing is recorded in {store.root} yet. {elsewhere(store.root)}")
    if first or last:
        if date or symbol or exchange:
            hint = "Ask for one day, or for several"
            raise UsageError("--from and --to take neither a date nor --symbol or --exchange", hint=hint)
        raise SystemExit(_check_range(store, date_of("--from", first), date_of("--to", last), as_json))
    day = date_of("DATE", date) or newest_date(store, SystemClock.wall_ns())
    failed = _fetch_bars(common, store, day) if exchange and day in store.dates() else ExitCode.DONE
    raise SystemExit(_check_day(store, day, symbol, as_json) or failed)


def _fetch_bars(common: Common, store: "Store", day: "dt.date") -> ExitCode:
    """Fetch the exchange's bars of a day. What hinders that is said, and no reason not to check the day."""
    try:
        fetch_candles(common, store, day, everything=True)
    except UsageError:
        raise
    except (TickrecError, OSError) as error:
        say(f"tickrec: the exchange's bars of {day} could not be fetched: {error}")
        return error.code if isinstance(error, TickrecError) else ExitCode.STORAGE
    return ExitCode.DONE


def _check_day(store: "Store", date: "dt.date", symbol: str | None, as_json: bool) -> ExitCode:
    from tickrec.check.day_check import check_date

    report = check_date(store, date)
    one = None if symbol is None else report.instrument(symbol)
    if as_json:
        answer(json.dumps((report if one is None else report.only(one)).to_json(), indent=2, ensure_ascii=False))
    else:
        from tickrec.screen import check_page, display

        width = display.page_width(sys.stdout)
        page = check_page.check_page(report, width, option=options_given())
        display.put(page if one is None else check_page.instrument_page(report, one, width), sys.stdout)
    return _exit_code(report if one is None else one)


def _check_range(store: "Store", first: "dt.date | None", last: "dt.date | None", as_json: bool) -> ExitCode:
    import datetime as dt

    from tickrec.check.day_check import check_date, newest_date, verdict
    from tickrec.clock import SystemClock

    now_ns, stored = SystemClock.wall_ns(), store.dates()
    closed: list[NothingToRecord] = []
    end = last or newest_date(store, now_ns)
    begin = first or min([*stored, end])
    if begin > end:
        raise UsageError(f"--from {begin} is after --to {end}")

    def work(date: "dt.date") -> ExitCode | None:
        try:
            if as_json:
                report = check_date(store, date)
                answer(json.dumps(report.to_json(), ensure_ascii=False))
                return _exit_code(report)
            found = verdict(store, date)
        except NothingToRecord as error:
            closed.append(error)
            return None
        answer(f"{date}  {found.grade}  {found.words}")
        return _exit_code(found)

    days = [begin + dt.timedelta(days=number) for number in range((end - begin).days + 1)]
    code = each_date(days, work, as_json)
    if len(closed) == len(days):
        raise closed[-1]
    return code


def _exit_code(graded: "DayReport | InstrumentReport | Verdict") -> ExitCode:
    return ExitCode.DONE if graded.grade.good else ExitCode.DATA
