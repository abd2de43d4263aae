"""Trades: which rows of ticks count as trades, how much each traded, and when.

Owns the rows that trades, candles and spikes are made of, in SQL over ticks.

A trade is what the feed lets through of one: it sends the state of an instrument a few times a second, so a row
counts as a trade when the volume traded today (vtt) has grown since the row before, and its quantity is that growth.
Where the feed sends no volume (indices, mode ltpc), a row counts when its last trade time is new. Either is called the
mark of a row here: what only grows in the course of a day. A snapshot counts like any other row: what traded while
there was no connection is in the first message after it. The first mark of a day tells no quantity.

Rows that still repeat the trade of an earlier day have a volume of 0 today: the first trade of an instrument that was
idle all morning is as large as its volume of today, whatever volume of yesterday it showed before. (How the feed shows
all this was observed 2025-03 to 2026-10.)

Not every value that arrives is right, and one bad value costs one row: a row believes its neighbours. Three steps, each
on fewer rows than the one before: the rows whose mark has changed; of these, the ones that the next rows confirm; of
these, the growth since the row before.
"""

from typing import Final

_NEAR: Final = 6
"""Marks before and after a row that it is held against."""
_IN_ORDER: Final = "PARTITION BY date, instrument_key, symbol, kind ORDER BY seq"


def _neighbours(function: str) -> str:
    """The marks of the rows before (lag) or after (lead), the nearest first. Frames of lists take ten times as long."""
    return "[" + ", ".join(f"{function}(mark, {n}) OVER w" for n in range(1, _NEAR + 1)) + "]"


def _votes(condition: str) -> str:
    """For each mark after a row 1 if it meets a condition and -1 if it does not."""
    return f"list_transform(later, lambda each: CASE WHEN {condition} THEN 1 WHEN each IS NOT NULL THEN -1 END)"


_SAID: Final = """
SELECT {columns}, {midnight} AS midnight, epoch_us(ltt) AS traded, {received} AS received,
    coalesce(traded >= 946684800000000 AND traded < least(midnight, received - 21600000000), false) AS old,
    CASE WHEN vtt IS NOT NULL THEN 0 WHEN traded > received + 60000000 THEN 2 ELSE 1 END AS kind,
    isfinite(ltp) AND (ltp > 0 OR (ltp < 0 AND instrument_key[1:3] = 'MCX')) AS usable,
    CASE WHEN old OR vtt = 0 THEN 0 WHEN usable THEN coalesce(vtt, traded // 1000) END AS mark
FROM main.ticks
WHERE vtt BETWEEN 0 AND 1000000000000000 OR (vtt IS NULL AND usable AND NOT old)
"""
"""What a row says. `old`: it still shows the last trade of an earlier day. Around midnight the trade of a moment ago is
none, and a time before the year 2000 is no time. `kind` 0 has a volume; of those without, rows whose trade time is
ahead of our clock are a kind of their own (2), so that they hide nobody's. `usable` is the price: only commodities can
have a negative one. A row without a usable price has no mark, so that its growth is the next one's. No volume is
beyond 10^15 units."""

_CHANGES: Final = f"""
SELECT * EXCLUDE (mark),
    CASE WHEN (old AND NOT old_before AND usable) OR (is_first AND mark IS NULL) THEN vtt ELSE mark END AS mark
FROM (
    SELECT *, lag(mark IGNORE NULLS) OVER w AS mark_before, lag(old, 1, true) OVER w AS old_before,
        row_number() OVER w = 1 AS is_first
    FROM ({_SAID})
    WINDOW w AS ({_IN_ORDER})
)
WHERE is_first OR (mark IS NOT NULL AND mark IS DISTINCT FROM mark_before)
"""
"""The rows whose mark is another than that of the row before. A trade of an earlier day shown after one of today is a
wrong time, and the row not old. The first row of all tells what the volume grows from, whatever its price."""

_CONFIRMED: Final = f"""
SELECT * FROM (
    SELECT *, {_neighbours("lag")} AS earlier, {_neighbours("lead")} AS later
    FROM ({_CHANGES}) WINDOW w AS ({_IN_ORDER})
)
WHERE coalesce(list_sum({_votes("each >= mark")}), 0) >= 0
    OR list_sum({_votes("each < least(earlier[1], coalesce(earlier[4], earlier[3], earlier[2]))")}) > 0
"""
"""The rows whose mark is not too high: half of the marks after it reach it. Or else the volume begins anew behind it:
most of them do not even reach the level before it."""

_GROWTH: Final = f"""
SELECT *, mark - CASE WHEN list_max(before) > reached
        THEN list_max(before[:list_position(list_transform(before, lambda each: each > reached), true) - 1])
        ELSE list_max(before) END AS growth,
    CASE WHEN told >= coalesce(told_before - 60000000, told) THEN told ELSE made END AS moment
FROM (
    SELECT *, {_neighbours("lag")} AS before,
        lag(told IGNORE NULLS) OVER w AS told_before,
        max(mark) OVER (w ROWS BETWEEN CURRENT ROW AND {_NEAR - 1} FOLLOWING) AS reached
    FROM (
        SELECT *, CASE WHEN traded BETWEEN midnight AND received + 60000000 THEN traded END AS told,
            CASE WHEN epoch_us(feed_ts) BETWEEN midnight AND received + 60000000 THEN epoch_us(feed_ts)
                 ELSE received END AS made
        FROM ({_CONFIRMED})
    )
    WINDOW w AS ({_IN_ORDER})
)
"""
"""What a mark has grown by. A message that comes late shows less than those before it: the highest of them counts, as
long as the rows from this one on reach it, looking back to where one is higher than those; if none does, the volume
begins anew here, and nothing is known of the growth. `moment` is when the trade was: the last trade time; when the
message was made, if that time is more than a minute ahead of our clock or behind the trade before, or not of the
date."""

OPENING: Final = """CASE WHEN instrument_key[2:4] = 'SE_' AND instrument_key[5:6] IN ('EQ', 'FO', 'IN')
         THEN 33300000000 ELSE 32400000000 END"""
"""When the segment of an instrument opens."""


def bar_at(time_of_day: str) -> str:
    """SQL for when the bar begins that a time of day belongs to, where `midnight`, `opening` and `width` are known.

    Bars are counted from the open of the segment, a daily one from midnight.
    """
    return f"""midnight + CASE WHEN width = 86400000000 THEN 0
        ELSE {time_of_day} - (({time_of_day} - opening) % width + width) % width END"""


PRICES: Final = f"""
SELECT {{columns}}, CASE WHEN kind = 0 THEN growth END AS qty, make_timestamptz(moment) AS moment_ts, midnight,
    moment - midnight AS time_of_day,
    {OPENING} AS opening
FROM ({_GROWTH})
WHERE coalesce(growth > 0, kind > 0 AND NOT snapshot)
"""
"""The rows that count as trades. Times of day are microseconds from midnight IST. `columns` are those of ticks that are
wanted, and all of NEEDED; every one of them costs time in each step."""

NEEDED: Final = ("date", "seq", "recv_ts", "feed_ts", "instrument_key", "symbol", "snapshot", "ltp", "ltt", "vtt")
"""The columns of ticks that make a trade."""
