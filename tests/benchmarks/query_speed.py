"""How fast questions are answered about a sealed day, by itself and among 250 days. Run by hand:

    python -m tests.benchmarks.query_speed [--ticks 3000000] [--days 250] [--turns 7]

Prints a table of the best of some turns: the time in SQL, and that of the whole command with its start. The day is
made in SQL and written as sealing writes it, sorted by a key that says nothing about the symbol; the other days are
hard links to the same file.
"""

import argparse
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tickrec import schema
from tickrec.journal import JournalWriter, compress
from tickrec.journal.history import History
from tickrec.query.session import Session
from tickrec.seal.sort import GROUP_ROWS
from tickrec.store import parquet
from tickrec.store.coverage import Footer
from tickrec.store.last_rows import LastRows
from tickrec.store.paths import Store
from tickrec.upstox.rest import SOURCE

DATE = dt.date(2026, 11, 23)
INSTRUMENTS = 220
A_MESSAGE = 30
ONE_MINUTE = f"FROM candles('1 minute') WHERE symbol = 'STOCK100' AND date = '{DATE}'"
QUESTIONS = {
    "1-minute candles of one instrument": (ONE_MINUTE, 0.040),
    "trades of one instrument": (f"FROM trades WHERE symbol = 'STOCK100' AND date = '{DATE}'", None),
    "ticks and highs by symbol": (
        f"SELECT symbol, count(*), max(ltp) FROM ticks WHERE date = '{DATE}' GROUP BY 1",
        None,
    ),
    "latest of everything": ("SELECT symbol, ltp, bid, ask FROM latest", None),
    "1-minute candles of everything": (f"SELECT count(*) FROM candles('1 minute') WHERE date = '{DATE}'", None),
}
"""Each question with the seconds it may take in SQL."""

_ROWS = f"""
WITH moments AS (
    SELECT seq, 1795405500000000 + seq * 22500000000 // $messages AS us FROM range(1, $messages + 1) r(seq)
), ticks AS (
    SELECT seq, us, (seq * {A_MESSAGE} + n) % {INSTRUMENTS} AS k, 1000 + 9 * sin(seq / 5000.0 + n) AS price
    FROM moments, range({A_MESSAGE}) m(n)
), priced AS (
    SELECT *, round(20 * (price + random() / 2)) / 20 AS ltp, (random() * 900)::BIGINT AS q FROM ticks
)
SELECT seq, 1::SMALLINT AS conn, make_timestamptz(us) AS recv_ts,
    make_timestamptz(us // 1000 * 1000 - 16000) AS feed_ts,
    CASE WHEN k < 5 THEN 'NSE_INDEX|Index ' || k ELSE 'NSE_EQ|INE' || lpad(k::VARCHAR, 6, '0') || 'A01' END
        AS instrument_key,
    CASE WHEN k < 5 THEN 'INDEX' || k ELSE 'STOCK' || k * 37 % 220 END AS symbol, 'full_d5' AS mode,
    seq <= 8 AS snapshot,
    ltp, make_timestamptz(us // 1000 * 1000 - 150000) AS ltt, CASE WHEN k >= 5 THEN q END AS ltq, 1000.0 AS cp,
    ltp - 0.05 AS bid, q + 1 AS bid_qty, ltp + 0.05 AS ask, q + 2 AS ask_qty,
    [ltp - 0.05, ltp - 0.1, ltp - 0.15, ltp - 0.2, ltp - 0.25] AS bid_prices, [q + 1, q, 5, 6, 7] AS bid_qtys,
    [ltp + 0.05, ltp + 0.1, ltp + 0.15, ltp + 0.2, ltp + 0.25] AS ask_prices, [q + 2, q, 5, 6, 7] AS ask_qtys,
    round(price, 2) AS atp, CASE WHEN k >= 5 THEN seq * 40 + seq // 3 * 100 END AS vtt, 0.0 AS oi, 0.0 AS iv,
    (q * 90)::DOUBLE AS tbq, (q * 70)::DOUBLE AS tsq, 1000.0 AS day_open, 1012.0 AS day_high, 990.0 AS day_low,
    ltp AS day_close, seq * 40 AS day_volume, make_timestamptz(1795372200000000) AS day_ts, 1000.0 AS min_open,
    1001.0 AS min_high, 999.0 AS min_low, 1000.5 AS min_close, 900 AS min_volume,
    make_timestamptz(us // 60000000 * 60000000 - 60000000) AS min_ts
FROM priced ORDER BY instrument_key, seq
"""


