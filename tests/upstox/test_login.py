"""The login: the browser's way round, pasting, and what is stored in the end."""

import contextlib
import http.client
import queue
import re
import socket
import stat
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.upstox.feed_fixtures import SECRET
from tests.upstox.rest_fixtures import Script, ist_ns, jwt, running
from tickrec.config import Secret, UpstoxConfig
from tickrec.errors import TokenError, UsageError
from tickrec.upstox.auth import Token, TokenSource
from tickrec.upstox.login import App, Talk, code_of, dialog_url, log_in, store_analytics_token
from tickrec.upstox.rest import Rest, RestError

NOON = ist_ns(2026, 11, 23, 12, 0)


class Person:
    """Somebody at the terminal: reads what is said, pastes lines, follows the dialog's address in a browser."""

    def __init__(self, *pastes: str) -> None:
        self.heard: list[str] = []
        self.lines: queue.Queue[str] = queue.Queue()
        self.opened: queue.Queue[str] = queue.Queue()
        for line in pastes:
            self.lines.put(line)

    def talk(self, **options: Any) -> Talk:
        def read() -> str:
            return self.lines.get()

        def open_page(url: str) -> bool:
            self.opened.put(url)
            return True

        return Talk(**{"say": self.heard.append, "read": read, "open_page": open_page, "patience": 10, **options})

    @property
    def state(self) -> str:
        return parse_qs(urlsplit(self.opened.get(timeout=10)).query)["state"][0]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def broker() -> Iterator[Script]:
    with running() as script:
        script.says({"access_token": SECRET})
        yield script


def config(tmp_path: Path, **settings: Any) -> UpstoxConfig:
    defaults: dict[str, Any] = {
        "token_file": tmp_path / "tickrec" / "token",
        "client_id": "app",
        "client_secret": Secret("s3cret"),
        "redirect_uri": f"http://127.0.0.1:{free_port()}/callback",
    }
    return UpstoxConfig(**{**defaults, **settings})


def values_of(settings: UpstoxConfig) -> tuple[App, Path]:
    """What a login takes of the configuration."""
    secret = settings.client_secret.reveal() if settings.client_secret else None
    return App(
        client_id=settings.client_id, client_secret=secret, redirect_uri=settings.redirect_uri
    ), settings.token_file


def stored(settings: UpstoxConfig) -> str:
    return TokenSource(settings, {}).read().reveal()


@contextlib.contextmanager
def browser(person: Person, settings: UpstoxConfig, query: str) -> Iterator[list[tuple[int, str]]]:
    """Go back to the redirect address once the dialog was opened; status and text of each page."""
    pages: list[tuple[int, str]] = []

    def visit() -> None:
        state = person.state
        for each in query.split():
            url = settings.redirect_uri + each.replace("STATE", state)
            try:
                with urllib.request.urlopen(url, timeout=10) as page:
                    pages.append((page.status, page.read().decode()))
            except HTTPError as error:
                pages.append((error.code, error.read().decode()))

    thread = threading.Thread(target=visit)
    thread.start()
    try:
        yield pages
    finally:
        thread.join(10)


