"""Protocol: what to ask of the broker's market data feed, within which limits, and what its failures mean.

Owns the desired subscriptions of a connection and who has not answered, the key caps, and the verdict on everything
that can go wrong. Opens no socket and reads no clock: it is told what happened and when, and says what to do.
"""

import itertools
import json
import socket
import ssl
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, TypeVar

from tickrec.clock import SECOND
from tickrec.errors import UsageError
from tickrec.formatting import grouped
from tickrec.upstox.limits import CONNECTIONS, KEY_CAPS, PLUS_MODES

T = TypeVar("T")

BATCH: Final = 50
"""Keys in one subscribe message, unless configured."""
ANSWER_NS: Final = 2 * SECOND
"""A key is answered within this time, or asked for again; and once more this long, or it is named as silent."""
MOST_ASKED: Final = 2
"""How often a key is asked for on a connection."""


class Wanted(NamedTuple):
    """An instrument to subscribe to."""

    instrument_key: str
    symbol: str
    mode: str
    followed: bool = False
    """Asked for because the money moved to it."""


def named(wanted: Iterable[Wanted]) -> dict[str, object]:
    """What a note in the journal says of instruments."""
    wanted = tuple(wanted)
    return {"keys": [[each.instrument_key, each.symbol, each.mode] for each in wanted], **followed(wanted)}


def followed(wanted: Iterable[Wanted]) -> dict[str, list[str]]:
    """What an entry adds about those that follow the money; nothing where none does."""
    keys = [each.instrument_key for each in wanted if each.followed]
    return {"followed": keys} if keys else {}


class Request(NamedTuple):
    """A subscribe message and what it asks for."""

    payload: bytes
    """Goes out as a binary frame: the broker accepts a text frame without a word and sends no data."""
    wanted: tuple[Wanted, ...]


def subscribe(wanted: Sequence[Wanted]) -> Request:
    """The message that subscribes `wanted`, all in one mode; its guid is fresh, and the broker never repeats it."""
    keys = [each.instrument_key for each in wanted]
    message = {"guid": uuid.uuid4().hex, "method": "sub", "data": {"mode": wanted[0].mode, "instrumentKeys": keys}}
    return Request(json.dumps(message, separators=(",", ":")).encode(), tuple(wanted))


@dataclass(slots=True)
class _Round:
    """Keys that are asked for together."""

    open: dict[str, None]
    """Those that have not been answered."""
    asked: int = 0
    """How often they have been asked for."""
    deadline_ns: int = 0
    """Monotonic time by which they should have been answered; at once as long as they have not been asked for."""


