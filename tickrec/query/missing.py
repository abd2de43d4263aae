"""Missing: the intervals of an instrument's session that were not recorded. The only definition of it.

Owns the view `missing`, in SQL over ticks, subscriptions, connections, gaps and sessions, and the words of its column
`why`. What happened to an instrument is put in order as events: its session begins and ends, it is recorded and is not,
its connection has a gap, it is stale. Between two of them nothing changes, and one of the words is true or none.

A session is the newest that the runs of a date went by; of a date before there was such a table, the calendar's. It
goes until now while it lasts. An instrument is recorded from its answer to the end of the websocket that it was asked
for on, but for gaps. One that answers at once when a gap is over was missing for as long as the gap.

When silence is strange is for `market.silence_rule` to say. It is looked for in quarters of a minute: a silence of
LEAST_NS leaves one of them empty. Those in which the whole connection was mute do not count.
"""

from typing import Final

from tickrec.market.silence_rule import LEAST_NS, LEAST_TICKS, MINUTE_NS, MINUTES, TIMES

NOT_YET: Final = "not answered yet"
NEVER: Final = "never answered"
GAP: Final = "gap"
"""Of its connection, or of the journal (conn 0)."""
ENDED: Final = "recording ended"
"""Nobody has asked for it since the websocket was closed."""
STALE: Final = "stale"
"""It stopped ticking while others did not, and traded meanwhile as far as its volume tells."""
WHYS: Final = (NOT_YET, NEVER, GAP, ENDED, STALE)

_US: Final = 1000
_MINUTE_US: Final = MINUTE_NS // _US
CELL_US: Final = LEAST_NS // _US // 2
_CELLS_A_MINUTE: Final = _MINUTE_US // CELL_US
_FOREVER: Final = 1 << 62
_AT_ONCE_US: Final = 2_000_000
"""A key that has not answered so long after it was asked for is asked for again."""

_SESSION_ROWS: Final = """
WITH known AS (
    SELECT date, segment, start_ts, end_ts
    FROM (FROM main.sessions UNION ALL BY NAME FROM stored.calendar)
    QUALIFY rank() OVER (PARTITION BY date, segment ORDER BY seq DESC NULLS LAST) = 1
        AND (seq IS NULL) = (first_value(seq) OVER (PARTITION BY date ORDER BY seq DESC NULLS LAST) IS NULL)
)
SELECT date, segment, epoch_us(start_ts) AS begins, least(epoch_us(end_ts), stored.now()) AS ends
FROM known WHERE epoch_us(start_ts) < least(epoch_us(end_ts), stored.now())
"""
"""The newest sessions of each segment; the calendar's, which have no seq, of dates of which there are no others."""

_ASKED: Final = """
SELECT s.date, s.instrument_key, s.symbol, s.conn, epoch_us(s.asked_ts) AS asked, epoch_us(s.answered_ts) AS answered,
    epoch_us(c.closed_ts) AS closed, coalesce(s.followed, false) AS followed,
    row_number() OVER w = 1 AS is_first, lead(epoch_us(s.asked_ts)) OVER w AS asked_next
FROM main.subscriptions s
ASOF LEFT JOIN main.connections c ON s.date = c.date AND s.conn = c.conn AND s.asked_ts >= c.opened_ts
WINDOW w AS (PARTITION BY s.date, s.instrument_key ORDER BY s.asked_ts NULLS FIRST, s.seq NULLS LAST)
"""
"""Every time that a key was asked for, and until when the websocket lived that it was asked for on."""

_KEY_SESSIONS: Final = """
SELECT date, instrument_key, greatest(begins, wanted_from) AS begins, ends
FROM (
    SELECT date, instrument_key, split_part(instrument_key, '|', 1) AS segment,
        CASE WHEN followed THEN asked ELSE 0 END AS wanted_from
    FROM asked WHERE is_first
)
JOIN session_rows USING (date, segment)
WHERE greatest(begins, wanted_from) < ends
"""
"""The sessions of every instrument that was asked for; of one that was followed, from then on."""

_CELLS: Final = f"""
SELECT date, instrument_key, epoch_us(recv_ts) // {CELL_US} AS cell, snapshot, max(conn) AS conn, count(*) AS ticks,
    epoch_us(min(recv_ts)) AS first_at, epoch_us(max(recv_ts)) AS last_at,
    arg_min(vtt, seq) AS first_vtt, arg_min(ltq, seq) AS first_ltq,
    CASE WHEN epoch_us(max(ltt)) < epoch_us(date) - 19800000000 THEN 0 * max(vtt) ELSE arg_max(vtt, seq) END AS last_vtt
FROM main.ticks
GROUP BY date, instrument_key, cell, snapshot
"""
"""What came of an instrument in a quarter of a minute: its ticks, and apart from them its snapshots. While it repeats
the last trade of an earlier day nothing has been traded on this one."""

