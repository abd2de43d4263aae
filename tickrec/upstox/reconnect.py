"""Reconnect: when to connect again after a failure."""

import random
from typing import Final


class Backoff:
    """The delays between attempts: at most 1 s first, then doubling, with jitter, to at most 30 s."""

    FIRST: Final = 1.0
    LONGEST: Final = 30.0

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._ceiling = self.FIRST

    def next_seconds(self) -> float:
        """How long to wait before the next attempt: between half of the ceiling and the ceiling, which doubles."""
        ceiling = self._ceiling
        self._ceiling = min(2 * ceiling, self.LONGEST)
        return ceiling * self._chance.uniform(0.5, 1.0)

    def reset(self) -> None:
        """The connection has proven itself: start again from the shortest delay."""
        self._ceiling = self.FIRST
