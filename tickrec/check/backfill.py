"""Backfill: the exchange's minute candles for what was not recorded, asked of the broker and kept.

Owns which instruments have to be asked for, the pace, and when to try again. Of an instrument the whole day is asked
for, once: again only when what was served on the day itself can be replaced by the historical candles, or did not reach
far enough yet. Each answer is stored soon after it came, so that what was interrupted goes on where it was.
"""

import datetime as dt
import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import pyarrow as pa

from tickrec import schema
from tickrec.clock import SECOND, Clock, ist
from tickrec.errors import DataError
from tickrec.files import Lock
from tickrec.market.calendar import trading_date
from tickrec.market.hours import at
from tickrec.query.date_range import DateRange
from tickrec.query.missing import LOST_MINUTES, NEEDS
from tickrec.query.session import Session
from tickrec.store.exchange_bars import HISTORICAL, INTRADAY, Answer, load, save
from tickrec.store.paths import Store
from tickrec.upstox.auth import Token, in_thread
from tickrec.upstox.candles import Candles, fetch
from tickrec.upstox.protocol import Situation, Verdict, classify
from tickrec.upstox.rest import Rest, RestError
from tickrec.upstox.throttle import Throttle

log = logging.getLogger("tickrec")

SERVED: Final = dt.time(8)
"""IST; by then the historical endpoint has the day before (observed 2026-09: between 06:51 and 07:01)."""
LATE_NS: Final = 40 * SECOND
"""After its end a bar of the intraday endpoint is there (observed 2026-09: 6 to 36 s)."""
_HOLD_SECONDS: Final = 60.0
"""Without a request after there were too many."""
_FIRST_RETRY_SECONDS: Final = 1.0
_ATTEMPTS: Final = 4
"""At one instrument, before the broker is taken for one that cannot be asked."""
_KEPT_TOGETHER: Final = 25
"""Answers stored at a time."""

_MISSING: Final = """
SELECT instrument_key, any_value(symbol), CAST(max(epoch_us(end_ts)) AS BIGINT) * 1000
FROM missing GROUP BY instrument_key ORDER BY any_value(symbol), instrument_key
"""
_RECORDED: Final = """
SELECT instrument_key, any_value(symbol), CAST(NULL AS BIGINT)
FROM subscriptions GROUP BY instrument_key ORDER BY any_value(symbol), instrument_key
"""
_FILLED: Final = f"""
SELECT count(*), count(close)
FROM ({LOST_MINUTES}) LEFT JOIN exchange_bars USING (date, instrument_key, start_ts)
"""

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the whole that is done, 0 to 1."""


class Wanted(NamedTuple):
    """An instrument whose minutes are wanted."""

    key: str
    symbol: str | None
    until_ns: int
    """The end of the last of them, wall nanoseconds."""


@dataclass(slots=True)
class Fetched:
    """What came of it."""

    asked: int = 0
    """Instruments that the broker was asked for."""
    bars: int = 0
    """Minutes in its answers."""
    odd: int = 0
    """Rows of its answers that were no minutes."""
    refused: tuple[str, ...] = ()
    """Instruments that it has no candles of."""


class Filled(NamedTuple):
    """The minutes of a date that were not recorded, over all instruments, and those that have an exchange's bar."""

    minutes: int
    with_bar: int


def wanted(store: Store, date: dt.date, clock: Clock, *, everything: bool = False) -> list[Wanted]:
    """The instruments of a date with minutes that were not recorded, or all that were asked for.

    Raises DataError.
    """
    end_ns = min(at(date + dt.timedelta(days=1), dt.time()), clock.wall_ns())
    sql, table = (_RECORDED, "subscriptions") if everything else (_MISSING, "missing")
    found = _ask(store, date, clock, sql, {table})
    return [Wanted(key, symbol, end_ns if until_ns is None else until_ns) for key, symbol, until_ns in found]


def filled(store: Store, date: dt.date, clock: Clock) -> Filled:
    """How much of what was not recorded the stored bars can fill. Raises DataError."""
    ((minutes, with_bar),) = _ask(store, date, clock, _FILLED, {*NEEDS, "exchange_bars"})
    return Filled(minutes, with_bar)


