"""The command help: what --help says, asked for by name."""

from typing import Annotated

import typer

from tickrec.cli.common import app
from tickrec.cli.unchecked import PlainCommand


@app.command(cls=PlainCommand, name="help")
def help_of(
    context: typer.Context,
    command: Annotated[list[str] | None, typer.Argument(metavar="COMMAND", help="The name of a command.")] = None,
) -> None:
    """Show the help of a command."""
    app(args=[*(command or []), "--help"], prog_name=context.find_root().info_name)
