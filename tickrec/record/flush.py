"""Flush: from the journal to Parquet and DuckDB while recording.

Owns the worker thread that publishes parts, and the short-lived, low-priority children that append to the DuckDB day
file, seal days and remove old journals. Everything here may fail, be slow or fall behind without the recording
noticing: what has not been done yet waits in the journal. Only a journal that the disk refuses is an error.
"""

import asyncio
import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import pyarrow as pa

from tickrec import children, logs
from tickrec.clock import SECOND, Clock, until_beat
from tickrec.errors import DataError, ExitCode, StorageError, to_run
from tickrec.files import free_bytes
from tickrec.formatting import plural, size
from tickrec.record.day import Day
from tickrec.seal.retention import Expired
from tickrec.store.parts import PART_TICKS, Flushed
from tickrec.store.paths import Store

log = logging.getLogger("tickrec")

APPEND_SECONDS: Final = 300.0
"""An append that takes longer hangs; the child is ended, and the next one does its work too, as each is one
transaction."""
CHILD_SECONDS: Final = 3 * 3600.0
"""Sealing takes minutes for the largest days; a child that takes longer hangs, and would keep the run from ending. What
it was at can be done again from the beginning."""
POLL_SECONDS: Final = 0.5
"""How often it is looked at whether a flush is due."""
APPEND_EVERY_NS: Final = 599 * SECOND
"""A day file that `query` never reads may wait: each append costs a process. Ten minutes, less what the timing of
flushes may vary by."""
RESERVE_BYTES: Final = 16_000_000
"""Free space that derived files leave to the journal, beside as much as the entries take that are to be flushed: half
of that is what a part in full mode takes, its runs while they are merged included, and most of it in mode ltpc."""


