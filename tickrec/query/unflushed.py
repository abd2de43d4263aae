"""Unflushed: the rows of a date that only the journal has, decoded some at a time when a query first needs them.

Owns how much of them is in memory: the first pieces stay there, the others are put aside as Parquet files in a folder
of the query's, however far behind the files of a date are. Decoding ends within a piece when the query is cancelled.
Knows nothing of DuckDB: it offers Arrow streams.
"""

import itertools
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from tickrec import schema
from tickrec.errors import DataError, TickrecError, UsageError
from tickrec.files import free_bytes
from tickrec.store.paths import Store

if TYPE_CHECKING:
    from tickrec.journal.history import Tables
    from tickrec.store.coverage import Coverage

PIECE_BYTES: Final = 32 * 1024 * 1024
"""Of ticks, as Arrow holds them, that are handled at a time: some 60,000."""
_PIECES_IN_MEMORY: Final = 2
_SPARED_SHARE: Final = 0.75
"""Of the disk's free space that is left to others: it may be the recorder's."""


class Unflushed:
    """The rows of a date that no Parquet file has. Several scans, of several threads, may read them at once."""

    def __init__(self, store: Store, covered: "Coverage", scratch: Path, *, piece_bytes: int = PIECE_BYTES) -> None:
        """`scratch` is a folder for what does not stay in memory."""
        self.failure: TickrecError | None = None
        """Why they could not be read; DuckDB passes only the text of an error on."""
        self._store = store
        self._covered = covered
        self._scratch = scratch
        self._piece_bytes = piece_bytes
        self._folder: Path | None = None
        self._least_free = 0
        self._source: Iterator[Tables] | None = None
        self._pieces: list[pa.Table | Path] = []
        """Of ticks: in memory, or the Parquet file that holds it."""
        self._small: dict[str, list[pa.Table]] = {}
        self._complete = False
        self._entries: bool | None = None
        """Whether the journal had an entry that no file covers; None: nobody has looked."""
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        """Held by the thread that decodes."""

    def cancel(self) -> None:
        """Let every scan end at the next piece."""
        self._cancelled.set()

    def has_ticks(self) -> bool:
        """Whether there is a tick. Raises DataError."""
        return self._piece(0) is not None

    def batches(self, table: str) -> Iterator[pa.RecordBatch]:
        """The rows of one table. Raises DataError, and UsageError when they take more space than there is."""
        if table == "ticks":
            for index in itertools.count():
                if (rows := self._piece(index)) is None:
                    return
                yield from rows.to_batches()
        while self._piece(len(self._pieces), ticks=False) is not None:
            pass
        for small in self._small.get(table, ()):
            yield from small.to_batches()

    def _piece(self, index: int, *, ticks: bool = True) -> pa.Table | None:
        """A piece of ticks, decoded if it has to be; None when there is none. Not only `ticks`: that all is decoded
        then is wanted for the other tables."""
        with self._lock:
            try:
                if ticks and not self._has_entries():
                    return None
                while index >= len(self._pieces) and not self._complete:
                    self._decode()
                piece = self._pieces[index] if index < len(self._pieces) else None
                return _read(piece) if isinstance(piece, Path) else piece
            except TickrecError as error:
                self.failure = error
                raise
            except OSError as error:
                where = str(self._store.journal(self._covered.date))
                self.failure = DataError(f"the journal cannot be read: {error.strerror or error}", where=where)
                raise self.failure from error

    def _has_entries(self) -> bool:
        """Whether there is anything to decode: what does that takes longer to load than all else that is asked."""
        if self._entries is None:
            from tickrec.journal import Journal

            journal = Journal(self._store.journal(self._covered.date))
            first = next(journal.entries(self._covered.next_seq, start=self._covered.position), None)
            self._entries = first is not None
        return self._entries

    def _decode(self) -> None:
        """Take one piece more."""
        found: list[pa.Table] = []
        for tables in self._tables():
            if self._cancelled.is_set():
                raise UsageError("the query was cancelled")
            for name, rows in tables.items():
                if name != "ticks":
                    self._small.setdefault(name, []).append(rows)
                elif rows.num_rows:
                    found.append(rows)
            if sum(rows.nbytes for rows in found) >= self._piece_bytes:
                break
        else:
            self._complete = True
        if found:
            rows = pa.concat_tables(found)
            self._pieces.append(rows if len(self._pieces) < _PIECES_IN_MEMORY else self._put_aside(rows))

    def _tables(self) -> "Iterator[Tables]":
        if self._source is None:
            from tickrec.store.rows import tail_pieces

            self._source = tail_pieces(self._store, self._covered)
        return self._source

    def _put_aside(self, rows: pa.Table) -> Path:
        """Write rows to a file. The folder of the files goes when nobody can ask for them any more."""
        import pyarrow.parquet as pq

        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(dir=self._scratch))
            self._least_free = round(free_bytes(self._folder) * _SPARED_SHARE)
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = self._folder / f"{len(self._pieces)}.parquet"
        if free_bytes(self._folder) - rows.nbytes < self._least_free:
            what = f"{self._covered.date} has more ticks in its journal alone than there is room to put aside"
            raise UsageError(what, where=str(self._scratch), hint="TMPDIR names another folder, on a larger disk")
        try:
            pq.write_table(rows, path, compression="lz4")
        except OSError as error:
            raise UsageError(f"ticks cannot be put aside: {error.strerror or error}", where=str(path)) from error
        return path


def _read(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.read()


class UnflushedTable:
    """One table of an `Unflushed` as DuckDB scans it: the stream is asked for only when the rows are needed."""

    def __init__(self, unflushed: Unflushed, name: str) -> None:
        self._unflushed = unflushed
        self._name = name

    def __arrow_c_schema__(self) -> Any:
        return schema.TABLES[self._name].__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        batches = self._unflushed.batches(self._name)
        reader = pa.RecordBatchReader.from_batches(schema.TABLES[self._name], batches)
        return reader.__arrow_c_stream__(requested_schema)


class LostTable:
    """Rows of a date that cannot be read, in the form that DuckDB scans: only who needs them is told."""

    def __init__(self, error: DataError, name: str) -> None:
        self._error = error
        self._name = name
        self.failure: DataError | None = None
        """The error once it was raised; DuckDB passes only the text of an error on."""

    def __arrow_c_schema__(self) -> Any:
        return schema.TABLES[self._name].__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        self.failure = self._error
        raise self._error
