"""Owner command: what the person who records is told by, where there is such a command.

Owns how such a command is run: with one line of text as its last argument, not for long, and what it says is nobody's
but the log's. When there is something to tell is for `alerts` and `done_message`.
"""

import asyncio
import logging
import os
import tempfile
from collections.abc import Sequence
from typing import IO, Final

from tickrec import children

log = logging.getLogger("tickrec")

COMMAND_SECONDS: Final = 30
"""A command that takes longer is killed."""
LAST_BYTES: Final = 500
"""How much of the end of what a command said is looked at when it fails."""


async def tell(name: str, command: Sequence[str], text: str, given: bytes = b"") -> bool:
    """Run the command of the key `name` with `given` on its stdin; whether it succeeded.

    If not, that is logged with the last line it said.
    """
    try:
        # What it prints must not get into the screen; files, as what it leaves running may hold them open.
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as said:
            stdin.write(given)
            stdin.seek(0)
            process = await asyncio.create_subprocess_exec(
                *command, text, stdin=stdin, stdout=said, stderr=said, env=children.without_secrets()
            )
            return await _ended(name, process, said)
    except OSError as error:
        log.warning("%s could not be run: %s", name, error.strerror or error)
        return False


async def _ended(name: str, process: asyncio.subprocess.Process, said: IO[bytes]) -> bool:
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            code = await process.wait()
    except TimeoutError:
        log.warning("%s took more than %d s and was killed", name, COMMAND_SECONDS)
        return False
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code:
        said.seek(max(0, said.seek(0, os.SEEK_END) - LAST_BYTES))
        lines = said.read().decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        log.warning("%s ended with exit code %d: %s", name, code, last)
    return not code
