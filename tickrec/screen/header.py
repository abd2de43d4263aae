"""The header of the table: how the run does, its connections, and what is on the disk.

Owns the wording, and what is red because it needs a person.
"""

from collections.abc import Iterator
from typing import Final

from rich.text import Text

from tickrec import formatting as fmt
from tickrec.clock import SECOND
from tickrec.screen.last_values import Breadth
from tickrec.screen.lines import NOTHING, Piece, Tone, spread
from tickrec.status.runstatus import CONNECTED, STALE, WAITING, ConnectionStatus, RunStatus

_QUIET_S: Final = 30.0
"""Silence longer than this, while data is expected, needs a person."""
_ATTEMPTS: Final = 3
"""So does a connection that has failed so often in a row."""
_LAG_S: Final = 5.0
"""So does a disk that takes longer than this to make data durable."""
_TOKEN_S: Final = 1800.0
"""So does a token that expires within this time, or before the planned end."""
_GOOD: Final = ("A", "B")


def header(run: RunStatus, now_ns: int, breadth: Breadth, width: int, said: str = "", grade: str = "") -> list[Text]:
    """The lines at `now_ns` (wall time).

    `said` is what else there is to say of the run, in place of its reason, and `grade` the date's so far.
    """
    lines = [spread(width, _title(run, now_ns), [_disk(run)])]
    if said or run.reason:
        lines.append(spread(width, [Piece(said, Tone.STRONG) if said else Piece(run.reason, Tone.ALARM)]))
    if run.state == WAITING:
        return [*lines, spread(width, [Piece(words, Tone.STRONG)])] if (words := begin_words(run, now_ns)) else lines
    for connection in run.connections:
        first = connection is run.connections[0]
        right = [_gaps(run, now_ns)] if first else []
        lines.append(spread(width, connection_pieces(connection, run, now_ns), right))
    lines.append(spread(width, [*_storage(run)], _token(run, now_ns)))
    graded = Piece(f"grade {grade} so far", Tone.PLAIN if grade in _GOOD else Tone.STRONG) if grade else NOTHING
    lines.append(spread(width, [*_market(run, breadth)], [graded]))
    return lines


def _title(run: RunStatus, now_ns: int) -> list[Piece]:
    state = Piece(f"{run.state} {run.date}", Tone.ALARM if run.state == STALE else Tone.STRONG)
    return [
        Piece("tickrec", Tone.ACCENT),
        state,
        Piece("simulated" if run.simulated else "", Tone.ACCENT),
        Piece(run.session, rank=5, short=run.session.partition(",")[0]),
        Piece(fmt.clock_time(now_ns), rank=2),
        Piece(f"up {fmt.duration((now_ns - run.started_ns) / SECOND)}", Tone.FAINT, rank=4),
    ]


def begin_words(run: RunStatus, now_ns: int) -> str:
    """When a run that waits begins: `recording begins at 09:00, in 3m 10s`; empty where that is not known."""
    if run.start_ns is None:
        return ""
    return (
        f"recording begins at {fmt.moment(run.start_ns, now_ns)}, in {fmt.duration((run.start_ns - now_ns) / SECOND)}"
    )


def not_recorded(run: RunStatus) -> Iterator[tuple[str, list[str]]]:
    """The instruments that were asked for and are silent, or stale, each with that word; in words."""
    if run.silent:
        yield "silent", [f"{symbol} ({key})" for key, symbol in run.silent]
    if run.stale:
        yield "stale", [f"{symbol} (since {fmt.clock_time(last_ns)})" for _, symbol, last_ns in run.stale]


def _disk(run: RunStatus) -> Piece:
    """`disk 61 GB (~24 days)`, or hours when it is less than two days, or the size alone while that is not known."""
    if run.disk_free_bytes is None:
        return NOTHING
    words = "disk low:" if run.disk_low else "disk"
    short = f"{words} {fmt.size(run.disk_free_bytes)}"
    tone = Tone.ALARM if run.disk_low else Tone.PLAIN
    return Piece(f"{short} (~{lasting})" if (lasting := disk_lasting(run)) else short, tone, rank=3, short=short)


def disk_lasting(run: RunStatus) -> str:
    """About how long the free space lasts: `24 days`, or `5 hours` when it is less than two days; may be empty."""
    days, hours = run.disk_days, run.disk_hours
    if days is not None and (days >= 2 or hours is None):
        return fmt.plural(max(int(days), 1), "day")
    if hours is None:
        return ""
    return fmt.plural(int(hours), "hour") if hours >= 2 else fmt.plural(int(hours * 60), "minute")


