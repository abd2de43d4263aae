"""Stopping: work that is given up as soon as the run is to end.

Owns the exception that says so. Who sets the event is in `signals`; when a run ends by itself is in `recorder`.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """The run is to end while something was awaited."""


async def unless_stopped(stopping: asyncio.Event, work: Awaitable[T]) -> T:
    """The result of `work`. Raises Stopped, having cancelled it, if `stopping` is set before it is done."""
    task, stop = asyncio.ensure_future(work), asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Stopped
    finally:
        task.cancel()
        stop.cancel()
        await asyncio.gather(task, stop, return_exceptions=True)
