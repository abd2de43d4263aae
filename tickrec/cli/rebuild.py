"""The command rebuild."""

from tickrec.cli.common import Common, JsonOption, command
from tickrec.cli.date_commands import DateArgument, ToOption, make_days


@command()
def rebuild(common: Common, date: DateArgument, to: ToOption = None, as_json: JsonOption = False) -> None:
    """Make the files of a date anew from its journal."""
    from tickrec.seal.seal import rebuild as rebuild_date

    make_days(rebuild_date, "rebuilt", date, to, as_json, common)
