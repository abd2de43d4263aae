"""What the live table shows on terminals of every size."""

from dataclasses import replace

import pytest

from tests.record.fixtures import NOW, START, connection, run_status
from tickrec.clock import SECOND
from tickrec.journal.gaps import Gap
from tickrec.screen.live import Extent, Live, LiveView, Row
from tickrec.screen.page import Page, Tone
from tickrec.screen.table import live_page
from tickrec.status.runstatus import STALE, WAITING, RunStatus
from tickrec.upstox.decode.quotes import Quote

RELIANCE = Row("RELIANCE", 1412.35, -1, -0.18, 1412.30, 1412.35, 3_104_512, 0.0, 0.1)
NIFTY = Row("NIFTY", 24_351.40, 1, 0.42, None, None, None, None, 0.2)
OPTION = Row("NIFTY 24350 CE 26 NOV 26", 187.5, 0, -12.5, 187.4, 187.6, 58_771_200, 12_345_675.0, 14.0)
SILENT = Row("071XYZ", None, 0, None, None, None, None, None, None)
SIZES = [(80, 24), (100, 30), (120, 40), (220, 60), (220, 70), (40, 10), (20, 5), (10, 2), (300, 100)]


def view(*rows: Row, run: RunStatus | None = None, hidden: int = 0, news: str = "") -> LiveView:
    extent = Extent(
        max((len(row.symbol) for row in rows), default=0),
        max((row.ltp or 0.0 for row in rows), default=0.0),
        max((row.volume or 0 for row in rows), default=0),
        max((row.oi or 0.0 for row in rows), default=0.0),
    )
    return LiveView(run or run_status(), NOW, rows, hidden, extent, news, pinned=int(NIFTY in rows))


def many(count: int) -> tuple[Row, ...]:
    return tuple(RELIANCE._replace(symbol=f"STOCK{number:03}") for number in range(count))


def alarms(page: Page) -> list[str]:
    return [page.text[begin:end] for begin, end, tone in page.marks if tone is Tone.ALARM]


def lines(shown: LiveView, width: int = 100, height: int = 30) -> list[str]:
    return [line.rstrip() for line in live_page(shown, width, height).lines]


def test_a_recording_at_a_hundred_columns() -> None:
    run = run_status(gaps=(Gap(7, 1, START, START + 3_400_000_000, "connection reset", 220),))
    assert lines(view(NIFTY, RELIANCE, OPTION, run=run, hidden=196), height=9) == [
        "tickrec  recording 2026-11-23  NSE open until 15:30  09:41:07  up 26m 07s      disk 61 GB (~24 days)",
        "conn 1  up 26m  220/220 keys  4.1 msg/s  612 ticks/s  last 0.2s                        gaps 1 (3.4s)",
        "journal 118 MB  synced 0.3s ago  unflushed 21,540  parquet 9,41,207  duckdb -21,540  rejected 0",
        "symbol                          ltp       chg%        bid        ask       volume           oi   age",
        "NIFTY                     24,351.40 ▲    +0.42          -          -            -            -  0.2s",
        "RELIANCE                   1,412.35 ▼    -0.18   1,412.30   1,412.35    31,04,512            -  0.1s",
        "NIFTY 24350 CE 26 NOV 26     187.50     -12.50     187.40     187.60  5,87,71,200  1,23,45,675   14s",
        "                                                3 of 199 instruments: indices, then what trades most",
        "",
    ]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_size_is_filled_exactly(width: int, height: int) -> None:
    run = run_status(silent=(("NSE_EQ|INE0", "071XYZ"),), connections=(connection(1), connection(2, state="waiting")))
    page = live_page(view(*many(220), OPTION, run=run, news="conn 2 lost"), width, height)
    assert len(page.lines) == height
    assert {len(line) for line in page.lines} == {width}
    assert all(0 <= mark.begin < mark.end <= len(page.text) for mark in page.marks)


@pytest.mark.parametrize(("width", "height"), SIZES[:5])
def test_columns_stand_under_their_titles(width: int, height: int) -> None:
    shown = lines(view(*many(300)), width, height)
    titles = next(line for line in shown if line.startswith("symbol"))
    rows = [line for line in shown if line.startswith("STOCK")]
    for title, cell in (("bid", "1,412.30"), ("ask", "1,412.35"), ("age", "0.1s")):
        end = titles.index(title) + len(title)
        assert all(row[:end].endswith(cell) for row in rows), title