class Subscription:
    """The instruments wanted on one connection, all in one mode, and which of them the broker has not answered yet.

    There is no acknowledgement: the only answer to a subscription is data (docs: v3/get-market-data-feed).
    """

    def __init__(self, wanted: Iterable[Wanted], *, batch_size: int = BATCH) -> None:
        self._wanted = {each.instrument_key: each for each in wanted}
        self._batch_size = batch_size
        self._silent: dict[str, None] = {}
        self._rounds: list[_Round] = []
        self._asking: list[_Round] = []
        """Those that the requests returned last ask for."""
        self.begin()

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """The instruments, in the order wanted."""
        return tuple(self._wanted.values())

    @property
    def count(self) -> int:
        """How many they are."""
        return len(self._wanted)

    @property
    def answered(self) -> int:
        """How many keys have been answered on the current connection."""
        return len(self._wanted) - len(self.unanswered)

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Keys without an answer on the current connection."""
        return tuple(key for each in self._rounds for key in each.open)

    @property
    def complete(self) -> bool:
        """Whether every key has been answered."""
        return not self._rounds

    @property
    def silent(self) -> tuple[str, ...]:
        """Keys named as silent that have not answered since, on any connection."""
        return tuple(self._silent)

    @property
    def deadline_ns(self) -> int | None:
        """Monotonic time at which `due` or `name_silent` has something to say; None: never."""
        return min((each.deadline_ns for each in self._rounds if each.asked <= MOST_ASKED), default=None)

    def begin(self) -> None:
        """A new connection: everything is to be asked for, and earlier answers are forgotten."""
        self._rounds = [_Round(dict.fromkeys(self._wanted))] if self._wanted else []

    def add(self, wanted: Iterable[Wanted]) -> None:
        """Want more instruments, at least one, that were not wanted yet."""
        new = {each.instrument_key: each for each in wanted}
        self._wanted |= new
        self._rounds.append(_Round(dict.fromkeys(new)))

    def due(self, now_ns: int) -> list[Request]:
        """The messages to send now: for keys not asked for yet, in the order wanted, and once again for those that
        were not answered in time."""
        self._asking = [each for each in self._rounds if each.asked < MOST_ASKED and now_ns >= each.deadline_ns]
        return self._batches(self._wanted[key] for each in self._asking for key in each.open)

    def asked(self, now_ns: int) -> None:
        """The last message returned by `due` has been sent."""
        for each in self._asking:
            each.asked, each.deadline_ns = each.asked + 1, now_ns + ANSWER_NS

    def serve(self, keys: Iterable[str]) -> None:
        """Data has come for these keys."""
        for key in keys:
            self._silent.pop(key, None)
            for each in self._rounds:
                each.open.pop(key, None)
        self._rounds = [each for each in self._rounds if each.open]

    def name_silent(self, now_ns: int) -> list[str]:
        """The keys that have been asked for twice in vain, once."""
        named = [each for each in self._rounds if each.asked == MOST_ASKED and now_ns >= each.deadline_ns]
        for each in named:
            each.asked += 1
            self._silent |= each.open
        return [key for each in named for key in each.open]

    def repeats(self, keys: Iterable[str]) -> list[Request]:
        """The messages that ask once more for those of the keys that are wanted here; no answer is waited for."""
        return self._batches(self._wanted[key] for key in keys if key in self._wanted)

    def _batches(self, wanted: Iterable[Wanted]) -> list[Request]:
        everything, size = list(wanted), self._batch_size
        return [subscribe(everything[start : start + size]) for start in range(0, len(everything), size)]


def cap_of(plan: str, mode: str) -> int:
    """Keys that one connection may hold in a mode. Raises UsageError for what the plan does not offer."""
    if plan not in CONNECTIONS:
        raise UsageError(f"unknown plan {plan}", hint=f"Plans: {', '.join(CONNECTIONS)}")
    if mode not in KEY_CAPS:
        raise UsageError(f"unknown mode {mode}", hint=f"Modes: {', '.join(KEY_CAPS)}")
    if mode in PLUS_MODES and plan != "plus":
        raise UsageError(
            f"mode {mode} needs an Upstox Plus plan; with plan {plan} the broker sends no data and no error",
            hint='Use mode full, or set plan = "plus" in [upstox]',
        )
    return KEY_CAPS[mode][0]


def spread(wanted: Sequence[T], plan: str, mode: str, connections: int | None = None) -> tuple[tuple[T, ...], ...]:
    """Deal instruments out to connections: in order, evenly, and none empty.

    `connections` is how many to use; None: as few as the caps allow. Raises UsageError with the numbers when they do
    not fit.
    """
    cap, allowed = cap_of(plan, mode), CONNECTIONS[plan]
    if connections is not None and not 1 <= connections <= allowed:
        raise UsageError(f"connections = {connections}, but plan {plan} allows 1 to {allowed}")
    needed = -(-len(wanted) // cap)
    if needed > (connections or allowed):
        raise _too_many(len(wanted), needed, cap, plan, mode, connections)
    count = min(connections or needed, len(wanted))
    cuts = [len(wanted) * number // count for number in range(count + 1)] if count else [0]
    return tuple(tuple(wanted[start:end]) for start, end in itertools.pairwise(cuts))


def _too_many(keys: int, needed: int, cap: int, plan: str, mode: str, connections: int | None) -> UsageError:
    """The error for keys that do not fit, with every number that it takes to decide what to drop."""
    allowed = CONNECTIONS[plan]
    limit = (connections or allowed) * cap
    by = f"`connections = {connections}`" if connections else f"plan {plan} with its {allowed} connections"
    needs = f"{needed} connections of {grouped(cap)}" if needed > 1 else f"a connection of {grouped(cap)}"
    more = f", or allow {needed}" if needed <= allowed else ""
    if not more and plan != "plus" and needed <= CONNECTIONS["plus"]:
        more = f", or use an Upstox Plus plan, which has {CONNECTIONS['plus']} connections"
    return UsageError(
        f"{grouped(keys)} instruments in mode {mode} need {needs}; {by} allows {grouped(limit)}",
        hint=f"Drop {grouped(keys - limit)}{more}",
    )


class Verdict(Enum):
    """What to do about a failure."""

    RETRY = "try again after the backoff"
    REREAD_TOKEN = "read the token sources again, and try again"
    GIVE_UP = "end the run"


class Situation(Enum):
    """Everything that can go wrong with a connection. The value is what users read."""

    TOKEN_REFUSED = "the access token was refused"
    TOKEN_REFUSED_TWICE = "the access token was refused twice"
    # A used, wrong or expired code gives 403, and so did a wave of refusals of good tokens (September 2026).
    FORBIDDEN = "forbidden"
    TOO_MANY_REQUESTS = "too many requests"
    BROKER_ERROR = "the broker has a problem"
    # 400, 404, 405, 410: perhaps a deployment at the broker's. The recorder outlives it.
    REFUSED_REQUEST = "the request was refused"
    REDIRECTED = "redirected to another address"
    BAD_ANSWER = "the broker's answer makes no sense"
    BAD_URI = "the broker gave an address that is not safe to use"
    NO_WEBSOCKET = "no websocket at the other end"
    DNS = "the host name could not be resolved"
    # Hostname mismatches went away by themselves (observed 2026-09). Verification is never relaxed.
    TLS = "no trusted TLS connection"
    TIMEOUT = "timed out"
    REFUSED = "connection refused"
    RESET = "connection reset"
    UNREACHABLE = "network unreachable"
    PROXY = "the proxy failed"
    # The broker documents no close codes, so none of them is final, not even 1000.
    CLOSED = "closed by the broker"
    CLOSED_AT_ONCE = "closed by the broker before any data came"
    DROPPED = "connection dropped without a goodbye"
    NO_PONG = "no answer to pings"
    TOO_BIG = "a message above the size limit"
    GARBLED = "not the websocket protocol any more"
    MUTE = "connected, but no data"
    UNEXPECTED = "an unexpected error"


_VERDICTS: Final[Mapping[Situation, Verdict]] = {
    Situation.TOKEN_REFUSED: Verdict.REREAD_TOKEN,
    Situation.TOKEN_REFUSED_TWICE: Verdict.GIVE_UP,
}
"""Of what is not simply tried again."""


class Failure(NamedTuple):
    """Something that went wrong, in one attempt or with an open connection."""

    situation: Situation
    stage: str = ""
    """authorize, handshake, or empty for an open connection."""
    status: int | None = None
    """HTTP status of a refusal."""
    code: int | None = None
    """Close code of an open connection; 1006 when there was no close frame."""
    detail: str = ""
    what: str = ""
    """Words that say it better than the situation's."""

    @property
    def reason(self) -> str:
        """One line for users, such as `403 on handshake`; holds no secret unless `detail` does."""
        what = str(self.status) if self.status else self.what or self.situation.value
        where = f" on {self.stage}" if self.stage else ""
        code = f" ({self.code})" if self.code not in (None, 1006) else ""
        return f"{what}{where}{code}" + (f": {self.detail}" if self.detail else "")


