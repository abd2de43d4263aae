"""What the shell offers while a command is typed."""

import datetime as dt
from pathlib import Path

import pytest

from tests.market.fixtures import contract, index, master_of, share
from tests.processes import called
from tickrec.market import instruments
from tickrec.store.paths import Store

DATES = [dt.date(2026, 11, day) for day in (20, 23, 24)]
NIFTY = "NSE_INDEX|Nifty 50"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = Store(tmp_path / "data")
    for date in DATES:
        store.journal(date).mkdir(parents=True)
    records = [
        share("RELIANCE", "INE002A01018"),
        share("RELINFRA", "INE036A01016"),
        index("NIFTY", "Nifty 50"),
        contract("NIFTY", NIFTY, "CE", dt.date(2026, 12, 1), strike=26000),
    ]
    instruments.write(master_of(tmp_path, records).plain(), store.instruments_path(DATES[-1]))
    (tmp_path / "config.toml").write_text('[universes]\nrelatives = ["RELIANCE"]\n')
    return tmp_path


def offered(folder: Path, *words: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What bash is told after these words, the last of which is being typed."""
    monkeypatch.setenv("_TICKREC_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(("tickrec", *words)))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    return called(folder=folder).stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("seal", "2026-11-2"), ["2026-11-24", "2026-11-23", "2026-11-20"]),
        (("verify", "to"), ["today"]),
        (("rebuild", "today", "--to", "2026-11-23"), ["2026-11-23"]),
        (("query", "--date", "y"), ["yesterday"]),
        (("symbols", "REL"), ["RELIANCE", "RELINFRA"]),
        (("symbols", "rel"), ["relatives"]),
        (("symbols", "fno,NIF"), ["fno,NIFTY"]),
        (("record", "--symbols", "fn"), ["fno"]),
        (("seal", "--data", "elsewhere", "2026"), []),
        (("symbols", "--config", "none.toml", "REL"), []),
    ],
)
def test_dates_and_symbols_of_the_store_are_offered(
    folder: Path, words: tuple[str, ...], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offered(folder, *words, monkeypatch=monkeypatch) == expected


def test_where_nothing_is_stored_nothing_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert offered(tmp_path, "seal", "2026", monkeypatch=monkeypatch) == []
    assert offered(tmp_path, "symbols", "REL", monkeypatch=monkeypatch) == []
