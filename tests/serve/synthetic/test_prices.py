"""The synthetic market: its instruments, its hours, and values that behave like a market's."""

import datetime as dt
import functools
import gzip
import itertools
import json

import pytest

from tests import SAMPLES
from tests.clocks import at
from tests.serve.fixtures import NIFTY, RELIANCE, STRIKES
from tickrec.clock import IST
from tickrec.serve.subscriptions import SEGMENTS
from tickrec.serve.synthetic.listings import Listing, Master, master_of
from tickrec.serve.synthetic.market import Market, Wheel
from tickrec.serve.synthetic.messages import FeedEncoder, market_info_frame
from tickrec.serve.synthetic.phases import HOLIDAYS, Hours, Phase
from tickrec.serve.synthetic.prices import Security
from tickrec.serve.synthetic.records import FILES, master_file, record
from tickrec.serve.synthetic.stocks import stocks
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.decode.wire import frame

DATE = dt.date(2026, 11, 22)
RECORDS = json.loads((SAMPLES / "instrument_records.json").read_text())
NOW = at("2026-11-23T10:00:00")
INDICES = {
    "NIFTY": "NSE_INDEX|Nifty 50",
    "BANKNIFTY": "NSE_INDEX|Nifty Bank",
    "FINNIFTY": "NSE_INDEX|Nifty Fin Service",
    "MIDCPNIFTY": "NSE_INDEX|NIFTY MID SELECT",
    "NIFTYNXT50": "NSE_INDEX|Nifty Next 50",
    "SENSEX": "BSE_INDEX|SENSEX",
}


def master() -> Master:
    return master_of(DATE, STRIKES)


def find(symbol: str, segment: str = "NSE_FO") -> Listing:
    return next(x for x in master().listings.values() if x.symbol == symbol and x.segment == segment)


def kind(*kinds: str, segment: str = "NSE_FO") -> list[Listing]:
    return [x for x in master().listings.values() if x.kind in kinds and x.segment == segment]


class TestMaster:
    def test_keys_and_symbols_are_unique(self) -> None:
        shares = stocks()
        assert len({x.symbol for x in shares}) == len({x.isin for x in shares}) == len(shares)
        assert len({(x.segment, x.symbol) for x in master().listings.values()}) == len(master().listings)

    def test_lists_the_underlyings_of_the_real_exchange_with_three_futures_each(self) -> None:
        futures = [x for x in kind("FUT") if "NSETEST" not in x.symbol]
        by_underlying = {key: list(rows) for key, rows in itertools.groupby(futures, lambda x: x.underlying_key)}
        assert 205 <= len(by_underlying) <= 220
        assert {len(rows) for rows in by_underlying.values()} == {3}
        assert all(key in master().listings for key in by_underlying)
        assert {INDICES[name] for name in INDICES if name != "SENSEX"} < set(by_underlying)

    def test_contracts_expire_at_one_second_to_midnight_on_a_trading_day(self) -> None:
        contracts = [x for x in master().listings.values() if x.expiry_ms and "NSETEST" not in x.symbol]
        moments = {dt.datetime.fromtimestamp(x.expiry_ms / 1000, IST) for x in contracts}
        assert {moment.time() for moment in moments} == {dt.time(23, 59, 59)}
        assert all(moment.weekday() < 5 and moment.date() not in HOLIDAYS for moment in moments)
        assert all(moment.date() >= DATE for moment in moments)

    def test_a_contract_that_would_expire_on_a_holiday_expires_the_day_before(self) -> None:
        """The last Tuesday of November 2026 is a holiday."""
        assert [x.symbol for x in kind("FUT") if x.underlying_symbol == "RELIANCE"] == [
            "RELIANCE FUT 23 NOV 26",
            "RELIANCE FUT 29 DEC 26",
            "RELIANCE FUT 25 JAN 27" if dt.date(2027, 1, 26) in HOLIDAYS else "RELIANCE FUT 26 JAN 27",
        ]

    def test_a_living_contract_keeps_its_key_from_day_to_day(self) -> None:
        tomorrow = master_of(dt.date(2026, 11, 23), STRIKES)
        changed = [x.symbol for x in master().listings.values() if x.expiry_ms and tomorrow.listings.get(x.key) != x]
        assert changed == []

    @pytest.mark.parametrize(
        ("sample", "symbol", "segment"),
        [
            pytest.param("EQ", "RELIANCE", "NSE_EQ", id="share"),
            pytest.param("BSE_EQ", "RELIANCE", "BSE_EQ", id="share on BSE"),
            pytest.param("FUT", "RELIANCE FUT 29 DEC 26", "NSE_FO", id="future"),
            pytest.param("FUT_INDEX", "NIFTY FUT 29 DEC 26", "NSE_FO", id="index future"),
            pytest.param("OPT", "NIFTY 25950 CE 01 DEC 26", "NSE_FO", id="option"),
            pytest.param("INDEX", "NIFTY", "NSE_INDEX", id="index"),
        ],
    )
    def test_records_have_the_fields_and_types_of_the_brokers(self, sample: str, symbol: str, segment: str) -> None:
        ours, theirs = record(find(symbol, segment)), RECORDS[sample]
        assert {name: type(value) for name, value in ours.items()} == {name: type(x) for name, x in theirs.items()}

    def test_records_of_commodities_add_to_those_of_other_contracts(self) -> None:
        """The sample is older than the fields `weekly`, `minimum_lot` and `qty_multiplier`."""
        ours, theirs = record(kind("PE", segment="MCX_FO")[0]), RECORDS["MCX_OPT"] | RECORDS["OPT"]
        assert {name: type(value) for name, value in ours.items()} == {name: type(x) for name, x in theirs.items()}

    def test_reliance_is_stated_as_by_the_broker(self) -> None:
        ours, theirs = record(master().listings[RELIANCE]), RECORDS["EQ"]
        assert {**ours, "short_name": "Reliance"} == theirs

    @pytest.mark.parametrize("name", FILES)
    def test_each_file_holds_its_exchange(self, name: str) -> None:
        one_of_each = {each.segment: each for each in master().listings.values()}
        rows = json.loads(gzip.decompress(master_file(name, one_of_each.values())))
        exchanges = {row["exchange"] for row in rows}
        assert exchanges == ({"NSE", "BSE", "MCX"} if name == "complete" else {name})


