"""Views and macros against computations in plain Python, and against days made of one trap each."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import days
from tests.query.fixtures import Row, answer, at, feeds, tick, trades_by_hand, write_sealed
from tickrec.clock import IST
from tickrec.errors import TickrecError
from tickrec.query.catalog import columns, describe
from tickrec.query.date_range import DateRange
from tickrec.query.examples import EXAMPLES
from tickrec.query.session import Session
from tickrec.query.views import RELATIONS, TABLES
from tickrec.seal.seal import seal
from tickrec.store.coverage import coverage
from tickrec.store.parts import PartWriter
from tickrec.store.paths import Store

DATE = days.DATE
YESTERDAY = DATE - dt.timedelta(days=1)
MINUTE_US = 60_000_000


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A recorded day with a drop, a run that died and some minutes of trades, the last of them in the tail."""
    store = Store(tmp_path_factory.mktemp("views") / "data")
    recording = days.Recording(store, instruments=50)
    recording.run()
    recording.connect()
    recording.updates(120, every_ms=1500)
    recording.drop()
    recording.connect()
    recording.updates(60, every_ms=1500)
    recording.die()
    recording.run()
    recording.connect()
    recording.updates(60, every_ms=1500)
    PartWriter(store, DATE).flush(recording.written.last_seq - 40)
    return store


@pytest.fixture(scope="module")
def session(recorded: Store) -> Iterator[Session]:
    """Asks about the recorded day."""
    with Session(recorded) as session:
        yield session


def ask(asking: Session, sql: str, *rows: Row, **small: Iterable[Row]) -> list[Row]:
    """The answer about a day that consists of `rows`."""
    write_sealed(asking.store, DATE, {"ticks": rows, **small})
    return answer(asking, sql)


# What is described is what there is


def test_every_table_view_and_macro_is_as_it_is_described(session: Session) -> None:
    usage = {"option_chain": "option_chain('X', now())"}
    for relation in RELATIONS.values():
        result = session.execute(f"DESCRIBE SELECT * FROM {usage.get(relation.name, relation.usage)}")
        found = [(row["column_name"], row["column_type"]) for batch in result.batches() for row in batch.to_pylist()]
        assert found == [(column.name, column.type) for column in columns(relation)], relation.name


def test_the_description_names_every_column_once_a_line() -> None:
    blocks = {block.split(": ", 1)[0]: block.splitlines()[1:] for block in describe().split("\n\n")}
    assert list(blocks) == [relation.usage for relation in RELATIONS.values()]
    for relation in RELATIONS.values():
        described: list[str] = []
        for line in blocks[relation.usage]:
            if line.startswith("    all columns of ticks"):
                described += [each.split()[0] for each in blocks["ticks"]]
            else:
                name, _type, comment = line.split(None, 2)
                assert comment
                described.append(name)
        assert sorted(described) == sorted(column.name for column in columns(relation))


def test_every_example_of_the_help_runs(session: Session) -> None:
    for example in EXAMPLES:
        answer(session, example.sql)
    names = {row["name"] for row in answer(session, "SHOW TABLES")}
    assert names == TABLES


# Against plain Python


def test_trades_are_the_rows_in_which_volume_grew(session: Session, recorded: Store) -> None:
    rows = answer(session, "SELECT seq, instrument_key, ltp, qty FROM trades")
    expected = {(t["seq"], t["key"], t["ltp"], t["qty"]) for t in trades_by_hand(recorded) if t["qty"]}
    assert {tuple(row.values()) for row in rows} == expected
    assert len(rows) == len(expected) > 300


