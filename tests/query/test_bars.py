"""Candles whose missing minutes are the exchange's."""

from typing import Any

import pytest

from tests import days
from tests.query.fixtures import Row, answer, at, tick, write_sealed
from tests.query.test_missing import KEY, asked, connected, gap, session
from tickrec.errors import UsageError
from tickrec.query.session import Session
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store

INDEX = "NSE_INDEX|I"


def trade(seq: int, time: str, ltp: float, vtt: int, **columns: Any) -> Row:
    return tick(seq, time, ltt=time, ltp=ltp, vtt=vtt, ltq=1, **columns)


def bar(time: str, close: float, *, key: str = KEY, **columns: Any) -> Row:
    prices = {"open": close - 1, "high": close + 2, "low": close - 2, "close": close, "volume": 1000, "oi": 7.0}
    said = {"source": "historical", "fetched_ts": at("16:00")}
    return {"instrument_key": key, "symbol": key[-1], "start_ts": at(time), **prices, **said, **columns}


def write(store: Store, ticks: list[Row], bars: list[Row], **tables: list[Row]) -> None:
    known: dict[str, list[Row]] = {
        "sessions": [session(1), session(1, segment="NSE_INDEX")],
        "connections": [connected(1, "09:00", "16:00")],
        "subscriptions": [asked(1, "09:00", "09:00:01"), asked(1, "09:00", "09:00:01", key=INDEX)],
    }
    write_sealed(store, days.DATE, {"ticks": ticks, **known, **tables})
    write_sealed(store, days.DATE, {"exchange_bars": bars})


def shown(rows: list[Row]) -> list[tuple[Any, ...]]:
    names = ("open", "high", "low", "close", "volume", "ticks", "source")
    return [(f"{row['start']:%H:%M}", *(row[name] for name in names)) for row in rows]


TICKS = [
    trade(10, "09:15:00", 100.0, 1000),
    trade(11, "09:15:30", 101.0, 1010),
    trade(12, "09:16:10", 102.0, 1030),
    # a gap from 09:16:20 to 09:18:40, in which 500 traded
    trade(13, "09:18:40", 110.0, 1530, snapshot=True),
    trade(14, "09:18:50", 111.0, 1535),
    trade(15, "09:19:10", 112.0, 1545),
    trade(16, "09:19:20", 113.0, 1550),
    *(trade(17 + n, f"09:{20 + n}:30", 114.0, 1560 + n) for n in range(8)),
]
LOST = [gap(12, "09:16:20", "09:18:40")]
EXCHANGE = [bar(f"09:{minute}", float(minute)) for minute in range(15, 28)]


def test_minutes_that_were_not_recorded_whole_are_the_exchange_s(asking: Session) -> None:
    write(asking.store, TICKS, EXCHANGE, gaps=LOST)
    assert shown(answer(asking, "FROM bars('1 minute') LIMIT 6")) == [
        ("09:15", 101.0, 101.0, 101.0, 101.0, 10, 1, "ticks"),
        ("09:16", 15.0, 18.0, 14.0, 16.0, 1000, 0, "exchange"),
        ("09:17", 16.0, 19.0, 15.0, 17.0, 1000, 0, "exchange"),
        ("09:18", 17.0, 20.0, 16.0, 18.0, 1000, 0, "exchange"),
        ("09:19", 112.0, 113.0, 112.0, 113.0, 15, 2, "ticks"),
        ("09:20", 114.0, 114.0, 114.0, 114.0, 10, 1, "ticks"),
    ]


def test_a_longer_bar_counts_each_minute_once_and_says_what_is_in_it(asking: Session) -> None:
    write(asking.store, TICKS, EXCHANGE, gaps=LOST)
    rows = answer(asking, "FROM bars('5 minutes')")
    assert shown(rows)[:2] == [
        ("09:15", 101.0, 113.0, 14.0, 113.0, 3025, 3, "exchange"),
        ("09:20", 114.0, 114.0, 114.0, 114.0, 14, 5, "ticks"),
    ]
    assert [row["vwap"] is None for row in rows[:2]] == [True, False]
    (day,) = answer(asking, "FROM bars('1 day')")
    assert (day["open"], day["close"], day["source"]) == (101.0, 114.0, "exchange")
    assert f"{day['start']:%H:%M}" == "00:00"


def test_where_the_exchange_has_nothing_ticks_stay(asking: Session) -> None:
    write(asking.store, TICKS, EXCHANGE[:2], gaps=LOST)
    found = shown(answer(asking, "FROM bars('1 minute')"))
    assert [(row[0], row[-1]) for row in found[:4]] == [
        ("09:15", "ticks"),
        ("09:16", "exchange"),
        ("09:18", "ticks"),
        ("09:19", "ticks"),
    ]
    assert found[2][5] == 505


def test_nothing_mixes_into_candles_and_ticks(asking: Session) -> None:
    write(asking.store, TICKS, [], gaps=LOST)
    before = answer(asking, "FROM candles('1 minute')"), answer(asking, "FROM ticks")
    write(asking.store, TICKS, EXCHANGE, gaps=LOST)
    assert (answer(asking, "FROM candles('1 minute')"), answer(asking, "FROM ticks")) == before


def test_an_instrument_never_recorded_and_an_index_have_bars(asking: Session) -> None:
    bars = [bar("09:15", 5.0, key="NSE_EQ|X"), bar("09:15", 6.0, key=INDEX, volume=0)]
    subscriptions = [asked(1, "09:00", None, key="NSE_EQ|X"), asked(1, "09:00", None, key=INDEX)]
    write(asking.store, TICKS[:1], bars, subscriptions=subscriptions)
    rows = answer(asking, "SELECT symbol, close, volume, source FROM bars('1 hour')")
    assert rows == [
        {"symbol": "I", "close": 6.0, "volume": None, "source": "exchange"},
        {"symbol": "X", "close": 5.0, "volume": 1000, "source": "exchange"},
    ]


def test_without_a_gap_they_are_candles(asking: Session) -> None:
    recording = days.Recording(asking.store, instruments=5)
    recording.run()
    recording.connect()
    recording.updates(250, 4, every_ms=6000)
    recording.close()
    PartWriter(asking.store, days.DATE).flush(recording.written.last_seq, final=True)
    for interval in ("1 minute", "7 minutes", "1 day"):
        candles = answer(asking, f"SELECT * EXCLUDE (vwap) FROM candles('{interval}')")
        assert len(candles) >= 5
        rows = answer(asking, f"SELECT * EXCLUDE (vwap) FROM bars('{interval}')")
        assert [row.pop("source") for row in rows] == ["ticks"] * len(candles)
        assert rows == candles


@pytest.mark.parametrize("interval", ["30 seconds", "90 seconds", "2 days", "soon"])
def test_an_interval_that_the_exchange_cannot_fill_is_refused(asking: Session, interval: str) -> None:
    write(asking.store, TICKS, EXCHANGE)
    with pytest.raises(UsageError, match="no interval of whole minutes up to 1 day") as caught:
        answer(asking, f"FROM bars('{interval}')")
    assert "5 minutes" in caught.value.hint
