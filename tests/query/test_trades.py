"""Trades, candles and spikes against a model in plain Python, over days with wrong values in them."""

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests import days
from tests.query.fixtures import Row, answer, at, tick, write_sealed
from tickrec.query.session import Session

NEAR = 6
MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
MIDNIGHT = round(at("00:00").timestamp()) * 1_000_000
YEAR_2000 = 946_684_800_000_000
STOCK, INDEX, CRUDE = "NSE_EQ|A", "NSE_INDEX|N", "MCX_FO|1"


def us(moment: Any) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000) * 1000


# The model: what is in SQL with windows, row by row


def has_price(row: Row) -> bool:
    price = row["ltp"]
    return bool(price and math.isfinite(price) and (price > 0 or row["instrument_key"] == CRUDE))


def known(row: Row) -> tuple[int, int | None, bool] | None:
    """Kind, mark and whether the row shows an earlier day's trade; None for a row that says nothing."""
    traded, received = us(row["ltt"]), us(row["recv_ts"])
    assert received is not None
    old = traded is not None and YEAR_2000 <= traded < min(MIDNIGHT, received - 6 * HOUR)
    if row["vtt"] is not None:
        mark = 0 if old or row["vtt"] == 0 else row["vtt"] if has_price(row) else None
        return (0, mark, old) if row["vtt"] <= 10**15 else None
    if old or traded is None or not has_price(row):
        return None
    return (2 if traded > received + MINUTE else 1), traded // 1000, old


def series(rows: Sequence[Row]) -> Iterator[list[tuple[Row, int, int]]]:
    """For each instrument and kind the rows whose mark is another than that before, with the kind and the mark."""
    found: dict[tuple[str, int], list[tuple[Row, int, int]]] = defaultdict(list)
    before: dict[tuple[str, int], tuple[int | None, bool]] = {}
    for row in rows:
        if (told := known(row)) is not None:
            kind, mark, old = told
            place = row["instrument_key"], kind
            first, (mark_before, old_before) = place not in before, before.get(place, (None, True))
            before[place] = mark_before if mark is None else mark, old
            if first or mark not in (None, mark_before):
                wrong_time = old and not old_before and has_price(row)
                found[place].append((row, kind, row["vtt"] if mark is None or wrong_time else mark))
    yield from found.values()


def confirmed(marks: Sequence[int]) -> Iterator[int]:
    """The places of the marks that their neighbours confirm."""
    for i, mark in enumerate(marks):
        before, after = marks[max(0, i - NEAR) : i][::-1], marks[i + 1 : i + 1 + NEAR]
        reached = sum(each >= mark for each in after) * 2 >= len(after)
        level = min(before[0], before[min(3, len(before) - 1)]) if before else None
        anew = level is not None and sum(each < level for each in after) * 2 > len(after)
        if reached or anew:
            yield i


