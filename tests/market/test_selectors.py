"""Selectors: what each form means, and what a refusal says."""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.market.fixtures import RECORDS, TODAY, Record, chain, contract, index, master_of, share
from tickrec.errors import TickrecError, UsageError
from tickrec.market.instruments import Master
from tickrec.market.selectors import UnknownSymbols, resolve, with_every_strike

NIFTY, BANK, SENSEX = "NSE_INDEX|Nifty 50", "NSE_INDEX|Nifty Bank", "BSE_INDEX|SENSEX"
RELIANCE, MM, BAJAJ = "NSE_EQ|INE002A01018", "NSE_EQ|INE101A01026", "NSE_EQ|INE917I01010"
GONE, WEEK, NEXT_WEEK = dt.date(2026, 11, 17), dt.date(2026, 11, 24), dt.date(2026, 12, 1)
MONTHS = (dt.date(2026, 11, 24), dt.date(2026, 12, 29), dt.date(2027, 1, 27))
OIL = dt.date(2026, 12, 18)


def futures(underlying: str, on: str, segment: str = "NSE_FO") -> list[Record]:
    """Listed latest first, so that order has to be made."""
    return [contract(underlying, on, "FUT", month, segment=segment) for month in reversed(MONTHS)]


LIST: list[Record] = [
    share("RELIANCE", "INE002A01018", segment="BSE_EQ", kind="A"),
    share("RELIANCE", "INE002A07999", kind="N5"),
    share("RELIANCE", "INE002A01018"),
    share("M&M", "INE101A01026"),
    share("BAJAJ-AUTO", "INE917I01010"),
    share("RELINFRA", "INE036A01016"),
    share("RELAXO", "INE131B01039"),
    share("HFCL", "INE548A01028", kind="BE"),
    share("718GS2033", "IN0020230085", kind="GS"),
    share("BSEONLY", "INE111A01011", segment="BSE_EQ", kind="T"),
    share("011NSETEST", "DUMMYSAN001"),
    index("NIFTY", "Nifty 50"),
    index("BANKNIFTY", "Nifty Bank"),
    index("MIDSELECT", "NIFTY MID SELECT"),
    index("SENSEX", "SENSEX", segment="BSE_INDEX"),
    RECORDS["GLOBAL"],
    *futures("RELIANCE", "BSE_EQ|INE002A01018", "BSE_FO"),
    *futures("RELIANCE", RELIANCE),
    *futures("NIFTY", NIFTY),
    *futures("BANKNIFTY", BANK),
    *futures("MIDCPNIFTY", "NSE_INDEX|NIFTY MID SELECT"),
    *futures("M&M", MM),
    contract("BAJAJ-AUTO", BAJAJ, "FUT", GONE),
    contract("071NSETEST", "NSE_EQ|DUMMYSAN011", "FUT", dt.date(2036, 11, 27)),
    contract("NIFTY", NIFTY, "CE", GONE, strike=26000),
    *chain("NIFTY", NIFTY, NEXT_WEEK, range(25000, 27001, 50)),
    *chain("NIFTY", NIFTY, WEEK, range(25000, 27001, 50)),
    *chain("M&M", MM, MONTHS[0], [3400, 3450, 3500]),
    *chain("SENSEX", SENSEX, dt.date(2026, 11, 26), range(84000, 86001, 100), "BSE_FO"),
    contract("CRUDEOIL", "MCX_COM|294", "FUT", OIL, segment="MCX_FO"),
    *chain("CRUDEOIL", "MCX_FO|555", dt.date(2026, 12, 16), range(5000, 5501, 50), "MCX_FO"),
]
FNO = ["BANKNIFTY", "MIDSELECT", "NIFTY", "M&M", "RELIANCE"]


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Master:
    return master_of(tmp_path_factory.mktemp("master"), LIST)


