"""Allocator: from where a process takes its memory, and how much of it lies idle.

To be set before Arrow is imported, and before there are threads.
"""

import os
import sys
from typing import Final

_ARROW: Final = ("ARROW_DEFAULT_MEMORY_POOL", "system")
"""Arrow's own allocator keeps 15 to 30 MB more of a flush and 100 MB more of a sealing, and is no faster for us
(measured with pyarrow 26 and glibc)."""
_ARENA_MAX: Final = -8
"""The number of that setting of glibc's mallopt."""
_ARENAS: Final = 2
"""One for the event loop, which then waits for no thread, and one for the threads."""


def choose() -> None:
    """Let Arrow use the system's; children inherit that."""
    os.environ.setdefault(*_ARROW)


def share() -> None:
    """Let the threads of this process share what they have freed, where the system's library can do that.

    Otherwise each keeps some of it: 5 to 10 MB between flushes and in one (measured with glibc).
    """
    if sys.platform == "linux":
        import ctypes

        if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):  # other libraries than glibc lack it
            mallopt(_ARENA_MAX, _ARENAS)
