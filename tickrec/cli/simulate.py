"""The command simulate: a synthetic market in the broker's protocol."""

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from tickrec.cli.common import Common, command
from tickrec.cli.options import positive_of, seconds_of, trend_of, whole_of
from tickrec.cli.unchecked import PlainCommand


class _WithFaults(PlainCommand):
    """`simulate`, whose help lists the faults; what knows them is loaded only then."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Put the faults below the options."""
        from tickrec.serve.faults import describe

        self.epilog = describe()
        super().format_epilog(ctx, formatter)


@command(cls=_WithFaults)
def simulate(
    common: Common,
    port: Annotated[str, typer.Option("--port", metavar="PORT", help="Loopback port; 0: any free one.")] = "8788",
    rate: Annotated[
        str, typer.Option("--rate", metavar="N", help="Ticks a second over all subscribed instruments.")
    ] = "1100",
    interval: Annotated[
        str, typer.Option("--interval", metavar="TIME", help="Between two messages, in which an instrument moves once.")
    ] = "200ms",
    trend: Annotated[
        str, typer.Option("--trend", metavar="SHARE", help="How far prices move within 5m, or a time: 2%, -1%/10m.")
    ] = "0%",
    seed: Annotated[str, typer.Option("--seed", metavar="N", help="The same seed gives the same market.")] = "1",
    plus: Annotated[bool, typer.Option("--plus", help="An Upstox Plus account.")] = False,
    real_hours: Annotated[bool, typer.Option("--real-hours", help="Keep the exchanges' hours.")] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", metavar="KIND", help="What goes wrong, and when: see below (repeatable)."),
    ] = None,
    sent_log: Annotated[
        Path | None, typer.Option("--sent-log", metavar="DIR", help="Journal of every message sent.")
    ] = None,
    until_eof: Annotated[bool, typer.Option("--until-eof", help="End when stdin closes.")] = False,
) -> None:
    """Serve a synthetic market in the broker's protocol.

    On a loopback port of this machine only, REST and websocket alike. It prints where: both addresses belong into
    [upstox] of a config.toml of its own. Any access token will do.
    """
    import asyncio

    from tickrec.serve.faults import parse_fault
    from tickrec.serve.server import run
    from tickrec.serve.synthetic.simulator import Settings, Simulator

    share, span = trend_of("--trend", trend)
    settings = Settings(
        port=whole_of("--port", port, 0, 65_535),
        rate=positive_of("--rate", rate),
        trend=share,
        trend_span=span or 300.0,
        interval=seconds_of("--interval", interval) or 0.0,
        seed=whole_of("--seed", seed, 0, 2**63 - 1),
        plus=plus,
        always_open=not real_hours,
        faults=tuple(map(parse_fault, fault or ())),
        sent_log=sent_log,
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(Simulator(settings), lambda line: print(line, flush=True), until_eof))