def connection_pieces(connection: ConnectionStatus, run: RunStatus, now_ns: int) -> list[Piece]:
    """The line of a connection: how it does, or when the next attempt is and why."""
    name = Piece(f"conn {connection.conn}")
    if connection.state != CONNECTED:
        return [name, *_lost(connection, now_ns)]
    last_s = None if connection.last_message_ns is None else (now_ns - connection.last_message_ns) / SECOND
    quiet = is_unheard(connection, run, now_ns)
    return [
        name,
        Piece(f"up {fmt.age((now_ns - connection.since_ns) / SECOND)}", rank=4),
        Piece(f"{connection.answered}/{connection.keys} keys", rank=2),
        Piece(f"{fmt.rate(connection.message_rate)} msg/s", rank=5),
        Piece(f"{fmt.rate(connection.rate)} ticks/s"),
        Piece(f"last {fmt.age(last_s)}", Tone.ALARM if quiet else Tone.PLAIN),
    ]


def is_unheard(connection: ConnectionStatus, run: RunStatus, now_ns: int) -> bool:
    """Whether an open connection has said nothing for long, though data is expected; also one that never has."""
    heard_ns = max(connection.last_message_ns or 0, connection.since_ns)
    return run.expects_data and now_ns - heard_ns > _QUIET_S * SECOND


def _lost(connection: ConnectionStatus, now_ns: int) -> list[Piece]:
    """`retry in 4s (3rd)  403 on handshake`."""
    retry_ns = connection.retry_ns
    words = connection.state
    if retry_ns is not None and retry_ns > now_ns:
        words = f"retry in {fmt.countdown((retry_ns - now_ns) / SECOND)}"
    if connection.attempt:
        words += f" ({fmt.ordinal(connection.attempt)})"
    tone = Tone.ALARM if connection.attempt >= _ATTEMPTS else Tone.STRONG
    return [Piece(words, tone), Piece(connection.reason)]


def _gaps(run: RunStatus, now_ns: int) -> Piece:
    short = f"gaps {run.gap_count}"
    if not run.gaps:
        return Piece(short, rank=3, short=short)
    total = fmt.duration(run.gap_seconds(now_ns))
    lasts = ", one lasts" if any(gap.end_ns is None for gap in run.gaps) else ""
    return Piece(f"{short} ({total}{lasts})", rank=3, short=short)


def _storage(run: RunStatus) -> Iterator[Piece]:
    yield Piece(f"journal {fmt.size(run.journal_bytes)}")
    if run.durable_ns is not None:
        lag = (run.written_ns - run.durable_ns) / SECOND  # what is said once a second is not late by that second
        yield Piece(f"synced {fmt.age(lag)} ago", Tone.ALARM if lag > _LAG_S else Tone.PLAIN, rank=2)
    yield Piece(f"unflushed {fmt.grouped(run.unflushed_ticks)}", rank=3)
    yield Piece(f"parquet {fmt.grouped(run.parquet_ticks)}", rank=4)
    if run.duckdb_lag_ticks is not None:
        yield Piece(f"duckdb {fmt.grouped(-run.duckdb_lag_ticks)}", rank=5)
    yield Piece(f"rejected {fmt.grouped(run.rejected)}", rank=0 if run.rejected else 6)


def _token(run: RunStatus, now_ns: int) -> list[Piece]:
    """A warning when the token does not last."""
    expires_ns = run.token_expires_ns
    if expires_ns is None or expires_ns > max(now_ns + _TOKEN_S * SECOND, run.stop_ns or 0):
        return []
    words = "expired" if expires_ns <= now_ns else "expires"
    return [Piece(f"token {words} {fmt.moment(expires_ns, now_ns)}", Tone.ALARM)]


def _market(run: RunStatus, breadth: Breadth) -> Iterator[Piece]:
    yield Piece(f"ticks {fmt.grouped(run.ticks)}")
    if any(breadth):
        yield Piece(f"advances {fmt.grouped(breadth.advances)}", rank=2)
        yield Piece(f"declines {fmt.grouped(breadth.declines)}", rank=2)
        yield Piece(f"unchanged {fmt.grouped(breadth.unchanged)}", rank=4)
