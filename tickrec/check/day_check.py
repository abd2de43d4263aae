"""Day check: a date, graded.

Owns what there is to say of a date and of each of its instruments, for people and for programs: the names in the JSON
are relied on. A date on which nothing is traded has no grade.
"""

import contextlib
import dataclasses
import datetime as dt
import difflib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tickrec import formatting as fmt
from tickrec.check.bar_differences import BarDifferences, bar_differences
from tickrec.check.evidence import Evidence, Known, Lost, Minutes
from tickrec.check.grades import Grade, day_grade, grade, worst
from tickrec.check.reasons import sentence_of, words_of
from tickrec.clock import Clock, SystemClock, ist
from tickrec.config import SIMULATED
from tickrec.errors import DataError, NothingToRecord, UsageError
from tickrec.market.calendar import exchange_of, known_calendar, trading_date
from tickrec.market.hours import at
from tickrec.query.date_range import DateRange
from tickrec.query.session import Session
from tickrec.status.next_session import USUAL_SEGMENTS, USUAL_START
from tickrec.store.manifest import load
from tickrec.store.paths import Store

_SECOND_US: Final = 1_000_000
_ALL_WHYS: Final = 12
_SEARCH_DAYS: Final = 40


@dataclass(frozen=True, slots=True)
class InstrumentReport:
    """What is known of an instrument, and its grade."""

    known: Known
    grade: Grade
    bars: BarDifferences | None = None
    """Its minutes against the exchange's, where those are stored; never graded."""

    @property
    def share(self) -> float:
        """The part of the session, or of the volume, that is missing: the larger."""
        seconds = self.known.missing_us / self.known.session_us if self.known.session_us else 0.0
        volume = (self.known.missing_volume or 0) / self.known.volume if self.known.volume else 0.0
        return max(seconds, volume)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        known = self.known
        return {
            "instrument_key": known.instrument_key,
            "symbol": known.symbol,
            "grade": self.grade,
            "why": words_of(known, _ALL_WHYS),
            "ticks": known.ticks,
            "first_ts": _iso(known.first_us),
            "last_ts": _iso(known.last_us),
            "missing_s": known.missing_us / _SECOND_US,
            "missing_volume": None if known.volume is None else known.missing_volume or 0,
            "volume": known.volume,
            "longest_silence_s": None if known.silence_us is None else known.silence_us / _SECOND_US,
            "bars": None if self.bars is None else self.bars.bars,
            "bars_differing": None if self.bars is None else self.bars.differing,
        }


@dataclass(frozen=True, slots=True)
class DayReport:
    """A date and its grade. Instants are microseconds since the epoch."""

    date: dt.date
    grade: Grade
    sentence: str
    """Why it has this grade."""
    session: tuple[int, int] | None
    """From the first beginning to the last end, now at most, of the sessions of its instruments; None: unknown."""
    recorded: tuple[int, int] | None
    """From when to when there was a connection, now at most; None: never."""
    gaps: Sequence[Lost]
    instruments: Sequence[InstrumentReport]
    """The worst first."""
    minutes: Mapping[str, Minutes]
    """When how much came of each instrument."""

    lasts: bool = False
    """A session of it is not over."""

    @property
    def counts(self) -> dict[Grade, int]:
        """How many instruments have each grade."""
        found = Counter(each.grade for each in self.instruments)
        return {letter: found[letter] for letter in Grade}

    @property
    def ticks(self) -> int:
        """Without snapshots."""
        return sum(each.known.ticks for each in self.instruments)

    def instrument(self, name: str) -> InstrumentReport:
        """The report of an instrument by its symbol or key. Raises UsageError."""
        for each in self.instruments:
            if name.upper() in (each.known.symbol.upper(), each.known.instrument_key.upper()):
                return each
        near = difflib.get_close_matches(name.upper(), [each.known.symbol for each in self.instruments])
        hint = f"Nearest: {', '.join(near)}" if near else ""
        raise UsageError(f"{name} was not recorded on {self.date}", hint=hint)

    def only(self, one: InstrumentReport) -> "DayReport":
        """The same day with no other instrument."""
        return dataclasses.replace(self, instruments=(one,))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "date": str(self.date),
            "grade": self.grade,
            "session": _span(self.session),
            "recorded": _span(self.recorded),
            "gaps": [_gap_json(each) for each in self.gaps],
            "counts": self.counts,
            "instruments": [each.to_json() for each in self.instruments],
        }


class Verdict(NamedTuple):
    """A day in one line."""

    grade: Grade
    words: str


def verdict(store: Store, date: dt.date, clock: Clock | None = None) -> Verdict:
    """The verdict on a date: what it was sealed with, if that says one, else as `check_date`, which raises the same."""
    sealed = None
    if store.settled(date):
        with contextlib.suppress(DataError):  # a manifest that cannot be read is for `verify` to tell
            sealed = load(store, date)
    if sealed is not None and sealed.grade is not None:
        return Verdict(Grade(sealed.grade), _words(sealed.rows["ticks"], len(sealed.instruments), sealed.why))
    report = check_date(store, date, clock)
    return Verdict(report.grade, _words(report.ticks, len(report.instruments), report.sentence))