@pytest.mark.parametrize(
    ("interval", "width_s"),
    [("1 minute", 60), ("10 seconds", 10), ("7 minutes", 420), ("1 day", 0)],
)
def test_candles_are_the_trades_of_their_interval(
    session: Session, recorded: Store, interval: str, width_s: int
) -> None:
    bars: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    opening = days.open_ns() // 10**6
    for trade in trades_by_hand(recorded):
        start = (
            opening + (trade["ltt"] - opening) // (width_s * 1000) * width_s * 1000 if width_s else opening - 33300000
        )
        if trade["ltt"] >= opening or not width_s:
            bars[trade["key"], start].append(trade)
    expected = []
    for (key, start), trades in bars.items():
        volume = sum(t["qty"] or 0 for t in trades)
        vwap = sum(t["ltp"] * t["qty"] for t in trades) / volume if volume else None
        prices = [t["ltp"] for t in trades]
        moment = dt.datetime.fromtimestamp(start / 1000, IST)
        ohlc = prices[0], max(prices), min(prices), prices[-1]
        expected.append((key, moment, *ohlc, volume or None, vwap and round(vwap, 6), trades[-1]["oi"], len(trades)))
    sql = f"""SELECT instrument_key, start, open, high, low, close, volume, round(vwap, 6) AS vwap, oi, ticks
              FROM candles('{interval}')"""
    rows = answer(session, sql)
    assert sorted(map(repr, expected)) == sorted(repr(tuple(as_ist(row).values())) for row in rows)
    assert len(rows) >= 50


def as_ist(row: Row) -> Row:
    return {k: v.astimezone(IST) if isinstance(v, dt.datetime) else v for k, v in row.items()}


def test_latest_is_the_newest_row_of_every_instrument_on_the_newest_date(session: Session, recorded: Store) -> None:
    write_sealed(recorded, YESTERDAY, {"ticks": [tick(1, "09:15", key="NSE_EQ|GONE", ltp=1.0)]})
    newest = {key: (seq, feed) for seq, _, _, key, feed in feeds(recorded)}
    rows = answer(session, "SELECT date, instrument_key, seq, ltp FROM latest")
    assert len(rows) == 50
    for row in rows:
        seq, feed = newest[row["instrument_key"]]
        full = feed.fullFeed.marketFF if feed.fullFeed.HasField("marketFF") else feed.fullFeed.indexFF
        assert (row["date"], row["seq"], row["ltp"]) == (DATE, seq, full.ltpc.ltp)
    with Session(recorded, DateRange(last=YESTERDAY)) as session:
        assert [row["instrument_key"] for row in answer(session, "FROM latest")] == ["NSE_EQ|GONE"]


def test_latest_takes_no_rows_but_those_that_footers_name(store: Store) -> None:
    recording = days.Recording(store, instruments=6)
    recording.run()
    recording.connect()
    writer = PartWriter(store, DATE)
    for _ in range(3):  # the first part has the last tick of one, the second of none
        recording.updates(6, 6)
        writer.flush(recording.written.last_seq)
        recording.market.instruments = recording.market.instruments[:5]
    recording.updates(2, 3)

    def latest() -> list[tuple[str, int]]:
        with Session(store) as session:
            return [(row["instrument_key"], row["seq"]) for row in answer(session, "FROM latest")]

    expected = sorted({key: seq for seq, _, _, key, _ in feeds(store)}.items())
    parts = coverage(store, DATE).parts
    whole = spoil(parts[1].path)
    assert sorted(latest()) == expected
    parts[1].path.write_bytes(whole)
    recording.close()
    seal(store, DATE, duckdb=False)
    spoil(store.sealed_path("ticks", DATE))
    assert sorted(latest()) == expected
    with Session(store) as session, pytest.raises(TickrecError):
        answer(session, "FROM ticks")


def spoil(path: Path) -> bytes:
    """Let a Parquet file have nothing that can be read but its footer; what it was."""
    data = path.read_bytes()
    footer = int.from_bytes(data[-8:-4], "little") + 8
    path.write_bytes(data[:4] + bytes(len(data) - footer - 4) + data[-footer:])
    return data


def test_feed_bars_are_the_last_word_on_every_finished_minute(session: Session, recorded: Store) -> None:
    bars: dict[tuple[str, int], Any] = {}
    for _, _, _, key, feed in feeds(recorded):
        full = feed.fullFeed.marketFF if feed.fullFeed.HasField("marketFF") else feed.fullFeed.indexFF
        for bar in full.marketOHLC.ohlc:
            if bar.interval == "I1" and bar.ts:
                bars[key, bar.ts] = bar
    rows = answer(session, "SELECT *, epoch_ms(min_ts) AS ts FROM feed_bars")
    assert len(rows) == len(bars) > 50
    for row in rows:
        bar = bars[row["instrument_key"], row["ts"]]
        assert [row["min_open"], row["min_high"], row["min_low"], row["min_close"]] == [
            bar.open, bar.high, bar.low, bar.close
        ]  # fmt: skip
        assert row["min_volume"] == bar.vol


