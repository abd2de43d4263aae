"""The command seal."""

from tickrec.cli.common import Common, JsonOption, command
from tickrec.cli.date_commands import DateArgument, ToOption, make_days


@command()
def seal(common: Common, date: DateArgument, to: ToOption = None, as_json: JsonOption = False) -> None:
    """Make the final files of a date, checked.

    One sorted Parquet file and one DuckDB file, held against the journal, which is compressed.
    """
    from tickrec.seal.seal import seal as seal_date

    make_days(seal_date, "sealed", date, to, as_json, common)