def test_eighty_columns_drop_oi_first_and_volume_only_for_long_symbols() -> None:
    titles = lines(view(NIFTY, RELIANCE._replace(symbol="BAJAJHLDNG", ltp=145_230.0)), 80, 24)[4]
    assert "volume" in titles
    assert "oi" not in titles
    titles = lines(view(NIFTY, OPTION), 80, 24)[4]
    assert "volume" not in titles
    assert "bid" in titles


@pytest.mark.parametrize("width", [80, 100, 220])
def test_long_symbols_are_shown_whole(width: int) -> None:
    assert any("NIFTY 24350 CE 26 NOV 26" in line for line in lines(view(NIFTY, OPTION), width, 24))


def test_options_keep_oi_at_a_hundred_columns() -> None:
    row = next(line for line in lines(view(NIFTY, OPTION)) if "24350" in line)
    assert "1,23,45,675" in row


def test_a_symbol_that_cannot_fit_is_cut_with_a_mark() -> None:
    row = next(line for line in lines(view(OPTION), 30, 24) if line.startswith("NIFTY"))
    assert row.startswith("NIFTY 24")
    assert "…" in row


def test_wide_terminals_show_panels_side_by_side() -> None:
    shown = lines(view(*many(300)), 220, 60)
    titles = next(line for line in shown if line.startswith("symbol"))
    assert titles.count("symbol") == 2
    assert sum(line.count("STOCK") for line in shown) == 2 * sum(line.startswith("STOCK") for line in shown)
    assert "STOCK000" in shown[5]
    assert f"STOCK{int(shown[-1].split()[0]) // 2:03}" in shown[5]


def test_one_panel_is_enough_for_few_instruments() -> None:
    assert next(line for line in lines(view(*many(10)), 220, 60) if line.startswith("symbol")).count("symbol") == 1


@pytest.mark.parametrize(("width", "height"), SIZES[:5])
def test_the_footer_says_how_many_of_all_are_shown_and_in_what_order(width: int, height: int) -> None:
    shown = lines(view(*many(150), hidden=3000), width, height)
    counted, _, total, *words = shown[-1].split()
    assert sum(line.count("STOCK") for line in shown) == int(counted)
    assert (total, " ".join(words)) == ("3,150", "instruments: what trades most first")


def test_an_instrument_without_a_word_shows_dashes_and_is_faint() -> None:
    page = live_page(view(NIFTY, SILENT), 100, 30)
    at = next(number for number, line in enumerate(page.lines) if line.startswith("071XYZ"))
    assert page.lines[at].split() == ["071XYZ", *"-------"]
    begin = at * 101
    assert any(mark.begin == begin and mark.tone is Tone.FAINT for mark in page.marks)


def test_currency_prices_have_four_decimals() -> None:
    row = NIFTY._replace(symbol="USDINR FUT", ltp=83.2475, bid=83.245, ask=83.25)
    shown = next(line for line in lines(view(row)) if line.startswith("USDINR"))
    assert shown.split()[2:] == ["83.2475", "▲", "+0.42", "83.2450", "83.2500", "-", "-", "0.2s"]


def test_a_lost_connection_says_when_the_next_try_is_and_why() -> None:
    lost = connection(1, state="waiting", attempt=3, retry_ns=NOW + 4 * SECOND, reason="403 on handshake")
    page = live_page(view(NIFTY, run=run_status(connections=(lost, connection(2)))), 80, 24)
    assert page.lines[1].startswith("conn 1  retry in 4s (3rd)  403 on handshake  ")
    assert page.lines[2].startswith("conn 2  up 26m")
    assert alarms(page) == ["retry in 4s (3rd)"]


def test_the_first_attempts_are_no_alarm() -> None:
    lost = connection(1, state="connecting", attempt=1, reason="connection reset")
    page = live_page(view(NIFTY, run=run_status(connections=(lost,))), 80, 24)
    assert page.lines[1].startswith("conn 1  connecting (1st)  connection reset")
    assert alarms(page) == []


