"""Setup: what one process records with, from its start to its end.

Owns nothing but the list: what is in it is made by the command, and used by `waiting`, `start` and `run`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from tickrec.clock import Clock
from tickrec.config import Config
from tickrec.logs import Warnings
from tickrec.record.alerts import Alerts
from tickrec.record.plan import Bar, Options
from tickrec.store.paths import Store
from tickrec.upstox.auth import TokenSource
from tickrec.upstox.rest import Rest


@dataclass(frozen=True, slots=True)
class Setup:
    """What one process records with."""

    config: Config
    options: Options
    store: Store
    rest: Rest
    tokens: TokenSource
    clock: Clock
    stopping: asyncio.Event
    """Set by whoever wants it to end."""
    alerts: Alerts
    warnings: Warnings
    """Those that were logged."""
    planned: Callable[[], None]
    """Called, perhaps again and again, when there is a plan to see."""
    bar: Bar
