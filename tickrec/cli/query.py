"""The command query: a statement, its dates, and where the answer goes."""

import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tickrec.cli.common import Common, answer, command, say
from tickrec.cli.date_commands import date_option
from tickrec.cli.options import date_of, seconds_of
from tickrec.cli.progress_bars import progress_line
from tickrec.errors import UsageError
from tickrec.query import examples

if TYPE_CHECKING:
    from tickrec.query.answers import Written
    from tickrec.query.date_range import DateRange
    from tickrec.query.session import Result, Session
    from tickrec.store.paths import Store


FormatOption = Annotated[
    str | None, typer.Option("--format", metavar="FORMAT", help="table (default), csv, json, jsonl, markdown.")
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="Write .csv .json .jsonl .parquet .arrow.")
]
FileOption = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="Read the statement from a file; - is stdin.")
]
AttachOption = Annotated[
    list[str] | None,
    typer.Option("--attach", metavar="FILE", help="A CSV or Parquet file to ask, too; NAME=FILE names it."),
]
TimeoutOption = Annotated[str | None, typer.Option("--timeout", metavar="TIME", help="Give up after so long: 30s.")]


@command(epilog=examples.text())
def query(
    common: Common,
    sql: Annotated[str | None, typer.Argument(metavar="SQL", help="One statement that only reads.")] = None,
    form: FormatOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output: OutputOption = None,
    most: Annotated[str | None, typer.Option("--limit", metavar="ROWS", help="Rows at most.")] = None,
    file: FileOption = None,
    date: Annotated[str | None, date_option("--date", "One date: 2026-11-23, today, yesterday.")] = None,
    first: Annotated[str | None, date_option("--from", "First date.")] = None,
    last: Annotated[str | None, date_option("--to", "Last date.")] = None,
    attach: AttachOption = None,
    timeout: TimeoutOption = None,
    memory: Annotated[str | None, typer.Option("--memory", metavar="SIZE", help="Memory at most: 2GB.")] = None,
    tables: Annotated[bool, typer.Option("--tables", help="Describe the tables, views and macros.")] = False,
) -> None:
    """Ask the ticks anything in SQL, also while recording."""
    if tables:
        from tickrec.query.catalog import describe

        return answer(describe())
    form, limit = _format(form, as_json, output), _limit(most)
    statement, seconds = _statement(sql, file), _seconds(timeout)
    from tickrec.clock import SECOND, SystemClock
    from tickrec.query.attached import attachments
    from tickrec.query.session import Session, yield_to_recorder
    from tickrec.store.paths import Store

    attached = attachments(attach or ())
    store = Store(common.settings.store.data)
    dates = _dates(store, date, first, last)
    yield_to_recorder()
    _end_in_order()
    begun_ns = SystemClock.monotonic_ns()
    with Session(store, dates, memory_limit=memory, attached=attached) as session:
        written = _answer(session, statement, seconds, form, output, limit)
    if (sys.stderr.isatty() or output is not None or written.cut) and not written.left:
        say(written.line((SystemClock.monotonic_ns() - begun_ns) / SECOND))


def _answer(
    session: "Session", statement: str, seconds: float | None, form: str, output: Path | None, limit: int | None
) -> "Written":
    """Run a statement and write its rows; of an answer without any, say why if that is known."""
    if (notice := session.notice()) is not None:
        say(notice)
    written_as = form if output is None else output.suffix[1:].lower()
    with progress_line() as progress, session.execute(statement, seconds, progress, format=written_as) as result:
        written = _write(result, output, limit)
    if written.rows == 0 and limit != 0 and not written.left:
        from tickrec.query.hints import why_empty

        if (reason := why_empty(session, result.statement)) is not None:
            say(reason)
    return written


def _seconds(timeout: str | None) -> float | None:
    """The seconds that --timeout allows. Raises UsageError."""
    seconds = seconds_of("--timeout", timeout)
    if seconds == 0:
        raise UsageError("--timeout 0s gives a query no time", hint="Leave it out for as long as it takes")
    return seconds


def _end_in_order() -> None:
    """Let a signal end the query as Ctrl-C does: what it put aside on the disk goes with it."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def _write(result: "Result", output: Path | None, limit: int | None) -> "Written":
    from tickrec.query import answers as out

    if output is not None:
        return out.write_file(result, output, limit)
    is_tty = sys.stdout.isatty()
    return out.write_stdout(result, limit, shutil.get_terminal_size().columns if is_tty else None, is_tty)


def _format(form: str | None, as_json: bool, output: Path | None) -> str:
    """The format that the options ask for. Raises UsageError when they contradict each other."""
    from tickrec.query import answers as out

    if as_json and form not in (None, "json"):
        raise UsageError(f"--json and --format {form} contradict each other", hint="Leave one of them out")
    wanted = "json" if as_json else form
    if wanted is not None:
        out.check_format(wanted)
    if output is not None and out.file_format(output) != f".{wanted or output.suffix[1:].lower()}":
        what = f"--format {wanted} and --output {output.name} contradict each other"
        raise UsageError(what, hint="The ending of the name says what is written: leave --format out")
    return wanted or "table"


def _limit(text: str | None) -> int | None:
    """The number of rows that --limit allows. Raises UsageError."""
    if text is None or text.isdecimal():
        return None if text is None else int(text)
    raise UsageError(f"--limit must be a number of rows such as 1000, not {text}")


def _dates(store: "Store", date: str | None, first: str | None, last: str | None) -> "DateRange":
    """The dates that the options ask for. Raises UsageError, with what there is to ask."""
    from tickrec.query.date_range import DateRange, recorded

    if date is None and first is None and last is None:
        return DateRange()
    hint = f"Recorded: {recorded(store.dates())}"
    if date is not None and (first or last):
        raise UsageError("--date and --from, --to exclude each other", hint="Give one date, or a range")
    try:
        one = date_of("--date", date)
        dates = DateRange(one, one) if one else DateRange(date_of("--from", first), date_of("--to", last))
    except UsageError as error:
        raise UsageError(error.what, hint=hint) from None
    if dates.first is not None and dates.last is not None and dates.first > dates.last:
        raise UsageError(f"--from {dates.first} is after --to {dates.last}", hint=hint)
    return dates


def _statement(sql: str | None, file: Path | None) -> str:
    """The statement from the argument or from a file. Raises UsageError."""
    if (sql is None) == (file is None):
        raise UsageError("give a statement, or a file of one with --file", hint="See `tickrec query --help`")
    if sql is not None:
        return sql
    from tickrec.values import decoded

    try:
        return sys.stdin.read() if str(file) == "-" else decoded(Path(str(file)).read_bytes())
    except OSError as error:
        raise UsageError(f"the statement cannot be read: {error.strerror or error}", where=str(file)) from None
    except UnicodeDecodeError:
        raise UsageError("the statement cannot be read: it is no UTF-8 text", where=str(file)) from None
