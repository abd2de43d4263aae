"""The commands about recorded days: query, seal, rebuild, verify."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tickrec import examples
from tickrec.cli.common import (
    ConfigOption,
    DataOption,
    DateArgument,
    JsonOption,
    SimulateOption,
    ToOption,
    answer,
    app,
    configured,
    date_of,
    progress_line,
    say,
    seconds_of,
    step_line,
)
from tickrec.errors import AlreadyRecording, DataError, ExitCode, UsageError

if TYPE_CHECKING:
    import datetime as dt

    from tickrec.config import Config
    from tickrec.layout import Store
    from tickrec.manifest import Manifest
    from tickrec.verify import Report


@app.command(epilog=examples.text())
def query(
    sql: Annotated[str | None, typer.Argument(metavar="SQL", help="One statement that only reads.")] = None,
    form: Annotated[str, typer.Option("--format", help="table, csv, json, jsonl or markdown.")] = "table",
    output: Annotated[Path | None, typer.Option("--output", help="Write .csv .json .jsonl .parquet .arrow.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="Rows at most.", min=0)] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Read the statement from a file; - is stdin.")] = None,
    date: Annotated[str | None, typer.Option("--date", help="One date: 2026-11-23, today, yesterday.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First date.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last date.")] = None,
    timeout: Annotated[str | None, typer.Option("--timeout", help="Give up after so long: 30s.")] = None,
    memory: Annotated[str | None, typer.Option("--memory", help="Memory at most: 2GB.")] = None,
    tables: Annotated[bool, typer.Option("--tables", help="Describe the tables, views and macros.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    simulate: SimulateOption = False,
) -> None:
    """Ask the ticks anything in SQL, also while recording."""
    if tables:
        from tickrec.relations import describe

        return answer(describe())
    from tickrec import output as out
    from tickrec.clock import SECOND, SystemClock
    from tickrec.layout import Store
    from tickrec.query import DateRange, Session, yield_to_recorder

    if output is not None:
        out.file_format(output)
    statement = _statement(sql, file)
    seconds = seconds_of("--timeout", timeout)
    if date is not None and (first or last):
        raise UsageError("--date and --from, --to exclude each other")
    if date is not None:
        dates = DateRange(date_of("--date", date), date_of("--date", date))
    else:
        dates = DateRange(date_of("--from", first), date_of("--to", last))
    if dates.first is not None and dates.last is not None and dates.first > dates.last:
        raise UsageError(f"--from {dates.first} is after --to {dates.last}")
    store = Store(configured(config, data, simulate).store.data)
    yield_to_recorder()
    begun_ns = SystemClock.monotonic_ns()
    with Session(store, dates, memory_limit=memory) as session:
        if (notice := session.notice()) is not None:
            say(notice)
        with progress_line() as progress, session.execute(statement, seconds, progress) as result:
            if output is not None:
                written = out.write_file(result, output, limit)
            else:
                width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
                written = out.write_stdout(result, form, limit, width, sys.stdout.isatty())
    if sys.stderr.isatty() or output is not None:
        say(written.line((SystemClock.monotonic_ns() - begun_ns) / SECOND))


def _statement(sql: str | None, file: Path | None) -> str:
    """The statement from the argument or from a file. Raises UsageError."""
    if (sql is None) == (file is None):
        raise UsageError("give a statement, or a file of one with --file", hint="See `tickrec query --help`")
    if sql is not None:
        return sql
    try:
        return sys.stdin.read() if str(file) == "-" else Path(str(file)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the statement cannot be read: {error}", where=str(file)) from None


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
    from tickrec.seal import seal as seal_date

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
    from tickrec.seal import rebuild as rebuild_date

    _make_days(rebuild_date, "rebuilt", date, to, as_json, configured(config, data, simulate))


def _make_days(
    make: "Callable[..., Manifest]", done: str, first: str, last: str | None, as_json: bool, config: "Config"
) -> None:
    """Seal or rebuild each date of a range, and say what came out."""
    from tickrec.format import plural
    from tickrec.layout import Store

    store = Store(config.store.data)

    def work(date: "dt.date") -> None:
        with step_line(f"{date}") as progress:
            manifest = make(store, date, progress, duckdb=config.store.duckdb)
        if as_json:
            answer(manifest.to_json().decode().rstrip())
        else:
            ticks, count = manifest.rows["ticks"], len(manifest.instruments)
            answer(f"{done} {date}: {plural(ticks, 'tick')} of {plural(count, 'instrument')}")

    raise SystemExit(_each(_dates(store, first, last), work))


def _each(dates: "list[dt.date]", work: "Callable[[dt.date], ExitCode | None]") -> ExitCode:
    """Work through dates: of several, one that does not work out is told, and the others have their turn.

    Raises what `work` raises for a single date, and what is not about the date itself.
    """
    codes = []
    for date in dates:
        try:
            codes.append(work(date))
        except (DataError, AlreadyRecording) as error:
            if len(dates) == 1:
                raise
            say(f"tickrec: {date}: {error}")
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
    from tickrec.layout import Store
    from tickrec.verify import verify as verify_date

    store = Store(configured(config, data, simulate).store.data)

    def work(day: "dt.date") -> ExitCode:
        with step_line(f"{day}") as progress:
            report = verify_date(store, day, progress)
        answer(json.dumps(report.to_json()) if as_json else "\n".join(_verdict(report)))
        return ExitCode.DATA if report.differences else ExitCode.DONE

    raise SystemExit(_each(_dates(store, date, to), work))


def _verdict(report: "Report") -> "Iterator[str]":
    """A report in words: a line about the date, and one for each thing that it found."""
    from tickrec.format import plural

    kind = "sealed" if report.sealed else "not sealed"
    waiting = f", {plural(report.unflushed, 'tick')} more in the journal only" if report.unflushed else ""
    against = "" if report.journal else ", journal gone"
    verdict = plural(len(report.differences), "difference") if report.differences else "everything agrees"
    yield f"{report.date} {kind}{against}: {plural(report.ticks, 'tick')}{waiting}, {verdict}"
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
