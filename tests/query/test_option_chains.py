"""Option chains and their summary against a model in plain Python, over random days."""

import datetime as dt
import random
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import pytest

from tests import days
from tests.query.fixtures import Row, answer, at, tick, write_sealed
from tickrec.errors import UsageError
from tickrec.journal.format import Header, encode_header
from tickrec.query.session import Session
from tickrec.store.paths import Store

DATE = days.DATE
INDEX = "NSE_INDEX|Nifty 50"
EXPIRIES = (dt.date(2026, 11, 24), dt.date(2026, 12, 1))
STRIKES = (24_000.0, 24_050.0, 24_100.0, 24_150.0)
OPEN = at("09:15")
CHANGES = ("ltp", "oi", "iv", "delta", "theta", "gamma", "vega", "rho")


@pytest.fixture
def store(asking: Session) -> Store:
    """The store of the session that these tests share, in which nothing is."""
    return asking.store


def contracts() -> list[Row]:
    return [
        {
            "instrument_key": f"NSE_FO|{number}",
            "instrument_type": kind,
            "expiry": expiry,
            "strike": strike,
            "underlying_key": INDEX,
            "underlying_symbol": "NIFTY",
        }
        for number, (expiry, strike, kind) in enumerate(product(EXPIRIES, STRIKES, ("CE", "PE")))
    ]


def random_day(chance: random.Random, rows: int = 400) -> list[Row]:
    """Messages from 09:00 to 10:20 about some instrument; any value may be lacking."""
    keys = [INDEX, *(each["instrument_key"] for each in contracts()[:-1])]
    moments = sorted(at("09:00") + dt.timedelta(seconds=chance.uniform(0, 4_800)) for _ in range(rows))
    found = []
    for seq, moment in enumerate(moments, 1):
        key = chance.choice(keys)
        values = {name: round(chance.uniform(1, 900), 2) for name in (*CHANGES, "bid", "ask") if chance.random() < 0.7}
        if key == INDEX:
            values = {"ltp": round(chance.uniform(23_900, 24_200), 2)}
        elif "oi" in values:
            values["oi"] = float(chance.randrange(0, 5) * 75)
        traded = chance.choice([moment, moment - dt.timedelta(days=1), None])
        ltt = traded and traded.replace(microsecond=0)
        found.append(tick(seq, "09:00", key=key, symbol=key, ltt=ltt, **values) | {"recv_ts": moment})
    return found


def last(rows: Sequence[Row], key: str, name: str, until: dt.datetime) -> Any:
    known = [row.get(name) for row in rows if row["instrument_key"] == key and row["recv_ts"] <= until]
    return next((value for value in reversed(known) if value is not None), None)


def first(rows: Sequence[Row], key: str, name: str, until: dt.datetime) -> Any:
    for row in rows:
        traded = name != "ltp" or row["ltt"] is None or row["ltt"] >= at("00:00")
        if row["instrument_key"] == key and OPEN <= row["recv_ts"] <= until and row.get(name) is not None and traded:
            return row[name]
    return None


def model_chain(rows: Sequence[Row], until: dt.datetime) -> Iterator[Row]:
    for expiry, strike in product(EXPIRIES, STRIKES):
        line: Row = {"expiry": expiry, "strike": strike, "underlying_ltp": last(rows, INDEX, "ltp", until)}
        for side, kind in (("call", "CE"), ("put", "PE")):
            (key,) = (
                each["instrument_key"]
                for each in contracts()
                if (each["expiry"], each["strike"], each["instrument_type"]) == (expiry, strike, kind)
            )
            for name in (*CHANGES, "bid", "ask", "vtt"):
                line[f"{side}_{name}"] = last(rows, key, name, until)
            for name in CHANGES:
                now, before = line[f"{side}_{name}"], first(rows, key, name, until)
                line[f"{side}_{name}_change"] = None if now is None or before is None else round(now - before, 6)
        yield line


