"""decode: messages to rows, held against plain protobuf and against values written out here."""

import pathlib
import random
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.upstox.decode import oracle
from tests.upstox.decode.agreement import (
    FIRST_NS,
    MESSAGES,
    SYMBOLS,
    assert_agrees,
    assert_tables,
    entries,
    exact,
    rows,
    sample,
)
from tests.upstox.decode.payloads import INFO, KEY, entry_of, field, market, message
from tests.upstox.decode.random_messages import Maker
from tickrec import schema
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode import batches, columns
from tickrec.upstox.decode.tables import decode

BOOK = ("bid", "bid_qty", "ask", "ask_qty", "bid_prices", "bid_qtys", "ask_prices", "ask_qtys")
NOT_SENT = dict.fromkeys(schema.TICKS.names[schema.TICKS.get_field_index("ltp") :])


def only_row(payload: bytes) -> oracle.Row:
    """The one tick of a message, after holding it against the oracle."""
    (row,) = rows(assert_agrees([payload]).ticks)
    return row


def values(row: oracle.Row, *names: str) -> list[object]:
    """Some columns of a row."""
    return [row[name] for name in names]


# What the broker sends


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_samples_decode_as_protobuf_reads_them(path: pathlib.Path) -> None:
    payloads = sample(path)
    decoded = assert_agrees(payloads)
    assert decoded.ticks.num_rows + decoded.market_status.num_rows >= len(payloads)


