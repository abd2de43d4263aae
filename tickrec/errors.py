"""Errors: what can go wrong for a user, and the exit code each of it ends with.

Owns the error tree, and how a command that helps is written. Every error says what happened, where, and what to do
about it; a class exists only because somebody handles it differently.

    TickrecError
    +-- UsageError          wrong option, config, symbol or SQL
    +-- NothingToRecord     the exchange is closed, or nothing is scheduled
    +-- TokenError          missing, expired or refused
    +-- DataError           stored data is incomplete, damaged or stale
    +-- StorageError        the journal cannot be written
    +-- AlreadyRecording    another process holds the lock
    +-- BrokerUnreachable   no connection in the whole session
"""

import os
import shlex
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Final


class ExitCode(IntEnum):
    """The exit codes of every command."""

    DONE = 0
    """Finished as planned or stopped by a signal."""
    INTERNAL = 1
    """A bug in tickrec."""
    USAGE = 2
    """Options, configuration or SQL that cannot be accepted."""
    NOTHING = 3
    """Nothing to record: the exchange is closed today."""
    TOKEN = 4
    """The token is missing, expired or refused."""
    DATA = 5
    """Data incomplete or stale, or a verification failed."""
    STORAGE = 6
    """The journal could not be written."""
    LOCKED = 7
    """Already recording, or that date is being recorded."""
    UNREACHABLE = 8
    """The broker could not be reached for the whole session."""


class TickrecError(Exception):
    """An error meant for the user: one line for what, one for what to do.

    `what` is a sentence without a final full stop, `where` a file, offset, key or address, `hint` the next step.
    """

    code = ExitCode.INTERNAL

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    @property
    def brief(self) -> str:
        """What and where, for a line that has its own next step."""
        return f"{self.what} ({self.where})" if self.where else self.what

    def __str__(self) -> str:
        return f"{self.brief}. {self.hint}" if self.hint else self.brief


class UsageError(TickrecError):
    """An option, a configuration key, a symbol or a statement that cannot be accepted."""

    code = ExitCode.USAGE


class NothingToRecord(TickrecError):
    """The calendar leaves nothing to record."""

    code = ExitCode.NOTHING


class TokenError(TickrecError):
    """The access token is missing, expired or refused."""

    code = ExitCode.TOKEN


class DataError(TickrecError):
    """Stored data is incomplete, damaged or stale."""

    code = ExitCode.DATA


class StorageError(TickrecError):
    """The journal cannot be written; everything written before is safe."""

    code = ExitCode.STORAGE


class AlreadyRecording(TickrecError):
    """Another process records into this store, or works on this date."""

    code = ExitCode.LOCKED


class BrokerUnreachable(TickrecError):
    """No connection to the broker could be made in the whole session."""

    code = ExitCode.UNREACHABLE


_CONFIG_OPTION: Final = "TICKREC_CONFIG_OPTION"
_STORE_OPTIONS: Final = "TICKREC_STORE_OPTIONS"
"""Variables with the common options of this command; children inherit them, as what they say is shown here."""
_WITHOUT_STORE: Final = ("login", "simulate")
"""Commands that do not concern a store."""


def set_options(*, config: Path | None, data: Path | None, simulate: bool) -> None:
    """Remember the common options of this command, for what `to_run` names from now on, in children too."""
    store = f" --data {shlex.quote(str(data))}" if data else ""
    os.environ[_CONFIG_OPTION] = f" --config {shlex.quote(str(config))}" if config else ""
    os.environ[_STORE_OPTIONS] = store + (" --simulate" if simulate else "")


def options_given(*, store: bool = True) -> str:
    """The common options as this command was given them, with a space before each; without those about the store."""
    return os.environ.get(_CONFIG_OPTION, "") + (os.environ.get(_STORE_OPTIONS, "") if store else "")


def to_run(command: str, *arguments: object) -> str:
    """A command of tickrec for the user to run, about the same store: "`tickrec seal 2026-11-23 --data x`"."""
    return (
        f"`{' '.join(map(str, ('tickrec', command, *arguments)))}{options_given(store=command not in _WITHOUT_STORE)}`"
    )


def leaves(error: Exception) -> Iterator[Exception]:
    """The errors in a group of errors, and in the groups in it; the error itself, if it is none."""
    if isinstance(error, ExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    else:
        yield error
