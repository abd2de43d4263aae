"""Sessions as the exchanges and the account allow them: closed days, waiting, two connections, faults."""

import dataclasses
import datetime as dt
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.clocks import HastyClock, ShiftedClock
from tests.recordings import FAST, messages, recording, until
from tests.upstox.rest_fixtures import jwt
from tickrec.clock import IST, SECOND, Stopped, SystemClock, from_datetime
from tickrec.errors import AlreadyRecording, ExitCode, NothingToRecord, TokenError, UsageError
from tickrec.files import Lock, lock_holder
from tickrec.market.calendar import trading_date
from tickrec.record.plan import Options
from tickrec.serve.faults import Fault
from tickrec.status import status
from tickrec.status.runstatus import STALE, STOPPED, WAITING
from tickrec.store.coverage import coverage
from tickrec.store.paths import Store
from tickrec.upstox.decode.peek import served_keys

REAL_HOURS = dataclasses.replace(FAST, always_open=False)


def clock_at(*moment: int) -> ShiftedClock:
    """The machine's clock, moved so that it is this moment in India now."""
    return ShiftedClock(from_datetime(dt.datetime(*moment, tzinfo=IST)) - SystemClock.wall_ns())  # type: ignore[arg-type,misc]


async def test_a_closed_exchange_is_said_and_nothing_recorded(tmp_path: Path) -> None:
    holiday = clock_at(2026, 11, 24, 9, 0)

    options = Options(symbols=("RELIANCE",), mode="full")
    async with recording(tmp_path, settings=REAL_HOURS, clock=holiday, options=options) as one:
        with pytest.raises(NothingToRecord) as caught:
            await one.result()
        assert caught.value.code == ExitCode.NOTHING
        assert "NSE is closed on Tue 24 Nov 2026" in str(caught.value)
        assert "Next session: Wed 25 Nov" in str(caught.value)
        assert not one.store.dates()


async def test_before_the_session_it_waits_and_then_records(tmp_path: Path) -> None:
    early = clock_at(2026, 11, 23, 8, 40)

    options = Options(symbols=("RELIANCE",), mode="full")
    async with recording(tmp_path, settings=REAL_HOURS, clock=early, options=options) as one:

        def waits() -> bool:
            run = status.read(one.store.status_path)
            return run is not None and run.state == WAITING

        await until(waits)
        early.shift_ns += 20 * 60 * SECOND - SECOND
        await until(lambda: bool(one.store.dates()) and one.simulator.stats()["ticks"] > 0)
        last = await one.stop()
        assert last.started_ns >= from_datetime(dt.datetime(2026, 11, 23, 9, 0, tzinfo=IST))
        assert last.stop_ns == from_datetime(dt.datetime(2026, 11, 23, 16, 1, tzinfo=IST))


async def test_an_end_before_the_session_is_refused_with_the_beginning(tmp_path: Path) -> None:
    night = clock_at(2026, 11, 23, 4, 0)

    options = Options(symbols=("RELIANCE",), mode="full", until=dt.time(8, 0))
    async with recording(tmp_path, settings=REAL_HOURS, clock=night, options=options) as one:
        with pytest.raises(UsageError, match=r"--until 08:00 comes before the recording begins, at 09:00\. --now"):
            await one.result()


async def test_a_signal_while_waiting_ends_it(tmp_path: Path) -> None:
    early = clock_at(2026, 11, 23, 8, 0)

    options = Options(symbols=("RELIANCE",), mode="full")
    async with recording(tmp_path, settings=REAL_HOURS, clock=early, options=options) as one:
        await until(lambda: one.store.status_path.exists())
        one.stopping.set()
        with pytest.raises(Stopped):
            await one.result()
        assert not one.store.dates()
        report = status.collect(one.store, early)
        assert report.state == STOPPED
        assert report.exit_code == ExitCode.DONE


