"""The command backfill: the exchange's minute candles for what was not recorded."""

import json
from typing import TYPE_CHECKING

from tickrec.cli.common import Common, JsonOption, answer, command
from tickrec.cli.date_commands import DateArgument
from tickrec.cli.options import date_of
from tickrec.cli.progress_bars import step_line

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from tickrec.check.backfill import Fetched, Filled, Wanted
    from tickrec.clock import Clock
    from tickrec.config import Config
    from tickrec.store.paths import Store
    from tickrec.upstox.auth import Token


@command()
def backfill(common: Common, date: DateArgument, as_json: JsonOption = False) -> None:
    """Fetch the exchange's minute candles for what was not recorded.

    They are kept beside the ticks as `exchange_bars`; `bars('5 minutes')` in a query fills gaps with them, and says so.
    What is there is not asked for again, but for candles of the day itself: the next morning's are better.
    """
    from tickrec.check.backfill import Filled, filled
    from tickrec.clock import SystemClock
    from tickrec.store.paths import Store

    store = Store(common.settings.store.data)
    day = date_of("DATE", date)
    assert day is not None
    instruments, fetched = fetch_candles(common, store, day)
    after = filled(store, day, SystemClock()) if instruments else Filled(0, 0)
    if as_json:
        answer(json.dumps(_to_json(day, instruments, fetched, after)))
    else:
        answer("\n".join(_lines(day, instruments, fetched, after)))


def fetch_candles(
    common: Common, store: "Store", day: "dt.date", *, everything: bool = False
) -> "tuple[list[Wanted], Fetched]":
    """Fetch the candles of the instruments with minutes that were not recorded, or of all, with a line on stderr.

    Raises as `Backfill.fetch`, and DataError for a day that was not recorded.
    """
    import asyncio

    from tickrec.check.backfill import Backfill, Fetched, wanted
    from tickrec.clock import SystemClock
    from tickrec.errors import DataError
    from tickrec.record.store_source import check_origin
    from tickrec.upstox.rest import Rest
    from tickrec.upstox.throttle import Throttle

    clock = SystemClock()
    common.log_to_stderr()
    if day not in store.dates():
        raise DataError(f"nothing was recorded on {day}", where=str(store.root))
    instruments = wanted(store, day, clock, everything=everything)
    if not instruments:
        return instruments, Fetched()
    with common.broker() as (settings, environ):
        rest = Rest(settings.upstox.api_url, settings.upstox.assets_url)
        check_origin(store, rest.source(), now=True)
        filling = Backfill(store, day, rest, _token(settings, environ, clock), clock, Throttle())
        with step_line(f"{day}") as progress:
            return instruments, asyncio.run(filling.fetch(instruments, progress or (lambda _what, _share: None)))


def _token(settings: "Config", environ: "Mapping[str, str]", clock: "Clock") -> "Token | None":
    """The token, if there is one that has not expired: candles can be had without."""
    from tickrec.errors import TokenError
    from tickrec.upstox.auth import TokenSource

    try:
        token = TokenSource(settings.upstox, environ).read()
    except TokenError:
        return None
    return None if token.expired(clock.wall_ns()) else token


def _lines(day: "dt.date", instruments: "list[Wanted]", fetched: "Fetched", after: "Filled") -> list[str]:
    """What came of it, in words."""
    from tickrec.formatting import plural

    if not instruments:
        return [f"{day}: every minute was recorded, there is nothing to fetch"]
    what = f"{plural(after.minutes, 'minute')} of {plural(len(instruments), 'instrument')} not recorded whole"
    asked = f"asked for {plural(fetched.asked, 'instrument')}" if fetched.asked else "all asked for before"
    lines = [f"{day}: {what}, {plural(after.with_bar, 'exchange bar')} for them ({asked})"]
    if fetched.refused:
        lines.append(f"  the broker has no candles of {', '.join(fetched.refused)}")
    if fetched.odd:
        lines.append(f"  {plural(fetched.odd, 'row')} of its answers left out: no bars can be like that")
    return lines


def _to_json(day: "dt.date", instruments: "list[Wanted]", fetched: "Fetched", after: "Filled") -> dict[str, object]:
    return {
        "date": str(day),
        "instruments": len(instruments),
        "minutes_missing": after.minutes,
        "minutes_with_bar": after.with_bar,
        "asked": fetched.asked,
        "bars": fetched.bars,
        "odd": fetched.odd,
        "refused": list(fetched.refused),
    }