def test_depth_has_a_row_for_every_level(session: Session, recorded: Store) -> None:
    expected = set()
    for seq, _, _, key, feed in feeds(recorded):
        for level, quote in enumerate(feed.fullFeed.marketFF.marketLevel.bidAskQuote, 1):
            expected.add((seq, key, level, quote.bidP, quote.bidQ, quote.askP, quote.askQ))
    rows = answer(session, "SELECT seq, instrument_key, level, bid, bid_qty, ask, ask_qty FROM depth")
    assert {tuple(row.values()) for row in rows} == expected
    assert len(rows) == len(expected)


def test_as_of_joins_find_what_was_known_then(session: Session, recorded: Store) -> None:
    stock, index = "NSE_EQ|INE000000A01", "NSE_INDEX|Index 43"
    prices: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for _, wall_ns, _, key, feed in feeds(recorded):
        full = feed.fullFeed.marketFF if feed.fullFeed.HasField("marketFF") else feed.fullFeed.indexFF
        prices[key].append((wall_ns // 1000, full.ltpc.ltp))
    expected = [max((t, p) for t, p in prices[index] if t <= moment)[1] for moment, _ in prices[stock]]
    sql = f"""SELECT i.ltp AS spot FROM ticks t ASOF JOIN ticks i
              ON i.instrument_key = '{index}' AND i.date = t.date AND i.recv_ts <= t.recv_ts
              WHERE t.instrument_key = '{stock}' ORDER BY t.seq"""
    assert [row["spot"] for row in answer(session, sql)] == expected


# One trap each


def test_what_traded_across_a_reconnect_is_in_the_first_message_after_it(asking: Session) -> None:
    rows = [
        tick(1, "11:00:00", snapshot=True, ltp=100.0, ltt="10:59:58", vtt=5_000),
        tick(2, "11:00:01", ltp=101.0, ltt="11:00:00.5", vtt=5_010),
        tick(3, "11:05:00", snapshot=True, ltp=90.0, ltt="11:04:59", vtt=6_000),
        tick(4, "11:05:01", ltp=102.0, ltt="11:05:00.5", vtt=6_007),
        tick(5, "11:09:00", snapshot=True, ltp=102.0, ltt="11:05:00.5", vtt=6_007),
    ]
    found = ask(asking, "SELECT seq, qty FROM trades ORDER BY seq", *rows)
    assert [tuple(row.values()) for row in found] == [(2, 10), (3, 990), (4, 7)]
    bars = ask(asking, "SELECT start, low, volume FROM candles('1 minute')", *rows)
    assert [tuple(as_ist(row).values()) for row in bars] == [
        (at("11:00"), 101.0, 10),
        (at("11:04"), 90.0, 990),
        (at("11:05"), 102.0, 7),
    ]
    assert ask(asking, "SELECT volume FROM candles('1 day')", *rows) == [{"volume": 1_007}]


def test_an_instrument_idle_all_morning_trades_its_volume_of_today(asking: Session) -> None:
    idle: dict[str, Any] = {"ltp": 50.0, "ltt": at("15:29:00", YESTERDAY), "vtt": 40}
    rows = [
        tick(1, "08:55", snapshot=True, **idle),
        tick(2, "09:20", **idle),
        tick(3, "11:30:00", ltp=51.0, ltt="11:29:59", vtt=75),
        tick(4, "11:31:00", ltp=52.0, ltt="11:30:59", vtt=100),
    ]
    assert [row["qty"] for row in ask(asking, "SELECT qty FROM trades ORDER BY seq", *rows)] == [75, 25]
    bars = ask(asking, "SELECT start, open, volume FROM candles('1 hour')", *rows)
    assert [as_ist(bar) for bar in bars] == [{"start": at("11:15"), "open": 51.0, "volume": 100}]


def test_the_first_row_of_an_instrument_tells_no_quantity(asking: Session) -> None:
    rows = [tick(1, "11:00", ltp=1.0, ltt="10:59:59", vtt=900), tick(2, "11:01", ltp=2.0, ltt="11:00:59", vtt=905)]
    assert [row["qty"] for row in ask(asking, "SELECT qty FROM trades", *rows)] == [5]


def test_the_pre_open_auction_is_in_the_daily_candle_and_in_no_other(asking: Session) -> None:
    rows = [
        tick(1, "09:00", snapshot=True, ltp=100.0, ltt=at("15:29", YESTERDAY), vtt=9_000),
        tick(2, "09:08:30", ltp=120.0, ltt="09:08:20", vtt=500),
        tick(3, "09:15:01", ltp=110.0, ltt="09:15:00.2", vtt=530),
        tick(4, "09:15:02", ltp=111.0, ltt="09:15:01", vtt=550),
    ]
    day = {"start": at("00:00"), "open": 120.0, "high": 120.0, "volume": 550}
    bar = {"start": at("09:15"), "open": 110.0, "high": 111.0, "volume": 50}
    for interval, expected in (("1 minute", bar), ("1 hour", bar), ("1 day", day), ("24 hours", day)):
        bars = ask(asking, f"SELECT start, open, high, volume FROM candles('{interval}')", *rows)
        assert [as_ist(each) for each in bars] == [expected]
    assert [row["qty"] for row in ask(asking, "SELECT qty FROM trades ORDER BY seq", *rows)] == [500, 30, 20]


def test_the_simulated_market_is_always_open_and_has_no_pre_open(tmp_path: Path) -> None:
    rows = [
        tick(1, "09:05", snapshot=True, ltp=100.0, ltt="09:04:59", vtt=10),
        tick(2, "09:05:30", ltp=120.0, ltt="09:05:29", vtt=15),
        tick(3, "03:00", key="NSE_EQ|B", snapshot=True, ltp=1.0, ltt="02:59", vtt=1),
        tick(4, "03:01", key="NSE_EQ|B", ltp=1.0, ltt="03:00:30", vtt=2),
    ]
    store = Store(tmp_path / "simulated")
    with Session(store) as session:
        bars = ask(session, "SELECT start, volume FROM candles('1 hour') ORDER BY start", *rows)
    assert [as_ist(bar) for bar in bars] == [
        {"start": at("02:15"), "volume": 1},
        {"start": at("08:15"), "volume": 5},
    ]


OPENS = {
    "14:15": ["NSE_EQ|A", "NSE_FO|1", "NSE_INDEX|Nifty 50", "BSE_EQ|A", "BSE_FO|1", "BSE_INDEX|SENSEX"],
    "14:00": ["MCX_FO|1", "MCX_INDEX|x", "NSE_COM|1", "NCD_FO|1", "BCD_FO|1", "GLOBAL_INDICATOR|USDINR"],
}


def test_bars_are_counted_from_the_open_of_the_segment(asking: Session) -> None:
    starts = {key: start for start, keys in OPENS.items() for key in keys}
    rows = [tick(1, "14:00", key=key, snapshot=True, ltp=1.0, ltt="13:59", vtt=1) for key in starts]
    rows += [tick(2, "14:30", key=key, ltp=1.0, ltt="14:29", vtt=2) for key in starts]
    bars = ask(asking, "SELECT instrument_key, start FROM candles('1 hour')", *rows)
    assert sorted(tuple(as_ist(bar).values()) for bar in bars) == sorted((k, at(start)) for k, start in starts.items())


def test_currency_trades_at_nine_are_no_pre_open(asking: Session) -> None:
    rows = [
        tick(1, "09:00:00", key="MCX_FO|1", snapshot=True, ltp=1.0, ltt=at("23:29", YESTERDAY), vtt=7_000),
        tick(2, "09:00:02", key="MCX_FO|1", ltp=2.0, ltt="09:00:01", vtt=3),
    ]
    bars = ask(asking, "SELECT start, volume FROM candles('1 minute')", *rows)
    assert [as_ist(bar) for bar in bars] == [{"start": at("09:00"), "volume": 3}]


def test_rows_without_prices_or_volume_leave_their_growth_to_the_next(asking: Session) -> None:
    rows = [
        tick(1, "10:00:00", snapshot=True, ltp=1.0, ltt="09:59:59", vtt=100),
        tick(2, "10:00:01", bid=1.0, vtt=110),
        tick(3, "10:00:02", bid=1.0),
        tick(4, "10:00:03", ltp=2.0, ltt="10:00:02.5", vtt=115),
    ]
    assert [row["qty"] for row in ask(asking, "SELECT qty FROM trades", *rows)] == [15]


def test_a_message_that_comes_late_is_not_traded_again(asking: Session) -> None:
    volumes = [100, 110, 105, 108, 112, 112, 120]
    rows = [
        tick(seq, f"10:00:0{seq}", snapshot=not seq, ltp=1.0, ltt=f"10:00:0{seq}", vtt=vtt)
        for seq, vtt in enumerate(volumes)
    ]
    assert [row["qty"] for row in ask(asking, "SELECT qty FROM trades ORDER BY seq", *rows)] == [10, 2, 8]


def test_a_long_spell_of_book_only_messages_does_not_forget_the_volume(asking: Session) -> None:
    rows = [tick(0, "10:00", snapshot=True, ltp=1.0, ltt="09:59", vtt=100)]
    rows += [tick(seq, "10:01", bid=1.0, vtt=100) for seq in range(1, 600)]
    rows += [tick(600, "10:02", ltp=1.0, ltt="10:01:59", vtt=103)]
    assert [row["qty"] for row in ask(asking, "SELECT qty FROM trades", *rows)] == [3]


def test_without_volume_every_new_trade_time_counts(asking: Session) -> None:
    times = ["09:59:00", "09:59:00", "10:00:01", "10:00:01", "10:00:02"]
    rows = [
        tick(seq, f"10:00:{seq + 10}", key="NSE_INDEX|N", snapshot=not seq, ltp=100.0 + seq, ltt=ltt)
        for seq, ltt in enumerate(times)
    ]
    bars = ask(asking, "SELECT open, close, volume, vwap, ticks FROM candles('1 minute')", *rows)
    assert bars == [{"open": 102.0, "close": 104.0, "volume": None, "vwap": None, "ticks": 2}]
    assert ask(asking, "FROM trades", *rows) == []


def test_a_change_from_last_prices_to_full_mode_trades_nothing_by_itself(asking: Session) -> None:
    rows = [
        tick(1, "10:00:00", mode="ltpc", snapshot=True, ltp=1.0, ltt="09:59:59"),
        tick(2, "10:00:01", mode="ltpc", ltp=2.0, ltt="10:00:00.5"),
        tick(3, "10:00:02", ltp=2.0, ltt="10:00:00.5", vtt=80_000),
        tick(4, "10:00:03", ltp=3.0, ltt="10:00:02.5", vtt=80_004),
    ]
    assert [row["qty"] for row in ask(asking, "SELECT qty FROM trades", *rows)] == [4]


def test_around_midnight_volume_goes_on(asking: Session) -> None:
    rows = [
        tick(1, "00:00:01", ltp=1.0, ltt=at("23:59:59.5", YESTERDAY), vtt=900),
        tick(2, "00:00:02", ltp=2.0, ltt="00:00:01", vtt=905),
    ]
    assert [row["qty"] for row in ask(asking, "SELECT qty FROM trades", *rows)] == [5]


def test_dates_do_not_run_into_each_other(asking: Session) -> None:
    for date, volume in ((YESTERDAY, 900), (DATE, 20)):
        rows = [
            tick(1, "10:00", snapshot=True, ltp=1.0, ltt="09:59", vtt=volume),
            tick(2, "10:01", ltp=2.0, ltt="10:00", vtt=volume + 1),
        ]
        for row in rows:
            for column in ("recv_ts", "feed_ts", "ltt"):
                row[column] = row[column].replace(year=date.year, month=date.month, day=date.day)
        write_sealed(asking.store, date, {"ticks": rows})
    bars = answer(asking, "SELECT date, volume FROM candles('1 day') ORDER BY date")
    assert bars == [{"date": YESTERDAY, "volume": 1}, {"date": DATE, "volume": 1}]


def test_a_key_used_again_for_another_contract_is_another_instrument_on_another_day(asking: Session) -> None:
    for date, symbol, volume in ((YESTERDAY, "NIFTY 26000 CE 24 NOV 26", 9_000), (DATE, "TCS 3100 PE 29 DEC 26", 20)):
        rows = [
            tick(1, "10:00", symbol=symbol, snapshot=True, ltp=1.0, ltt="09:59", vtt=volume),
            tick(2, "10:01", symbol=symbol, ltp=2.0, ltt="10:00", vtt=volume + 5),
        ]
        for row in rows:
            for column in ("recv_ts", "feed_ts", "ltt"):
                row[column] = row[column].replace(year=date.year, month=date.month, day=date.day)
        named = {"instrument_key": rows[0]["instrument_key"], "symbol": symbol, "segment": "NSE_FO"}
        write_sealed(asking.store, date, {"ticks": rows, "instruments": [named]})
    bars = answer(asking, "SELECT date, symbol, volume FROM candles('1 day') ORDER BY date")
    sql = "SELECT DISTINCT i.symbol FROM ticks t JOIN instruments i USING (date, instrument_key) WHERE date = $d"
    joined = [answer(asking, sql.replace("$d", f"DATE '{date}'")) for date in (YESTERDAY, DATE)]
    assert bars == [
        {"date": YESTERDAY, "symbol": "NIFTY 26000 CE 24 NOV 26", "volume": 5},
        {"date": DATE, "symbol": "TCS 3100 PE 29 DEC 26", "volume": 5},
    ]
    assert joined == [[{"symbol": "NIFTY 26000 CE 24 NOV 26"}], [{"symbol": "TCS 3100 PE 29 DEC 26"}]]


def test_bars_of_the_broker_from_yesterday_are_left_out(asking: Session) -> None:
    bar: dict[str, Any] = {"min_open": 1.0, "min_high": 2.0, "min_low": 1.0, "min_close": 2.0}
    rows = [
        tick(1, "09:01", min_ts=at("15:29", YESTERDAY), min_volume=5, **bar),
        tick(2, "09:02"),
        tick(3, "09:17", min_ts=at("09:15"), min_volume=6, **bar),
        tick(4, "09:17:01", min_ts=at("09:15"), min_volume=7, **bar),
    ]
    found = ask(asking, "SELECT min_ts, min_volume FROM feed_bars", *rows)
    assert [as_ist(row) for row in found] == [{"min_ts": at("09:15"), "min_volume": 7}]


def test_depth_of_uneven_sides(asking: Session) -> None:
    rows = [
        tick(1, "10:00", bid_prices=[2.0, 1.0], bid_qtys=[5, 6], ask_prices=[3.0], ask_qtys=[7]),
        tick(2, "10:01", ask_prices=[4.0], ask_qtys=[8]),
        tick(3, "10:02"),
    ]
    found = ask(asking, "SELECT seq, level, bid, bid_qty, ask, ask_qty FROM depth ORDER BY seq, level", *rows)
    assert [tuple(row.values()) for row in found] == [
        (1, 1, 2.0, 5, 3.0, 7),
        (1, 2, 1.0, 6, None, None),
        (2, 1, None, None, 4.0, 8),
    ]


def contract(kind: str, strike: float, expiry: int = 24, **columns: Any) -> Row:
    key = f"NSE_FO|{kind}{strike:g}-{expiry}"
    underlying = {"underlying_key": "NSE_INDEX|Nifty 50", "underlying_symbol": "NIFTY", "segment": "NSE_FO"}
    expires = dt.date(2026, 11, expiry)
    return {
        "instrument_key": key,
        "instrument_type": kind,
        "strike": strike,
        "expiry": expires,
        **underlying,
        **columns,
    }


CHAIN = [contract(kind, strike) for kind in ("CE", "PE") for strike in (100.0, 200.0)]


def chain_day() -> list[Row]:
    rows = [tick(1, "10:00", key="NSE_INDEX|Nifty 50", symbol="NIFTY", ltp=150.0)]
    for number, option in enumerate(CHAIN):
        key = option["instrument_key"]
        rows.append(tick(10 + number, "10:00", key=key, symbol=key, ltp=1.0 + number, bid=0.5, oi=10.0, iv=0.2, vtt=7))
        rows.append(tick(20 + number, "10:05", key=key, symbol=key, bid=0.6, vtt=8))
        rows.append(tick(30 + number, "10:10", key=key, symbol=key, ltp=9.0, vtt=9))
    return rows


def test_an_option_chain_shows_both_sides_as_last_known(asking: Session) -> None:
    instruments = [*CHAIN, contract("CE", 300.0, 30), contract("FUT", 0.0)]
    instruments.append(
        contract("CE", 100.0, 24, underlying_symbol="OTHER", underlying_key="x", instrument_key="NSE_FO|z")
    )
    moment = at("10:05:30").isoformat()
    columns = "expiry, strike, call_ltp, call_bid, call_vtt, call_oi, put_ltp, put_bid, underlying_ltp"
    expected = [
        (dt.date(2026, 11, 24), 100.0, 1.0, 0.6, 8, 10.0, 3.0, 0.6, 150.0),
        (dt.date(2026, 11, 24), 200.0, 2.0, 0.6, 8, 10.0, 4.0, 0.6, 150.0),
    ]
    write_sealed(asking.store, YESTERDAY, {"ticks": [tick(1, "10:00", key="NSE_FO|CE100-24", ltp=77.0)]})
    for underlying, when in (
        ("'NIFTY'", f"'{moment}'"),
        ("'nifty'", f"TIMESTAMPTZ '{moment}'"),
        ("'NSE_INDEX|Nifty 50'", "'10:05:30'"),
        ("'NIFTY'", f"TIMESTAMP '{DATE} 10:05:30'"),
    ):
        rows = ask(
            asking, f"SELECT {columns} FROM option_chain({underlying}, {when})", *chain_day(), instruments=instruments
        )
        assert [tuple(row.values()) for row in rows] == expected


def test_an_option_chain_opens_one_date(asking: Session) -> None:
    for back in (1, 2):
        date = DATE - dt.timedelta(days=back)
        write_sealed(asking.store, date, {"ticks": [tick(1, "10:00", ltp=1.0)], "instruments": CHAIN})
    asking.store.sealed_path("ticks", YESTERDAY).write_bytes(b"broken")
    for moment in ("'10:20'", f"TIMESTAMPTZ '{DATE} 10:20+05:30'", f"'{DATE} 10:20'"):
        rows = ask(asking, f"SELECT call_ltp FROM option_chain('NIFTY', {moment})", *chain_day(), instruments=CHAIN)
        assert rows == [{"call_ltp": 9.0}, {"call_ltp": 9.0}]


def test_a_spike_is_told_once_and_by_the_trade_that_made_it(asking: Session) -> None:
    prices = [100, 100.2, 101.5, 101.6, 101.5, 100.3, 100.3, 100.2]
    rows = [
        tick(seq, f"10:00:{seq * 5:02}", snapshot=not seq, ltp=float(price), ltt=f"10:00:{seq * 5:02}", vtt=seq)
        for seq, price in enumerate([99.0, *prices])
    ]
    found = ask(
        asking, "SELECT seq, ltp, from_ltp, round(change_percent, 4) AS change FROM spikes('20 seconds', 1)", *rows
    )
    assert [tuple(row.values()) for row in found] == [(3, 101.5, 100.0, 1.5), (6, 100.3, 101.6, -1.2795)]
    assert ask(asking, "FROM spikes('20 seconds', 2)", *rows) == []
    assert ask(asking, "FROM spikes('5 seconds', 1.25)", *rows)[0]["seq"] == 3
