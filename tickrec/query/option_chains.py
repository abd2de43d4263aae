"""Option chains: the macros `option_chain` and `option_summary`, in SQL over ticks and instruments.

Owns what is known of a chain at a moment and how it has changed since the open, the put-call ratio and max pain. Known
is what the newest message before the moment said that said anything, by our clock; what an instrument showed before
the open of its segment is not what it changed from.
"""

from typing import Final

from tickrec.query.trades import OPENING, bar_at

SIDE: Final = ("oi", "vtt", "iv", "delta", "bid", "ask", "ltp")
"""What an option chain shows of a call, from the outside in; of a put, the other way round."""
MORE: Final = ("theta", "gamma", "vega", "rho")
"""What it shows of both behind that."""
CHANGES: Final = ("ltp", "oi", "iv", "delta", "theta", "gamma", "vega", "rho")
"""What it shows the change of since the open."""

MOMENT: Final = """
CREATE OR REPLACE MACRO stored.moment("at") AS coalesce(
    TRY_CAST(CAST("at" AS VARCHAR) AS TIMESTAMPTZ),
    timezone('Asia/Kolkata', DATE '{today}' + TRY_CAST(CAST("at" AS VARCHAR) AS TIME)),
    CAST(CAST("at" AS VARCHAR) AS TIMESTAMPTZ))
"""


def _known() -> str:
    """The newest of what each instrument said until a moment, and the first of it since the open."""
    newest = (f"arg_max({name}, seq) AS {name}" for name in (*SIDE, *MORE))
    first = (f"arg_min({name}, seq) FILTER (since_open) AS first_{name}" for name in CHANGES if name != "ltp")
    traded = "arg_min(ltp, seq) FILTER (since_open AND NOT coalesce(epoch_us(ltt) < midnight, false)) AS first_ltp"
    return ", ".join((*newest, *first, traded))


def _of(side: str, kind: str, names: tuple[str, ...]) -> str:
    return ", ".join(f"any_value({name}) FILTER (instrument_type = '{kind}') AS {side}_{name}" for name in names)


def _change(side: str, kind: str) -> str:
    filtered = f"FILTER (instrument_type = '{kind}')"
    return ", ".join(f"any_value({name} - first_{name}) {filtered} AS {side}_{name}_change" for name in CHANGES)


CHAIN: Final = f"""
CREATE OR REPLACE MACRO main.option_chain(underlying, "at", expiry := NULL, lowest := NULL, highest := NULL) AS TABLE
WITH contracts AS (
    SELECT instrument_key, i.expiry, strike, instrument_type, underlying_key FROM main.instruments i
    WHERE date = {{dated}} AND instrument_type IN ('CE', 'PE')
        AND (upper(underlying_symbol) = upper(underlying) OR underlying_key = underlying)
        AND (expiry IS NULL OR i.expiry = CAST(expiry AS DATE))
        AND (lowest IS NULL OR strike >= lowest) AND (highest IS NULL OR strike <= highest)
), known AS (
    SELECT instrument_key, {_known()}
    FROM (
        SELECT *, {{midnight}} AS midnight, {{received}} AS received, received - midnight >= {{since}} AS since_open
        FROM main.ticks
    )
    WHERE date = {{dated}} AND received <= epoch_us(stored.moment("at"))
        AND instrument_key IN (SELECT unnest([instrument_key, underlying_key]) FROM contracts)
    GROUP BY instrument_key
)
SELECT c.expiry, {_of("call", "CE", SIDE)}, strike, {_of("put", "PE", SIDE[::-1])},
    any_value(spot) AS underlying_ltp, {_of("call", "CE", MORE)}, {_of("put", "PE", MORE)},
    {_change("call", "CE")}, {_change("put", "PE")}
FROM contracts c JOIN known USING (instrument_key)
LEFT JOIN (SELECT instrument_key AS underlying_key, ltp AS spot FROM known) USING (underlying_key)
GROUP BY c.expiry, strike ORDER BY c.expiry, strike
"""

