"""The report: what `tickrec status` prints, and what a run leaves behind when it ends.

Owns the wording. Everything said here is in the StatusReport or the RunStatus; `status.as_json` has the same as JSON.
"""

import datetime as dt
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from rich.table import Table

from tickrec import formatting as fmt
from tickrec.clock import SECOND, from_datetime, ist
from tickrec.errors import DataError
from tickrec.journal.gaps import Gap
from tickrec.screen.header import begin_words, connection_pieces, disk_lasting, is_unheard, not_recorded
from tickrec.screen.lines import NOTHING, Page, Piece, Tone
from tickrec.status.runstatus import CONNECTED, RECORDING, STALE, WAITING, ConnectionStatus, RunStatus
from tickrec.status.status import StatusReport
from tickrec.status.totals import Totals
from tickrec.store.manifest import load
from tickrec.store.paths import Store

_LEFT: Final = 47
"""Characters of the left column."""
_GAPS: Final = 3
"""Gaps that are named."""
_DAYS: Final = 5
"""Days whose files are listed."""
_LEFT_COLUMNS: Final = 3
"""Of the table of days, date and state; numbers stand at the right."""
_NAMED: Final = 5
"""Instruments that are named."""
_LOST: Final = 3
"""Ranges of lost entries that are named."""

Pair = tuple[Piece, Piece]


def status_page(report: StatusReport, width: int, *, option: str = "") -> Page:
    """One screen about a store. `option` is what selects the store on the command line, such as ` --simulate`."""
    page = Page(width)
    run = report.run
    if report.missing and run is not None:
        page.say("nothing is recording, and the exchange is open", Tone.ALARM)
    if run is None:
        _nothing_yet(page, report, option)
    elif report.state in (RECORDING, WAITING) or (report.state == STALE and not report.died):
        _going(page, report, run)
    else:
        _over(page, report, run, option)
    if run is not None:
        for text in _not_recorded(run):
            page.say(text, Tone.ALARM)
    _kept(page, report)
    return page


def summary_page(run: RunStatus, store: Store, width: int, *, option: str = "", date_ticks: int | None = None) -> Page:
    """What a run leaves behind: counts, gaps, and where everything is.

    `date_ticks` are those of all runs of its date; `option` selects the store on the command line.
    """
    page = Page(width)
    _say_parts(
        page,
        f"recorded {run.date}  {fmt.clock_time(run.started_ns)} - {fmt.clock_time(run.written_ns)}",
        f"{fmt.plural(run.ticks, 'tick')} of {fmt.plural(run.answered, 'instrument')} "
        f"in {fmt.plural(run.frames, 'message')}",
        tone=Tone.STRONG,
    )
    if run.reason:
        page.say(f"ended by: {run.reason}", Tone.ALARM)
    for line in _gaps(run, run.gap_seconds(run.written_ns), date_ticks):
        page.say(line.text, line.tone)
    rejected = f"rejected {fmt.grouped(run.rejected)}"
    for text in _not_recorded(run):
        page.say(text, Tone.ALARM)
    page.say(rejected if run.silent else f"silent 0   {rejected}", Tone.ALARM if run.rejected else Tone.PLAIN)
    for parts in _files(run, store, option):
        _say_parts(page, *parts)
    return page


def _say_parts(page: Page, *parts: str, tone: Tone = Tone.PLAIN) -> None:
    """Say parts on one line, or each on its own where that is too narrow."""
    whole = "   ".join(parts)
    for text in [whole] if len(whole) <= page.width else [parts[0], *(f"  {part}" for part in parts[1:])]:
        page.say(text, tone)


def _nothing_yet(page: Page, report: StatusReport, option: str) -> None:
    if report.state == STALE:
        page.say(f"stale: the last run {report.reason}", Tone.ALARM)
    elif report.ended_ns is not None:
        page.say(f"stopped: the last run ended at {_when(report.ended_ns, report.now_ns)}", Tone.STRONG)
    else:
        page.say("stopped: nothing has been recorded here yet" if not report.kept else "stopped", Tone.STRONG)
    page.say(f"Start with: tickrec record{option}")


