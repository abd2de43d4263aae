"""The day's instruments: the broker's file, its conversion, and what stands in for it."""

import dataclasses
import datetime as dt
import gzip
import itertools
import json
import math
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.market.fixtures import RECORDS, Record, expiry_ms, master_of, share, write_master
from tickrec.clock import IST, from_datetime
from tickrec.errors import DataError, TickrecError
from tickrec.market import instruments
from tickrec.market.instruments import Instrument, Master, UnusableList, ensure_master
from tickrec.schema import INSTRUMENTS
from tickrec.upstox import master as broker_list

LIST = [record for name, record in RECORDS.items() if not name.startswith("_")]


def ns(day: int, time: str) -> int:
    return from_datetime(dt.datetime.combine(dt.date(2026, 11, day), dt.time.fromisoformat(time), IST))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Master:
    return master_of(tmp_path_factory.mktemp("samples"), LIST)


def test_an_instrument_has_the_columns_of_the_table() -> None:
    assert [field.name for field in dataclasses.fields(Instrument)] == INSTRUMENTS.names


def test_the_stored_file_has_exactly_the_schema(tmp_path: Path) -> None:
    master_of(tmp_path, LIST)
    assert pq.read_schema(tmp_path / "instruments.parquet").remove_metadata() == INSTRUMENTS.remove_metadata()


def test_a_share(samples: Master) -> None:
    assert samples.by_key("NSE_EQ|INE002A01018") == Instrument(
        instrument_key="NSE_EQ|INE002A01018",
        segment="NSE_EQ",
        exchange="NSE",
        symbol="RELIANCE",
        name="RELIANCE INDUSTRIES LTD",
        instrument_type="EQ",
        expiry=None,
        strike=None,
        lot_size=1,
        tick_size=0.1,
        underlying_key=None,
        underlying_symbol=None,
        underlying_type=None,
        isin="INE002A01018",
        exchange_token="2885",
        freeze_quantity=100000.0,
        qty_multiplier=1.0,
        weekly=None,
        cas_eligible=True,
        security_type="NORMAL",
        short_name="Reliance",
    )


def test_an_option_has_a_strike_an_indian_expiry_date_and_a_tick_in_rupees(samples: Master) -> None:
    option = samples.by_key("NSE_FO|36708")
    assert option is not None
    assert (option.expiry, option.strike, option.tick_size) == (dt.date(2024, 1, 25), 22.0, 0.05)
    assert (option.underlying_key, option.underlying_symbol) == ("NSE_EQ|INE669E01016", "IDEA")
    assert (option.lot_size, option.weekly, option.cas_eligible) == (80000, False, False)


def test_only_options_have_a_strike(samples: Master) -> None:
    future = samples.by_key("NSE_FO|125841")
    assert future is not None
    assert future.strike is None
    assert future.expiry == dt.date(2026, 9, 29)


def test_what_the_broker_leaves_empty_is_none(samples: Master) -> None:
    world = samples.by_key("GLOBAL_INDEX|SGX NIFTY")
    assert world is not None
    assert (world.isin, world.instrument_type, world.underlying_key, world.exchange_token) == (None, None, None, None)
    bare = samples.by_key("NSE_EQ|INE839G01010")
    assert bare is not None
    assert (bare.short_name, bare.security_type, bare.cas_eligible) == (None, None, False)


def test_an_unknown_key_is_none_and_rows_keep_their_order(samples: Master) -> None:
    assert samples.by_key("NSE_EQ|NOTHING") is None
    keys = ["MCX_FO|435849", "missing", "NSE_EQ|INE002A01018"]
    found = samples.rows(samples.find(keys))
    assert [instrument.instrument_key for instrument in found] == [keys[0], keys[2]]
    assert samples.rows([]) == []


def test_records_across_pieces_of_the_file_are_all_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_list, "_CHUNK_BYTES", 100)
    monkeypatch.setattr(broker_list, "_BATCH_ROWS", 16)
    records = [share(f"S{number}", f"INE{number:06d}01{number % 10}") for number in range(40)]
    assert min(len(json.dumps(record)) for record in records) > 3 * broker_list._CHUNK_BYTES
    master = master_of(tmp_path, records)
    assert master.column("symbol").to_pylist() == [record["trading_symbol"] for record in records]
    assert master.column("segment").to_pylist() == ["NSE_EQ"] * 40


