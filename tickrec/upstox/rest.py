"""Rest: the broker's HTTP interface, as far as a recorder needs it.

Owns addresses of endpoints, the shape of answers and errors, and what a network failure is called. Calls block; the
recorder makes them in a thread. Whether and when to try again is the caller's business.
"""

import datetime as dt
import email.utils
import functools
import http.client
import json
import logging
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, Final

from tickrec import __version__
from tickrec.errors import ExitCode, TickrecError, UsageError, to_run
from tickrec.files import publish
from tickrec.formatting import grouped
from tickrec.upstox.auth import Token, parse_token, token_hint
from tickrec.upstox.protocol import Failure, Situation, explain, of_os_error, of_status
from tickrec.values import check_url, is_loopback

log = logging.getLogger("tickrec")

USER_AGENT: Final = f"tickrec/{__version__}"
"""The assets host answers 403 to a client without one (observed 2026-09)."""
TIMEOUT_SECONDS: Final = 10.0
QUOTE_KEYS: Final = 500
"""Keys in one quote request (docs: v3/ltp, 2026-09)."""
LOGIN: Final = "login"
"""The stage at which a login's code is exchanged."""
BAD_KEYS: Final = 10
"""Keys that the broker may refuse before it is taken to refuse the request as such."""
LARGEST_ANSWER: Final = 16 * 1024 * 1024
CHUNK: Final = 64 * 1024
SOURCE: Final = "upstox.v3"
"""What a journal of the broker's messages names as their source."""
SOURCE_HEADER: Final = "X-Tickrec-Source"
"""In every answer of a server of ours whose messages are not to be taken for the broker's: what they are."""
MASTER: Final = "/market-quote/instruments/exchange/complete.json.gz"
"""Every instrument of every exchange; made anew at about 06:00 (docs: instruments, 2026-09)."""

Progress = Callable[[int, int | None], None]
"""Told how many bytes have come, and how many will, if known."""


class RestError(TickrecError):
    """A request that did not get the answer it should. Never holds the token, nor a query or the user of a URL."""

    def __init__(self, failure: Failure, url: str, headers: Message | None = None) -> None:
        parts = urllib.parse.urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        super().__init__(failure.reason, where=f"{host}{parts.path}", hint=_hint(failure))
        self.failure = failure
        self.status = failure.status
        """HTTP status, or None when there was no answer."""
        self.headers = headers
        """Those of an answer that refuses."""
        refused = failure.situation is Situation.TOKEN_REFUSED or _is_refused_login(failure)
        self.code = ExitCode.TOKEN if refused else ExitCode.UNREACHABLE


def _is_refused_login(failure: Failure) -> bool:
    return failure.stage == LOGIN and failure.situation in (Situation.TOKEN_REFUSED, Situation.REFUSED_REQUEST)