def _going(page: Page, report: StatusReport, run: RunStatus) -> None:
    now_ns = report.now_ns
    if report.reason:
        page.say(f"{report.state}: {report.reason}", Tone.ALARM)
    word = WAITING if run.state == WAITING else RECORDING
    since = Piece(f"{word} since {fmt.clock_time(run.started_ns)} (pid {run.pid})", Tone.STRONG)
    session = f"{run.date}, {run.session}" if run.session else run.date
    pairs: list[Pair] = [(since, Piece(f"{session}, simulated" if run.simulated else session))]
    if run.state == WAITING:
        pairs.append((Piece(begin_words(run, now_ns)), _token(run, now_ns)))
        pairs.append((NOTHING, _disk(run)))
    else:
        counts = f"{_counts(run, report.date_ticks, 'this run')}, {fmt.rate(run.rate)}/s now"
        pairs.append((Piece(counts), Piece(_freshness(run, now_ns))))
        pairs += _facts(
            [*_connections(run, now_ns)],
            _gaps(run, report.gap_seconds, report.date_ticks),
            [_token(run, now_ns), _disk(run)],
        )
        if run.rejected:
            pairs.append((Piece(f"rejected {fmt.plural(run.rejected, 'message')}", Tone.ALARM), NOTHING))
    _columns(page, pairs)


def _over(page: Page, report: StatusReport, run: RunStatus, option: str) -> None:
    now_ns = report.now_ns
    until = "" if report.ended_ns is None else _when(report.ended_ns, now_ns)
    words = f"stopped: the run of pid {run.pid} ended{f' at {until}' if until else ''}"
    if report.died:
        missing = run.stop_ns is not None and now_ns < run.stop_ns
        planned = f" (planned until {fmt.moment(run.stop_ns, now_ns)})" if missing and run.stop_ns else ""
        page.say(f"{words} without a goodbye; nothing is recording{planned}.", Tone.ALARM)
        page.say(f"Start it again with: tickrec record{option}")
        if until:
            page.say(f"What was journalled until {until} is safe.")
    else:
        because = f": {report.reason}" if report.reason else ""
        page.say(f"{words}{because}", Tone.ALARM if run.exit_code else Tone.STRONG)
    counts = _counts(run, report.date_ticks, "the last run")
    pairs = [(Piece(counts), Piece(f"{run.date}, from {fmt.clock_time(run.started_ns)}"))]
    gaps = _gaps(run, report.gap_seconds, report.date_ticks, report.endless_gaps)
    pairs += _facts([], gaps, [_disk(run)])
    _columns(page, pairs)


def _columns(page: Page, pairs: Sequence[Pair]) -> None:
    """Two columns where the page is wide enough, else one thing after the other."""
    wide = all(not right.text or _LEFT + len(right.text) <= page.width for _, right in pairs)
    for left, right in pairs:
        if wide and len(left.text) < _LEFT:
            page.spread(left._replace(text=left.text.ljust(_LEFT - 2)), right)
        else:
            for piece in (left, right):
                if piece.text:
                    page.say(piece.text, piece.tone)


def _facts(left: Sequence[Piece], gaps: Iterable[Piece], right: Sequence[Piece]) -> list[Pair]:
    """What stands on the left and on the right, gaps below both when they do not fit beside them."""
    gaps = list(gaps)
    if len(gaps) == 1 and len(gaps[0].text) < _LEFT:
        return _beside([*left, *gaps], right)
    return [*_beside(left, right), *((gap, NOTHING) for gap in gaps)]


def _beside(left: Sequence[Piece], right: Sequence[Piece]) -> list[Pair]:
    right = [piece for piece in right if piece.text]
    if not left:
        return [(piece, NOTHING) for piece in right]
    length = max(len(left), len(right))
    filler = [NOTHING] * length
    return list(zip([*left, *filler][:length], [*right, *filler][:length], strict=True))


def _counts(run: RunStatus, date_ticks: int | None, whose: str) -> str:
    """`ticks 9,62,747 in 6,402 messages`; said to be of the run where its date has others."""
    counts = f"ticks {fmt.grouped(run.ticks)} in {fmt.plural(run.frames, 'message')}"
    return f"{whose}: {counts}" if _several(run, date_ticks) else counts


def _several(run: RunStatus, date_ticks: int | None) -> bool:
    """Whether the run and its date are not the same thing: earlier runs, or a run over midnight."""
    return date_ticks is not None and (date_ticks > run.ticks or str(ist(run.started_ns).date()) != run.date)


