"""Rows as tables, csv, json, jsonl, markdown and files."""

import csv
import datetime as dt
import io
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import days
from tests.query.fixtures import at, tick, tree, write_sealed
from tickrec import formatting as fmt
from tickrec.errors import UsageError
from tickrec.files import Lock
from tickrec.query import answers
from tickrec.query.answers import Written, write_file, write_stdout
from tickrec.query.cells import readable
from tickrec.query.session import Result, Session
from tickrec.store.paths import Store

DATE = days.DATE


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("output") / "data")
    rows = [
        tick(1, "09:15:00.25", symbol="RELIANCE", ltp=1412.35, ltt="09:15:00.1", vtt=1234567, bid_prices=[1.5, 2.0]),
        tick(2, "09:15:00.5", key="NSE_EQ|B", symbol='A|B, "C"\nD', ltp=None, vtt=None, bid_prices=[]),
        tick(3, "09:15:01", key="NSE_INDEX|N", symbol=None, ltp=24351.4, ltt="09:15:01", vtt=None),
    ]
    write_sealed(store, DATE, {"ticks": rows})
    return store


@pytest.fixture(scope="module")
def session(store: Store) -> Iterator[Session]:
    with Session(store) as session:
        yield session


COLUMNS = "SELECT date, seq, recv_ts, symbol, snapshot, ltp, ltt, vtt, bid_prices FROM ticks ORDER BY seq"


def printed(session: Session, sql: str, format: str = "table", **options: Any) -> str:
    out = io.StringIO()
    write_stdout(session.execute(sql, format=format), out=out, **options)
    return out.getvalue()


# For people


def test_a_table_is_aligned_and_shows_what_matters(session: Session) -> None:
    assert printed(session, COLUMNS) == (
        "date        seq  recv_ts       symbol       snapshot        ltp  ltt                 vtt  bid_prices\n"
        "2026-11-23    1  09:15:00.250  RELIANCE     false      1,412.35  09:15:00.100  12,34,567  [1.5, 2.0]\n"
        '2026-11-23    2  09:15:00.500  A|B, "C"\\nD  false          NULL  NULL               NULL  []\n'
        "2026-11-23    3  09:15:01.000  NULL         false     24,351.40  09:15:01.000       NULL  NULL\n"
    )


def test_a_table_fits_its_width(session: Session) -> None:
    for width in range(40, 120, 4):
        text = printed(session, COLUMNS, width=width)
        assert max(map(len, text.splitlines())) <= width
        assert "1,412.35" in text or width < 72
    wide = printed(session, "SELECT 'x' || repeat('y', 200) AS t, 12345.5 AS price FROM range(2)", width=40)
    assert wide.splitlines()[1].split() == ["x" + "y" * (40 - 2 - 9 - 2) + "…", "12,345.50"]


def test_columns_that_do_not_fit_are_marked_and_counted(session: Session) -> None:
    sql = "SELECT seq, ltp, vtt, seq * 1000000 AS a, seq + 12345678 AS b FROM ticks"
    out = io.StringIO()
    written = write_stdout(session.execute(sql, format="table"), width=30, is_tty=True, out=out)
    assert out.getvalue().splitlines()[0].split() == ["seq", "ltp", "vtt", "…"]
    assert written.line(0.04) == "3 rows (0.04 s); 3 of 5 columns fit: name the others, or --format csv"


def test_one_row_that_does_not_fit_is_a_list(session: Session) -> None:
    text = printed(session, "SELECT * FROM ticks WHERE seq = 1", width=60)
    lines = dict(line.split(None, 1) for line in text.splitlines())
    assert lines["ltp"] == "1,412.35"
    assert lines["symbol"] == "RELIANCE"
    assert lines["rho"] == "NULL"
    assert len(lines) == 51


def test_a_terminal_shows_some_rows_and_counts_all(session: Session) -> None:
    sql = "SELECT range AS n FROM range(95000)"
    out = io.StringIO()
    written = write_stdout(session.execute(sql, format="table"), is_tty=True, width=80, out=out)
    assert len(out.getvalue().splitlines()) == answers.SCREEN_ROWS + 1
    assert written.line(1.239) == "100 of 95,000 rows, --limit shows more (1.24 s)"
    assert len(printed(session, sql).splitlines()) == 95_001


