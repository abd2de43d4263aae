"""The command replay: a recorded day served in the broker's protocol."""

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from tickrec.cli.common import (
    ConfigOption,
    DataOption,
    DateArgument,
    SimulateOption,
    app,
    configured,
    date_of,
    log_to_stderr,
    say,
    value_of,
)
from tickrec.errors import UsageError

if TYPE_CHECKING:
    import datetime as dt


@app.command()
def replay(
    date: DateArgument,
    speed: Annotated[str, typer.Option("--speed", metavar="N", help="Times as fast as it was, or max.")] = "1",
    start: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Begin at 09:15, IST.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="End at 15:30, IST.")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end.")] = False,
    port: Annotated[int, typer.Option("--port", help="Loopback port; 0: any free one.")] = 8789,
    config: ConfigOption = None,
    data: DataOption = None,
    simulate: SimulateOption = False,
) -> None:
    """Serve a recorded day in the broker's protocol.

    On a loopback port of this machine only, REST and websocket alike; it prints where. Any access token will do. The
    day begins a second after the first programs have subscribed, and the command ends when the day is over and the
    last of them has left.
    """
    import asyncio

    from tickrec.serve.replay import Pace, Replay
    from tickrec.serve.server import Server, Terms, run
    from tickrec.store.paths import Store

    store = Store(configured(config, data, simulate).store.data)
    day = date_of("DATE", date)
    assert day is not None
    pace = Pace(speed=_speed(speed), start=_time("--from", start), until=_time("--until", until), loop=loop)
    log_to_stderr()
    source = Replay(store, day, pace)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(Server(source, Terms(port=port)), lambda line: print(line, flush=True)))
    say(f"replayed {source.status()['messages']:,} messages of {day}")


def _speed(text: str) -> float | None:
    """The factor that --speed stands for; None: max. Raises UsageError."""
    if text == "max":
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--speed must be a number or max, not {text}") from None


def _time(name: str, text: str | None) -> "dt.time | None":
    """The time of day that an option stands for. Raises UsageError."""
    from tickrec.values import time_of_day

    return value_of(name, time_of_day, text)
