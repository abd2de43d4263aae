"""Tables in narrow terminals: what gives way, what is said once, and what is never cut."""

import datetime as dt
import functools
import io
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tests.query.fixtures import at
from tickrec import schema
from tickrec.query.forms import for_people
from tickrec.query.grid import Grid

DATE = dt.date(2026, 11, 23)
UTC = pa.timestamp("us", tz="UTC")


@functools.cache
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def laid_out(table: pa.Table, width: int | None, whole: bool = True) -> tuple[Grid, pa.Table]:
    """The table as a query makes it for people, and its grid."""
    rows = connection().from_arrow(table)
    cells = for_people(rows).to_arrow_table()
    return Grid(cells, [kind.id for kind in rows.types], width, whole), cells


def shown(table: pa.Table, width: int | None, whole: bool = True) -> list[str]:
    out = io.StringIO()
    grid, cells = laid_out(table, width, whole)
    grid.head(out)
    grid.rows(cells, out)
    return out.getvalue().splitlines()


def ticks(rows: int = 3, **columns: Any) -> pa.Table:
    """Rows of ticks of different instruments at different times, other columns NULL or as given."""
    found = []
    for n in range(rows):
        row = {"seq": n, "conn": 1, "recv_ts": at(f"09:15:0{n}.5"), "feed_ts": at(f"09:15:0{n}"), "mode": "full_d5"}
        row |= {"instrument_key": f"NSE_FO|{n}", "symbol": f"NIFTY 2635{n} CE 24 NOV 26", "ltp": 1.5 + n}
        found.append({**row, "snapshot": False, "bid_prices": [1.0, 2.0, 3.0, n], "tbq": 3.0 + n, **columns})
    table = pa.Table.from_pylist(found, schema.TICKS)
    return table.add_column(0, "date", pa.array([DATE] * rows))


@pytest.mark.parametrize("width", range(20, 200, 14))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = shown(ticks(), width)
    assert max(map(len, lines)) <= max(width, len("NIFTY 26350 CE 24 NOV 26"))
    assert len(lines) <= 2 + 1 + 1 + 3


def test_what_fits_is_shown_as_it_is() -> None:
    table = pa.table({"symbol": ["A", "A"], "date": [DATE, DATE], "empty": [None, 1]})
    assert shown(table, 40) == shown(table, None)
    assert shown(table, 40)[0].split() == ["symbol", "date", "empty"]


def test_no_column_stands_there_for_nothing() -> None:
    table = pa.table({"symbol": ["A", "B"], "oi": pa.nulls(2, pa.float64()), "iv": pa.nulls(2, pa.float64())})
    assert shown(table, 40) == ["NULL in oi, iv", "symbol", "A", "B"]
    assert laid_out(table, 40)[0].counts == (3, 3)
    assert shown(table, None)[0].split() == ["symbol", "oi", "iv"]
    assert shown(table.select(["oi"]), 40) == ["  oi", "NULL", "NULL"]
    assert shown(table.slice(0, 1), 40)[0].split() == ["symbol", "oi", "iv"]


def test_many_columns_without_content_are_told_in_a_line() -> None:
    names = [f"column{n:02}" for n in range(30)]
    table = pa.table({"seq": [1, 2]} | {name: pa.nulls(2) for name in names})
    lines = shown(table, 60)
    assert lines[1:] == ["seq", "  1", "  2"]
    assert lines[0] == "NULL in column00, column01, column02, column03 and 26 more"
    assert laid_out(table, 60)[0].counts == (31, 31)


def test_keys_clocks_and_lists_give_way_to_prices() -> None:
    lines = shown(ticks(bid=1.0), 70)
    assert lines[0].startswith("shown once: date 2026-11-23, conn 1, mode full_d5, snapshot false")
    names = lines[2].split()
    assert names[:4] == ["seq", "recv_ts", "symbol", "ltp"]
    assert names[-1] != "…" or "bid_prices" not in names


def test_symbols_and_numbers_are_never_cut() -> None:
    for width in (25, 60, 90):
        text = "\n".join(shown(ticks().select(["symbol", "ltp", "instrument_key", "mode"]), width))
        assert "NIFTY 26352 CE 24 NOV 26" in text


def test_what_is_left_out_is_marked_and_counted() -> None:
    table = pa.table({name: [1000 + n, 2000 + n] for n, name in enumerate(("first", "second", "third", "fourth"))})
    grid, _ = laid_out(table, 22)
    assert grid.counts == (2, 4)
    assert shown(table, 22)[0].split() == ["first", "second", "…"]
    assert laid_out(table, 80)[0].counts == (4, 4)


def test_what_is_said_once_is_not_left_out() -> None:
    table = pa.table({"date": [DATE, DATE], "symbol": ["A", "B"], "ltp": [1.5, 2.5], "volume": [10**9, 10**9 + 1]})
    grid, _ = laid_out(table, 34)
    assert grid.counts == (4, 4)
    assert shown(table, 34) == [
        "shown once: date 2026-11-23",
        "symbol   ltp          volume",
        "A       1.50  1,00,00,00,000",
        "B       2.50  1,00,00,00,001",
    ]


def test_two_lines_say_what_is_the_same_everywhere() -> None:
    table = pa.table({f"column{n:02}": [n, n] for n in range(60)} | {"price": [1.5, 2.5]})
    lines = shown(table, 80)
    assert len(lines) == 2 + 1 + 2
    assert lines[0].startswith("shown once: column")
    assert lines[2].split()[-1] == "…"


def test_nothing_is_the_same_in_rows_that_are_not_seen_yet() -> None:
    assert not any("shown once" in line for line in shown(ticks(), 70, whole=False))
    assert any("shown once" in line for line in shown(ticks(), 70))


def test_dates_that_differ_stay_beside_their_times() -> None:
    dates = [DATE, DATE + dt.timedelta(days=1)]
    times = pa.array([at("09:15", DATE), at("09:20", dates[1])], UTC)
    wide = {f"price{n}": [10000.5 + n, 20000.5 + n] for n in range(9)}
    lines = shown(pa.table({**wide, "start": times, "date": dates}), 60)
    assert lines[0].split()[-2:] == ["date", "…"]
    assert "2026-11-24" in lines[2]


def test_both_sides_of_an_option_chain_lose_the_same_columns() -> None:
    sides = ("oi", "vtt", "iv", "delta", "bid", "ask", "ltp")
    names = [f"call_{name}" for name in sides] + ["strike"] + [f"put_{name}" for name in sides[::-1]]
    table = pa.table({"expiry": [DATE, DATE], **{name: [n * 1111.25, n * 2222.5] for n, name in enumerate(names)}})
    for width in range(60, 160, 15):
        lines = shown(table, width)
        header = next(line for line in lines if "strike" in line).replace("…", "").split()
        calls = [name[5:] for name in header if name.startswith("call_")]
        puts = [name[4:] for name in header if name.startswith("put_")]
        assert calls == puts[::-1] or width < 80
        assert "strike" in header
