"""Quote: the few fields of one feed entry that the live table shows."""

from typing import NamedTuple


class Quote(NamedTuple):
    """What one feed entry of a message said about an instrument; None: not sent.

    Prices in rupees, volume (vtt) and oi in units, `ltt_ms` in milliseconds since the epoch.
    """

    instrument_key: str
    ltp: float | None
    cp: float | None
    bid: float | None
    ask: float | None
    volume: int | None
    oi: float | None
    ltt_ms: int | None