def _hint(failure: Failure) -> str:
    """What a person can do about a failed request."""
    match failure.situation:
        case _ if _is_refused_login(failure):
            return f"Check client_id, client_secret and redirect_uri, and start again with {to_run('login')}"
        case Situation.TOKEN_REFUSED:
            return token_hint()
        case Situation.TLS:
            return f"Certificates are always verified; {to_run('doctor')} says what to look at"
        case Situation.FORBIDDEN | Situation.TOO_MANY_REQUESTS | Situation.BROKER_ERROR:
            return "Try again in some minutes"
        case Situation.REFUSED_REQUEST | Situation.REDIRECTED | Situation.BAD_ANSWER | Situation.BAD_URI:
            return "Try again in some minutes, and check api_url and assets_url if you have set them"
    return f"Check the network; {to_run('doctor')} looks at each step of the way"


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but takes no secret to another host."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if (old.scheme, old.netloc) != (new.scheme, new.netloc) and (req.has_header("Authorization") or req.data):
            return None
        try:
            check_url(newurl, "the redirect")
        except UsageError:
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage
    ) -> Any:
        """A redirect to what is no address is not followed: the answer itself is what came."""
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError:
            return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class Rest:
    """Requests to the broker at `api_url` and to its files at `assets_url`.

    Both must be https, but for loopback addresses. A proxy from the environment is used, though never for a loopback
    address. Every call may raise RestError.
    """

    def __init__(self, api_url: str, assets_url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self.api_url = check_url(api_url, "api_url").rstrip("/")
        self.assets_url = check_url(assets_url, "assets_url").rstrip("/")
        self._timeout = timeout
        self._openers = {url: self._opener(url) for url in (self.api_url, self.assets_url)}

    @functools.cached_property
    def tls(self) -> ssl.SSLContext:
        """Certificates and host names are verified, always. Made once: loading the certificates takes 20 ms.

        Not by the letter of RFC 5280, as Python does from 3.13 on: a company's root without an Authority Key Identifier
        signs no worse for it.
        """
        context = ssl.create_default_context()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context

    def authorize(self, token: Token) -> str:
        """A websocket address for the market data feed, good for one connection.

        The address holds a one-time code instead of the token (docs: get-market-data-feed-authorize-v3). The older
        spelling of its name still occurs. Only wss is accepted, and ws for loopback addresses.
        """
        url = self.api_url + "/v3/feed/market-data-feed/authorize"
        data = self._get(url, token=token)
        uri = (data.get("authorized_redirect_uri") or data.get("authorizedRedirectUri")) if _is_map(data) else None
        if not isinstance(uri, str):
            raise RestError(Failure(Situation.BAD_ANSWER, "authorize", detail="no address in it"), url)
        try:
            check_url(uri, "the feed's address")
            if urllib.parse.urlsplit(uri).scheme not in ("wss", "ws"):
                raise UsageError("the feed's address is not a websocket address")
        except UsageError as error:
            raise RestError(Failure(Situation.BAD_URI, "authorize", detail=error.what), url) from None
        return uri

    def exchange_code(self, code: str, client_id: str, client_secret: str, redirect_uri: str) -> Token:
        """The access token for a login's one-time code (docs: get-token)."""
        url = self.api_url + "/v2/login/authorization/token"
        form = {"code": code, "client_id": client_id, "client_secret": client_secret, "redirect_uri": redirect_uri}
        body = urllib.parse.urlencode({**form, "grant_type": "authorization_code"}).encode()
        answer = self._json(_request(url, body=body), hide=(code, client_secret))
        value = answer.get("access_token") if _is_map(answer) else None
        if not isinstance(value, str) or not value:
            raise RestError(Failure(Situation.BAD_ANSWER, LOGIN, detail="no access_token in it"), url)
        return parse_token(value, "the broker's answer")

    def source(self) -> str:
        """What the messages from here are: the broker's, or what a replay on this machine says of itself.

        Nobody is asked but a server at a loopback address.
        """
        if not is_loopback(urllib.parse.urlsplit(self.api_url).hostname or ""):
            return SOURCE
        return self._headers(self.api_url + "/v2/market/holidays").get(SOURCE_HEADER) or SOURCE

    def holidays(self) -> list[dict[str, Any]]:
        """This year's holidays: date, description, holiday_type, closed_exchanges, open_exchanges."""
        return self._list("/v2/market/holidays")

    def timings(self, date: dt.date) -> list[dict[str, Any]]:
        """The exchanges open on a date, with start_time and end_time in ms; none of them on a holiday."""
        return self._list(f"/v2/market/timings/{date.isoformat()}")

    def last_prices(self, token: Token, keys: Sequence[str]) -> dict[str, float]:
        """The last price in rupees of each instrument key that the broker knows one for.

        One key that it does not like fails a whole request at the broker (observed 2026-09), so the others are asked
        for again without it. Raises RestError, also when more than BAD_KEYS are not liked.
        """
        prices: dict[str, float] = {}
        waiting = [list(keys[start : start + QUOTE_KEYS]) for start in range(0, len(keys), QUOTE_KEYS)]
        bad = 0
        while waiting:
            batch = waiting.pop()
            try:
                prices |= self._last_prices(token, batch)
            except RestError as error:
                bad += len(batch) == 1
                if error.status != HTTPStatus.BAD_REQUEST or bad > BAD_KEYS:
                    raise
                half = len(batch) // 2
                waiting += [batch[:half], batch[half:]] if half else []
        return prices

    def _last_prices(self, token: Token, keys: Sequence[str]) -> dict[str, float]:
        query = urllib.parse.urlencode({"instrument_key": ",".join(keys)})
        url = f"{self.api_url}/v3/market-quote/ltp?{query}"
        quotes = _expect(self._get(url, token=token), dict, url)
        # The answer is named by exchange and symbol; the key is inside.
        found = [(quote.get("instrument_token"), quote.get("last_price")) for quote in filter(_is_map, quotes.values())]
        return {key: float(price) for key, price in found if isinstance(key, str) and isinstance(price, int | float)}

    def data(self, path: str, token: Token | None = None) -> Any:
        """The `data` of the answer to GET `path`."""
        return self._get(self.api_url + path, token=token)

    def server_date(self) -> dt.datetime:
        """The broker's clock, in whole seconds: what it wrote into the Date header of an answer."""
        url = self.api_url + "/v2/market/status/NSE"
        try:
            return email.utils.parsedate_to_datetime(self._headers(url).get("Date") or "")
        except ValueError:
            raise RestError(Failure(Situation.BAD_ANSWER, detail="no date in it"), url) from None

    def download_master(self, path: Path, progress: Progress | None = None) -> None:
        """Store the day's instrument file (gzip) as `path`, which appears whole or not at all. Raises OSError too."""

        def write(temp: Path) -> None:
            with self._open(request) as answer, temp.open("wb") as file:
                _copy(answer, file, request.full_url, progress)

        request = urllib.request.Request(self.assets_url + MASTER, headers={"User-Agent": USER_AGENT})
        publish(path, write)

    def _opener(self, url: str) -> urllib.request.OpenerDirector:
        parts = urllib.parse.urlsplit(url)
        proxies = urllib.request.ProxyHandler({} if is_loopback(parts.hostname or "") else None)
        context = self.tls if parts.scheme == "https" else None
        return urllib.request.build_opener(proxies, urllib.request.HTTPSHandler(context=context), _SameHost())

    def _list(self, path: str) -> list[dict[str, Any]]:
        url = self.api_url + path
        return [each for each in _expect(self._get(url), list, url) if _is_map(each)]

    def _get(self, url: str, *, token: Token | None = None) -> Any:
        """The `data` of a successful answer."""
        hide = (token.reveal(),) if token else ()
        answer = self._json(_request(url, token=token), hide=hide)
        return answer.get("data") if _is_map(answer) else None

    def _headers(self, url: str) -> Message:
        """The headers of an answer, also of one that refuses."""
        try:
            with self._open(_request(url)) as answer:
                headers: Message = answer.headers
        except RestError as error:
            if error.headers is None:
                raise
            headers = error.headers
        return headers

    def _json(self, request: urllib.request.Request, hide: Sequence[str]) -> Any:
        url = request.full_url
        with self._open(request, hide) as answer:
            body = _read(answer, LARGEST_ANSWER, url)
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise RestError(Failure(Situation.BAD_ANSWER, _stage(url), detail="not JSON"), url) from None

    def _open(self, request: urllib.request.Request, hide: Sequence[str] = ()) -> Any:
        """The answer to a request, open for reading."""
        url = request.full_url
        opener = self._openers[self.assets_url if url == self.assets_url + MASTER else self.api_url]
        log.debug("asking %s", url)
        try:
            return opener.open(request, timeout=self._timeout)
        except urllib.error.HTTPError as error:
            raise _refusal(error, url, hide) from None
        except (OSError, http.client.HTTPException) as error:
            raise _network_error(error, url) from None
        except ValueError as error:  # a proxy with an address that is none
            raise RestError(Failure(Situation.BAD_ANSWER, _stage(url), detail=str(error)), url) from None


def _request(url: str, *, token: Token | None = None, body: bytes | None = None) -> urllib.request.Request:
    headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token.reveal()}"
    return urllib.request.Request(url, data=body, headers=headers)


