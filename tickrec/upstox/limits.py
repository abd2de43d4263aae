"""Limits: what the broker and each of its plans allow: how many requests, connections and keys, and which modes."""

from collections.abc import Mapping
from typing import Final, NamedTuple

CONNECTIONS: Final[Mapping[str, int]] = {"normal": 2, "plus": 5}
"""Websockets a user may hold, per plan (docs: v3/get-market-data-feed, 2026-09)."""
RATES: Final = ((50, 1.0), (500, 60.0), (2000, 1800.0))
"""Requests that a user may make over REST, and within how many seconds (docs: rate-limiting, 2026-02 and 2026-09)."""
KEY_CAPS: Final[Mapping[str, tuple[int, int]]] = {
    "ltpc": (5000, 2000),
    "option_greeks": (3000, 2000),
    "full": (2000, 1500),
    "full_d30": (50, 1500),
}
"""Keys per connection in each mode: when it is the only mode, and when several are mixed (docs as above). A key
beyond the cap gets no data, no error and no close (observed 2026-09)."""
PLUS_MODES: Final = ("full_d30",)
"""Modes that stay silent without an Upstox Plus plan (observed 2026-09)."""


class Limits(NamedTuple):
    """What a feed of one mode may have."""

    keys: int
    """Instruments a connection."""
    connections: int


NO_LIMITS_KNOWN: Final = Limits(0, 0)
"""Nothing may be added."""