SUMMARY: Final = f"""
CREATE OR REPLACE MACRO main.option_summary(underlying, "interval", day := NULL) AS TABLE
WITH contracts AS (
    SELECT date, instrument_key, expiry, strike, instrument_type, underlying_key FROM main.instruments
    WHERE date = coalesce(CAST(day AS DATE), DATE '{{newest}}') AND instrument_type IN ('CE', 'PE')
        AND (upper(underlying_symbol) = upper(underlying) OR underlying_key = underlying)
), wanted AS (
    SELECT date, instrument_key FROM contracts
    UNION
    SELECT date, underlying_key FROM contracts
), said AS (
    SELECT date, instrument_key, arg_max(oi, seq) AS oi, arg_max(ltp, seq) AS ltp,
        {bar_at("time_of_day")} AS bar
    FROM (
        SELECT *, stored.summary_width("interval") AS width, {OPENING} AS opening,
            {{midnight}} AS midnight, greatest({{received}} - midnight, {{since}}) AS time_of_day
        FROM main.ticks WHERE date = coalesce(CAST(day AS DATE), DATE '{{newest}}')
    )
    JOIN wanted USING (date, instrument_key)
    GROUP BY date, instrument_key, bar
), known AS (
    SELECT date, bar, instrument_key,
        last_value(oi IGNORE NULLS) OVER w AS oi, last_value(ltp IGNORE NULLS) OVER w AS ltp
    FROM (SELECT DISTINCT date, bar FROM said)
    JOIN (SELECT DISTINCT date, instrument_key FROM said) USING (date)
    LEFT JOIN said USING (date, bar, instrument_key)
    WINDOW w AS (PARTITION BY date, instrument_key ORDER BY bar)
), open_interest AS (
    SELECT c.date, expiry, k.bar AS bar, strike, any_value(u.ltp) AS spot,
        sum(k.oi) FILTER (instrument_type = 'CE') AS calls, sum(k.oi) FILTER (instrument_type = 'PE') AS puts
    FROM contracts c
    JOIN known k ON k.date = c.date AND k.instrument_key = c.instrument_key
    LEFT JOIN known u ON u.date = c.date AND u.instrument_key = c.underlying_key AND u.bar = k.bar
    GROUP BY c.date, expiry, k.bar, strike
    HAVING count(k.oi) > 0
), pains AS (
    SELECT date, expiry, bar, s.strike AS strike,
        sum(coalesce(o.calls, 0) * greatest(s.strike - o.strike, 0)
            + coalesce(o.puts, 0) * greatest(o.strike - s.strike, 0)) AS pain
    FROM open_interest s JOIN open_interest o USING (date, expiry, bar)
    GROUP BY date, expiry, bar, s.strike
)
SELECT date, expiry, make_timestamptz(bar) AS start, call_oi, put_oi, put_oi / nullif(call_oi, 0) AS put_call_ratio,
    max_pain, strikes, underlying_ltp
FROM (
    SELECT date, expiry, bar, sum(calls) AS call_oi, sum(puts) AS put_oi, count(*) AS strikes,
        any_value(spot) AS underlying_ltp
    FROM open_interest GROUP BY date, expiry, bar
)
JOIN (
    SELECT date, expiry, bar, arg_min(strike, (pain, strike)) AS max_pain FROM pains GROUP BY date, expiry, bar
) USING (date, expiry, bar)
ORDER BY date, expiry, start
"""
"""What an instrument last said stands until it says something else. Bars are counted from the open of the underlying's
options; what was said before belongs to the first."""

WIDTH: Final = """
CREATE OR REPLACE MACRO stored.summary_width(span) AS
CASE WHEN epoch_us(CAST(span AS INTERVAL)) BETWEEN 1000000 AND 86400000000 THEN epoch_us(CAST(span AS INTERVAL))
     ELSE error('option_summary: the interval must be from 1 second to 1 day') END
"""
