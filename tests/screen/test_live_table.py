"""What is on the screen, on terminals of every size."""

import pytest

from tests.record.fixtures import NOW, START, connection, run_status
from tests.screen.drawn import lines, styled
from tickrec.clock import SECOND
from tickrec.journal.gaps import Gap
from tickrec.screen.last_values import LastValues
from tickrec.screen.live_table import Frame
from tickrec.screen.view import View
from tickrec.status.runstatus import STALE, WAITING, RunStatus
from tickrec.upstox.decode.quotes import Quote

NIFTY = Quote("NSE_INDEX|Nifty 50", 24_351.40, 24_249.55, None, None, None, None, 1)
RELIANCE = Quote("NSE_EQ|INE002A01018", 1412.35, 1414.90, 1412.30, 1412.35, 3_104_512, 0.0, 1)
OPTION = Quote("NSE_FO|1", 187.5, 214.29, 187.4, 187.6, 58_771_200, 12_345_675.0, 1)
NAMES = {NIFTY.instrument_key: "NIFTY", RELIANCE.instrument_key: "RELIANCE", "NSE_FO|1": "NIFTY 24350 CE 26 NOV 26"}
SIZES = [(80, 24), (100, 30), (120, 40), (220, 60), (220, 70), (40, 10), (20, 5), (10, 2), (300, 100)]


