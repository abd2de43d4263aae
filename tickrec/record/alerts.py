"""Alerts: the user's own command, run with one line of text when somebody should look.

Nobody watches a cron job, so `on_alert` is how a recording that goes wrong reaches its owner. The command gets the
text as its last argument. Alerts of one topic are debounced, over runs too: cron starts a recorder that cannot record
again and again. A command that fails or hangs never touches the recording.
"""

import asyncio
import contextlib
import json
import logging
import os
import shlex
import tempfile
from pathlib import Path
from typing import IO, Final

from tickrec import children
from tickrec.clock import SECOND, Clock
from tickrec.files import make_folder

log = logging.getLogger("tickrec")

QUIET_SECONDS: Final = 1800
"""The same topic is not alerted again within this time."""
COMMAND_SECONDS: Final = 30
"""A command that takes longer is killed."""
LAST_BYTES: Final = 500
"""How much of the end of what a command said is looked at when it fails."""


class Alerts:
    """Runs `command` (None: nothing is run) with a text, at most once per topic and QUIET_SECONDS.

    `path` is the file that remembers what was told when.
    """

    def __init__(self, command: str | None, clock: Clock, path: Path) -> None:
        self._command = shlex.split(command) if command else []
        self._clock = clock
        self._path = path

    async def send(self, topic: str, text: str) -> None:
        """Run the command with `text`, unless this topic was alerted lately. Returns when the command has ended."""
        if not self._command or not self._due(topic):
            return
        try:
            # What it prints must not get into the live table; a file, as what it leaves running may hold it open.
            with tempfile.TemporaryFile() as said:
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    text,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    env=children.without_secrets(),
                )
                await self._finish(process, said)
        except OSError as error:
            log.warning("on_alert could not be run: %s", error.strerror or error)

    def _due(self, topic: str) -> bool:
        """Whether the topic may be told; if so, it counts as told now."""
        now = self._clock.wall_ns()
        told = self._told()
        last = told.get(topic)
        if last is not None and 0 <= now - last < QUIET_SECONDS * SECOND:
            return False
        with contextlib.suppress(OSError):  # better told twice than not at all
            make_folder(self._path.parent)
            self._path.write_text(json.dumps({**told, topic: now}))
        return True

    def _told(self) -> dict[str, int]:
        """When each topic was told last."""
        try:
            told = json.loads(self._path.read_bytes())
            return {str(topic): int(when) for topic, when in told.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    async def _finish(self, process: asyncio.subprocess.Process, said: IO[bytes]) -> None:
        """Wait for the command; when it fails, log the last line it said."""
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                code = await process.wait()
        except TimeoutError:
            log.warning("on_alert took more than %d s and was killed", COMMAND_SECONDS)
            return
        finally:
            if process.returncode is None:
                process.kill()
        if code:
            lines = _end_of(said).decode("utf-8", "replace").split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
            log.warning("on_alert ended with exit code %d: %s", code, last)


def _end_of(file: IO[bytes]) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - LAST_BYTES))
    return file.read()