def classify(failure: Failure) -> Verdict:
    """What to do about a failure. Nearly all may be gone with the next attempt, which is authorized afresh."""
    return _VERDICTS.get(failure.situation, Verdict.RETRY)


def of_status(status: int) -> Situation:
    """The situation that an HTTP status other than success stands for."""
    match status:
        case 401:
            return Situation.TOKEN_REFUSED
        case 403:
            return Situation.FORBIDDEN
        case 429:
            return Situation.TOO_MANY_REQUESTS
        case 407:
            return Situation.PROXY
    if status >= 500:
        return Situation.BROKER_ERROR
    if status >= 400:
        return Situation.REFUSED_REQUEST
    return Situation.REDIRECTED if status >= 300 else Situation.NO_WEBSOCKET


def of_os_error(error: OSError) -> Situation:
    """The situation that an error of the network stands for."""
    match error:
        case socket.gaierror():
            return Situation.DNS
        case ssl.SSLEOFError():
            return Situation.RESET
        case ssl.SSLError():
            return Situation.TLS
        case TimeoutError():
            return Situation.TIMEOUT
        case ConnectionRefusedError():
            return Situation.REFUSED
        case ConnectionError():
            return Situation.RESET
    return Situation.UNREACHABLE


def explain(error: OSError) -> str:
    """What an error of the network adds to its situation; empty where the situation says it all."""
    match of_os_error(error):
        case Situation.TLS:
            return str(getattr(error, "verify_message", "") or getattr(error, "reason", "") or "")
        case Situation.DNS | Situation.UNREACHABLE:
            return error.strerror or str(error)
    return ""


def of_close(received: int | None, sent: int | None, *, reset: bool, had_data: bool, detail: str = "") -> Failure:
    """The failure that the end of a connection stands for.

    `received` and `sent` are the close codes of either side, None without a close frame; `reset` says that the network
    reported an error; `had_data` that a snapshot or tick had come.
    """
    if received is not None:
        situation = Situation.CLOSED if had_data else Situation.CLOSED_AT_ONCE
        return Failure(situation, code=received, detail=detail)
    by_us = {1011: Situation.NO_PONG, 1009: Situation.TOO_BIG, 1002: Situation.GARBLED, 1007: Situation.GARBLED}
    if sent in by_us:
        return Failure(by_us[sent], code=1006, detail=detail)
    if not had_data:
        return Failure(Situation.CLOSED_AT_ONCE, code=1006, detail=detail)
    return Failure(Situation.RESET if reset else Situation.DROPPED, code=1006, detail=detail)