def test_the_browser_brings_the_code_back(broker: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings, person = config(tmp_path), Person()
    with browser(person, settings, "?code=c0de&state=STATE") as pages:
        token = log_in(*values_of(settings), Rest(broker.url, broker.url), {}, person.talk())
    assert token == Token(SECRET)
    assert stored(settings) == SECRET
    assert parse_qs(broker.requests[0][3].decode())["code"] == ["c0de"]
    assert pages[0][0] == 200
    assert "can be closed" in pages[0][1]
    if sys.platform != "win32":
        assert stat.S_IMODE(settings.token_file.stat().st_mode) == 0o600
    said = "".join(person.heard) + "".join(capfd.readouterr())
    assert not [secret for secret in (SECRET, "s3cret", "c0de") if secret in said]


def test_visits_that_are_not_of_this_login_change_nothing(broker: Script, tmp_path: Path) -> None:
    settings, person = config(tmp_path), Person()
    visits = "/favicon.ico ?code=evil&state=other ?code=evil ?error=denied ?code=c0de&state=STATE"
    with browser(person, settings, visits) as pages:
        log_in(*values_of(settings), Rest(broker.url, broker.url), {}, person.talk())
    assert [status for status, _ in pages] == [404, 400, 400, 400, 200]
    assert parse_qs(broker.requests[0][3].decode())["code"] == ["c0de"]


def test_a_spare_connection_of_the_browser_does_not_hold_the_login_up(broker: Script, tmp_path: Path) -> None:
    settings, person = config(tmp_path), Person()
    parts = urlsplit(settings.redirect_uri)
    spare: list[http.client.HTTPConnection] = []

    def open_page(url: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", parts.port or 0, timeout=10)
        connection.connect()
        spare.append(connection)
        person.opened.put(url)
        return True

    with browser(person, settings, "?code=c0de&state=STATE"):
        log_in(*values_of(settings), Rest(broker.url, broker.url), {}, person.talk(open_page=open_page))
    spare[0].close()
    assert stored(settings) == SECRET


def test_a_user_who_refuses_ends_the_login(broker: Script, tmp_path: Path) -> None:
    settings, person = config(tmp_path), Person()
    visit = "?error=access_denied&error_description=no+thanks&state=STATE"
    with browser(person, settings, visit), pytest.raises(TokenError, match="did not grant the login") as caught:
        log_in(*values_of(settings), Rest(broker.url, broker.url), {}, person.talk())
    assert caught.value.where == "access_denied no thanks"
    assert not settings.token_file.exists()


def test_the_address_can_be_pasted_when_the_browser_is_elsewhere(broker: Script, tmp_path: Path) -> None:
    settings, person = config(tmp_path), Person()

    def open_page(url: str) -> bool:
        state = parse_qs(urlsplit(url).query)["state"][0]
        person.lines.put(f"  {settings.redirect_uri}?code=c0de&state={state}\n")
        return False

    log_in(*values_of(settings), Rest(broker.url, broker.url), {}, person.talk(open_page=open_page))
    assert stored(settings) == SECRET
    assert any(broker.url in line for line in person.heard)


def test_wrong_pastes_are_told_and_can_be_repeated(broker: Script, tmp_path: Path) -> None:
    settings = config(tmp_path, redirect_uri="https://example.com/callback")
    person = Person("https://example.com/callback\n", "https://example.com/?code=x&state=other\n", "c0de\n")
    log_in(*values_of(settings), Rest(broker.url, broker.url), {}, person.talk())
    assert [line for line in person.heard if "no login code" in line]
    assert [line for line in person.heard if "another login" in line]
    assert parse_qs(broker.requests[0][3].decode())["code"] == ["c0de"]


def test_without_input_and_without_a_local_redirect_there_is_no_login(broker: Script, tmp_path: Path) -> None:
    settings = config(tmp_path, redirect_uri="https://example.com/callback")
    with pytest.raises(TokenError, match="no address was pasted"):
        log_in(*values_of(settings), Rest(broker.url, broker.url), {}, Person("").talk())


def test_a_taken_port_leaves_pasting(broker: Script, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = config(tmp_path, redirect_uri=f"http://127.0.0.1:{server.getsockname()[1]}/callback")
        log_in(*values_of(settings), Rest(broker.url, broker.url), {}, Person("c0de\n").talk())
    assert stored(settings) == SECRET


def test_a_login_that_nobody_makes_ends(broker: Script, tmp_path: Path) -> None:
    with pytest.raises(TokenError, match="nobody logged in"):
        log_in(*values_of(config(tmp_path)), Rest(broker.url, broker.url), {}, Person().talk(patience=0.1))


def test_a_refused_code_stores_nothing(broker: Script, tmp_path: Path) -> None:
    settings = config(tmp_path)
    broker.says({"errors": [{"errorCode": "UDAPI100057", "message": "Invalid Auth code"}]}, 401)
    with pytest.raises(RestError, match="401 on login: UDAPI100057 Invalid Auth code"):
        log_in(*values_of(settings), Rest(broker.url, broker.url), {}, Person("c0de\n").talk())
    assert not settings.token_file.exists()


@pytest.mark.parametrize("missing", ["client_id", "client_secret"])
def test_a_login_needs_the_apps_id_and_secret(broker: Script, tmp_path: Path, missing: str) -> None:
    with pytest.raises(UsageError, match=missing) as caught:
        log_in(*values_of(config(tmp_path, **{missing: None})), Rest(broker.url, broker.url), {}, Person().talk())
    assert f"UPSTOX_{missing.upper()}" in caught.value.hint


def test_a_token_in_the_environment_is_pointed_out(broker: Script, tmp_path: Path) -> None:
    person = Person("c0de\n")
    log_in(*values_of(config(tmp_path)), Rest(broker.url, broker.url), {"UPSTOX_ACCESS_TOKEN": "old"}, person.talk())
    assert "UPSTOX_ACCESS_TOKEN is set and comes before" in person.heard[-1]


def test_the_dialogs_address_is_the_brokers() -> None:
    url = dialog_url("https://api.upstox.com", "a b", "http://127.0.0.1:1/cb", "st&te")
    assert url.startswith("https://api.upstox.com/v2/login/authorization/dialog?")
    assert parse_qs(urlsplit(url).query) == {
        "response_type": ["code"],
        "client_id": ["a b"],
        "redirect_uri": ["http://127.0.0.1:1/cb"],
        "state": ["st&te"],
    }


@pytest.mark.parametrize("text", ["c0de", " c0de\n", "http://x/?code=c0de&state=s", "?state=s&code=c0de"])
def test_a_code_is_found(text: str) -> None:
    assert code_of(text, "s") == "c0de"


@pytest.mark.parametrize(
    "text", ["", "http://x/", "http://x/?state=s", "http://x/?code=c", "http://x/?code=c&state=é", "?error=no&state=s"]
)
def test_anything_else_is_no_code(text: str) -> None:
    with pytest.raises(TokenError):
        code_of(text, "s")


def test_an_analytics_token_is_tried_out_and_stored(broker: Script, tmp_path: Path) -> None:
    settings, person = config(tmp_path), Person()
    broker.says({"data": {"authorized_redirect_uri": "wss://feeds.example.com/"}})
    value = jwt({"exp": ist_ns(2027, 11, 22, 3, 30) // 10**9, "isPlusPlan": True})
    token = store_analytics_token(
        f" {value}\n", settings.token_file, Rest(broker.url, broker.url), {}, person.talk(), NOON
    )
    assert token.plus
    assert stored(settings) == value
    assert broker.requests[0][2]["Authorization"] == f"Bearer {value}"
    assert not person.heard


def test_a_refused_analytics_token_is_not_stored(broker: Script, tmp_path: Path) -> None:
    settings = config(tmp_path)
    broker.says({"errors": [{"errorCode": "UDAPI100050", "message": f"Invalid {SECRET}"}]}, 401)
    with pytest.raises(TokenError, match="refuses this token") as caught:
        store_analytics_token(SECRET, settings.token_file, Rest(broker.url, broker.url), {}, Person().talk(), NOON)
    assert SECRET not in str(caught.value)
    assert not settings.token_file.exists()


def test_an_analytics_token_is_stored_when_the_broker_is_away(broker: Script, tmp_path: Path) -> None:
    settings, person = config(tmp_path), Person()
    broker.says({}, 503)
    store_analytics_token(SECRET, settings.token_file, Rest(broker.url, broker.url), {}, person.talk(), NOON)
    assert stored(settings) == SECRET
    assert "could not be tried out (503 on authorize)" in person.heard[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "empty"), ("two words", "one word"), (jwt({"exp": NOON // 10**9 - 60}), "expired at 11:59 today")],
)
def test_what_cannot_be_an_analytics_token_goes_nowhere(broker: Script, tmp_path: Path, text: str, reason: str) -> None:
    settings = config(tmp_path)
    with pytest.raises(TokenError, match=re.escape(reason)):
        store_analytics_token(text, settings.token_file, Rest(broker.url, broker.url), {}, Person().talk(), NOON)
    assert not broker.requests
    assert not settings.token_file.exists()
