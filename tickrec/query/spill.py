"""A folder for what a query cannot hold in memory, outside every store, gone when the process is.

Owns its name and its end. A process that is killed cannot remove its folder, and that may be gigabytes: so it is locked
while in use, and whoever comes next removes those that nobody holds.
"""

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Final

from tickrec.clock import SECOND, SystemClock
from tickrec.files import Lock, lock_holder

_PREFIX: Final = "tickrec-query-"
_LOCK: Final = "lock"
_SETTLED_NS: Final = 60 * SECOND
"""Age of a lock that its maker must have taken by now."""


class Spill:
    """A new folder at `path`; removed by `remove`, at the latest when somebody else makes one."""

    def __init__(self) -> None:
        """Raises OSError."""
        _remove_abandoned(Path(tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = Lock(self.path / _LOCK)
        self._lock.acquire({"doing": "asking a query"})

    def remove(self) -> None:
        """Remove the folder and what is in it. A second call does nothing."""
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    """Remove what queries left behind that were killed."""
    for lock in folder.glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError):  # somebody else's, or just gone
            if SystemClock.wall_ns() - lock.stat().st_mtime_ns > _SETTLED_NS and lock_holder(lock) is None:
                shutil.rmtree(lock.parent, ignore_errors=True)
