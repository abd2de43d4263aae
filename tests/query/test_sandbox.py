"""A query reads the tables it is given and does nothing else, however it is written."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests import days
from tests.query.fixtures import tick, tree, write_sealed
from tickrec.errors import UsageError
from tickrec.query.sandbox import check
from tickrec.query.session import Session
from tickrec.query.views import RELATIONS
from tickrec.store.paths import Store

TABLES = {"ticks", "latest"}
MACROS = {"candles": RELATIONS["candles"]}


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


READS = """
SELECT 1
SELECT 1;
  -- a comment
FROM ticks
FROM Ticks
FROM main.ticks
TABLE ticks
VALUES (1, 2), (3, 4)
WITH a AS (FROM ticks), b AS MATERIALIZED (FROM a) FROM b
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) FROM r
FROM candles('1 minute') WHERE symbol = 'A'
FROM candles("interval" := '1 minute')
SELECT * EXCLUDE (ltp) REPLACE (bid + 1 AS bid) FROM ticks
SELECT COLUMNS('min_.*') FROM ticks USING SAMPLE 10 ROWS
SELECT count(*) FILTER (WHERE ltp > 0) OVER w FROM ticks WINDOW w AS (ORDER BY seq) QUALIFY row_number() OVER w = 1
SELECT symbol, sum(ltp) FROM ticks GROUP BY ROLLUP (symbol) HAVING count(*) > 1 ORDER BY ALL LIMIT 10% OFFSET 1
SELECT list_transform(bid_qtys, lambda q: q + 1), [x FOR x IN bid_qtys IF x > 1], bid_qtys[1:2] FROM ticks
SELECT CAST({'a': 1} AS STRUCT(a INTEGER)), MAP {'k': 1}, INTERVAL '1 minute', ltt AT TIME ZONE 'UTC' FROM ticks
FROM ticks t ASOF JOIN latest i ON i.symbol = t.symbol AND i.recv_ts <= t.recv_ts
FROM ticks, LATERAL (SELECT ticks.ltp + 1), unnest([1, 2]) u(x), range(3) r(i)
SELECT (SELECT max(ltp) FROM ticks), EXISTS (FROM latest), 1 IN (SELECT seq FROM ticks)
SELECT 1 UNION ALL BY NAME SELECT 2 EXCEPT SELECT 3
FROM ticks PIVOT (sum(ltp) FOR symbol IN ('A', 'B') GROUP BY date)
PIVOT ticks ON symbol IN ('A', 'B') USING sum(ltp)
PIVOT ticks ON symbol USING sum(ltp)
PIVOT ticks ON symbol -- every one of them
PIVOT ticks ON symbol, year(date) USING sum(ltp), count(*) GROUP BY seq ORDER BY seq LIMIT 3
PIVOT (SELECT f, (g) FROM (SELECT symbol f, ltp g FROM ticks)) ON (f) USING max(g)
FROM (PIVOT ticks ON upper(symbol) || 'x' USING sum(ltp) GROUP BY date)
WITH q AS (PIVOT ticks ON symbol USING sum(ltp)) FROM q
EXPLAIN PIVOT ticks ON symbol USING sum(ltp)
UNPIVOT ticks ON bid, ask INTO NAME side VALUE price
SUMMARIZE ticks
SUMMARIZE SELECT ltp FROM ticks
DESCRIBE ticks
DESCRIBE SELECT * FROM candles('1 day')
SHOW TABLES
SHOW ALL TABLES
SHOW ticks
EXPLAIN SELECT * FROM ticks
EXPLAIN ANALYZE SELECT * FROM ticks
EXPLAIN (ANALYZE, FORMAT json) FROM ticks
EXPLAIN (SELECT 1)
EXPLAIN -- why\\n /* how */ ANALYZE FROM ticks
SELECT table_name FROM information_schema.tables
SELECT column_name FROM duckdb_columns()
"""

WRITES = """
COPY ticks TO 'x.parquet'
COPY (SELECT 1) TO 'x.csv'
EXPLAIN COPY ticks TO 'x.parquet'
EXPLAIN ANALYZE COPY (SELECT 1) TO 'x.parquet'
EXPLAIN (ANALYZE) COPY (SELECT 1) TO 'x.parquet'
explain /* */ analyze copy (select 1) to 'x.parquet'
WITH a AS (COPY ticks TO 'x.parquet') SELECT 1
WITH a AS MATERIALIZED (COPY (SELECT 1) TO 'x.csv') FROM a
SELECT (WITH a AS (COPY ticks TO 'x.parquet') SELECT 1)
PIVOT (WITH a AS (COPY ticks TO 'x.parquet') SELECT 1 AS b) ON b
WITH q AS (COPY ticks TO 'x.parquet') PIVOT ticks ON symbol USING sum(ltp)
EXPLAIN ANALYZE WITH a AS (COPY ticks TO 'x.parquet') SELECT 1
WITH a AS (INSERT INTO ticks VALUES (1) RETURNING *) FROM a
WITH a AS (DELETE FROM ticks RETURNING *) FROM a
WITH a AS (UPDATE ticks SET ltp = 1 RETURNING *) FROM a
INSERT INTO ticks VALUES (1)
UPDATE ticks SET ltp = 1
DELETE FROM ticks
MERGE INTO ticks USING latest ON ticks.seq = latest.seq WHEN MATCHED THEN DELETE
CREATE TABLE t AS SELECT 1
CREATE VIEW v AS SELECT 1
CREATE MACRO m(a) AS a
DROP VIEW ticks
ALTER TABLE ticks ADD COLUMN x INTEGER
ATTACH 'x.duckdb'
DETACH memory
EXPORT DATABASE 'x'
IMPORT DATABASE 'x'
INSTALL httpfs
LOAD httpfs
SET threads = 1
RESET threads
PRAGMA database_list
PRAGMA table_info('ticks')
CALL pragma_version()
USE memory
CHECKPOINT
VACUUM
BEGIN
PREPARE p AS SELECT 1
EXECUTE p
SELECT write_log('x')
SELECT json_serialize_plan('FROM read_csv(''/etc/passwd'')')
SELECT 1; SELECT 2
SELECT 1; DROP VIEW ticks
EXPLAIN
EXPLAIN EXPLAIN SELECT 1
"""

FILES = """
FROM 'x.parquet'
FROM "x.csv"
FROM ticks, 'data/ticks/*/*.parquet'
FROM read_parquet('x.parquet')
FROM parquet_scan('x.parquet')
FROM read_csv('x.csv')
FROM read_csv_auto('x.csv')
FROM read_json('x.json')
FROM read_text('/etc/passwd')
FROM read_blob('/etc/passwd')
FROM read_duckdb('x.duckdb')
FROM glob('*')
FROM sniff_csv('x.csv')
FROM parquet_metadata('x.parquet')
FROM parquet_schema('x.parquet')
FROM parquet_file_metadata('x.parquet')
FROM parquet_kv_metadata('x.parquet')
FROM parquet_bloom_probe('x.parquet', 'a', 1)
FROM query('COPY ticks TO ''x.parquet''')
FROM query_table('x.parquet')
FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))
FROM duckdb_secrets()
FROM duckdb_settings()
FROM system.main.read_text('/etc/passwd')
FROM stored.calendar
FROM "https://example.com/x.parquet"
FROM 's3://bucket/x.parquet'
DESCRIBE 'x.parquet'
SUMMARIZE 'x.parquet'
SHOW 'x.parquet'
PIVOT 'x.parquet' ON a
EXPLAIN FROM 'x.parquet'
SELECT (FROM read_text('/etc/passwd'))
SELECT 1 WHERE EXISTS (FROM 'x.parquet')
SELECT 1 ORDER BY (SELECT max(a) FROM 'x.parquet')
SELECT 1 LIMIT (SELECT count(*) FROM 'x.parquet')
WITH a AS (FROM 'x.parquet') FROM a
WITH "x.parquet" AS (SELECT 1) FROM main."x.parquet"
SELECT list_transform([1], lambda x: (SELECT count(*) FROM 'x.parquet'))
FROM histogram('x.parquet', a)
"""


def lines(text: str) -> list[str]:
    return [line.replace("\\n", "\n") for line in text.strip().splitlines()]


@pytest.mark.parametrize("sql", lines(READS))
def test_what_only_reads_passes(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    if sql.strip().startswith("--"):
        sql += "\nSELECT 1"
    statement = check(connection, sql, TABLES, MACROS)
    assert statement.sql == sql
    assert statement.plan == sql.startswith("EXPLAIN")
    assert ("ticks" in statement.names) == ("ticks" in sql.lower().replace("from main.ticks", "ticks"))


@pytest.mark.parametrize("sql", lines(WRITES) + lines(FILES))
def test_everything_else_is_refused_in_one_line(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(connection, sql, TABLES, MACROS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("COPY ticks TO 'x'", "COPY is refused: a query only reads"),
        ("EXPLAIN ANALYZE COPY ticks TO 'x'", "COPY is refused: a query only reads"),
        ("WITH a AS (COPY ticks TO 'x') SELECT 1", "COPY is refused: a query only reads"),
        ("SET threads = 1", "SET is refused: a query only reads"),
        ("SELECT 1; SELECT 2", "a query is one statement, not 2"),
        ("SELECT *\nFROM 'x.parquet'", "a query reads the recorded tables, not files (line 2, column 6)"),
        ("SELECT 'é', * FROM glob('*')", "not files (line 1, column 20)"),
        ("EXPLAIN\nFROM tikcs", "no table tikcs (line 2, column 6). Nearest: ticks"),
        ("FROM nothing", "no table nothing (line 1, column 6). See `tickrec query --tables`"),
    ],
)
def test_a_refusal_says_why_and_where(connection: duckdb.DuckDBPyConnection, sql: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(connection, sql, TABLES, MACROS)
    assert message in str(caught.value)


def test_a_pivot_that_hides_a_name_in_its_made_up_values_is_still_seen(connection: duckdb.DuckDBPyConnection) -> None:
    for sql in (
        "PIVOT ticks ON (SELECT max(a) FROM 'x.parquet') USING sum(ltp)",
        "PIVOT ticks ON symbol USING sum((SELECT max(a) FROM 'x.parquet'))",
        "PIVOT (FROM ticks JOIN 'x.parquet' ON true) ON symbol USING sum(ltp)",
    ):
        with pytest.raises(UsageError):
            check(connection, sql, TABLES, MACROS)


def test_names_and_looks_at_the_catalog_are_reported(connection: duckdb.DuckDBPyConnection) -> None:
    statement = check(
        connection, "WITH a AS (FROM TICKS) FROM a JOIN candles('1 hour') c USING (symbol)", TABLES, MACROS
    )
    assert statement.names == {"ticks", "candles"}
    assert not statement.catalog
    assert check(connection, "SHOW TABLES", TABLES, MACROS).catalog
    assert check(connection, "FROM information_schema.columns", TABLES, MACROS).catalog
    assert not check(connection, "DESCRIBE ticks", TABLES, MACROS).catalog


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "data")
    write_sealed(store, days.DATE, {"ticks": [tick(1, "09:15", ltp=1.0)]})
    return store


@pytest.mark.parametrize(
    ("sql", "first", "last"),
    [
        ("SELECT ltp FROM main.ticks t WHERE date = '2026-11-23' AND symbol = 'A' AND (seq = 1 OR seq = 2)", 23, 23),
        ("FROM candles('1 minute') WHERE symbol = 'A' AND DATE '2026-11-23' = DATE", 23, 23),
        ("EXPLAIN FROM ticks WHERE date = '2026-11-23'::DATE LIMIT 3", 23, 23),
        ("SELECT seq AS date FROM ticks WHERE date = '2026-11-23'", 23, 23),
        ("FROM ticks WHERE date BETWEEN '2026-11-20' AND DATE '2026-11-23'", 20, 23),
        ("FROM ticks WHERE date >= '2026-11-20' AND '2026-11-24' > date AND date > '2026-11-19'", 20, 24),
        ("FROM ticks WHERE date BETWEEN '2026-11-20' AND current_date", 20, None),
        ("FROM ticks WHERE date <= '2026-11-23' AND date > current_date - 7", None, 23),
        ("FROM ticks WHERE '2026-11-23' <= date", 23, None),
    ],
)
def test_a_statement_about_some_dates_is_known(
    connection: duckdb.DuckDBPyConnection, sql: str, first: int | None, last: int | None
) -> None:
    expected = [None if day is None else days.DATE.replace(day=day) for day in (first, last)]
    assert [*check(connection, sql, TABLES, MACROS).dates] == expected


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "FROM ticks WHERE date = '2026-11-23' OR seq = 1",
        "FROM ticks WHERE NOT date = '2026-11-23'",
        "FROM ticks WHERE date = '20261123'",
        "FROM ticks WHERE date > current_date - 7",
        "FROM ticks WHERE date NOT BETWEEN '2026-11-20' AND '2026-11-23'",
        "FROM ticks WHERE date != '2026-11-23'",
        "FROM ticks t WHERE t.bid_qtys = [1] AND ltp = '2026-11-23'",
        "FROM ticks AS t(date, seq) WHERE date = '2026-11-23'",
        "FROM ticks TABLESAMPLE 10% WHERE date = '2026-11-23'",
        "FROM candles('1 minute') WITH ORDINALITY WHERE date = '2026-11-23'",
        "FROM ticks, latest WHERE date = '2026-11-23'",
        "FROM ticks WHERE date = '2026-11-23' AND seq > (SELECT max(seq) FROM ticks)",
        "FROM ticks WHERE date = '2026-11-23' UNION ALL FROM ticks",
        "WITH t AS (FROM ticks) SELECT (SELECT count(*) FROM t WHERE date = '2026-11-23')",
        "SUMMARIZE FROM ticks WHERE date = '2026-11-23'",
    ],
)
def test_a_statement_that_may_be_about_any_date_is_not_taken_for_one_about_some(
    connection: duckdb.DuckDBPyConnection, sql: str
) -> None:
    assert check(connection, sql, TABLES, MACROS).dates == (None, None)


def test_a_refused_statement_leaves_the_store_as_it_was(store: Store) -> None:
    target = store.sealed_path("ticks", days.DATE)
    before = tree(store.root.parent)
    with Session(store) as session:
        for sql in (
            f"COPY (SELECT 1) TO '{target}'",
            f"EXPLAIN ANALYZE COPY (SELECT 1) TO '{target}'",
            f"WITH a AS (COPY (SELECT 1) TO '{target}') SELECT 1",
            f"FROM '{target}'",
            f"EXPORT DATABASE '{store.root}'",
            f"ATTACH '{store.root}/x.duckdb'",
        ):
            with pytest.raises(UsageError):
                session.execute(sql)
    assert tree(store.root.parent) == before


def test_behind_the_rules_duckdb_itself_is_locked(store: Store) -> None:
    with Session(store) as session:
        session.execute("FROM ticks").close()
        connection = session._connection
        for sql in (
            "SET enable_external_access = true",
            "SET threads = 1",
            "RESET lock_configuration",
            "FROM read_text('/etc/hostname')",
            f"COPY (SELECT 1) TO '{store.root.parent}/outside.csv'",
            "INSTALL httpfs",
            "LOAD httpfs",
            f"ATTACH '{store.root.parent}/outside.duckdb'",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(sql)
    assert [path.name for path in store.root.parent.iterdir()] == ["data"]


def test_a_with_cannot_hide_a_file_behind_its_name(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    file = tmp_path / "secret.csv"
    file.write_text("a\n1\n")
    sql = f"""SELECT * FROM '{file}', (WITH "{file}" AS (SELECT 1) FROM "{file}")"""
    with pytest.raises(UsageError, match="no name for a WITH"):
        check(connection, sql, TABLES, MACROS)
