"""The command relay: the day being recorded, served in the broker's protocol."""

import contextlib
from typing import Annotated

import typer

from tickrec.cli.common import Common, command
from tickrec.cli.options import whole_of


@command()
def relay(
    common: Common,
    port: Annotated[str, typer.Option("--port", metavar="PORT", help="Loopback port; 0: any free one.")] = "8790",
) -> None:
    """Serve the day that is being recorded to programs of your own.

    In the broker's protocol, on a loopback port of this machine only, REST and websocket alike; it prints where. Any
    access token will do. 256 programs may listen at a time; one more is refused with 403. It reads what
    `tickrec record` writes, and can be started before it.
    """
    import asyncio

    from tickrec.clock import SystemClock
    from tickrec.serve.relay import Relay
    from tickrec.serve.server import Server, Terms, run
    from tickrec.store.paths import Store

    terms = Terms(port=whole_of("--port", port, 0, 65_535))
    common.log_to_stderr()
    source = Relay(Store(common.settings.store.data), SystemClock.wall_ns())
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(Server(source, terms), lambda line: print(line, flush=True)))
