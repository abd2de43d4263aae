"""The command replay: a recorded day served in the broker's protocol."""

import contextlib
from typing import Annotated

import typer

from tickrec.cli.common import Common, command, say
from tickrec.cli.options import date_of, positive_of, seconds_of, value_of, whole_of


@command()
def replay(
    common: Common,
    dates: Annotated[
        list[str], typer.Argument(metavar="DATE...", help="2026-11-23, today or yesterday; several follow each other.")
    ],
    speed: Annotated[str, typer.Option("--speed", metavar="N", help="Times as fast as it was, or max.")] = "1",
    start: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Begin at 09:15, IST.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="End at 15:30, IST.")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end.")] = False,
    drop: Annotated[
        bool, typer.Option("--drop", help="Lose the clients' connections where the recorder lost its own.")
    ] = False,
    idle: Annotated[
        str | None, typer.Option("--max-idle", metavar="TIME", help="Cut stretches without messages to this.")
    ] = None,
    port: Annotated[str, typer.Option("--port", metavar="PORT", help="Loopback port; 0: any free one.")] = "8789",
) -> None:
    """Serve recorded days in the broker's protocol.

    On a loopback port of this machine only, REST and websocket alike; it prints where. Any access token will do. The
    day begins a second after the first programs have subscribed, and the command ends when the last day is over and
    the last of them has left.
    """
    import asyncio

    from tickrec.formatting import plural
    from tickrec.serve.replay import Pace, Replay
    from tickrec.serve.server import Server, Terms, run
    from tickrec.store.paths import Store
    from tickrec.values import time_of_day

    store = Store(common.settings.store.data)
    days = [day for date in dates if (day := date_of("DATE", date)) is not None]
    pace = Pace(
        speed=None if speed == "max" else positive_of("--speed", speed),
        start=value_of("--from", time_of_day, start),
        until=value_of("--until", time_of_day, until),
        loop=loop,
        drop=drop,
        longest_idle=seconds_of("--max-idle", idle),
    )
    common.log_to_stderr()
    terms = Terms(port=whole_of("--port", port, 0, 65_535))
    source = Replay(store, days, pace)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(Server(source, terms), lambda line: print(line, flush=True)))
    say(f"replayed {plural(source.messages, 'message')} of {', '.join(map(str, days))}")