class Appending:
    """The day files of a store, one at a time. To be used in one event loop."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._appended: dict[dt.date, int] = {}
        """Of the ticks published of a date, those known to be in its file."""
        self._asked: dict[dt.date, tuple[int, int]] = {}
        """The ticks published of a date when it was asked for last, and the monotonic time of that."""
        self._root = root
        self._clock = clock
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

    def lag(self, date: dt.date, published: int) -> int:
        """How many of `published` ticks the file of a date is not known to have."""
        return published - self._appended.get(date, 0)

    def is_due(self, date: dt.date, published: int) -> bool:
        """Whether the file is to be made, or as much has come since it was last asked for, or as much time gone by,
        as makes an append worth a process. `published` are the ticks that are out by now."""
        if date not in self._asked:
            return True
        before, asked_ns = self._asked[date]
        return published - before >= PART_TICKS or self._clock.monotonic_ns() - asked_ns >= APPEND_EVERY_NS

    def ask(self, date: dt.date, published: int) -> None:
        """Have the parts of `date` appended, with which `published` of its ticks are out; more may come until
        `let_child_end`."""
        self._asked[date] = published, self._clock.monotonic_ns()
        self._pending[date] = published
        self._more = True
        self._news.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    def let_child_end(self) -> None:
        """Nothing more comes soon: the child may end when it has done what was asked."""
        self._more = False
        self._news.set()

    async def wait(self) -> None:
        """Until what was asked is done, or cannot be."""
        self.let_child_end()
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def _work(self) -> None:
        """The named boundary of appending: it may fail in any way, and the next time it is asked does its work too."""
        try:
            await self._append_pending()
        except Exception as error:  # noqa: BLE001 - derived data may fail, the parts have it all
            logs.log_unexpected(f"appending to the DuckDB file: {error!r}", error)
            self._pending.clear()

    async def _append_pending(self) -> None:
        while self._pending:
            date = next(iter(self._pending))
            code, _, said = await children.run(
                "tickrec.store.dayfile",
                str(self._root),
                str(date),
                seconds=APPEND_SECONDS,
                talk=partial(self._ask_child, date),
            )
            if code not in (ExitCode.DONE, ExitCode.LOCKED):
                log.warning("appending to the DuckDB file of %s failed: %s", date, said[-1])
            elif code == ExitCode.LOCKED and not self._held:
                log.info("a reader holds the DuckDB file of %s; it is caught up with later", date)
            self._held = code == ExitCode.LOCKED
            if code != ExitCode.DONE:
                self._pending.pop(date, None)

    async def _ask_child(self, date: dt.date, process: asyncio.subprocess.Process) -> None:
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


class Flushing:
    """Flushes the current Day every `interval` seconds, and when there is enough for a part."""

    def __init__(
        self, store: Store, clock: Clock, *, interval: float, duckdb: bool, child_seconds: float = CHILD_SECONDS
    ) -> None:
        """`interval` and `child_seconds`, after which a child that seals or removes is ended, are seconds."""
        self._published_ticks: Counter[dt.date] = Counter()
        """Ticks of each date published in this run."""
        self.rejected = 0
        """Messages of this run that could not be decoded."""
        self.failure = ""
        """Why the last flush was not made; empty when it was."""
        self._store = store
        self._clock = clock
        self._interval_ns = int(interval * SECOND)
        self._child_seconds = child_seconds
        self._appending = Appending(store.root, clock) if duckdb else None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="flush")
        self._flush: asyncio.Task[bool] | None = None
        self._finishing: set[Day] = set()
        """Of which the last flush has been asked for."""

    @property
    def parquet_ticks(self) -> int:
        """Ticks published in this run."""
        return self._published_ticks.total()

    @property
    def duckdb_lag(self) -> int | None:
        """Ticks of this run in Parquet that the DuckDB day file lacks; None when no such file is kept."""
        return self.parquet_ticks - self._appending.ticks if self._appending is not None else None

    async def run(self, current: Callable[[], Day]) -> NoReturn:
        """Flush the day that `current` names whenever it is due, for ever. Raises StorageError."""
        due_ns = self._clock.monotonic_ns() + self._interval_ns
        while True:
            await self._clock.sleep(until_beat(self._clock, POLL_SECONDS))
            day, now_ns = current(), self._clock.monotonic_ns()
            if now_ns >= due_ns or (day.unflushed >= PART_TICKS and not self.failure):
                due_ns = now_ns + self._interval_ns
                await self.flush(day)

    async def flush(self, day: Day, *, final: bool = False) -> bool:
        """Publish what is due of `day` and let the DuckDB file catch up; whether it could be published.

        A flush that fails is logged, and what it should have published goes with the next one. Raises StorageError
        when the journal could not be made durable. A caller that is cancelled does not interrupt the flush.
        """
        if final:
            self._finishing.add(day)  # at once: the flush that goes on may come to the last entry
        try:
            while self._flush is not None and not self._flush.done():
                await asyncio.wait((self._flush,))
            self._flush = asyncio.create_task(self._publish(day, final=final))
            return await asyncio.shield(self._flush)
        finally:
            self._finishing.discard(day)

    async def _publish(self, day: Day, *, final: bool) -> bool:
        """Publish what there is now, part after part, and go on while there is enough for another."""
        try:
            while True:
                last_seq = day.journal.next_seq - 1
                flushed = await self._publish_part(day, last_seq, final=final)
                if flushed is None:
                    return False
                if flushed.path is None or (flushed.last >= last_seq and day.unflushed < PART_TICKS):
                    return True
        finally:
            if self._appending is not None:
                self._appending.let_child_end()

    async def _publish_part(self, day: Day, last_seq: int, *, final: bool) -> Flushed | None:
        """Publish one part; None when that could not be done."""
        loop, now_ns = asyncio.get_running_loop(), self._clock.wall_ns()
        waiting, journalled = day.unflushed, day.journal.size_bytes
        try:
            if (reason := self._short_of_space(day)) is not None:
                self._failed(reason)
                return None
            flushed = await loop.run_in_executor(self._worker, lambda: day.flush(last_seq, final=final))
        except StorageError:
            raise
        except Exception as error:  # noqa: BLE001 - the named boundary: derived data may fail, the journal has it all
            if not isinstance(error, OSError | DataError | pa.ArrowException):
                logs.log_unexpected(f"flushing: {error!r}", error)
            self._failed(str(error) or type(error).__name__)
            return None
        if self.failure:
            log.info("flushing works again")
            self.failure = ""
        if flushed.path is not None:
            self._published(day, flushed)
            day.flushed_seq = flushed.last
            if flushed.last >= last_seq:
                day.flushed_ns, day.flushed_bytes = now_ns, journalled
                day.unflushed -= waiting
            else:
                day.unflushed -= min(flushed.ticks, waiting)
        return flushed

    def _published(self, day: Day, flushed: Flushed) -> None:
        self._published_ticks[day.date] += flushed.ticks
        self.rejected += flushed.rejected
        log.info("flushed %s", plural(flushed.ticks, "tick"))
        published = self._published_ticks[day.date]
        appending = self._appending
        if appending is not None and (day in self._finishing or appending.is_due(day.date, published)):
            appending.ask(day.date, published)

    def _short_of_space(self, day: Day) -> str | None:
        """Why nothing derived is to be written now: the journal gets what is left of the disk."""
        waiting = day.journal.size_bytes - day.flushed_bytes
        if free_bytes(self._store.root) >= RESERVE_BYTES + waiting:
            return None
        return f"less than {size(RESERVE_BYTES + waiting)} free, which is left to the journal"

    def _failed(self, reason: str) -> None:
        if reason != self.failure:
            log.warning("not flushed, the journal keeps everything until it works again: %s", reason)
        self.failure = reason

    async def finish(self, day: Day) -> bool:
        """The last flush of `day`, with its rows in the DuckDB file as far as nobody holds that.

        Raises StorageError as `flush`.
        """
        flushed = await self.flush(day, final=True)
        if self._appending is not None:
            await self._appending.wait()
            published = self._published_ticks[day.date]
            if self._appending.lag(day.date, published):  # nothing was left, or a reader that held the file may be gone
                self._appending.ask(day.date, published)
                await self._appending.wait()
        return flushed

    async def seal(self, date: dt.date) -> bool:
        """Seal a date in a child; whether it is sealed now. What the child warns of is logged."""
        options = [] if self._appending is not None else ["--no-duckdb"]
        code, _, said = await self._run_child("tickrec.seal.seal", str(date), *options)
        for line in said[:-1] if code else said:
            log.warning("sealing %s: %s", date, line)
        if code:
            log.warning("%s is not sealed: %s; %s tries again", date, said[-1], to_run("seal", date))
        return not code

    async def expire(self, keep: dt.timedelta) -> None:
        """Remove journals that were kept long enough, in a child; each is logged, and why one is not removed."""
        code, out, said = await self._run_child("tickrec.seal.retention", str(int(keep.total_seconds())))
        for line in out.decode("utf-8", "replace").splitlines():
            try:
                expired = Expired.from_json(line)
            except (ValueError, LookupError, TypeError):  # a library says something, as on stderr
                said.insert(0, line)
                continue
            log.log(logging.INFO if expired.removed else logging.WARNING, "%s", expired)
        for line in said[:-1] if code else said:
            log.warning("removing old journals: %s", line)
        if code:
            log.warning("old journals could not be removed: %s", said[-1])

    async def _run_child(self, module: str, *arguments: str) -> children.Ended:
        return await children.run(module, str(self._store.root), *arguments, seconds=self._child_seconds)

    def close(self) -> None:
        """End the worker thread, once what it does is done."""
        self._worker.shutdown()
