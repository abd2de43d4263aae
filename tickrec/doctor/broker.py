"""Broker: what a recording depends on there: its hosts, its clock, the day's instruments and calendar, the token.

Owns what of that is good enough. Asks what the recorder asks, and keeps the day's calendar and instruments in the
store as the recorder does.
"""

import datetime as dt
import os
from collections.abc import Iterable, Mapping
from typing import Final

from tickrec.clock import SECOND, Clock, from_datetime, ist
from tickrec.config import Config
from tickrec.doctor.findings import FAIL, OK, WARN, Finding
from tickrec.doctor.reach import ProxyError, host_of, proxy_for, proxy_name, reach
from tickrec.errors import NothingToRecord, TokenError, to_run
from tickrec.formatting import grouped, moment, plural
from tickrec.market.calendar import Calendar, Window, exchange_of, trading_date
from tickrec.record.plan import SHARE_SEGMENTS, Options, account_plan
from tickrec.record.plan_making import load_calendar
from tickrec.record.selection import select
from tickrec.store.paths import Store
from tickrec.upstox.auth import VARIABLE, Token, TokenSource, check_expiry, token_hint
from tickrec.upstox.protocol import Failure, Situation, explain, of_os_error
from tickrec.upstox.rest import Rest, RestError
from tickrec.upstox.timings import Sessions

CLOCK_WARN_SECONDS: Final = 1
"""The broker tells its time in whole seconds, so less cannot be told apart."""
CLOCK_FAIL_SECONDS: Final = 30
"""By then sessions begin and end late, and certificates and tokens may be taken for not valid."""
_NETWORK: Final = "Check the network and the name servers, and that a firewall lets port 443 out"
_CERTIFICATES: Final = (
    "Something on the way replaces certificates (a company's proxy, a virus scanner), or this machine's are old, or "
    "its clock is wrong. They are always verified; the root of a company's proxy is trusted when SSL_CERT_FILE names a "
    "file with it"
)
_PROXY: Final = "Correct the proxy's address in the environment (https_proxy, all_proxy), or name the host in no_proxy"
_CLOCK: Final = "Have it set over the network: sudo timedatectl set-ntp true"


class Broker:
    """The looks, in the order in which they build on each other."""

    def __init__(self, config: Config, environ: Mapping[str, str], clock: Clock, *, simulate: bool) -> None:
        self._config = config
        self._environ = environ
        self._clock = clock
        self._simulate = simulate
        self._rest = Rest(config.upstox.api_url, config.upstox.assets_url)
        self._now_ns = clock.wall_ns()
        self._token = TokenSource(config.upstox, environ).try_read()
        self._segments: set[str] = set(SHARE_SEGMENTS)
        self._answers = False
        self._feed_url = ""
        self._next: Window | None = None

    def redact(self, text: str) -> str:
        """The text without the token; that of the simulated market is a word, and no secret."""
        return self._token.redact(text) if isinstance(self._token, Token) and not self._simulate else text

    def api(self) -> Finding:
        """The host of the API."""
        found = _host(self._rest.api_url, self._rest, self._environ, self._now_ns)
        self._answers = found.result == OK
        return found

    def assets(self) -> Finding:
        """The host of the instrument files."""
        return _host(self._rest.assets_url, self._rest, self._environ, self._now_ns)

    def clock(self) -> Finding:
        """This machine's clock against the Date header of the API."""
        if not self._answers:
            return Finding(WARN, f"not compared, as {host_of(self._rest.api_url)} was not reached")
        before_ns = self._clock.wall_ns()
        try:
            server_ns = from_datetime(self._rest.server_date())
        except RestError as error:
            return _refused(error)
        offset = clock_offset(before_ns, server_ns, self._clock.wall_ns())
        if not offset:
            return Finding(OK, "within a second of the broker's")
        text = f"at least {abs(offset):.1f} s {'ahead of' if offset > 0 else 'behind'} the broker's"
        if abs(offset) > CLOCK_FAIL_SECONDS:
            return Finding(FAIL, text, _CLOCK)
        return Finding(WARN if abs(offset) > CLOCK_WARN_SECONDS else OK, text, _CLOCK)

    def symbols(self) -> Finding:
        """What the configured selectors mean today, and need. Raises UsageError, DataError."""
        record = self._config.record
        try:
            found = select(self._config, Options(record.symbols, record.mode, kept=True), self._environ, self._clock)
        except RestError as error:
            return _refused(error)
        self._segments = {each.segment for each in found.instruments}
        if found.connections is None:
            return Finding(FAIL, found.refusal)
        text = (
            f"{plural(len(found.instruments), 'instrument')} in mode {found.mode}: {found.connections} of "
            f"{plural(found.allowed, 'connection')} of plan {found.plan}, up to {grouped(found.cap)} keys each"
        )
        if found.unknown:
            text = f"{text}; unknown today and not recorded: {', '.join(found.unknown)}"
            return Finding(WARN, text, f"{to_run('symbols', found.unknown[0])} shows the nearest names")
        return Finding(OK, text)

    def calendar(self) -> Finding:
        """Today's sessions of what is recorded, or why there are none."""
        today = trading_date(self._now_ns)
        calendar = load_calendar(Store(self._config.store.data), self._rest, self._now_ns)
        exchanges = {exchange for segment in self._segments if (exchange := exchange_of(segment))} or {"NSE"}
        try:
            self._next = window = self._window(calendar, today, self._now_ns)
        except NothingToRecord as closed:
            after = calendar.next_session(today, exchanges)
            self._next = self._window(calendar, after[0], None) if after else None
            return Finding(OK, ". ".join(filter(None, (closed.what, closed.hint.removesuffix(".")))))
        begin, end = ist(window.start_ns), ist(window.stop_ns)
        morrow = " of the next day" if end.date() > begin.date() else ""
        hours = _hours(calendar.sessions(today), self._segments)
        return Finding(OK, f"trading today: {hours}; recorded from {begin:%H:%M} to {end:%H:%M}{morrow}")

    def _window(self, calendar: Calendar, date: dt.date, now_ns: int | None) -> Window:
        record = self._config.record
        return calendar.window(date, self._segments, record.start, record.stop, now_ns)

    def token(self) -> Finding:
        """Whether there is one, what it says of itself, and what the broker says. Raises TokenError."""
        if isinstance(self._token, TokenError):
            raise self._token
        token = self._token
        check_expiry(token, self._now_ns)
        until = "it does not say until when it is valid"
        if token.expires_ns is not None:
            until = f"valid until {moment(token.expires_ns, self._now_ns)}"
        text = f"{until}, plan {account_plan(self._config, token)}"
        if not self._answers:
            return Finding(WARN, f"{text}; not tried, as {host_of(self._rest.api_url)} was not reached")
        try:
            self._feed_url = self._rest.authorize(token)
        except RestError as error:
            if error.failure.situation is Situation.TOKEN_REFUSED:
                return Finding(FAIL, f"the broker refuses it: {error.what}", token_hint())
            return Finding(WARN, f"{text}; it could not be tried: {error.what}", "A recorder would go on trying")
        return self._lasting(token, f"accepted by the broker, {text}")

    def _lasting(self, token: Token, text: str) -> Finding:
        """Whether an accepted token will be there, and be good, for the next recording."""
        if token.expires_ns is not None and self._next is not None and token.expires_ns < self._next.stop_ns:
            ends = moment(self._next.stop_ns, self._now_ns)
            hint = (
                f"{to_run('login')} after 03:30 that day, or {to_run('login', '--analytics')} for one that lasts a year"
            )
            return Finding(WARN, f"{text}: not until the next recording ends ({ends})", hint)
        upstox = self._config.upstox
        elsewhere = upstox.token_command is not None or upstox.token_file.exists()
        if self._environ.get(VARIABLE) and not elsewhere and not self._simulate:
            hint = f"{to_run('login')} stores one in {upstox.token_file}"
            return Finding(WARN, f"{text}; but {VARIABLE} is set in this shell only, not for cron", hint)
        return Finding(OK, text)

    def feed(self) -> Finding:
        """The host of the websockets, as the broker names it."""
        if not self._feed_url:
            return Finding(WARN, "not looked at, as the broker gave no address for it", "See token")
        return _host(self._feed_url, self._rest, self._environ, self._now_ns)