def model_summary(rows: Sequence[Row], width: dt.timedelta) -> Iterator[Row]:
    starts = sorted({OPEN + max(row["recv_ts"] - OPEN, dt.timedelta()) // width * width for row in rows})
    for expiry, start in product(EXPIRIES, starts):
        end = start + width - dt.timedelta(microseconds=1)
        interest = {
            (each["strike"], each["instrument_type"]): oi
            for each in contracts()
            if each["expiry"] == expiry and (oi := last(rows, each["instrument_key"], "oi", end)) is not None
        }
        if not interest:
            continue
        calls, puts = (
            [(strike, oi) for (strike, each), oi in interest.items() if each == kind] for kind in ("CE", "PE")
        )
        strikes = sorted({strike for strike, _ in interest})
        pain = {
            place: sum(oi * max(place - strike, 0) for strike, oi in calls)
            + sum(oi * max(strike - place, 0) for strike, oi in puts)
            for place in strikes
        }
        call_oi, put_oi = (sum(oi for _, oi in side) if side else None for side in (calls, puts))
        yield {
            "expiry": expiry,
            "start": start,
            "call_oi": call_oi,
            "put_oi": put_oi,
            "put_call_ratio": put_oi / call_oi if call_oi and put_oi is not None else None,
            "max_pain": min(strikes, key=lambda place: (pain[place], place)),
            "strikes": len(strikes),
            "underlying_ltp": last(rows, INDEX, "ltp", end),
        }


@pytest.mark.parametrize("seed", range(2))
def test_a_chain_is_what_was_known_and_how_it_has_changed(asking: Session, store: Store, seed: int) -> None:
    rows = random_day(random.Random(seed))
    write_sealed(store, DATE, {"ticks": rows, "instruments": contracts()})
    for moment in ("09:10:00", "09:15:30", "10:00:00", "10:20:00"):
        found = answer(asking, f"FROM option_chain('NIFTY', '{moment}')")
        expected = {(each["expiry"], each["strike"]): each for each in model_chain(rows, at(moment))}
        assert len(found) >= 7 or moment < "10"
        for line in found:
            rounded = {n: round(v, 6) if n.endswith("_change") and v is not None else v for n, v in line.items()}
            assert rounded == expected[line["expiry"], line["strike"]]


def test_a_chain_may_be_of_one_expiry_and_a_range_of_strikes(asking: Session, store: Store) -> None:
    write_sealed(store, DATE, {"ticks": random_day(random.Random(1)), "instruments": contracts()})
    narrow = f"expiry := '{EXPIRIES[1]}', lowest := 24050, highest := 24100"
    whole = answer(asking, "FROM option_chain('NIFTY', '10:00')")
    some = answer(asking, f"FROM option_chain('NIFTY', '10:00', {narrow})")
    assert some == [row for row in whole if row["expiry"] == EXPIRIES[1] and 24_050 <= row["strike"] <= 24_100]
    assert len(some) == 2
    for wrong, message in [
        ("highest := 'x'", "option_chain: x is no price"),
        ("expiry := 'soon'", "option_chain: soon is no date"),
        ("strikes := 5", "option_chain takes no strikes"),
    ]:
        with pytest.raises(UsageError, match=message):
            asking.execute(f"FROM option_chain('NIFTY', '10:00', {wrong})")


@pytest.mark.parametrize("seed", range(2))
def test_a_summary_is_the_open_interest_at_the_end_of_each_interval(asking: Session, store: Store, seed: int) -> None:
    rows = random_day(random.Random(seed))
    write_sealed(store, DATE, {"ticks": rows, "instruments": contracts()})
    for interval, width in (("5 minutes", dt.timedelta(minutes=5)), ("1 hour", dt.timedelta(hours=1))):
        found = answer(asking, f"SELECT * EXCLUDE (date) FROM option_summary('nifty', '{interval}')")
        assert found == sorted(model_summary(rows, width), key=lambda each: (each["expiry"], each["start"]))
        assert len(found) > 2
    (last_row,) = answer(asking, f"FROM option_summary('{INDEX}', '1 day') WHERE expiry = '{EXPIRIES[0]}'")
    assert last_row["start"] == at("00:00")
    assert last_row["call_oi"] == found[len(found) // 2 - 1]["call_oi"]


def test_a_summary_opens_one_date(asking: Session, store: Store) -> None:
    before = DATE - dt.timedelta(days=1)
    rows = random_day(random.Random(1))
    for date in (before, DATE):
        write_sealed(store, date, {"ticks": rows, "instruments": contracts()})
    for broken, arguments in ((before, ""), (DATE, f", day := '{before}'")):
        path = store.sealed_path("ticks", broken)
        whole = path.read_bytes()
        path.write_bytes(b"broken")
        if broken == DATE:
            write_sealed(store, DATE + dt.timedelta(days=1), {"ticks": rows[:1], "instruments": contracts()})
        assert len(answer(asking, f"FROM option_summary('NIFTY', '1 hour'{arguments})")) > 2
        path.write_bytes(whole)


def test_candles_of_options_carry_their_volatility_and_open_interest(asking: Session, store: Store) -> None:
    key = contracts()[0]["instrument_key"]
    rows = [
        tick(1, "10:00:00", key=key, symbol="X", snapshot=True, ltp=5.0, ltt="09:59:59", vtt=1, iv=0.10, oi=75.0),
        tick(2, "10:00:05", key=key, symbol="X", ltp=6.0, ltt="10:00:04", vtt=2, iv=0.12, oi=150.0),
        tick(3, "10:00:09", key=key, symbol="X", ltp=7.0, ltt="10:00:08", vtt=3),
    ]
    write_sealed(store, DATE, {"ticks": rows})
    for macro in ("candles", "bars"):
        (bar,) = answer(asking, f"SELECT close, oi, iv FROM {macro}('1 minute')")
        assert bar == {"close": 7.0, "oi": 150.0, "iv": 0.12}


@pytest.mark.parametrize("source", ["replay 2026-10-05", "replay 2026-10-01, 2026-10-05"])
def test_what_a_replay_says_is_held_against_the_servers_clock(asking: Session, store: Store, source: str) -> None:
    """It was recorded at night, weeks later."""
    day = dt.date(2026, 10, 5)

    def said(seq: int, time: str, **columns: Any) -> Row:
        moment = at(time, day)
        row = tick(seq, "23:10:00", key=contracts()[0]["instrument_key"], symbol="X", **columns)
        return row | {"feed_ts": moment, "ltt": moment, "min_ts": moment.replace(second=0)}

    rows = [
        said(1, "10:00:00", snapshot=True, ltp=5.0, vtt=1, oi=75.0),
        said(2, "10:00:05", ltp=6.0, vtt=2, min_open=5.0),
        said(3, "10:01:30", ltp=7.0, vtt=5),
    ]
    write_sealed(store, DATE, {"ticks": rows, "instruments": contracts()})
    store.journal(DATE).mkdir(parents=True)
    (store.journal(DATE) / "0001.journal").write_bytes(encode_header(Header(source, 1, 1)))
    bars = answer(asking, "SELECT start, close, volume FROM candles('1 minute')")
    assert [tuple(bar.values()) for bar in bars] == [(at("10:00", day), 6.0, 1), (at("10:01", day), 7.0, 3)]
    assert len(answer(asking, "FROM feed_bars")) == 2
    (line,) = answer(asking, "SELECT call_ltp, call_ltp_change FROM option_chain('NIFTY', '10:01')")
    assert line == {"call_ltp": 6.0, "call_ltp_change": 1.0}
    (summary,) = answer(asking, "SELECT start, call_oi FROM option_summary('NIFTY', '1 hour')")
    assert summary == {"start": at("09:15", day), "call_oi": 75.0}
