"""Retention: the removal of journals that have been kept long enough.

Owns the only deletion of journals there is: of dates older than asked, that are sealed, and whose files, read again,
agree with the journal. Nothing else of a date is ever removed.

`python -m tickrec.seal.retention DATA SECONDS` does it in a process of its own with low priority, and prints a line on
stderr for each journal that was old enough: `removed ...`, or `kept ...` with the reason.
"""

import datetime as dt
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tickrec.children import lower_priority
from tickrec.clock import Clock, SystemClock, ist
from tickrec.errors import AlreadyRecording, DataError, ExitCode, TickrecError, to_run
from tickrec.files import Lock, make_folder, sync_folder
from tickrec.formatting import size
from tickrec.seal.verify import verify
from tickrec.store.manifest import load
from tickrec.store.paths import Store

_EXPIRED: Final = ".expired"
"""End of the name of a journal's folder on its way out: under it nobody takes it for a journal."""


@dataclass(frozen=True, slots=True)
class Expired:
    """A journal that was old enough: removed, or kept because of `differences`, or of files that cannot be read."""

    date: dt.date
    bytes: int
    differences: tuple[str, ...] = ()

    @property
    def removed(self) -> bool:
        """Whether it is gone."""
        return not self.differences

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
    for leftover in store.state.glob(f"*{_EXPIRED}"):
        shutil.rmtree(leftover)
    newest = ist(clock.wall_ns()).date() - keep
    for date in store.dates():
        if date < newest and store.journal_files(date) and store.settled(date):
            try:
                with Lock(store.day_lock(date)) as lock:
                    lock.acquire({"doing": f"removing the journal of {date}", "since_ns": clock.wall_ns()})
                    expired = _expire(store, date)
            except AlreadyRecording:
                continue
            if expired is not None:
                yield expired


def _expire(store: Store, date: dt.date) -> Expired | None:
    """None: its turn comes when it is sealed, and when no other program has the day file open."""
    taken = sum(path.stat().st_size for path in store.journal(date).iterdir())
    try:
        if load(store, date) is None:
            return None
        report = verify(store, date)
    except DataError as error:
        return Expired(date, taken, (error.brief,))
    if report.skipped:
        return None
    if not report.differences:
        make_folder(store.state)
        leaving = store.state / f"{date}{_EXPIRED}"
        os.replace(store.journal(date), leaving)
        sync_folder(store.journals)
        shutil.rmtree(leaving)
    return Expired(date, taken, report.differences)


def main(arguments: list[str]) -> int:
    """`python -m tickrec.seal.retention DATA SECONDS`. A date that is kept is no failure of the program."""
    root, seconds = arguments
    lower_priority()
    try:
        for expired in expire(Store(Path(root)), dt.timedelta(seconds=float(seconds))):
            sys.stderr.write(f"{expired}\n")
    except TickrecError as error:
        sys.stderr.write(f"{error}\n")
        return error.code
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return ExitCode.STORAGE
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