def _freshness(run: RunStatus, now_ns: int) -> str:
    words = "nothing received yet"
    if run.last_message_ns is not None:
        words = f"newest {fmt.age((now_ns - run.last_message_ns) / SECOND)} old"
    if run.durable_ns is not None:
        words += f", durable {fmt.age((run.written_ns - run.durable_ns) / SECOND)} ago"
    if run.parquet_ns is not None:
        words += f", in Parquet up to {fmt.clock_time(run.parquet_ns)}"
    return words


def _connections(run: RunStatus, now_ns: int) -> Iterator[Piece]:
    for connection in run.connections:
        if connection.state == CONNECTED:
            tone = Tone.ALARM if is_unheard(connection, run, now_ns) else Tone.PLAIN
            yield Piece(_connected(connection, now_ns), tone)
        else:
            pieces = connection_pieces(connection, run, now_ns)
            yield Piece("  ".join(piece.text for piece in pieces if piece.text), pieces[1].tone)


def _connected(connection: ConnectionStatus, now_ns: int) -> str:
    up = fmt.age((now_ns - connection.since_ns) / SECOND)
    return f"conn {connection.conn}  up {up}  {connection.answered}/{connection.keys} answered"


def _gaps(run: RunStatus, seconds: float, date_ticks: int | None, endless: int = 0) -> Iterator[Piece]:
    """`gaps 1 (3.4s): 09:12:01 connection reset`, or a line for each of the newest; all those of the date.

    `seconds` is how long they are together, without the `endless` ones.
    """
    several = _several(run, date_ticks)
    head = f"all of {run.date}: ticks {fmt.grouped(date_ticks)}, gaps" if several else "gaps"
    if not run.gaps:
        yield Piece(f"{head} 0")
        return
    lengths = [fmt.duration(seconds)] if run.gap_count > endless else []
    head += f" {run.gap_count} ({', '.join([*lengths, *_endless(endless, run.gap_count)])})"
    if run.gap_count == 1:
        yield Piece(f"{head}: {_gap(run.gaps[0], over=endless > 0)}")
        return
    newest = run.gaps[-_GAPS:]
    yield Piece(head if len(newest) == run.gap_count else f"{head}, the last {len(newest)}:")
    for gap in newest:
        yield Piece(f"  {_gap(gap, over=endless > 0)}")


def _endless(endless: int, count: int) -> list[str]:
    """What to say of gaps without an end among `count`; nothing when there are none."""
    return [] if not endless else ["no end" if endless == count == 1 else f"{endless} without end"]


def _gap(gap: Gap, *, over: bool) -> str:
    """`09:12:01 - 09:12:04 conn 1: connection reset`; `over`: nobody records, so what has no end does not last."""
    start, conn = fmt.clock_time(gap.start_ns), f"conn {gap.conn}: " if gap.conn else ""
    if gap.end_ns is not None:
        return f"{start} - {fmt.clock_time(gap.end_ns)} {conn}{gap.reason}"
    return f"from {start} on, {conn}{gap.reason}" if over else f"{start} - now {conn}{gap.reason}"


def _token(run: RunStatus, now_ns: int) -> Piece:
    expires_ns = run.token_expires_ns
    if expires_ns is None:
        return NOTHING
    if expires_ns <= now_ns:
        return Piece(f"token expired {fmt.moment(expires_ns, now_ns)}: tickrec login", Tone.ALARM)
    return Piece(f"token valid until {fmt.moment(expires_ns, now_ns)}")


def _disk(run: RunStatus) -> Piece:
    if run.disk_free_bytes is None:
        return NOTHING
    lasting = disk_lasting(run)
    words = f"disk {fmt.size(run.disk_free_bytes)} free{f', about {lasting}' if lasting else ''}"
    return Piece(f"{words}: low", Tone.ALARM) if run.disk_low else Piece(words)


def _not_recorded(run: RunStatus) -> Iterator[str]:
    """The instruments that were asked for and are not recorded, or not any more, and the symbols that mean none."""
    unknown = [("unknown today", [*run.unknown])] if run.unknown else []
    for word, names in (*not_recorded(run), *unknown):
        more = len(names) - _NAMED
        yield f"{word} {len(names)}: {', '.join(names[:_NAMED])}{f' and {more} more' if more > 0 else ''}"


