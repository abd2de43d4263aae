"""Retention: the removal of journals that have been kept long enough.

Owns the only deletion of journals there is: of dates older than asked, that are sealed, and whose Parquet files are the
very ones that agreed with the journal then, which their hashes tell. What their owner did with the DuckDB file does not
matter: it is made from Parquet as well. Nothing else of a date is ever removed.

`python -m tickrec.seal.retention DATA SECONDS` does it in a process of its own with low priority, and prints one JSON
object a line for each journal that was old enough.
"""

import datetime as dt
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tickrec import schema
from tickrec.children import lower_priority
from tickrec.clock import Clock, SystemClock, ist
from tickrec.errors import AlreadyRecording, DataError, ExitCode, TickrecError, to_run
from tickrec.files import Lock, sync_folder
from tickrec.formatting import size
from tickrec.store.manifest import FileFacts, Manifest, load
from tickrec.store.paths import Store, names_in

_EXPIRED: Final = ".expired"
"""End of the name of a journal's folder on its way out: under it nobody takes it for a journal."""


@dataclass(frozen=True, slots=True)
class Expired:
    """A journal that was old enough: removed, or kept because of `differences`."""

    date: dt.date
    bytes: int
    differences: tuple[str, ...] = ()

    @property
    def removed(self) -> bool:
        """Whether it is gone."""
        return not self.differences

    def to_json(self) -> str:
        """As one line that `from_json` reads."""
        return json.dumps({"date": str(self.date), "bytes": self.bytes, "differences": self.differences})

    @classmethod
    def from_json(cls, line: str) -> Self:
        """What `to_json` wrote."""
        facts = json.loads(line)
        return cls(dt.date.fromisoformat(facts["date"]), facts["bytes"], tuple(facts["differences"]))

    def __str__(self) -> str:
        """One line that begins with `removed` or `kept`; of many reasons, the first."""
        if self.removed:
            return f"removed the journal of {self.date}, {size(self.bytes)}"
        reason = " ".join(self.differences[0].split())
        return f"kept the old journal of {self.date}: {reason}; {to_run('verify', self.date)} tells more"


def expire(store: Store, keep: dt.timedelta, clock: Clock | None = None) -> Iterator[Expired]:
    """Remove the journals of dates older than `keep`, oldest first; each date as it is dealt with.

    Dates that are not sealed, or that somebody works on, are left alone. Raises OSError.
    """
    clock = clock or SystemClock()
    for folder in (store.journals, store.state):  # there, older versions put them
        for name in names_in(folder):
            if name.endswith(_EXPIRED):
                _remove(folder / name)
    newest = ist(clock.wall_ns()).date() - keep
    for date in store.dates():
        if date < newest and store.journal_files(date) and store.settled(date):
            try:
                with Lock(store.day_lock(date)) as lock:
                    lock.acquire({"doing": f"removing the journal of {date}", "since_ns": clock.wall_ns()})
                    expired = _expire(store, date)
                    lock.remove()
            except AlreadyRecording:
                continue
            if expired is not None:
                yield expired


def _expire(store: Store, date: dt.date) -> Expired | None:
    """None: its turn comes when it is sealed."""
    taken = sum(path.stat().st_size for path in store.journal(date).iterdir())
    try:
        sealed = load(store, date)
    except DataError as error:
        return Expired(date, taken, (error.brief,))
    if sealed is None:
        return None
    differences = tuple(_changed(store, date, sealed))
    if not differences:
        leaving = store.journals / f".{date}{_EXPIRED}"
        os.replace(store.journal(date), leaving)
        sync_folder(store.journals)
        _remove(leaving)
    return Expired(date, taken, differences)


def _remove(folder: Path) -> None:
    """Remove a journal, wherever a link in its place leads. Raises OSError."""
    shutil.rmtree(folder.resolve())
    if folder.is_symlink():
        folder.unlink()


def _changed(store: Store, date: dt.date, sealed: Manifest) -> Iterator[str]:
    """The Parquet files that the journal can make again, and that are not those that were sealed."""
    for table in ("ticks", *schema.SMALL_TABLES):
        path = store.sealed_path(table, date)
        name = path.relative_to(store.root).as_posix()
        if table in schema.LATER_TABLES and name not in sealed.files:
            continue  # sealed by a version that did not have it
        try:
            if FileFacts.of(path) != sealed.files.get(name):
                yield f"{name}: not the file that was sealed"
        except FileNotFoundError:
            yield f"{name}: is gone"


def main(arguments: list[str]) -> int:
    """`python -m tickrec.seal.retention DATA SECONDS`. A date that is kept is no failure of the program."""
    root, seconds = arguments
    lower_priority()
    try:
        for expired in expire(Store(Path(root)), dt.timedelta(seconds=float(seconds))):
            sys.stdout.write(f"{expired.to_json()}\n")
            sys.stdout.flush()
    except TickrecError as error:
        sys.stderr.write(f"{error}\n")
        return error.code
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return ExitCode.STORAGE
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
