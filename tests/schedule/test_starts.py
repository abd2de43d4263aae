import datetime as dt
from pathlib import Path

import pytest

from tests.market.fixtures import TODAY, contract, master_of, share
from tests.schedule.fixtures import SESSION, config_for, schedule_for
from tickrec.errors import NothingToRecord, UsageError
from tickrec.schedule.starts import EVERY, last_end, recorded_segments
from tickrec.store.paths import Store


@pytest.mark.parametrize(
    ("body", "end"),
    [
        ("", "16:01"),
        ('[record]\nsymbols = ["NSE_FO|125841"]', "15:46"),
        ('[record]\nsymbols = ["fno", "MCX_FO|1"]', "23:56"),
        ('[record]\nsymbols = ["all:NCD_FO"]', "17:01"),
        ('[record]\nsymbols = ["MCX_FO|1"]\nstop = "21:00"', "21:00"),
        ('[record]\nsymbols = ["gold"]\n[universes]\ngold = ["all:MCX_FO:FUT"]', "23:56"),
    ],
)
def test_the_last_close_of_the_year_ends_the_starts(tmp_path: Path, body: str, end: str) -> None:
    config = config_for(tmp_path, body)
    segments = recorded_segments(config, TODAY)
    assert not segments.guessed
    hours, minutes = divmod(last_end(config, segments.names, TODAY), 60)
    assert f"{hours:02}:{minutes:02}" == end
    starts = schedule_for(config).minutes
    assert starts[0] == 8 * 60 + 55
    assert 0 < 60 * hours + minutes - starts[-1] <= EVERY


def test_it_is_the_same_whatever_the_weekday(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    week = [TODAY + dt.timedelta(days=number) for number in range(7)]
    ends = {last_end(config, frozenset({segment}), day) for day in week for segment in ("NSE_EQ", "MCX_FO")}
    assert len(ends) == 2


def test_names_are_looked_up_in_the_newest_stored_instruments(tmp_path: Path) -> None:
    config = config_for(tmp_path, '[record]\nsymbols = ["RELIANCE", "GOLD:fut", "GOLD:opt:10"]')
    guess = schedule_for(config)
    assert guess.minutes == tuple(SESSION)
    assert any("the store has no instruments yet" in note for note in guess.notes)
    gold = "MCX_INDEX|GOLD"
    records = [share("RELIANCE", "INE002A01018"), contract("GOLD", gold, "FUT", dt.date(2026, 12, 4), segment="MCX_FO")]
    records.append(contract("GOLD", gold, "CE", dt.date(2026, 12, 4), segment="MCX_FO", strike=130000.0))
    path = Store(config.store.data).instruments_path(TODAY - dt.timedelta(days=3))
    path.parent.mkdir(parents=True)
    master_of(path.parent, records)
    known = schedule_for(config)
    assert known.minutes[-1] == 23 * 60 + 55
    assert not any("stored" in note or "selectors" in note for note in known.notes)


def test_an_unknown_name_is_told_and_taken_for_a_share(tmp_path: Path) -> None:
    config = config_for(tmp_path, '[record]\nsymbols = ["RELAINCE"]')
    path = Store(config.store.data).instruments_path(TODAY)
    path.parent.mkdir(parents=True)
    master_of(path.parent, [share("RELIANCE", "INE002A01018")])
    found = schedule_for(config)
    assert found.minutes == tuple(SESSION)
    assert any("RELAINCE" in note and "RELIANCE" in note for note in found.notes)


def test_a_start_that_could_record_nothing_is_refused(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    with pytest.raises(UsageError, match="--at 16:01 is too late: the recording ends at 16:01 IST"):
        schedule_for(config, at=dt.time(16, 1))
    with pytest.raises(UsageError, match="whole minute"):
        schedule_for(config, at=dt.time(9, 15, 30))
    with pytest.raises(NothingToRecord):
        schedule_for(config_for(tmp_path, '[record]\nstart = "17:00"'))


def test_starts_begin_before_the_configured_one(tmp_path: Path) -> None:
    assert schedule_for(config_for(tmp_path, '[record]\nstart = "09:10"')).minutes[0] == 9 * 60 + 5
    assert schedule_for(config_for(tmp_path, '[record]\nstart = "00:02"')).minutes[0] == 0
