"""The REST calls, against the simulated broker and a scripted server on a real port."""

import asyncio
import datetime as dt
import gc
import gzip
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.upstox.feed_fixtures import AUTHORIZE, NIFTY, RELIANCE, SECRET
from tests.upstox.rest_fixtures import Answer, Script, running
from tickrec import __version__
from tickrec.errors import ExitCode, UsageError
from tickrec.serve.synthetic.simulator import Settings, Simulator
from tickrec.upstox.auth import Token
from tickrec.upstox.protocol import Situation, Verdict, classify
from tickrec.upstox.rest import MASTER, Rest, RestError

TOKEN = Token(SECRET)


@pytest.fixture
def script() -> Iterator[Script]:
    with running() as script:
        yield script


@pytest.fixture
def rest(script: Script) -> Rest:
    return Rest(script.url, script.url, timeout=5)


def refusal(rest: Rest) -> RestError:
    """The error of an authorize call."""
    with pytest.raises(RestError) as caught:
        rest.authorize(TOKEN)
    assert SECRET not in f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert caught.value.where.endswith(AUTHORIZE)
    return caught.value


@pytest.mark.parametrize("name", ["authorized_redirect_uri", "authorizedRedirectUri"])
def test_authorize_takes_either_spelling(script: Script, rest: Rest, name: str) -> None:
    script.says({"status": "success", "data": {name: "wss://feeds.example.com/x?code=1"}})
    assert rest.authorize(TOKEN) == "wss://feeds.example.com/x?code=1"
    method, path, headers, _ = script.requests[0]
    assert (method, path) == ("GET", AUTHORIZE)
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert headers["Accept"] == "application/json"
    assert headers["User-Agent"] == f"tickrec/{__version__}"


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": {}}, {"data": {"authorized_redirect_uri": 7}}, [], "x"])
def test_authorize_without_an_address_is_an_error(script: Script, rest: Rest, body: object) -> None:
    script.says(body)
    assert refusal(rest).failure.situation is Situation.BAD_ANSWER


@pytest.mark.parametrize("uri", ["ws://feeds.example.com/x", "https://feeds.example.com/x", "ftp://127.0.0.1/x", "x"])
def test_authorize_refuses_addresses_that_are_not_safe(script: Script, rest: Rest, uri: str) -> None:
    script.says({"data": {"authorized_redirect_uri": f"{uri}?code=c0de"}})
    error = refusal(rest)
    assert error.failure.situation is Situation.BAD_URI
    assert "c0de" not in str(error)


def test_errors_are_told_in_the_brokers_words(script: Script, rest: Rest) -> None:
    body = {"status": "error", "errors": [{"errorCode": "UDAPI100050", "message": f"Invalid\n token {SECRET} used"}]}
    script.says(body, 401)
    error = refusal(rest)
    assert error.status == 401
    host = rest.api_url.removeprefix("http://")
    said = f"401 on authorize: UDAPI100050 Invalid token [hidden] used ({host}{AUTHORIZE})"
    assert str(error) == f"{said}. Run `tickrec login`, or set UPSTOX_ACCESS_TOKEN"
    assert error.code is ExitCode.TOKEN


def test_any_error_body_is_read(script: Script, rest: Rest) -> None:
    for status, body, reason in (
        (429, b'{"errors":[{"error_code":"UDAPI10005","message":"Too many"}]}', "UDAPI10005 Too many"),
        (403, b"<html><p>error code: 1010</p></html>", "error code: 1010"),
        (503, b"", ""),
        (500, b"[" * 100_000, ""),
        (400, b'{"errors":[]}', ""),
        (400, b'{"errors":[7]}', ""),
        (400, b'{"errors":[{"message":null}]}', ""),
        (400, b"\xff\xfe", ""),
    ):
        script.answer = lambda path, status=status, body=body: (status, {}, body)  # type: ignore[misc]
        error = refusal(rest)
        assert error.failure.reason.startswith(f"{status} on authorize" + (f": {reason}" if reason else ""))
        assert error.code is ExitCode.UNREACHABLE
        del error
    gc.collect()  # a connection that is left open is a warning now