_STALE_TIMES: Final = f"""
WITH ticked AS (
    FROM cells WHERE NOT snapshot
), shown AS (
    SELECT date, instrument_key, max(last_at) AS shown_at, arg_max(last_vtt, last_at) AS shown_vtt
    FROM cells WHERE snapshot GROUP BY date, instrument_key
), silences AS (
    SELECT date, instrument_key, conn, cell, last_at AS silent_from, least(coalesce(next_at, ends), ends) AS silent_to,
        ticks_before,
        last_at - greatest((cell // {_CELLS_A_MINUTE} - {MINUTES}) * {_MINUTE_US}, begins, recorded_from) AS span
    FROM (
        SELECT *, lead(cell) OVER w AS next_cell, lead(first_at) OVER w AS next_at, lead(first_vtt) OVER w AS next_vtt,
            lead(first_ltq) OVER w AS next_ltq, first_value(first_at) OVER w AS recorded_from,
            sum(ticks) OVER (
                w RANGE BETWEEN {MINUTES * _CELLS_A_MINUTE} + cell % {_CELLS_A_MINUTE} PRECEDING AND CURRENT ROW
            ) AS ticks_before
        FROM (
            SELECT c.* EXCLUDE (ticks), begins, ends, CASE WHEN begins IS NOT NULL THEN ticks ELSE 0 END AS ticks
            FROM ticked c
            LEFT JOIN key_sessions s
                ON s.date = c.date AND s.instrument_key = c.instrument_key AND last_at >= begins AND last_at < ends
        )
        WINDOW w AS (PARTITION BY date, instrument_key ORDER BY cell)
    )
    LEFT JOIN shown USING (date, instrument_key)
    WHERE begins IS NOT NULL AND next_cell IS DISTINCT FROM cell + 1
        AND CASE WHEN next_cell IS NOT NULL THEN coalesce(next_vtt - last_vtt > coalesce(next_ltq, 0), true)
                 WHEN shown_at > last_at THEN coalesce(shown_vtt > last_vtt, true)
                 ELSE true END
), strange AS (
    SELECT *, greatest({TIMES} * span // ticks_before, {LEAST_NS // _US}) AS patience
    FROM silences WHERE ticks_before >= {LEAST_TICKS} AND silent_to - silent_from >= patience
), lively AS (
    SELECT DISTINCT date, conn, cell FROM ticked
)
SELECT s.date, instrument_key, silent_from, silent_to
FROM strange s
LEFT JOIN lively l
    ON l.date = s.date AND l.conn = s.conn AND l.cell > s.cell AND l.cell < silent_to // {CELL_US}
GROUP BY s.date, instrument_key, silent_from, silent_to, s.cell, patience
HAVING silent_to - silent_from - (silent_to // {CELL_US} - s.cell - 1 - count(l.cell)) * {CELL_US} >= patience
"""
"""The silences of an instrument that are strange, and that its volume does not explain: from its last tick to its next,
or to the end of the session. Where no tick follows, the day's last snapshot may tell what was traded."""

