"""Recorded minutes: the minute bars of recorded dates, made from ticks.

Owns the way from the candle endpoints to SQL. It loads DuckDB, so nothing of it is loaded before somebody asks; one
question at a time, in a thread, so that no feed waits for it.
"""

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Final

from tickrec.serve.source import Minute

if TYPE_CHECKING:
    from tickrec.store.paths import Store

_SQL: Final = """
SELECT epoch_ms(start), open, high, low, close, coalesce(volume, 0), coalesce(oi, 0)
FROM candles('1 minute') WHERE instrument_key = $key ORDER BY start
"""
_MINUTE_MS: Final = 60_000


class RecordedMinutes:
    """The minutes of a store."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._turn = asyncio.Lock()

    async def between(self, key: str, first: dt.date, last: dt.date, until_ms: int) -> list[Minute]:
        """The minutes of an instrument that are over at `until_ms`, on the dates from `first` to `last`, in order.

        Raises TickrecError, OSError.
        """
        if first > last:
            return []
        async with self._turn:
            found = await asyncio.to_thread(self._ask, key, first, last)
        return [minute for minute in found if minute.start_ms + _MINUTE_MS <= until_ms]

    def _ask(self, key: str, first: dt.date, last: dt.date) -> list[Minute]:
        from tickrec.query.date_range import DateRange
        from tickrec.query.session import Session

        with Session(self._store, DateRange(first, last)) as session:
            return [Minute(*row) for row in session.look_up(_SQL, {"candles"}, {"key": key})]
