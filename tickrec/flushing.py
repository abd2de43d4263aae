"""Flushing: from the journal to Parquet and DuckDB while recording.

Owns the worker thread that publishes parts, and the short-lived, low-priority children that append to the DuckDB day
file, seal days and remove old journals. Everything here may fail, be slow or fall behind without the recording
noticing: what has not been done yet waits in the journal. Only a journal that the disk refuses is an error.
"""

import asyncio
import datetime as dt
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NoReturn

from tickrec import children
from tickrec.clock import SECOND, Clock
from tickrec.day import Day
from tickrec.errors import ExitCode, StorageError
from tickrec.files import free_bytes
from tickrec.format import plural, size
from tickrec.store import PART_TICKS, Flushed, Store

log = logging.getLogger("tickrec")

POLL_SECONDS: Final = 0.5
"""How often it is looked at whether a flush is due."""
RESERVE_BYTES: Final = 16_000_000
"""Free space that derived files leave to the journal, beside as much as the entries take that are to be flushed."""
APPEND_SECONDS: Final = 300.0
"""An append to the DuckDB file that takes longer hangs; it is ended, and the next one does its work too."""


class Flushing:
    """Flushes the current Day every `interval` seconds, and when there is enough for a part."""

    def __init__(self, store: Store, clock: Clock, *, interval: float, duckdb: bool) -> None:
        self.parquet_ticks = 0
        """Ticks published in this run."""
        self.parquet_ns: int | None = None
        """Everything received until then is in Parquet."""
        self.rejected = 0
        """Messages of this run that could not be decoded."""
        self.seq = 0
        """The last entry covered by a part."""
        self.failure = ""
        """Why the last flush was not made; empty when it was."""
        self._store = store
        self._clock = clock
        self._interval_ns = int(interval * SECOND)
        self._duckdb = duckdb
        self._duckdb_ticks = 0
        self._held = False
        self._flushed_bytes: dict[dt.date, int] = {}
        """Size of each date's journal when it was flushed last."""
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="flush")
        self._flush: asyncio.Task[bool] | None = None
        self._append: asyncio.Task[None] | None = None

    @property
    def duckdb_lag(self) -> int | None:
        """Ticks of this run in Parquet that the DuckDB day file lacks; None when no such file is kept."""
        return self.parquet_ticks - self._duckdb_ticks if self._duckdb else None

    async def run(self, current: Callable[[], Day]) -> NoReturn:
        """Flush the day that `current` names whenever it is due, for ever. Raises StorageError."""
        due_ns = self._clock.monotonic_ns() + self._interval_ns
        while True:
            await self._clock.sleep(POLL_SECONDS)
            day, now_ns = current(), self._clock.monotonic_ns()
            if now_ns >= due_ns or (day.unflushed >= PART_TICKS and not self.failure):
                due_ns = now_ns + self._interval_ns
                await self.flush(day)

    async def flush(self, day: Day, *, final: bool = False) -> bool:
        """Publish what is due of `day` and let the DuckDB file catch up; whether it could be published.

        A flush that fails is logged, and what it should have published goes with the next one. Raises StorageError
        when the journal could not be made durable. A caller that is cancelled does not interrupt the flush.
        """
        if self._flush is not None:
            await asyncio.wait((self._flush,))
        self._flush = asyncio.create_task(self._publish(day, final=final))
        return await asyncio.shield(self._flush)

    async def _publish(self, day: Day, *, final: bool) -> bool:
        waiting, last_seq, now_ns = day.unflushed, day.journal.next_seq - 1, self._clock.wall_ns()
        journalled = day.journal.size_bytes
        loop = asyncio.get_running_loop()
        try:
            if (reason := self._short_of_space(day)) is not None:
                self._failed(reason)
                return False
            flushed = await loop.run_in_executor(self._worker, lambda: day.flush(last_seq, final=final))
        except StorageError:
            raise
        except Exception as error:  # noqa: BLE001 - the named boundary: derived data may fail, the journal has it all
            self._failed(str(error) or type(error).__name__)
            return False
        if self.failure:
            log.info("flushing works again")
            self.failure = ""
        if flushed.path is not None:
            day.unflushed -= waiting
            self._flushed_bytes[day.date] = journalled
            self._published(flushed, now_ns)
            self._append_soon(day.date)
        return True

    def _published(self, flushed: Flushed, now_ns: int) -> None:
        self.parquet_ticks += flushed.ticks
        self.rejected += flushed.rejected
        self.seq, self.parquet_ns = flushed.last, now_ns
        log.info("flushed %s", plural(flushed.ticks, "tick"))

    def _short_of_space(self, day: Day) -> str | None:
        """Why nothing derived is to be written now: the journal gets what is left of the disk."""
        waiting = day.journal.size_bytes - self._flushed_bytes.get(day.date, 0)
        if free_bytes(self._store.root) >= RESERVE_BYTES + waiting:
            return None
        return f"less than {size(RESERVE_BYTES + waiting)} free, which is left to the journal"

    def _failed(self, reason: str) -> None:
        if reason != self.failure:
            log.warning("not flushed, the journal keeps everything until it works again: %s", reason)
        self.failure = reason

    def _append_soon(self, date: dt.date) -> None:
        """Start the child that appends to the day file, unless one runs; a later one takes what this one missed."""
        if self._duckdb and (self._append is None or self._append.done()):
            self._append = asyncio.create_task(self._append_to(date, self.parquet_ticks))

    async def _append_to(self, date: dt.date, ticks: int) -> None:
        code, said = await self._run_child("tickrec.dayfile", str(date), seconds=APPEND_SECONDS)
        if code == ExitCode.DONE:
            self._duckdb_ticks = ticks
        elif code != ExitCode.LOCKED:
            log.warning("appending to the DuckDB file of %s failed: %s", date, said)
        elif not self._held:
            log.info("a reader holds the DuckDB file of %s; it is caught up with later", date)
        self._held = code == ExitCode.LOCKED

    async def finish(self, day: Day) -> bool:
        """The last flush of `day`, with its rows in the DuckDB file as far as nobody holds that.

        Raises StorageError as `flush`.
        """
        await self._appended()
        published = await self.flush(day, final=True)
        await self._appended()
        if self.duckdb_lag:  # the append that just ended was begun before the last part was there
            self._append_soon(day.date)
            await self._appended()
        return published

    async def _appended(self) -> None:
        if self._append is not None:
            await asyncio.wait((self._append,))

    async def seal(self, date: dt.date) -> bool:
        """Seal a date in a child; whether it is sealed now."""
        code, said = await self._run_child("tickrec.seal", str(date), *([] if self._duckdb else ["--no-duckdb"]))
        if code:
            log.warning("%s is not sealed: %s; `tickrec seal %s` tries again", date, said, date)
        return not code

    async def expire(self, keep: dt.timedelta) -> None:
        """Remove journals that were kept long enough, in a child."""
        code, said = await self._run_child("tickrec.retention", str(int(keep.total_seconds())))
        if code:
            log.warning("old journals could not be removed: %s", said)
        elif said:
            log.info("%s", said)

    async def _run_child(self, module: str, *arguments: str, seconds: float | None = None) -> tuple[int, str]:
        """The exit code of a child and the last thing it said."""
        try:
            # Its own process group: a Ctrl-C in the terminal is for the recorder, which then waits for its children.
            process = await asyncio.create_subprocess_exec(
                *children.command(module, str(self._store.root), *arguments),
                env=children.environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                process_group=0,
            )
        except OSError as error:
            return ExitCode.INTERNAL, f"it could not be started: {error.strerror or error}"
        try:
            async with asyncio.timeout(seconds):
                _, err = await process.communicate()
        except TimeoutError:
            return ExitCode.INTERNAL, f"it took more than {seconds:.0f} s"
        finally:
            if process.returncode is None:  # what it was at can be done again from the beginning
                process.kill()
        lines = err.decode("utf-8", "replace").strip().splitlines()
        code = process.returncode or 0
        return code, lines[-1] if lines else f"exit code {code}" if code else ""

    def close(self) -> None:
        """End the worker thread, once what it does is done."""
        self._worker.shutdown()
