"""Alerts: the user's own command, run with one line of text when somebody should look.

Nobody watches a cron job, so `on_alert` is how a recording that goes wrong reaches its owner. The command gets the
text as its last argument. Alerts of one topic are debounced; a command that fails or hangs never touches the
recording.
"""

import asyncio
import logging
import shlex
from typing import Final

from tickrec.clock import SECOND, Clock

log = logging.getLogger("tickrec")

QUIET_SECONDS: Final = 600
"""The same topic is not alerted again within this time."""
COMMAND_SECONDS: Final = 30
"""A command that takes longer is killed."""


class Alerts:
    """Runs `command` (None: nothing is run) with a text, at most once per topic and QUIET_SECONDS."""

    def __init__(self, command: str | None, clock: Clock) -> None:
        self._command = shlex.split(command) if command else []
        self._clock = clock
        self._last: dict[str, int] = {}

    async def send(self, topic: str, text: str) -> None:
        """Run the command with `text`, unless this topic was alerted lately. Returns when the command has ended."""
        now = self._clock.monotonic_ns()
        last = self._last.get(topic)
        if not self._command or (last is not None and now - last < QUIET_SECONDS * SECOND):
            return
        self._last[topic] = now
        try:
            process = await asyncio.create_subprocess_exec(*self._command, text, stdin=asyncio.subprocess.DEVNULL)
        except OSError as error:
            log.warning("on_alert could not be run: %s", error.strerror or error)
            return
        await self._finish(process)

    async def _finish(self, process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                code = await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            log.warning("on_alert took more than %d s and was killed", COMMAND_SECONDS)
            return
        if code:
            log.warning("on_alert ended with exit code %d", code)
