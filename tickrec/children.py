"""Children: other parts of tickrec as processes of their own.

Owns how they are started, so that they find this tickrec and nothing of the folder the user happens to be in.
"""

import os
import sys
from pathlib import Path

import tickrec


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module of ours. -P keeps the current folder from coming before the libraries."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Our environment, with the place this tickrec was imported from: it may not be an installed one."""
    here = str(Path(tickrec.__file__).resolve().parents[1])
    inherited = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (here, inherited)))}
