"""Access: who may in: the access token, and the single-use codes that open a websocket.

Knows neither HTTP nor the market.
"""

import random
import uuid
from typing import Final

from tickrec.clock import SECOND

MAX_CODES: Final = 10_000
"""Unused codes kept."""


class Access:
    """The accepted token and the codes given out; times are monotonic ns."""

    def __init__(self, token: str | None, *, code_ttl: float, seed: int = 1) -> None:
        """`token` None: any will do, and none is kept. `code_ttl` is seconds."""
        self.token = token
        self._ttl = int(code_ttl * SECOND)
        self._random = random.Random(f"{seed} codes")
        self._codes: dict[str, int] = {}

    def bearer(self, header: str) -> bool:
        """Whether an Authorization header holds an accepted token."""
        scheme, _, token = header.partition(" ")
        return scheme.lower() == "bearer" and token.strip() in ({self.token} if self.token else {token.strip()} - {""})

    def new_code(self, now: int) -> str:
        """A code that opens one websocket, for a short while."""
        self._codes = dict(list(self._codes.items())[-MAX_CODES:])
        code = self.new_id()
        self._codes[code] = now + self._ttl
        return code

    def use_code(self, code: str, now: int) -> bool:
        """Whether a code is fresh; it no longer is afterwards."""
        return now < self._codes.pop(code, 0)

    def new_id(self) -> str:
        """A random uuid, drawn from the seed."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))