def _read(answer: Any, size: int, url: str) -> bytes:
    """Up to `size` bytes of an answer's body; empty at its end."""
    try:
        return bytes(answer.read(size))
    except (OSError, http.client.HTTPException) as error:
        raise _network_error(error, url) from None


def _copy(answer: Any, file: IO[bytes], url: str, progress: Progress | None) -> None:
    """Copy the body of an answer, which must be a gzip file and as long as announced."""
    header = answer.headers.get("Content-Length")
    total = int(header) if header and header.isdigit() else None
    received = 0
    while chunk := _read(answer, CHUNK, url):
        if not received and not chunk.startswith(b"\x1f\x8b"):
            raise RestError(Failure(Situation.BAD_ANSWER, detail="not a gzip file"), url)
        file.write(chunk)
        received += len(chunk)
        if progress is not None:
            progress(received, total)
    if received == 0 or total not in (None, received):
        detail = f"{grouped(received)} of {grouped(total)} bytes came"
        raise RestError(Failure(Situation.DROPPED, detail=detail), url)


def _refusal(error: urllib.error.HTTPError, url: str, hide: Sequence[str]) -> RestError:
    """What an HTTP status other than success means, in the broker's words if it has any."""
    with error:
        try:
            body = _read(error, CHUNK, url).decode("utf-8", "replace")
        except RestError:
            body = ""
    failure = Failure(of_status(error.code), _stage(url), status=error.code, detail=broker_error(body, hide))
    return RestError(failure, url, error.headers)


