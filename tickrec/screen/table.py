"""The live table: a LiveView laid out for a terminal of any size.

Owns what stands where and what is left out when there is little room. Does not know colours or terminals.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from tickrec import formatting as fmt
from tickrec.clock import SECOND
from tickrec.screen.live import Extent, LiveView, Row
from tickrec.screen.page import Chunk, Mark, Page, Tone
from tickrec.status.runstatus import CONNECTED, STALE, WAITING, ConnectionStatus, RunStatus

_QUIET_S: Final = 30.0
"""Silence longer than this, while data is expected, needs a person."""
_ATTEMPTS: Final = 3
"""So does a connection that has failed so often in a row."""
_LAG_S: Final = 5.0
"""So does a disk that takes longer than this to make data durable."""
_TOKEN_S: Final = 1800.0
"""So does a token that expires within this time, or before the planned end."""
_OLD_S: Final = 60.0
"""Rows without news for longer are faint."""

_MIN_SYMBOL: Final = 8
_MIN_VALUE: Final = 9
"""Characters of a price, volume or open interest column at least, so that columns rarely move."""
_PERCENT: Final = 7
_AGE: Final = 4
_BETWEEN: Final = 5
"""Spaces between panels."""
_ARROWS: Final = {1: "▲", -1: "▼", 0: " "}


def live_page(view: LiveView, width: int, height: int) -> Page:
    """The view as exactly `height` lines of `width` characters."""
    page = Page(width)
    _header(page, view)
    below = Page(width)
    _instruments(below, view, height - len(page.lines))
    at = len(page.lines) * (width + 1)
    page.lines += below.lines
    page.marks += [Mark(at + begin, at + end, tone) for begin, end, tone in below.marks]
    page.cut(height)
    return page


def _header(page: Page, view: LiveView) -> None:
    run, now_ns = view.run, view.now_ns
    page.spread(_title(run, now_ns), [_disk(run)])
    if run.state == WAITING and run.start_ns is not None:
        wait = fmt.duration((run.start_ns - now_ns) / SECOND)
        page.spread([Chunk(f"recording begins at {fmt.moment(run.start_ns, now_ns)}, in {wait}", Tone.STRONG)])
        return
    if run.reason:
        page.spread([Chunk(run.reason, Tone.ALARM)])
    for connection in run.connections:
        first = connection is run.connections[0]
        page.spread(connection_chunks(connection, run, now_ns), [_gaps(run, now_ns)] if first else [])
    page.spread(_storage(run, now_ns), _token(run, now_ns))


def _title(run: RunStatus, now_ns: int) -> list[Chunk]:
    state = Chunk(f"{run.state} {run.date}", Tone.ALARM if run.state == STALE else Tone.STRONG)
    return [
        Chunk("tickrec", Tone.ACCENT),
        state,
        Chunk("simulated" if run.simulated else "", Tone.ACCENT),
        Chunk(run.session, rank=5, short=run.session.partition(",")[0]),
        Chunk(fmt.clock_time(now_ns), rank=2),
        Chunk(f"up {fmt.duration((now_ns - run.started_ns) / SECOND)}", Tone.FAINT, rank=4),
    ]


def _disk(run: RunStatus) -> Chunk:
    """`disk 61 GB (~24 days)`, or hours when it is less than two days, or the size alone while that is not known."""
    if run.disk_free_bytes is None:
        return Chunk("")
    words = "disk low:" if run.disk_low else "disk"
    short = f"{words} {fmt.size(run.disk_free_bytes)}"
    tone = Tone.ALARM if run.disk_low else Tone.PLAIN
    return Chunk(f"{short} (~{lasting})" if (lasting := disk_lasting(run)) else short, tone, rank=3, short=short)


def disk_lasting(run: RunStatus) -> str:
    """About how long the free space lasts: `24 days`, or `5 hours` when it is less than two days; may be empty."""
    days, hours = run.disk_days, run.disk_hours
    if days is not None and (days >= 2 or hours is None):
        return fmt.plural(max(int(days), 1), "day")
    if hours is None:
        return ""
    return fmt.plural(int(hours), "hour") if hours >= 2 else fmt.plural(int(hours * 60), "minute")


def connection_chunks(connection: ConnectionStatus, run: RunStatus, now_ns: int) -> list[Chunk]:
    """The line of a connection: how it does, or when the next attempt is and why."""
    name = Chunk(f"conn {connection.conn}")
    if connection.state != CONNECTED:
        return [name, *_lost(connection, now_ns)]
    last_s = None if connection.last_message_ns is None else (now_ns - connection.last_message_ns) / SECOND
    quiet = is_unheard(connection, run, now_ns)
    return [
        name,
        Chunk(f"up {fmt.age((now_ns - connection.since_ns) / SECOND)}", rank=4),
        Chunk(f"{connection.answered}/{connection.keys} keys", rank=2),
        Chunk(f"{fmt.rate(connection.message_rate)} msg/s", rank=5),
        Chunk(f"{fmt.rate(connection.rate)} ticks/s"),
        Chunk(f"last {fmt.age(last_s)}", Tone.ALARM if quiet else Tone.PLAIN),
    ]


def is_unheard(connection: ConnectionStatus, run: RunStatus, now_ns: int) -> bool:
    """Whether an open connection has said nothing for long, though data is expected; also one that never has."""
    heard_ns = max(connection.last_message_ns or 0, connection.since_ns)
    return run.expects_data and now_ns - heard_ns > _QUIET_S * SECOND


def _lost(connection: ConnectionStatus, now_ns: int) -> list[Chunk]:
    """`retry in 4s (3rd)  403 on handshake`."""
    retry_ns = connection.retry_ns
    words = connection.state
    if retry_ns is not None and retry_ns > now_ns:
        words = f"retry in {fmt.countdown((retry_ns - now_ns) / SECOND)}"
    if connection.attempt:
        words += f" ({fmt.ordinal(connection.attempt)})"
    tone = Tone.ALARM if connection.attempt >= _ATTEMPTS else Tone.STRONG
    return [Chunk(words, tone), Chunk(connection.reason)]


def _gaps(run: RunStatus, now_ns: int) -> Chunk:
    short = f"gaps {run.gap_count}"
    if not run.gaps:
        return Chunk(short, rank=3, short=short)
    total = fmt.duration(run.gap_seconds(now_ns))
    lasts = ", one lasts" if any(gap.end_ns is None for gap in run.gaps) else ""
    return Chunk(f"{short} ({total}{lasts})", rank=3, short=short)


def _storage(run: RunStatus, now_ns: int) -> list[Chunk]:
    chunks = [Chunk(f"journal {fmt.size(run.journal_bytes)}")]
    if run.durable_ns is not None:
        lag = (now_ns - run.durable_ns) / SECOND
        chunks.append(Chunk(f"synced {fmt.age(lag)} ago", Tone.ALARM if lag > _LAG_S else Tone.PLAIN, rank=2))
    chunks += [
        Chunk(f"unflushed {fmt.grouped(run.unflushed_ticks)}", rank=3),
        Chunk(f"parquet {fmt.grouped(run.parquet_ticks)}", rank=4),
    ]
    if run.duckdb_lag_ticks is not None:
        chunks.append(Chunk(f"duckdb {fmt.grouped(-run.duckdb_lag_ticks)}", rank=5))
    chunks.append(Chunk(f"rejected {fmt.grouped(run.rejected)}", rank=0 if run.rejected else 6))
    return chunks


def _token(run: RunStatus, now_ns: int) -> list[Chunk]:
    """A warning when the token does not last."""
    expires_ns = run.token_expires_ns
    if expires_ns is None or expires_ns > max(now_ns + _TOKEN_S * SECOND, run.stop_ns or 0):
        return []
    words = "expired" if expires_ns <= now_ns else "expires"
    return [Chunk(f"token {words} {fmt.moment(expires_ns, now_ns)}", Tone.ALARM)]


class _Layout(NamedTuple):
    """Columns of one panel, and how many panels stand side by side."""

    symbol: int
    price: int
    volume: int
    oi: int
    """0: the column is left out, here and in the others."""
    book: bool
    change: bool
    between: int
    panels: int = 1

    @property
    def space(self) -> str:
        """What stands between two columns."""
        return " " * self.between

    @property
    def width(self) -> int:
        """Characters of a panel."""
        columns = [self.price + 2, _PERCENT * self.change, *(self.price * self.book,) * 2, self.volume, self.oi, _AGE]
        return self.symbol + sum(column + self.between for column in columns if column)


def _layout(extent: Extent, width: int, panels: int) -> _Layout:
    """The most columns that fit: oi is left out first, then volume, the book and the change.

    Columns move closer together before one is left out, except for open interest that no instrument has.
    """
    whole = _Layout(
        max(_MIN_SYMBOL, extent.symbol),
        max(_MIN_VALUE, len(fmt.price(extent.price))),
        max(_MIN_VALUE, len(fmt.grouped(extent.volume))),
        max(_MIN_VALUE, len(fmt.grouped(int(extent.oi)))),
        book=True,
        change=True,
        between=2,
    )
    small = whole._replace(oi=0, volume=0)
    bare = small._replace(book=False)
    columns = [whole, whole._replace(oi=0), small, bare, bare._replace(change=False)]
    fewer = [each._replace(between=between) for each in columns for between in (2, 1)]
    if not extent.oi:
        del fewer[1]
    for layout in fewer:
        if layout.width <= width:
            return _widened(layout, width, panels)
    rest = layout.width - layout.symbol
    return layout._replace(symbol=max(_MIN_SYMBOL, width - rest))


def _widened(layout: _Layout, width: int, panels: int) -> _Layout:
    panels = max(1, min(panels, (width + _BETWEEN) // (layout.width + _BETWEEN)))
    for between in (4, 3):
        wider = layout._replace(between=between)
        if layout.between > 1 and (wider.width + _BETWEEN) * panels - _BETWEEN <= width:
            return wider._replace(panels=panels)
    return layout._replace(panels=panels)


def _instruments(page: Page, view: LiveView, height: int) -> None:
    """The rows and what stands below them, in `height` lines."""
    if not view.rows:
        _footer(page, view, view.hidden)
        return
    spacious = height >= 12
    total = len(view.rows) + view.hidden
    room = max(height - 2 - spacious - bool(view.news), 1)
    layout = _layout(view.extent, page.width, -(-total // room))
    shown = view.rows[: room * layout.panels]
    if spacious:
        page.add()
    page.add((" " * _BETWEEN).join([_titles(layout)] * -(-len(shown) // room)), [Mark(0, page.width, Tone.FAINT)])
    for at in range(min(room, len(shown))):
        _line(page, layout, shown[at::room])
    _footer(page, view, total - len(shown))


def _line(page: Page, layout: _Layout, rows: Sequence[Row]) -> None:
    """One line of rows side by side."""
    marks, at = [], 0
    width, arrow = layout.width, layout.symbol + layout.between + layout.price + 1
    for row in rows:
        if row.age_s is None or row.age_s > _OLD_S:
            marks.append(Mark(at, at + width, Tone.FAINT))
        elif row.direction > 0:
            marks.append(Mark(at + arrow, at + arrow + 1, Tone.ACCENT))
        at += width + _BETWEEN
    page.add((" " * _BETWEEN).join([_cells(layout, row) for row in rows]), marks)


def _cells(layout: _Layout, row: Row) -> str:
    decimals = fmt.decimals(row.ltp, row.bid, row.ask)
    symbol = row.symbol if len(row.symbol) <= layout.symbol else row.symbol[: layout.symbol - 1] + "…"
    return _joined(
        layout,
        symbol,
        f"{fmt.price(row.ltp, decimals)} {_ARROWS[row.direction]}",
        fmt.percent(row.change),
        fmt.price(row.bid or None, decimals),
        fmt.price(row.ask or None, decimals),
        fmt.grouped(row.volume),
        fmt.grouped(int(row.oi)) if row.oi else fmt.NONE,
        fmt.age(row.age_s),
    )


def _titles(layout: _Layout) -> str:
    return _joined(layout, "symbol", "ltp  ", "chg%", "bid", "ask", "volume", "oi", "age")


def _joined(
    layout: _Layout, symbol: str, ltp: str, change: str, bid: str, ask: str, volume: str, oi: str, age: str
) -> str:
    width = layout.price
    cells = [symbol.ljust(layout.symbol), ltp.rjust(width + 2)]
    if layout.change:
        cells.append(change.rjust(_PERCENT))
    if layout.book:
        cells += (bid.rjust(width), ask.rjust(width))
    if layout.volume:
        cells.append(volume.rjust(layout.volume))
    if layout.oi:
        cells.append(oi.rjust(layout.oi))
    cells.append(age.rjust(_AGE))
    return layout.space.join(cells)


def _footer(page: Page, view: LiveView, hidden: int) -> None:
    """Who is silent, how many of all are shown and in what order, and the news."""
    right = _shown(view, hidden)
    silent = view.run.silent
    if silent:
        names = ", ".join(f"{symbol} ({key})" for key, symbol in silent[:20])
        words = f"silent {len(silent)}: {names}" if len(silent) > 1 else f"silent: {names}"
        room = page.width - sum(len(chunk.short) + 2 for chunk in right)
        page.spread([Chunk(words if len(words) <= room else words[: room - 1] + "…", Tone.ALARM)], right)
    elif right:
        page.spread([], right)
    if view.news:
        page.spread([Chunk(view.news, Tone.FAINT)])


def _shown(view: LiveView, hidden: int) -> list[Chunk]:
    """`17 of 213 instruments: indices, then what trades most`; the order gives way to who is silent."""
    total = len(view.rows) + view.hidden
    count = fmt.plural(total, "instrument")
    if not view.rows or total == 1:
        return [Chunk(count, Tone.FAINT)] if total else []
    order = "indices, then what trades most" if view.pinned else "what trades most first"
    if not hidden:
        return [Chunk(f"{count}: {order}", Tone.FAINT, rank=5)]
    short = f"{fmt.grouped(total - hidden)} of {fmt.grouped(total)} shown"
    return [Chunk(f"{fmt.grouped(total - hidden)} of {count}: {order}", Tone.FAINT, rank=5, short=short)]
