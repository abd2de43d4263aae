"""Access: the token that all connections of a feed share, and blocking calls that must not hold anything up."""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from tickrec.errors import TokenError
from tickrec.upstox.auth import Token, TokenSource

log = logging.getLogger("tickrec")

T = TypeVar("T")


async def in_thread(call: Callable[[], T]) -> T:
    """The result of a blocking call, made in a thread of its own.

    Unlike with asyncio.to_thread, a call that hangs (a name server, a password prompt) does not keep the process from
    ending.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  raised again where the result is awaited
            future.set_exception(error)

    threading.Thread(target=work, name="tickrec-blocking", daemon=True).start()
    return await asyncio.wrap_future(future)


class Access:
    """The access token, read when it is first needed, and again when the broker refuses it."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source
        self._token: Token | None = None
        self._lock = asyncio.Lock()

    @property
    def current(self) -> Token | None:
        """The token last read; None if none has been needed yet."""
        return self._token

    async def token(self) -> Token:
        """The token. Raises TokenError if the sources have none."""
        async with self._lock:
            if self._token is None:
                self._token = await in_thread(self._source.read)
            return self._token

    async def token_after(self, refused: Token) -> Token:
        """The token to use now that `refused` was; the sources are read again, unless somebody just did.

        A source that cannot be read this time changes nothing: the token may be in the middle of being replaced.
        """
        async with self._lock:
            if self._token is None or self._token == refused:
                try:
                    self._token = await in_thread(self._source.read)
                except TokenError as error:
                    log.warning("the token could not be read again: %s", error)
            return self._token or refused