def test_white_space_does_not_matter(tmp_path: Path) -> None:
    source = tmp_path / "spaced.json.gz"
    source.write_bytes(gzip.compress(b"\n " + json.dumps(LIST, indent=4).encode() + b"\n"))
    assert instruments.main([str(source), str(tmp_path / "i.parquet"), "0"]) == 0
    assert len(Master.read(tmp_path / "i.parquet")) == len(LIST)


def test_records_of_another_shape_cost_only_themselves(tmp_path: Path) -> None:
    odd = [
        "text",
        7,
        None,
        {},
        {"instrument_key": "NSE_EQ|X"},
        {"instrument_key": 5, "trading_symbol": "X"},
        {"instrument_key": "NEW_EQ|1", "trading_symbol": "ODD", "lot_size": "many", "expiry": "29-09-2026"},
    ]
    master = master_of(tmp_path, [*odd, RECORDS["EQ"]])
    assert master.column("symbol").to_pylist() == ["ODD", "RELIANCE"]
    kept = master.by_key("NEW_EQ|1")
    assert kept is not None
    assert (kept.segment, kept.lot_size, kept.expiry) == ("NEW_EQ", None, None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>503</html>", "gzip"),
        (gzip.compress(json.dumps(LIST).encode())[:-400], "end-of-stream"),
        (gzip.compress(json.dumps(LIST).encode()[:-400]), "ends in the middle"),
        (gzip.compress(b'{"status": "error"}'), "not a JSON array"),
        (gzip.compress(b"[]"), "no instruments"),
        (gzip.compress(b"null"), "not a JSON array"),
        (gzip.compress(b"<html>503</html>"), "not a JSON array"),
        (gzip.compress(b'[{"instrument_key": "NSE_EQ|1"}]'), "no instruments"),
        (gzip.compress(json.dumps([{**RECORDS["EQ"], "expiry": 1e17}]).encode()), "no instruments"),
        (gzip.compress(b"[" * 200_000), "recursion"),
        (gzip.compress(b"[{} }"), "ends in the middle, or is not JSON"),
        (gzip.compress(b"\xff\xfe["), "decode"),
        (b"", "not a JSON array"),
    ],
    ids=itertools.count(),  # what gzip makes has the time in it, and every process must find the same tests
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, said: str
) -> None:
    source, destination = tmp_path / "complete.json.gz", tmp_path / "instruments.parquet"
    source.write_bytes(content)
    assert instruments.main([str(source), str(destination), "0"]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def odd(**fields: object) -> dict[str, object]:
    """A record that is right but for some fields."""
    return {**share("ODD", "INE000A01000"), **fields}


@pytest.mark.parametrize(
    "record",
    [
        odd(lot_size=math.nan),
        odd(lot_size=1e30),
        odd(freeze_quantity=math.inf),
        odd(tick_size=-math.inf),
        odd(expiry=1e17),
        odd(expiry=-5),
        odd(expiry=10**40),
        odd(instrument_type="CE", strike_price=math.nan),
        odd(trading_symbol="half \ud83d"),
    ],
    ids=itertools.count(),
)
def test_an_odd_record_is_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], record: dict[str, object]
) -> None:
    master = master_of(tmp_path, [record, share("RIGHT", "INE002A01018"), record])
    assert master.column("symbol").to_pylist() == ["RIGHT"]
    assert "2 odd records of the broker's instrument list are left out" in capsys.readouterr().err


def test_blanks_around_what_the_broker_writes_are_left_out(tmp_path: Path) -> None:
    master = master_of(tmp_path, [odd(trading_symbol=" SBILIFE\t", name="SBI LIFE ", short_name=" ")])
    (found,) = master.rows([0])
    assert (found.symbol, found.name, found.short_name) == ("SBILIFE", "SBI LIFE", None)


def test_a_list_that_cannot_be_written_is_no_bad_list(tmp_path: Path) -> None:
    source = write_master(tmp_path / "complete.json.gz", LIST)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="could not be converted"):
        instruments.convert(source, tmp_path / "file" / "instruments.parquet")


def test_a_conversion_that_fails_in_its_child_is_told(tmp_path: Path) -> None:
    master_of(tmp_path, LIST)
    with pytest.raises(DataError, match=r"instrument file could not be used: .*No such file"):
        instruments.convert(tmp_path / "missing.json.gz", tmp_path / "instruments.parquet")
    assert len(Master.read(tmp_path / "instruments.parquet")) == len(LIST)


