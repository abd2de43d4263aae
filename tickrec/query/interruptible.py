"""Interruptible: a statement that runs in a thread of its own, so that who waits for its rows can be interrupted.

DuckDB does not return from a statement when a signal arrives, and a signal reaches only the main thread. So the
statement runs beside it, and the waiting thread cancels it: on Ctrl-C, when the time is up, or when nobody wants more
rows. Owns that, and the first rows, which are held back. Does not know the store.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import duckdb
import pyarrow as pa

from tickrec.clock import SECOND, SystemClock
from tickrec.errors import UsageError
from tickrec.query.forms import Form, unique

_BATCH_ROWS: Final = 16_384
_POLL_S: Final = 0.1
_PATIENCE_NS: Final = 2 * SECOND
"""After which somebody may want to know how far the statement is."""
_BETWEEN_NS: Final = SECOND // 5
"""Between two reports of that."""


class Columns(NamedTuple):
    """The columns of a result, as the statement made them."""

    names: list[str]
    """All different."""
    kinds: list[str]
    """Their types, by DuckDB's names for them in small letters."""


Values: TypeAlias = tuple[list[str], list[tuple[Any, ...]]]
"""The names of columns, and rows."""
Item: TypeAlias = tuple[Columns, pa.Schema] | Values | pa.RecordBatch | BaseException | None
"""What the thread has to say: first the columns, or all there is; then batches, then None. Or an error."""


class Running:
    """A statement on a connection of its own to the same database. Close it.

    `form` is the form of its rows; without one, `all` has them as Python's values. `timeout` is in seconds, until the
    last row was taken. `progress` is called with the percentage done, from the thread that takes the rows, when that
    takes longer than two seconds. `on_close` is called when nobody wants more rows.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        sql: str,
        timeout: float | None,
        progress: Callable[[float], None] | None = None,
        *,
        form: Form | None = None,
        values: Mapping[str, object] | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self.columns = Columns([], [])
        self.schema: pa.Schema = pa.schema([])
        self.complete = False
        """All rows were taken from DuckDB."""
        self._connection = connection.cursor()
        if progress is not None:
            self._connection.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
        self._sql = sql
        self._form = form
        self._values = values or {}
        self._on_close = on_close
        self._timeout = timeout
        self._progress = progress
        self._report_ns = SystemClock.monotonic_ns() + _PATIENCE_NS
        """When to say how far the statement is."""
        self._held: list[pa.RecordBatch] = []
        self._items: queue.Queue[Item] = queue.Queue(maxsize=2)
        self._stopping = threading.Event()
        self._late = threading.Event()
        self._alarm = threading.Timer(timeout, self._late.set) if timeout else None
        self._thread = threading.Thread(target=self._run, name="query", daemon=True)
        if self._alarm:
            self._alarm.daemon = True
            self._alarm.start()
        self._thread.start()

    def all(self) -> Values:
        """The names of the columns of a statement without a form, and all rows.

        It must have no instants: DuckDB's package may need another one, pytz, to give them. Raises as `prefetch`.
        """
        found: Values = self._take()
        return found

    def prefetch(self, size: int) -> None:
        """Take the columns and the first `size` bytes of rows.

        Raises duckdb.Error, UsageError when the time is up.
        """
        self.columns, self.schema = self._take()
        held = 0
        while not self.complete and held < size:
            batch = self._take()
            if batch is not None:
                self._held.append(batch)
                held += batch.nbytes

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while self._held or not self.complete:
            batch = self._held.pop(0) if self._held else self._take()
            if batch is not None:
                yield pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)

    def close(self) -> None:
        """Stop the thread and let go of its connection. A second call does nothing."""
        self._stopping.set()
        if self._on_close:
            self._on_close()
        if self._alarm:
            self._alarm.cancel()
        while self._thread.is_alive():
            self._connection.interrupt()
            while not self._items.empty():
                self._items.get_nowait()
            self._thread.join(0.01)
        self._connection.close()

    def _take(self) -> Any:
        """The next thing from the thread: the columns, then batches, then None."""
        while True:
            if self._late.is_set():
                raise self._too_late()
            self._report_progress()
            try:
                item = self._items.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if isinstance(item, BaseException):
                raise item
            self.complete = item is None
            return item

    def _report_progress(self) -> None:
        if self._progress is not None and SystemClock.monotonic_ns() >= self._report_ns:
            self._report_ns = SystemClock.monotonic_ns() + _BETWEEN_NS
            percent = self._connection.query_progress()
            if percent >= 0:  # negative: DuckDB does not know yet
                self._progress(percent)

    def _too_late(self) -> UsageError:
        return UsageError(f"the query took longer than {self._timeout:g} s", hint="Narrow it, or raise --timeout")

    def _run(self) -> None:
        """The thread: what goes wrong is raised where the rows are taken."""
        try:
            if self._form is None:  # a relation would bind the statement once more, for what is known here
                found = self._connection.execute(self._sql, self._values)
                self._put(([name for name, *_ in found.description or ()], found.fetchall()))
                return
            rows = self._connection.sql(self._sql, params=self._values)
            columns = Columns(unique(rows.columns), [kind.id for kind in rows.types])
            reader = self._form(rows).to_arrow_reader(_BATCH_ROWS)
            names = unique(reader.schema.names)
            fields = pa.schema([field.with_name(name) for field, name in zip(reader.schema, names, strict=True)])
            self._put((columns, fields))
            for batch in reader:
                self._put(batch)
                if self._stopping.is_set():
                    return
            self._put(None)
        except (OSError, pa.ArrowException) as error:  # what pyarrow makes of an error of DuckDB's
            self._put(duckdb.Error(str(error)))
        except BaseException as error:  # noqa: BLE001 - the boundary of this thread
            self._put(error)

    def _put(self, item: Item) -> None:
        while not self._stopping.is_set():
            try:
                return self._items.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
