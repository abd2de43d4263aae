"""Values of every type that DuckDB has, in every format and every file."""

import csv
import io
import json
import math
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.query.values import statements
from tickrec.errors import UsageError
from tickrec.query.answers import write_file, write_stdout
from tickrec.query.session import Session
from tickrec.store.paths import Store

VALUES = {
    "170141183460469231731687303715884105727::HUGEINT": "170141183460469231731687303715884105727",
    "340282366920938463463374607431768211455::UHUGEINT": "340282366920938463463374607431768211455",
    "18446744073709551615::UBIGINT": "18446744073709551615",
    "12345678901234567890123456789012345678901234567890::BIGNUM": "12345678901234567890123456789012345678901234567890",
    "1.5::DECIMAL(38,10)": "1.5",
    "'nan'::DOUBLE": "",
    "'-inf'::FLOAT": "",
    "-0.0::DOUBLE": "-0.0",
    "NULL": "",
    "''": "",
    "'a\nb'": "a\nb",
    "'a'::ENUM('a', 'b')": "a",
    "'10101'::BIT": "10101",
    "'\\x01\\xFF'::BLOB": "01ff",
    "'123e4567-e89b-12d3-a456-426614174000'::UUID": "123e4567-e89b-12d3-a456-426614174000",
    "'{\"a\": 1}'::JSON": '{"a": 1}',
    "1::VARIANT": "1",
    "INTERVAL '1 day'": "1 days",
    "TIME '24:00:00'": "24:00:00",
    "TIME '10:00:00.000500'": "10:00:00.000500",
    "'10:00:00+05:30'::TIMETZ": "10:00:00+05:30",
    "'10:00:00.123456789'::TIME_NS": "10:00:00.123456789",
    "'infinity'::DATE": "infinity",
    "'-infinity'::DATE": "-infinity",
    "DATE '0044-03-15 (BC)'": "0044-03-15 (BC)",
    "DATE '5881580-07-10'": "5881580-07-10",
    "'infinity'::TIMESTAMP": "infinity",
    "'-infinity'::TIMESTAMPTZ": "-infinity",
    "'infinity'::TIMESTAMP_S": "infinity",
    "'infinity'::TIMESTAMP_MS": "infinity",
    "'infinity'::TIMESTAMP_NS": "infinity",
    "'2026-01-01 10:00:00.123456789'::TIMESTAMP_NS": "2026-01-01T10:00:00.123456",
    "TIMESTAMP '0044-03-15 (BC) 10:00:00.5'": "0044-03-15 (BC) 10:00:00.5",
    "TIMESTAMPTZ '9999-12-31 23:00:00+00'": "10000-01-01 04:30:00+05:30",
    "[1, 2]::INT[2]": "[1, 2]",
    "[1, NULL]": "[1, null]",
    "[170141183460469231731687303715884105727::HUGEINT]": "[170141183460469231731687303715884105727]",
    "MAP {'a': [1]}": '[["a", [1]]]',
    "{'a': 1, 'b': 'x'}": '{"a": 1, "b": "x"}',
    "union_value(a := 1)": "1",
}
"""SQL, and how it is written as CSV."""
NESTED = ("[{}, NULL]", "{{'f': {}}}", "MAP {{'k': {}}}", "array_value({}, NULL)", "union_value(a := {})")
NOT_IN_PARQUET = ("INTERVAL", "union_value", "::TIMESTAMP_S")


def statement(values: list[str]) -> str:
    """All the values in one row, one column each."""
    return "SELECT " + ", ".join(f"{value} AS c{at}" for at, value in enumerate(values))


ALL = list(VALUES)
DEEP = [NESTED[number % len(NESTED)].format(value) for number, value in enumerate(VALUES)]
FOR_PARQUET = [value for value in ALL + DEEP if not any(word in value for word in NOT_IN_PARQUET)]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with Session(Store(tmp_path_factory.mktemp("types") / "data")) as session:
        yield session


def printed(session: Session, sql: str, format: str) -> str:
    out = io.StringIO()
    write_stdout(session.execute(sql, format=format), out=out)
    return out.getvalue()


GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("format", ["csv", "json", "jsonl"])
def test_every_value_is_written_byte_for_byte_as_ever(session: Session, format: str) -> None:
    """The lines of JSON are those of jsonl: a few tell what is between them."""
    chosen = list(statements())
    if format == "json":
        chosen = [chosen[0], chosen[-1]]
    text = "".join(printed(session, sql, format) for sql in chosen)
    assert text.splitlines() == (GOLDEN / f"values.{format}").read_bytes().decode().splitlines()


