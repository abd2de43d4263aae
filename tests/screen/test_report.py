"""What `tickrec status` prints, and what a run leaves behind."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from tests.record.fixtures import DATE, NOW, START, connection, run_status
from tests.screen import drawn
from tickrec.clock import SECOND
from tickrec.journal.gaps import Gap
from tickrec.screen.lines import Page
from tickrec.screen.report import status_page, summary_page
from tickrec.status.disk_use import DiskUse
from tickrec.status.runstatus import STOPPED, WAITING, RunStatus
from tickrec.status.status import StatusReport
from tickrec.status.totals import Totals
from tickrec.store.manifest import Manifest
from tickrec.store.paths import Store

GAP = Gap(7, 1, NOW - 60 * SECOND, NOW - 56_600_000_000, "connection reset", 220)


def report(state: str = "recording", run: RunStatus | None = None, **facts: Any) -> StatusReport:
    return StatusReport(state=state, now_ns=NOW, run=run or run_status(), **facts)


def lines(page: Page) -> list[str]:
    return drawn.lines(page, page.width)


def said(page: Page) -> str:
    return "\n".join(lines(page))


def alarms(page: Page) -> str:
    return " ".join(drawn.styled(page, width=page.width))


def test_a_recording_is_told_in_four_lines() -> None:
    page = status_page(report(run=run_status(gaps=(GAP,))), 110)
    assert lines(page) == [
        "recording since 09:15:00 (pid 4121)            2026-11-23, NSE open until 15:30, F&O until 15:40",
        "ticks 9,62,747 in 6,402 messages, 612/s now    newest 0.2s old, durable 0.3s ago, in Parquet up to 09:40:12",
        "conn 1  up 26m  220/220 answered               token valid until Tue 03:30",
        "                                               disk 61 GB free, about 24 days",
        "gaps 1 (3.4s): 09:40:07 - 09:40:10 conn 1: connection reset",
    ]
    assert alarms(page) == ""


def test_nothing_recording_while_the_exchange_is_open_comes_first_and_needs_a_person() -> None:
    over = report("stopped", run_status(state=STOPPED), ended_ns=NOW - 3600 * SECOND, open=True)
    page = status_page(over, 110)
    assert lines(page)[0] == "nothing is recording, and the exchange is open"
    assert "nothing is recording" in alarms(page)
    for calm in (report("stopped", run_status(state=STOPPED), ended_ns=NOW), report(open=True)):
        assert "nothing is recording" not in said(status_page(calm, 110))


def test_a_connection_that_was_never_heard_needs_a_person() -> None:
    for since_ns, red in ((NOW - 31 * SECOND, True), (NOW - 29 * SECOND, False)):
        never = connection(answered=0, since_ns=since_ns, last_message_ns=None)
        page = status_page(report(run=run_status(connections=(never,))), 110)
        assert ("0/220 answered" in alarms(page)) is red


def test_after_a_run_long_gaps_stand_below_the_disk() -> None:
    shown = lines(status_page(report("stopped", run_status(state=STOPPED, gaps=(GAP,)), ended_ns=NOW), 110))
    assert shown[2] == "disk 61 GB free, about 24 days"
    assert shown[3].startswith("gaps 1 (3.4s)")


def test_a_token_without_an_end_leaves_no_hole() -> None:
    shown = lines(status_page(report(run=run_status(token_expires_ns=None)), 110))
    assert shown[2] == "conn 1  up 26m  220/220 answered               disk 61 GB free, about 24 days"
    assert shown[3] == "gaps 0"


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_no_width_loses_a_word(width: int) -> None:
    run = run_status(
        gaps=(GAP,),
        silent=(("NSE_EQ|INE0", "071XYZ"),),
        connections=(connection(), connection(2, state="waiting", attempt=3, reason="403 on handshake")),
    )
    page = status_page(report(run=run), width)
    said = " ".join(" ".join(lines(page)).split())
    for words in (
        "612/s now",
        "in Parquet up to 09:40:12",
        "until Tue 03:30",
        "24 days",
        "071XYZ (NSE_EQ|INE0)",
        "handshake",
    ):
        assert words in said
    assert max(map(len, lines(page))) <= width


def test_before_the_session_it_says_when_it_begins() -> None:
    page = status_page(report("waiting", run_status(state=WAITING, start_ns=NOW + 1133 * SECOND, connections=())), 110)
    assert lines(page)[0].startswith("waiting since 09:15:00 (pid 4121)")
    assert lines(page)[1].startswith("recording begins at 10:00, in 18m 53s")


def test_a_run_that_died_says_since_when_what_is_safe_and_what_to_do() -> None:
    run = run_status(connections=(connection(state="closed"),), stop_ns=NOW + 3600 * SECOND)
    page = status_page(
        report("stale", run, died=True, reason="ended without a goodbye", ended_ns=NOW - 9 * SECOND), 120
    )
    assert lines(page)[:3] == [
        "stopped: the run of pid 4121 ended at 09:40:58 without a goodbye; nothing is recording (planned until 10:41).",
        "Start it again with: tickrec record",
        "What was journalled until 09:40:58 is safe.",
    ]
    assert "without a goodbye" in alarms(page)


def test_the_command_to_start_again_is_for_the_same_store() -> None:
    page = status_page(report("stale", died=True, ended_ns=NOW), 120, option=" --simulate")
    assert "tickrec record --simulate" in said(page)


def test_a_run_that_died_on_another_day_is_told_with_its_date() -> None:
    page = status_page(report("stale", died=True, ended_ns=NOW - 86_400 * SECOND), 160)
    assert "ended at 2026-11-22 09:41:07 without a goodbye; nothing is recording" in said(page)


def test_a_clean_end_is_calm_and_a_failed_one_is_not() -> None:
    calm = status_page(report("stopped", run_status(state=STOPPED), ended_ns=NOW), 110)
    assert lines(calm)[0] == "stopped: the run of pid 4121 ended at 09:41:07"
    assert alarms(calm) == ""
    failed = run_status(state=STOPPED, reason="the disk is full", exit_code=6)
    assert "09:41:07: the disk is full" in alarms(
        status_page(report("stopped", failed, reason="the disk is full", ended_ns=NOW), 110)
    )


def test_a_recorder_that_does_not_record_says_why_first() -> None:
    page = status_page(report("stale", reason="nothing has been received since 09:30:00"), 110)
    assert lines(page)[0] == "stale: nothing has been received since 09:30:00"
    assert lines(page)[1].startswith("recording since 09:15:00")


def test_an_empty_store_says_how_to_start() -> None:
    page = status_page(StatusReport(state="stopped", now_ns=NOW), 80)
    assert lines(page) == ["stopped: nothing has been recorded here yet", "Start with: tickrec record"]


def test_a_store_without_a_status_file_says_when_its_last_run_ended() -> None:
    page = status_page(StatusReport(state="stopped", now_ns=NOW, ended_ns=NOW - 60 * SECOND), 80)
    assert lines(page)[0] == "stopped: the last run ended at 09:40:07"


def test_many_gaps_are_counted_and_the_newest_named() -> None:
    gaps = tuple(GAP._replace(start_ns=NOW - (60 - at) * SECOND, end_ns=NOW - (59 - at) * SECOND) for at in range(5))
    page = status_page(report(run=run_status(gaps=(*gaps, Gap(None, 1, NOW - 2 * SECOND, None, "no data", 5)))), 80)
    shown = [line for line in lines(page) if "gap" in line or line.startswith("  ")]
    assert shown[0].startswith("gaps 6 (7.0s), the last 3:")
    assert shown[-1].startswith("  09:41:05 - now conn 1: no data")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"token_expires_ns": NOW - 1}, "token expired 09:41: tickrec login"),
        ({"disk_free_bytes": 1_000_000_000, "day_bytes": None}, "disk 1.0 GB free, about 55 hours: low"),
        ({"rejected": 3}, "rejected 3 messages"),
        ({"silent": (("NSE_EQ|INE0", "071XYZ"),)}, "silent 1: 071XYZ (NSE_EQ|INE0)"),
        ({"stale": (("NSE_EQ|INE0", "071XYZ", NOW - 600 * SECOND),)}, "stale 1: 071XYZ (since 09:31:07)"),
        ({"unknown": ("GONE", "NIFTY25NOVFUT")}, "unknown today 2: GONE, NIFTY25NOVFUT"),
        ({"connections": (connection(state="waiting", attempt=4, reason="403"),)}, "conn 1  waiting (4th)  403"),
    ],
)
def test_what_needs_a_person_is_red(facts: dict[str, object], words: str) -> None:
    assert words in alarms(status_page(report(run=run_status(**facts)), 110))


def test_what_is_kept_and_what_a_day_costs() -> None:
    kept = [DiskUse(DATE - dt.timedelta(days=7 - at), 10**8, 3 * 10**8, 6 * 10**8, sealed=True) for at in range(7)]
    kept.append(DiskUse(DATE, 118_000_000, 10**7, 0, sealed=False))
    endless = GAP._replace(end_ns=None)
    totals = {
        kept[-2].date: Totals(10_244_871, (GAP,), dt.timedelta(hours=6), grade="B"),
        kept[-3].date: Totals(1, (), dt.timedelta(minutes=5)),
        kept[-4].date: Totals(1, (endless,), dt.timedelta(minutes=5)),
        kept[-5].date: Totals(1, (GAP, endless), dt.timedelta(minutes=5)),
    }
    told = report(kept=tuple(kept), totals=totals, usual_day=10**9, disk_free_bytes=61_000_000_000)
    shown = lines(status_page(told, 110))
    shown = shown[shown.index("") :]
    assert shown == [
        "",
        "kept 8 days since 2026-11-16: journals 818 MB, parquet 2.1 GB, duckdb 4.2 GB",
        "a sealed day costs about 1.0 GB: 61 GB free, enough for about 61 more",
        "  date                    grade  journal  parquet  duckdb        ticks               gaps",
        "  2026-11-23  not sealed  -       118 MB    10 MB     0 B            -                  -",
        "  2026-11-22  sealed      B       100 MB   300 MB  600 MB  1,02,44,871           1 (3.4s)",
        "  2026-11-21  sealed      -       100 MB   300 MB  600 MB            1                  0",
        "  2026-11-20  sealed      -       100 MB   300 MB  600 MB            1         1 (no end)",
        "  2026-11-19  sealed      -       100 MB   300 MB  600 MB            1  2 (1 without end)",
    ]


def test_a_date_of_several_runs_is_told_apart_from_the_run() -> None:
    shown = lines(status_page(report(run=run_status(gaps=(GAP,)), date_ticks=2_410_000), 120))
    assert shown[1].startswith("this run: ticks 9,62,747 in 6,402 messages, 612/s now")
    assert "all of 2026-11-23: ticks 24,10,000, gaps 1 (3.4s): 09:40:07 - 09:40:10 conn 1: connection reset" in shown
    over = lines(status_page(report("stopped", run_status(state=STOPPED), ended_ns=NOW, date_ticks=2_410_000), 120))
    assert over[1].startswith("the last run: ticks 9,62,747 in 6,402 messages")
    assert over[2].startswith("all of 2026-11-23: ticks 24,10,000, gaps 0  ")


def test_a_date_of_one_run_is_told_once() -> None:
    page = status_page(report(date_ticks=962_747), 120)
    assert "this run" not in said(page)
    assert "all of" not in said(page)


def test_a_gap_without_an_end_is_not_told_as_a_short_one() -> None:
    endless = GAP._replace(end_ns=None, reason="the recorder died")
    died = {"died": True, "ended_ns": NOW, "reason": "ended without a goodbye"}
    assert lines(status_page(report("stale", run_status(gaps=(endless,)), **died), 120))[4:6] == [
        "disk 61 GB free, about 24 days",
        "gaps 1 (no end): from 09:40:07 on, conn 1: the recorder died",
    ]
    both = lines(status_page(report("stale", run_status(gaps=(GAP, endless)), **died), 120))
    assert "gaps 2 (3.4s, 1 without end)" in both
    lasting = said(status_page(report(run=run_status(gaps=(endless,))), 120))
    assert "gaps 1 (1m 00s): 09:40:07 - now conn 1: the recorder died" in lasting


def put(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))


def sealed_with(store: Store, *missing: tuple[int, int]) -> None:
    """A manifest of a date whose journal has lost ranges of entries."""
    Manifest(
        schema_version=1, date=str(DATE), sealed_at="", versions={}, first_seq=1, last_seq=9, messages=2,
        message_bytes=20, rows={"ticks": 3}, missing=missing, files={}, instruments={}, gaps=[],
    ).publish(store)  # fmt: skip


def test_the_summary_of_a_sealed_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "data")
    put(store.sealed_path("ticks", DATE), 3_120)
    put(store.duckdb_path(DATE), 6_400)
    sealed_with(store)
    run = run_status(state=STOPPED, ticks=10_244_871, frames=91_204, gaps=(GAP,))
    assert lines(summary_page(run, store, 130)) == [
        "recorded 2026-11-23  09:15:00 - 09:41:07   1,02,44,871 ticks of 220 instruments in 91,204 messages",
        "gaps 1 (3.4s): 09:40:07 - 09:40:10 conn 1: connection reset",
        "silent 0   rejected 0",
        "sealed  data/ticks/date=2026-11-23/ticks.parquet 3.1 kB   data/duckdb/2026-11-23.duckdb 6.4 kB   verified",
    ]


def test_the_summary_calls_a_sealed_day_verified_only_when_nothing_is_lost(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store.sealed_path("ticks", DATE), 3_120)

    def last_words() -> str:
        return lines(summary_page(run_status(state=STOPPED), store, 300))[-1].partition("kB   ")[2]

    assert last_words() == "the manifest is gone"
    sealed_with(store)
    assert last_words() == "verified"
    sealed_with(store, (1, 101))
    assert last_words() == "entries 1 to 101 are lost"
    sealed_with(store, (1, 2), (4, 4), (6, 7), (9, 9))
    assert last_words() == "entries 1 to 2, 4 to 4, 6 to 7 and 1 more range are lost"
    put(store.manifest_path(DATE), 10)
    assert last_words().startswith("the manifest cannot be read: ")


def test_the_summary_after_earlier_runs_tells_the_whole_date(tmp_path: Path) -> None:
    page = summary_page(run_status(state=STOPPED, gaps=(GAP,)), Store(tmp_path), 200, date_ticks=2_410_000)
    assert lines(page)[1].startswith("all of 2026-11-23: ticks 24,10,000, gaps 1 (3.4s): 09:40:07")


def test_a_narrow_terminal_breaks_the_summary_between_its_parts(tmp_path: Path) -> None:
    shown = lines(summary_page(run_status(state=STOPPED), Store(tmp_path), 70))
    assert shown[:2] == [
        "recorded 2026-11-23  09:15:00 - 09:41:07",
        "  9,62,747 ticks of 220 instruments in 6,402 messages",
    ]


def test_the_summary_of_a_run_that_was_not_sealed_says_what_does_it(tmp_path: Path) -> None:
    run = run_status(state=STOPPED, simulated=True, reason="the disk is full", rejected=2)
    page = summary_page(run, Store(tmp_path), 200, option=" --simulate")
    shown = lines(page)
    assert shown[1] == "ended by: the disk is full"
    assert shown[2:4] == ["gaps 0", "silent 0   rejected 2"]
    assert shown[-1] == "not sealed yet: a later recording does it, or `tickrec seal 2026-11-23 --simulate`"
    assert alarms(page) == "ended by: the disk is full silent 0   rejected 2"


def test_the_summary_names_silent_instruments_and_unknown_symbols(tmp_path: Path) -> None:
    silent = tuple((f"NSE_EQ|INE{number}", f"S{number}") for number in range(7))
    page = summary_page(run_status(started_ns=START, silent=silent, unknown=("GONE",)), Store(tmp_path), 200)
    assert "unknown today 1: GONE" in alarms(page)
    assert "silent 7: S0 (NSE_EQ|INE0), S1" in alarms(page)
    assert "and 2 more" in alarms(page)
