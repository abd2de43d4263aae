"""Appending: the DuckDB day files kept up with the parts, by a child process.

Owns the child: when one is started, what it is told, and when it may end. It stays while parts keep coming, because
its start costs as much as appending 100,000 ticks; at a usual load that is one append. Knows nothing of parts but how
many ticks were published.
"""

import asyncio
import datetime as dt
import logging
from pathlib import Path
from typing import Final

from tickrec import children
from tickrec.errors import ExitCode

log = logging.getLogger("tickrec")

APPEND_SECONDS: Final = 300.0
"""An append that takes longer hangs; the child is ended, and the next one does its work too."""


class Appending:
    """The day files of a store, one at a time. To be used in one event loop."""

    def __init__(self, root: Path) -> None:
        self._appended: dict[dt.date, int] = {}
        """Of the ticks published of a date, those known to be in its file."""
        self._root = root
        self._pending: dict[dt.date, int] = {}
        """Dates with parts to append, and the ticks published of each when that was asked."""
        self._more = False
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._held = False

    @property
    def ticks(self) -> int:
        """Of the ticks published, those known to be in a day file."""
        return sum(self._appended.values())

    def ask(self, date: dt.date, published: int) -> None:
        """Have the parts of `date` appended, with which `published` of its ticks are out; more may come until
        `let_go`."""
        self._pending[date] = published
        self._more = True
        self._news.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    def let_go(self) -> None:
        """Nothing more comes soon: the child may end when it has done what was asked."""
        self._more = False
        self._news.set()

    async def wait(self) -> None:
        """Until what was asked is done, or cannot be."""
        self.let_go()
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def _work(self) -> None:
        while self._pending:
            date = next(iter(self._pending))
            code, said = await self._run_child(date)
            if code not in (ExitCode.DONE, ExitCode.LOCKED):
                log.warning("appending to the DuckDB file of %s failed: %s", date, said)
            elif code == ExitCode.LOCKED and not self._held:
                log.info("a reader holds the DuckDB file of %s; it is caught up with later", date)
            self._held = code == ExitCode.LOCKED
            if code != ExitCode.DONE:
                self._pending.pop(date, None)

    async def _run_child(self, date: dt.date) -> tuple[int, str]:
        """The exit code of a child that appended all that was asked, and the last thing it said."""
        try:
            process = await children.start("tickrec.dayfile", str(self._root), str(date), asked=True)
        except OSError as error:
            return ExitCode.INTERNAL, f"it could not be started: {error.strerror or error}"
        try:
            await self._tell(process, date)
            async with asyncio.timeout(APPEND_SECONDS):
                return await children.end(process)
        except TimeoutError:
            return ExitCode.INTERNAL, f"it took more than {APPEND_SECONDS:.0f} s"
        finally:
            if process.returncode is None:  # one transaction: what it was at can be done again from the beginning
                process.kill()

    async def _tell(self, process: asyncio.subprocess.Process, date: dt.date) -> None:
        """Ask the child for one append after the other; returns when there is no more to do, or no child. Raises
        TimeoutError."""
        assert process.stdin is not None
        assert process.stdout is not None
        while (published := await self._next(date)) is not None:
            process.stdin.write(b"\n")
            async with asyncio.timeout(APPEND_SECONDS):
                if not await process.stdout.readline():
                    return
            self._appended[date] = max(self._appended.get(date, 0), published)

    async def _next(self, date: dt.date) -> int | None:
        """What is asked for `date`, once it is; None when nothing more is to be expected."""
        while date not in self._pending and self._more and not self._pending:
            self._news.clear()
            await self._news.wait()
        return self._pending.pop(date, None)
