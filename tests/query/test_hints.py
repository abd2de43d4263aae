"""Why an answer is empty: said where it is known, and only there."""

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import days
from tests.query.fixtures import Row, answer, at, tick, write_sealed
from tickrec.errors import DataError
from tickrec.query.date_range import DateRange
from tickrec.query.hints import why_empty
from tickrec.query.session import Session
from tickrec.store.paths import Store

DATE = days.DATE
INDEX = "NSE_INDEX|Nifty 50"


def option(name: str, kind: str, strike: float) -> Row:
    """A contract on an index; its key says all."""
    return {
        "instrument_key": f"{name}{kind}{strike:g}",
        "instrument_type": kind,
        "strike": strike,
        "expiry": dt.date(2026, 11, 24),
        "underlying_key": f"NSE_INDEX|{name}",
        "underlying_symbol": name,
    }


def asked(key: str, symbol: str, answered: bool = True) -> Row:
    row = {"seq": 1, "conn": 1, "instrument_key": key, "symbol": symbol, "mode": "full", "asked_ts": at("09:14")}
    return {**row, "answered_ts": at("09:14:01") if answered else None}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A day with one option of NIFTY, RELIANCE, and TCS that never answered; the list knows options of others too."""
    store = Store(tmp_path_factory.mktemp("hints") / "data")
    traded = {"ltp": 1.5, "ltt": "10:00:00.5", "vtt": 10}
    write_sealed(
        store,
        DATE,
        {
            "ticks": [
                tick(1, "09:15", key="NIFTYCE100", symbol="NIFTY 100 CE", ltp=5.0),
                tick(2, "10:00", key="R", symbol="RELIANCE", snapshot=True, ltp=1.0, ltt="09:59", vtt=7),
                tick(3, "10:00:01", key="R", symbol="RELIANCE", **traded),
                tick(4, "10:00:01", key="I", symbol="INFY", snapshot=True, **traded),
                tick(5, "09:01", key="NSE_EQ|P", symbol="PREOPEN", ltp=1.0, ltt="09:00:30", vtt=0),
                tick(6, "09:08", key="NSE_EQ|P", symbol="PREOPEN", ltp=1.5, ltt="09:07:59", vtt=10),
            ],
            "subscriptions": [
                asked("NIFTYCE100", "NIFTY 100 CE"),
                asked("R", "RELIANCE"),
                asked("I", "INFY"),
                asked("NSE_EQ|P", "PREOPEN"),
                asked("T", "TCS", answered=False),
            ],
            "instruments": [option("NIFTY", "CE", 100), option("NIFTY", "PE", 100), option("BANKNIFTY", "CE", 1)],
        },
    )
    return store


@pytest.fixture(scope="module")
def session(store: Store) -> Iterator[Session]:
    with Session(store) as session:
        yield session


def why(session: Session, sql: str) -> str | None:
    result = session.execute(sql)
    assert sum(batch.num_rows for batch in result.batches()) == 0
    return why_empty(session, result.statement)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("FROM option_chain('NIFTI', '10:30')", f"no options of NIFTI were recorded on {DATE}. Recorded: NIFTY"),
        (
            "FROM option_chain('BANKNIFTY', '10:30')",
            f"no options of BANKNIFTY were recorded on {DATE}",
        ),
        ("FROM option_chain('nifty', '09:00')", f"the first tick of an option of nifty on {DATE} came at 09:15:00"),
        ("FROM option_chain('NIFTY', '2026-11-20 10:30')", f"nothing was recorded on 2026-11-20. Recorded: {DATE}"),
        (
            "FROM ticks WHERE symbol = 'RELAINCE'",
            "no RELAINCE was recorded. Recorded: INFY, NIFTY 100 CE, PREOPEN, REL",
        ),
        ("FROM candles('1 minute') c WHERE c.symbol IN ('reliance')", "no reliance was recorded. Recorded: INFY"),
        ("FROM latest WHERE 'TCS' = symbol", "TCS was asked for and never answered; see FROM subscriptions"),
        ("FROM option_summary('NIFTI', '1 hour')", f"no options of NIFTI were recorded on {DATE}. Recorded: NIFTY"),
        ("FROM option_summary('NIFTY', '1 hour')", f"the ticks of the options of NIFTY on {DATE} have no oi"),
        ("FROM option_summary('NIFTY', '1 hour', day := '2026-11-20')", "nothing was recorded on 2026-11-20. Recorded"),
        ("FROM candles('1 minute') WHERE symbol = 'INFY'", f"none of 1 tick on {DATE} is a trade: snapshots"),
        ("FROM bars('1 hour') WHERE symbol = 'INFY'", f"none of 1 tick on {DATE} is a trade: snapshots"),
        ("FROM candles('1 minute') WHERE symbol = 'PREOPEN'", "so far is the pre-open's, which only daily bars have"),
        ("FROM trades WHERE symbol = 'RELIANCE' AND ltp < 0", None),
        ("FROM option_chain('NIFTY', '10:30') WHERE strike < 0", None),
        ("FROM spikes('1 minute', 50)", None),
        ("FROM gaps", None),
        ("SELECT 1 WHERE false", None),
    ],
)
def test_why(session: Session, sql: str, reason: str | None) -> None:
    found = why(session, sql)
    assert found is None if reason is None else reason in (found or "")


def test_a_day_without_options_says_how_to_record_some(asking: Session) -> None:
    write_sealed(asking.store, DATE, {"ticks": [tick(1, "09:15")], "instruments": [option("NIFTY", "CE", 100)]})
    reason = why(asking, "FROM option_chain('NIFTY', '10:30')")
    assert reason == f"no options were recorded on {DATE}. Record some: `tickrec record --symbols NIFTY:opt:10`"


def test_of_many_names_the_nearest_are_told(asking: Session) -> None:
    symbols = [f"STOCK{n}" for n in range(20)] + ["RELIANCE"]
    subscriptions = [asked(f"K{name}", name) for name in symbols]
    write_sealed(asking.store, DATE, {"ticks": [tick(1, "09:15")], "subscriptions": subscriptions})
    assert why(asking, "FROM ticks WHERE symbol = 'relaince'") == "no relaince was recorded. Nearest: RELIANCE"
    assert "FROM latest" in (why(asking, "FROM ticks WHERE symbol = 'QQQ'") or "")


def test_nothing_is_said_of_dates_without_anything(store: Store) -> None:
    with Session(store, DateRange(last=DATE - dt.timedelta(days=1))) as session:
        assert why(session, "FROM ticks WHERE symbol = 'X'") is None


def test_damage_met_on_the_way_does_not_become_the_answer(store: Store, tmp_path: Path) -> None:
    shutil.copytree(store.root, tmp_path / "data")
    store = Store(tmp_path / "data")
    store.sealed_path("subscriptions", DATE).write_bytes(b"not parquet")
    with Session(store) as session:
        assert why(session, "FROM ticks WHERE symbol = 'RELAINCE'") is None
        with pytest.raises(DataError):
            answer(session, "FROM subscriptions")
