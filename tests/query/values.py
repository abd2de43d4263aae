"""Values of every type that DuckDB has, as SQL."""

from collections.abc import Iterator

EDGES = {
    "DOUBLE": "0.0 -0.0 1.0 -1.5 0.1 0.3 1005.9000000000001 24351.4 1e15 9007199254740993 1e16 -1e16 1.5e17 1e21 1e22 "
    "1.7976931348623157e308 0.0001 0.00012345 0.00001 -0.00001 1e-7 5e-324 2.2250738585072014e-308 nan inf -inf",
    "FLOAT": "0.0 0.1 -2.5 16777216 1e16 3.4e38 1e-5 1e-45 nan inf -inf",
    "TINYINT": "-128 127",
    "UTINYINT": "255",
    "SMALLINT": "-32768 32767",
    "USMALLINT": "65535",
    "INTEGER": "-2147483648 2147483647",
    "UINTEGER": "4294967295",
    "BIGINT": "-9223372036854775808 0 9223372036854775807",
    "UBIGINT": "18446744073709551615",
    "HUGEINT": "-170141183460469231731687303715884105727 0 170141183460469231731687303715884105727",
    "UHUGEINT": "0 340282366920938463463374607431768211455",
    "BOOLEAN": "true false",
    "DECIMAL(4,1)": "0.0 -0.5 100.0 999.9",
    "DECIMAL(18,3)": "123456789012345.678 -0.001 1.500 2.000",
    "DECIMAL(38,10)": "1.5 1234567890123456789012345678.0123456789 0.0000000001 -7",
    "DATE": "1970-01-01 2026-11-23 0001-01-01 9999-12-31",
    "TIME": "00:00:00 09:15:00.25 23:59:59.999999",
    "TIMESTAMP": "1970-01-01T00:00:00 2026-11-23T09:15:00.25 1969-12-31T23:59:59.999999 0001-01-01T00:00:00",
    "TIMESTAMPTZ": "2026-11-23T09:15:00+05:30 2026-11-23T20:00:00.000001Z 1941-10-02T00:00:00Z 1900-01-01T00:00:00Z",
    "TIMESTAMP_S": "2026-11-23T09:15:00 1969-12-31T23:59:59",
    "TIMESTAMP_MS": "2026-11-23T09:15:00.25 1969-12-31T23:59:59.999",
    "TIMESTAMP_NS": "2026-11-23T09:15:00.123456789 1969-12-31T23:59:59.999999999",
    "UUID": "123e4567-e89b-12d3-a456-426614174000",
    "DOUBLE[]": "[] [1.5,null,nan,inf,-inf,1e16,1e-5,-0.0] [1.0] [0.05,1412.35]",
    "FLOAT[]": "[] [0.1,null,nan]",
    "BIGINT[]": "[] [1,null,-2] [9223372036854775807]",
    "DECIMAL(9,2)[]": "[1.50,2.00,null]",
    "BOOLEAN[]": "[true,null,false]",
    "DATE[]": "[2026-11-23,null]",
    "DOUBLE[][]": "[[1.5],[],null]",
    "INTEGER[2]": "[1,2] [3,null]",
}
"""Values of a type by their text, a space between them."""
OTHER = (
    *("'a'::ENUM('a', 'b,c')", "'b,c'::ENUM('a', 'b,c')", "'10101'::BIT", "'\\x01\\xFF\\x2C'::BLOB", "''::BLOB"),
    *("'{\"a\": 1}'::JSON", "1::VARIANT", "'10:00:00+05:30'::TIMETZ", "'10:00:00.123456789'::TIME_NS"),
    *("12345678901234567890123456789012345678901234567890::BIGNUM", "NULL"),
    *("INTERVAL '1 day'", "INTERVAL '14 months 3 days'", "INTERVAL '90 seconds'", "INTERVAL '-78 milliseconds'"),
    *("INTERVAL '0 seconds'", "INTERVAL '26 hours 1 microsecond'", "INTERVAL '-50 hours'", "INTERVAL '1 month -1 day'"),
    *("MAP {'a': [1, NULL], 'b': NULL}", "MAP {1: TIMESTAMP '2026-11-23 09:15:00.5'}", "MAP {}"),
    *("{'a': 1, 'b \"x\"': 'y, z', 'c': NULL}", "{'t': TIMESTAMPTZ '2026-11-23 09:15:00+05:30', 'n': 'nan'::DOUBLE}"),
    *("[{'a': [1.5, NULL]}, NULL]", "union_value(a := 1)", "union_value(a := 'x, y')::UNION(b DOUBLE, a VARCHAR)"),
    *(
        "['a\"b', NULL, 'c, d']",
        "['é']::VARCHAR[1]",
        "[INTERVAL '1 day', NULL]",
        "['\\x01'::BLOB]",
        "{'u': 1::UHUGEINT}",
    ),
    *("['x'::ENUM('x')]", "[TIME '10:00:00.5']", "[1::UHUGEINT]"),
)
TEXTS = (
    *(
        "''",
        "' '",
        "'a'",
        "'a,b'",
        "'say \"no\"'",
        "'two\nlines'",
        "'tab\tbed'",
        "'back\\slash'",
        "'\\\\u000B'",
        "'₹ é 😀'",
    ),
    *("'/'", "'null'", "'NULL'", "'''quoted'''", "chr(0) || 'z'", "chr(8) || chr(12) || chr(11) || chr(14) || chr(31)"),
    *("chr(27) || '[31m'", "chr(127)", "chr(8232)", "repeat('long ', 9)", "repeat('long,\n\"', 9)"),
)
FAR = (
    *("TIME '24:00:00'", "'infinity'::DATE", "'-infinity'::DATE", "DATE '0044-03-15 (BC)'", "DATE '5881580-07-10'"),
    *("'infinity'::TIMESTAMP", "'-infinity'::TIMESTAMPTZ", "'infinity'::TIMESTAMP_S", "'infinity'::TIMESTAMP_MS"),
    "'infinity'::TIMESTAMP_NS",
)
"""What Python has no value for."""


def columns() -> Iterator[str]:
    """Values as SQL, a list of those of one type each."""
    for kind, texts in EDGES.items():
        yield "[" + ", ".join([*(f"'{text}'::{kind}" for text in texts.split()), f"NULL::{kind}"]) + "]"
    yield "[" + ", ".join([*TEXTS, "NULL"]) + "]"
    yield from (f"[{value}, NULL]" for value in OTHER)
    yield from (f"[{value}]" for value in FAR)


def statements() -> Iterator[str]:
    """Eight columns a statement, of which some are not as long as others, and some of one alone; then a row of all."""
    found = list(columns())
    for at in range(0, len(found), 8):
        yield f"SELECT unnest({found[at]}) AS v"
        beside = ", ".join(f"unnest({column}) AS v" for column in found[at : at + 8])
        yield f'SELECT {beside}, 1 AS v, \'x\' AS "a, ""b"""'
    yield "SELECT " + ", ".join(f"{column}[1] AS c{at}" for at, column in enumerate(found))
    yield "SELECT 1 AS a WHERE false"
