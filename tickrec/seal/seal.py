"""Seal: one trading date becomes one sorted Parquet file a table, a DuckDB file, and a manifest.

Owns the order of the steps, which can be interrupted between or inside any of them and repeated from the beginning:

    prepare     repair the journal's tail; find out what is there
    flush       publish what the parts lack
    sort        make the new files in a scratch folder, beside everything that is published
    check       hold them against a count of the journal made by other code
    publish     put them in place one by one, `ticks` after the small tables; grade the date; the manifest last
    compress    the journal, of which `sort` has made packed files
    clean       remove the parts, what was set aside, and what is left over

Nothing is removed before the check has passed. A reader takes parts that `ticks.parquet` covers for nothing, so it
sees every tick once at any moment. Sealing a sealed date again only does what is left to do; a date that was recorded
into again is sealed again. Sealing does not begin when what is free would not keep today's journal going for the rest
of the session, and ends when that is no longer so.

`python -m tickrec.seal.seal DATA DATE` seals in a process of its own with low priority.
"""

import contextlib
import datetime as dt
import errno
import logging
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from tickrec import __version__, schema
from tickrec.children import lower_priority
from tickrec.clock import Clock, SystemClock, ist
from tickrec.errors import DataError, ExitCode, StorageError, TickrecError, to_run
from tickrec.files import Lock, make_folder, move, publish
from tickrec.journal import compress, repair
from tickrec.journal.scan import journal_source
from tickrec.seal.build import NewFiles
from tickrec.seal.grading import graded
from tickrec.seal.leftovers import remove, remove_all
from tickrec.seal.lost_entries import may_have, only_elsewhere
from tickrec.seal.verify import Progress
from tickrec.store.coverage import Coverage, coverage, damaged_files, has_this_schema, leftovers
from tickrec.store.dayfile import GROWTH, keep_instruments, put_in_place
from tickrec.store.manifest import Manifest, load, plain
from tickrec.store.parquet import UnreadableFile
from tickrec.store.parts import PartWriter, set_aside
from tickrec.store.paths import SEALING, Store
from tickrec.store.space import Room, journalled_bytes

log = logging.getLogger("tickrec")

_SHARES: Final = {
    "prepare": 0.0,
    "flush": 0.02,
    "sort": 0.1,
    "check": 0.7,
    "publish": 0.75,
    "compress": 0.8,
    "clean": 0.98,
}
"""How far sealing is when a step begins."""
_FLUSHED_ENTRIES: Final = 20_000
"""Entries flushed between two words about it."""


def seal(
    store: Store, date: dt.date, progress: Progress | None = None, *, duckdb: bool = True, clock: Clock | None = None
) -> Manifest:
    """Seal a date, or finish sealing it. Without `duckdb` no day file is made.

    Raises AlreadyRecording while somebody records or seals the date, DataError when the journal is gone, damaged
    beyond use, or does not agree with what was made of it (then nothing has been replaced or removed), StorageError
    when something could not be written.
    """
    return _run(store, date, progress, duckdb=duckdb, anew=False, clock=clock)


def rebuild(
    store: Store, date: dt.date, progress: Progress | None = None, *, duckdb: bool = True, clock: Clock | None = None
) -> Manifest:
    """Make everything derived of a date anew from its journal and seal it; the old files stay until then.

    Raises as `seal`; DataError also when the journal has lost entries that are still stored.
    """
    return _run(store, date, progress, duckdb=duckdb, anew=True, clock=clock)


def _run(
    store: Store, date: dt.date, progress: Progress | None, *, duckdb: bool, anew: bool, clock: Clock | None
) -> Manifest:
    clock = clock or SystemClock()
    tell = progress or (lambda _what, _share: None)
    remove_all(store)
    with Lock(store.day_lock(date)) as lock:
        lock.acquire({"doing": f"sealing {date}", SEALING: True, "since_ns": clock.wall_ns()})
        try:
            with _explained(store, date):
                sealing = Sealing(store, date, tell, duckdb=duckdb, anew=anew, clock=clock)
                for name, step in sealing.steps():
                    sealing.tell(name, _SHARES[name])
                    step()
        finally:
            shutil.rmtree(store.scratch(date), ignore_errors=True)
        lock.remove()
        tell("done", 1.0)
        return sealing.manifest


@contextlib.contextmanager
def _explained(store: Store, date: dt.date) -> Iterator[None]:
    """What goes wrong with disks and files, as errors that say what to do."""
    try:
        yield
    except (OSError, pa.ArrowException, duckdb.Error) as error:
        root, number = str(store.root), getattr(error, "errno", None)
        if number is None and not isinstance(error, duckdb.Error):
            hint = f"{to_run('rebuild', date)} makes it anew from the journal"
            raise DataError(f"a Parquet file of {date} cannot be read: {error}", where=root, hint=hint) from error
        full = number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        why = "the disk is full" if full else str(error)
        hint = f"Nothing is lost. {'Free space' if full else 'Check the disk'}, then seal again"
        raise StorageError(f"{date} could not be sealed: {why}", where=root, hint=hint) from error


