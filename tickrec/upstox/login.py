"""Login: getting an access token from the broker, through the browser or by pasting one.

Owns the OAuth code flow (docs: authentication): the dialog's address, the redirect that comes back to this machine or
is pasted by hand, the exchange of its code, and storing the token. Prints and reads only through what it is given.
"""

import hmac
import html
import http.server
import os
import queue
import secrets
import socket
import threading
import urllib.parse
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final

from tickrec.errors import TokenError, UsageError, to_run
from tickrec.upstox.auth import VARIABLE, Token, check_expiry, parse_token, store_token
from tickrec.upstox.protocol import Situation
from tickrec.upstox.rest import Rest, RestError
from tickrec.values import is_loopback

PATIENCE_SECONDS: Final = 600.0
"""How long the browser may take."""
DIALOG: Final = "/v2/login/authorization/dialog"
Answers = queue.Queue[str | TokenError]
PAGE: Final = "<!doctype html><meta charset=utf-8><title>tickrec</title><p>{}</p>"


def read_line() -> str:
    """A line of standard input, "" at its end. Read without Python's buffer, which a waiting thread would hold locked
    when the program ends."""
    text = b""
    while not text.endswith(b"\n") and (piece := os.read(0, 4096)):
        text += piece
    return text.decode("utf-8", "replace")


def open_page(url: str) -> bool:
    """Show an address in the browser, where there is a desktop; a browser inside the terminal would take it over."""
    desktop = os.name == "nt" or any(
        name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY", "__CFBundleIdentifier")
    )
    return desktop and webbrowser.open(url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """How the login speaks with the person in front of it."""

    say: Callable[[str], None]
    """Show a line."""
    read: Callable[[], str] = read_line
    """Wait for a line; "" when there will be none."""
    open_page: Callable[[str], bool] = open_page
    """Show an address in a browser; False if that is not possible here."""
    patience: float = PATIENCE_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """The user's app as registered with the broker (docs: authorize); None: not known."""

    client_id: str | None
    client_secret: str | None = field(repr=False)
    redirect_uri: str


def log_in(app: App, token_file: Path, rest: Rest, environ: Mapping[str, str], talk: Talk) -> Token:
    """Take a person through the broker's login, and store the token in `token_file`.

    Raises UsageError when the app's id or secret is not configured, TokenError when the login fails, RestError.
    """
    if app.client_id is None or app.client_secret is None:
        missing = "client_id" if app.client_id is None else "client_secret"
        hint = f"Set it in [upstox], or UPSTOX_{missing.upper()}; or use {to_run('login', '--analytics')}"
        raise UsageError(f"login needs the {missing} of your Upstox app", hint=hint)
    state = secrets.token_urlsafe(16)
    code = _ask(dialog_url(rest.api_url, app.client_id, app.redirect_uri, state), app.redirect_uri, state, talk)
    token = rest.exchange_code(code, app.client_id, app.client_secret, app.redirect_uri)
    _store(token_file, token, environ, talk)
    return token


def store_analytics_token(
    text: str, token_file: Path, rest: Rest, environ: Mapping[str, str], talk: Talk, now_ns: int
) -> Token:
    """Store a long-lived read-only token that was made in the broker's developer console and pasted here.

    It is tried out first; a broker that cannot be reached does not keep it from being stored. Raises TokenError.
    """
    token = parse_token(text, "what was pasted")
    check_expiry(token, now_ns)
    try:
        rest.authorize(token)
    except RestError as error:
        if error.failure.situation is Situation.TOKEN_REFUSED:
            raise TokenError("the broker refuses this token, so it was not stored", where=error.what) from None
        talk.say(f"The token could not be tried out ({error.what}); it is stored all the same.")
    _store(token_file, token, environ, talk)
    return token


def dialog_url(api_url: str, client_id: str, redirect_uri: str, state: str) -> str:
    """The address at which the user agrees to the login (docs: authorize)."""
    query = {"response_type": "code", "client_id": client_id, "redirect_uri": redirect_uri, "state": state}
    return f"{api_url}{DIALOG}?{urllib.parse.urlencode(query)}"


def code_of(text: str, state: str) -> str:
    """The login code in an address the browser was sent to, or in `text` itself if it is no address.

    Raises TokenError if the broker reports an error, or if the address answers another login than that of `state`.
    """
    text = text.strip()
    if "?" not in text:
        if not text or "/" in text:
            raise TokenError("there is no login code in that", hint="Paste the whole address, from http to its end")
        return text
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(text).query))
    if "error" in query:
        detail = " ".join(f"{query['error']} {query.get('error_description', '')}".split())[:200]
        raise TokenError("the broker did not grant the login", where=detail)
    if not query.get("code"):
        raise TokenError("there is no login code in that", hint="Paste the whole address, from http to its end")
    if not hmac.compare_digest(query.get("state", "").encode(), state.encode()):
        raise TokenError("that address belongs to another login", hint=f"Start again with {to_run('login')}")
    return query["code"]