def _kept(page: Page, report: StatusReport) -> None:
    """What is on the disk, and what a day costs."""
    kept, free = report.kept, report.disk_free_bytes
    if not kept:
        return
    journal, parquet, duckdb = (sum(getattr(each, name) for each in kept) for name in ("journal", "parquet", "duckdb"))
    page.say("")
    page.say(
        f"kept {fmt.plural(len(kept), 'day')} since {kept[0].date}: "
        f"journals {fmt.size(journal)}, parquet {fmt.size(parquet)}, duckdb {fmt.size(duckdb)}"
    )
    day = report.usual_day
    if day:
        more = fmt.grouped(int(free / day))
        page.say(f"a sealed day costs about {fmt.size(day)}: {fmt.size(free)} free, enough for about {more} more")
    table = Table(box=None, padding=(0, 0, 0, 2), show_edge=False, header_style=Tone.FAINT)
    for number, title in enumerate(("date", "", "grade", "journal", "parquet", "duckdb", "ticks", "gaps")):
        table.add_column(title, justify="left" if number < _LEFT_COLUMNS else "right")
    for each in kept[: -_DAYS - 1 : -1]:
        sizes = [fmt.size(size) for size in (each.journal, each.parquet, each.duckdb)]
        state = "sealed" if each.sealed else "not sealed"
        totals = report.totals.get(each.date)
        grade = totals.grade if totals is not None else None
        table.add_row(str(each.date), state, grade or fmt.NONE, *sizes, *_recorded(totals))
    page.lines.append(table)


def day_words(totals: Totals) -> str:
    """How much of a sealed day there is: `recorded 09:00:02 - 15:41:00, gaps 1 (3.4s)`."""
    times = (fmt.clock_time(from_datetime(moment)) for moment in totals.span or ())
    return f"recorded {' - '.join(times) or fmt.NONE}, gaps {_recorded(totals)[1]}"


def _recorded(totals: Totals | None) -> tuple[str, str]:
    """Ticks of a date, and its gaps as `1 (3.4s)` or `1 (no end)`; dashes before it is sealed."""
    if totals is None:
        return fmt.NONE, fmt.NONE
    count, endless = len(totals.gaps), totals.endless_gaps
    lost = _endless(endless, count) or [fmt.duration(totals.gap_ns / SECOND)]
    return fmt.grouped(totals.ticks), f"{count} ({lost[0]})" if count else "0"


def _files(run: RunStatus, store: Store, option: str) -> Iterator[list[str]]:
    date = dt.date.fromisoformat(run.date)
    if not store.settled(date):
        size = sum(path.stat().st_size for path in store.journal_files(date))
        yield [f"in {_near(store.journal(date))}: {fmt.size(size)}"]
        yield [f"not sealed yet: a later recording does it, or `tickrec seal {run.date}{option}`"]
        return
    paths = [path for path in (store.sealed_path("ticks", date), store.duckdb_path(date)) if path.exists()]
    files = [f"{_near(path)} {fmt.size(path.stat().st_size)}" for path in paths]
    yield [f"sealed  {files[0]}", *files[1:], _checked(store, date)]


def _checked(store: Store, date: dt.date) -> str:
    """What sealing found: `verified`, or what is not there any more of a date that is recorded into again."""
    try:
        sealed = load(store, date)
    except DataError as error:
        return error.what
    if sealed is None:
        return "the manifest is gone"
    lost = ", ".join(f"{first} to {last}" for first, last in sealed.missing[:_LOST])
    more = len(sealed.missing) - _LOST
    others = f" and {fmt.plural(more, 'more range')}" if more > 0 else ""
    return f"entries {lost}{others} are lost" if lost else "verified"


def _near(path: Path) -> str:
    """The path as somebody in the current folder would write it."""
    short = os.path.relpath(path)
    return str(path) if short.startswith("..") else short


def _when(wall_ns: int, now_ns: int) -> str:
    day = "" if ist(wall_ns).date() == ist(now_ns).date() else f"{ist(wall_ns).date()} "
    return f"{day}{fmt.clock_time(wall_ns)}"
