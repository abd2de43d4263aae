"""Files: published whole or not at all, and locks between processes.

Owns how a file is published (temporary name beside it, fsync, rename, fsync of the folder) and who may work on a
store or a date. Knows nothing about what the files hold.
"""

import itertools
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tickrec.clock import ist
from tickrec.errors import AlreadyRecording

_counter = itertools.count(1)


def publish(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, make it durable, and give it its name in one step.

    A reader sees the old file or the new one, never a part, also after a power cut. If `write` raises, nothing has
    changed. The temporary name begins with a dot and ends in `.tmp`. Missing folders are made. Raises OSError.
    """
    make_folder(path.parent)
    temp = path.with_name(f".{path.name}.{os.getpid()}-{next(_counter)}.tmp")
    try:
        write(temp)
        sync_file(temp)
        os.replace(temp, path)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def publish_bytes(path: Path, data: bytes) -> None:
    """`publish` of content that is at hand. Raises OSError."""

    def write(temp: Path) -> None:
        temp.write_bytes(data)

    publish(path, write)


def make_folder(folder: Path) -> None:
    """Make `folder` and its missing parents so that they survive a power cut. Raises OSError."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_file(path: Path) -> None:
    """Wait until the file's content is on the disk. Raises OSError."""
    fd = os.open(path, os.O_RDWR)
    try:
        sync_descriptor(fd)
    finally:
        os.close(fd)


def sync_descriptor(fd: int) -> None:
    """Wait until what was written to `fd`, and its size, are on the disk. Raises OSError."""
    if sys.platform == "darwin":  # fsync there leaves the data in the drive's cache
        import fcntl

        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    elif sys.platform == "win32":
        os.fsync(fd)
    else:
        os.fdatasync(fd)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk. Windows has no such call, and none is made. Raises OSError."""
    if sys.platform == "win32":
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def free_bytes(path: Path) -> int:
    """Bytes an ordinary user can still write to the disk that holds `path`, which need not exist yet."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


_ATTEMPTS: Final = 50 if sys.platform == "win32" else 1000
_PAUSE_SECONDS: Final = 0.002
"""Whoever asks who holds a lock takes it for some microseconds; so long, and so often, that is waited for. On Windows,
where a pause can last 16 ms, each refusal waits for all of them."""


class Lock:
    """An exclusive lock between processes, named by a file. Only its holder may delete that.

    The operating system drops it when the process ends, however it ends. While held, the file holds a JSON object
    that says who holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self, info: Mapping[str, Any]) -> None:
        """Take the lock and write `info` and our pid into the file.

        `info` should have `since_ns` (wall time) and may have `doing`, such as "recording into data", for the
        message another process gets. Raises AlreadyRecording naming the holder, and OSError.
        """
        make_folder(self.path.parent)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _take(fd) or not _is_at(self.path, fd):
                raise _refusal(_read_info(self.path))
            content = json.dumps({"pid": os.getpid(), **info}).encode()
            os.ftruncate(fd, 0)
            os.write(fd, content)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lock_holder(path: Path) -> dict[str, Any] | None:
    """What the holder of the lock wrote ({} if it is just about to), or None when nobody holds it."""
    try:
        fd = os.open(path, os.O_RDONLY)  # anybody may ask
    except FileNotFoundError:
        return None
    try:
        free = _try_lock(fd, shared=True)
    finally:
        os.close(fd)
    return None if free else _read_info(path)


def _take(fd: int) -> bool:
    """Lock exclusively; False when another process holds the lock, rather than just asking about it."""
    pause = threading.Event()
    for _ in range(_ATTEMPTS):
        if _try_lock(fd, shared=False):
            return True
        if sys.platform != "win32":  # there, asking is like holding
            if not _try_lock(fd, shared=True):
                return False
            _unlock(fd)
        pause.wait(_PAUSE_SECONDS)
    return False


def _is_at(path: Path, fd: int) -> bool:
    """Whether the open file is still the one with this name: its holder may have deleted it just before."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _refusal(holder: Mapping[str, Any]) -> AlreadyRecording:
    since = f", since {ist(holder['since_ns']):%H:%M:%S}" if "since_ns" in holder else ""
    return AlreadyRecording(
        f"already {holder.get('doing', 'recording')}",
        where=f"pid {holder.get('pid', 'unknown')}{since}",
        hint="See `tickrec status`",
    )


def _read_info(path: Path) -> dict[str, Any]:
    try:
        info = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return info if isinstance(info, dict) else {}


if sys.platform == "win32":
    _BYTE: Final = 1 << 30
    """The byte that is locked: far behind the content, because a lock on Windows also keeps readers out."""

    def _try_lock(fd: int, *, shared: bool) -> bool:
        import msvcrt

        os.lseek(fd, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(fd, 0, os.SEEK_SET)
        return True

else:

    def _try_lock(fd: int, *, shared: bool) -> bool:
        import fcntl

        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(fd: int) -> None:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_UN)