def _hours(told: Sessions, segments: Iterable[str]) -> str:
    """When the segments trade: `NSE_EQ and NSE_INDEX 09:15 to 15:30, NSE_FO 09:15 to 15:40`."""
    alike: dict[str, list[str]] = {}
    for segment in sorted(segments):
        sessions = sorted(told.get(exchange_of(segment) or "", ()))
        hours = " and ".join(f"{ist(start):%H:%M} to {ist(end):%H:%M}" for start, end in sessions)
        if hours:
            alike.setdefault(hours, []).append(segment)
    return ", ".join(f"{' and '.join(names)} {hours}" for hours, names in alike.items())


def _refused(error: RestError) -> Finding:
    """A request that was not answered as it should."""
    hint = _NETWORK if error.status is None else error.hint
    return Finding(FAIL, error.brief, hint)


def _host(url: str, rest: Rest, environ: Mapping[str, str], now_ns: int) -> Finding:
    """Whether the host of an address is found, answers, and proves who it is; through a proxy where one is set."""
    host, proxy = host_of(url), proxy_for(url)
    through = f" through the proxy {proxy_name(proxy)}" if proxy else ""
    try:
        found = reach(url, lambda: rest.tls, proxy=proxy)
    except ProxyError as error:
        return Finding(FAIL, f"{host}{through}: {error}", _PROXY)
    except OSError as error:
        failure = Failure(of_os_error(error), detail=explain(error))
        hint = _certificates(environ) if failure.situation is Situation.TLS else _NETWORK
        return Finding(FAIL, f"{host}{through}: {failure.reason}", hint)
    if not found.tls:
        return Finding(OK, f"{host} answers, on this machine and without TLS")
    ends = found.certificate_ends_ns
    until = f", certificate until {moment(ends, now_ns)}" if ends is not None else ""
    where = through or f" at {found.address}"
    return Finding(OK, f"{host} answers{where}, {found.tls}{until}")


def _certificates(environ: Mapping[str, str]) -> str:
    """What to do about a certificate that is refused."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if (path := environ.get(name)) and not os.path.exists(path):
            return f"{name} names {path}, which is not there: no certificate is trusted. Correct it, or unset it"
    return _CERTIFICATES


def clock_offset(before_ns: int, server_ns: int, after_ns: int) -> float:
    """How many seconds our clock is at least ahead of the broker's (negative: behind); 0.0 when they may agree.

    The broker's time is cut to whole seconds, and was told at some moment between `before_ns` and `after_ns` of ours.
    """
    least, most = before_ns - server_ns - SECOND, after_ns - server_ns
    return (least if least > 0 else min(most, 0)) / SECOND
