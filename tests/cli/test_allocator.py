"""From where a process takes its memory."""

import subprocess
import sys

import pytest

_THREADS = 6
_COUNT = f"""
import ctypes, sys, threading
from tickrec.cli import allocator

if sys.argv[1:] == ["share"]:
    allocator.share()
together = threading.Barrier({_THREADS} + 1)

def take():
    kept = bytes(5000)
    together.wait()
    together.wait()

for _ in range({_THREADS}):
    threading.Thread(target=take).start()
together.wait()
library = ctypes.CDLL(None)
library.fdopen.restype = ctypes.c_void_p
stream = ctypes.c_void_p(library.fdopen(1, b"w"))
library.malloc_info(0, stream)
library.fflush(stream)
together.wait()
"""
"""Threads that have all taken memory, and what the library says of where it came from."""


def _arenas(*arguments: str) -> int:
    done = subprocess.run([sys.executable, "-c", _COUNT, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.count("<heap nr")


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has arenas")
def test_threads_share_what_they_have_freed_but_not_with_the_event_loop() -> None:
    assert _arenas() == _THREADS + 1
    assert _arenas("share") == 2
