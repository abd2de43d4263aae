"""Machine: what a recording depends on on this machine: libraries, folders, space, days left unsealed.

Owns what of that is good enough. Asks nobody outside.
"""

import datetime as dt
import importlib.metadata
import platform
import shlex
import sys
from typing import Final

from tickrec import __version__
from tickrec.config import Config
from tickrec.doctor.findings import FAIL, OK, WARN, Finding
from tickrec.errors import to_run
from tickrec.files import free_bytes, lacks, lock_holder
from tickrec.formatting import plural, size
from tickrec.status.disk_use import disk_use, left_unsealed
from tickrec.status.totals import newest_totals, usual_day
from tickrec.store.paths import Store

LIBRARIES: Final = ("duckdb", "protobuf", "ptars", "pyarrow", "rich", "typer", "websockets")
FAST: Final = "ptars"
"""Not on every Python: without it, messages are decoded several times slower."""
FEW_DAYS: Final = 5
"""Free space for fewer usual days than this warns."""
_LISTED: Final = 3


def versions() -> Finding:
    """What runs here, and whether anything is missing."""
    have, missing = [f"tickrec {__version__}", f"Python {platform.python_version()}"], []
    for name in LIBRARIES:
        try:
            have.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    text = ", ".join([*have, f"{platform.system()} {platform.machine()}"])
    if missing == [FAST]:
        return Finding(WARN, f"{text}; without {FAST}, messages are decoded several times slower")
    if missing:
        hint = f"Run: {shlex.quote(sys.executable)} -m pip install {' '.join(missing)}"
        return Finding(FAIL, f"not installed: {', '.join(missing)} ({text})", hint)
    return Finding(OK, text)


def config_file(config: Config) -> Finding:
    """Which settings these are; that they can be read is known by now."""
    return Finding(OK, str(config.path) if config.path else "no config file: everything at its default")


def store_folder(store: Store) -> Finding:
    """Whether the store, or the folder that it would be made in, can be written and synced."""
    folder = next(each for each in (store.root, *store.root.parents) if each.exists())
    try:
        missing = lacks(folder)
    except OSError as error:
        hint = f"Look at its owner, its permissions and the disk: ls -ld {shlex.quote(str(folder))}"
        return Finding(FAIL, f"{folder} cannot be written: {error.strerror or error}", hint)
    if missing:
        told = "; ".join(lack.value for lack in missing)
        return Finding(WARN, f"{folder} can be written, but {told}", "Record onto a disk of this machine if you can")
    if folder != store.root:
        return Finding(OK, f"{store.root} will be made by the first recording")
    holder = lock_holder(store.record_lock)
    busy = "" if holder is None else f"; recording now (pid {holder.get('pid', 'unknown')})"
    return Finding(OK, f"{store.root} can be written{busy}")


def disk(store: Store, min_free: int) -> Finding:
    """Free space, and for how many days of the usual size. `min_free` is in bytes. Raises OSError."""
    free = free_bytes(store.root)
    kept = disk_use(store)
    usual = usual_day(kept, newest_totals(store, kept))
    days = free / usual if usual else None
    lasts = f", about {plural(int(days), 'day')} at {size(usual)} a day" if days is not None else ""
    text, hint = f"{size(free)} free{lasts}", "Free some space, or keep journals for less time (keep_journal)"
    if days is not None and days < 1:
        return Finding(FAIL, f"{text}: not enough for another day", hint)
    if free < min_free:
        return Finding(WARN, f"{text}: less than min_free ({size(min_free)})", hint)
    if days is not None and days < FEW_DAYS:
        return Finding(WARN, text, hint)
    return Finding(OK, text if days is not None else f"{text}; how long that lasts is known after a whole day")


def days(store: Store, today: dt.date) -> Finding:
    """Whether earlier days were left with nothing but a journal and parts."""
    kept = disk_use(store)
    unsealed = left_unsealed(kept, today)
    if not unsealed:
        open_ = ", today not sealed yet" if any(each.date == today and not each.sealed for each in kept) else ""
        return Finding(
            OK, f"{plural(len(kept), 'day')} kept, no earlier one unsealed{open_}" if kept else "none kept yet"
        )
    listed = ", ".join([*map(str, unsealed[:_LISTED]), *(["..."] if len(unsealed) > _LISTED else [])])
    hint = f"{to_run('seal', unsealed[0])}; or leave it to the next recording, which seals earlier days"
    return Finding(WARN, f"{plural(len(unsealed), 'earlier day')} not sealed: {listed}", hint)
