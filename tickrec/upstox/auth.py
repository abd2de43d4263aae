"""Auth: where the access token comes from, what can be read from it, and keeping it out of sight.

Owns the token's sources (environment, file, command), their order, the file's permissions, and the one token that all
connections of a feed share. The token is never verified here, and need not be a JWT: only the broker's answer counts.
"""

import asyncio
import base64
import binascii
import json
import logging
import os
import re
import stat
import subprocess
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from tickrec.clock import SECOND, ist
from tickrec.errors import TokenError, to_run
from tickrec.files import publish
from tickrec.upstox.token_text import token_in
from tickrec.values import decoded

log = logging.getLogger("tickrec")

T = TypeVar("T")

VARIABLE: Final = "UPSTOX_ACCESS_TOKEN"
COMMAND_SECONDS: Final = 30.0
"""A token_command that takes longer is killed."""
REDACTED: Final = "[token]"


def token_hint() -> str:
    """What to do about a token that is missing or refused."""
    return f"Run {to_run('login')}, or set {VARIABLE}"


class Token:
    """An access token. Its value never shows in text: not in repr, str, format or a traceback's variables."""

    __slots__ = ("_value", "expires_ns", "plus")

    expires_ns: int | None
    """Wall time at which it expires, as the token itself says; None: it does not say."""
    plus: bool | None
    """Whether the account has Upstox Plus, as the token itself says; None: it does not say."""

    def __init__(self, value: str) -> None:
        claims = _claims(value)
        self._value = value
        self.expires_ns = _expiry(claims.get("exp"))
        self.plus = claims["isPlusPlan"] if isinstance(claims.get("isPlusPlan"), bool) else None

    def reveal(self) -> str:
        """The token itself, for the broker and for the token file only."""
        return self._value

    def redact(self, text: str) -> str:
        """`text` without the token, for messages that others wrote."""
        return text.replace(self._value, REDACTED)

    def expired(self, now_ns: int) -> bool:
        """Whether the token says that it has expired at wall time `now_ns`."""
        return self.expires_ns is not None and now_ns >= self.expires_ns

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        expiry = f", expires {ist(self.expires_ns):%Y-%m-%d %H:%M}" if self.expires_ns is not None else ""
        return f"Token(***{expiry})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce__(self) -> Any:
        raise TypeError("a token is not to be copied into files or other processes")


def parse_token(text: str, where: str) -> Token:
    """The token in `text`, which comes from `where`. Raises TokenError, which does not quote it."""
    value = token_in(text)
    if not value:
        raise TokenError("the access token is empty", where=where, hint=token_hint())
    if "://" in value:
        raise TokenError("that is an address, and no access token", where=where, hint=token_hint())
    if not re.fullmatch(r"[\x21\x23-\x26\x28-\x5f\x61-\x7a|~]+", value):
        what = "the access token must be one word of plain characters, without spaces, quotes or line breaks"
        raise TokenError(what, where=where, hint=token_hint())
    return Token(value)


def expired_error(token: Token, now_ns: int) -> TokenError:
    """The error for a token that has expired, saying when."""
    assert token.expires_ns is not None
    moment, today = ist(token.expires_ns), ist(now_ns).date()
    day = "today" if moment.date() == today else f"on {moment:%a %d %b %Y}"
    return TokenError(f"the token expired at {moment:%H:%M} {day}", hint=token_hint())


def check_expiry(token: Token, now_ns: int) -> None:
    """Raise TokenError if the token says that it has expired at wall time `now_ns`."""
    if token.expired(now_ns):
        raise expired_error(token, now_ns)


class TokenSettings(Protocol):
    """The part of the [upstox] configuration that says where the token is."""

    @property
    def token_file(self) -> Path:
        """A file that holds the token and nothing else."""

    @property
    def token_command(self) -> str | None:
        """A shell command that prints the token."""


