"""Children: other parts of tickrec as processes of their own.

Owns how they are started: with this Python and this environment, so that they find the same tickrec and the same
libraries, and nothing of the folder the user happens to be in.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import tickrec

if TYPE_CHECKING:
    import asyncio

SECRETS: Final = ("UPSTOX_ACCESS_TOKEN", "UPSTOX_CLIENT_SECRET")
"""Variables that no child has to know."""


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module of ours with this Python, which finds it where this process found it.

    -P keeps the current folder from coming before the libraries, unless this process runs from a checkout in it.
    Nothing else is put before them: what lies beside us may have the name of a module of the standard library.
    """
    return [sys.executable, *_path_options(), "-m", module, *arguments]


def _path_options() -> list[str]:
    """The options of this Python that decide where modules are looked for."""
    in_current_folder = sys.path[:1] == [str(Path(tickrec.__file__).parents[1])] and not sys.flags.safe_path
    options = (
        ("-P", not in_current_folder),
        ("-E", sys.flags.ignore_environment),
        ("-s", sys.flags.no_user_site),
    )
    return [option for option, wanted in options if wanted]


def split_command(text: str, *, windows: bool = sys.platform == "win32") -> list[str]:
    """The program and arguments of a command line of the user's, with the quotes of the platform's shell.

    On Windows a backslash belongs to a path and quotes nothing. Raises ValueError for a quote that is not closed.
    """
    if not windows:
        return shlex.split(text)
    words = shlex.split(text, posix=False)
    return [word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'" else word for word in words]


def without_secrets() -> dict[str, str]:
    """Our environment without what only this process needs."""
    return {name: value for name, value in os.environ.items() if name not in SECRETS}


async def start(module: str, *arguments: str, asked: bool = False) -> "asyncio.subprocess.Process":
    """A child that runs, and says on stderr how it went; `asked`: over stdin and stdout it can be talked to.

    Raises OSError.
    """
    import asyncio  # takes as long to import as most commands run

    talk = asyncio.subprocess.PIPE if asked else asyncio.subprocess.DEVNULL
    # Its own process group: a Ctrl-C in the terminal is for the recorder, which then waits for its children.
    return await asyncio.create_subprocess_exec(
        *command(module, *arguments),
        env=without_secrets(),
        stdin=talk,
        stdout=talk,
        stderr=asyncio.subprocess.PIPE,
        process_group=0,
    )


async def end(process: "asyncio.subprocess.Process") -> tuple[int, str]:
    """Tell a child no more and wait until it has ended: its exit code and the last thing it said."""
    code, said = await ended(process)
    return code, said[-1] if said else ""


async def ended(process: "asyncio.subprocess.Process") -> tuple[int, list[str]]:
    """The same with all lines that it said, of which there is at least one when it failed."""
    if process.stdin is not None:
        process.stdin.close()
    _, err = await process.communicate()
    code = process.returncode or 0
    lines = err.decode("utf-8", "replace").strip().splitlines()
    return code, lines or [f"exit code {code}"] * bool(code)


def lower_priority() -> None:
    """Let everything else on the machine go first."""
    if sys.platform == "win32":
        import ctypes

        kernel = ctypes.windll.kernel32
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), 0x4000)  # BELOW_NORMAL_PRIORITY_CLASS
    else:
        os.nice(10)
