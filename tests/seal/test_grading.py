"""The grade that a date is sealed with."""

import json
import logging
import tempfile
from pathlib import Path

import pytest

from tests.clocks import HandClock, at
from tests.days import DATE, write_day
from tickrec.check.day_check import check_date, verdict
from tickrec.seal.seal import seal
from tickrec.status.totals import totals
from tickrec.store.manifest import Manifest, load
from tickrec.store.paths import Store

EVENING = HandClock(at("2026-11-23T16:05"))


def test_a_date_is_sealed_with_its_grade(store: Store) -> None:
    write_day(store, messages=3, instruments=3)
    manifest = seal(store, DATE, duckdb=False, clock=EVENING)
    report = check_date(store, DATE, EVENING)
    assert manifest.grade == report.grade == "F"
    assert manifest.why == report.sentence
    assert load(store, DATE) == manifest
    found = totals(store, DATE)
    assert found is not None
    assert found.grade == "F"
    assert verdict(store, DATE).words.endswith(f" ticks of 3 instruments: {report.sentence}")


def test_a_date_that_is_not_over_has_no_grade_yet(store: Store) -> None:
    write_day(store, messages=3, instruments=3)
    assert seal(store, DATE, duckdb=False, clock=HandClock(at("2026-11-23T09:20"))).grade is None
    assert verdict(store, DATE, EVENING).grade == "F", "then it is looked up"


def test_a_date_that_cannot_be_graded_is_sealed_all_the_same(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_day(store, messages=3, instruments=3)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with caplog.at_level(logging.ERROR, "tickrec"):
        assert seal(store, DATE, duckdb=False, clock=EVENING).grade is None
    assert store.settled(DATE)
    (record,) = caplog.records
    assert record.getMessage().startswith("2026-11-23 is sealed, but could not be graded: ")
    assert "Traceback" in vars(record)["trace"]


def test_a_manifest_of_an_earlier_version_has_no_grade(sealed: Store) -> None:
    facts = json.loads(sealed.manifest_path(DATE).read_bytes())
    assert {"grade", "why"} <= facts.keys()
    old = {name: value for name, value in facts.items() if name not in ("grade", "why")}
    assert Manifest.from_json(json.dumps(old).encode()).grade is None
    with pytest.raises(ValueError, match="grade is no text"):
        Manifest.from_json(json.dumps(facts | {"grade": 3}).encode())
