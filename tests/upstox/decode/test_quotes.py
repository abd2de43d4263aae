"""Quotes and details agree with the columns that decode makes of the same messages."""

import pyarrow as pa

from tests.upstox.decode.agreement import MESSAGES, entries, sample
from tests.upstox.decode.random_messages import Maker
from tickrec.upstox.decode.quotes import Details, Level, Quote, details, quotes
from tickrec.upstox.decode.tables import decode


def test_quotes_have_the_values_that_decode_finds() -> None:
    maker = Maker(3)
    payloads = [payload for path in MESSAGES for payload in sample(path)] + [maker.message(8) for _ in range(50)]
    columns = ["seq", "instrument_key", "ltp", "cp", "bid", "ask", "vtt", "oi", "ltt"]
    ticks = decode(entries(payloads), {}).ticks.select(columns)
    ticks = ticks.set_column(8, "ltt", ticks["ltt"].cast(pa.int64()))
    expected: dict[int, list[Quote]] = {}
    for row in ticks.to_pylist():
        expected.setdefault(row.pop("seq"), []).append(Quote(*row.values()))
    for number, payload in enumerate(payloads, 1):
        assert sorted(map(repr, quotes(payload))) == sorted(map(repr, expected.get(number, [])))


def test_details_have_the_values_that_decode_finds() -> None:
    for payload in [payload for path in MESSAGES for payload in sample(path)]:
        for row in decode(entries([payload]), {}).ticks.to_pylist():
            book = zip(*(row[name] or () for name in ("bid_prices", "bid_qtys", "ask_prices", "ask_qtys")), strict=True)
            day = (row["day_open"], row["day_high"], row["day_low"]) if row["day_high"] else None
            expected = Details(tuple(Level(*level) for level in book), day, row["iv"] or None, row["atp"] or None)
            assert details(payload, row["instrument_key"]) == expected


def test_of_an_instrument_that_is_not_in_a_message_there_are_no_details() -> None:
    payload = sample(MESSAGES[0])[0]
    assert details(payload, "NSE_EQ|NOBODY") == Details()
    assert details(b"\xff\xff", "NSE_EQ|INE002A01018") == Details()
