"""Files: published whole or not at all, and locks between processes.

Owns how a file is published (temporary name beside it, fsync, rename, fsync of the folder), who may work on a store or
a date, folders for what is needed for a while, and what is done without where a file system lacks it. Knows nothing
about what the files hold.
"""

import contextlib
import errno
import hashlib
import itertools
import json
import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tickrec.clock import SECOND, SystemClock, ist
from tickrec.errors import AlreadyRecording, to_run

log = logging.getLogger("tickrec")

_counter = itertools.count(1)
_TEMPORARY: Final = "tickrec-"
_TEMPORARY_LOCK: Final = "lock"
_SETTLED_NS: Final = 60 * SECOND
"""Age of a lock that its maker must have taken by now."""
_UNSUPPORTED: Final = {
    errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.ENOTTY, errno.EOPNOTSUPP
}  # fmt: skip
"""What file systems answer to a call that they do not have."""


class Lack(Enum):
    """What some file systems (CIFS, NFS, FUSE) do not have, and what it is to do without."""

    FOLDER_SYNC = "folders cannot be synced: a power cut may take the newest files"
    FILE_SYNC = "files cannot be synced: a power cut may take what was written last"
    LOCKS = "it has no locks: only on this machine is a second recorder kept away"


_told: set[Lack] = set()


def _do_without(lack: Lack, where: object) -> None:
    """Say once in a process what is done without."""
    if lack not in _told:
        _told.add(lack)
        log.warning("the file system of %s: %s", where, lack.value)


def lacks(folder: Path) -> list[Lack]:
    """What the file system of a folder, in which files can be made, does not have. Raises OSError."""
    path = folder / f".tickrec.{os.getpid()}-{next(_counter)}.tmp"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        found = {
            Lack.FILE_SYNC: not _sync(fd),
            Lack.FOLDER_SYNC: not _sync_folder(folder),
            Lack.LOCKS: not _has_locks(fd),
        }
    finally:
        os.close(fd)
        path.unlink()
    return [lack for lack, is_lacking in found.items() if is_lacking]


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
    if not _sync(fd):
        _do_without(Lack.FILE_SYNC, "what is recorded")


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk, where that can be asked for. Raises OSError."""
    if not _sync_folder(path):
        _do_without(Lack.FOLDER_SYNC, path)


def _sync(fd: int) -> bool:
    """Sync a file; False when its file system has no call for that. Raises OSError."""
    return any(_supported(call, fd) for call in _sync_calls())


def _sync_calls() -> tuple[Callable[[int], object], ...]:
    """What makes a file durable, the best first. On macOS fsync leaves the data in the drive's cache."""
    if sys.platform == "darwin":
        import fcntl

        return (lambda fd: fcntl.fcntl(fd, fcntl.F_FULLFSYNC)), os.fsync
    return (os.fsync,) if sys.platform == "win32" else (os.fdatasync, os.fsync)


def _sync_folder(path: Path) -> bool:
    """Sync a folder; False when its file system has no call for that. Windows has none, and none is missed there."""
    if sys.platform == "win32":
        return True
    fd = os.open(path, os.O_RDONLY)
    try:
        return _supported(os.fsync, fd)
    finally:
        os.close(fd)


def _supported(call: Callable[[int], object], fd: int) -> bool:
    """Make a call; False when the file system does not have it. Raises OSError for anything else."""
    try:
        call(fd)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return False
    return True


def move(source: Path, target: Path) -> None:
    """Rename a file, or copy it where `target` is on another file system. Raises OSError."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copyfile(source, target)
        source.unlink()


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
    that says who holds it. On a file system without locks a file of this machine is locked in its place.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fds: tuple[int, ...] = ()

    def acquire(self, info: Mapping[str, Any]) -> None:
        """Take the lock and write `info` and our pid into the file.

        `info` should have `since_ns` (wall time) and may have `doing`, such as "recording into data", for the
        message another process gets. Raises AlreadyRecording naming the holder, and OSError.
        """
        make_folder(self.path.parent)
        content = json.dumps({"pid": os.getpid(), **info}).encode()
        while not self._fds:  # again, when its holder deleted the file just before
            self._acquire(content)

    def _acquire(self, content: bytes) -> None:
        fds = [os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)]
        try:
            if not _has_locks(fds[0]):
                _do_without(Lack.LOCKS, self.path.parent)
                fds.append(_stand_in(self.path))
            if not _take(fds[-1]):
                raise _refusal(_read_info(self.path))
            if _is_at(self.path, fds[0]):
                os.ftruncate(fds[0], 0)
                os.write(fds[0], content)
                self._fds = tuple(fds)
        finally:
            if not self._fds:
                _close(fds)

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        _close(self._fds)
        self._fds = ()

    def remove(self) -> None:
        """Delete the file, if the lock is held, and give the lock back."""
        if self._fds and sys.platform != "win32":  # there a file that is open cannot be deleted
            self.path.unlink(missing_ok=True)
        self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lock_holder(path: Path) -> dict[str, Any] | None:
    """What the holder of the lock wrote ({} if it is just about to), or None when nobody holds it."""
    try:
        fds = [os.open(path, os.O_RDONLY)]  # anybody may ask
    except FileNotFoundError:
        return None
    try:
        if not _has_locks(fds[0]):
            fds.append(_stand_in(path))
        free = _try_lock(fds[-1], shared=True)
    finally:
        _close(fds)
    return None if free else _read_info(path)


def _stand_in(path: Path) -> int:
    """Open the file of this machine that is locked in the place of `path`. Raises OSError."""
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    # Not the user's own folder for temporary files: a recorder started by cron has another.
    return os.open(f"/tmp/tickrec-{name}.lock", os.O_RDONLY | os.O_CREAT, 0o644)


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


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
        hint=f"See {to_run('status')}",
    )


def _read_info(path: Path) -> dict[str, Any]:
    try:
        info = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return info if isinstance(info, dict) else {}


if sys.platform == "win32":

    def _has_locks(_fd: int) -> bool:
        return True

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

    def _has_locks(fd: int) -> bool:
        """Whether the file system of an open file has locks. Raises OSError."""

        def ask(fd: int) -> None:
            if _try_lock(fd, shared=True):
                _unlock(fd)

        return _supported(ask, fd)

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


class TemporaryFolder:
    """A new folder at `path` outside every store, for what is there only while a process works; a context manager.

    One that is killed cannot remove it, and that may be gigabytes: so the folder is locked while in use, and whoever
    makes the next removes those that nobody holds.
    """

    def __init__(self, doing: str) -> None:
        """Raises OSError."""
        import tempfile  # most commands need none

        _remove_abandoned(Path(tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=_TEMPORARY))
        self._lock = Lock(self.path / _TEMPORARY_LOCK)
        self._lock.acquire({"doing": doing})

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove the folder and what is in it. A second call does nothing."""
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    """Remove the temporary folders in `folder` of processes that were killed."""
    for lock in folder.glob(f"{_TEMPORARY}*/{_TEMPORARY_LOCK}"):
        with contextlib.suppress(OSError):  # somebody else's, or just gone
            if SystemClock.wall_ns() - lock.stat().st_mtime_ns > _SETTLED_NS and lock_holder(lock) is None:
                shutil.rmtree(lock.parent, ignore_errors=True)