def test_counting_gives_up_when_there_are_very_many(session: Session) -> None:
    result = session.execute("SELECT range AS n FROM range(100000000000)", format="table")
    written = write_stdout(result, is_tty=True, width=80, out=io.StringIO())
    assert written.line(0) == "100 of more than 1,00,000 rows, --limit shows more (0.00 s)"


@pytest.mark.parametrize("format", answers.FORMATS)
@pytest.mark.parametrize("limit", [0, 7, 20000, 30001])
def test_a_limit_is_exact_in_every_format(session: Session, format: str, limit: int) -> None:
    result = session.execute("SELECT range AS n FROM range(30000)", format=format)
    written = write_stdout(result, limit=limit, is_tty=True, out=io.StringIO())
    assert written[:3] == (min(limit, 30_000), min(limit, 30_000), False)


def test_rows_after_the_widths_were_fixed_are_whole(session: Session) -> None:
    sql = "SELECT range AS n, repeat('x', (range // 5000)::INTEGER) AS t FROM range(20001)"
    lines = printed(session, sql).splitlines()
    assert len(lines) == 20_002
    assert lines[-1].split() == ["20,000", "xxxx"]


def test_a_plan_is_printed_as_it_is(session: Session) -> None:
    text = printed(session, "EXPLAIN SELECT seq FROM ticks WHERE ltp > 1", is_tty=True, width=40)
    assert "READ_PARQUET" in text
    assert "explain_key" not in text


def test_an_empty_result_has_its_columns(session: Session) -> None:
    assert printed(session, "SELECT seq, symbol FROM ticks WHERE false") == "seq  symbol\n"
    assert Written(0, 0).line(0.5) == "0 rows (0.50 s)"
    assert Written(1, 1).line(0.5) == "1 row (0.50 s)"


@pytest.mark.parametrize(
    ("values", "kind", "texts"),
    [
        ([1, 2026, None], pa.int64(), ["1", "2026", "NULL"]),
        ([1, -123456, 12345678], pa.int64(), ["1", "-1,23,456", "1,23,45,678"]),
        ([Decimal(12), Decimal(12345678)], pa.decimal128(38, 0), ["12", "1,23,45,678"]),
        ([1410.0, 1408.15, -0.5], pa.float64(), ["1,410.00", "1,408.15", "-0.50"]),
        ([83.1225, 83.0], pa.float64(), ["83.1225", "83.0000"]),
        ([1411.6172839, 2.0], pa.float64(), ["1,411.62", "2.00"]),
        ([1.23456789, 2.0], pa.float64(), ["1.2346", "2.0000"]),
        ([0.000123, 0.5], pa.float64(), ["0.000123", "0.500000"]),
        ([-0.001], pa.float64(), ["-0.0010"]),
        ([123456.0, 5.0], pa.float64(), ["1,23,456", "5"]),
        ([float("nan"), float("inf"), 1.5], pa.float64(), ["nan", "inf", "1.50"]),
        (["a\tb\x1b[31m", "é"], pa.string(), ["a\\tb\\x1b[31m", "é"]),
        ([None], pa.string(), ["NULL"]),
    ],
)
def test_values_are_shown_without_noise(values: Sequence[Any], kind: pa.DataType, texts: list[str]) -> None:
    assert readable(pa.array(values, kind), "").texts == texts


DAY = "2026-11-23"
MOMENTS = [f"{DAY}T09:15:00.000000+05:30", f"{DAY}T09:16:00.000000+05:30"]


