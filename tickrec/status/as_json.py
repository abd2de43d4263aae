"""The status of a store as JSON values, as `tickrec status --json` prints it.

Owns the names, which programs rely on. Instants are ISO 8601 in IST, ages and lags seconds, rates per second.
"""

from typing import Any

from tickrec.clock import SECOND, ist
from tickrec.status.disk_use import DiskUse
from tickrec.status.runstatus import RECORDING, STOPPED, WAITING, ConnectionStatus, RunStatus
from tickrec.status.status import StatusReport
from tickrec.status.totals import Totals


def to_json(report: StatusReport) -> dict[str, Any]:
    """The report as JSON values."""
    run, now_ns = report.run or _nothing(report.now_ns), report.now_ns
    there = report.run is not None
    going = report.state in (RECORDING, WAITING)
    return {
        "state": report.state,
        "reason": report.reason,
        "pid": run.pid if there else None,
        "date": run.date or None,
        "simulated": run.simulated,
        "started": _iso(run.started_ns) if there else None,
        "ended": _iso(report.ended_ns),
        "stop": _iso(run.stop_ns),
        "next_start": _iso(run.start_ns if report.state == WAITING and run.start_ns else report.next_start_ns),
        "open": report.open,
        "session": run.session,
        "frames": run.frames,
        "ticks": run.ticks,
        "bytes": run.bytes,
        "rate": round(run.rate, 1),
        "message_rate": round(run.message_rate, 1),
        "last_message_age_s": _seconds(run.last_message_ns, now_ns),
        "durable_lag_s": _seconds(run.durable_ns, run.written_ns) if going else None,
        "journal_bytes": run.journal_bytes,
        "parquet_ticks": run.parquet_ticks,
        "parquet_until": _iso(run.parquet_ns),
        "unflushed_ticks": run.unflushed_ticks,
        "duckdb_lag_ticks": run.duckdb_lag_ticks,
        "reconnects": run.reconnects,
        "rejected": run.rejected,
        "connections": [_connection_json(each, now_ns) for each in run.connections],
        "instruments": {
            "wanted": run.wanted,
            "answered": run.answered,
            "silent": [key for key, _ in run.silent],
            "stale": [key for key, *_ in run.stale],
            "unknown": list(run.unknown),
        },
        "gaps": [
            {
                "conn": gap.conn,
                "start": _iso(gap.start_ns),
                "end": _iso(gap.end_ns),
                "reason": gap.reason,
                "keys": gap.keys,
            }
            for gap in run.gaps
        ],
        "news": list(run.news),
        "gap_count": run.gap_count,
        "gap_s": round(report.gap_seconds, 3),
        "token_expires": _iso(run.token_expires_ns),
        "date_ticks": report.date_ticks,
        "disk_free_bytes": report.disk_free_bytes,
        "disk_hours": _rounded(run.disk_hours),
        "disk_days": _rounded(run.disk_days),
        "day_bytes": run.day_bytes,
        "kept": [_kept_json(each, report.totals.get(each.date)) for each in report.kept],
    }


def _kept_json(use: DiskUse, totals: Totals | None) -> dict[str, Any]:
    """What is kept of a date; ticks, gaps and grade of the newest sealed ones."""
    return {
        "date": str(use.date),
        "journal_bytes": use.journal,
        "parquet_bytes": use.parquet,
        "duckdb_bytes": use.duckdb,
        "sealed": use.sealed,
        "ticks": totals.ticks if totals else None,
        "gap_count": len(totals.gaps) if totals else None,
        "gap_s": round(totals.gap_ns / SECOND, 3) if totals else None,
        "endless_gaps": totals.endless_gaps if totals else None,
        "grade": totals.grade if totals else None,
    }


def _connection_json(connection: ConnectionStatus, now_ns: int) -> dict[str, Any]:
    return {
        "conn": connection.conn,
        "state": connection.state,
        "keys": connection.keys,
        "answered": connection.answered,
        "frames": connection.frames,
        "ticks": connection.ticks,
        "since": _iso(connection.since_ns),
        "rate": round(connection.rate, 1),
        "last_message_age_s": _seconds(connection.last_message_ns, now_ns),
        "attempt": connection.attempt,
        "retry_in_s": _seconds(now_ns, connection.retry_ns) if connection.retry_ns is not None else None,
        "reason": connection.reason,
    }


def _nothing(now_ns: int) -> RunStatus:
    return RunStatus(state=STOPPED, pid=0, date="", started_ns=now_ns, written_ns=now_ns)


def _iso(wall_ns: int | None) -> str | None:
    return None if wall_ns is None else ist(wall_ns).isoformat(timespec="milliseconds")


def _seconds(since_ns: int | None, until_ns: int) -> float | None:
    return None if since_ns is None else round(max(0, until_ns - since_ns) / SECOND, 3)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