_INTERVALS: Final = f"""
WITH gap_times AS (
    SELECT date, conn, epoch_us(start_ts) AS begins, coalesce(epoch_us(end_ts), {_FOREVER}) AS ends FROM main.gaps
), spans AS (
    SELECT *, CASE WHEN is_first THEN 0 ELSE asked END AS asked_from, coalesce(asked_next, {_FOREVER}) AS asked_to
    FROM asked
), changes AS (
    SELECT date, instrument_key, asked_from AS moment, conn AS asked_on, NULL AS lost_on,
        0 AS session, 0 AS recorded, 0 AS gap, 0 AS stale
    FROM spans
    UNION ALL
    SELECT date, instrument_key, unnest([begins, ends]), NULL, NULL, unnest([1, -1]), 0, 0, 0 FROM key_sessions
    UNION ALL
    SELECT date, instrument_key, unnest([begins, ends]), NULL, NULL, 0, unnest([1, -1]), 0, 0
    FROM (
        SELECT s.date, instrument_key, answered,
            CASE WHEN answered - g.ends < {_AT_ONCE_US} THEN g.ends ELSE answered END AS begins,
            coalesce(closed, {_FOREVER}) AS ends
        FROM spans s
        ASOF LEFT JOIN gap_times g ON s.date = g.date AND s.conn = g.conn AND s.answered >= g.ends
        WHERE answered IS NOT NULL
    )
    UNION ALL
    SELECT date, instrument_key, unnest([begins, ends]), NULL, unnest([conn, NULL]), 0, 0, unnest([1, -1]), 0
    FROM (
        SELECT s.date, instrument_key, g.conn, greatest(begins, asked_from) AS begins, least(ends, asked_to) AS ends
        FROM spans s JOIN gap_times g ON s.date = g.date AND g.conn IN (s.conn, 0)
            AND begins < asked_to AND ends > asked_from
    )
    UNION ALL
    SELECT date, instrument_key, unnest([silent_from, silent_to]), NULL, NULL, 0, 0, 0, unnest([1, -1])
    FROM stale_times
), moments AS (
    SELECT date, instrument_key, moment, max(asked_on) AS asked_on, max(lost_on) AS lost_on,
        sum(session) AS session, sum(recorded) AS recorded, count(*) FILTER (recorded = 1) AS answers,
        sum(gap) AS gap, sum(stale) AS stale
    FROM changes GROUP BY date, instrument_key, moment
), states AS (
    SELECT date, instrument_key, moment,
        last_value(asked_on IGNORE NULLS) OVER w AS asked_on, last_value(lost_on IGNORE NULLS) OVER w AS lost_on,
        sum(session) OVER w > 0 AS in_session, sum(recorded) OVER w > 0 AS is_recorded, sum(gap) OVER w > 0 AS in_gap,
        sum(stale) OVER w > 0 AS is_stale, sum(answers) OVER w AS answers, sum(answers) OVER k AS answers_of_day
    FROM moments
    WINDOW k AS (PARTITION BY date, instrument_key), w AS (PARTITION BY date, instrument_key ORDER BY moment)
), judged AS (
    SELECT date, instrument_key, moment,
        CASE WHEN NOT in_session THEN NULL
             WHEN in_gap THEN '{GAP}'
             WHEN NOT is_recorded AND answers_of_day = 0 THEN '{NEVER}'
             WHEN NOT is_recorded AND answers = answers_of_day THEN '{ENDED}'
             WHEN NOT is_recorded THEN '{NOT_YET}'
             WHEN is_stale THEN '{STALE}' END AS why,
        CASE WHEN why IS NOT NULL THEN CASE WHEN in_gap THEN lost_on ELSE asked_on END END AS conn
    FROM states
), turns AS (
    FROM judged
    WINDOW w AS (PARTITION BY date, instrument_key ORDER BY moment)
    QUALIFY (why, conn) IS DISTINCT FROM (lag(why) OVER w, lag(conn) OVER w)
)
SELECT date, instrument_key, symbol, conn, make_timestamptz(moment) AS start_ts, make_timestamptz(ends) AS end_ts, why
FROM (SELECT *, lead(moment) OVER (PARTITION BY date, instrument_key ORDER BY moment) AS ends FROM turns)
JOIN (SELECT date, instrument_key, any_value(symbol) AS symbol FROM asked GROUP BY ALL)
    USING (date, instrument_key)
WHERE why IS NOT NULL
"""

STEPS: Final = f"""
session_rows AS ({_SESSION_ROWS}), asked AS ({_ASKED}), key_sessions AS ({_KEY_SESSIONS}), cells AS ({_CELLS}),
stale_times AS ({_STALE_TIMES}), intervals AS ({_INTERVALS})
"""
"""What is behind WITH in a question about `intervals`, and about the steps on the way to them. As views of their own
each would be bound, planned and run again wherever it is named, which is most of the time of a small question."""

NEEDS: Final = ("ticks", "gaps", "connections", "subscriptions", "sessions", "stored.calendar", "stored.now")
"""What those steps are made of."""

NOW: Final = "CREATE OR REPLACE MACRO stored.now() AS {now}"

MISSING: Final = f"""
CREATE OR REPLACE VIEW main.missing AS
WITH {STEPS}
SELECT {{columns}} FROM intervals ORDER BY date, symbol, instrument_key, start_ts
"""

LOST_MINUTES: Final = f"""
WITH {STEPS}
SELECT DISTINCT date, instrument_key, make_timestamptz({_MINUTE_US} * unnest(
    range(epoch_us(start_ts) // {_MINUTE_US}, (epoch_us(end_ts) - 1) // {_MINUTE_US} + 1))) AS start_ts
FROM intervals
"""
"""The minutes of every instrument that were not recorded whole."""