class TokenSource:
    """The places a token may come from: the environment, then the token file, then the token command."""

    def __init__(
        self, settings: TokenSettings, environ: Mapping[str, str], *, command_seconds: float = COMMAND_SECONDS
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._command_seconds = command_seconds
        self.last: Token | None = None
        """What was read last."""

    def read(self) -> Token:
        """Read the first source that has a token, anew each time; may block as long as the command takes.

        Raises TokenError if there is none, or if the source that is there cannot be used.
        """
        self.last = self._read()
        return self.last

    def try_read(self) -> Token | TokenError:
        """What `read` gives or raises."""
        try:
            return self.read()
        except TokenError as error:
            return error

    def _read(self) -> Token:
        if value := self._environ.get(VARIABLE, "").strip():
            return parse_token(value, VARIABLE)
        file, command = self._settings.token_file, self._settings.token_command
        if (content := _read_private(file)) is not None:
            return parse_token(content, str(file))
        if command is not None:
            return parse_token(_run(command, self._command_seconds), "token_command")
        raise TokenError(f"no access token: {VARIABLE} is not set and {file} does not exist", hint=token_hint())


def store_token(path: Path, token: Token) -> None:
    """Write the token to its file, whole or not at all, readable by the owner only. Raises TokenError."""

    def write(temp: Path) -> None:
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as file:
            file.write(token.reveal() + "\n")

    try:
        publish(path, write)
    except OSError as error:
        hint = "Set token_file, HOME or XDG_CONFIG_HOME so that it names a folder that you may write to"
        raise TokenError(f"the token could not be stored: {error.strerror}", where=str(path), hint=hint) from None


def _read_private(path: Path) -> str | None:
    """The content of a file that nobody but its owner can read; None: there is no such file."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            # Windows has no such bits: there the user's profile folder keeps others out.
            if os.name != "nt" and mode & 0o077:
                what = "the token file can be read by others"
                raise TokenError(what, where=f"{path}, mode {mode:o}", hint=f"Run: chmod 600 '{path}'")
            return decoded(file.read(64 * 1024), "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TokenError(
            f"the token file cannot be read: {error.strerror}", where=str(path), hint=token_hint()
        ) from None


def _run(command: str, seconds: float) -> str:
    """What the command prints. Its stderr may repeat the token, so it is not shown."""
    hint = "Run the command by hand to see why"
    child = subprocess.Popen(
        command, shell=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        out, _ = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        what = f"token_command did not end within {seconds:g} s"
        raise TokenError(what, hint=hint) from None
    finally:
        _abandon(child)
    if child.returncode:
        raise TokenError(f"token_command ended with exit code {child.returncode}", hint=hint)
    return decoded(out, "replace")


def _abandon(child: subprocess.Popen[bytes]) -> None:
    """Leave no process behind, and do not wait for one that it may have started and that holds the pipe."""
    if child.poll() is None:
        child.kill()
        child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _claims(value: str) -> dict[str, Any]:
    """What a JWT says of itself, unverified; nothing for any other text."""
    parts = value.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _expiry(seconds: object) -> int | None:
    """The `exp` claim, seconds since the epoch, in nanoseconds; None unless it is plausible."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < 2**33:
        return None
    return int(seconds * SECOND)


async def in_thread(call: Callable[[], T]) -> T:
    """The result of a blocking call, made in a thread of its own.

    Unlike with asyncio.to_thread, a call that hangs (a name server, a password prompt) does not keep the process from
    ending.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  raised again where the result is awaited
            future.set_exception(error)

    threading.Thread(target=work, name="tickrec-blocking", daemon=True).start()
    return await asyncio.wrap_future(future)


class Access:
    """The access token, read when it is first needed, and again when the broker refuses it."""

    def __init__(self, source: TokenSource) -> None:
        self.current: Token | None = None
        """The token last read; None if none has been needed yet."""
        self._source = source
        self._lock = asyncio.Lock()

    async def token(self) -> Token:
        """The token. Raises TokenError if the sources have none."""
        async with self._lock:
            if self.current is None:
                self.current = await in_thread(self._source.read)
            return self.current

    async def token_after(self, refused: Token) -> Token:
        """The token to use now that `refused` was; the sources are read again, unless somebody just did.

        A source that cannot be read this time changes nothing: the token may be in the middle of being replaced.
        """
        async with self._lock:
            if self.current is None or self.current == refused:
                try:
                    self.current = await in_thread(self._source.read)
                except TokenError as error:
                    log.warning("the token could not be read again: %s", error)
            return self.current or refused