async def test_two_thousand_keys_take_two_connections_and_every_key_is_stored(tmp_path: Path) -> None:
    options = Options(symbols=("fno:opt:2",), mode="full", now=True)
    settings = dataclasses.replace(FAST, rate=4000.0, interval=0.2)
    config = "[record]\nfollow = false\n[store]\nduckdb = false\n"
    async with recording(tmp_path, settings=settings, options=options, config=config) as one:
        await until(lambda: one.simulator.stats()["subscribed"] > 2_100)
        wanted = one.simulator.stats()["subscribed"]
        await one.sent(wanted)
        last = await one.stop()
        assert last.wanted == wanted
        assert [each.answered for each in last.connections] == [each.keys for each in last.connections]
        assert len(last.connections) == 2
        assert sum(each.answered for each in last.connections) == wanted
        (date,) = one.store.dates()
        stored = {
            key
            for part in coverage(one.store, date).parts
            for key in pq.read_table(part.path, columns=["instrument_key"])["instrument_key"].to_pylist()
        }
        assert len(stored) == wanted


async def test_more_keys_than_the_plan_serves_are_refused_with_the_numbers(tmp_path: Path) -> None:
    options = Options(symbols=("all:NSE_FO",), mode="full", now=True)
    async with recording(tmp_path, options=options) as one:
        with pytest.raises(UsageError, match="4,000"):
            await one.result()


async def test_an_instrument_that_never_answers_is_asked_again_and_named(tmp_path: Path) -> None:
    silent = "NSE_EQ|INE467B01029"

    settings = dataclasses.replace(FAST, faults=(Fault("silent", silent),))
    async with recording(tmp_path, settings=settings) as one:

        def named() -> bool:
            run = status.read(one.store.status_path)
            return run is not None and [key for key, _ in run.silent] == [silent]

        await until(named)
        await one.stop()
        (date,) = one.store.dates()
        rows = [
            row
            for path in coverage(one.store, date).small_parts["subscriptions"]
            for row in pq.read_table(path).to_pylist()
        ]
        assert [row["instrument_key"] for row in rows if row["answered_ts"] is None] == [silent]
        assert not any(silent in served_keys(entry.payload) for entry in messages(one.store.journal(date)))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("drop"), "reset"),
        (Fault("drop", "midframe"), ""),
        (Fault("close", "1011"), "1011"),
    ],
    ids=lambda value: str(value),
)
async def test_each_fault_is_exactly_the_gap_it_caused(tmp_path: Path, fault: Fault, reason: str) -> None:
    async with recording(tmp_path) as one:
        await one.sent(60)
        struck_ns = SystemClock.wall_ns()
        one.simulator.strike(fault)
        await until(lambda: one.simulator.stats()["opened"] == 2)
        await one.sent(60)
        last = await one.stop()
        assert last.reconnects == 1
        (gap,) = last.gaps
        assert gap.start_ns <= struck_ns + SECOND // 10
        assert gap.end_ns is not None
        assert gap.end_ns > struck_ns
        assert reason in gap.reason


async def test_a_trade_ahead_of_the_server_s_time_is_stored_with_all_three_times(tmp_path: Path) -> None:
    settings = dataclasses.replace(FAST, faults=(Fault("late", "60"),))
    async with recording(tmp_path, settings=settings) as one:
        await one.sent(200)
        await one.stop()
        (date,) = one.store.dates()
        paths = [part.path for part in coverage(one.store, date).parts]
        rows = [row for path in paths for row in _in_time_order(path)]
        assert any(ltt > feed_ts for _, feed_ts, ltt in rows)
        assert [feed_ts for _, feed_ts, _ in rows] != sorted(feed_ts for _, feed_ts, _ in rows)
        assert [recv_ts for recv_ts, _, _ in rows] == sorted(recv_ts for recv_ts, _, _ in rows)


def _in_time_order(path: Path) -> list[tuple[int, int, int]]:
    """recv_ts, feed_ts and ltt of each tick in the order of seq, in microseconds."""
    table = pq.read_table(path, columns=["seq", "recv_ts", "feed_ts", "ltt"]).sort_by("seq")
    times = [table[name].cast(pa.timestamp("us", "UTC")).cast(pa.int64()) for name in ("recv_ts", "feed_ts", "ltt")]
    return list(zip(*(each.to_pylist() for each in times), strict=True))


