"""RunStatus: what a recording run says about itself, once a second.

Owns the facts and their JSON text, which is the content of the status file. The live table, `status` and `status
--watch` all read the same facts, so that they cannot disagree. Does not know where the file is.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Final

from tickrec.clock import SECOND
from tickrec.journal.gaps import Gap

WAITING: Final = "waiting"
"""Nothing is to be recorded yet, or the broker cannot be asked yet what is."""
RECORDING: Final = "recording"
STOPPED: Final = "stopped"
"""The run ended with a goodbye; the last thing it says."""
STALE: Final = "stale"
"""What others say of a run that died, or that should record and does not."""

CONNECTED: Final = "connected"
"""The state of a connection whose websocket is open. Any other word says what it is doing instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStatus:
    """One connection: counts since the run began, rates over the last seconds, instants in wall nanoseconds."""

    conn: int
    state: str
    """CONNECTED, or a word for what it is doing instead, such as connecting or waiting."""
    keys: int
    answered: int
    frames: int
    ticks: int
    since_ns: int
    """When this state began."""
    message_rate: float = 0.0
    rate: float = 0.0
    """Ticks a second."""
    last_message_ns: int | None = None
    attempt: int = 0
    """Failed attempts in a row since the connection last proved itself."""
    retry_ns: int | None = None
    """When the next attempt is due."""
    reason: str = ""
    """Why it is not connected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """Everything a run knows about itself at `written_ns`. Instants are wall nanoseconds, counts are of this run."""

    state: str
    """WAITING, RECORDING or STOPPED."""
    pid: int
    date: str
    """Trading date, 2026-11-23."""
    started_ns: int
    written_ns: int
    simulated: bool = False

    frames: int = 0
    ticks: int = 0
    bytes: int = 0
    """Payload bytes of all messages."""
    rate: float = 0.0
    """Ticks a second over the last seconds."""
    message_rate: float = 0.0
    last_message_ns: int | None = None
    expects_data: bool = False
    """A subscribed segment trades now, so silence is wrong."""

    durable_ns: int | None = None
    """Everything received until then is on the disk; equals `written_ns` when nothing waits for a sync."""
    journal_bytes: int = 0
    """Bytes that this run wrote into the date's journal."""
    byte_rate: float = 0.0
    """Bytes a second that the run has taken of the disk so far; 0 while it is too young to tell."""
    position: tuple[int, int] | None = None
    """File and offset of the journal up to which everything above counts."""
    parquet_ticks: int = 0
    """Ticks that this run put into Parquet."""
    parquet_ns: int | None = None
    """Parquet has everything received until then."""
    flushed_seq: int = 0
    unflushed_ticks: int = 0
    duckdb_lag_ticks: int | None = None
    """Ticks in Parquet or waiting that the DuckDB day file lacks; None without such a file."""

    reconnects: int = 0
    rejected: int = 0
    connections: tuple[ConnectionStatus, ...] = ()
    wanted: int = 0
    answered: int = 0
    silent: tuple[tuple[str, str], ...] = ()
    """Key and symbol of each instrument that was asked for twice and never answered, or could not be asked for."""
    stale: tuple[tuple[str, str, int], ...] = ()
    """Key, symbol and last tick of each instrument that is traded and has stopped ticking, the longest first."""
    unknown: tuple[str, ...] = ()
    """Selectors of watchlists and of the configuration that mean nothing today."""
    gaps: tuple[Gap, ...] = ()
    """The newest, and those that last."""
    earlier_gaps: int = 0
    earlier_gap_ns: int = 0
    """How many there were before these, and how long together."""

    disk_free_bytes: int | None = None
    min_free_bytes: int = 0
    """Below this much free space a person should look."""
    day_bytes: int | None = None
    """What a day costs on the disk, from the sealed ones, else estimated from this run; None while unknown."""
    token_expires_ns: int | None = None
    segments: tuple[str, ...] = ()
    """The exchange segments that are recorded."""
    session: str = ""
    """Such as `NSE open until 15:30, F&O until 15:40`; the part before the first comma must make sense alone."""
    start_ns: int | None = None
    """The planned beginning, while WAITING."""
    stop_ns: int | None = None
    """The planned end."""

    news: tuple[str, ...] = ()
    """The last lines of the log that were warnings or worse, each with its clock time."""
    reason: str = ""
    """Why it stopped; empty at the planned end and after a signal. While WAITING: why the broker cannot be asked."""
    exit_code: int = 0
    """What the process ended with, once STOPPED."""

    @property
    def disk_days(self) -> float | None:
        """Days of the usual size that the free space lasts."""
        return self.disk_free_bytes / self.day_bytes if self.disk_free_bytes is not None and self.day_bytes else None

    @property
    def disk_hours(self) -> float | None:
        """Hours that the free space lasts at the rate of the run so far."""
        if self.disk_free_bytes is None or self.byte_rate <= 0:
            return None
        return self.disk_free_bytes / self.byte_rate / 3600

    @property
    def disk_low(self) -> bool:
        """Less is free than the user asked to be warned at."""
        return self.disk_free_bytes is not None and self.disk_free_bytes < self.min_free_bytes

    def gap_seconds(self, now_ns: int) -> float:
        """Length of all gaps together, lasting ones until `now_ns`."""
        newest = sum((now_ns if gap.end_ns is None else gap.end_ns) - gap.start_ns for gap in self.gaps)
        return (newest + self.earlier_gap_ns) / SECOND

    @property
    def gap_count(self) -> int:
        """All gaps of the run."""
        return len(self.gaps) + self.earlier_gaps


def encode(run: RunStatus) -> bytes:
    """The JSON text of the facts."""
    return json.dumps(run, default=_fields, ensure_ascii=False, separators=(",", ":")).encode()


def decode(text: bytes) -> RunStatus:
    """The facts of a JSON text; names that are not known are passed over. Raises ValueError."""
    facts = json.loads(text)
    try:
        facts["connections"] = tuple(_build(ConnectionStatus, each) for each in facts.get("connections", ()))
        facts["gaps"] = tuple(Gap(*each) for each in facts.get("gaps", ()))
        facts["silent"] = tuple((str(key), str(symbol)) for key, symbol in facts.get("silent", ()))
        facts["stale"] = tuple((str(key), str(symbol), int(ns)) for key, symbol, ns in facts.get("stale", ()))
        facts["unknown"] = tuple(map(str, facts.get("unknown", ())))
        facts["news"] = tuple(map(str, facts.get("news", ())))
        facts["segments"] = tuple(map(str, facts.get("segments", ())))
        if facts.get("position") is not None:
            number, offset = facts["position"]
            facts["position"] = (int(number), int(offset))
        run: RunStatus = _build(RunStatus, facts)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"not the status of a run: {error}") from error
    return run


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _build(kind: type, facts: dict[str, Any]) -> Any:
    names = {field.name for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in facts.items() if name in names})
