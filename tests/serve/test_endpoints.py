"""The REST side of the simulated broker, over real sockets."""

import asyncio
import contextlib
import datetime as dt
import gzip
import json
import socket
import threading
import urllib.parse
from typing import Any

import pytest

from tests.clocks import SteppedClock, at
from tests.serve.fixtures import DEADLINE, NIFTY, RELIANCE, TCS, Answer, authorize, call, raw_status, simulated
from tickrec.clock import IST
from tickrec.errors import UsageError
from tickrec.serve.server import HOST, Server, Terms
from tickrec.serve.source import Moment
from tickrec.serve.synthetic.simulator import Settings, Simulator, Synthetic

AUTHORIZE = "/v3/feed/market-data-feed/authorize"
FILES = "/market-quote/instruments/exchange/"


async def get(
    path: str, *, token: str | None = "simulated", settings: dict[str, Any] | None = None, **query: str
) -> Answer:
    """One GET to a fresh simulator."""
    async with simulated(**(settings or {})) as (simulator, _):
        return await call(simulator, path, token=token, query=query)


class TestAuthorize:
    async def test_answers_a_fresh_address_in_both_spellings(self) -> None:
        answer = await get(AUTHORIZE)
        assert answer.status == 200
        assert answer.json["status"] == "success"
        data = answer.json["data"]
        assert data["authorized_redirect_uri"] == data["authorizedRedirectUri"]
        uri = urllib.parse.urlsplit(data["authorized_redirect_uri"])
        assert (uri.scheme, uri.hostname) == ("ws", HOST)
        assert uri.path == "/market-data-feeder/v3/upstox-developer-api/feeds"
        assert set(urllib.parse.parse_qs(uri.query)) == {"requestId", "code"}

    async def test_every_address_is_another(self) -> None:
        async with simulated() as (simulator, _):
            assert await authorize(simulator) != await authorize(simulator)

    @pytest.mark.parametrize("token", ["wrong", "", None])
    @pytest.mark.parametrize("path", [AUTHORIZE, "/v3/market-quote/ltp"])
    async def test_refuses_any_other_token(self, path: str, token: str | None) -> None:
        answer = await get(path, token=token, settings={"token": "simulated"})
        assert answer.status == 401
        assert answer.error_code == "UDAPI100050"

    @pytest.mark.parametrize("path", ["/v3", "/", "/v3/feed/nothing", FILES, "/market-data-feeder/v3/x"])
    async def test_an_unknown_path_is_not_found(self, path: str) -> None:
        answer = await get(path)
        assert answer.status == 404
        assert answer.error_code == "UDAPI100060"

    @pytest.mark.parametrize("target", ["//[", "http://[::1", "*", "/%00", "/../../etc/passwd", "/" + "x" * 8000])
    async def test_an_address_that_makes_no_sense_is_not_found(self, target: str) -> None:
        async with simulated() as (simulator, _):
            assert await raw_status(simulator, target, {"Host": "localhost"}) == 404

    async def test_every_answer_states_the_servers_time(self) -> None:
        answer = await get("/v3", settings={"clock": SteppedClock("2026-11-23T10:00:00")})
        assert answer.headers["Date"] == "Mon, 23 Nov 2026 04:30:00 GMT"

    @pytest.mark.parametrize(
        "sent",
        [
            b"nonsense\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: " + b"x" * 70_000,
            b"GET / HTTP/1.1\r\n" + b"A: x\r\n" * 10_000,
            b"POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n" + b"x" * 70_000,
            b"\x16\x03\x01" + bytes(200) + b"\r\n\r\n",
        ],
    )
    async def test_what_is_no_request_ends_its_connection_and_the_server_lives_on(self, sent: bytes) -> None:
        async with simulated() as (simulator, _):
            reader, writer = await asyncio.open_connection(HOST, simulator.port)
            writer.write(sent)
            with contextlib.suppress(ConnectionError):
                assert b" 200 " not in await reader.read()
            writer.close()
            assert (await call(simulator, "/v2/market/holidays")).status == 200

    async def test_a_port_that_is_taken_is_a_usage_error(self) -> None:
        with socket.create_server((HOST, 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(UsageError, match=str(port)):
                await Simulator(Settings(port=port, strikes=2, clock=SteppedClock())).start()

    async def test_listens_on_the_loopback_address_only(self) -> None:
        async with simulated() as (simulator, _):
            assert simulator.api_url == f"http://127.0.0.1:{simulator.port}"
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.2", simulator.port)


class TestMarketInformation:
    async def test_timings_of_any_date_are_the_whole_day(self) -> None:
        """Sunday 2026-11-22 as well: a simulated market can be recorded at any hour."""
        rows = (await get("/v2/market/timings/2026-11-22")).json["data"]
        assert {row["exchange"] for row in rows} == {"NSCOM", "CDS", "NFO", "BSE", "BCD", "BFO", "NSE", "MCX"}
        for row in rows:
            assert set(row) == {"exchange", "start_time", "end_time"}
            start, end = (dt.datetime.fromtimestamp(row[name] / 1000, IST) for name in ("start_time", "end_time"))
            assert (start.isoformat(), end.date()) == ("2026-11-22T00:00:00+05:30", dt.date(2026, 11, 22))
            assert (end.hour, end.minute) == (23, 59)

    async def test_timings_of_a_real_day(self) -> None:
        rows = (await get("/v2/market/timings/2026-09-24", settings={"always_open": False})).json["data"]
        times = {row["exchange"]: (row["start_time"], row["end_time"]) for row in rows}
        # The broker's own answer for that day.
        assert times["NSE"] == (1790221500000, 1790244000000)
        assert times["NFO"] == (1790221500000, 1790244600000)
        assert times["MCX"] == (1790220600000, 1790272800000)
        assert times["CDS"] == (1790220600000, 1790249400000)

    async def test_a_closed_day_has_no_timings_and_is_a_holiday(self) -> None:
        settings = {"always_open": False}
        assert (await get("/v2/market/timings/2026-11-24", settings=settings)).json["data"] == []
        (holiday,) = (await get("/v2/market/holidays/2026-11-24", settings=settings)).json["data"]
        assert holiday["date"] == "2026-11-24"
        assert "NSE" in holiday["closed_exchanges"]
        assert set(holiday) == {"date", "description", "holiday_type", "closed_exchanges", "open_exchanges"}
        assert len((await get("/v2/market/holidays", settings=settings)).json["data"]) > 10

    async def test_the_market_that_is_always_open_knows_no_holidays(self) -> None:
        assert (await get("/v2/market/holidays")).json == {"status": "success", "data": []}
        assert (await get("/v2/market/holidays/2026-11-24")).json["data"] == []

    async def test_status_of_an_exchange(self) -> None:
        answer = await get("/v2/market/status/NSE", token=None)
        assert answer.json["data"]["exchange"] == "NSE"
        assert answer.json["data"]["status"] == "NORMAL_OPEN"
        assert isinstance(answer.json["data"]["last_updated"], int)

    @pytest.mark.parametrize(
        ("path", "code"), [("/v2/market/status/NYSE", "UDAPI1089"), ("/v2/market/timings/tomorrow", "UDAPI1088")]
    )
    async def test_nonsense_is_refused(self, path: str, code: str) -> None:
        answer = await get(path)
        assert (answer.status, answer.error_code) == (400, code)


class TestInstruments:
    async def test_files_are_gzipped_json_arrays(self) -> None:
        rows = json.loads(gzip.decompress((await get(FILES + "MCX.json.gz", token=None)).body))
        assert {row["segment"] for row in rows} == {"MCX_FO", "MCX_INDEX"}

    async def test_others_are_answered_while_a_file_is_made(self) -> None:
        begun, answered = threading.Event(), threading.Event()

        class Slow(Synthetic):
            def instruments(self, exchange: str, _now: Moment) -> bytes | None:
                begun.set()
                return exchange.encode() if answered.wait(DEADLINE) else None

        settings = Settings(clock=SteppedClock(), strikes=2)
        async with Server(Slow(settings), Terms(clock=settings.clock)) as server:
            file = asyncio.create_task(call(server, FILES + "NSE.json.gz"))
            assert await asyncio.to_thread(begun.wait, DEADLINE)
            assert (await call(server, "/health")).status == 200
            answered.set()
            assert (await file).body == b"NSE"

    @pytest.mark.parametrize(("agent", "status"), [(b"", b"403"), (b"User-Agent: test\r\n", b"200")])
    async def test_a_client_without_a_name_is_refused(self, agent: bytes, status: bytes) -> None:
        async with simulated() as (simulator, _):
            reader, writer = await asyncio.open_connection(HOST, simulator.port)
            head = b"GET " + (FILES + "MCX.json.gz").encode() + b" HTTP/1.1\r\nHost: localhost\r\n" + agent
            writer.write(head + b"Connection: close\r\n\r\n")
            assert (await reader.readline()).split()[1] == status
            writer.close()

    @pytest.mark.parametrize("name", ["NYSE.json.gz", "NSE.csv.gz", "NSE"])
    async def test_other_files_are_not_there(self, name: str) -> None:
        assert (await get(FILES + name)).status == 404

    async def test_the_file_is_that_of_the_clocks_date(self) -> None:
        clock = SteppedClock("2026-12-30T10:00")
        rows = json.loads(gzip.decompress((await get(FILES + "MCX.json.gz", settings={"clock": clock})).body))
        expiries = [row["expiry"] for row in rows if "expiry" in row]
        assert min(expiries) >= at("2026-12-30T10:00") // 1_000_000


class TestQuotes:
    async def test_last_prices_are_keyed_by_symbol(self) -> None:
        answer = await get("/v3/market-quote/ltp", instrument_key=f"{RELIANCE},{NIFTY}")
        data = answer.json["data"]
        assert set(data) == {"NSE_EQ:RELIANCE", "NSE_INDEX:NIFTY"}
        row = data["NSE_EQ:RELIANCE"]
        assert row["instrument_token"] == RELIANCE
        assert 1000 < row["last_price"] < 2000
        assert set(row) == {"last_price", "instrument_token", "ltq", "volume", "cp"}

    async def test_one_unknown_key_fails_the_whole_request(self) -> None:
        answer = await get("/v3/market-quote/ltp", instrument_key=f"{RELIANCE},NSE_EQ|INE000000000")
        assert (answer.status, answer.error_code) == (400, "UDAPI100095")

    async def test_no_key_and_too_many_keys_are_refused(self) -> None:
        assert (await get("/v3/market-quote/ltp")).error_code == "UDAPI1087"
        many = ",".join(["K"] * 501)
        assert (await get("/v3/market-quote/ltp", instrument_key=many)).error_code == "UDAPI100043"

    async def test_prices_move_although_nobody_subscribes(self) -> None:
        async with simulated(interval=100) as (simulator, clock):
            seen = set()
            for _ in range(5):
                answer = await call(simulator, "/v3/market-quote/ltp", query={"instrument_key": TCS})
                (row,) = answer.json["data"].values()
                seen.add(row["last_price"])
                await clock.advance(600)
            assert len(seen) > 2
