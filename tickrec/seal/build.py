"""Build: the new files of a date that is being sealed, before anything of them is published.

Owns how they are made, all at once from one pass over the sorted rows, and the check that they hold what the journal
does. They lie in a scratch folder beside everything that readers see. The bytes of the Parquet files depend on the
journal only, not on when it was flushed. The journal itself is packed beside them, on the half of a core that this
leaves.
"""

import contextlib
import datetime as dt
import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Final

import pyarrow as pa

from tickrec.journal import pack_checked
from tickrec.journal.history import Tables
from tickrec.seal.counts import JournalCount, TickCount, count_journal, differing, differing_keys
from tickrec.seal.sort import SortedTicks
from tickrec.seal.verify import Progress
from tickrec.store import parquet
from tickrec.store.coverage import Coverage, Footer
from tickrec.store.day_contents import contents
from tickrec.store.dayfile import DayFile
from tickrec.store.last_rows import LastRows
from tickrec.store.manifest import FileFacts
from tickrec.store.paths import Store
from tickrec.store.rows import small_tables

_TICKS: Final = "ticks"
_MANY_ROWS: Final = 200_000
_UNWRITTEN_GROUPS: Final = 1
"""Groups that DuckDB may be ahead of Parquet."""


class NewFiles:
    """New files made of everything that `covered` covers in `source`, and of the source data of the date in `kept`."""

    def __init__(
        self, folder: Path, source: Store, covered: Coverage, kept: Store, *, duckdb: bool, many: int = _MANY_ROWS
    ) -> None:
        self.folder = folder
        self.date: dt.date = covered.date
        self.small: Tables = {}
        self.journal_count = JournalCount()
        """Counts of the journal, made while the files were."""
        self.tick_count = TickCount()
        """Counts of the new ticks, made when they were checked."""
        self.packed: dict[Path, Path] = {}
        """Of each plain file of the journal, what is to replace it."""
        self._source = source
        self._covered = covered
        self._kept = kept
        self._duckdb = duckdb
        self._many = many

    def path(self, table: str) -> Path:
        """The new Parquet file of a table."""
        return self.folder / f"{table}.new"

    @property
    def duckdb_path(self) -> Path | None:
        """The new day file, if one is made."""
        return self.folder / "duckdb.new" if self._duckdb else None

    @property
    def last_seq(self) -> int:
        """The last entry that the files cover."""
        return self._covered.next_seq - 1

    @property
    def lost(self) -> list[tuple[int, int]]:
        """Ranges of seq covered by the files that the journal has lost to damage since."""
        return self.journal_count.lost(self.last_seq)

    def make(self, tell: Progress) -> None:
        """Write the files, count the journal and pack it.

        Raises OSError, pyarrow.ArrowException, duckdb.Error, DataError.
        """
        covered = self._covered
        self.small = small_tables(self._source, covered)
        merge = SortedTicks(covered.ticks_files, self.folder / "runs.arrow")
        suspects = set(self.small["rejected"]["seq"].to_pylist())
        with ThreadPoolExecutor(1) as pool, _counting_beside(merge.rows > self._many) as other, _beside() as beside:
            journal_count = other.submit(count_journal, self._source.journal(self.date), suspects)
            other.shutdown(wait=False)  # it is done long before, and its memory is wanted
            merge.sort_runs(lambda done: tell("sort", 0.3 * done))
            pa.default_memory_pool().release_unused()
            plain = [path for path in self._source.journal_files(self.date) if path.suffix != ".zst"]
            packed = {path: beside.submit(self._pack, path) for path in plain}
            rows = self._write_ticks(merge, pool, tell)
            if self.duckdb_path is None:
                for _ in rows:
                    pass
            else:
                self._write_day(self.duckdb_path, rows)
            self._write_small()
            self.journal_count = journal_count.result()
            self.packed = {path: draft.result() for path, draft in packed.items()}

    def differences(self) -> list[str]:
        """In what the files, read again, differ from the journal; empty when they hold exactly what it does."""
        journal_count = self.journal_count
        self.tick_count = tick_count = TickCount.of([self.path(_TICKS)], self.lost)
        found = [str(each) for each in differing(journal_count, tick_count, "the new Parquet file")]
        if not tick_count.in_order:
            found.append("the new Parquet file is not in order")
        lost = {seq for first, last in self.lost for seq in range(first, last + 1)}
        rejected = [seq for seq in self.small["rejected"]["seq"].to_pylist() if seq not in lost]
        if rejected != journal_count.rejected:
            found.append(f"{len(rejected)} messages are rejected, the journal has {len(journal_count.rejected)}")
        if journal_count.last_seq > self.last_seq:
            found.append(f"the new files end with entry {self.last_seq}, the journal with {journal_count.last_seq}")
        if self.duckdb_path is not None:
            found += self._duckdb_differences(self.duckdb_path, tick_count)
        return found

    def facts(self, store: Store) -> dict[str, FileFacts]:
        """Size and hash of each file, by the path it gets in `store`; of the instruments, which stay, too."""
        made = {store.sealed_path(table, self.date): self.path(table) for table in (_TICKS, *self.small)}
        if self.duckdb_path is not None:
            made[store.duckdb_path(self.date)] = self.duckdb_path
        instruments = self._kept.instruments_path(self.date)
        if instruments.exists():
            made[instruments] = instruments
        return {path.relative_to(store.root).as_posix(): FileFacts.of(draft) for path, draft in made.items()}

    def _metadata(self, last_rows: str | None = None) -> dict[str, str]:
        return Footer(1, self.last_seq, self._covered.history, last_rows=last_rows).to_metadata()

    def _write_ticks(self, merge: SortedTicks, pool: ThreadPoolExecutor, tell: Progress) -> Iterator[pa.RecordBatch]:
        """The sorted rows, each group written to the Parquet file beside whoever takes them."""
        file = parquet.sealed_file(self.path(_TICKS))
        last_rows = LastRows(merge.counts.values())
        writing: deque[Future[None]] = deque()
        written = 0
        for rows in merge.groups():
            writing.append(pool.submit(file.write, rows))
            if len(writing) > _UNWRITTEN_GROUPS:
                writing.popleft().result()
            last_rows.add(rows)
            yield from rows.to_batches()
            written += rows.num_rows
            tell("sort", 0.3 + 0.7 * written / merge.rows)
        for future in writing:
            future.result()
        file.close(self._metadata(last_rows.to_text()))

    def _write_day(self, path: Path, rows: Iterator[pa.RecordBatch]) -> None:
        with DayFile(path, self.date) as day, day.transaction():
            day.insert(_TICKS, rows)
            for table, small in self.small.items():
                day.insert(table, iter(small.to_batches()))
            day.insert_exchange_bars(self._kept.exchange_bars_path(self.date))
            day.finish(self._kept.instruments_path(self.date), self.last_seq)

    def _pack(self, path: Path) -> Path:
        draft = self.folder / f"{path.name}.zst"
        pack_checked(path, draft)
        return draft

    def _write_small(self) -> None:
        for table, rows in self.small.items():
            parquet.write_small(rows, self.path(table), self._metadata())

    def _duckdb_differences(self, path: Path, tick_count: TickCount) -> list[str]:
        found = contents(path)
        return [str(each) for each in differing_keys(tick_count.by_key, found.by_key, "the new DuckDB file")] + [
            f"the new DuckDB file has {found.rows[table]} rows of {table}, not {rows.num_rows}"
            for table, rows in self.small.items()
            if found.rows[table] != rows.num_rows
        ]


@contextlib.contextmanager
def _beside() -> Iterator[Executor]:
    """A thread for what is not waited for in turn; once something has failed it begins nothing more."""
    pool = ThreadPoolExecutor(1)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _counting_beside(many: bool) -> Executor:
    """Where the journal is counted. That is Python all through: a thread would hold the interpreter's lock against
    everything else, and a process takes half a second to start."""
    if not many:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(1, get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Let this process, which waits for work, not outlive the one that it works for when that is killed."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