async def test_a_broker_that_fails_while_planning_is_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was missed meanwhile is a gap, and whoever asks for the status learns why nothing is recorded."""

    settings = dataclasses.replace(FAST, faults=(Fault("error", "503/0.5"),))
    begun_ns = SystemClock.wall_ns()
    async with recording(tmp_path, settings=settings, clock=HastyClock(), listed=False) as one:
        await until(lambda: status.read(one.store.status_path) is not None)
        said = status.read(one.store.status_path)
        assert said is not None
        assert said.state == WAITING
        assert said.reason.startswith("the broker cannot be asked yet: 503")
        await one.sent(20)
        last = await one.stop()
        assert last.ticks >= 20
        first = messages(one.store.journal(one.store.dates()[0]))[0].wall_ns
        (gap,) = last.gaps
        assert begun_ns <= gap.start_ns <= first - SECOND // 2
        assert gap.end_ns is not None
        assert gap.end_ns >= first
        assert (gap.conn, gap.reason[:4], gap.keys) == (1, "503:", last.wanted)
    assert "the broker cannot be asked yet: 503" in caplog.text


async def test_a_broker_that_cannot_be_asked_for_long_is_told_to_the_owner(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told, program = tmp_path / "told", tmp_path / "tell.py"
    program.write_text(f"import sys\nopen({str(told)!r}, 'a').write(sys.argv[-1] + '\\n')\n")
    config = f"[record]\non_alert = \"'{sys.executable}' '{program}'\"\n[store]\nduckdb = false\n"
    clock = HastyClock()

    settings = dataclasses.replace(FAST, faults=(Fault("error", "503/60"),))
    async with recording(tmp_path, settings=settings, config=config, clock=clock, listed=False) as one:
        await until(lambda: status.read(one.store.status_path) is not None)
        assert status.collect(one.store, clock).state == WAITING
        clock.shift_ns += 181 * SECOND

        def stale() -> bool:
            report = status.collect(one.store, clock)
            return report.state == STALE and report.exit_code == ExitCode.DATA and "503" in report.reason

        await until(stale)
        await until(lambda: told.exists() and "tickrec cannot record yet, for 3m" in told.read_text())
        await until(lambda: caplog.text.count("the broker cannot be asked yet: 503") == 3)
        assert caplog.text.count("the broker's calendar could not be had") == 1
        assert caplog.text.count("`tickrec doctor") == 1
        one.stopping.set()
        with pytest.raises(Stopped):
            await one.result()
        assert status.collect(one.store, clock).state == STOPPED


async def test_a_connection_that_opens_late_is_a_gap_from_the_first_attempt_on(tmp_path: Path) -> None:
    settings = dataclasses.replace(FAST, faults=(Fault("refuse", "60"),))
    async with recording(tmp_path, settings=settings, clock=HastyClock()) as one:
        await until(lambda: bool((said := status.read(one.store.status_path)) and said.gaps))
        told_ns = SystemClock.wall_ns()
        one.simulator.strike(Fault("refuse", "0"))
        await one.sent(20)
        last = await one.stop()
        first = messages(one.store.journal(one.store.dates()[0]))[0].wall_ns
        (gap,) = last.gaps
        assert gap.start_ns < told_ns < first
        assert gap.end_ns is not None
        assert gap.end_ns >= first
        assert (gap.keys, gap.reason) == (last.wanted, "403 on handshake")
        assert last.silent == ()


async def test_a_connection_that_is_never_opened_is_a_gap_and_its_instruments_are_named(tmp_path: Path) -> None:
    """The account has two connections to give; a third is asked for until the end."""

    config = 'plan = "plus"\nconnections = 3\n[store]\nduckdb = false\n'
    async with recording(tmp_path, config=config, clock=HastyClock()) as one:
        await one.sent(20)
        await until(lambda: bool((said := status.read(one.store.status_path)) and said.silent))
        last = await one.stop()
        assert last.exit_code == ExitCode.DONE
        (gap,) = last.gaps
        keys = {each.conn: each.keys for each in last.connections}[gap.conn]
        assert (gap.keys, last.wanted - last.answered, len(last.silent)) == (keys, keys, keys)
        date = one.store.dates()[0]
        asked = pa.concat_tables(map(pq.read_table, coverage(one.store, date).small_parts["subscriptions"]))
        unanswered = [row for row in asked.to_pylist() if row["answered_ts"] is None]
        assert {row["instrument_key"] for row in unanswered} == {key for key, _ in last.silent}
        assert {row["asked_ts"] for row in unanswered} == {None}


async def test_the_end_of_the_last_segment_ends_and_seals_the_day(tmp_path: Path) -> None:
    """F&O trades until 15:40; its last ticks are in a minute later. The shares of the same day would go on to 16:01."""
    late, end_ns = clock_at(2026, 11, 23, 15, 35), from_datetime(dt.datetime(2026, 11, 23, 15, 41, tzinfo=IST))

    options = Options(symbols=("NIFTY:fut",), mode="full")
    async with recording(tmp_path, settings=REAL_HOURS, clock=late, options=options) as one:
        await one.sent(5)
        late.shift_ns += end_ns - late.wall_ns() - SECOND // 2
        last = await one.result()
        assert last.exit_code == ExitCode.DONE
        assert last.stop_ns == end_ns
        assert last.frames > 0
        assert [one.store.settled(date) for date in one.store.dates()] == [True]


async def test_a_token_refused_while_planning_is_read_again(tmp_path: Path) -> None:
    options = Options(symbols=("NIFTY:opt:1",), mode="full", now=True)
    async with recording(tmp_path, options=options, token="yesterday", listed=False) as one:
        with pytest.raises(TokenError, match="refused"):
            await one.result()
        assert not one.store.root.exists()


async def test_a_token_renewed_while_planning_has_two_tries_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The one before it was refused, and so is the new one at first: the broker takes a moment to know it."""
    token_file = tmp_path / "token"
    token_file.write_text("yesterday")
    token_file.chmod(0o600)

    config = "token_file = 'token'\n[store]\nduckdb = false\n"
    options = Options(symbols=("NIFTY:opt:1",), mode="full", now=True)
    async with recording(tmp_path, options=options, config=config, token="", clock=HastyClock()) as one:
        await until(lambda: caplog.text.count("the broker cannot be asked yet: 401") == 1)
        token_file.write_text("today")
        await until(lambda: caplog.text.count("the broker cannot be asked yet: 401") == 2)
        one.simulator.strike(Fault("token", "today"))
        await one.sent(20)
        assert (await one.stop()).exit_code == ExitCode.DONE


