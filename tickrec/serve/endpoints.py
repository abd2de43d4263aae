"""The REST side of the simulated broker: every path, what it wants and what it answers.

Bodies have the shape of the broker's own (pages Authentication, Market information, Market quotes, Instruments and
recorded answers of 2026-09). Knows nothing about sockets.
"""

import datetime as dt
import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from tickrec.clock import Clock, ist
from tickrec.serve.access import Access
from tickrec.serve.faults import Fault, Lasting, fault_from_json
from tickrec.serve.http import Request, Response, json_response
from tickrec.serve.synthetic.phases import Phase
from tickrec.serve.synthetic.prices import Market, Security
from tickrec.serve.synthetic.records import FILES, master_file

FEED_PATH: Final = "/market-data-feeder/v3/upstox-developer-api/feeds"
"""Where the websocket of an authorized address lives."""
_MAX_KEYS: Final = 500


class RestError(Exception):
    """An answer in the broker's error shape."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.response = json_response(status, error_body(code, message))


class Rest:
    """Answers requests; `host` is what addresses in answers name, such as 127.0.0.1:8000."""

    def __init__(
        self,
        market: Market,
        access: Access,
        lasting: Lasting,
        clock: Clock,
        *,
        host: str,
        bodies: Mapping[str, object],
        stats: Callable[[], dict[str, Any]],
        strike: Callable[[Fault], None],
    ) -> None:
        self._market = market
        self._access = access
        self._lasting = lasting
        self._clock = clock
        self._host = host
        self._bodies = bodies
        self._stats = stats
        self._strike = strike
        self._files: dict[tuple[dt.date, str], bytes] = {}

    def answer(self, request: Request) -> Response:
        """The answer to any request but the upgrade of an authorized address."""
        if request.path.startswith("/simulator/"):
            return self._own(request)
        status = self._lasting.error(self._clock.monotonic_ns())
        if status == 429:
            return json_response(429, error_body("UDAPI10005", "Too Many Request Sent"), ("Retry-After", "1"))
        if status:
            return json_response(status, error_body("UDAPI100500", "Something went wrong"))
        try:
            return self._route(request)
        except RestError as error:
            return error.response

    def _route(self, request: Request) -> Response:
        path = request.path
        if request.method == "POST":
            if path == "/v2/login/authorization/token":
                return self._exchange(request)
            raise _not_found()
        if request.method != "GET":
            raise RestError(405, "UDAPI10000", "This request is not supported by Upstox API")
        if path in self._bodies:
            return json_response(200, self._bodies[path])
        match path.strip("/").split("/"):
            case ["v3", "feed", "market-data-feed", "authorize"]:
                self._authorized(request)
                return self._authorize()
            case ["v3", "feed", "market-data-feed"]:
                self._authorized(request)
                return self._redirect(request)
            case ["v2", "login", "authorization", "dialog"]:
                return self._dialog(request)
            case ["v2", "market", "holidays", *date]:
                return self._holidays(date)
            case ["v2", "market", "timings", date]:
                return _success(self._market.hours.timings_body(_date(date)))
            case ["v2", "market", "status", exchange]:
                return self._status(exchange)
            case ["v3", "market-quote", "ltp"]:
                self._authorized(request)
                return self._quotes(request, self._last_price)
            case ["v3" | "v2", "market-quote", "quotes"]:
                self._authorized(request)
                return self._quotes(request, self._full_quote)
            case ["market-quote", "instruments", "exchange", name]:
                return self._master(request, name)
        raise _not_found()

    def _authorized(self, request: Request) -> None:
        unauthorized = self._lasting.unauthorized(self._clock.monotonic_ns())
        if unauthorized or not self._access.bearer(request.headers.get("authorization", "")):
            raise RestError(401, "UDAPI100050", "Invalid token used to access API")

    def _authorize(self) -> Response:
        uri = self._new_uri()
        return _success({"authorizedRedirectUri": uri, "authorized_redirect_uri": uri})

    def _redirect(self, request: Request) -> Response:
        if not request.upgrade:
            raise RestError(400, "UDAPI10000", "This request is not supported by Upstox API")
        return Response(302, b"", (("Location", self._new_uri()),))

    def _new_uri(self) -> str:
        code = self._access.new_code(self._clock.monotonic_ns())
        return f"ws://{self._host}{FEED_PATH}?requestId={self._access.new_id()}&code={code}"

    def _dialog(self, request: Request) -> Response:
        """The login page, with a user who agrees at once."""
        query = request.query
        if query.get("response_type") != "code" or not query.get("client_id"):
            raise RestError(400, "UDAPI100069", "The client_id or response_type is invalid")
        if not query.get("redirect_uri"):
            raise RestError(400, "UDAPI100070", "The redirect_uri is invalid")
        answer = {"code": self._access.new_login(query["client_id"], query["redirect_uri"])}
        if "state" in query:
            answer["state"] = query["state"]
        joint = "&" if "?" in query["redirect_uri"] else "?"
        return Response(302, b"", (("Location", query["redirect_uri"] + joint + urlencode(answer)),))

    def _exchange(self, request: Request) -> Response:
        """A login code for a token; the body is flat, without status and data."""
        form = {name: values[-1] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        login = self._access.use_login(form.get("code", ""))
        if login is None:
            raise RestError(401, "UDAPI100057", "Invalid Auth code")
        if form.get("client_id") != login[0] or not form.get("client_secret"):
            raise RestError(401, "UDAPI100069", "Check your 'client_id' and 'client_secret'; one or both are incorrect")
        if form.get("redirect_uri") != login[1]:
            raise RestError(400, "UDAPI100070", "Check your 'redirect_uri'; it does not match the login")
        if form.get("grant_type") != "authorization_code":
            raise RestError(400, "UDAPI100036", "Invalid Input")
        return json_response(200, _token_body(self._access.token))

    def _holidays(self, date: list[str]) -> Response:
        holidays = self._market.hours.holidays_body()
        if not date:
            return _success(holidays)
        wanted = _date("/".join(date)).isoformat()
        return _success([row for row in holidays if row["date"] == wanted])

    def _status(self, exchange: str) -> Response:
        body = self._market.hours.status_body(exchange, self._clock.wall_ns())
        if body is None:
            raise RestError(400, "UDAPI1089", "Invalid exchange")
        return _success(body)

    def _master(self, request: Request, name: str) -> Response:
        if not request.headers.get("user-agent"):
            return Response(403, b"Forbidden", (("Content-Type", "text/plain"),))
        stem = name.removesuffix(".json.gz")
        if stem == name or stem not in FILES:
            return Response(404, b"Not Found", (("Content-Type", "text/plain"),))
        known = (self._market.master.date, stem)
        if known not in self._files:
            self._files = {key: value for key, value in self._files.items() if key[0] == known[0]}
            self._files[known] = master_file(stem, self._market.master.listings.values())
        return Response(200, self._files[known], (("Content-Type", "application/gzip"),))

    def _quotes(self, request: Request, form: Callable[[Security], dict[str, Any]]) -> Response:
        keys = [key for key in request.query.get("instrument_key", "").split(",") if key]
        if len(keys) > _MAX_KEYS:
            raise RestError(400, "UDAPI100043", f"You can request at most {_MAX_KEYS} instrument keys")
        found = {key: self._market.security(key, self._clock.wall_ns()) for key in keys}
        data = {}
        for key, security in found.items():
            if security is None:
                # Observed: one unknown key fails the whole request.
                raise RestError(400, "UDAPI100095", f"Invalid instrument key: {key}")
            self._freshen(security)
            listing = security.listing
            data[f"{listing.segment}:{listing.symbol.replace(' ', '')}"] = form(security)
        if not data:
            raise RestError(400, "UDAPI1087", "Instrument key is required")
        return _success(data)

    def _freshen(self, security: Security) -> None:
        """Let an instrument that nobody streams catch up with the clock."""
        wall = self._clock.wall_ns()
        if wall // 1_000_000 - security.ltt > 1000 and self._market.phase(security, wall) is Phase.OPEN:
            security.move(wall // 1_000_000)

    def _last_price(self, security: Security) -> dict[str, Any]:
        return {
            "last_price": security.ltp / 100,
            "instrument_token": security.listing.key,
            "ltq": security.ltq,
            "volume": security.vtt,
            "cp": security.cp / 100,
        }

    def _full_quote(self, security: Security) -> dict[str, Any]:
        listing, book, day = security.listing, security.book, security.day
        is_index = listing.kind == "INDEX"
        bids = zip(book.bid_offsets[:5], book.bid_qtys, strict=False)
        asks = zip(book.ask_offsets[:5], book.ask_qtys, strict=False)
        depth = {
            "buy": [{"quantity": q, "price": max(0, book.bid - away) / 100, "orders": 1} for away, q in bids],
            "sell": [{"quantity": q, "price": (book.ask + away) / 100, "orders": 1} for away, q in asks],
        }
        return {
            "ohlc": {"open": day.open / 100, "high": day.high / 100, "low": day.low / 100, "close": day.close / 100},
            "depth": {"buy": [], "sell": []} if is_index else depth,
            "timestamp": ist(self._clock.wall_ns()).isoformat(timespec="milliseconds"),
            "instrument_token": listing.key,
            "symbol": listing.symbol,
            "last_price": security.ltp / 100,
            "volume": security.vtt,
            "average_price": round(security.atp / 100, 2),
            "oi": float(security.oi),
            "net_change": (security.ltp - security.cp) / 100,
            "total_buy_quantity": float(security.tbq),
            "total_sell_quantity": float(security.tsq),
            "lower_circuit_limit": round(security.cp * 0.9) / 100,
            "upper_circuit_limit": round(security.cp * 1.1) / 100,
            "last_trade_time": str(security.ltt),
            "oi_day_high": float(security.oi),
            "oi_day_low": float(security.oi),
            "prev_close_price": security.cp / 100,
            "cas_eligible": listing.closing_auction,
        }

    def _own(self, request: Request) -> Response:
        """What the broker does not have: counts, and faults on demand."""
        if request.path == "/simulator/stats" and request.method == "GET":
            return json_response(200, self._stats())
        if request.path == "/simulator/fault" and request.method == "POST":
            try:
                facts = json.loads(request.body)
                fault = fault_from_json(facts)
            except (ValueError, AttributeError) as error:
                return json_response(400, {"status": "error", "message": str(error)})
            self._strike(fault)
            return json_response(200, {"status": "success"})
        return json_response(404, {"status": "error", "message": "no such path"})


def error_body(code: str, message: str) -> dict[str, Any]:
    """The broker's error body, with both spellings of every key (observed 2026-09)."""
    return {
        "status": "error",
        "errors": [
            {
                "errorCode": code,
                "message": message,
                "propertyPath": None,
                "invalidValue": None,
                "error_code": code,
                "property_path": None,
                "invalid_value": None,
            }
        ],
    }


def _success(data: object) -> Response:
    return json_response(200, {"status": "success", "data": data})


def _not_found() -> RestError:
    return RestError(404, "UDAPI100060", "Resource not Found.")


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise RestError(400, "UDAPI1088", "Invalid date") from None


def _token_body(token: str) -> dict[str, Any]:
    return {
        "email": "simulated@example.com",
        "exchanges": ["NSE", "NFO", "BSE", "BFO", "CDS", "BCD", "MCX"],
        "products": ["D", "CO", "I"],
        "broker": "UPSTOX",
        "user_id": "SIM001",
        "user_name": "Simulated User",
        "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
        "user_type": "individual",
        "poa": False,
        "is_active": True,
        "access_token": token,
        "extended_token": None,
    }