def broker_error(body: str, hide: Sequence[str] = ()) -> str:
    """Code, such as UDAPI100050, and message of an error body, in either spelling (observed 2026-09); empty where it
    has none.

    `hide` are secrets that must not come out again.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        # Cloudflare, in front of the broker, answers with a page of its own.
        at = body.lower().find("error code:")
        return _clean(body[at : at + 20], hide) if at >= 0 else ""
    errors = answer.get("errors") if _is_map(answer) else None
    first = errors[0] if isinstance(errors, list) and errors and _is_map(errors[0]) else {}
    code, message = first.get("error_code") or first.get("errorCode") or "", first.get("message") or ""
    return f"{_clean(str(code), hide)} {_clean(str(message), hide)}".strip()


def _clean(text: str, hide: Sequence[str]) -> str:
    """One short line of somebody else's text, without our secrets."""
    for secret in filter(None, hide):
        text = text.replace(secret, "[hidden]")
    return " ".join(text.split())[:200]


def _network_error(error: OSError | http.client.HTTPException, url: str) -> RestError:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, OSError):
        failure = Failure(of_os_error(cause), _stage(url), detail=explain(cause))
    elif isinstance(cause, http.client.HTTPException):
        failure = Failure(Situation.BAD_ANSWER, _stage(url), detail=type(cause).__name__)
    else:
        failure = Failure(Situation.UNREACHABLE, _stage(url), detail=str(cause))
    return RestError(failure, url)


def _expect(data: Any, kind: type, url: str) -> Any:
    if not isinstance(data, kind):
        raise RestError(Failure(Situation.BAD_ANSWER, detail=f"no {kind.__name__} of data in it"), url)
    return data


def _is_map(value: object) -> bool:
    return isinstance(value, Mapping)


def _stage(url: str) -> str:
    """The last word of an endpoint that means something to a reader."""
    return "authorize" if url.endswith("/authorize") else LOGIN if url.endswith("/token") else ""
