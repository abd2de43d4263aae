"""Hints: why an answer is empty, where that can be known: a symbol that nobody recorded, a moment before any tick.

Asks the session again, and only after a question without an answer, so it costs nothing otherwise. Says nothing where
an empty answer may just be the answer.
"""

from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

from tickrec import formatting as fmt
from tickrec.errors import TickrecError, to_run
from tickrec.query.date_range import recorded
from tickrec.query.sandbox import Statement
from tickrec.query.session import Session

_FROM_TRADES: Final = frozenset(["candles", "bars", "trades", "spikes"])
_OPTIONS: Final = """
SELECT underlying_symbol, underlying_key, strftime(min(t.recv_ts), '%H:%M:%S'), count(t.oi)
FROM instruments JOIN subscriptions s USING (date, instrument_key) LEFT JOIN ticks t USING (date, instrument_key)
WHERE date = CAST($date AS DATE) AND instrument_type IN ('CE', 'PE')
GROUP BY underlying_symbol, underlying_key
"""
"""The underlyings of the options asked for on a date, when the first tick came, and how many had open interest."""
_LISTED: Final = 6
"""Names told in full; of more, the nearest."""


def why_empty(session: Session, statement: Statement) -> str | None:
    """Why the statement has no rows, in a sentence or two; None when that is not known."""
    if not session.dates():
        return None
    try:
        return _chain(session, statement) or _symbols(session, statement) or _trades(session, statement)
    except TickrecError:  # the question itself was answered
        return None


def _chain(session: Session, statement: Statement) -> str | None:
    """About the first option chain, or summary, that is asked for in plain words."""
    call = next((call for call in statement.calls if call.macro in ("option_chain", "option_summary")), None)
    if call is None or "underlying" not in call.given or (call.macro == "option_chain" and "at" not in call.given):
        return None
    name, time = call.given["underlying"], None
    date = call.given.get("day", str(session.dates()[-1]))
    if call.macro == "option_chain":
        sql = "SELECT strftime(stored.moment($at), '%Y-%m-%d'), strftime(stored.moment($at), '%H:%M:%S')"
        ((date, time),) = session.look_up(sql, {"option_chain"}, {"at": call.given["at"]})
    if date not in map(str, session.dates()):
        return f"nothing was recorded on {date}. Recorded: {recorded(session.store.dates())}"
    rows = session.look_up(_OPTIONS, {"instruments", "subscriptions", "ticks"}, {"date": date})
    known = {row[0] for row in rows if row[0]}
    if not rows:
        return f"no options were recorded on {date}. Record some: {to_run('record', '--symbols', f'{name}:opt:10')}"
    found = [row for row in rows if name.upper() == (row[0] or "").upper() or name == row[1]]
    if not found:
        return f"no options of {name} were recorded on {date}. {_nearest(name, known)}"
    first = min((first for _, _, first, _ in found if first), default=None)
    if first is None:
        return f"the options of {name} have no tick on {date}"
    if time is not None:
        return f"the first tick of an option of {name} on {date} came at {first}" if time <= first else None
    return None if any(row[-1] for row in found) else f"the ticks of the options of {name} on {date} have no oi"


def _symbols(session: Session, statement: Statement) -> str | None:
    """About the symbols that are asked for and that nobody recorded, or that never answered."""
    if not statement.symbols:
        return None
    rows = session.look_up(
        "SELECT symbol, bool_or(answered_ts IS NOT NULL) FROM subscriptions GROUP BY symbol", {"subscriptions"}
    )
    answered = {symbol: found for symbol, found in rows if symbol}
    for symbol in sorted(statement.symbols):
        if answered and symbol not in answered:
            return f"no {symbol} was recorded. {_nearest(symbol, answered)}"
        if symbol in answered and not answered[symbol]:
            return f"{symbol} was asked for and never answered; see FROM subscriptions"
    return None


def _trades(session: Session, statement: Statement) -> str | None:
    """About one date on which nothing traded yet: looking through many would take long."""
    if not _FROM_TRADES & statement.names or len(session.dates()) > 1:
        return None
    (date,) = session.dates()
    which = "WHERE symbol IN (SELECT unnest($symbols))" if statement.symbols else ""
    values = {"symbols": sorted(statement.symbols)} if statement.symbols else {}
    ((ticks,),) = session.look_up(f"SELECT count(*) FROM ticks {which}", {"ticks"}, values)
    if not ticks:
        return f"there is no tick on {date} yet"
    sql = f"SELECT (SELECT count(*) FROM candles('1 day') {which}), (SELECT count(*) FROM candles('1 minute') {which})"
    ((days, minutes),) = session.look_up(sql, {"candles"}, values)
    if days:
        before_open = not minutes and not statement.names & {"trades", "spikes"}
        return f"what traded on {date} so far is the pre-open's, which only daily bars have" if before_open else None
    return f"none of {fmt.plural(ticks, 'tick')} on {date} is a trade: snapshots and unchanged volumes are none"


def _nearest(name: str, known: Collection[str]) -> str:
    if len(known) <= _LISTED:
        return f"Recorded: {', '.join(sorted(known))}"
    by_capitals = {each.upper(): each for each in known}
    near = get_close_matches(name.upper(), by_capitals, n=3, cutoff=0.6)
    return f"Nearest: {', '.join(by_capitals[each] for each in near)}" if near else to_run("query", '"FROM latest"')