def test_an_answer_that_is_no_json_is_an_error(script: Script, rest: Rest) -> None:
    script.answer = lambda path: (200, {}, b"<html>")
    assert refusal(rest).failure.situation is Situation.BAD_ANSWER


def test_an_answer_that_breaks_off_is_an_error(script: Script, rest: Rest) -> None:
    script.answer = lambda path: (200, {"Content-Length": "100"}, b'{"data":')
    assert refusal(rest).failure.situation in (Situation.BAD_ANSWER, Situation.RESET)


def test_nobody_there_is_an_error_with_a_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    assert refusal(Rest(url, url)).failure.reason == "connection refused on authorize"


@pytest.mark.parametrize(
    ("status", "advice"),
    [(0, "tickrec doctor"), (403, "in some minutes"), (503, "in some minutes"), (404, "assets_url")],
)
def test_a_failed_download_names_the_host_and_says_what_to_do(
    script: Script, rest: Rest, status: int, advice: str, tmp_path: Path
) -> None:
    script.answer = lambda path: (status, {}, b"no")
    if not status:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
        rest = Rest(url, url)
    with pytest.raises(RestError) as caught:
        rest.download_master(tmp_path / "master")
    assert rest.assets_url.removeprefix("http://") + "/market-quote" in str(caught.value)
    assert advice in caught.value.hint


def test_a_server_that_says_nothing_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert refusal(Rest(url, url, timeout=0.1)).failure.reason == "timed out on authorize"


def test_a_server_that_hangs_up_is_an_error_with_a_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.recv(65536)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert refusal(Rest(url, url)).failure.reason == "connection reset on authorize"
        thread.join()


@pytest.mark.parametrize("url", ["http://api.example.com", "ftp://127.0.0.1", "api.example.com", ""])
def test_plain_http_is_for_loopback_only(url: str) -> None:
    for urls in ((url, "https://a.example.com"), ("https://a.example.com", url)):
        with pytest.raises(UsageError):
            Rest(*urls)


def test_the_token_does_not_follow_a_redirect_to_another_host(script: Script, rest: Rest) -> None:
    with running() as other:
        script.answer = lambda path: (302, {"Location": f"{other.url}/elsewhere"}, b"")
        error = refusal(rest)
        assert not other.requests
    assert error.failure.reason == "302 on authorize"


