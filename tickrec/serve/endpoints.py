"""Endpoints: the REST side of the server: every path, what it wants and what it answers.

Bodies have the shape of the broker's own (pages Market information, Market quotes, Instruments and recorded answers of
2026-09). Knows nothing about sockets, and asks the source for what is in them.
"""

import asyncio
import datetime as dt
import json
import logging
import uuid
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request as Received
from websockets.http11 import Response

from tickrec.clock import Clock
from tickrec.errors import TickrecError
from tickrec.serve.access import Access
from tickrec.serve.faults import Fault, Lasting, fault_from_json
from tickrec.serve.intervals import Interval
from tickrec.serve.source import Moment, Source
from tickrec.serve.subscriptions import EXCHANGES
from tickrec.upstox.decode import MarketDataFeedV3_pb2 as pb
from tickrec.upstox.rest import SOURCE_HEADER

FEED_PATH: Final = "/market-data-feeder/v3/upstox-developer-api/feeds"
"""Where the websocket of an authorized address lives."""
_FILES: Final = "market-quote/instruments/exchange"
_HOSTS: Final = frozenset(("127.0.0.1", "localhost", "[::1]"))
_MAX_KEYS: Final = 500
_STATUS: Final = pb.DESCRIPTOR.enum_types_by_name["MarketStatus"]
_JSON: Final = {"Content-Type": "application/json"}
_PLAIN: Final = {"Content-Type": "text/plain"}

log = logging.getLogger("tickrec")


class Request(NamedTuple):
    """A request: path and query values are decoded."""

    path: str
    query: dict[str, str]
    raw_query: str
    headers: dict[str, str]
    """By name in lower case; of several of one name the last."""
    hosts: list[str]
    """Every host, with its port, that it is for or that it says to come from."""

    @property
    def upgrade(self) -> bool:
        """Whether a websocket is asked for."""
        return self.headers.get("upgrade", "").lower() == "websocket"

    @property
    def from_here(self) -> bool:
        """Whether it comes from a program of this machine, as far as a browser would say if it did not."""
        return "host" in self.headers and all(_host(each) in _HOSTS for each in self.hosts)


def read(received: Received) -> Request:
    """A request as the library has read it. An address that is none leads nowhere."""
    try:
        parts = urlsplit(received.path)
    except ValueError:
        parts = urlsplit("")
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    headers = {name.lower(): value for name, value in received.headers.raw_items()}
    origins = [origin.partition("://")[2] for origin in received.headers.get_all("Origin")]
    hosts = [*received.headers.get_all("Host"), *origins]
    return Request(unquote(parts.path), query, unquote(parts.query), headers, hosts)


class RestError(Exception):
    """An answer in the broker's error shape."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.answer = _json(status, _error_body(code, message), headers)


class Answer(NamedTuple):
    """An answer to a request."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}

    def response(self, wall_ns: int, source: str = "") -> Response:
        """What the library sends, saying what is served; each answer ends its connection."""
        standing = {
            "Date": formatdate(wall_ns / 1e9, usegmt=True),
            "Content-Length": str(len(self.body)),
            "Connection": "close",
            **({SOURCE_HEADER: source} if source else {}),
        }
        return Response(self.status, HTTPStatus(self.status).phrase, Headers({**standing, **self.headers}), self.body)


