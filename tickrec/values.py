"""Values: how the texts, numbers and addresses of the configuration and of options are written and checked.

Owns the notation ("60s", "2GB", "09:00", https addresses) and the wording of what is allowed. Knows no key and no
file: whoever asks adds those.
"""

import codecs
import datetime as dt
import difflib
import ipaddress
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tickrec.children import split_command
from tickrec.errors import UsageError

_DURATION_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SIZE_UNITS: Final = {
    **{"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12},
    **{"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40},
}
_DURATION_HELP: Final = 'must be a duration such as "250ms", "60s", "5m" or "30d"'
_SIZE_HELP: Final = 'must be a size such as "500MB" or "2GB"'
_TIME_HELP: Final = 'must be a time of day (IST) such as "09:00"'

Read = Callable[[object, Path], Any]
"""Turns a TOML value into a setting, given the folder relative paths count from; ValueError says what is allowed."""


def decoded(data: bytes, errors: str = "strict") -> str:
    """The text of a file that somebody wrote: UTF-8, or what its byte order mark says (Windows' editors set one).

    Raises UnicodeDecodeError unless `errors` says otherwise.
    """
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return data.decode("utf-16" if data.startswith(marks) else "utf-8-sig", errors)


def duration(text: str) -> dt.timedelta:
    """The length of time that "250ms", "60s", "5m", "2h" or "30d" stands for.

    Raises ValueError with what is allowed, worded to follow the name of the option.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)", text.strip())
    if match is None:
        raise ValueError(f'{_DURATION_HELP}, not "{text}"')
    try:
        return dt.timedelta(seconds=float(match[1]) * _DURATION_UNITS[match[2]])
    except OverflowError:
        raise ValueError(f'{_DURATION_HELP}; "{text}" is too long') from None


def size(text: str) -> int:
    """The bytes that "500MB" (10**6 each) or "2GiB" (2**30 each) stand for. Raises ValueError like `duration`."""
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]+)?)\s*([A-Za-z]+)", text.strip())
    unit = _SIZE_UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise ValueError(f'{_SIZE_HELP}, not "{text}"')
    return math.floor(float(match[1]) * unit)


def time_of_day(text: str) -> dt.time:
    """The IST time that "09:00" or "15:45:30" stands for. Raises ValueError like `duration`."""
    match = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?", text.strip())
    try:
        if match is None:
            raise ValueError
        return dt.time(int(match[1]), int(match[2]), int(match[3] or 0))
    except ValueError:
        raise ValueError(f'{_TIME_HELP}, not "{text}"') from None


def check_url(url: str, name: str) -> str:
    """Return `url` if a token may be sent to it: https or wss anywhere, http or ws for loopback addresses only.

    `name` is what the address is called in the error. Raises UsageError. The address is never quoted in full, because
    one from the broker holds a one-time code.
    """
    try:
        if re.search(r"[\s\\\x00-\x1f\x7f]", url):
            raise ValueError
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # a port that is no number raises
    except ValueError:
        raise UsageError(f"{name} is not a valid address", hint="Write it like https://api.upstox.com") from None
    if not host:
        raise UsageError(f"{name} names no host", hint="Write it like https://api.upstox.com")
    if "@" in parts.netloc:
        raise UsageError(f"{name} must not hold a user or password", hint="Take out the part before the @")
    if parts.scheme in ("https", "wss") or (parts.scheme in ("http", "ws") and is_loopback(host)):
        return url
    raise UsageError(
        f"{name} must be https or wss: {parts.scheme} to {host} would send secrets unprotected",
        hint="Plain http and ws are accepted for loopback addresses only",
    )


def is_loopback(host: str) -> bool:
    """Whether a host name or address never leaves this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def string(value: object, _folder: Path) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text in quotes")
    return value


def command(value: object, folder: Path) -> str:
    """A command line, quoted like a shell's."""
    text = string(value, folder)
    try:
        split_command(text)
    except ValueError as error:
        raise ValueError(f"must be a command line: {error}") from None
    return text


def flag(value: object, _folder: Path) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def selectors(value: object, folder: Path) -> tuple[str, ...]:
    """A list of selectors; the relative path of an @file counts from `folder`."""
    if not isinstance(value, list) or not all(isinstance(name, str) and name.strip() for name in value):
        raise ValueError('must be a list of selectors such as ["fno", "NIFTY:opt:10"]')
    return tuple(_anchored(name.strip(), folder) for text in value for name in text.split(",") if name.strip())


def _anchored(name: str, folder: Path) -> str:
    return f"@{folder / expanded(name[1:])}" if name.startswith("@") else name


def expanded(text: str) -> Path:
    """A path in which ~ is the home folder. Raises ValueError, worded to follow the name of what it is for."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        what = "this user has no home folder: set HOME" if text.startswith("~/") or text == "~" else "no such user"
        raise ValueError(f'cannot be "{text}": {what}') from None


def path(value: object, folder: Path) -> Path:
    """A path; a relative one counts from `folder`, and ~ is the home folder."""
    return folder / expanded(string(value, folder))


def url(value: object, folder: Path) -> str:
    """An address that `check_url` accepts."""
    try:
        return check_url(string(value, folder), "the address")
    except UsageError as error:
        raise ValueError(f"cannot be used: {error}") from None


def host_url(value: object, folder: Path) -> str:
    """An address to which paths are appended: one without a trailing slash."""
    return url(value, folder).rstrip("/")


def whole(low: int, high: int) -> Read:
    """A whole number from `low` to `high`."""

    def read(value: object, _folder: Path) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return read


def choice(*allowed: str) -> Read:
    """One of the words in `allowed`."""
    listed = ", ".join(f'"{word}"' for word in allowed)

    def read(value: object, _folder: Path) -> str:
        if value not in allowed:
            near = difflib.get_close_matches(str(value), allowed, n=1)
            meant = f'; did you mean "{near[0]}"?' if near else ""
            raise ValueError(f'must be one of {listed}, not "{value}"{meant}')
        return str(value)

    return read


def moment(value: object, _folder: Path) -> dt.time:
    """A time of day in quotes."""
    if not isinstance(value, str):
        raise ValueError(f"{_TIME_HELP}, in quotes")
    return time_of_day(value)


def amount(value: object, _folder: Path) -> int:
    """A size in quotes."""
    if not isinstance(value, str):
        raise ValueError(f"{_SIZE_HELP}, in quotes")
    return size(value)


def span(low: str, high: str) -> Read:
    """A duration in quotes from `low` to `high`."""

    def read(value: object, _folder: Path) -> dt.timedelta:
        if not isinstance(value, str):
            raise ValueError(f"{_DURATION_HELP}, in quotes")
        length = duration(value)
        if not duration(low) <= length <= duration(high):
            raise ValueError(f'must be a duration from {low} to {high}, not "{value}"')
        return length

    return read