class Market:
    """Resolves against the master with last prices that the test sets, noting what was asked for."""

    def __init__(self, master: Master, folder: Path) -> None:
        self.master = master
        self.folder = folder
        self.prices: dict[str, float] = {NIFTY: 25962.35, SENSEX: 84810.0, "MCX_FO|555": 5251.0, MM: 3460.0}
        self.universes: dict[str, Sequence[str]] = {}
        self.asked: list[list[str]] = []

    def last_prices(self, keys: Sequence[str]) -> Mapping[str, float]:
        self.asked.append(list(keys))
        return {key: price for key, price in self.prices.items() if key in keys}

    def keys(self, *selectors: str, today: dt.date = TODAY) -> list[str]:
        found = resolve(
            selectors,
            self.master,
            today=today,
            last_prices=self.last_prices,
            universes=self.universes,
            folder=self.folder,
        )
        return [instrument.instrument_key for instrument in found.instruments]

    def symbols(self, *selectors: str, today: dt.date = TODAY) -> list[str]:
        keys = self.keys(*selectors, today=today)
        return [instrument.symbol for instrument in self.master.rows(self.master.find(keys))]

    def refusal(self, *selectors: str) -> str:
        with pytest.raises(UsageError) as caught:
            self.keys(*selectors)
        return str(caught.value)


@pytest.fixture
def market(master: Master, tmp_path: Path) -> Market:
    return Market(master, tmp_path)


@pytest.mark.parametrize(
    ("selector", "key"),
    [
        ("RELIANCE", RELIANCE),
        ("reliance", RELIANCE),
        (" Reliance ", RELIANCE),
        ("M&M", MM),
        ("BAJAJ-AUTO", BAJAJ),
        ("HFCL", "NSE_EQ|INE548A01028"),
        ("718GS2033", "NSE_EQ|IN0020230085"),
        ("BSEONLY", "BSE_EQ|INE111A01011"),
        ("NIFTY", NIFTY),
        ("NIFTY 50", NIFTY),
        ('"Nifty 50"', NIFTY),
        ("'nifty bank'", BANK),
        ("BANKNIFTY", BANK),
        ("MIDCPNIFTY", "NSE_INDEX|NIFTY MID SELECT"),
        ("SENSEX", SENSEX),
        ("GIFT NIFTY", "GLOBAL_INDEX|SGX NIFTY"),
        ("BSE_EQ|INE002A01018", "BSE_EQ|INE002A01018"),
        ("nse_index|nifty 50", NIFTY),
        ("NSE_EQ|DUMMYSAN001", "NSE_EQ|DUMMYSAN001"),
    ],
)
def test_one_instrument(market: Market, selector: str, key: str) -> None:
    assert market.keys(selector) == [key]
    assert market.asked == []


def test_a_contract_by_its_own_symbol_or_key(market: Market) -> None:
    key = market.keys("reliance fut 29 dec 26")
    assert market.symbols("reliance fut 29 dec 26") == ["RELIANCE FUT 29 DEC 26"]
    assert market.keys(key[0]) == key


def test_fno_is_the_underlyings_of_nse_futures_indices_first(market: Market) -> None:
    assert market.symbols("fno") == FNO
    assert market.symbols("FNO") == FNO


def test_futures_are_all_of_them_nearest_first_on_nse_before_bse(market: Market) -> None:
    assert market.symbols("RELIANCE:fut") == [
        "RELIANCE FUT 24 NOV 26",
        "RELIANCE FUT 29 DEC 26",
        "RELIANCE FUT 27 JAN 27",
    ]
    assert {key.partition("|")[0] for key in market.keys("RELIANCE:FUT")} == {"NSE_FO"}
    assert {key.partition("|")[0] for key in market.keys("BSE_EQ|INE002A01018:fut")} == {"BSE_FO"}
    assert market.symbols("CRUDEOIL:fut") == ["CRUDEOIL FUT 18 DEC 26"]
    assert market.symbols("Nifty 50:fut") == market.symbols("NIFTY:fut")
    assert market.symbols("midcpnifty:fut")[0] == "MIDCPNIFTY FUT 24 NOV 26"