@pytest.mark.parametrize(
    ("times", "texts"),
    [
        (MOMENTS, [f"{DAY} 09:15", f"{DAY} 09:16"]),
        ([f"{DAY}T09:15:01.000000+05:30", None], [f"{DAY} 09:15:01", "NULL"]),
        ([f"{DAY}T09:15:01.250000", MOMENTS[0]], [f"{DAY} 09:15:01.250", f"{DAY} 09:15:00.000"]),
        ([f"{DAY}T09:15:01.000002+05:30"], [f"{DAY} 09:15:01.000002"]),
        ([f"{DAY}T00:00:00.000000+05:30"], [DAY]),
        (
            [MOMENTS[0], "infinity", "0044-03-15 (BC) 10:00:00.5"],
            [f"{DAY} 09:15", "infinity", "0044-03-15 (BC) 10:00:00.5"],
        ),
        ([None], ["NULL"]),
    ],
)
def test_times_are_shown_without_noise(times: list[str | None], texts: list[str]) -> None:
    assert readable(pa.array(times, pa.string()), "timestamp with time zone").texts == texts


def test_a_time_keeps_its_date_unless_it_is_beside_it() -> None:
    column = pa.array(MOMENTS)
    assert readable(column, "timestamp", [DAY, DAY]).texts == ["09:15", "09:16"]
    assert readable(column, "timestamp", [DAY, "2026-11-22"]).texts == [f"{DAY} 09:15", f"{DAY} 09:16"]


# For programs


def test_csv_is_read_back_by_a_csv_reader(session: Session) -> None:
    rows = list(csv.DictReader(io.StringIO(printed(session, COLUMNS, "csv"))))
    assert rows[0] == {
        "date": "2026-11-23",
        "seq": "1",
        "recv_ts": "2026-11-23T09:15:00.250000+05:30",
        "symbol": "RELIANCE",
        "snapshot": "false",
        "ltp": "1412.35",
        "ltt": "2026-11-23T09:15:00.100000+05:30",
        "vtt": "1234567",
        "bid_prices": "[1.5, 2.0]",
    }
    assert rows[1]["symbol"] == 'A|B, "C"\nD'
    assert rows[1]["bid_prices"] == "[]"
    assert rows[2]["vtt"] == rows[2]["symbol"] == rows[2]["bid_prices"] == ""


def test_json_is_an_array_and_jsonl_a_line_a_row(session: Session) -> None:
    rows = json.loads(printed(session, COLUMNS, "json"))
    assert rows[0]["recv_ts"] == "2026-11-23T09:15:00.250000+05:30"
    assert rows[0]["bid_prices"] == [1.5, 2.0]
    assert rows[1]["ltp"] is None
    assert [row["seq"] for row in rows] == [1, 2, 3]
    assert [json.loads(line) for line in printed(session, COLUMNS, "jsonl").splitlines()] == rows
    assert json.loads(printed(session, "SELECT 1 AS a WHERE false", "json")) == []
    assert printed(session, "SELECT 1 AS a WHERE false", "jsonl") == ""


def test_json_keeps_to_json(session: Session) -> None:
    sql = """SELECT sum(seq) AS total, 1.5 AS half, 'NaN'::DOUBLE AS nan, 1 AS a, 2 AS a, MAP {'k': 1} AS m,
                    INTERVAL '90 seconds' AS i, {'t': recv_ts} AS s, 'x'::ENUM ('x') AS e
             FROM ticks GROUP BY recv_ts ORDER BY recv_ts LIMIT 1"""
    (row,) = json.loads(printed(session, sql, "json"), parse_constant=pytest.fail)
    assert (row["total"], row["half"], row["nan"]) == (1, 1.5, None)
    assert (row["a"], row["a_1"], row["e"], row["i"]) == (1, 2, "x", "0:01:30")
    assert row["s"] == {"t": "2026-11-23T09:15:00.250000+05:30"}


def test_markdown_is_a_table(session: Session) -> None:
    assert printed(session, "SELECT symbol, ltp FROM ticks ORDER BY seq", "markdown") == (
        '| symbol | ltp |\n| --- | ---: |\n| RELIANCE | 1,412.35 |\n| A\\|B, "C"\\nD | NULL |\n| NULL | 24,351.40 |\n'
    )


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown format xml"):
        answers.check_format("xml")


# Files


