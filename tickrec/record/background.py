"""Background: what goes on beside feed and journal, none of it a reason to stop.

Owns the boundary around it: a failure is logged with its traceback, kept for an alert, and the work begun again.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn

from tickrec import logs
from tickrec.clock import SECOND, Clock
from tickrec.errors import StorageError

AGAIN_SECONDS: Final = 1.0
"""Work that failed is begun again after this time."""
FAILING_NS: Final = 60 * SECOND
"""Work that has not failed for so long works again."""


class Background:
    """The side work of one run."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed: dict[str, tuple[str, int]] = {}
        """What each work failed with last, and when; monotonic."""

    async def keep_doing(self, name: str, work: Callable[[], Coroutine[Any, Any, NoReturn]]) -> NoReturn:
        """Do the work for ever. Raises StorageError only: a journal that cannot be written ends the run."""
        told = ""
        while True:
            try:
                await work()
            except StorageError:
                raise
            except Exception as error:  # noqa: BLE001 - the named boundary: nothing here may end the recording
                text = f"{name} failed, and goes on: {error!r}"
                if text != told:
                    logs.log_unexpected(text, error)
                told = text
                self._failed[name] = text, self._clock.monotonic_ns()
            await self._clock.sleep(AGAIN_SECONDS)

    def failing(self) -> list[str]:
        """What has failed lately."""
        now_ns = self._clock.monotonic_ns()
        return [text for text, at_ns in self._failed.values() if now_ns - at_ns < FAILING_NS]
