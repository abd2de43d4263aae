"""The command login: a token from the broker, or a pasted one."""

import sys
from typing import Annotated

import typer

from tickrec.cli.common import Common, command, say


@command()
def login(
    common: Common,
    analytics: Annotated[bool, typer.Option("--analytics", help="Store a pasted one-year analytics token.")] = False,
) -> None:
    """Log in to the broker and store the access token.

    The file can be read by you only.
    """
    from tickrec.clock import SystemClock, ist
    from tickrec.upstox.login import App, Talk, log_in, store_analytics_token
    from tickrec.upstox.rest import Rest

    with common.broker() as (settings, environ):
        account = settings.upstox
        rest = Rest(account.api_url, account.assets_url)
        talk = Talk(say=say)
        if analytics:
            token = store_analytics_token(_pasted(), account.token_file, rest, environ, talk, SystemClock.wall_ns())
        else:
            secret = account.client_secret.reveal() if account.client_secret else None
            app_ = App(client_id=account.client_id, client_secret=secret, redirect_uri=account.redirect_uri)
            token = log_in(app_, account.token_file, rest, environ, talk)
    until = f", valid until {ist(token.expires_ns):%a %d %b %Y %H:%M} IST" if token.expires_ns is not None else ""
    say(f"stored in {account.token_file}{until}")


def _pasted() -> str:
    """A line that is not shown while it is typed; empty when there is none."""
    import getpass

    if not sys.stdin.isatty():
        return sys.stdin.readline()
    try:
        return getpass.getpass("Analytics token (not shown): ")
    except EOFError:
        say("")
        return ""
