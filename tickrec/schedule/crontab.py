"""Crontab: the user's, read, and entries of ours put in and taken out without touching anything else.

Every line of an entry ends in a mark of the entry's own. Knows nothing of what an entry starts.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tickrec.errors import UsageError, to_run

NONE_YET: Final = re.compile(r"no crontab for|can't open .*no such file", re.IGNORECASE | re.DOTALL)
"""What `crontab -l` says when there is no crontab: Debian, cronie and macOS; busybox."""
MARK: Final = re.compile(r"# (tickrec-[0-9a-f]{8})$")
_CRON_TZ: Final = re.compile(r"\s*CRON_TZ\s*=")
_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")
_DAEMONS: Final = ("cron", "crond", "cronie", "fcron")
_SECONDS: Final = 30
_HINT: Final = "Run `crontab -e` and put the lines in by hand"


class Crontab:
    """The crontab of the user, through the program `crontab`."""

    def __init__(self, program: str = "crontab") -> None:
        self._program = program

    def read(self) -> str:
        """Its text; empty when there is none. Raises UsageError when it cannot be read."""
        done = self._run("-l")
        if done.returncode == 0:
            return _decoded(done.stdout)
        said = _decoded(done.stderr).strip()
        if NONE_YET.search(said):
            return ""
        raise UsageError(f"the crontab cannot be read: {said or f'exit code {done.returncode}'}", hint=_HINT)

    def put(self, lines: Sequence[str], mark: str) -> bool:
        """Put an entry in, in place of the one with the same mark; False when it was there already."""
        before = self.read()
        if entry(before, mark) == list(lines):
            return False
        self._write(with_entry(before, lines, mark))
        return True

    def take_out(self, mark: str) -> int:
        """Take an entry out; how many lines it had."""
        before = self.read()
        count = len(entry(before, mark))
        if count:
            self._write(without_entry(before, mark))
        return count

    def _write(self, text: str) -> None:
        """Replace the crontab, or remove it when nothing is left; checked by reading it back."""
        done = self._run("-", text) if text else self._run("-r")
        said = _decoded(done.stderr).strip()
        if done.returncode:
            raise UsageError(f"the crontab cannot be written: {said or f'exit code {done.returncode}'}", hint=_HINT)
        if self.read() != text:
            raise UsageError("the crontab is not what was written to it", hint="Look at it with `crontab -l`")

    def _run(self, option: str, text: str = "") -> subprocess.CompletedProcess[bytes]:
        command = [self._program, option]
        try:
            return subprocess.run(command, input=os.fsencode(text), capture_output=True, timeout=_SECONDS)
        except FileNotFoundError:
            hint = f"Install cron, or use the systemd timer that {to_run('schedule')} prints"
            raise UsageError("there is no crontab on this machine", hint=hint) from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UsageError(f"crontab cannot be run: {error}", hint=_HINT) from None


def entry(text: str, mark: str) -> list[str]:
    """The lines of the entry with this mark."""
    return [line.rstrip("\n") for line in _LINE.findall(text) if _mark(line) == mark]


def marks(text: str) -> list[str]:
    """The marks of all entries of ours."""
    return list(dict.fromkeys(filter(None, map(_mark, _LINE.findall(text)))))


def with_entry(text: str, lines: Sequence[str], mark: str) -> str:
    """The crontab's text with the entry, and without an older one of the same mark.

    It goes to the end, where all variables of the user's are set; but before a line that moves what follows it to
    another zone (cronie's CRON_TZ).
    """
    kept: list[str] = _LINE.findall(without_entry(text, mark))
    if kept and not kept[-1].endswith("\n"):
        kept[-1] += "\n"
    place = next((number for number, line in enumerate(kept) if _CRON_TZ.match(line)), len(kept))
    return "".join([*kept[:place], *(f"{line}\n" for line in lines), *kept[place:]])


def without_entry(text: str, mark: str) -> str:
    """The crontab's text without the lines of the entry."""
    return "".join(line for line in _LINE.findall(text) if _mark(line) != mark)


def cron_runs() -> bool | None:
    """Whether a cron daemon runs on this machine; None where that cannot be told."""
    names = [_name(process) for process in Path("/proc").glob("[0-9]*")]
    return any(name in _DAEMONS for name in names) if any(names) else None


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:  # it ended meanwhile
        return ""


def _mark(line: str) -> str | None:
    found = MARK.search(line.rstrip())
    return found[1] if found else None


def _decoded(data: bytes) -> str:
    """Text that `os.fsencode` turns back into the same bytes."""
    return os.fsdecode(data)
