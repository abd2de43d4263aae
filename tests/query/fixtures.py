"""Stores to ask: days written from chosen rows, and days recorded, flushed and sealed step by step."""

import datetime as dt
import functools
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests import days
from tickrec import schema
from tickrec.clock import IST
from tickrec.journal.entry import EntryKind
from tickrec.journal.history import History
from tickrec.query.session import Session
from tickrec.store.coverage import Footer, coverage
from tickrec.store.paths import Store
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb

Row = dict[str, Any]


def at(text: str, date: dt.date = days.DATE) -> dt.datetime:
    """An IST clock time of a date."""
    return dt.datetime.combine(date, dt.time.fromisoformat(text), IST)


def tick(seq: int, time: str, *, key: str = "NSE_EQ|A", symbol: str | None = "A", **columns: Any) -> Row:
    """A row of ticks received at a time of the day; `ltt` may be a clock time too."""
    if isinstance(columns.get("ltt"), str):
        columns["ltt"] = at(columns["ltt"])
    row = {"seq": seq, "conn": 1, "recv_ts": at(time), "feed_ts": at(time), "instrument_key": key, "symbol": symbol}
    return {**row, "mode": "full_d5", "snapshot": False, **columns}


def write_sealed(store: Store, date: dt.date, tables: Mapping[str, Iterable[Row]], last_seq: int = 10**6) -> None:
    """A sealed date whose tables hold just these rows."""
    empty = {name: () for name in schema.SMALL_TABLES} if "ticks" in tables else {}
    for name, rows in {**empty, **tables}.items():
        path = store.sealed_path(name, date)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_file(name, list(rows), last_seq) if rows else _empty_file(name, last_seq))


@functools.cache
def _empty_file(name: str, last_seq: int) -> bytes:
    return _file(name, (), last_seq)


def _file(name: str, rows: Sequence[Row], last_seq: int) -> bytes:
    """A sealed file of a table."""
    table = pa.Table.from_pylist(rows, schema=schema.TABLES[name])
    if name == "ticks":
        table = table.sort_by([("instrument_key", "ascending"), ("seq", "ascending")])
    footer = Footer(1, last_seq, History().to_text()).to_metadata()
    file = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(footer), file)
    return file.getvalue()


def seal_parts(store: Store, date: dt.date) -> None:
    """Put the sealed file and the parts of a date together as sealing does: publish, then remove the parts."""
    covered = coverage(store, date)
    for name in ("ticks", *schema.SMALL_TABLES):
        old = store.sealed_path(name, date)
        parts = [part.path for part in covered.parts] if name == "ticks" else covered.small_parts.get(name, ())
        found = [pq.read_table(path, schema=schema.TABLES[name]) for path in (*[old] * old.exists(), *parts)]
        table = pa.concat_tables([schema.TABLES[name].empty_table(), *found])
        if name == "ticks":
            table = table.sort_by([("instrument_key", "ascending"), ("seq", "ascending")])
        footer = Footer(1, covered.next_seq - 1, covered.history, covered.position).to_metadata()
        temp = old.with_suffix(".new")
        temp.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.replace_schema_metadata(footer), temp)
        temp.replace(old)
    for part in covered.parts:
        part.path.unlink()
    for paths in covered.small_parts.values():
        for path in paths:
            path.unlink()


def answer(session: Session, sql: str) -> list[Row]:
    """The rows of a query as dicts; instants as IST datetimes."""
    result = session.execute(sql)
    rows: list[Row] = pa.Table.from_batches(result.batches(), result.schema).to_pylist()
    return rows


def feeds(store: Store, date: dt.date = days.DATE) -> list[tuple[int, int, bool, str, Any]]:
    """(seq, receive time in ns, snapshot, key, Feed) of everything in a date's journal, by the protobuf library."""
    found = []
    for entry in days.every_entry(store, date):
        if entry.kind is EntryKind.MESSAGE and not entry.payload.startswith(b"\xff"):
            message = pb.FeedResponse.FromString(entry.payload)
            found += [(entry.seq, entry.wall_ns, message.type == 0, key, feed) for key, feed in message.feeds.items()]
    return found


def trades_by_hand(store: Store, date: dt.date = days.DATE) -> list[dict[str, Any]]:
    """Every row that counts as a trade, from the messages."""
    last: dict[str, Any] = {}
    found = []
    for seq, _, snapshot, key, feed in feeds(store, date):
        full = feed.fullFeed.marketFF if feed.fullFeed.HasField("marketFF") else feed.fullFeed.indexFF
        index = not feed.fullFeed.HasField("marketFF")
        mark = full.ltpc.ltt if index else full.vtt
        new = mark > last.get(key, 0 if index else float("inf"))
        if new and full.ltpc.ltt and (key in last or not snapshot):
            qty = None if index else mark - last[key]
            oi = None if index else full.oi
            found.append({"seq": seq, "key": key, "ltp": full.ltpc.ltp, "ltt": full.ltpc.ltt, "qty": qty, "oi": oi})
        last[key] = max(mark, last.get(key, 0))
    return found


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder with its size and time of change."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