def test_text_that_is_read_as_another_line_is_in_quotes(session: Session) -> None:
    assert printed(session, "SELECT 'a' || chr(13) || 'b' AS t, 1 AS n", "csv") == 't,n\n"a\rb",1\n'


def test_numbers_are_written_as_python_writes_them(session: Session) -> None:
    chance = random.Random(1)
    numbers = [struct.unpack("d", chance.randbytes(8))[0] for _ in range(200)]
    numbers += [chance.uniform(-1, 1) * 10.0 ** chance.randint(-12, 20) for _ in range(200)]
    numbers = [number for number in numbers if math.isfinite(number)]
    listed = ", ".join(f"'{number!r}'::DOUBLE" for number in numbers)
    lines = printed(session, f"SELECT unnest([{listed}]) AS number", "csv").splitlines()
    assert lines == ["number", *map(repr, numbers)]


def test_every_type_is_written_as_sql_would(session: Session) -> None:
    header, row = csv.reader(io.StringIO(printed(session, statement(ALL), "csv"), newline=""))
    assert dict(zip(ALL, row, strict=True)) == VALUES
    assert len(header) == len(ALL)


def test_a_value_in_another_keeps_its_text(session: Session) -> None:
    values = ["[DATE 'infinity', NULL]", "{'f': 'infinity'::TIMESTAMP_NS}", "MAP {'k': '10:00:00.000000001'::TIME_NS}"]
    (row,) = json.loads(printed(session, statement([*values, "{'f': 1::UHUGEINT}"]), "json"))
    assert list(row.values()) == [["infinity", None], {"f": "infinity"}, [["k", "10:00:00.000000001"]], "{'f': 1}"]


@pytest.mark.parametrize("format", ["table", "csv", "jsonl"])
def test_no_type_is_too_much_for_a_format(session: Session, format: str) -> None:
    assert "340282366920938463463374607431768211455" in printed(session, statement(ALL + DEEP), format)


def test_no_rows_of_any_type_are_a_line_of_names(session: Session) -> None:
    (line,) = printed(session, statement(ALL) + " LIMIT 0", "table").splitlines()
    assert line.split() == [f"c{at}" for at in range(len(ALL))]


@pytest.mark.parametrize("ending", [".parquet", ".arrow"])
def test_no_type_is_too_much_for_a_file(session: Session, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows{ending}"
    values = FOR_PARQUET if ending == ".parquet" else ALL + DEEP
    assert write_file(session.execute(statement(values), format=ending[1:]), path).rows == 1
    rows = pq.read_table(path, columns=["c1"]) if ending == ".parquet" else pa.ipc.open_file(path).read_all()
    assert rows["c1"].to_pylist() == [VALUES[ALL[1]]]


@pytest.mark.parametrize("value", ["INTERVAL '1 day'", "'infinity'::TIMESTAMP_S"])
def test_what_parquet_cannot_hold_is_refused_by_column(session: Session, tmp_path: Path, value: str) -> None:
    path = tmp_path / "rows.parquet"
    path.write_text("old")
    with pytest.raises(UsageError, match=r"Parquet cannot hold the column lasts: .*\. Make it text with ::VARCHAR"):
        write_file(session.execute(f"SELECT 1 AS n, {value} AS lasts", format="parquet"), path)
    assert [file.name for file in tmp_path.iterdir()] == ["rows.parquet"]
    assert path.read_text() == "old"
    result = session.execute(f"SELECT 1 AS n, ({value})::VARCHAR AS lasts", format="parquet")
    assert write_file(result, path).rows == 1


def test_columns_made_text_keep_their_names_and_order(session: Session) -> None:
    sql = """SELECT range::BIT AS "a ""b", range AS n, range::UHUGEINT AS n FROM range(40000) ORDER BY range DESC"""
    rows = list(csv.reader(io.StringIO(printed(session, sql, "csv"))))
    assert rows[0] == ['a "b', "n", "n_1"]
    assert [row[1:] for row in rows[1:]] == [[str(n), str(n)] for n in range(39_999, -1, -1)]


def test_a_mistake_beside_such_a_column_is_found_where_it_was_made(session: Session) -> None:
    with pytest.raises(UsageError, match=r"\(line 2, column 4\)"):
        session.execute("SELECT\n  t::INT::UHUGEINT FROM (VALUES ('1'), ('x')) AS v (t)")


def test_a_table_with_an_infinite_date_beside_times(session: Session) -> None:
    sql = "SELECT 'infinity'::DATE AS d, TIMESTAMP '2026-01-01 10:00' AS t"
    assert printed(session, sql, "table").splitlines()[1] == "infinity  2026-01-01 10:00"
