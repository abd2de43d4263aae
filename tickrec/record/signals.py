"""Signals: the first asks the recording to stop, the second ends the process at once.

Owns the handlers, from before the event loop starts until after it is closed.
"""

import asyncio
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, Self

NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP")
_MEANT: Final = (signal.SIGINT, signal.SIGTERM)
"""What somebody sends who wants an end."""


class Signals:
    """While the block runs, the first signal sets the event of `event`, and a second calls `abandon`.

    SIGHUP is never a second one, nor does it make the next so: a terminal that is closed sends it twice, by its shell
    and by the system, and a system that shuts down sends it beside SIGTERM. It stays ignored where it is, as nohup
    does. SIGINT does not: a script ignores it for all that it starts in the background, and means nothing by it.
    """

    def __init__(self, abandon: Callable[[], None]) -> None:
        self._abandon = abandon
        self._seen: list[int] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event: asyncio.Event | None = None
        self._before: dict[int, Any] = {}

    def event(self) -> asyncio.Event:
        """The event of the running loop that a signal sets; set already if one came before."""
        self._loop, self._event = asyncio.get_running_loop(), asyncio.Event()
        if self._seen:
            self._event.set()
        return self._event

    def _caught(self, number: int, _frame: FrameType | None) -> None:
        self._seen.append(number)
        if number in _MEANT and sum(seen in _MEANT for seen in self._seen) > 1:
            self._abandon()
        elif self._loop is not None and self._event is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    def __enter__(self) -> Self:
        for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
            if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._caught)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