def live_of(*quotes: Quote, others: int = 0) -> LastValues:
    """A market of these, and of others that are called STOCK000 and so on."""
    live = LastValues()
    for quote in quotes:
        if quote.ltp is not None and quote.cp is not None:  # a price before, so that there is a direction
            live.update([quote._replace(ltp=quote.ltp + (quote.ltp < quote.cp) - (quote.ltp > quote.cp))], NOW)
        live.update([quote], NOW - (14 if quote is OPTION else 1) * SECOND // (1 if quote is OPTION else 10))
    for number in range(others):
        live.update([RELIANCE._replace(instrument_key=f"NSE_EQ|{number}")], NOW - SECOND // 10)
        live.name({f"NSE_EQ|{number}": f"STOCK{number:03}"})
    live.name({key: name for key, name in NAMES.items() if key in live.instruments})
    return live


def drawn(
    live: LastValues, width: int = 100, height: int = 30, *, run: RunStatus | None = None, keys: bool = False
) -> list[str]:
    shown = lines(Frame(run or run_status(), NOW, keys=keys).draw(live, View(), width, height), width, height)
    return shown


def alarms(live: LastValues, **facts: object) -> list[str]:
    return styled(Frame(run_status(**facts), NOW).draw(live, View(), 100, 30))


def test_a_recording_at_a_hundred_columns() -> None:
    gap = Gap(7, 1, START, START + 3_400_000_000, "connection reset", 220)
    run = run_status(gaps=(gap,), news=("11:02:14 WARN  x",))
    assert drawn(live_of(NIFTY, RELIANCE, OPTION), height=12, run=run, keys=True) == [
        "tickrec  recording 2026-11-23  NSE open until 15:30  09:41:07  up 26m 07s      disk 61 GB (~24 days)",
        "conn 1  up 26m  220/220 keys  4.1 msg/s  612 ticks/s  last 0.2s                        gaps 1 (3.4s)",
        "journal 118 MB  synced 0.3s ago  unflushed 21,540  parquet 9,41,207  duckdb -21,540  rejected 0",
        "ticks 9,62,747  advances 0  declines 1  unchanged 0",
        "symbol                          ltp       chg%        bid        ask       volume           oi   age",
        "NIFTY                     24,351.40 ▲    +0.42          -          -            -            -  0.1s",
        "RELIANCE                   1,412.35 ▼    -0.18   1,412.30   1,412.35    31,04,512            -  0.1s",
        "NIFTY 24350 CE 26 NOV 26     187.50 ▼   -12.50     187.40     187.60  5,87,71,200  1,23,45,675   14s",
        "",
        "                                                       3 instruments: indices, then what trades most",
        "11:02:14 WARN  x",
        "type: filter  ←→: order  ↑↓ PgUp PgDn: select  Enter: chain  Esc: back",
    ]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("keys", [False, True])
def test_every_size_is_filled_and_none_overflows(width: int, height: int, keys: bool) -> None:
    run = run_status(
        silent=(("NSE_EQ|INE0", "071XYZ"),),
        connections=(connection(1), connection(2, state="waiting")),
        news=("11:02:14 WARN  conn 2 lost",),
    )
    shown = drawn(live_of(OPTION, others=220), width, height, run=run, keys=keys)
    assert len(shown) == height
    assert max(map(len, shown)) <= width


@pytest.mark.parametrize(("width", "height"), SIZES[:5])
def test_columns_stand_under_their_titles(width: int, height: int) -> None:
    shown = drawn(live_of(others=300), width, height)
    titles = next(line for line in shown if line.startswith("symbol"))
    rows = [line for line in shown if line.startswith("STOCK")]
    assert rows
    for title, cell in (("bid", "1,412.30"), ("ask", "1,412.35"), ("age", "0.1s")):
        end = titles.index(title) + len(title)
        assert all(row[:end].endswith(cell) for row in rows), title


def titles(live: LastValues, width: int) -> str:
    return next(line for line in drawn(live, width, 24) if line.startswith("symbol"))


def test_eighty_columns_drop_oi_first_and_volume_only_for_long_symbols() -> None:
    future = OPTION._replace(instrument_key="NSE_FO|2", ltp=145_230.0)
    short = live_of(future, NIFTY)
    short.name({"NSE_FO|2": "BAJAJHLDNG"})
    assert "oi" in titles(short, 100).split()
    assert {"volume", "oi"} & set(titles(short, 80).split()) == {"volume"}
    assert {"volume", "bid"} & set(titles(live_of(NIFTY, OPTION), 80).split()) == {"bid"}


def test_open_interest_that_nobody_has_takes_no_room() -> None:
    assert "oi" not in titles(live_of(NIFTY, RELIANCE), 220).split()


@pytest.mark.parametrize("width", [80, 100, 220])
def test_long_symbols_are_shown_whole(width: int) -> None:
    assert any("NIFTY 24350 CE 26 NOV 26" in line for line in drawn(live_of(NIFTY, OPTION), width, 24))


def test_a_symbol_that_cannot_fit_is_cut_with_a_mark() -> None:
    row = next(line for line in drawn(live_of(OPTION), 30, 24) if line.startswith("NIFTY"))
    assert row.startswith("NIFTY 24")
    assert "…" in row


def test_wide_terminals_show_panels_side_by_side() -> None:
    shown = drawn(live_of(others=300), 220, 60)
    at = next(number for number, line in enumerate(shown) if line.startswith("symbol"))
    assert shown[at].split().count("symbol") == 3
    rows = [line.split() for line in shown[at + 1 :] if line.startswith("STOCK")]
    assert len(rows) > 30
    assert [row[7 * panel] for panel in range(3) for row in rows] == [
        f"STOCK{number:03}" for number in range(3 * len(rows))
    ]


def test_one_panel_is_enough_for_few_instruments() -> None:
    assert titles(live_of(others=10), 220).split().count("symbol") == 1


@pytest.mark.parametrize(("width", "height"), SIZES[:5])
def test_the_footer_says_how_many_of_all_are_shown_and_in_what_order(width: int, height: int) -> None:
    shown = drawn(live_of(others=450), width, height)
    counted, _, total, *words = shown[-1].split()
    assert sum(line.count("STOCK") for line in shown) == int(counted)
    assert (total, " ".join(words)) == ("450", "instruments: what trades most first")


def test_the_key_of_the_chain_is_named_only_where_there_is_one() -> None:
    assert drawn(live_of(NIFTY, RELIANCE), keys=True)[-1].endswith("select  Esc: back")
    assert drawn(live_of(NIFTY, OPTION), keys=True)[-1].endswith("select  Enter: chain  Esc: back")


def test_an_instrument_without_a_word_shows_dashes() -> None:
    live = live_of(NIFTY)
    live.name({"NSE_EQ|INE0": "071XYZ"})
    row = next(line for line in drawn(live) if line.startswith("071XYZ"))
    assert row.split() == ["071XYZ", *"------"]


def test_currency_prices_have_four_decimals() -> None:
    live = live_of(Quote("NCD_FO|1", 83.2475, 83.0, 83.245, 83.25, None, None, 1))
    live.name({"NCD_FO|1": "USDINR FUT"})
    row = next(line for line in drawn(live) if line.startswith("USDINR"))
    assert row.split()[2:6] == ["83.2475", "▲", "+0.30", "83.2450"]


def test_a_lost_connection_says_when_the_next_try_is_and_why() -> None:
    lost = connection(1, state="waiting", attempt=3, retry_ns=NOW + 4 * SECOND, reason="403 on handshake")
    connections = (lost, connection(2))
    shown = drawn(live_of(NIFTY), 80, 24, run=run_status(connections=connections))
    assert shown[1].startswith("conn 1  retry in 4s (3rd)  403 on handshake  ")
    assert shown[2].startswith("conn 2  up 26m")
    assert alarms(live_of(NIFTY), connections=connections) == ["retry in 4s (3rd)"]


def test_the_first_attempts_are_no_alarm() -> None:
    lost = connection(1, state="connecting", attempt=1, reason="connection reset")
    assert drawn(live_of(NIFTY), run=run_status(connections=(lost,)))[1].startswith("conn 1  connecting (1st)  conn")
    assert alarms(live_of(NIFTY), connections=(lost,)) == []


def test_a_recording_that_is_well_alarms_nobody() -> None:
    assert alarms(live_of(NIFTY, RELIANCE)) == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"disk_free_bytes": 1_000_000_000, "day_bytes": None}, "disk low: 1.0 GB (~55 hours)"),
        ({"durable_ns": NOW - 14 * SECOND}, "synced 14s ago"),
        ({"rejected": 3}, ""),
        ({"token_expires_ns": NOW + 600 * SECOND}, "token expires 09:51"),
        ({"token_expires_ns": NOW - 1}, "token expired 09:41"),
        ({"silent": (("NSE_EQ|INE0", "071XYZ"),)}, "silent: 071XYZ (NSE_EQ|INE0)"),
        ({"stale": (("NSE_EQ|INE0", "071XYZ", NOW),)}, "stale: 071XYZ (since 09:41:07)"),
        ({"connections": (connection(last_message_ns=NOW - 45 * SECOND),)}, "last 45s"),
        ({"connections": (connection(last_message_ns=None),)}, "last -"),
        ({"state": STALE, "reason": "pid 5 has said nothing"}, "stale 2026-11-23"),
    ],
)
def test_what_needs_a_person_is_red_and_says_so_in_words(facts: dict[str, object], words: str) -> None:
    found = alarms(live_of(NIFTY), **facts)
    assert words in found or (not words and not found)


