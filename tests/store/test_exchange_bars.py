from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.clocks import at
from tests.days import DATE, write_day
from tickrec import schema
from tickrec.clock import ist
from tickrec.seal.seal import seal
from tickrec.seal.verify import verify
from tickrec.store import dayfile
from tickrec.store.exchange_bars import HISTORICAL, INTRADAY, Answer, ExchangeBars, load, save
from tickrec.store.manifest import load as load_manifest
from tickrec.store.paths import Store

EVENING = at("2026-11-23T16:00")
MORNING = at("2026-11-24T08:00")


def bar(key: str, minute: str, close: float, answer: Answer) -> dict[str, Any]:
    """A candle of an answer."""
    start = ist(at(f"2026-11-23T{minute}"))
    prices = {"open": 100.0, "high": 110.0, "low": 90.0, "close": close}
    said = {"source": answer.source, "fetched_ts": ist(answer.fetched_ns)}
    return {"instrument_key": key, "symbol": key[7:], "start_ts": start, **prices, "volume": 10, "oi": 0.0, **said}


def bars(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=schema.EXCHANGE_BARS)


def closes(found: ExchangeBars) -> list[tuple[str, float]]:
    return list(zip(found.rows["instrument_key"].to_pylist(), found.rows["close"].to_pylist(), strict=True))


def test_what_was_saved_is_loaded_in_the_order_of_instrument_and_time(store: Store) -> None:
    assert load(store, DATE).answers == {}
    assert load(store, DATE).rows.schema.equals(schema.EXCHANGE_BARS)
    answer = Answer(INTRADAY, EVENING)
    rows = bars(bar("NSE_EQ|B", "09:15", 1.0, answer), *(bar("NSE_EQ|A", f"09:1{n}", n, answer) for n in (7, 6, 5)))
    answers = dict.fromkeys(["NSE_EQ|A", "NSE_EQ|B", "NSE_EQ|EMPTY"], answer)
    save(store, DATE, load(store, DATE).add(rows, answers))
    found = load(store, DATE)
    assert closes(found) == [("NSE_EQ|A", 5.0), ("NSE_EQ|A", 6.0), ("NSE_EQ|A", 7.0), ("NSE_EQ|B", 1.0)]
    assert found.answers == answers


def test_historical_candles_replace_intraday_ones_and_never_the_other_way_round(store: Store) -> None:
    early, late = Answer(INTRADAY, EVENING), Answer(HISTORICAL, MORNING)
    found = ExchangeBars(bars(), {}).add(bars(bar("NSE_EQ|A", "09:15", 1.0, early)), {"NSE_EQ|A": early})
    better = found.add(bars(bar("NSE_EQ|A", "09:16", 2.0, late)), {"NSE_EQ|A": late})
    assert closes(better) == [("NSE_EQ|A", 2.0)]
    again = better.add(bars(bar("NSE_EQ|A", "09:15", 3.0, early)), {"NSE_EQ|A": early})
    assert closes(again) == closes(better)
    assert again.answers == {"NSE_EQ|A": late}
    newer = Answer(INTRADAY, EVENING + 1)
    assert closes(found.add(bars(bar("NSE_EQ|A", "09:15", 4.0, newer)), {"NSE_EQ|A": newer})) == [("NSE_EQ|A", 4.0)]


def test_a_damaged_file_is_told_and_asked_for_again(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    answer = Answer(INTRADAY, EVENING)
    save(store, DATE, ExchangeBars(bars(bar("NSE_EQ|A", "09:15", 1.0, answer)), {"NSE_EQ|A": answer}))
    path = store.exchange_bars_path(DATE)
    path.write_bytes(path.read_bytes()[:-40])
    assert load(store, DATE).answers == {}
    assert "asked for again" in caplog.text


def test_sealing_keeps_them_and_takes_them_into_the_day_file_and_nothing_else_touches_them(store: Store) -> None:
    write_day(store, messages=3, instruments=3)
    answer = Answer(HISTORICAL, MORNING)
    save(store, DATE, ExchangeBars(bars(bar("NSE_EQ|A", "09:15", 1.0, answer)), {"NSE_EQ|A": answer}))
    before = store.exchange_bars_path(DATE).read_bytes()
    for make in (dayfile.rebuild, seal):
        make(store, DATE)
        assert store.exchange_bars_path(DATE).read_bytes() == before
        with duckdb.connect(str(store.duckdb_path(DATE)), read_only=True) as session:
            rows = session.sql("SELECT date, symbol, close, source FROM exchange_bars").fetchall()
        assert rows == [(DATE, "A", 1.0, HISTORICAL)]
    manifest = load_manifest(store, DATE)
    assert manifest is not None
    assert not [name for name in manifest.files if "exchange_bars" in name]
    assert pq.ParquetFile(store.exchange_bars_path(DATE)).metadata.num_rows == 1
    save(store, DATE, ExchangeBars(bars(), {}))
    assert not verify(store, DATE).differences
