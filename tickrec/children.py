"""Children: other parts of tickrec as processes of their own.

Owns how they are started: with this Python and this environment, so that they find the same tickrec and the same
libraries, and nothing of the folder the user happens to be in.
"""

import os
import shlex
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import tickrec
from tickrec.errors import ExitCode
from tickrec.formatting import duration

if TYPE_CHECKING:
    import asyncio

    Talk = Callable[[asyncio.subprocess.Process], Awaitable[None]]
    """Talks with a child over its stdin and stdout. May raise TimeoutError."""

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


class Ended(NamedTuple):
    """What became of a child."""

    code: int
    out: bytes
    """What it answered on stdout."""
    said: list[str]
    """The lines that it said on stderr; at least one when it failed."""


async def run(module: str, *arguments: str, seconds: float, talk: "Talk | None" = None) -> Ended:
    """Run a module of ours as a child until it ends. One that takes longer than so many seconds, after what was to be
    talked with it, is killed: that and one that cannot be started are failures like others."""
    import asyncio  # takes as long to import as most commands run

    pipe = asyncio.subprocess.PIPE
    try:
        # Its own process group: a Ctrl-C in the terminal is for the recorder, which then waits for its children.
        process = await asyncio.create_subprocess_exec(
            *command(module, *arguments), env=without_secrets(), stdin=pipe, stdout=pipe, stderr=pipe, process_group=0
        )
    except OSError as error:
        return Ended(ExitCode.INTERNAL, b"", [f"it could not be started: {error.strerror or error}"])
    try:
        if talk is not None:
            await talk(process)
        async with asyncio.timeout(seconds):
            out, err = await process.communicate(b"")
    except TimeoutError:
        return Ended(ExitCode.INTERNAL, b"", [f"it took more than {duration(seconds)}"])
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    code = process.returncode or 0
    return Ended(code, out, err.decode("utf-8", "replace").strip().splitlines() or [f"exit code {code}"] * bool(code))


def lower_priority() -> None:
    """Let everything else on the machine go first."""
    if sys.platform == "win32":
        import ctypes

        kernel = ctypes.windll.kernel32
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), 0x4000)  # BELOW_NORMAL_PRIORITY_CLASS
    else:
        os.nice(10)