@pytest.mark.parametrize(
    ("day", "rate", "lasting"),
    [(None, 0.0, "61 GB"), (None, 10**6, "61 GB (~16 hours)"), (40 * 10**9, 0.0, "61 GB (~1 day)"),
     (40 * 10**9, 10**6, "61 GB (~16 hours)"), (None, 10**7, "61 GB (~101 minutes)")],
)  # fmt: skip
def test_how_long_the_disk_lasts_is_said_once_it_is_known(day: int | None, rate: float, lasting: str) -> None:
    assert drawn(live_of(NIFTY), run=run_status(day_bytes=day, byte_rate=rate))[0].endswith(f"disk {lasting}")


def test_silence_is_no_alarm_while_nothing_is_expected() -> None:
    quiet = (connection(last_message_ns=NOW - 45 * SECOND),)
    assert alarms(live_of(NIFTY), connections=quiet, expects_data=False) == []


def test_before_the_session_there_is_a_countdown() -> None:
    run = run_status(state=WAITING, start_ns=NOW + 1133 * SECOND, connections=())
    shown = drawn(LastValues(), 80, 24, run=run)
    assert shown[0].startswith("tickrec  waiting 2026-11-23")
    assert shown[1:] == ["recording begins at 10:00, in 18m 53s", *[""] * 22]


def test_the_grade_so_far_stands_in_the_header() -> None:
    shown = lines(Frame(run_status(), NOW, grade="B").draw(live_of(NIFTY), View(), 80, 24), 80, 24)
    assert shown[3].startswith("ticks 9,62,747  ")
    assert shown[3].endswith("  grade B so far")


def test_while_the_parts_are_read_it_says_so() -> None:
    shown = lines(Frame(run_status(), NOW, catching_up=True).draw(LastValues(), View(), 80, 24), 80, 24)
    assert shown[4:] == ["reading what has been recorded so far", *[""] * 19]


def test_a_simulated_market_is_marked_at_any_width() -> None:
    for width in (80, 100, 220):
        assert "simulated" in drawn(live_of(NIFTY), width, 24, run=run_status(simulated=True))[0]


def test_a_lasting_gap_is_told_from_ended_ones() -> None:
    gaps = (Gap(7, 1, NOW - 60 * SECOND, NOW - 57 * SECOND, "", 1), Gap(None, 1, NOW - 2 * SECOND, None, "", 1))
    assert drawn(live_of(NIFTY), run=run_status(gaps=gaps))[1].endswith("gaps 2 (5.0s, one lasts)")


def test_the_order_gives_way_to_the_names_of_the_silent() -> None:
    silent = tuple((f"NSE_EQ|INE{number}", f"S{number}") for number in range(9))
    last = drawn(live_of(others=300), 80, 24, run=run_status(silent=silent))[-1]
    assert last.startswith("silent 9: S0 (NSE_EQ|INE0), S1")
    assert last.endswith("…  17 of 300 instruments")