def test_a_stored_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 is not enough")
    with pytest.raises(DataError, match="cannot be read") as caught:
        Master.read(tmp_path / "x.parquet")
    assert caught.value.where.endswith("x.parquet")


class Broker:
    """Hands out a master file of one share, whose symbol can be changed; with `down` set it refuses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.symbol = "FIRST"
        self.content: bytes | None = None
        self.records: list[Record] = []
        """Beside the share."""
        self.down = False
        self.asked = 0

    def download(self, path: Path) -> None:
        self.asked += 1
        if self.down:
            raise TickrecError("503 from the broker")
        self._write(path)

    def _write(self, path: Path) -> None:
        write_master(path, [share(self.symbol, "INE002A01018"), *self.records])
        if self.content is not None:
            path.write_bytes(self.content)

    def path(self, date: dt.date) -> Path:
        return self.folder / f"date={date.isoformat()}" / "instruments.parquet"

    def keep(self, day: int, time: str = "09:00", *, before: int = 0) -> Path:
        """Store what it would send as `ensure` does, but without a child; beside the stored list of a day before."""
        path, source = self.path(dt.date(2026, 11, day)), self.folder / "kept.json.gz"
        path.parent.mkdir(exist_ok=True)
        self._write(source)
        earlier = dt.date(2026, 11, before) if before else None
        compared = [str(earlier), str(self.path(earlier))] if earlier else []
        assert instruments.main([str(source), str(path), str(ns(day, time)), *compared]) == 0
        return path

    def ensure(self, day: int, time: str, *, anew: bool = False) -> Master:
        return ensure_master(self.download, self.path, ns(day, time), anew=anew)

    def symbols(self, day: int, time: str) -> list[str]:
        symbols: list[str] = self.ensure(day, time).column("symbol").to_pylist()
        return symbols


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    return Broker(tmp_path)


def test_a_day_s_file_is_downloaded_once_unless_it_is_asked_for_anew(broker: Broker) -> None:
    broker.keep(23, "09:00")
    broker.symbol = "SECOND"
    assert broker.symbols(23, "15:00") == ["FIRST"]
    assert broker.asked == 0
    assert broker.ensure(23, "15:00").stand_in_of is None
    assert broker.ensure(23, "15:05", anew=True).column("symbol").to_pylist() == ["SECOND"]
    assert broker.symbols(23, "15:07") == ["SECOND"]
    assert broker.asked == 1
    broker.down = True
    assert broker.ensure(23, "15:10", anew=True).column("symbol").to_pylist() == ["SECOND"]


def test_a_file_from_before_the_broker_s_renewal_is_replaced_when_the_renewed_one_can_be_had(broker: Broker) -> None:
    broker.keep(23, "00:10")
    broker.symbol = "SECOND"
    assert broker.symbols(23, "05:00") == ["FIRST"]
    broker.down = True
    found = broker.ensure(23, "08:55")
    assert (found.column("symbol").to_pylist(), found.stand_in_of) == (["FIRST"], None)
    broker.down = False
    assert broker.symbols(23, "08:55") == ["SECOND"]
    assert broker.symbols(23, "09:30") == ["SECOND"]


def test_an_older_file_stands_in_marked_until_the_day_s_own_can_be_had(broker: Broker) -> None:
    broker.keep(19)
    broker.keep(20)
    broker.down = True
    assert broker.ensure(23, "09:00").stand_in_of == dt.date(2026, 11, 20)
    assert broker.ensure(24, "09:00").stand_in_of == dt.date(2026, 11, 20)
    assert Master.read(broker.path(dt.date(2026, 11, 23))).stand_in_of == dt.date(2026, 11, 20)
    broker.down, broker.content = False, gzip.compress(json.dumps(LIST).encode())[:-9]
    assert broker.ensure(24, "09:02").stand_in_of == dt.date(2026, 11, 20), "a useless download is none"
    broker.content, broker.symbol = None, "SECOND"
    assert broker.symbols(24, "09:05") == ["SECOND"]
    assert broker.ensure(24, "09:10").stand_in_of is None


def test_a_short_list_is_filled_up_from_the_day_before_s_marked_until_it_is_whole(broker: Broker) -> None:
    broker.records = [share(f"S{number}", f"INE{number:03d}A01018") for number in range(20, 60)]
    whole = set(Master.read(broker.keep(20)).column("symbol").to_pylist())
    records, broker.records, broker.symbol = broker.records, broker.records[:5], "RENAMED"
    short = Master.read(broker.keep(23, before=20))
    assert (short.short, short.stand_in_of) == ("NSE_EQ has 6 of 41 instruments", dt.date(2026, 11, 20))
    assert sorted(short.column("symbol").to_pylist()) == sorted(whole - {"FIRST"} | {"RENAMED"})
    assert broker.ensure(24, "08:55").stand_in_of == dt.date(2026, 11, 20)
    broker.down = True
    assert broker.ensure(24, "09:00").stand_in_of == dt.date(2026, 11, 20)
    assert broker.asked == 2
    broker.records = records
    later = Master.read(broker.keep(24, before=20))
    assert (later.short, later.stand_in_of, len(later)) == ("", None, 41)


def test_a_list_that_cannot_be_stored_is_used_all_the_same(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    broker.path(dt.date(2026, 11, 23)).parent.write_text("in the way")
    assert broker.symbols(23, "09:00") == ["FIRST"]
    assert "could not be stored" in caplog.text


def test_with_nothing_stored_the_failure_is_the_caller_s(broker: Broker) -> None:
    broker.down = True
    with pytest.raises(TickrecError, match="503"):
        broker.ensure(23, "09:00")
    assert not broker.path(dt.date(2026, 11, 23)).exists()


def flip_pages(path: Path) -> None:
    """Damage the rows of a Parquet file, and leave its footer as it is."""
    data = bytearray(path.read_bytes())
    footer = int.from_bytes(data[-8:-4], "little") + 8
    for offset in range(4, len(data) - footer, 20):
        data[offset] ^= 0x5A
    path.write_bytes(data)


def footer_gone(path: Path) -> None:
    path.write_bytes(b"PAR1")


def test_a_damaged_stored_file_is_downloaded_again(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    path = broker.keep(23)
    for asked, harm in enumerate((flip_pages, footer_gone), 1):
        caplog.clear()
        harm(path)
        broker.symbol = f"LIST {asked}"
        assert broker.symbols(23, "09:05") == [f"LIST {asked}"]
        assert broker.symbols(23, "09:10") == [f"LIST {asked}"]
        assert broker.asked == asked
        assert [path.name for path in path.parent.iterdir()] == [path.name]
        assert ("cannot be read" in caplog.text) == (harm is flip_pages)


def test_a_damaged_stored_file_that_cannot_be_had_again_is_stood_in_for_by_one_that_can_be_read(
    broker: Broker,
) -> None:
    broker.symbol = "OF 18"
    broker.keep(18)
    for day in (19, 20, 23):
        copied = broker.path(dt.date(2026, 11, day))
        copied.parent.mkdir()
        shutil.copy(broker.path(dt.date(2026, 11, 18)), copied)
        flip_pages(copied)
    broker.down = True
    found = broker.ensure(23, "09:05")
    assert found.column("symbol").to_pylist() == ["OF 18"]
    assert found.stand_in_of == dt.date(2026, 11, 18)


def test_with_a_damaged_file_only_the_failure_is_the_caller_s(broker: Broker) -> None:
    path = broker.keep(23)
    flip_pages(path)
    damaged = path.read_bytes()
    broker.down = True
    with pytest.raises(TickrecError, match="503"):
        broker.ensure(23, "09:05")
    assert path.read_bytes() == damaged
    broker.down, broker.content = False, b"<html>please log in to this wifi</html>"
    with pytest.raises(UnusableList, match=r"could not be used: .*Try again"):
        broker.ensure(23, "09:05")


def test_one_changed_bit_of_the_rows_is_damage(tmp_path: Path) -> None:
    master_of(tmp_path, [share("RELIANCE", "INE002A01018")])
    path = tmp_path / "instruments.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"INE002A01018", b"INE002A01019", 1))
    assert path.read_bytes() != whole
    with pytest.raises(DataError, match="cannot be read"):
        Master.read(path)


def test_an_expiry_written_by_the_broker_is_the_indian_date() -> None:
    row = broker_list._row({**RECORDS["FUT"], "expiry": expiry_ms(dt.date(2026, 11, 24))})
    assert row is not None
    assert dt.date(1970, 1, 1) + dt.timedelta(days=row["expiry"]) == dt.date(2026, 11, 24)