def test_a_captured_snapshot_has_every_value_in_its_column() -> None:
    (path,) = [path for path in MESSAGES if path.stem.startswith("full_sequence")]
    decoded = decode(entries(sample(path)), SYMBOLS)
    first, second, *_ = rows(decoded.ticks)
    assert first == {
        **{"seq": 2, "conn": 2, "recv_ts": (FIRST_NS + 1_000_777) // 1000, "feed_ts": 1742373998670},
        **{"instrument_key": "NSE_EQ|INE090A01021", "symbol": "ICICIBANK", "mode": "full_d5", "snapshot": True},
        **{"ltp": 1313.7, "ltt": 1742373997241, "ltq": 245, "cp": 1309.85, "ltpc_iep": None},
        **{"bid": 1313.65, "bid_qty": 570, "ask": 1313.7, "ask_qty": 746},
        **{"bid_prices": [1313.65, 1313.6, 1313.55, 1313.5, 1313.45], "bid_qtys": [570, 366, 384, 209, 65]},
        **{"ask_prices": [1313.7, 1313.75, 1313.8, 1313.85, 1313.9], "ask_qtys": [746, 700, 2020, 1, 1]},
        **{"atp": 1310.68, "vtt": 7790518, "oi": 0.0, "iv": 0.0, "tbq": 359157.0, "tsq": 421241.0},
        **{"iep": 0.0, "rp": 0.0, "ieq": 0, "iiq_total": 0, "iiq_m": 0, "cas_eligible": False},
        **{"delta": None, "theta": None, "gamma": None, "vega": None, "rho": None},
        **{"day_open": 1305.6, "day_high": 1316.2, "day_low": 1302.15, "day_close": 1313.7},
        **{"day_volume": 7790518, "day_ts": 1742322600000},
        **{"min_open": 1312.75, "min_high": 1313.45, "min_low": 1312.6, "min_close": 1313.1},
        **{"min_volume": 45682, "min_ts": 1742373900000},
    }
    assert (second["snapshot"], second["atp"], *values(second, *BOOK)) == (False, first["atp"], *[None] * len(BOOK))


def test_market_info_becomes_rows_of_market_status() -> None:
    (path,) = [path for path in MESSAGES if path.stem.startswith("docs")]
    decoded = decode(entries(sample(path)), {})
    found = rows(decoded.market_status)
    assert [row["kind"] for row in found] == ["segment"] * 11 + ["cas", "preopen"]
    shared = {"seq": 1, "recv_ts": FIRST_NS // 1000, "feed_ts": 1732775008661, "segment": "NSE_EQ"}
    assert {**shared, "kind": "segment", "status": "NORMAL_OPEN", "updated_ts": None} in found
    assert {**shared, "kind": "cas", "status": "CAS_LM_START", "updated_ts": 1732775008661} in found
    assert {**shared, "kind": "preopen", "status": "PRE_OPEN_END", "updated_ts": 1732761608661} in found


def test_the_official_sdk_reads_the_same_values() -> None:
    sdk = pytest.importorskip("upstox_client.feeder.proto.MarketDataFeedV3_pb2")
    maker = Maker(2026)
    assert_agrees([payload for path in MESSAGES for payload in sample(path)], messages=sdk)
    assert_agrees([maker.message(6) for _ in range(60)], messages=sdk)


def test_the_sdk_may_be_the_first_in_a_process() -> None:
    """Its schema, that is, without all that comes with it. Where these tests run it is the second."""
    folder = pathlib.Path(pytest.importorskip("upstox_client.feeder.proto.MarketDataFeedV3_pb2").__file__).parent
    code = f"import sys\nsys.path.insert(0, {str(folder)!r})" + textwrap.dedent("""
        import MarketDataFeedV3_pb2
        from tickrec.upstox.decode.tables import decode
        from tickrec.journal.entry import Entry, EntryKind
        message = MarketDataFeedV3_pb2.FeedResponse()
        message.feeds["A"].ltpc.ltp = 12.5
        entry = Entry(EntryKind.MESSAGE, 1, 0, 0, message.SerializeToString())
        print(decode([entry], {}).ticks["ltp"].to_pylist())
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[12.5]"), done.stderr


# Not sent, zero, unknown


def test_absent_messages_are_null_and_proto3_zeros_are_zero() -> None:
    row = only_row(market())
    zeros = dict.fromkeys(("atp", "oi", "iv", "tbq", "tsq", "iep", "rp"), 0.0)
    zeros |= dict.fromkeys(("vtt", "ieq", "iiq_total", "iiq_m"), 0)
    assert {name: row[name] for name in NOT_SENT} == NOT_SENT | zeros | {"cas_eligible": False}
    row = only_row(market(ltpc={}, optionGreeks={"vega": 0.0}, marketOHLC={"ohlc": [{"interval": "1d"}]}))
    assert values(row, "ltp", "ltt", "ltq", "cp", "ltpc_iep", "delta", "vega") == [0.0, None, 0, 0.0, None, None, None]
    assert values(row, "day_open", "day_volume", "day_ts", "min_open", "min_volume") == [0.0, 0, None, None, None]


@pytest.mark.parametrize("feed", [{}, {"fullFeed": {}}, {"requestMode": 0}], ids=["empty", "no branch", "mode only"])
def test_an_entry_without_a_branch_is_a_row_without_values(feed: dict[str, Any]) -> None:
    row = only_row(message(**feed))
    assert {name: row[name] for name in NOT_SENT} == NOT_SENT
    assert values(row, "seq", "instrument_key", "symbol", "mode") == [1, KEY, "NIFTY FUT", "ltpc"]


def test_an_index_has_no_columns_of_the_order_book() -> None:
    bars = {"ohlc": [{"interval": "1d", "close": 21226.95}]}
    row = only_row(message(requestMode=1, fullFeed={"indexFF": {"ltpc": {"ltp": 21226.95}, "marketOHLC": bars}}))
    assert values(row, "ltp", "day_close", "vtt", "atp", "cas_eligible", "bid_prices") == [21226.95] * 2 + [None] * 4


def test_an_absent_book_is_null_and_an_empty_one_has_empty_lists() -> None:
    assert values(only_row(market()), *BOOK) == [None] * 8
    assert values(only_row(market(marketLevel={})), *BOOK) == [None] * 4 + [[]] * 4
    row = only_row(market(marketLevel={"bidAskQuote": [{}, {"bidQ": 5, "askP": 2.5}]}))
    assert values(row, *BOOK) == [0.0, 0, 0.0, 0, [0.0, 0.0], [0, 5], [0.0, 2.5], [0, 0]]


def test_books_of_all_depths_mix_in_one_batch() -> None:
    def book(levels: int) -> bytes:
        quotes = [{"bidP": 100.0 - n, "bidQ": n, "askP": 101.0 + n, "askQ": 2 * n} for n in range(levels)]
        return market(marketLevel={"bidAskQuote": quotes})

    depths = [5, 30, 0, 1, 5]
    payloads = [book(levels) for levels in depths]
    payloads[2:2] = [market(), message(firstLevelWithGreeks={"firstDepth": {"bidP": 7.5}}), message(ltpc={"ltp": 1.0})]
    found = rows(assert_agrees(payloads).ticks)
    assert [None if row["ask_qtys"] is None else len(row["ask_qtys"]) for row in found] == [
        5,
        30,
        None,
        1,
        None,
        0,
        1,
        5,
    ]
    assert [row["bid"] for row in found] == [100.0, 100.0, None, 7.5, None, None, 100.0, 100.0]
    assert found[1]["ask_qtys"] == [2 * n for n in range(30)]


def test_option_greeks_mode_has_lists_of_one_level() -> None:
    depth = {"bidP": 225.6, "bidQ": 75, "askP": 225.7, "askQ": 150}
    greeks = {"delta": 0.5, "theta": -3.0, "gamma": 0.0, "vega": 9.5, "rho": 1.25}
    sent = {"firstDepth": depth, "optionGreeks": greeks, "vtt": 7, "oi": 1e6, "iv": 0.13}
    row = only_row(message(requestMode=2, firstLevelWithGreeks=sent))
    assert values(row, *BOOK) == [225.6, 75, 225.7, 150, [225.6], [75], [225.7], [150]]
    assert values(row, *greeks, "vtt", "oi", "iv", "atp") == [*greeks.values(), 7, 1e6, 0.13, None]
    assert values(row, "mode", "ltp", "day_open") == ["option_greeks", None, None]
    row = only_row(message(requestMode=2, firstLevelWithGreeks={"vtt": 7}))
    assert values(row, *BOOK, "delta") == [None] * 9


def test_bars_are_found_by_interval_wherever_they_stand() -> None:
    bars = [{"interval": "I30", "open": 9.0}, {"interval": "I1", "open": 2.0, "ts": 60000}, {}]
    row = only_row(market(marketOHLC={"ohlc": [*bars, {"interval": "1d", "open": 1.0, "vol": 5}]}))
    assert values(row, "day_open", "day_volume", "day_ts", "min_open", "min_ts") == [1.0, 5, None, 2.0, 60000]
    row = only_row(market(marketOHLC={"ohlc": bars[:1]}))
    assert values(row, "day_open", "min_open") == [None, None]


@pytest.mark.parametrize(
    ("number", "time"),
    [(0, None), (1, 1), (-1, None), (2**63 - 1, None), (-(2**63), None), (253402300799999, 253402300799999)],
)
def test_times_that_were_not_set_or_that_no_calendar_holds_are_null(number: int, time: int | None) -> None:
    feed = pb.Feed(ltpc={"ltt": number, "ltp": 1.0})
    row = only_row(pb.FeedResponse(currentTs=number, feeds={KEY: feed}).SerializeToString())
    assert values(row, "ltt", "feed_ts", "ltp") == [time, time, 1.0]


def test_numbers_unknown_to_the_schema_stay_visible() -> None:
    row = only_row(pb.FeedResponse(type=9, feeds={KEY: pb.Feed(requestMode=17)}).SerializeToString())
    assert values(row, "mode", "snapshot") == ["unknown_17", False]
    decoded = assert_agrees([pb.FeedResponse(marketInfo={"segmentStatus": {"X": 44}}).SerializeToString()])
    assert rows(decoded.market_status)[0]["status"] == "unknown_44"


def test_fields_of_a_later_schema_are_passed_over() -> None:
    later = field(9, b"new") + bytes([12 << 3 | 5]) + b"1234"
    ltpc = field(1, pb.LTPC(ltp=3.5).SerializeToString() + later)
    row = only_row(later + entry_of(later + ltpc + later) + later)
    assert row["ltp"] == 3.5


def test_unknown_symbols_are_null_and_connections_and_times_are_repeated_a_row() -> None:
    feeds = {key: pb.Feed(ltpc={"ltp": 1.0}) for key in ("NSE_EQ|A", KEY)}
    payload = pb.FeedResponse(type=0, feeds=feeds).SerializeToString()
    found = rows(assert_agrees([INFO, payload, payload]).ticks)
    assert [row["seq"] for row in found] == [2, 3, 2, 3]
    assert [row["conn"] for row in found] == [2, 3, 2, 3]
    assert {row["instrument_key"]: row["symbol"] for row in found} == {"NSE_EQ|A": None, KEY: "NIFTY FUT"}
    assert all(row["snapshot"] for row in found)


def test_rows_are_in_the_order_of_instruments() -> None:
    shuffled = [f"NSE_EQ|{number}" for number in range(200)]
    random.Random(1).shuffle(shuffled)
    shapes: list[dict[str, Any]] = [{"ltpc": {}}, {"fullFeed": {"marketFF": {}}}, {"fullFeed": {"indexFF": {}}}, {}]
    parts = [message(key, **shapes[number % 4]) for number, key in enumerate(shuffled)]
    decoded = assert_agrees([b"".join(parts[:120]), b"", b"".join(parts[120:])])
    assert decoded.ticks["instrument_key"].to_pylist() == sorted(shuffled)


# Size


def test_a_snapshot_of_more_than_a_mebibyte_decodes() -> None:
    quotes = [{"bidP": 100.0 - n, "bidQ": n, "askP": 101.0 + n, "askQ": n} for n in range(30)]
    shape = {"marketFF": {"ltpc": {"ltp": 1.0}, "marketLevel": {"bidAskQuote": quotes}}}
    feeds = {f"NSE_FO|{number:0800}": pb.Feed(fullFeed=shape, requestMode=3) for number in range(700)}
    payload = pb.FeedResponse(feeds=feeds).SerializeToString()
    assert len(payload) > 1 << 20
    ticks = assert_agrees([payload]).ticks
    assert ticks.num_rows == 700
    assert ticks["mode"].unique().to_pylist() == ["full_d30"]


def test_many_messages_decode_as_they_do_one_by_one_and_by_instrument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_BITE", 8 * 1024)  # what is decoded in one go
    maker = Maker(77)
    given = entries([maker.message(40) for _ in range(30)])
    given[15] = given[15]._replace(payload=b"\xff")
    together = decode(given, SYMBOLS)
    assert_tables(together)
    alone = [decode([entry], SYMBOLS) for entry in given]
    for table in ("ticks", "market_status", "rejected"):
        parts = pa.concat_tables([getattr(one, table) for one in alone])
        if table == "ticks":
            parts = parts.sort_by([("instrument_key", "ascending"), ("seq", "ascending")])
        assert list(map(exact, rows(getattr(together, table)))) == list(map(exact, rows(parts)))


def test_several_threads_may_decode_at_once() -> None:
    maker = Maker(11)
    given = entries([maker.message(20) for _ in range(20)])
    expected = list(map(exact, rows(decode(given, SYMBOLS).ticks)))
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: decode(given, SYMBOLS).ticks, range(8)))
    assert all(list(map(exact, rows(ticks))) == expected for ticks in found)


def test_tables_survive_slicing_and_parquet(tmp_path: pathlib.Path) -> None:
    maker = Maker(5)
    ticks = decode(entries([maker.message(8) for _ in range(30)]), SYMBOLS).ticks
    pq.write_table(ticks.slice(3, 50), tmp_path / "ticks.parquet")
    kept = rows(pq.read_table(tmp_path / "ticks.parquet"))
    assert list(map(exact, kept)) == list(map(exact, rows(ticks)[3:53]))


@pytest.mark.parametrize("start", [0, 1, 9, 13])
def test_branches_may_be_slices_of_larger_arrays(start: int) -> None:
    quotes = [{"bidP": 1.0, "bidQ": 2}, {"askP": 3.0}]
    shapes: list[dict[str, Any]] = [
        {"ltpc": {"ltp": 4.0}, "marketLevel": {"bidAskQuote": quotes}},
        {"marketOHLC": {"ohlc": [{"interval": "I1", "ts": 5}, {"interval": "1d", "open": 6.0}]}},
        {"optionGreeks": {"rho": 7.0}, "casEligible": True},
        {"marketLevel": {}, "ltpc": {"iep": {"value": 8.0}}},
    ]
    read = batches.read([market(**shapes[number % 4], vtt=number) for number in range(20)])
    whole = columns.table(columns.flatten(read.messages), 20)
    part = read.messages.branches["marketFF"].slice(start, 6)
    flat = columns.flatten(read.messages._replace(branches={"marketFF": part}, modes=read.messages.modes[:6]))
    assert columns.table(flat, 6).equals(whole.slice(start, 6))
