"""Silence rule: how often an instrument ticks, and how long it may then be silent before that is strange.

Owns the rule and its numbers, for whoever asks while recording and afterwards; counts nothing itself. Ticks are
counted in whole minutes, as a recorder can afford no more: those in the minute of the last tick and in the MINUTES
before it, as far as these lie in the session and it was recorded by then. Snapshots are no ticks. Whether the segment
trades and others on the connection tick, without which silence means nothing, is for the caller to know.
"""

from typing import Final

from tickrec.clock import SECOND

MINUTE_NS: Final = 60 * SECOND
MINUTES: Final = 30
"""How many minutes before the one of its last tick tell the usual spacing of an instrument."""
LEAST_TICKS: Final = 20
"""With fewer ticks in that time there is no rhythm to judge by."""
TIMES: Final = 20
"""How many times the usual spacing an instrument may be silent."""
LEAST_NS: Final = 30 * SECOND
"""A shorter silence is never strange."""


def window_start(last_ns: int, begin_ns: int) -> int:
    """From when on the ticks of an instrument tell its spacing: the last one came at `last_ns`.

    `begin_ns`: when its session began, or when it began to be recorded, whichever was later.
    """
    return max(last_ns // MINUTE_NS * MINUTE_NS - MINUTES * MINUTE_NS, begin_ns)


def patience_ns(ticks: int, span_ns: int) -> int | None:
    """How long an instrument may be silent that had so many ticks in the `span_ns` up to its last one.

    None: it ticks too seldom to tell.
    """
    return None if ticks < LEAST_TICKS else max(TIMES * span_ns // ticks, LEAST_NS)
