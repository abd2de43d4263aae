"""Calendar sessions: when each segment trades by the calendar, for dates whose own runs have not said it.

Owns the rows that stand in: the calendar that the store keeps, else the built-in one. Knows no SQL.
"""

import datetime as dt
from collections.abc import Sequence

import pyarrow as pa

from tickrec import schema
from tickrec.market.calendar import SEGMENTS, exchange_of, known_calendar
from tickrec.store.paths import Store


def sessions_by_calendar(store: Store, dates: Sequence[dt.date]) -> pa.Table:
    """`date, segment, start_ts, end_ts` of every session of the dates. A date that nobody has listed is a usual one."""
    calendar = known_calendar(store.state / "calendar.json")
    rows = [
        (date, segment, each.start_ns // 1000, each.end_ns // 1000)
        for date in dates
        for sessions in [calendar.sessions(date)]
        for segment in SEGMENTS
        for each in sessions.get(exchange_of(segment) or "", ())
    ]
    fields = [schema.SESSIONS.field(name) for name in ("segment", "start_ts", "end_ts")]
    columns = pa.schema([pa.field("date", pa.date32()), *fields])
    found = zip(*rows, strict=True) if rows else [()] * len(columns)
    arrays = [pa.array(values, kind) for values, kind in zip(found, columns.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=columns)
