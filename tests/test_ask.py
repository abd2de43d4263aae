"""A question on the command line: rows on stdout, everything else on stderr."""

import io
from pathlib import Path

import pytest

from tests import days
from tests.query_fixtures import tick, write_sealed
from tickrec.ask import Bar, ask
from tickrec.clock import SECOND, SystemClock
from tickrec.errors import UsageError
from tickrec.layout import Store


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 0

    def wall_ns(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        self.now += SECOND // 100
        return self.now

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "data")
    write_sealed(store, days.DATE, {"ticks": [tick(1, "09:15", ltp=1.5), tick(2, "09:15", ltp=2.5)]})
    return store


def asked(store: Store, sql: str, **options: object) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    ask(store, sql, Hand(), out=out, err=err, **options)  # type: ignore[arg-type]
    return out.getvalue(), err.getvalue()


def test_rows_go_to_stdout_and_their_count_to_stderr(store: Store) -> None:
    sql = "SELECT seq, ltp FROM ticks ORDER BY seq"
    assert asked(store, sql) == ("seq   ltp\n  1  1.50\n  2  2.50\n", "2 rows (0.01 s)\n")
    assert asked(store, sql, format="csv", limit=1) == ("seq,ltp\n1,1.5\n", "1 row (0.01 s)\n")


def test_an_answer_in_a_file_leaves_stdout_empty(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert asked(store, "SELECT ltp FROM ticks ORDER BY seq", file=path) == ("", "2 rows (0.01 s)\n")
    assert path.read_text() == '{"ltp": 1.5}\n{"ltp": 2.5}\n'


def test_a_file_without_a_format_is_refused_before_anything_runs(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot tell the format"):
        asked(store, "not even SQL", file=tmp_path / "rows.doc")


def test_an_empty_store_is_told_beside_the_answer(tmp_path: Path) -> None:
    write_sealed(Store(tmp_path / "simulated"), days.DATE, {"ticks": [tick(1, "09:15", ltp=1.0)]})
    out, err = asked(Store(tmp_path), "SELECT count(*) AS n FROM ticks")
    assert out == "n\n0\n"
    assert "--simulate" in err


def test_a_bar_is_shown_only_to_those_who_wait() -> None:
    err, clock = io.StringIO(), Hand()
    bar = Bar(err, clock)
    bar(10.0)
    bar.clear()
    assert err.getvalue() == ""
    clock.now += SECOND
    bar(-1.0)
    bar(50.0)
    bar(50.0)
    assert err.getvalue() == "\r" + "#" * 15 + "." * 15 + "  50 %"
    bar.clear()
    assert err.getvalue().endswith("\r" + " " * 36 + "\r")


def test_the_clock_of_the_machine_will_do(store: Store) -> None:
    out, err = io.StringIO(), io.StringIO()
    ask(store, "SELECT 1 AS one", SystemClock(), out=out, err=err)
    assert out.getvalue() == "one\n  1\n"
    assert err.getvalue().startswith("1 row (")