def test_a_redirect_on_the_same_host_is_followed(script: Script, rest: Rest) -> None:
    body = json.dumps({"data": {"authorized_redirect_uri": "wss://x.example.com/"}}).encode()
    script.answer = lambda path: (302, {"Location": "/moved"}, b"") if path == AUTHORIZE else (200, {}, body)
    assert rest.authorize(TOKEN) == "wss://x.example.com/"
    assert script.requests[1][2]["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("target", ["http://assets.example.com/x", "file:///etc/passwd"])
def test_no_redirect_leads_out_of_tls(script: Script, rest: Rest, target: str, tmp_path: Path) -> None:
    script.answer = lambda path: (302, {"Location": target}, b"")
    with pytest.raises(RestError, match="302"):
        rest.download_master(tmp_path / "master")


@pytest.mark.parametrize("target", ["https://[captive/", "http://[::1", "//[x]:port/", "https://a b:c/"])
def test_a_redirect_to_what_is_no_address_is_a_broker_that_cannot_be_asked(
    script: Script, rest: Rest, target: str, tmp_path: Path
) -> None:
    script.answer = lambda path: (302, {"Location": target}, b"")
    for ask in (rest.holidays, lambda: rest.authorize(TOKEN), lambda: rest.download_master(tmp_path / "master")):
        with pytest.raises(RestError) as caught:
            ask()
        assert classify(caught.value.failure) is Verdict.RETRY


def test_a_proxy_that_is_no_address_is_a_broker_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http:/proxy")
    with pytest.raises(RestError) as caught:
        Rest("https://api.example.com", "https://assets.example.com").holidays()
    assert classify(caught.value.failure) is Verdict.RETRY


def test_a_proxy_is_not_asked_for_loopback(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    script.says({"data": []})
    assert Rest(script.url, script.url).holidays() == []


def test_market_data_bodies_are_unpacked(script: Script, rest: Rest) -> None:
    script.says({"status": "success", "data": [{"date": "2026-11-24"}, 7]})
    assert rest.holidays() == [{"date": "2026-11-24"}]
    assert rest.timings(dt.date(2026, 11, 24)) == [{"date": "2026-11-24"}]
    assert [path for _, path, _, _ in script.requests] == [
        "/v2/market/holidays",
        "/v2/market/timings/2026-11-24",
    ]
    assert not any("Authorization" in headers for _, _, headers, _ in script.requests)


def test_a_body_of_the_wrong_shape_is_an_error(script: Script, rest: Rest) -> None:
    script.says({"data": {}})
    with pytest.raises(RestError, match="makes no sense"):
        rest.holidays()


def test_last_prices_are_asked_for_in_batches_and_named_by_key(script: Script, rest: Rest) -> None:
    def answer(path: str) -> Answer:
        keys = parse_qs(urlsplit(path).query)["instrument_key"][0].split(",")
        quotes: dict[str, Any] = {f"NSE_EQ:S{key}": {"instrument_token": key, "last_price": 10.5} for key in keys}
        quotes["NSE_EQ:ODD"] = {"instrument_token": None, "last_price": 1}
        return 200, {}, json.dumps({"status": "success", "data": quotes}).encode()

    script.answer = answer
    keys = [f"NSE_EQ|INE{number:06}&%" for number in range(1201)]
    assert rest.last_prices(TOKEN, keys) == dict.fromkeys(keys, 10.5)
    assert len(script.requests) == 3


def test_a_key_that_the_broker_refuses_costs_no_other_its_price(script: Script, rest: Rest) -> None:
    bad = {"K7", "K30"}

    def answer(path: str) -> Answer:
        keys = parse_qs(urlsplit(path).query)["instrument_key"][0].split(",")
        if bad.intersection(keys):
            return 400, {}, b'{"errors":[{"error_code":"UDAPI100095","message":"Invalid instrument key"}]}'
        quotes = {f"NSE_EQ:S{key}": {"instrument_token": key, "last_price": 10.5} for key in keys}
        return 200, {}, json.dumps({"status": "success", "data": quotes}).encode()

    script.answer = answer
    keys = [f"K{number}" for number in range(40)]
    assert rest.last_prices(TOKEN, keys) == dict.fromkeys([key for key in keys if key not in bad], 10.5)
    bad.update(keys)
    with pytest.raises(RestError, match="UDAPI100095"):
        rest.last_prices(TOKEN, keys)


def test_no_keys_need_no_request(script: Script, rest: Rest) -> None:
    assert rest.last_prices(TOKEN, []) == {}
    assert not script.requests


@pytest.mark.parametrize("status", [200, 404, 500])
def test_the_brokers_clock_is_in_any_answer(script: Script, rest: Rest, status: int) -> None:
    script.says({"data": {}}, status)
    skew = dt.datetime.now(dt.UTC) - rest.server_date()
    assert abs(skew) < dt.timedelta(minutes=5)


def test_a_login_code_is_exchanged_for_a_token(script: Script, rest: Rest) -> None:
    script.says({"access_token": SECRET, "user_id": "AB1234"})
    assert rest.exchange_code("c0de", "id", "s3cret", "http://127.0.0.1:1/cb") == TOKEN
    method, path, headers, body = script.requests[0]
    assert (method, path) == ("POST", "/v2/login/authorization/token")
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(body.decode()) == {
        "code": ["c0de"],
        "client_id": ["id"],
        "client_secret": ["s3cret"],
        "redirect_uri": ["http://127.0.0.1:1/cb"],
        "grant_type": ["authorization_code"],
    }


@pytest.mark.parametrize("status", [400, 401])
def test_a_refused_login_shows_neither_code_nor_secret(script: Script, rest: Rest, status: int) -> None:
    script.says({"errors": [{"errorCode": "UDAPI100057", "message": "Invalid c0de, s3cret"}]}, status)
    with pytest.raises(RestError) as caught:
        rest.exchange_code("c0de", "id", "s3cret", "http://127.0.0.1:1/cb")
    assert "UDAPI100057" in str(caught.value)
    assert caught.value.code is ExitCode.TOKEN
    assert "client_secret" in caught.value.hint
    assert "c0de" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_login_without_a_token_in_the_answer_is_an_error(script: Script, rest: Rest) -> None:
    script.says({"status": "success"})
    with pytest.raises(RestError, match="no access_token"):
        rest.exchange_code("c0de", "id", "s3cret", "http://127.0.0.1:1/cb")


def test_the_master_is_stored_whole(script: Script, rest: Rest, tmp_path: Path) -> None:
    content = gzip.compress(json.dumps([{"instrument_key": f"NSE_EQ|{n}"} for n in range(20_000)]).encode(), 0)
    script.answer = lambda path: (200, {}, content)
    seen: list[tuple[int, int | None]] = []
    rest.download_master(tmp_path / "in" / "master.json.gz", lambda received, total: seen.append((received, total)))
    assert (tmp_path / "in" / "master.json.gz").read_bytes() == content
    assert seen[-1] == (len(content), len(content))
    assert len(seen) > 1
    assert script.requests[0][1] == MASTER
    assert script.requests[0][2]["User-Agent"] == f"tickrec/{__version__}"
    assert "Authorization" not in script.requests[0][2]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((200, {"Content-Length": "1000"}, gzip.compress(b"[]")), "dropped without a goodbye: .. of 1,000 bytes came"),
        ((200, {}, b"<html>maintenance</html>"), "not a gzip file"),
        ((200, {}, b""), "0 of 0 bytes came"),
        ((403, {}, b"Forbidden"), "403"),
    ],
)
def test_a_master_that_is_not_whole_leaves_the_old_one(
    script: Script, rest: Rest, tmp_path: Path, answer: Answer, reason: str
) -> None:
    path = tmp_path / "master.json.gz"
    path.write_bytes(b"yesterday")
    script.answer = lambda _path: answer
    with pytest.raises(RestError, match=reason):
        rest.download_master(path)
    assert path.read_bytes() == b"yesterday"
    assert [each.name for each in tmp_path.iterdir()] == ["master.json.gz"]


async def test_the_simulated_broker_is_understood(tmp_path: Path) -> None:
    async with Simulator(Settings(token=SECRET, strikes=2)) as simulator:
        rest = Rest(simulator.api_url, simulator.api_url)
        uri = await asyncio.to_thread(rest.authorize, TOKEN)
        assert uri.startswith(f"ws://127.0.0.1:{simulator.port}/")
        prices = await asyncio.to_thread(rest.last_prices, TOKEN, [RELIANCE[0], NIFTY[0]])
        assert set(prices) == {RELIANCE[0], NIFTY[0]}
        assert min(prices.values()) > 0
        assert isinstance(await asyncio.to_thread(rest.holidays), list)
        assert await asyncio.to_thread(rest.timings, dt.date(2026, 11, 23))
        await asyncio.to_thread(rest.download_master, tmp_path / "master.json.gz")
        with pytest.raises(RestError, match="UDAPI100050"):
            await asyncio.to_thread(rest.authorize, Token("wrong"))
    keys = {row["instrument_key"] for row in json.loads(gzip.decompress((tmp_path / "master.json.gz").read_bytes()))}
    assert RELIANCE[0] in keys