def test_options_are_the_whole_chain_of_the_nearest_expiry_by_strike(market: Market) -> None:
    symbols = market.symbols("NIFTY:opt")
    assert len(symbols) == 82
    assert symbols[:3] == ["NIFTY 25000 CE 24 NOV 26", "NIFTY 25000 PE 24 NOV 26", "NIFTY 25050 CE 24 NOV 26"]
    assert len(market.symbols("CRUDEOIL:opt")) == 22
    assert len(market.symbols("SENSEX:opt")) == 42
    assert market.asked == []


def test_options_around_the_money_are_the_nearest_strike_and_as_many_on_either_side(market: Market) -> None:
    symbols = market.symbols("NIFTY:opt:10")
    assert len(symbols) == 42
    assert (symbols[0], symbols[-1]) == ("NIFTY 25450 CE 24 NOV 26", "NIFTY 26450 PE 24 NOV 26")
    assert market.asked == [[NIFTY]]
    assert market.symbols("NIFTY:opt:0") == ["NIFTY 25950 CE 24 NOV 26", "NIFTY 25950 PE 24 NOV 26"]


def test_the_money_of_a_commodity_is_the_future_it_settles_in(market: Market) -> None:
    assert market.symbols("CRUDEOIL:opt:0")[0] == "CRUDEOIL 5250 CE 16 DEC 26"
    assert market.asked == [["MCX_FO|555"]]


def test_near_the_end_of_the_chain_there_are_fewer_strikes(market: Market) -> None:
    market.prices[NIFTY] = 20_000.0
    assert market.symbols("NIFTY:opt:1")[-1] == "NIFTY 25050 PE 24 NOV 26"
    assert len(market.keys("M&M:opt:50")) == 6


def test_all_prices_are_asked_for_at_once(market: Market) -> None:
    market.keys("NIFTY:opt:1", "SENSEX:opt:1,NIFTY:opt:2", "M&M:opt:0")
    assert market.asked == [[NIFTY, SENSEX, MM]]


def test_without_a_last_price_there_is_no_money(market: Market) -> None:
    market.prices[NIFTY] = 0.0
    assert "no last price for NSE_INDEX|Nifty 50" in market.refusal("NIFTY:opt:10")
    assert len(market.keys("NIFTY:opt")) == 82


def test_one_underlying_of_all_without_a_last_price_is_left_out(
    market: Market, caplog: pytest.LogCaptureFixture
) -> None:
    everything = market.symbols("fno:opt:0")
    market.prices[MM] = 0.0
    assert market.symbols("fno:opt:0") == [symbol for symbol in everything if not symbol.startswith("M&M ")]
    assert "no last price for M&M" in caplog.text


def test_a_failure_to_ask_for_prices_passes_through(master: Master, tmp_path: Path) -> None:
    def fail(_keys: Sequence[str]) -> Mapping[str, float]:
        raise TickrecError("401")

    with pytest.raises(TickrecError, match="401"):
        resolve(["NIFTY:opt:1"], master, today=TODAY, last_prices=fail, universes={}, folder=tmp_path)


def test_the_same_strikes_of_several_expiries(market: Market) -> None:
    assert market.symbols("NIFTY:opt:1:2") == [
        *market.symbols("NIFTY:opt:1"),
        *market.symbols("NIFTY:opt:1:2026-12-01"),
    ]
    assert market.symbols("nifty:OPT:0:2026-12-01") == ["NIFTY 25950 CE 01 DEC 26", "NIFTY 25950 PE 01 DEC 26"]
    assert market.symbols("NIFTY:opt:0:9")[::2] == ["NIFTY 25950 CE 24 NOV 26", "NIFTY 25950 CE 01 DEC 26"]
    assert market.symbols("SENSEX:opt:0:2026-11-26")[0] == "SENSEX 84800 CE 26 NOV 26"
    assert market.symbols("CRUDEOIL:opt:0:2")[0] == "CRUDEOIL 5250 CE 16 DEC 26"
    (market.folder / "list.txt").write_text("NIFTY\n")
    assert len(market.keys("@list.txt:opt:1:2")) == 12


