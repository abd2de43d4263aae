"""When a run begins and ends at the latest, before the broker has answered."""

import datetime as dt
from pathlib import Path

import pytest

from tests.market.fixtures import contract, master_of, share
from tickrec.config import Config, load
from tickrec.market.hours import at
from tickrec.market.instruments import write
from tickrec.record.horizon import earliest_start, latest_end
from tickrec.record.plan import Options
from tickrec.store.paths import Store

DATE = dt.date(2026, 11, 23)
"""A Monday, on which shares trade until 15:30 and commodities until 23:55."""
SHARES_OVER = at(DATE, dt.time(16, 30))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(None, data=tmp_path / "data", simulate=False, environ={"HOME": str(tmp_path)})


def keep_list(store: Store, tmp_path: Path) -> None:
    """The instruments of the day before: a share and a commodity."""
    crude = contract("CRUDEOIL", "MCX_COM|294", "FUT", dt.date(2026, 12, 18), segment="MCX_FO")
    table = master_of(tmp_path, [share("RELIANCE", "INE002A01018"), crude]).table
    path = store.instruments_path(DATE - dt.timedelta(days=1))
    path.parent.mkdir(parents=True)
    write(table, path)


@pytest.mark.parametrize(
    ("symbols", "listed", "end"),
    [
        (("fno",), False, dt.time(16, 1)),
        (("RELIANCE",), True, dt.time(16, 1)),
        (("CRUDEOIL:fut",), True, dt.time(23, 56)),
        (("RELIANCE", "CRUDEOIL:fut"), True, dt.time(23, 56)),
        (("CRUDEOIL:fut",), False, dt.time(23, 56)),
        (("NOSUCH",), True, dt.time(23, 56)),
    ],
)
def test_a_run_lasts_as_long_as_anything_that_it_may_record(
    store: Store, config: Config, tmp_path: Path, symbols: tuple[str, ...], listed: bool, end: dt.time
) -> None:
    if listed:
        keep_list(store, tmp_path)
    options = Options(symbols=symbols, mode="full")
    found = latest_end(config, options, store, at(DATE, dt.time(10)))
    assert found is not None
    assert at(DATE, end) <= found <= at(DATE, end) + 15 * 60 * 10**9  # longer where only the built-in hours are known


def test_commodities_are_not_over_when_shares_are(store: Store, config: Config, tmp_path: Path) -> None:
    keep_list(store, tmp_path)
    crude, reliance = (Options(symbols=(name,), mode="full") for name in ("CRUDEOIL:fut", "RELIANCE"))
    assert (latest_end(config, crude, store, SHARES_OVER) or 0) > SHARES_OVER
    assert latest_end(config, reliance, store, SHARES_OVER) == SHARES_OVER
    assert earliest_start(config, crude, store, at(DATE, dt.time(8))) == at(DATE, dt.time(9))
