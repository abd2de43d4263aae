"""Reconnect: when a connection is to be opened again, and how patient to be with its next websocket.

Owns what a connection remembers of its attempts and websockets, and what follows from a failure. Opens no socket and
reads no clock: it is told what happened, and says what to do.
"""

import random
from typing import Final, NamedTuple

from tickrec.upstox.protocol import Failure, Situation, Verdict, classify

FIRST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 30.0
"""Between attempts: at most the one first, then doubling, with jitter, to at most the other."""
PATIENCE: Final = 16
"""How many times `mute` silence is put up with at most where instruments seem to be quiet ones."""


class Next(NamedTuple):
    """What follows from a failure."""

    failure: Failure
    """What it counts as."""
    delay: float | None
    """Seconds until the next attempt; None: the run is to end."""


class Reconnect:
    """One connection over all of its websockets; `mute` is how many seconds one may be without any data."""

    def __init__(self, chance: random.Random, mute: float) -> None:
        self.failed_attempts = 0
        """In a row since a websocket last proved itself."""
        self.patience = mute
        """How many seconds the next websocket may be silent after its snapshot."""
        self.unexpected = False
        """Whether an error that nobody expected has kept it from working since a websocket last proved itself."""
        self._mute = mute
        self._chance = chance
        self._ceiling = FIRST_SECONDS
        self._proven = False
        """Whether the last websocket proved itself: a snapshot or tick came."""
        self._refused = False
        """Whether the token in use was refused since a websocket was opened."""
        self._renewals = 0
        """How often there was another token since a websocket was opened."""

    def opened(self) -> None:
        """There is a websocket: the token is good."""
        self._refused, self._renewals = False, 0

    def ended(self, *, proven: bool, ticked_promptly: bool) -> None:
        """The websocket has ended; whether it proved itself, and whether a tick came soon after its opening."""
        self._proven = proven
        if proven:
            self.failed_attempts, self.unexpected = 0, False
            self._ceiling = FIRST_SECONDS
        if ticked_promptly:
            self.patience = self._mute

    def failed(self, failure: Failure, *, token_is_new: bool | None = None) -> Next:
        """An attempt has failed, or the websocket that has ended was lost.

        `token_is_new`: where the token was refused, whether its sources have another one now.
        """
        if token_is_new is not None:
            if not token_is_new and self._refused:
                failure = failure._replace(situation=Situation.TOKEN_REFUSED_TWICE)
            self._refused = not token_is_new
            self._renewals += token_is_new
        if failure.stage or not self._proven:
            self.failed_attempts += 1
            self.unexpected |= failure.situation is Situation.UNEXPECTED
        elif failure.situation is Situation.MUTE:
            self.patience = min(2 * self.patience, PATIENCE * self._mute)
        if classify(failure) is Verdict.GIVE_UP:
            return Next(failure, None)
        # A source that gives another bad token each time must not make a loop without pause.
        at_once = token_is_new is True and self._renewals == 1
        return Next(failure, 0.0 if at_once else self._delay())

    def _delay(self) -> float:
        """Between half of the ceiling and the ceiling, which then doubles."""
        ceiling = self._ceiling
        self._ceiling = min(2 * ceiling, LONGEST_SECONDS)
        return ceiling * self._chance.uniform(0.5, 1.0)