def test_on_expiry_day_the_next_expiry_is_there_from_the_start(market: Market) -> None:
    assert market.symbols("NIFTY:opt:0:2", today=WEEK)[::2] == ["NIFTY 25950 CE 24 NOV 26", "NIFTY 25950 CE 01 DEC 26"]


@pytest.mark.parametrize("selector", ["NIFTY:opt:1:0", "NIFTY:opt:1:2026-13-01", "NIFTY:opt:1:2:3", "NIFTY:fut:1:2"])
def test_what_stands_for_no_expiry_is_no_selector(market: Market, selector: str) -> None:
    assert f"{selector} is not a selector" in market.refusal(selector)


def test_an_expiry_that_is_not_listed_is_refused_with_those_that_are(market: Market) -> None:
    assert market.refusal("NIFTY:opt:1:2026-12-08").endswith("Expiries: 2026-11-24, 2026-12-01")


def test_where_strikes_around_the_money_are_meant_the_whole_chains_are_told(market: Market) -> None:
    found = resolve(
        ["NIFTY:opt:2:2", "SENSEX:opt", "CRUDEOIL:opt:1"],
        market.master,
        today=TODAY,
        last_prices=market.last_prices,
        universes={},
        folder=market.folder,
    )
    assert [(chain.underlying_key, chain.each_side, len(chain.strikes)) for chain in found.chains] == [
        (NIFTY, 2, 41),
        (NIFTY, 2, 41),
        ("MCX_FO|555", 1, 11),
    ]


def test_every_strike_instead_of_those_around_the_money() -> None:
    texts = [
        "NIFTY:opt:10, RELIANCE",
        "nifty:OPT:10:2",
        "NIFTY:opt:10:2026-12-01,SENSEX:opt:3",
        "@list.txt:opt:1",
        "fno",
    ]
    assert with_every_strike(texts) == [
        *("NIFTY:opt, RELIANCE", "nifty:OPT", "NIFTY:opt,SENSEX:opt", "@list.txt:opt", "fno"),
    ]


def test_on_its_last_day_a_contract_matches_and_not_after(market: Market) -> None:
    assert market.symbols("NIFTY:opt", today=WEEK)[0] == "NIFTY 25000 CE 24 NOV 26"
    assert market.symbols("NIFTY:opt", today=WEEK + dt.timedelta(days=1))[0] == "NIFTY 25000 CE 01 DEC 26"
    assert market.symbols("M&M:fut", today=dt.date(2026, 12, 1)) == ["M&M FUT 29 DEC 26", "M&M FUT 27 JAN 27"]


def test_expired_contracts_never_match(market: Market) -> None:
    gone = next(record for record in LIST if record["trading_symbol"] == "BAJAJ-AUTO FUT 17 NOV 26")
    assert "BAJAJ-AUTO has no futures" in market.refusal("BAJAJ-AUTO:fut")
    assert "unknown symbol" in market.refusal("BAJAJ-AUTO FUT 17 NOV 26")
    assert "expired on 17 Nov 2026" in market.refusal(gone["instrument_key"])
    assert "BAJAJ-AUTO" not in market.symbols("fno")
    assert not [symbol for symbol in market.symbols("all:NSE_FO") if symbol.endswith("17 NOV 26")]


def test_everything_in_a_segment_without_test_symbols(market: Market) -> None:
    assert market.symbols("all:NSE_EQ") == [
        *("RELIANCE", "RELIANCE", "M&M", "BAJAJ-AUTO", "RELINFRA", "RELAXO", "HFCL", "718GS2033"),
    ]
    assert market.symbols("ALL:nse_eq:be") == ["HFCL"]
    assert len(market.keys("all:NSE_FO:FUT")) == 15
    assert "Segments: BSE_EQ, BSE_FO, BSE_INDEX, GLOBAL_INDEX, MCX_FO, NSE_EQ" in market.refusal("all:NSE")
    assert "matches nothing" in market.refusal("all:")
    assert "matches nothing" in market.refusal("all:NSE_EQ:EQ:X")