async def test_a_fresh_login_in_mid_session_is_picked_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A login revokes the token before it; the recording goes on with the one that is in the file now."""
    now = SystemClock.wall_ns() // SECOND
    old, new = jwt({"exp": now + 600}), jwt({"exp": now + 86_400})
    token_file = tmp_path / "token"

    def log_in(token: str) -> None:
        token_file.write_text(token)
        token_file.chmod(0o600)

    log_in(old)
    settings = dataclasses.replace(FAST, token=old)
    config = "token_file = 'token'\n[store]\nduckdb = false\n"
    async with recording(tmp_path, settings=settings, config=config, token="") as one:
        await one.sent(20)
        one.simulator.strike(Fault("token", new))
        log_in(new)
        one.simulator.strike(Fault("drop"))
        await until(lambda: one.simulator.stats()["opened"] == 2)
        await one.sent(20)
        last = await one.stop()
        assert last.exit_code == ExitCode.DONE
        assert [gap.reason for gap in last.gaps] == ["connection reset"]
        assert last.token_expires_ns == (now + 86_400) * SECOND
        assert "the token expires at" in caplog.text


async def test_a_run_that_cannot_begin_tells_its_owner_once(tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = tmp_path / "tell.py"
    program.write_text(f"import sys\nopen({str(told)!r}, 'a').write(sys.argv[-1] + '\\n')\n")
    config = f"[record]\non_alert = \"'{sys.executable}' '{program}'\"\n"

    for _ in range(2):
        async with recording(tmp_path, config=config, token="not a token") as one:
            with pytest.raises(TokenError):
                await one.result()
    assert len(told.read_text().splitlines()) == 1


async def test_the_owner_is_told_of_everything_that_needs_a_person(tmp_path: Path) -> None:
    told, program, silent = tmp_path / "told", tmp_path / "tell.py", "NSE_EQ|INE467B01029"
    program.write_text(f"import sys\nopen({str(told)!r}, 'a').write(sys.argv[-1] + '\\n')\n")
    config = f"[record]\non_alert = \"'{sys.executable}' '{program}'\"\n[store]\nmin_free = '900TB'\nduckdb = false\n"
    clock = HastyClock()

    def heard(text: str) -> bool:
        return told.exists() and text in told.read_text()

    settings = dataclasses.replace(FAST, faults=(Fault("silent", silent),))
    async with recording(tmp_path, settings=settings, config=config, clock=clock) as one:
        await until(lambda: heard("free for"))
        await until(lambda: heard("1 instrument did not answer"))
        one.simulator.strike(Fault("refuse", "60"))
        one.simulator.strike(Fault("drop"))
        await until(lambda: one.simulator.stats()["connections"] == 0)
        assert not heard("no data on connection")
        clock.shift_ns += 61 * SECOND
        await until(lambda: heard("no data on connection 1 for 1m"))
        one.simulator.strike(Fault("token", "another"))
        last = await one.result()
        assert last.exit_code == ExitCode.TOKEN
    assert heard("tickrec stopped recording: the broker refused the access token twice")
    lines = told.read_text().splitlines()
    assert len([line for line in lines if not line.startswith("over: ")]) == 4
    assert not [line for line in lines if line.startswith("over: tickrec stopped")]
    assert [line for line in lines if line.startswith("over: no data on connection 1 for 1m")]


async def test_a_day_that_cannot_be_sealed_is_told_to_the_owner(tmp_path: Path) -> None:
    """Everything is recorded, so the run has done its work; but nobody reads the log of a cron job."""
    told, program = tmp_path / "told", tmp_path / "tell.py"
    program.write_text(f"import sys\nopen({str(told)!r}, 'a').write(sys.argv[-1] + '\\n')\n")
    config = f"[record]\non_alert = \"'{sys.executable}' '{program}'\"\n[store]\nduckdb = false\n"
    options = Options(symbols=("RELIANCE",), mode="full", duration=dt.timedelta(seconds=1), now=True)

    async with recording(tmp_path, options=options, config=config) as one:
        one.store.root.mkdir(parents=True, exist_ok=True)
        (one.store.root / "manifest").write_text("in the way of a folder")
        last = await one.result()
        assert last.exit_code == ExitCode.DONE
        (date,) = one.store.dates()
        assert told.read_text() == f"{date} could not be sealed: `tickrec seal {date}` says why\n"


async def test_a_date_that_is_being_sealed_is_waited_for(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    date = trading_date(SystemClock.wall_ns())
    lock = Lock(store.day_lock(date))

    lock.acquire({"doing": f"sealing {date}"})
    async with recording(tmp_path) as one:
        await until(lambda: lock_holder(store.record_lock) is not None)
        await until(lambda: (said := status.read(store.status_path)) is not None and said.reason.startswith("waiting"))
        assert not store.journal_files(date)
        lock.release()
        await one.sent(20)
        last = await one.stop()
        assert last.ticks >= 20
        assert [gap.conn for gap in last.gaps] == [1]  # what was sent meanwhile is missing
        assert str(date) in last.gaps[0].reason
    lock.acquire({"doing": f"sealing {date}"})
    options = Options(symbols=("RELIANCE",), mode="full", duration=dt.timedelta(seconds=1), now=True)
    async with recording(tmp_path / "again", options=options, data=store.root) as one:
        with pytest.raises(AlreadyRecording):
            await one.result()
    lock.release()


async def test_a_pause_between_two_runs_is_told_when_it_is_over_already_and_only_once(tmp_path: Path) -> None:
    """As after a crash: when the next run knows of it, data is back."""
    told, program = tmp_path / "told", tmp_path / "tell.sh"
    program.write_text(f'for text; do :; done\necho "$text" >> "{told}"\n')
    config = f"[record]\non_alert = \"sh '{program}'\"\n[store]\nduckdb = false\n"
    clock = clock_at(2026, 11, 23, 10, 0)
    options = Options(symbols=("RELIANCE",), mode="full", now=True)
    for _ in range(3):
        async with recording(tmp_path, options=options, config=config, clock=clock) as one:
            await one.sent(10)
            last = await one.stop()
        clock.shift_ns += 300 * SECOND if not told.exists() else SECOND
    assert [gap.reason for gap in last.gaps] == ["stopped", "stopped"]
    (line,) = told.read_text().splitlines()
    assert line.startswith("no data on connection 1 for 5m")
    assert line.endswith(": stopped")
