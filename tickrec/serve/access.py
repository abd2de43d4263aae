"""Access: who may in: the access token, and the single-use codes that open a websocket.

Knows neither HTTP nor the market.
"""

import uuid
from typing import Final

from tickrec.clock import SECOND

MAX_CODES: Final = 10_000
"""Unused codes kept."""
CODE_NS: Final = 60 * SECOND
"""How long an authorized address stays good (its life was never observed)."""


class Access:
    """The accepted token and the codes given out; times are monotonic ns."""

    def __init__(self, token: str | None) -> None:
        """`token` None: any will do, and none is kept."""
        self.token = token
        self._codes: dict[str, int] = {}

    def bearer(self, header: str) -> bool:
        """Whether an Authorization header holds an accepted token."""
        scheme, _, token = header.partition(" ")
        return scheme.lower() == "bearer" and token.strip() in ({self.token} if self.token else {token.strip()} - {""})

    def new_code(self, now: int) -> str:
        """A code that opens one websocket, for a short while."""
        self._codes = dict(list(self._codes.items())[-MAX_CODES:])
        code = str(uuid.uuid4())
        self._codes[code] = now + CODE_NS
        return code

    def use_code(self, code: str, now: int) -> bool:
        """Whether a code is fresh; it no longer is afterwards."""
        return now < self._codes.pop(code, 0)
