"""The commands about the files of recorded days: seal, rebuild, verify."""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tickrec.cli.common import (
    ConfigOption,
    DataOption,
    DateArgument,
    JsonOption,
    SimulateOption,
    ToOption,
    again,
    answer,
    app,
    configured,
    date_of,
    log_to_stderr,
    say,
    step_line,
)
from tickrec.errors import AlreadyRecording, DataError, ExitCode, UsageError

if TYPE_CHECKING:
    import datetime as dt

    from tickrec.config import Config
    from tickrec.seal.verify import Report
    from tickrec.status.totals import Totals
    from tickrec.store.manifest import Manifest
    from tickrec.store.paths import Store


@app.command()
def seal(
    date: DateArgument,
    to: ToOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    simulate: SimulateOption = False,
) -> None:
    """Make the final files of a date, checked.

    One sorted Parquet file and one DuckDB file, held against the journal, which is compressed.
    """
    from tickrec.seal.seal import seal as seal_date

    _make_days(seal_date, "sealed", date, to, as_json, configured(config, data, simulate))


@app.command()
def rebuild(
    date: DateArgument,
    to: ToOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    simulate: SimulateOption = False,
) -> None:
    """Make the files of a date anew from its journal."""
    from tickrec.seal.seal import rebuild as rebuild_date

    _make_days(rebuild_date, "rebuilt", date, to, as_json, configured(config, data, simulate))


def _make_days(
    make: "Callable[..., Manifest]", done: str, first: str, last: str | None, as_json: bool, config: "Config"
) -> None:
    """Seal or rebuild each date of a range, and say what came out."""
    from tickrec.formatting import plural
    from tickrec.status.totals import totals
    from tickrec.store.paths import Store

    store = Store(config.store.data)
    log_to_stderr()

    def work(date: "dt.date") -> None:
        with step_line(f"{date}") as progress:
            manifest = make(store, date, progress, duckdb=config.store.duckdb)
        if as_json:
            answer(manifest.to_json().decode().rstrip())
        else:
            ticks, count = manifest.rows["ticks"], len(manifest.instruments)
            how_much = _how_much(totals(store, date))
            answer(f"{done} {date}: {plural(ticks, 'tick')} of {plural(count, 'instrument')}{how_much}")

    raise SystemExit(_each(_dates(store, first, last), work, as_json))


def _each(dates: "list[dt.date]", work: "Callable[[dt.date], ExitCode | None]", as_json: bool) -> ExitCode:
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
                answer(json.dumps({"date": str(date), "error": again(str(error)), "exit_code": int(error.code)}))
            codes.append(error.code)
    return max(filter(None, codes), key=lambda code: code is ExitCode.DATA, default=ExitCode.DONE)


@app.command()
def verify(
    date: DateArgument,
    to: ToOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    simulate: SimulateOption = False,
) -> None:
    """Compare journal, Parquet and DuckDB of a date.

    Reads everything again; exit code 5 with what differs.
    """
    from tickrec.seal.verify import verify as verify_date
    from tickrec.store.paths import Store

    store = Store(configured(config, data, simulate).store.data)

    def work(day: "dt.date") -> ExitCode:
        with step_line(f"{day}") as progress:
            report = verify_date(store, day, progress)
        answer(json.dumps(report.to_json()) if as_json else "\n".join(_verdict(report)))
        return ExitCode.DATA if report.differences else ExitCode.DONE

    raise SystemExit(_each(_dates(store, date, to), work, as_json))


def _how_much(totals: "Totals | None") -> str:
    """From when to when there is data, and its gaps; nothing where that is not known."""
    from tickrec.screen.report import day_words

    return "" if totals is None else f", {day_words(totals)}"


def _verdict(report: "Report") -> "Iterator[str]":
    """A report in words: a line about the date, and one for each thing that it found."""
    from tickrec.formatting import plural

    kind = "sealed" if report.sealed else "not sealed"
    waiting = f", {plural(report.unflushed, 'tick')} more in the journal only" if report.unflushed else ""
    against = "" if report.journal else ", journal gone"
    verdict = plural(len(report.differences), "difference") if report.differences else "everything agrees"
    yield f"{report.date} {kind}{against}: {plural(report.ticks, 'tick')}{waiting}{_how_much(report.totals)}, {verdict}"
    for difference in report.differences:
        yield f"  {difference}"
    for skipped in report.skipped:
        yield f"  not compared: {skipped}"


def _dates(store: "Store", first: str, last: str | None) -> "list[dt.date]":
    """The date, or the stored dates of a range. Raises UsageError."""
    begin, end = date_of("DATE", first), date_of("--to", last)
    assert begin is not None
    if end is None:
        return [begin]
    found = [date for date in store.dates() if begin <= date <= end]
    if not found:
        raise UsageError(f"nothing is stored from {begin} to {end}", where=str(store.root))
    return found