def make_day(store: Store, ticks: int) -> None:
    """A sealed day of about so many ticks."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.sql(_ROWS.replace("$messages", str(ticks // A_MESSAGE))).to_arrow_table()
    columns = [
        rows[name].cast(kind) if name in rows.column_names else pa.nulls(len(rows), kind)
        for name, kind in zip(schema.TICKS.names, schema.TICKS.types, strict=True)
    ]
    table = pa.table(columns, schema=schema.TICKS)
    footer = Footer(1, ticks // A_MESSAGE, History().to_text())
    path = store.sealed_path("ticks", DATE)
    path.parent.mkdir(parents=True)
    file = parquet.sealed_file(path)
    start = end = 0
    counts = pc.value_counts(table["instrument_key"]).field("counts").to_pylist()
    last_rows = LastRows(counts)
    last_rows.add(table)
    for count in counts:  # groups end with an instrument
        if end + count - start > GROUP_ROWS:
            file.write(table.slice(start, end - start))
            start = end
        end += count
    file.write(table.slice(start))
    file.close(replace(footer, last_rows=last_rows.to_text()).to_metadata())
    for name, fields in schema.SMALL_TABLES.items():
        store.folder(name, DATE).mkdir(parents=True)
        parquet.write_small(fields.empty_table(), store.sealed_path(name, DATE), footer.to_metadata())
    finish(store, DATE)


def finish(store: Store, date: dt.date) -> None:
    """What else a sealed date has on disk."""
    facts = {"schema_version": schema.SCHEMA_VERSION, "instruments": {f"NSE_EQ|{n}": n for n in range(INSTRUMENTS)}}
    store.manifest_path(date).parent.mkdir(exist_ok=True)
    store.manifest_path(date).write_text(json.dumps(facts, indent=1))
    if date == DATE:
        JournalWriter(store.journal(date), source=SOURCE, next_seq=1, start_ns=0).close()
        compress(store.journal_files(date)[0])
    else:
        store.journal(date).mkdir()
        os.link(store.journal_files(DATE)[0], store.journal(date) / "0001.journal.zst")


def add_days(store: Store, count: int, first: int = 1) -> None:
    """Earlier days with the same files, until there are so many; `first` are there already."""
    for back in range(first, count):
        date = DATE - dt.timedelta(days=back)
        for name in ("ticks", *schema.SMALL_TABLES):
            store.folder(name, date).mkdir(parents=True)
            os.link(store.sealed_path(name, DATE), store.sealed_path(name, date))
        finish(store, date)


def best(turns: int, work: Callable[[], object]) -> float:
    """Seconds of the fastest of some turns."""
    took = []
    for _ in range(turns):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return min(took)


def in_sql(store: Store, sql: str, turns: int) -> float:
    """Seconds from the question to the last row, files listed and views made anew each time."""
    with Session(store) as session:
        return best(turns, lambda: list(session.execute(sql).batches()))


def whole_command(store: Store, turns: int) -> float:
    """Seconds of `tickrec query`, the start of Python included."""
    command = [sys.executable, "-m", "tickrec", "query", "--data", str(store.root), "--format", "csv", ONE_MINUTE]
    return best(turns, lambda: subprocess.run(command, check=True, capture_output=True))


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder on the disk that temporary files are on."""
    folder = Path(tempfile.mkdtemp(prefix="tickrec-query-speed-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--ticks", type=int, default=3_000_000)
    options.add_argument("--days", type=int, default=250)
    options.add_argument("--turns", type=int, default=7)
    chosen = options.parse_args()
    with work_folder() as folder:
        store = Store(folder / "data")
        make_day(store, chosen.ticks)
        size = store.sealed_path("ticks", DATE).stat().st_size
        alone = {name: in_sql(store, sql, chosen.turns) for name, (sql, _) in QUESTIONS.items()}
        command = whole_command(store, chosen.turns)
        add_days(store, chosen.days)
        among = {name: in_sql(store, sql, chosen.turns) for name, (sql, _) in QUESTIONS.items()}
        command_among = whole_command(store, chosen.turns)
    print(f"{chosen.ticks:,} ticks of {INSTRUMENTS} instruments a day, {size / 1e6:.0f} MB; best of {chosen.turns}\n")
    print(f"{'':<40}{'one day':>10}{'target':>10}{f'{chosen.days} days':>12}{'more':>10}{'target':>10}")
    for name, (_, target) in QUESTIONS.items():
        row(name, alone[name], target, among[name], 0.060 if target else None)
    row("the first as a whole command", command, 0.4, command_among, 0.060)


def row(name: str, alone: float, target: float | None, among: float, more: float | None) -> None:
    """A line of the table, in milliseconds."""
    texts = [f"{seconds * 1000:,.0f} ms" if seconds is not None else "" for seconds in (alone, target)]
    texts += [f"{among * 1000:,.0f} ms", f"{(among - alone) * 1000:+,.0f} ms", f"{more * 1000:.0f} ms" if more else ""]
    print(f"{name:<40}{texts[0]:>10}{texts[1]:>10}{texts[2]:>12}{texts[3]:>10}{texts[4]:>10}")


if __name__ == "__main__":
    main()
