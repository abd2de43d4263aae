"""Faults: what goes wrong on demand, when, and for how long.

Owns the notation (`drop@30`, `close:1011`, `refuse:20`), the injection of a fault, and the faults that last, which
`server`, `endpoints` and `stream` ask about. What strikes open websockets at once is carried out by `stream`.
"""

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tickrec.clock import SECOND
from tickrec.errors import UsageError

KINDS: Final = {
    "drop": "reset every connection; drop:midframe in the middle of a frame",
    "close": "close every connection; close:1011 with that code",
    "stall": "open connections send nothing but pongs for 30 s; stall:N for N s",
    "mute": "market_info only, for 30 s; mute:N for N s",
    "refuse": "handshakes get 403 for 30 s while authorize says 200; refuse:N for N s",
    "unauthorized": "401 until a new token is set; unauthorized:N for N s",
    "error": "REST answers 500 for 10 s; error:429 another status, error:503/N for N s",
    "garbage": "one message that cannot be decoded; garbage:text a text message",
    "oversize": "a frame of 2 MiB; oversize:N of at least N bytes",
    "partial": "feeds without a book, then without a last price, for 30 s; partial:N for N s",
    "late": "the server's times are up to a second old and out of order, for 30 s; late:N for N s",
    "silent": "silent:KEY is never answered; silent alone ends that",
    "stale": "stale:KEY ticks no more, though it is answered; stale alone ends that",
    "snapshot": "every connection gets its snapshot again",
    "token": "token:VALUE becomes the only accepted token",
}
"""Every kind of fault and what its notation means."""

_WIDTH: Final = 78
"""Of the help."""
_WITH_NUMBER: Final = ("stall", "mute", "refuse", "unauthorized", "oversize", "partial", "late")
_WORDS: Final = {"drop": ("", "midframe"), "garbage": ("", "text"), "snapshot": ("",)}
_CLOSE_CODES: Final = frozenset((*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)))
_LONGEST: Final = 10**8
"""Three years in seconds; a frame of a hundred megabytes."""


def describe() -> str:
    """The kinds and the notation, for `--help`; the first line keeps the others as they are."""
    width = max(map(len, KINDS))
    lines = [line for kind, meaning in KINDS.items() for line in _entry(kind, meaning, width)]
    return "\n".join(
        [
            "\b",
            "Faults: --fault KIND[:ARG][@SECONDS], such as --fault drop@30 --fault close:1011@60,",
            "SECONDS after the first websocket was opened, or from the start on. While it",
            'serves, POST /simulator/fault takes the same as {"kind": "close", "arg": "1011"}.',
            *lines,
        ]
    )


def _entry(kind: str, meaning: str, width: int) -> list[str]:
    """A kind and what it means, beside each other."""
    first, *rest = textwrap.wrap(meaning, _WIDTH - width - 4)
    return [f"  {kind:<{width}}  {first}", *(f"{'':<{width + 4}}{line}" for line in rest)]


class Fault(NamedTuple):
    """One fault: its kind, an argument, and its seconds after the first websocket was opened; 0: from the start on."""

    kind: str
    arg: str = ""
    at: float = 0.0


def parse_fault(text: str) -> Fault:
    """Read `kind[:arg][@seconds]`, such as drop@30, close:1011@5 or silent:NSE_EQ|INE002A01018.

    Raises UsageError for an unknown kind or a bad number.
    """
    what, _, seconds = text.rpartition("@") if "@" in text else (text, "", "0")
    kind, _, arg = what.partition(":")
    try:
        fault = Fault(kind, arg, float(seconds))
        check(fault)
    except ValueError as error:
        raise UsageError(f"the fault {text} cannot be read: {error}", hint="Kinds: " + ", ".join(KINDS)) from None
    return fault


def fault_from_json(facts: Mapping[str, object]) -> Fault:
    """Read {"kind": ..., "arg": ...}; raises ValueError."""
    fault = Fault(str(facts.get("kind", "")), str(facts.get("arg", "")))
    check(fault)
    return fault


def check(fault: Fault) -> None:
    """Raise ValueError when a fault's kind is unknown or its argument is of the wrong sort."""
    if fault.kind not in KINDS:
        raise ValueError(f"no such kind as {fault.kind!r}")
    if not 0 <= fault.at <= _LONGEST:
        raise ValueError(f"it strikes from 0 to {_LONGEST} seconds after the first websocket")
    if fault.kind in _WITH_NUMBER and fault.arg:
        _number(fault.arg)
    if fault.kind == "close" and fault.arg and int(fault.arg) not in _CLOSE_CODES:
        raise ValueError(f"{fault.arg} is no code that a close frame can carry")
    if fault.arg not in _WORDS.get(fault.kind, (fault.arg,)):
        raise ValueError(f"it takes nothing like {fault.arg!r}")
    if fault.kind == "error":
        _status_and_seconds(fault.arg)
    if fault.kind == "token" and not fault.arg:
        raise ValueError("it needs the new token")


@dataclass(slots=True)
class Lasting:
    """The faults that last for a while; times are monotonic ns."""

    silent: set[str] = field(default_factory=set)
    """Keys that are never answered."""
    stale: set[str] = field(default_factory=set)
    """Keys that do not tick."""
    _until: dict[str, int] = field(default_factory=dict)
    """When each of the others ends."""
    _status: int = 500

    def inject(self, fault: Fault, now: int, at_once: Callable[[Fault], None]) -> None:
        """Let something go wrong now: what lasts begins, anything else is handed to `at_once`."""
        match fault.kind:
            case "mute" | "partial" | "late" | "refuse":
                self._begin(fault.kind, _number(fault.arg or "30"), now)
            case "unauthorized":
                self._begin(fault.kind, _number(fault.arg) if fault.arg else _LONGEST, now)
            case "error":
                self._status, seconds = _status_and_seconds(fault.arg)
                self._begin(fault.kind, seconds, now)
            case "silent" | "stale":
                keys = self.silent if fault.kind == "silent" else self.stale
                if fault.arg:
                    keys.add(fault.arg)
                else:
                    keys.clear()
            case _:
                at_once(fault)

    def _begin(self, kind: str, seconds: float, now: int) -> None:
        self._until[kind] = now + int(seconds * SECOND)

    def forgive(self) -> None:
        """A new token was set: nobody is unauthorized any longer."""
        self._until.pop("unauthorized", None)

    def holds(self, kind: str, now: int) -> bool:
        """Whether a fault of a kind lasts."""
        return now < self._until.get(kind, 0)

    def error(self, now: int) -> int:
        """The HTTP status that every REST call gets, or 0."""
        return self._status if self.holds("error", now) else 0


def _number(text: str) -> float:
    """Seconds or bytes. Raises ValueError for what is no number from 0 to _LONGEST."""
    if not 0 <= (number := float(text)) <= _LONGEST:
        raise ValueError(f"{text} is not from 0 to {_LONGEST}")
    return number


def _status_and_seconds(arg: str) -> tuple[int, float]:
    status, _, seconds = arg.partition("/")
    number = int(status or 500)
    if not 400 <= number <= 599:
        raise ValueError(f"{number} is no HTTP error")
    return number, _number(seconds or "10")