class Endpoints:
    """Answers requests; `host` is what addresses in answers name, such as 127.0.0.1:8000."""

    def __init__(
        self,
        source: Source,
        access: Access,
        lasting: Lasting,
        clock: Clock,
        *,
        host: str,
        stats: Callable[[], dict[str, Any]],
        strike: Callable[[Fault], None] | None,
    ) -> None:
        """`strike` None: nobody can cause a fault by a request."""
        self._source = source
        self._access = access
        self._lasting = lasting
        self._clock = clock
        self._host = host
        self._stats = stats
        self._strike = strike

    async def answer(self, request: Request) -> Answer:
        """The answer to any request but the upgrade of an authorized address."""
        try:
            if not request.from_here:
                raise RestError(403, "UDAPI100000", "Only programs of this machine are served")
            if (own := self._own(request)) is not None:
                return own
            self._fail_on_demand()
            return await self._route(request)
        except RestError as error:
            return error.answer

    def _fail_on_demand(self) -> None:
        status = self._lasting.error(self._clock.monotonic_ns())
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            raise RestError(status, "UDAPI10005", "Too Many Request Sent", {"Retry-After": "1"})
        if status:
            raise RestError(status, "UDAPI100500", "Something went wrong")

    async def _route(self, request: Request) -> Answer:
        match request.path.strip("/").split("/"):
            case ["v3", "feed", "market-data-feed", "authorize"]:
                self._check_token(request)
                return self._authorize()
            case ["v3", "feed", "market-data-feed"]:
                self._check_token(request)
                return self._redirect(request)
            case ["v2", "market", "holidays", *date]:
                return self._holidays(date)
            case ["v2", "market", "timings", date]:
                return _success(self._source.timings(_date(date)))
            case ["v2", "market", "status", exchange]:
                return self._market_status(exchange)
            case ["v3", "market-quote", "ltp"]:
                self._check_token(request)
                return self._last_prices(request)
            case ["v3", "historical-candle", *rest]:
                return await self._candles(rest)
            case [*folder, name] if "/".join(folder) == _FILES:
                return await self._instruments(request, name)
        raise RestError(404, "UDAPI100060", "Resource not Found.")

    def _check_token(self, request: Request) -> None:
        unauthorized = self._lasting.holds("unauthorized", self._clock.monotonic_ns())
        if unauthorized or not self._access.bearer(request.headers.get("authorization", "")):
            raise RestError(401, "UDAPI100050", "Invalid token used to access API")

    def _authorize(self) -> Answer:
        uri = self._new_uri()
        return _success({"authorizedRedirectUri": uri, "authorized_redirect_uri": uri})

    def _redirect(self, request: Request) -> Answer:
        if not request.upgrade:
            raise RestError(400, "UDAPI10000", "This request is not supported by Upstox API")
        return Answer(302, b"", {"Location": self._new_uri()})

    def _new_uri(self) -> str:
        code = self._access.new_code(self._clock.monotonic_ns())
        return f"ws://{self._host}{FEED_PATH}?requestId={uuid.uuid4()}&code={code}"

    def _holidays(self, date: list[str]) -> Answer:
        holidays = self._source.holidays()
        if not date:
            return _success(holidays)
        wanted = _date("/".join(date)).isoformat()
        return _success([row for row in holidays if row["date"] == wanted])

    def _market_status(self, exchange: str) -> Answer:
        """An exchange's state as the last market_info has it."""
        info = pb.FeedResponse.FromString(self._source.market_info(self._now()))
        number = info.marketInfo.segmentStatus.get(EXCHANGES.get(exchange, ""))
        if number is None:
            raise RestError(400, "UDAPI1089", "Invalid exchange")
        word = _STATUS.values_by_number[number].name
        return _success({"exchange": exchange, "status": word, "last_updated": info.currentTs})

    async def _candles(self, path: list[str]) -> Answer:
        """Bars of earlier days, or of today. No token is needed (observed 2026-09)."""
        today = self._source.today(self._now())
        match path:
            case ["intraday", key, unit, count]:
                first = last = today
            case ["intraday", *_]:
                raise RestError(400, "UDAPI10000", "This request is not supported by Upstox API")
            case [key, unit, count, to, *since] if len(since) <= 1:
                last, *earlier = (_date(text, "UDAPI1015") for text in (to, *since))
                first = earlier[0] if earlier else last
                _check_span(first, last, _interval(unit, count))
                last = min(last, today - dt.timedelta(days=1))  # those of today are on the other endpoint
            case [_, _, _]:
                raise RestError(400, "UDAPI1022", "to_date is required")
            case _:
                raise RestError(400, "UDAPI10000", "This request is not supported by Upstox API")
        interval = _interval(unit, count)
        try:
            minutes = await self._source.minutes(key, first, last, self._now())
        except (TickrecError, OSError) as error:
            log.warning("candles of %s cannot be had: %s", key, error)
            raise RestError(500, "UDAPI100500", "Something went wrong") from None
        if minutes is None:
            raise RestError(400, "UDAPI100011", "Invalid Instrument key")
        return _success({"candles": interval.bars(minutes, key.partition("|")[0])})

    async def _instruments(self, request: Request, name: str) -> Answer:
        """An exchange's file, made in a thread: a list of all that is traded takes a second."""
        if not request.headers.get("user-agent"):
            return Answer(403, b"Forbidden", _PLAIN)
        exchange, dot, ending = name.partition(".")
        body = None
        if dot + ending == ".json.gz":
            body = await asyncio.to_thread(self._source.instruments, exchange, self._now())
        if body is None:
            return Answer(404, b"Not Found", _PLAIN)
        return Answer(200, body, {"Content-Type": "application/gzip"})

    def _last_prices(self, request: Request) -> Answer:
        keys = [key for key in request.query.get("instrument_key", "").split(",") if key]
        if len(keys) > _MAX_KEYS:
            raise RestError(400, "UDAPI100043", f"You can request at most {_MAX_KEYS} instrument keys")
        if not keys:
            raise RestError(400, "UDAPI1087", "Instrument key is required")
        rows = {}
        for key in keys:
            found = self._source.last_price(key, self._now())
            if found is None:
                # Observed: one unknown key fails the whole request.
                raise RestError(400, "UDAPI100095", f"Invalid instrument key: {key}")
            rows[found[0]] = found[1]
        return _success(rows)

    def _own(self, request: Request) -> Answer | None:
        """What the broker does not have: counts, and faults on demand; None for the broker's paths."""
        match request.path:
            case "/health":
                return _json(200, {"status": "ok"})
            case "/status" | "/simulator/stats":
                return _json(200, {**self._stats(), **self._source.status(self._now())})
            case "/latest":
                return self._latest(request)
            case "/simulator/fault" if self._strike is not None:
                return self._fault(request, self._strike)
        return None

    def _fault(self, request: Request, strike: Callable[[Fault], None]) -> Answer:
        """?kind=close&arg=1011, or the same as JSON in the body of a POST, which arrives as the query."""
        try:
            fault = fault_from_json(request.query if "kind" in request.query else json.loads(request.raw_query))
        except (ValueError, AttributeError, RecursionError) as error:
            return _json(400, {"status": "error", "message": str(error)})
        strike(fault)
        return _json(200, {"status": "success"})

    def _latest(self, request: Request) -> Answer:
        """The last price of each of ?symbols=RELIANCE,NIFTY; null for what is not known."""
        symbols = [symbol for symbol in request.query.get("symbols", "").split(",") if symbol][:_MAX_KEYS]
        keys = {symbol: self._source.key_of(symbol) for symbol in symbols}
        found = {symbol: self._source.last_price(key, self._now()) for symbol, key in keys.items() if key}
        return _json(200, {symbol: row[1] if (row := found.get(symbol)) else None for symbol in symbols})

    def _now(self) -> Moment:
        return Moment(self._clock.wall_ns(), self._clock.monotonic_ns())