def test_a_recording_that_is_well_alarms_nobody() -> None:
    assert alarms(live_page(view(NIFTY, RELIANCE), 100, 30)) == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"disk_free_bytes": 1_000_000_000, "day_bytes": None}, "disk low: 1.0 GB (~55 hours)"),
        ({"durable_ns": NOW - 14 * SECOND}, "synced 14s ago"),
        ({"rejected": 3}, ""),
        ({"token_expires_ns": NOW + 600 * SECOND}, "token expires 09:51"),
        ({"token_expires_ns": NOW - 1}, "token expired 09:41"),
        ({"silent": (("NSE_EQ|INE0", "071XYZ"),)}, "silent: 071XYZ (NSE_EQ|INE0)"),
        ({"connections": (connection(last_message_ns=NOW - 45 * SECOND),)}, "last 45s"),
        ({"connections": (connection(last_message_ns=None),)}, "last -"),
        ({"state": STALE, "reason": "pid 5 has said nothing"}, "stale 2026-11-23"),
    ],
)
def test_what_needs_a_person_is_red_and_says_so_in_words(facts: dict[str, object], words: str) -> None:
    found = alarms(live_page(view(NIFTY, run=run_status(**facts)), 100, 30))
    assert words in found or (not words and not found)


@pytest.mark.parametrize(
    ("day", "rate", "lasting"),
    [(None, 0.0, "61 GB"), (None, 10**6, "61 GB (~16 hours)"), (40 * 10**9, 0.0, "61 GB (~1 day)"),
     (40 * 10**9, 10**6, "61 GB (~16 hours)"), (None, 10**7, "61 GB (~101 minutes)")],
)  # fmt: skip
def test_how_long_the_disk_lasts_is_said_once_it_is_known(day: int | None, rate: float, lasting: str) -> None:
    run = run_status(day_bytes=day, byte_rate=rate)
    assert lines(view(NIFTY, run=run))[0].endswith(f"disk {lasting}")


def test_silence_is_no_alarm_while_nothing_is_expected() -> None:
    run = run_status(connections=(connection(last_message_ns=NOW - 45 * SECOND),), expects_data=False)
    assert alarms(live_page(view(NIFTY, run=run), 100, 30)) == []


def test_before_the_session_there_is_a_countdown() -> None:
    run = run_status(state=WAITING, start_ns=NOW + 1133 * SECOND, connections=())
    shown = lines(view(run=run), 80, 24)
    assert shown[0].startswith("tickrec  waiting 2026-11-23")
    assert shown[1] == "recording begins at 10:00, in 18m 53s"


def test_a_simulated_market_is_marked_at_any_width() -> None:
    for width in (80, 100, 220):
        assert "simulated" in lines(view(NIFTY, run=run_status(simulated=True)), width, 24)[0]


def test_a_lasting_gap_is_told_from_ended_ones() -> None:
    gaps = (Gap(7, 1, NOW - 60 * SECOND, NOW - 57 * SECOND, "", 1), Gap(None, 1, NOW - 2 * SECOND, None, "", 1))
    assert lines(view(NIFTY, run=run_status(gaps=gaps)))[1].endswith("gaps 2 (5.0s, one lasts)")


def test_news_stands_in_the_last_line() -> None:
    shown = lines(view(NIFTY, news="11:02:14 conn 1 lost"))
    assert shown[5] == lines(view(NIFTY))[5]
    assert shown[6].strip() == "1 instrument"
    assert shown[7] == "11:02:14 conn 1 lost"


def test_the_order_gives_way_to_the_names_of_the_silent() -> None:
    silent = tuple((f"NSE_EQ|INE{number}", f"S{number}") for number in range(9))
    last = lines(view(*many(300), run=run_status(silent=silent)), 80, 24)[-1]
    assert last.startswith("silent 9: S0 (NSE_EQ|INE0), S1")
    assert last.endswith("…  18 of 300 shown")


def test_a_view_of_a_live_fits_its_extent() -> None:
    live = Live({"k": "RELIANCE"})
    live.update([Quote("k", 1412.35, 1415.0, 1412.3, 1412.35, 3_104_512, 0.0, 1)], NOW)
    shown = live.view(run_status(), NOW)
    assert any("31,04,512" in line for line in lines(replace(shown, news="")))
