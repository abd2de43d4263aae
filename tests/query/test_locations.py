"""Where a store lies is never data, and what it links to is read."""

from pathlib import Path

import pytest

from tests import days
from tests.query.fixtures import answer, tick, write_sealed
from tickrec.query.session import Session
from tickrec.store.paths import Store

DATE = days.DATE
ODD = ["date=2025-01-01", "date=x/symbol=y", "a?b*c", "a[x]b", "it's 50% = half", "["]


@pytest.mark.parametrize("folder", ODD)
def test_where_a_store_lies_is_never_data(tmp_path: Path, folder: str) -> None:
    other = Store(tmp_path / "axb" / "data")
    write_sealed(other, DATE, {"ticks": [tick(7, "10:00", ltp=7.0)]})
    store = Store(tmp_path / folder / "data")
    write_sealed(store, DATE, {"ticks": [tick(1, "10:00", ltp=1.0), tick(2, "10:01", ltp=2.0)]})
    write_sealed(store, DATE.replace(day=24), {"ticks": [tick(1, "10:00", ltp=3.0)]})
    with Session(store) as session:
        rows = answer(session, f"SELECT date, seq, mode, symbol FROM ticks WHERE date <= '{DATE}' ORDER BY seq")
        dates = answer(session, "SELECT DISTINCT date FROM ticks ORDER BY date")
        latest = answer(session, "SELECT DISTINCT date FROM latest")
    assert [tuple(row.values()) for row in rows] == [(DATE, seq, "full_d5", "A") for seq in (1, 2)]
    assert dates == [{"date": DATE}, {"date": DATE.replace(day=24)}]
    assert latest == [{"date": DATE.replace(day=24)}]


@pytest.mark.parametrize("moved", ["", "ticks", f"ticks/date={DATE}", f"ticks/date={DATE}/ticks.parquet"])
@pytest.mark.parametrize("sealed", [True, False])
def test_what_was_moved_to_another_disk_with_a_link_in_its_place_is_read(
    tmp_path: Path, moved: str, sealed: bool
) -> None:
    store = Store(tmp_path / "data")
    write_sealed(store, DATE, {"ticks": [tick(1, "10:00", ltp=1.0)]}, last_seq=1)
    if not sealed:
        store.journal(DATE).mkdir(parents=True)
    place = store.root / moved if moved else store.root
    target = tmp_path / "disk2" / place.name
    target.parent.mkdir()
    place.rename(target)
    place.symlink_to(target)
    with Session(store) as session:
        assert answer(session, "SELECT date, seq FROM ticks") == [{"date": DATE, "seq": 1}]
