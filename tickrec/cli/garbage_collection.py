"""Garbage collection: how often a command looks for objects that only refer to each other.

To be imported before anything else: what is loaded at the start stays, and looking through it over and over is a fifth
of the time that `--help` takes. Nor is it looked through when Python ends, for a fifth of the time of a quick query.
"""

import atexit
import gc
from typing import Final

_NEW_OBJECTS: Final = 20_000
"""After so many more objects it is looked for: a megabyte or two. Python's own 700 are a lot of looking."""

gc.set_threshold(_NEW_OBJECTS)
atexit.register(gc.freeze)