def test_lists_keep_their_order_and_name_nothing_twice(market: Market) -> None:
    assert market.keys("NIFTY, RELIANCE,,M&M", "reliance", RELIANCE, "SENSEX") == [NIFTY, RELIANCE, MM, SENSEX]
    assert market.symbols("SENSEX,fno")[0] == "SENSEX"


def test_a_universe_is_a_name_for_a_list(market: Market) -> None:
    market.universes = {"Mine": ["RELIANCE", "cars"], "cars": ["M&M", "BAJAJ-AUTO"], "NIFTY": ["SENSEX"]}
    assert market.keys("mine") == [RELIANCE, MM, BAJAJ]
    assert market.keys("NIFTY") == [SENSEX]


def test_a_suffix_goes_to_each_member(market: Market) -> None:
    market.universes = {"pair": ["M&M", "RELIANCE"]}
    (market.folder / "pair.txt").write_text("M&M\nNIFTY\n")
    assert market.symbols("pair:fut")[::3] == ["M&M FUT 24 NOV 26", "RELIANCE FUT 24 NOV 26"]
    assert len(market.keys("@pair.txt:opt:1")) == 6 + 6
    assert len(market.keys("fno:fut")) == 15


def test_a_file_has_a_selector_a_line(market: Market) -> None:
    (market.folder / "lists").mkdir()
    watch = market.folder / "lists" / "watch.txt"
    watch.write_bytes("\ufeff# banks\r\nNIFTY   # the index\r\n\r\nM&M, RELIANCE\r\n@more.txt\r\n".encode())
    (market.folder / "lists" / "more.txt").write_text("SENSEX")
    expected = [NIFTY, MM, RELIANCE, SENSEX]
    assert market.keys("@lists/watch.txt") == expected
    assert market.keys(f"@{watch}") == expected
    market.universes = {"mine": ["@lists/watch.txt"]}
    assert market.keys("mine") == expected


def test_circles_are_refused(market: Market) -> None:
    (market.folder / "a.txt").write_text("NIFTY\n@b.txt")
    (market.folder / "b.txt").write_text("@a.txt")
    assert f"a.txt includes itself ({market.folder / 'b.txt'}:1)" in market.refusal("@a.txt")
    market.universes = {"one": ["two"], "two": ["RELIANCE", "One"]}
    assert "universe One includes itself" in market.refusal("one")


def test_the_same_list_twice_is_no_circle(market: Market) -> None:
    market.universes = {"one": ["RELIANCE"], "two": ["one", "one", "M&M"]}
    assert market.keys("two", "one") == [RELIANCE, MM]


def test_a_file_that_cannot_be_read_is_named(market: Market) -> None:
    assert f"{market.folder / 'none.txt'} cannot be read: No such file" in market.refusal("@none.txt")
    (market.folder / "binary.txt").write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8 text" in market.refusal("@binary.txt")


def test_an_unknown_symbol_comes_with_the_nearest(market: Market) -> None:
    assert market.refusal("RELAINCE") == "unknown symbol RELAINCE. Nearest: RELIANCE, RELINFRA, RELAXO"
    assert market.refusal("NFITY:opt:10").startswith("unknown symbol NFITY:opt:10. Nearest: NIFTY")
    assert market.refusal("QQQQQQQQ") == "unknown symbol QQQQQQQQ"


