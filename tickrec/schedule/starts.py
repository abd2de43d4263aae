"""Starts: when a scheduled recorder is to be started, by what is configured to be recorded.

Owns the way from the configured selectors to the last close, without asking the broker: with the instruments that the
store has from an earlier day, else by what the selectors themselves say.
"""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tickrec.config import Config
from tickrec.errors import DataError, UsageError
from tickrec.market.calendar import Calendar
from tickrec.market.hours import at, regular
from tickrec.schedule.time_fields import clock_text
from tickrec.store.paths import Store

EVERY: Final = 5
"""Minutes between starts."""
SHARES: Final = frozenset({"NSE_EQ", "NSE_INDEX"})
_BACK_DAYS: Final = 14
_MINUTE_NS: Final = 60 * 10**9


class Segments(NamedTuple):
    """What is recorded, as far as that can be told here."""

    names: frozenset[str]
    guessed: str = ""
    """Why they are a guess; empty if they are not."""


def starts(config: Config, at_time: dt.time | None, segments: frozenset[str], today: dt.date) -> tuple[int, ...]:
    """The minutes of the day, IST, at which to start the recorder.

    At `at_time` alone, or every EVERY minutes from EVERY minutes before the configured start to the end of the
    recording. Raises UsageError when there would be nothing left to record then, NothingToRecord when the configured
    times leave nothing on any day.
    """
    end = last_end(config, segments, today)
    if at_time is None:
        first = config.record.start.hour * 60 + config.record.start.minute - EVERY
        return tuple(range(max(first, 0), end, EVERY))
    minute = at_time.hour * 60 + at_time.minute
    if at_time.second:
        raise UsageError(f"--at {at_time} is not a whole minute")
    if minute >= end:
        raise UsageError(f"--at {clock_text(minute)} is too late: the recording ends at {clock_text(end)} IST")
    return (minute,)


def last_end(config: Config, segments: frozenset[str], today: dt.date) -> int:
    """When the recording of an ordinary day ends at the latest, in the year from `today`: minutes from midnight IST.

    Hours change for months, so that one day of each week tells.
    """
    calendar, record = Calendar(), config.record
    wednesday = today + dt.timedelta(days=(2 - today.weekday()) % 7)
    days = (wednesday + dt.timedelta(weeks=number) for number in range(52))
    ends = [
        calendar.window(day, segments, record.start, record.stop).stop_ns - at(day, dt.time())
        for day in days
        if calendar.sessions(day) == regular(day)
    ]
    return -(-max(ends) // _MINUTE_NS)


def recorded_segments(config: Config, today: dt.date) -> Segments:
    """The segments of what is configured to be recorded. Asks nobody. Raises UsageError for a broken @file."""
    from tickrec.market.watchlists import expand

    texts = [term.text for term in expand(config.record.symbols, config.universes, config.folder)]
    said = [_segments_in(text) for text in texts]
    if all(said):
        return Segments(frozenset().union(*said))
    try:
        stored = _stored(texts, Store(config.store.data), today)
    except (UsageError, DataError) as error:
        return Segments(_union(said), f"the symbols could not be looked up ({error})")
    return Segments(stored) if stored else Segments(_union(said), "the store has no instruments yet")


def _segments_in(text: str) -> frozenset[str]:
    """The segments that a selector says by itself; none if it takes the instruments to tell."""
    name, *suffixes = (part.strip() for part in text.strip("\"'").split(":"))
    if name.casefold() == "all" and suffixes:
        return frozenset({suffixes[0].upper()})
    if name.casefold() == "fno":
        return frozenset({"NSE_FO"}) if suffixes else SHARES
    return frozenset({name.partition("|")[0].upper()}) if "|" in name and not suffixes else frozenset()


def _union(said: Sequence[frozenset[str]]) -> frozenset[str]:
    """What is said, and shares where nothing is."""
    return frozenset().union(*(each or SHARES for each in said))


def _stored(texts: Sequence[str], store: Store, today: dt.date) -> frozenset[str]:
    """The segments of what the selectors meant on the last day of which the store has instruments; none without."""
    paths = (store.instruments_path(today - dt.timedelta(days=back)) for back in range(_BACK_DAYS))
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return frozenset()
    from tickrec.market.instruments import Master
    from tickrec.market.selectors import resolve, with_every_strike

    # The strikes around the money are in the same segment as all others, and need no price.
    every_strike = with_every_strike(texts)
    found = resolve(
        every_strike, Master.read(path), today=today, last_prices=lambda keys: {}, universes={}, folder=Path()
    )
    return frozenset(each.segment for each in found.instruments)
