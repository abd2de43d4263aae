"""Reasons: why something is missing, in words.

Owns the wording, of one instrument and of a day in one sentence. Decides nothing: nobody but people reads it.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from tickrec import formatting as fmt
from tickrec.check.evidence import Interval, Known
from tickrec.clock import SECOND
from tickrec.query.missing import ENDED, NEVER, NOT_YET, STALE

_US: Final = 1000
_NAMED: Final = 3
"""Intervals of one instrument, and causes of a day, that are told."""


def clock_time(us: int) -> str:
    """An instant in microseconds as IST clock time: `09:31:10`."""
    return fmt.clock_time(us * _US)


def length(us: int) -> str:
    """How long microseconds are: `48s`, `3m 20s`; below a second `12ms`."""
    return fmt.duration(us * _US / SECOND) if us >= 100_000 else f"{us // 1000}ms"


def words_of(known: Known, most: int = _NAMED) -> list[str]:
    """Why an instrument is not complete: its longest intervals, in order of time; nothing when it is."""
    if any(each.why == NEVER for each in known.longest):
        return ["never answered"]
    told = sorted(sorted(known.longest, key=lambda each: -each.length)[:most], key=lambda each: each.begins)
    words = [_interval(each, known) for each in told]
    more = known.intervals - len(told)
    return [*words, f"{more} more"] if more else words


def _interval(interval: Interval, known: Known) -> str:
    begins, ends = clock_time(interval.begins), clock_time(interval.ends)
    if interval.why == NOT_YET:
        if interval.begins != known.begins:
            return f"no answer from {begins} to {ends}"
        return "answered after the session" if interval.ends == known.ends else f"answered at {ends}"
    if interval.why == ENDED:
        return f"not recorded after {begins}"
    if interval.why == STALE:
        traded = f" while {fmt.grouped(interval.volume)} traded" if interval.volume else ""
        return f"nothing from {begins} to {ends}{traded}"
    lost = f"connection {interval.conn} lost" if interval.conn else "lost from the journal at"
    return f"{lost} {begins}, {length(interval.length)}"


def sentence_of(instruments: Sequence[Known]) -> str:
    """Why a day has its grade, without a full stop: what cost most comes first."""
    if not instruments:
        return "nothing was recorded"
    cost: Counter[str] = Counter()
    found: dict[str, list[tuple[Known, Interval]]] = defaultdict(list)
    for known in instruments:
        for interval in known.longest:
            found[interval.why].append((known, interval))
            cost[interval.why] += interval.length
    causes = [_cause(why, found[why], len(instruments)) for why, _ in cost.most_common(_NAMED)]
    if not causes:
        return f"everything of {fmt.plural(len(instruments), 'instrument')} was recorded"
    return " and ".join(filter(None, (", ".join(causes[:-1]), causes[-1])))


def _cause(why: str, found: Sequence[tuple[Known, Interval]], instruments: int) -> str:
    who = _who({known.instrument_key for known, _ in found}, instruments)
    if why == NEVER:
        return f"{who} never answered"
    if why == NOT_YET:
        return f"{who} answered late, at {_mostly(interval.ends for _, interval in found)}"
    if why == ENDED:
        return f"{who} not recorded after {_mostly(interval.begins for _, interval in found)}"
    if why == STALE:
        return f"{who} fell silent while others ticked"
    return _lost_connections({interval for _, interval in found})


def _lost_connections(intervals: Collection[Interval]) -> str:
    conns = sorted({interval.conn for interval in intervals})
    lost = _union((interval.begins, interval.ends) for interval in intervals)
    times = "once" if len(lost) == 1 else f"{len(lost)} times"
    subject = "the journal" if conns == [0] else f"connection {conns[0]}" if len(conns) == 1 else "connections"
    first = f" at {clock_time(lost[0][0])}" if len(lost) == 1 else ""
    verb = "lost entries" if conns == [0] else "was lost" if len(conns) == 1 else "were lost"
    return f"{subject} {verb} {times}{first}, for {length(sum(ends - begins for begins, ends in lost))}"


def _who(keys: Collection[str], instruments: int) -> str:
    return "all instruments" if len(keys) == instruments > 1 else fmt.plural(len(keys), "instrument")


def _mostly(moments: Iterable[int]) -> str:
    """The clock time that most have."""
    ((most, _),) = Counter(map(clock_time, moments)).most_common(1)
    return most


def _union(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans, those that touch put together."""
    joined: list[tuple[int, int]] = []
    for begins, ends in sorted(spans):
        if joined and begins <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(ends, joined[-1][1])
        else:
            joined.append((begins, ends))
    return joined