def _store(token_file: Path, token: Token, environ: Mapping[str, str], talk: Talk) -> None:
    store_token(token_file, token)
    if environ.get(VARIABLE, "").strip():
        talk.say(f"{VARIABLE} is set and comes before {token_file}: unset it to use the new token.")


def _ask(url: str, redirect_uri: str, state: str, talk: Talk) -> str:
    """Let the person log in; the code comes from the browser's redirect or from a pasted line, whichever is first."""
    answers: Answers = queue.Queue()
    catcher = _listen(redirect_uri, state, answers)
    talk.say(f"Log in at this address:\n\n    {url}\n")
    if talk.open_page(url):
        talk.say("It has been opened in your browser.")
    waits = "Waiting for the browser. If it runs on another machine, paste" if catcher else "Then paste"
    talk.say(f"{waits} the address that it ends up at, and press Enter:")
    # A daemon: nothing can wake a thread that reads from a terminal.
    threading.Thread(target=_read_lines, args=(talk, state, answers, catcher is None), daemon=True).start()
    try:
        answer = answers.get(timeout=talk.patience)
    except queue.Empty:
        raise TokenError(f"nobody logged in within {talk.patience / 60:.0f} minutes") from None
    finally:
        if catcher is not None:
            catcher.shutdown()
            catcher.server_close()
    if isinstance(answer, TokenError):
        raise answer
    return answer


def _read_lines(talk: Talk, state: str, answers: Answers, alone: bool) -> None:
    """Read until a line has a code in it. When input ends, only the browser is left, if it is not the `alone` way."""
    while line := talk.read():
        try:
            answers.put(code_of(line, state))
            return
        except TokenError as error:
            talk.say(str(error))
    if alone:
        answers.put(TokenError("no address was pasted"))


class _Catcher(http.server.ThreadingHTTPServer):
    """Waits for the browser to come back to the redirect address. Threads, as browsers open connections to spare."""

    daemon_threads = True

    def __init__(self, host: str, port: int, path: str, state: str, answers: Answers) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Visit)
        self.path, self.state, self.answers = path, state, answers


class _Visit(http.server.BaseHTTPRequestHandler):
    """One request of the browser."""

    server: _Catcher
    timeout = 10

    def do_GET(self) -> None:
        catcher, asked = self.server, urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(asked.query))
        if asked.path.rstrip("/") != catcher.path.rstrip("/"):
            return self._answer(HTTPStatus.NOT_FOUND, "Nothing here.")
        # Any page can send the browser here, so a visit that is not of this login does not end it.
        if not hmac.compare_digest(query.get("state", "").encode(), catcher.state.encode()):
            return self._answer(HTTPStatus.BAD_REQUEST, "This belongs to another login.")
        try:
            answer: str | TokenError = code_of(self.path, catcher.state)
        except TokenError as error:
            answer = error
        good = isinstance(answer, str)
        self._answer(HTTPStatus.OK, "tickrec has what it needs. This page can be closed." if good else str(answer))
        return catcher.answers.put(answer)

    def _answer(self, status: HTTPStatus, text: str) -> None:
        body = PAGE.format(html.escape(text)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the request line holds the login code."""


def _listen(redirect_uri: str, state: str, answers: Answers) -> _Catcher | None:
    """A server for the browser's redirect, if it comes to this machine and its port is free."""
    parts = urllib.parse.urlsplit(redirect_uri)
    if parts.scheme != "http" or not is_loopback(parts.hostname or ""):
        return None
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
    try:
        catcher = _Catcher(host, parts.port or 80, parts.path, state, answers)
    except OSError:
        return None
    threading.Thread(target=catcher.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return catcher