@pytest.mark.parametrize("ending", answers.FILES)
def test_a_file_holds_the_rows(session: Session, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows{ending}"
    path.write_text("old")
    written = write_file(session.execute(COLUMNS, format=ending[1:]), path)
    assert written.line(0) == f"{path}, {fmt.size(path.stat().st_size)}: 3 rows (0.00 s)"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    match ending:
        case ".parquet":
            table = pq.read_table(path)
        case ".arrow":
            table = pa.ipc.open_file(path).read_all()
        case ".csv":
            assert path.read_text() == printed(session, COLUMNS, "csv")
            return
        case _:
            assert path.read_text() == printed(session, COLUMNS, ending[1:])
            return
    assert table["seq"].to_pylist() == [1, 2, 3]
    assert table["recv_ts"].to_pylist()[0] == at("09:15:00.25")
    assert table.schema.field("recv_ts").type.tz is not None


def test_a_limit_holds_for_files(session: Session, tmp_path: Path) -> None:
    result = session.execute("SELECT range AS n FROM range(100000000)", format="parquet")
    assert write_file(result, tmp_path / "n.parquet", limit=20_000).rows == 20_000
    assert pq.read_metadata(tmp_path / "n.parquet").num_rows == 20_000


def test_a_query_that_fails_half_way_leaves_the_old_file(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("old")
    sql = "SELECT repeat('x', 1000) || CASE WHEN range < 90000 THEN '' ELSE error('boom') END AS t FROM range(100000)"
    with pytest.raises(UsageError, match="boom"):
        write_file(session.execute(sql, format="csv"), path)
    assert tree(tmp_path).keys() == {"rows.csv"}
    assert path.read_text() == "old"


@pytest.mark.parametrize("ending", answers.FILES)
def test_an_export_leaves_a_recording_what_its_journal_needs(asking: Session, tmp_path: Path, ending: str) -> None:
    """The journal of the date before was larger than this disk has room for."""
    store = asking.store
    before = store.journal(DATE - dt.timedelta(days=1))
    for folder in (before, store.journal(DATE), store.root / "ticks", store.state):
        folder.mkdir(parents=True)
    with (before / "0001.journal").open("wb") as file:
        file.truncate(8 * 10**12)
    path = tmp_path / f"rows{ending}"
    sql = "FROM range(30000)"
    with Lock(store.record_lock) as lock:
        lock.acquire({"doing": "recording"})
        with pytest.raises(UsageError, match=r"cannot be written: .*must be free"):
            write_file(asking.execute(sql, format=ending[1:]), path)
        assert not any(tmp_path.iterdir())
    assert write_file(asking.execute(sql, format=ending[1:]), path).rows == 30_000


def test_files_are_refused_by_name_and_place(session: Session, store: Store, tmp_path: Path) -> None:
    before = tree(store.root)
    for path, message in [
        (tmp_path / "rows.xlsx", "cannot tell the format of rows.xlsx"),
        (tmp_path / "rows", "cannot tell the format"),
        (store.root / "rows.parquet", "writes nothing into the store"),
        (store.sealed_path("ticks", DATE), "writes nothing into the store"),
        (store.root / "ticks" / ".." / "rows.csv", "writes nothing into the store"),
        (Path("/proc/rows.csv"), "cannot be written"),
        (tmp_path / "nowhere" / "rows.csv", "does not exist"),
    ]:
        with pytest.raises(UsageError, match=message):
            write_file(session.execute("SELECT 1 AS one", format="csv"), path)
    assert tree(store.root) == before


class _Closed(io.StringIO):
    """A pipe whose reader has gone."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("w")

    def write(self, text: str) -> int:
        raise BrokenPipeError

    def fileno(self) -> int:
        return self._file.fileno()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # nobody can flush what is left
@pytest.mark.parametrize("format", answers.FORMATS)
def test_a_reader_that_leaves_ends_the_query_silently(session: Session, tmp_path: Path, format: str) -> None:
    out = _Closed(tmp_path / "pipe")
    count = 10 if format == "markdown" else 100000000000
    result = session.execute(f"SELECT range FROM range({count})", format=format)
    assert write_stdout(result, out=out).rows == 0


def test_results_are_rows_to_write(session: Session) -> None:
    rows: answers.Rows = session.execute("SELECT 1 AS one")
    assert isinstance(rows, Result)
    rows.close()
