"""The command verify: journal, Parquet and DuckDB of a date against each other."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tickrec.cli.common import Common, JsonOption, answer, command
from tickrec.cli.date_commands import DateArgument, ToOption, dates_of, each_date, how_much
from tickrec.cli.progress_bars import step_line
from tickrec.errors import ExitCode

if TYPE_CHECKING:
    import datetime as dt

    from tickrec.seal.verify import Report


@command()
def verify(
    common: Common,
    date: DateArgument,
    to: ToOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare journal, Parquet and DuckDB of a date.

    Reads everything again; exit code 5 with what differs.
    """
    from tickrec.seal.verify import verify as verify_date
    from tickrec.store.paths import Store

    store = Store(common.settings.store.data)

    def work(day: "dt.date") -> ExitCode:
        with step_line(f"{day}") as progress:
            report = verify_date(store, day, progress)
        answer(json.dumps(report.to_json()) if as_json else "\n".join(_verdict(report)))
        return ExitCode.DATA if report.differences else ExitCode.DONE

    raise SystemExit(each_date(dates_of(store, date, to), work, as_json))


def _verdict(report: "Report") -> "Iterator[str]":
    """A report in words: a line about the date, and one for each thing that it found."""
    from tickrec.formatting import plural

    kind = "sealed" if report.sealed else "not sealed"
    waiting = f", {plural(report.unflushed, 'tick')} more in the journal only" if report.unflushed else ""
    against = "" if report.journal else ", journal gone"
    verdict = plural(len(report.differences), "difference") if report.differences else "everything agrees"
    yield f"{report.date} {kind}{against}: {plural(report.ticks, 'tick')}{waiting}{how_much(report.totals)}, {verdict}"
    for difference in report.differences:
        yield f"  {difference}"
    for skipped in report.skipped:
        yield f"  not compared: {skipped}"