def test_all_unknown_symbols_of_a_list_come_at_once(market: Market) -> None:
    (market.folder / "w.txt").write_text("NIFTY\nRELAINCE\n")
    said = market.refusal("@w.txt", "SENSXE")
    assert said.startswith(f"unknown symbols RELAINCE ({market.folder / 'w.txt'}:2), SENSXE. Nearest to RELAINCE: REL")
    assert "nearest to SENSXE: SENSEX" in said


def test_an_unknown_key_says_that_keys_change(market: Market) -> None:
    assert market.refusal("NSE_FO|1").startswith("unknown instrument key NSE_FO|1. Keys of contracts change")
    assert market.refusal("NSE_FO|1:opt").startswith("unknown instrument key")


@pytest.mark.parametrize(
    "selector", ["NIFTY:call", "NIFTY:opt:x", "NIFTY:fut:2", "NIFTY:opt:-1", "NIFTY:", "fno:x", ":opt"]
)
def test_what_follows_a_name_must_be_known(market: Market, selector: str) -> None:
    assert "not a selector" in market.refusal(selector) or "unknown symbol" in market.refusal(selector)


def test_what_has_no_contracts_or_only_contracts_says_so(market: Market) -> None:
    assert market.refusal("RELAXO:opt") == "RELAXO has no options"
    assert market.refusal("CRUDEOIL").endswith("Write CRUDEOIL:fut or CRUDEOIL:opt")


@pytest.mark.parametrize("selectors", [[], [""], [" , "]])
def test_nothing_selected_is_refused(market: Market, selectors: list[str]) -> None:
    assert "no instruments were selected" in market.refusal(*selectors)


def test_without_nse_futures_fno_is_refused(tmp_path: Path) -> None:
    small = Market(master_of(tmp_path, [share("TCS", "INE467B01029")]), tmp_path)
    assert "no NSE futures" in small.refusal("fno")
    assert small.symbols("TCS") == ["TCS"]


@pytest.mark.parametrize(
    ("selectors", "kept", "left_out"),
    [
        (["RELIANCE", "@list.txt"], False, ["RENAMED", "NSE_FO|1", "RELAXO:opt", "HFCL:what"]),
        (["RELIANCE", "mine"], False, ["RENAMED"]),
        (["RELIANCE", "RENAMED"], True, ["RENAMED"]),
        (["mine:fut"], False, ["RENAMED:fut"]),
        (["RELIANCE"], False, []),
    ],
    ids=["a file", "a universe", "the configuration", "contracts of a universe", "nothing unknown"],
)
def test_what_a_list_has_that_means_nothing_today_does_not_cost_the_others(
    master: Master, tmp_path: Path, selectors: list[str], kept: bool, left_out: list[str]
) -> None:
    (tmp_path / "list.txt").write_text("RENAMED\nM&M\nNSE_FO|1\nRELAXO:opt\nHFCL:what\n")
    passed: list[str] = []
    found = resolve(
        selectors,
        master,
        today=TODAY,
        last_prices=lambda _keys: {},
        universes={"mine": ["RENAMED", "M&M"]},
        folder=tmp_path,
        kept=kept,
        left_out=passed,
    )
    assert found.instruments
    assert passed == left_out


@pytest.mark.parametrize(
    ("selectors", "kept"),
    [(["RENAMED", "@list.txt"], False), (["@renamed.txt"], False), (["RENAMED"], True), (["mine,RENAMED"], False)],
    ids=["given directly", "nothing is left of a file", "nothing is left at all", "beside a universe"],
)
def test_a_name_given_directly_and_a_list_of_which_nothing_is_left_are_refused(
    master: Master, tmp_path: Path, selectors: list[str], kept: bool
) -> None:
    (tmp_path / "list.txt").write_text("M&M\n")
    (tmp_path / "renamed.txt").write_text("RENAMED\n")
    with pytest.raises(UnknownSymbols, match="RENAMED"):
        resolve(
            selectors,
            master,
            today=TODAY,
            last_prices=lambda _keys: {},
            universes={"mine": ["M&M"]},
            folder=tmp_path,
            kept=kept,
            left_out=[],
        )