class Sealing:
    """One date on its way from parts to sealed files. For the holder of the date's lock."""

    def __init__(self, store: Store, date: dt.date, tell: Progress, *, duckdb: bool, anew: bool, clock: Clock) -> None:
        self.store = store
        self.date = date
        self._progress = tell
        self._room = Room(store, date, ended=True)
        self._duckdb = duckdb or store.duckdb_path(date).exists()  # one that is there must not grow stale
        self._anew = anew
        self._from_journal = anew
        """Whether the new files are made from the journal alone, and not from what is stored."""
        self._clock = clock
        self._scratch = store.scratch(date)
        self._last_seq = 0
        self._stored_last = 0
        """The last entry that the date was sealed with before."""
        self._damaged: set[Path] = set()
        self._new_files: NewFiles | None = None
        self._manifest: Manifest | None = None

    @property
    def manifest(self) -> Manifest:
        """What was sealed; after the last step."""
        assert self._manifest is not None
        return self._manifest

    @property
    def new_files(self) -> NewFiles:
        """The new files; after the flush."""
        assert self._new_files is not None
        return self._new_files

    def tell(self, what: str, share: float) -> None:
        """Say how far it is, and look whether the disk still has room. Raises OSError."""
        self._progress(what, share)
        self._room.require()

    def steps(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """What is left to do, in order and by name; each step is to be run before the next is asked for."""
        yield "prepare", self._prepare
        if self._manifest is None:
            yield "flush", self._flush
            yield "sort", self._sort
            yield "check", self._check
            yield "publish", self._publish
        yield "compress", self._compress
        yield "clean", self._clean

    def _prepare(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        before = self._sealed_before()
        self._stored_last = before.last_seq if before else 0
        sealed = None if self._anew else before
        files = self.store.journal_files(self.date)
        if not files and sealed is not None and self._is_all_there(sealed):
            self._manifest = sealed
            return
        self._require_journal(files)
        self._last_seq = repair(self.store.journal(self.date)).last_seq
        if sealed is not None and sealed.last_seq == self._last_seq and self._is_all_there(sealed):
            self._manifest = sealed
        elif not keep_instruments(self.store, self.date) and before is not None:
            path = self.store.instruments_path(self.date)
            if path.relative_to(self.store.root).as_posix() in before.files:
                log.warning("%s is gone or damaged, and nothing else has its rows", path)

    def _sealed_before(self) -> Manifest | None:
        try:
            return load(self.store, self.date)
        except DataError:
            if self._anew:
                return None
            raise

    def _require_journal(self, files: list[Path]) -> None:
        numbers = [int(path.name.split(".")[0]) for path in files]
        if not numbers and not self.store.folder("ticks", self.date).exists():
            raise DataError(f"nothing was recorded on {self.date}", where=str(self.store.root))
        missing = sorted(set(range(1, max(numbers, default=1) + 1)) - set(numbers))
        if missing:
            raise DataError(
                f"the journal of {self.date} is gone" if not numbers else f"file {missing[0]} of the journal is gone",
                where=str(self.store.journal(self.date)),
                hint="What is stored of the date stays as it is: it cannot be made again",
            )

    def _is_all_there(self, sealed: Manifest) -> bool:
        """Whether what the manifest says was sealed is still what is published, as far as names and sizes tell."""
        covered = coverage(self.store, self.date)
        wanted = {self.store.duckdb_path(self.date)} if self._duckdb else set()
        return (
            covered.sealed_last == sealed.last_seq
            and sealed.schema_version == schema.SCHEMA_VERSION
            and wanted <= {self.store.root / name for name in sealed.files}
            and all(_size(self.store.root / name) == facts.bytes for name, facts in sealed.files.items())
        )

    def _flush(self) -> None:
        """Publish what is not in parts yet, and what those hold that turn out to be damaged."""
        while True:
            try:
                return self._flush_rest()
            except UnreadableFile as error:
                self._set_aside(error)

    def _flush_rest(self) -> None:
        make_folder(self._scratch)
        self._room.require(self._needed())
        source = self.store
        writer = PartWriter(source, self.date)
        writer.flush(0)  # only what parts wait for
        self._from_journal = self._anew or not has_this_schema(coverage(source, self.date))
        if self._from_journal:
            source = Store(self._scratch, journals=self.store.journals)
            writer = PartWriter(source, self.date)
        start, share = _SHARES["flush"], _SHARES["sort"] - _SHARES["flush"]
        for seq in range(writer.next_seq + _FLUSHED_ENTRIES, self._last_seq, _FLUSHED_ENTRIES):
            writer.flush(seq)
            self.tell("flush", start + share * seq / self._last_seq)
        writer.flush(self._last_seq, final=True)
        covered = coverage(source, self.date)
        self._new_files = NewFiles(self._scratch, source, covered, self.store, duckdb=self._duckdb)

    def _needed(self) -> int:
        """Bytes that sealing takes until the parts are removed, at most.

        The scratch file, the sorted file and, of a rebuild, parts take as much as the parts that there are; those take
        a sixth of the messages.
        """
        stored = sum(path.stat().st_size for path in coverage(self.store, self.date).ticks_files)
        journalled = journalled_bytes(self.store, self.date)
        plain = sum(path.stat().st_size for path in self.store.journal_files(self.date) if path.suffix != ".zst")
        times = 2 + self._anew + (GROWTH if self._duckdb else 0)
        return times * max(stored, journalled // 6) + plain // 4

    def _sort(self) -> None:
        """Make the files; those that turn out to be damaged are set aside, and their rows come from the journal."""
        start, share = _SHARES["sort"], _SHARES["check"] - _SHARES["sort"]
        while True:
            try:
                return self.new_files.make(lambda what, done: self.tell(what, start + share * done))
            except UnreadableFile as error:
                self._set_aside(error)
                shutil.rmtree(self._scratch)
                self._flush()

    def _set_aside(self, error: UnreadableFile) -> None:
        if error.path in self._damaged:
            raise error  # written again, and damaged again: it is not the file
        self._damaged.add(error.path)
        set_aside(error)

    def _check(self) -> None:
        """Raises DataError unless the new files hold exactly what the journal does, and all that is stored already."""
        covered = coverage(self.store, self.date)
        stored = [*covered.ticks_files, *damaged_files(self.store, self.date, "ticks")]
        lost = self.new_files.journal_count.lost(self._known_last(covered))
        differences = [
            *self.new_files.differences(),
            *only_elsewhere(stored, lost, self.new_files.path("ticks")),
        ]
        if differences:
            hint = "Nothing was replaced or removed"
            raise DataError(f"sealing {self.date} does not add up: {'; '.join(differences)}", hint=hint)

    def _known_last(self, covered: Coverage) -> int:
        """The last entry that there was, as far as any file tells."""
        return max(self._stored_last, covered.written_last)

    def _publish(self) -> None:
        manifest = self._describe()
        # Until the new one is there nothing says that the date is sealed, so an interruption is taken up again.
        self.store.manifest_path(self.date).unlink(missing_ok=True)
        for table in (*schema.SMALL_TABLES, "ticks"):
            publish(self.store.sealed_path(table, self.date), partial(move, self.new_files.path(table)))
        if self.new_files.duckdb_path is not None:
            put_in_place(self.new_files.duckdb_path, self.store, self.date)
        if (verdict := graded(self.store, self.date, self._clock)) is not None:
            manifest = replace(manifest, grade=verdict.grade, why=verdict.words)
        manifest.publish(self.store)
        self._manifest = manifest

    def _describe(self) -> Manifest:
        journal_count, tick_count, small = self.new_files.journal_count, self.new_files.tick_count, self.new_files.small
        return Manifest(
            schema_version=schema.SCHEMA_VERSION,
            date=str(self.date),
            sealed_at=ist(self._clock.wall_ns()).isoformat(timespec="seconds"),
            versions=_versions(),
            first_seq=1,
            last_seq=self.new_files.last_seq,
            messages=journal_count.messages,
            message_bytes=journal_count.bytes,
            rows={"ticks": tick_count.rows} | {table: rows.num_rows for table, rows in small.items()},
            missing=self.new_files.lost,
            gaps=plain(small["gaps"]),
            files=self.new_files.facts(self.store),
            instruments=dict(sorted(tick_count.by_key.items())),
            source=journal_source(self.store.journal(self.date)),
        )

    def _compress(self) -> None:
        plain = [path for path in self.store.journal_files(self.date) if path.suffix != ".zst"]
        start, share = _SHARES["compress"], _SHARES["clean"] - _SHARES["compress"]
        packed = self._new_files.packed if self._new_files is not None else {}
        for number, path in enumerate(plain, 1):
            compress(path, packed.get(path))
            self.tell("compress", start + share * number / len(plain))

    def _clean(self) -> None:
        covered = coverage(self.store, self.date)
        for path in leftovers(self.store, covered):
            path.unlink(missing_ok=True)
        lost = [*self.manifest.missing]
        if (last := self._known_last(covered)) > self.manifest.last_seq:
            lost.append([self.manifest.last_seq + 1, last])
        for path in damaged_files(self.store, self.date):
            if not may_have(path, lost):
                path.unlink(missing_ok=True)
        remove(self.store, self.date)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _versions() -> dict[str, str]:
    return {
        "tickrec": __version__,
        "python": platform.python_version(),
        "pyarrow": pa.__version__,
        "duckdb": duckdb.__version__,
    }


def main(arguments: list[str]) -> int:
    """`python -m tickrec.seal.seal DATA DATE [--no-duckdb]`."""
    root, date, *options = arguments
    lower_priority()
    try:
        seal(Store(Path(root)), dt.date.fromisoformat(date), duckdb="--no-duckdb" not in options)
    except TickrecError as error:
        sys.stderr.write(f"{error}\n")
        return error.code
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