def _words(ticks: int, instruments: int, why: str) -> str:
    if not instruments:
        return why
    return f"{fmt.plural(ticks, 'tick')} of {fmt.plural(instruments, 'instrument')}: {why}"


def check_date(
    store: Store, date: dt.date, clock: Clock | None = None, *, memory_limit: str | None = None
) -> DayReport:
    """Grade a date. `memory_limit` is DuckDB's, as for a query.

    Raises NothingToRecord when nothing is traded on it or its session has not begun, DataError when what is stored of
    it cannot be read.
    """
    now_ns = (clock or SystemClock()).wall_ns()
    now_us = now_ns // 1000
    if date not in store.dates():
        return _unrecorded(store, date, now_us)
    with Session(store, DateRange(date, date), memory_limit=memory_limit, now_ns=now_ns) as session:
        evidence = Evidence(session)
        bars = bar_differences(session) if store.exchange_bars_path(date).exists() else {}
        reports = [
            InstrumentReport(known, grade_of(known), bars.get(known.instrument_key)) for known in evidence.instruments
        ]
        if not any(each.known.session_us for each in reports):
            return _unrecorded(store, date, now_us)
        reports.sort(key=lambda each: (each.grade, each.share, each.known.missing_us), reverse=True)
        recorded = evidence.recorded()
        return DayReport(
            date,
            day_grade([each.grade for each in reports]),
            sentence_of(evidence.instruments),
            _session_of(evidence.instruments),
            None if recorded is None else (recorded[0], recorded[1] or now_us),
            evidence.gaps(),
            reports,
            evidence.minutes,
            lasts=any(known.ends == now_us for known in evidence.instruments),
        )


def grade_of(known: Known) -> Grade:
    """The grade of an instrument: by what is missing of its session, or of the volume of its day, whichever is more."""
    return worst((grade(known.missing_us, known.session_us), grade(known.missing_volume or 0, known.volume or 0)))


def newest_date(store: Store, now_ns: int) -> dt.date:
    """The date that somebody means who names none: today if a session has begun, else the last trading day."""
    today = trading_date(now_ns)
    for days in range(_SEARCH_DAYS):
        date = today - dt.timedelta(days=days)
        begins = _first_session(store, date)
        if begins is not None and begins[0] * 1000 <= now_ns:
            return date
    return today


def _first_session(store: Store, date: dt.date) -> tuple[int, int] | None:
    """From when to when the calendar has what the store records trading, microseconds; None: not on this date."""
    if store.root.name == SIMULATED:  # that market is always open
        midnight = at(date, dt.time()) // 1000
        return midnight, midnight + 86_400 * _SECOND_US
    sessions = known_calendar(store.state / "calendar.json").sessions(date)
    spans = [
        (each.start_ns // 1000, each.end_ns // 1000)
        for segment in _segments(store)
        for each in sessions.get(exchange_of(segment) or "", ())
    ]
    return (min(begins for begins, _ in spans), max(ends for _, ends in spans)) if spans else None


def _segments(store: Store) -> Collection[str]:
    """What the store records: what its last run did, else what is usual."""
    # Here, because a check of a date that was recorded does without what looks into a journal.
    from tickrec.status.status import read as read_status

    run = read_status(store.status_path)
    return (run.segments if run is not None else ()) or USUAL_SEGMENTS


def _unrecorded(store: Store, date: dt.date, now_us: int) -> DayReport:
    """A date of which nothing was recorded, or of which nothing that was traded was."""
    session = _first_session(store, date)
    if session is None:
        known_calendar(store.state / "calendar.json").window(date, _segments(store), USUAL_START, None)
        raise NothingToRecord(f"nothing that is recorded here was traded on {date}")
    if session[0] > now_us:
        raise NothingToRecord(f"the session of {date} has not begun")
    return DayReport(date, Grade.F, sentence_of([]), (session[0], min(session[1], now_us)), None, (), (), {})


def _session_of(instruments: Sequence[Known]) -> tuple[int, int] | None:
    begins = [known.begins for known in instruments if known.begins is not None]
    ends = [known.ends for known in instruments if known.ends is not None]
    return (min(begins), max(ends)) if begins else None


def _gap_json(gap: Lost) -> dict[str, Any]:
    return {
        "conn": gap.conn,
        "start": _iso(gap.begins),
        "end": _iso(gap.ends),
        "seconds": None if gap.ends is None else (gap.ends - gap.begins) / _SECOND_US,
        "reason": gap.reason,
    }


def _span(span: tuple[int, int] | None) -> dict[str, str | None]:
    begins, ends = span or (None, None)
    return {"start": _iso(begins), "end": _iso(ends)}


def _iso(us: int | None) -> str | None:
    return None if us is None else ist(us * 1000).isoformat(timespec="milliseconds")