class Backfill:
    """Asks for the candles of a date, one instrument after the other."""

    def __init__(
        self, store: Store, date: dt.date, rest: Rest, token: Token | None, clock: Clock, throttle: Throttle
    ) -> None:
        self._store = store
        self._date = date
        self._rest = rest
        self._token = token
        self._clock = clock
        self._throttle = throttle
        self._today = trading_date(clock.wall_ns()) == date
        self._rows: list[dict[str, object]] = []
        self._answers: dict[str, Answer] = {}

    async def fetch(self, instruments: Iterable[Wanted], tell: Progress) -> Fetched:
        """Ask for the instruments whose minutes are not there yet.

        Raises AlreadyRecording when another process does that for the store, RestError when the broker cannot be asked,
        DataError when it has nothing of the date yet, OSError.
        """
        with Lock(self._store.exchange_bars_lock) as lock:
            lock.acquire({"doing": f"fetching bars of {self._date}", "since_ns": self._clock.wall_ns()})
            self._stored = load(self._store, self._date)
            asked = [each for each in instruments if self._is_due(each)]
            try:
                done = await self._ask_for_all(asked, tell)
            finally:
                self._keep()
            lock.remove()
        if asked and not done.bars and not self._is_served():
            hint = "They are there at about 07:00 of the next morning; ask again then"
            raise DataError(f"the broker does not serve the candles of {self._date} yet", hint=hint)
        return done

    async def _ask_for_all(self, asked: list[Wanted], tell: Progress) -> Fetched:
        done, refused, last_error = Fetched(), [], None
        for number, each in enumerate(asked):
            tell(each.symbol or each.key, number / len(asked))
            try:
                candles = await self._ask(each.key)
            except RestError as error:
                if error.failure.situation is not Situation.REFUSED_REQUEST:
                    raise
                refused.append(each.symbol or each.key)
                last_error = error
                continue
            done.asked, done.bars, done.odd = done.asked + 1, done.bars + len(candles.rows), done.odd + candles.odd
            self._take(each, candles)
        if last_error is not None and not done.asked:
            raise last_error
        done.refused = tuple(refused)
        return done

    def _is_due(self, each: Wanted) -> bool:
        """Whether an instrument has to be asked for."""
        answer = self._stored.answers.get(each.key)
        if answer is None:
            return True
        if self._today:
            return answer.fetched_ns < each.until_ns + LATE_NS
        return answer.source == INTRADAY

    def _is_served(self) -> bool:
        """Whether the broker has the candles of the date, if there are any."""
        return self._today or self._clock.wall_ns() >= at(self._date + dt.timedelta(days=1), SERVED)

    async def _ask(self, key: str) -> Candles:
        """The candles of an instrument. Raises RestError when the broker cannot be asked, or refuses."""
        attempt = 0
        while True:
            await self._clock.sleep(self._throttle.wait_s(self._clock.monotonic_ns()))
            self._throttle.made(self._clock.monotonic_ns())
            try:
                ask = partial(fetch, self._rest, key, self._date, self._token, today=self._today)
                return await in_thread(ask)
            except RestError as error:
                attempt += 1
                if attempt == _ATTEMPTS or not self._may_retry(error):
                    raise
                log.warning("%s; trying again", error.brief)
            await self._clock.sleep(_FIRST_RETRY_SECONDS * 2 ** (attempt - 1))

    def _may_retry(self, error: RestError) -> bool:
        """Whether a failure may pass; what it takes for that is done."""
        if error.failure.situation is Situation.TOKEN_REFUSED and self._token is not None:
            self._token = None  # candles need none
            return True
        if error.failure.situation is Situation.TOO_MANY_REQUESTS:
            self._throttle.hold(self._clock.monotonic_ns(), _HOLD_SECONDS)
        refused = error.failure.situation is Situation.REFUSED_REQUEST  # the same again would be, too
        return classify(error.failure) is Verdict.RETRY and not refused

    def _take(self, each: Wanted, candles: Candles) -> None:
        """Keep an answer. An empty one that may come too early is no answer."""
        if not candles.rows and not self._is_served():
            return
        source = INTRADAY if self._today else HISTORICAL
        answer = Answer(source, self._clock.wall_ns())
        self._answers[each.key] = answer
        said = {"symbol": each.symbol, "source": source, "fetched_ts": ist(answer.fetched_ns)}
        for candle in candles.rows:
            values = candle._asdict()
            start = ist(values.pop("start_ns"))
            self._rows.append({"instrument_key": each.key, "start_ts": start, **values, **said})
        if len(self._answers) >= _KEPT_TOGETHER:
            self._keep()

    def _keep(self) -> None:
        """Store the answers that are not stored yet. Raises OSError."""
        if self._answers:
            rows = pa.Table.from_pylist(self._rows, schema=schema.EXCHANGE_BARS)
            self._stored = self._stored.add(rows, self._answers)
            save(self._store, self._date, self._stored)
            self._rows, self._answers = [], {}


def _ask(store: Store, date: dt.date, clock: Clock, sql: str, names: Collection[str]) -> list[tuple[Any, ...]]:
    """The rows of a question about a date, over the tables and views `names`. Raises DataError."""
    with Session(store, DateRange(date, date), now_ns=clock.wall_ns()) as session:
        return [tuple(row.values()) for row in session.read(sql, names)]
