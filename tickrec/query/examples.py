"""Examples: queries to start from, and what can be asked, as `tickrec query --help` ends.

Loads nothing heavy, so that help is fast.
"""

from typing import Final, NamedTuple

from tickrec.query.views import RELATIONS


class Example(NamedTuple):
    """A query and what it answers."""

    title: str
    sql: str


EXAMPLES: Final = (
    Example("the last price of everything", "SELECT symbol, ltp, bid, ask, vtt, recv_ts FROM latest ORDER BY symbol"),
    Example(
        "the busiest instruments",
        "SELECT symbol, count(*) AS ticks, max(ltp) AS high FROM ticks GROUP BY symbol ORDER BY ticks DESC LIMIT 10",
    ),
    Example(
        "between two times of the day",
        "SELECT symbol, min(ltp) AS low, max(ltp) AS high FROM ticks "
        "WHERE CAST(recv_ts AT TIME ZONE 'Asia/Kolkata' AS TIME) BETWEEN '09:15' AND '09:30' GROUP BY symbol",
    ),
    Example("bars from ticks", "FROM candles('15 minutes') WHERE symbol = 'RELIANCE'"),
    Example(
        "and beside the broker's own",
        "SELECT c.start, c.close, f.min_close, c.volume, f.min_volume FROM candles('1 minute') c "
        "JOIN feed_bars f ON f.instrument_key = c.instrument_key AND f.min_ts = c.start WHERE c.symbol = 'RELIANCE'",
    ),
    Example(
        "what traded between two messages",
        "SELECT ltt, ltp, qty FROM trades WHERE symbol = 'RELIANCE' ORDER BY qty DESC LIMIT 10",
    ),
    Example(
        "the book, a row a level",
        "SELECT recv_ts, level, bid_qty, bid, ask, ask_qty FROM depth WHERE symbol = 'RELIANCE' ORDER BY seq, level",
    ),
    Example("an option chain at a moment", "FROM option_chain('NIFTY', '10:30')"),
    Example(
        "put-call ratio and max pain of an expiry",
        "FROM option_summary('NIFTY', '15 minutes') WHERE expiry = '2026-12-01'",
    ),
    Example("moves of 1 % within a minute", "FROM spikes('1 minute', 1)"),
    Example(
        "as-of join: each trade with the index at that moment",
        "SELECT t.ltt, t.ltp, i.ltp AS nifty FROM trades t ASOF JOIN ticks i ON i.symbol = 'NIFTY' "
        "AND i.date = t.date AND i.recv_ts <= t.recv_ts WHERE t.symbol = 'RELIANCE'",
    ),
    Example("what was not recorded", "FROM gaps"),
    Example("instruments that never answered", "SELECT symbol, asked_ts FROM subscriptions WHERE answered_ts IS NULL"),
    Example(
        "volume by hour, a column a symbol",
        "PIVOT (FROM candles('1 hour') WHERE symbol IN ('RELIANCE', 'HDFCBANK')) ON symbol USING sum(volume) "
        "GROUP BY start ORDER BY start",
    ),
)


def text() -> str:
    """What `--help` ends with: what can be asked, and the examples, a title and a statement each."""
    asked = "\n".join(f"  {each.usage:<30}  {each.comment}" for each in RELATIONS.values())
    shown = "\n".join(f"  {each.title}:\n    {each.sql}" for each in EXAMPLES)
    return f"\b\nTables, views and macros (--tables has their columns):\n{asked}\n\n\b\nExamples:\n{shown}"
