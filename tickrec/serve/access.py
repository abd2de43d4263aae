"""Who may in: the access token, single-use codes for the websocket, and the codes of the login dialog.

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

    def __init__(self, token: str, *, code_ttl: float, seed: int) -> None:
        self.token = token
        self._ttl = int(code_ttl * SECOND)
        self._random = random.Random(f"{seed} codes")
        self._codes: dict[str, int] = {}
        self._logins: dict[str, tuple[str, str]] = {}

    def bearer(self, header: str) -> bool:
        """Whether an Authorization header holds the accepted token."""
        scheme, _, token = header.partition(" ")
        return scheme.lower() == "bearer" and token.strip() == self.token

    def new_code(self, now: int) -> str:
        """A code that opens one websocket, for a short while."""
        self._codes = dict(list(self._codes.items())[-MAX_CODES:])
        code = self.new_id()
        self._codes[code] = now + self._ttl
        return code

    def use_code(self, code: str, now: int) -> bool:
        """Whether a code is fresh; it no longer is afterwards."""
        return now < self._codes.pop(code, 0)

    def new_login(self, client_id: str, redirect_uri: str) -> str:
        """The code a login dialog hands to the client's redirect address."""
        code = self.new_id()
        self._logins[code] = (client_id, redirect_uri)
        return code

    def use_login(self, code: str) -> tuple[str, str] | None:
        """The client and redirect address a login code was made for; a code is used up even by a failed exchange."""
        return self._logins.pop(code, None)

    def new_id(self) -> str:
        """A random uuid, drawn from the seed."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))