class TestHours:
    real = Hours(always_open=False)

    @pytest.mark.parametrize(
        ("segment", "time", "phase"),
        [
            ("NSE_EQ", "08:59:59", Phase.CLOSED),
            ("NSE_EQ", "09:00:00", Phase.PRE_OPEN),
            ("NSE_EQ", "09:10:00", Phase.CLOSED),
            ("NSE_EQ", "09:15:00", Phase.OPEN),
            ("NSE_EQ", "15:14:59", Phase.OPEN),
            ("NSE_EQ", "15:15:00", Phase.CLOSING_AUCTION),
            ("NSE_EQ", "15:35:00", Phase.CLOSED),
            ("NSE_EQ", "15:50:00", Phase.OPEN),
            ("NSE_EQ", "16:00:00", Phase.CLOSED),
            ("NSE_FO", "09:05:00", Phase.CLOSED),
            ("NSE_FO", "15:39:59", Phase.OPEN),
            ("NSE_FO", "15:40:00", Phase.CLOSED),
            ("NSE_INDEX", "15:59:59", Phase.OPEN),
            ("MCX_FO", "23:54:59", Phase.OPEN),
            ("MCX_FO", "23:55:00", Phase.CLOSED),
            ("NCD_FO", "16:59:59", Phase.OPEN),
        ],
    )
    def test_phases_of_a_real_day(self, segment: str, time: str, phase: Phase) -> None:
        assert self.real.phase(segment, at(f"2026-11-23T{time}"), closing_auction=True) is phase

    def test_a_share_outside_the_closing_auction_trades_until_half_past_three(self) -> None:
        assert self.real.phase("NSE_EQ", at("2026-11-23T15:29:59")) is Phase.OPEN
        assert self.real.phase("NSE_EQ", at("2026-11-23T15:30:00")) is Phase.CLOSED

    @pytest.mark.parametrize("date", ["2026-11-22", "2026-11-24"], ids=["Sunday", "holiday"])
    def test_nothing_trades_on_a_closed_day(self, date: str) -> None:
        moment = at(f"{date}T11:00")
        assert {self.real.phase(segment, moment) for segment in SEGMENTS} == {Phase.CLOSED}
        assert self.real.timings_body(dt.date.fromisoformat(date)) == []

    def test_the_market_that_is_always_open_is_open_on_a_sunday_night(self) -> None:
        always, moment = Hours(always_open=True), at("2026-11-22T23:59:59")
        assert {always.phase(segment, moment) for segment in SEGMENTS} == {Phase.OPEN}
        assert set(always.market_info(moment).segmentStatus.values()) == {2}
        # The size that market_info messages of eleven open segments have on the broker's wire.
        assert len(market_info_frame(always.market_info(moment), moment // 1_000_000)) == 154

    def test_market_info_follows_the_day(self) -> None:
        def words(time: str) -> tuple[int, int, str, str]:
            info = self.real.market_info(at(f"2026-11-23T{time}"))
            assert set(info.segmentStatus) == set(SEGMENTS)
            pre, cas = info.preOpenSessionStatus, info.casMarketStatus
            return (
                info.segmentStatus["NSE_EQ"],
                info.segmentStatus["NSE_FO"],
                pre["NSE_EQ"].status if "NSE_EQ" in pre else "",
                cas["NSE_EQ"].status if "NSE_EQ" in cas else "",
            )

        assert [words(time) for time in ("08:00", "09:01", "09:06", "09:10", "09:15", "15:16", "15:21", "15:36")] == [
            (5, 3, "", ""),
            (0, 3, "PRE_OPEN_START", ""),
            (0, 3, "PRE_OPEN_M_END", ""),
            (1, 3, "PRE_OPEN_END", ""),
            (2, 2, "", ""),
            (2, 2, "", "CTS_CLOSE"),
            (2, 2, "", "CAS_LM_START"),
            (3, 2, "", "CAS_STOP"),
        ]


def market(seed: int = 1) -> Market:
    return Market(seed, Hours(always_open=True), NOW, strikes=STRIKES)


@functools.cache
def watched(key: str, updates: int = 500, every_ms: int = 400) -> tuple[Security, list[pb.Feed]]:
    """An instrument, and its full feeds over some updates."""
    security = market().security(key, NOW)
    assert security is not None
    encoder, feeds = FeedEncoder(security, "full"), []
    now = NOW // 1_000_000
    for _ in range(updates):
        now += every_ms
        security.move(now)
        response = pb.FeedResponse.FromString(frame([encoder.entry(Phase.OPEN, now)], now, snapshot=False))
        assert response.currentTs == now
        feeds.append(response.feeds[key])
    return security, feeds


@pytest.fixture
def listing(request: pytest.FixtureRequest) -> Listing:
    """Found when a test runs: every process that collects this module would make all of the market."""
    return find(*request.param)


KINDS = [
    pytest.param(("RELIANCE", "NSE_EQ"), id="share"),
    pytest.param(("NIFTY 25950 CE 01 DEC 26", "NSE_FO"), id="index option"),
    pytest.param(("GOLDM FUT 05 FEB 27", "MCX_FO"), id="commodity"),
]


@pytest.mark.parametrize("listing", KINDS, indirect=True)
class TestValues:
    def test_volume_only_grows_and_by_more_than_the_last_trade_at_times(self, listing: Listing) -> None:
        _, feeds = watched(listing.key)
        full = [x.fullFeed.marketFF for x in feeds]
        growth = [(b.vtt - a.vtt, b.ltpc.ltq) for a, b in itertools.pairwise(full)]
        assert min(grown for grown, _ in growth) >= 0
        assert any(grown > ltq for grown, ltq in growth)
        assert {grown % listing.lot for grown, _ in growth} == {0}
        assert {ltq % listing.lot for _, ltq in growth} == {0}

    def test_books_are_sorted_with_bids_below_asks(self, listing: Listing) -> None:
        _, feeds = watched(listing.key)
        books = [x.fullFeed.marketFF.marketLevel.bidAskQuote for x in feeds]
        for book in books:
            assert len(book) == 5
            bids = [q.bidP for q in book if q.bidP]
            asks = [q.askP for q in book]
            assert bids == sorted(bids, reverse=True)
            assert asks == sorted(asks)
            assert len(set(asks)) == 5
            assert not bids or bids[0] < asks[0]
            assert all(q.askQ > 0 and (q.bidQ > 0) == (q.bidP > 0) for q in book)

    def test_bars_hold_together(self, listing: Listing) -> None:
        _, feeds = watched(listing.key)
        for feed in feeds:
            full = feed.fullFeed.marketFF
            day, minute = full.marketOHLC.ohlc
            assert (day.interval, minute.interval) == ("1d", "I1")
            assert day.ts == at("2026-11-23T00:00") // 1_000_000
            for bar in (day, minute):
                assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
            assert day.close == full.ltpc.ltp
            assert day.low - 0.01 <= full.atp <= day.high + 0.01

    def test_only_contracts_have_open_interest_and_only_options_greeks(self, listing: Listing) -> None:
        _, feeds = watched(listing.key, 20)
        full = feeds[-1].fullFeed.marketFF
        option = listing.kind in ("CE", "PE")
        assert (full.oi > 0) == bool(listing.expiry_ms)
        assert full.HasField("optionGreeks")
        assert (full.optionGreeks.delta != 0) == (full.iv > 0) == option
        assert full.casEligible == listing.closing_auction
        assert (full.iep, full.rp, full.ieq, full.iiqTotal, full.iiqM) == (0, 0, 0, 0, 0)
        assert not full.ltpc.HasField("iep")


class TestMarket:
    def test_an_index_has_neither_volume_nor_book_and_ticks_in_whole_seconds(self) -> None:
        _, feeds = watched(NIFTY, 500)
        indices = [x.fullFeed.indexFF for x in feeds]
        assert {x.WhichOneof("FeedUnion") for x in feeds} == {"fullFeed"}
        assert all(x.ltpc.ltt % 1000 == 0 and x.ltpc.ltq == 0 and x.ltpc.cp > 0 for x in indices)
        assert {bar.vol for x in indices for bar in x.marketOHLC.ohlc} == {0}
        assert len({x.ltpc.ltp for x in indices}) > 100

    def test_the_same_seed_gives_the_same_market(self) -> None:
        def run(seed: int) -> list[bytes]:
            ours = market(seed)
            securities = [ours.security(key, NOW) for key in (RELIANCE, NIFTY, find("NIFTY 25950 CE 01 DEC 26").key)]
            encoders = [FeedEncoder(x, "full") for x in securities if x]
            wheel = Wheel([x for x in securities if x], seed)
            out = []
            for step in range(50):
                wall = NOW + step * 250_000_000
                ours.move(wheel.take(2), wall)
                out += [encoder.entry(Phase.OPEN, wall // 1_000_000) for encoder in encoders]
            return out

        assert run(7) == run(7)
        assert run(7) != run(8)

    def test_the_first_price_does_not_depend_on_who_asked_before(self) -> None:
        one, other = market(), market()
        other.security(NIFTY, NOW)
        first, second = one.security(RELIANCE, NOW), other.security(RELIANCE, NOW)
        assert first is not None
        assert second is not None
        assert (first.ltp, first.cp, first.vtt) == (second.ltp, second.cp, second.vtt)

    def test_a_new_date_starts_volumes_again_from_yesterdays_close(self) -> None:
        ours = market()
        security = ours.security(RELIANCE, NOW)
        assert security is not None
        close, volume = security.ltp, security.vtt
        midnight = at("2026-11-24T00:00:01")
        ours.turn(midnight)
        assert ours.master.date == dt.date(2026, 11, 24)
        assert security.cp == close
        assert security.vtt < volume / 100
        security.move(midnight // 1_000_000)
        assert security.day.start == at("2026-11-24T00:00") // 1_000_000

    def test_an_unknown_key_has_no_state(self) -> None:
        assert market().security("NSE_EQ|INE000000000", NOW) is None

    def test_before_the_open_values_are_those_of_the_last_session(self) -> None:
        early = at("2026-11-23T08:00")
        ours = Market(1, Hours(always_open=False), early, strikes=STRIKES)
        security = ours.security(RELIANCE, early)
        assert security is not None
        assert at("2026-11-20T09:15") <= security.ltt * 1_000_000 <= at("2026-11-20T15:30")
        assert security.vtt > 0
        assert ours.move([security], early) == []