def _error_body(code: str, message: str) -> dict[str, Any]:
    """The broker's error body, with both spellings of every key (observed 2026-09)."""
    error = {
        "errorCode": code,
        "message": message,
        "propertyPath": None,
        "invalidValue": None,
        "error_code": code,
        "property_path": None,
        "invalid_value": None,
    }
    return {"status": "error", "errors": [error]}


def _success(data: object) -> Answer:
    return _json(200, {"status": "success", "data": data})


def _json(status: int, body: object, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(body).encode(), {**_JSON, **(headers or {})})


def _date(text: str, code: str = "UDAPI1088") -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise RestError(400, code, "Invalid date") from None


def _check_span(first: dt.date, last: dt.date, interval: Interval) -> None:
    if first > last or (interval.longest is not None and last - first > interval.longest):
        raise RestError(400, "UDAPI1148", "Invalid date range")


def _interval(unit: str, count: str) -> Interval:
    """The length of the bars that are asked for. Raises RestError."""
    interval = Interval(unit, int(count) if count.isascii() and count.isdecimal() and len(count) < 5 else 0)
    if not interval.unit_fits:
        raise RestError(400, "UDAPI1146", "Invalid unit")
    if not interval.fits:
        raise RestError(400, "UDAPI1147", "Invalid interval")
    return interval


def _host(netloc: str) -> str:
    """The host of an address without its port."""
    host, colon, port = netloc.rpartition(":")
    return host.lower() if colon and port.isdigit() else netloc.lower()