def model_trades(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every row that counts as a trade: seq, key, price, quantity, and the moment in microseconds."""
    found = []
    for each in series(rows):
        kept = [each[i] for i in confirmed([mark for _, _, mark in each])]
        told_before = None
        for i, (row, kind, mark) in enumerate(kept):
            reach = max(m for _, _, m in kept[i : i + NEAR])
            base = None
            for _, _, earlier in kept[max(0, i - NEAR) : i][::-1]:
                if earlier > reach:
                    break
                base = max(earlier, base or 0)
            traded, received, made = us(row["ltt"]), us(row["recv_ts"]), us(row["feed_ts"])
            assert received is not None
            assert made is not None
            told = traded if traded is not None and MIDNIGHT <= traded <= received + MINUTE else None
            moment = told if told is not None and told >= (told_before or told) - MINUTE else made
            told_before = told or told_before
            if (base is not None and mark > base) or (base is None and kind > 0 and not row["snapshot"]):
                qty = mark - base if kind == 0 and base is not None else None
                found.append(
                    {"seq": row["seq"], "key": row["instrument_key"], "ltp": row["ltp"], "qty": qty, "moment": moment}
                )
    return sorted(found, key=lambda trade: trade["seq"])


def model_candles(rows: Sequence[Row], width: int) -> dict[tuple[str, int], tuple[Any, ...]]:
    """Key and start of each bar to open, high, low, close, volume and the number of trades."""
    bars = defaultdict(list)
    for trade in model_trades(rows):
        opening = MIDNIGHT + (9 * HOUR if trade["key"] == CRUDE else 9 * HOUR + 15 * MINUTE)
        start = MIDNIGHT if width == DAY else opening + (trade["moment"] - opening) // width * width
        bars[trade["key"], start].append(trade)
    return {
        bar: (
            trades[0]["ltp"],
            max(trade["ltp"] for trade in trades),
            min(trade["ltp"] for trade in trades),
            trades[-1]["ltp"],
            sum(trade["qty"] for trade in trades) if trades[0]["qty"] is not None else None,
            len(trades),
        )
        for bar, trades in bars.items()
    }


def model_spikes(rows: Sequence[Row], window: int, percent: float) -> list[tuple[int, float, float]]:
    """Seq of each move, the price it came from, and the change in percent."""
    by_key = defaultdict(list)
    for trade in model_trades(rows):
        by_key[trade["key"]].append(trade)
    found = []
    for trades in by_key.values():
        last: dict[bool, int] = {}
        for trade in sorted(trades, key=lambda trade: (trade["moment"], trade["seq"])):
            near = [t["ltp"] for t in trades if trade["moment"] - window <= t["moment"] <= trade["moment"]]
            low, high, price = min(near), max(near), trade["ltp"]
            up = price / low >= high / price if low > 0 else (price - low) / abs(low) >= (high - price) / abs(high)
            base = low if up else high
            change = (price - base) / abs(base) * 100
            if abs(change) >= percent:
                way = change > 0
                if way not in last or last[way] < trade["moment"] - window:
                    found.append((trade["seq"], base, round(change, 6)))
                last[way] = trade["moment"]
    return sorted(found)


# Days with wrong values


def clean_day(chance: random.Random, messages: int = 240) -> list[Row]:
    """A share, an index and a commodity, some messages a second; some of them repeat what was there."""
    rows: list[Row] = []
    volume = {STOCK: 1_000, CRUDE: 50}
    price = {STOCK: 100.0, INDEX: 24_000.0, CRUDE: 3.0}
    traded = {key: at("09:59:58") for key in price}
    for number in range(messages):
        key = (STOCK, INDEX, CRUDE)[number % 3]
        now = at("10:00:00") + (at("00:01:30") - at("00:00:00")) * number / messages * 4
        if chance.random() < 0.7:
            price[key] = round(price[key] + chance.uniform(-1, 1) * (0.2 if key != INDEX else 9), 2) or 0.05
            traded[key] = now.replace(microsecond=now.microsecond // 1000 * 1000)
            if key in volume:
                volume[key] += chance.randrange(1, 200)
        if key == STOCK:
            price[key] = max(price[key], 1.0)
        row = tick(number + 1, "10:00", key=key, symbol=key, ltp=price[key], ltt=traded[key], vtt=volume.get(key))
        made = now.replace(microsecond=now.microsecond // 1000 * 1000)
        rows.append(row | {"recv_ts": now, "feed_ts": made, "snapshot": number < 3})
    return rows


def spoil(rows: list[Row], chance: random.Random) -> None:
    """Put wrong values into some rows: times, volumes and prices; volumes that begin anew, once for good."""
    hours = (at("05:30") - at("00:00")) / 5.5
    for row in chance.sample(rows, len(rows) // 12):
        match chance.randrange(9):
            case 0:
                row["ltt"] += 5.5 * hours
            case 1:
                row["ltt"] -= chance.choice([5.5, 24, 24 * 365 * 50]) * hours
            case 2:
                row["ltt"] = None
            case 3 | 4 if row["vtt"] is not None:
                row["vtt"] = chance.choice([0, 1, row["vtt"] + 10_000_000, 2**31 - 1, 2**63 - 1, row["vtt"] // 2])
            case 5:
                row["ltp"] = chance.choice([0.0, math.nan, math.inf, -1.5, None])
            case 6:
                row["ltt"] += 24 * hours
            case 7:
                row["snapshot"] = True
            case 8:
                row["ltp"] *= 1.5
    anew = chance.randrange(60, len(rows) - 60)
    lower = next(row["vtt"] for row in rows[anew:] if row["instrument_key"] == STOCK)
    for row in rows[anew:] if chance.random() < 0.5 else ():
        if row["instrument_key"] == STOCK and row["vtt"]:
            row["vtt"] = max(0, row["vtt"] - lower + 3)


@pytest.mark.parametrize("seed", range(5))
def test_days_with_wrong_values_are_as_in_plain_python(asking: Session, seed: int) -> None:
    chance = random.Random(seed)
    rows = clean_day(chance)
    if seed:
        spoil(rows, chance)
    write_sealed(asking.store, days.DATE, {"ticks": rows})
    window = MINUTE // 2
    trades = answer(asking, "SELECT seq, instrument_key, ltp, qty FROM trades ORDER BY seq")
    columns = "instrument_key, epoch_us(start) AS start, open, high, low, close, volume, ticks"
    bars = {width: answer(asking, f"SELECT {columns} FROM candles('{name}')") for name, width in WIDTHS.items()}
    spikes = answer(asking, "SELECT seq, from_ltp, round(change_percent, 6) FROM spikes('30 seconds', 0.3)")
    expected = [tuple(trade.values())[:4] for trade in model_trades(rows) if trade["qty"] is not None]
    assert [tuple(row.values()) for row in trades] == expected
    for width, found in bars.items():
        assert {tuple(row.values())[:2]: tuple(row.values())[2:] for row in found} == model_candles(rows, width)
    assert sorted(tuple(row.values()) for row in spikes) == model_spikes(rows, window, 0.3)
    assert trades
    assert spikes


WIDTHS = {"10 seconds": MINUTE // 6, "1 minute": MINUTE, "1 day": DAY}


# One wrong value costs one row


def test_a_wrong_trade_time_costs_one_row_at_most(asking: Session) -> None:
    """Each of the times in an instrument of its own."""
    wrong = {
        "ahead": at("15:31"),
        "behind": at("04:31"),
        "yesterday": at("10:00", days.DATE.replace(day=22)),
        "tomorrow": at("10:00", days.DATE.replace(day=24)),
        "1970": at("10:00", days.DATE.replace(year=1970)),
        "none": None,
    }
    day = clean_day(random.Random(1))
    clean: list[Row] = []
    rows: list[Row] = []
    for like, kinds in ((STOCK, tuple(wrong)), (INDEX, ("ahead", "yesterday"))):
        for kind in kinds:
            mine = [row | {"instrument_key": f"{like} {kind}"} for row in day if row["instrument_key"] == like]
            place = next(i for i in range(len(mine) // 3, len(mine)) if mine[i]["ltt"] > at("10:02"))
            clean += mine
            rows += [*mine[:place], mine[place] | {"ltt": wrong[kind]}, *mine[place + 1 :]]
    write_sealed(asking.store, days.DATE, {"ticks": rows})
    columns = "instrument_key, epoch_us(start) AS start, open, high, low, close, volume, ticks"
    bars = answer(asking, f"SELECT {columns} FROM candles('1 minute')")
    found = {tuple(row.values())[:2]: tuple(row.values())[2:] for row in bars}
    expected = model_candles(clean, MINUTE)
    assert {place: bar[-2] for place, bar in found.items()} == {place: bar[-2] for place, bar in expected.items()}
    before, after = ({tuple(trade.values())[:4] for trade in model_trades(each)} for each in (clean, rows))
    for name in {row["instrument_key"] for row in rows}:
        ticks = [sum(bar[-1] for (key, _), bar in each.items() if key == name) for each in (expected, found)]
        assert ticks[0] - ticks[1] in (0, 1), name
        assert len([trade for trade in before ^ after if trade[1] == name]) <= 1, name


def told(name: object, prices: Sequence[float | None], volumes: Sequence[int]) -> list[Row]:
    """What an instrument shows second by second, a snapshot first."""
    return [
        tick(second, f"10:00:{second:02}", key=f"NSE_EQ|{name}", symbol=str(name), ltp=price, vtt=volume)
        | {"ltt": at(f"10:00:{second:02}"), "snapshot": not second}
        for second, (price, volume) in enumerate(zip(prices, volumes, strict=True))
    ]


RISING = [100.0 + second for second in range(30)]


def quantities(asking: Session) -> dict[str, dict[int, int]]:
    """What was traded in each row, by symbol."""
    found: dict[str, dict[int, int]] = defaultdict(dict)
    for row in answer(asking, "SELECT symbol, seq, qty FROM trades"):
        found[row["symbol"]][row["seq"]] = row["qty"]
    return found


def test_a_wrong_volume_passes_what_traded_on_to_the_next_row(asking: Session) -> None:
    rows: list[Row] = []
    expected = {}
    for count, wrong in [(1, 10_000_000), (1, 2**62), (2, -(10**6)), (3, 2**31), (3, -(10**6))]:
        volumes = [1_000 + 10 * n for n in range(30)]
        for place in range(10, 10 + count):
            volumes[place] = max(0, volumes[place] + wrong + place)
        rows += told(f"{count} of {wrong}", RISING, volumes)
        right = {seq: 10 for seq in range(1, 30) if not 10 <= seq < 10 + count}
        expected[f"{count} of {wrong}"] = right | {10 + count: 10 * (count + 1)}
    write_sealed(asking.store, days.DATE, {"ticks": rows})
    assert quantities(asking) == expected


def test_a_level_that_stays_is_the_new_truth(asking: Session) -> None:
    """Of the row in which the volume begins anew nothing is known; a volume that jumps up has traded."""
    rows: list[Row] = []
    expected = {}
    for level in (0, 5, 600, 10_000_000):
        rows += told(level, RISING, [1_000 + 10 * n for n in range(15)] + [level + 3 * n for n in range(15)])
        jump = {15: level - 1_140} if level > 1_140 else {}
        expected[str(level)] = {seq: 10 for seq in range(1, 15)} | jump | {seq: 3 for seq in range(16, 30)}
    write_sealed(asking.store, days.DATE, {"ticks": rows})
    assert quantities(asking) == expected


UNUSABLE = (0.0, math.nan, math.inf, -math.inf, -5.0, None)


def test_a_row_without_a_usable_price_passes_its_volume_on(asking: Session) -> None:
    rows = [row for price in UNUSABLE for row in told(price, [100.0, 101.0, price, 99.0, 98.0], range(10, 60, 10))]
    write_sealed(asking.store, days.DATE, {"ticks": rows})
    bars = answer(asking, "SELECT symbol, high, low, volume FROM candles('1 minute')")
    assert quantities(asking) == {str(price): {1: 10, 3: 20, 4: 10} for price in UNUSABLE}
    assert {row.pop("symbol"): row for row in bars} == {
        str(price): {"high": 101.0, "low": 98.0, "volume": 40} for price in UNUSABLE
    }


def test_the_first_row_tells_what_the_volume_grows_from_whatever_its_price(asking: Session) -> None:
    prices = (0.0, math.nan, None)
    rows = [row for price in prices for row in told(price, [price, price, 101.0, 99.0], range(10, 50, 10))]
    write_sealed(asking.store, days.DATE, {"ticks": rows})
    assert quantities(asking) == {str(price): {2: 20, 3: 10} for price in prices}


def test_a_commodity_can_have_a_negative_price(asking: Session) -> None:
    rows = [
        tick(seq, f"20:00:0{seq}", key=CRUDE, snapshot=not seq, ltp=price, ltt=f"20:00:0{seq}", vtt=seq)
        for seq, price in enumerate([1.0, 0.5, -2.0, -37.6, -20.0])
    ]
    write_sealed(asking.store, days.DATE, {"ticks": rows})
    bars = answer(asking, "SELECT open, high, low, close, volume, vwap FROM candles('1 minute')")
    spikes = answer(asking, "SELECT seq, from_ltp, round(change_percent, 1) AS change FROM spikes('1 minute', 50)")
    assert bars == [{"open": 0.5, "high": 0.5, "low": -37.6, "close": -20.0, "volume": 4, "vwap": -14.775}]
    assert [tuple(row.values()) for row in spikes] == [(2, 0.5, -500.0)]


def test_a_move_that_hovers_at_the_threshold_is_told_once(asking: Session) -> None:
    prices = [100.0, 100.0, 101.0, 100.9, 101.1, 100.95, 101.0, 100.9, 101.0]
    moments = [f"10:00:{5 * seq:02}" for seq in range(9)]
    later = [("10:05:00", 102.0), ("10:05:10", 103.5)]
    rows = [
        tick(seq, moment, snapshot=not seq, ltp=price, ltt=moment, vtt=seq)
        for seq, (moment, price) in enumerate([*zip(moments, prices, strict=True), *later])
    ]
    write_sealed(asking.store, days.DATE, {"ticks": rows})
    spikes = answer(asking, "SELECT seq, from_ltp FROM spikes('1 minute', 1)")
    assert [tuple(row.values()) for row in spikes] == [(2, 100.0), (10, 102.0)]
