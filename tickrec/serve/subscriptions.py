"""Subscriptions: which instruments a client wants in which mode, as its requests say, within the caps.

Owns the reading of requests. There is no answer to one but data: what is too much or makes no sense is ignored without
a word (observed 2026-09).
"""

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

from tickrec.upstox.limits import KEY_CAPS

SEGMENTS: Final = (
    "NSE_EQ",
    "NSE_FO",
    "NSE_INDEX",
    "NSE_COM",
    "NCD_FO",
    "BSE_EQ",
    "BSE_FO",
    "BSE_INDEX",
    "BCD_FO",
    "MCX_FO",
    "MCX_INDEX",
)
"""The eleven segments of market_info (observed 2026-09)."""
EXCHANGES: Final = {
    "NSCOM": "NSE_COM",
    "CDS": "NCD_FO",
    "NFO": "NSE_FO",
    "BSE": "BSE_EQ",
    "BCD": "BCD_FO",
    "BFO": "BSE_FO",
    "NSE": "NSE_EQ",
    "MCX": "MCX_FO",
}
"""The exchange names of the status and timings endpoints, with a segment of each."""
_KNOWN: Final = frozenset((*SEGMENTS, "GLOBAL_INDEX", "GLOBAL_INDICATOR"))
NO_CAPS: Final[Mapping[str, tuple[int, int]]] = dict.fromkeys(KEY_CAPS, (10_000, 10_000))
"""Where nobody counts what a plan allows; a bound all the same."""
NORMAL_CAPS: Final[Mapping[str, tuple[int, int]]] = {**KEY_CAPS, "full_d30": (0, 0)}
"""Of an account without Plus, where full_d30 stays silent."""


class Asked(NamedTuple):
    """What a request asks for: keys to show at once, and keys whose mode changed."""

    snapshot: list[str]
    changed: list[str]


class Subscriptions:
    """Keys and their modes on one connection. The last request for a key decides its mode."""

    def __init__(self, caps: Mapping[str, tuple[int, int]]) -> None:
        """`caps`: the most keys of each mode when it is the only one, and when several are mixed."""
        self.modes: dict[str, str] = {}
        self._caps = caps
        self._counts = dict.fromkeys(caps, 0)

    def take(self, message: bytes) -> Asked:
        """Apply one request of the client."""
        method, mode, keys = _parse(message)
        match method:
            case "unsub":
                for key in keys:
                    self._remove(key)
            case "sub":
                return Asked([key for key in dict.fromkeys(keys) if self._put(key, mode or "ltpc")], [])
            case "change_mode":
                known = [key for key in keys if key in self.modes]
                return Asked([], [key for key in known if self._put(key, mode)])
        return Asked([], [])

    def _put(self, key: str, mode: str) -> bool:
        """Subscribe a key in a mode; False when it is not accepted."""
        if mode not in self._caps or not _well_formed(key):
            return False
        before = self.modes.get(key)
        if before == mode:
            return True
        others = {other: count - (other == before) for other, count in self._counts.items() if other != mode}
        if self._counts[mode] >= self._caps[mode][any(others.values())]:
            return False
        if before:
            self._counts[before] -= 1
        self.modes[key] = mode
        self._counts[mode] += 1
        return True

    def _remove(self, key: str) -> None:
        mode = self.modes.pop(key, None)
        if mode:
            self._counts[mode] -= 1


def _parse(message: bytes) -> tuple[str, str, list[str]]:
    """Method, mode and keys of a request; an empty method for what makes no sense."""
    try:
        request = json.loads(message)
    except (ValueError, RecursionError):
        return "", "", []
    data = request.get("data") if isinstance(request, Mapping) else None
    keys = data.get("instrumentKeys") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(keys, list):
        return "", "", []
    return str(request.get("method", "")), str(data.get("mode") or ""), [key for key in keys if isinstance(key, str)]


def _well_formed(key: str) -> bool:
    segment, _, name = key.partition("|")
    return segment in _KNOWN and bool(name)
