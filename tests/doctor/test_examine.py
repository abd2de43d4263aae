"""The doctor: what it looks at, what is good enough, and what it says to do."""

import dataclasses
import datetime as dt
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.clocks import ShiftedClock
from tests.processes import in_thread
from tests.query.fixtures import write_sealed
from tests.recordings import day_list
from tests.screen.drawn import lines
from tests.upstox.feed_fixtures import CERTIFICATE
from tests.upstox.rest_fixtures import jwt
from tickrec.clock import IST, SECOND, SystemClock, from_datetime, ist
from tickrec.config import Config, load
from tickrec.doctor.broker import Broker, clock_offset
from tickrec.doctor.examine import Check, check_of, examine, exit_code, to_json
from tickrec.doctor.findings import Finding, page_of, summary
from tickrec.doctor.machine import days, disk, store_folder
from tickrec.doctor.scheduled import look
from tickrec.errors import ExitCode
from tickrec.schedule.crontab import Crontab, crontab_lines
from tickrec.schedule.schedule import Machine, plan_schedule
from tickrec.schedule.systemd import service_unit
from tickrec.serve.faults import Fault
from tickrec.serve.synthetic.simulator import Settings, Simulator
from tickrec.store.manifest import Manifest
from tickrec.store.paths import Store

TOKEN = "s3cret-token-of-somebody"
NOWHERE = Crontab("no-such-crontab")
MONDAY = from_datetime(dt.datetime(2026, 11, 23, 10, 0, tzinfo=IST))
DEADLINE = 30.0

posix = pytest.mark.skipif(os.name == "nt", reason="not on Windows")


def clock_at(wall_ns: int) -> ShiftedClock:
    return ShiftedClock(wall_ns - SystemClock.wall_ns())


def broker(settings: Settings | None = None) -> AbstractContextManager[Simulator]:
    return in_thread(Simulator(settings or Settings(token=TOKEN, strikes=2)))


@pytest.fixture(scope="module")
def market() -> Iterator[Simulator]:
    with broker() as simulator:
        yield simulator


def today() -> dt.date:
    return ist(SystemClock.wall_ns()).date()


def keep_instruments(config: Config) -> Config:
    """Let the store have the day's instruments already."""
    path = Store(config.store.data).instruments_path(today())
    path.parent.mkdir(parents=True)
    path.write_bytes(day_list(today()))
    return config


def config_for(folder: Path, api_url: str, body: str = "", assets_url: str = "") -> Config:
    folder.mkdir(parents=True, exist_ok=True)
    upstox = f'[upstox]\napi_url = "{api_url}"\nassets_url = "{assets_url or api_url}"\ntoken_file = "token"\n'
    (folder / "config.toml").write_text(upstox + (body or '[record]\nsymbols = ["RELIANCE", "NIFTY"]\n'))
    return load(folder / "config.toml", data=None, simulate=False, environ={"HOME": str(folder)})


def with_token(folder: Path, token: str = TOKEN) -> dict[str, str]:
    """The token in its file, and an environment without one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "token").write_text(token)
    (folder / "token").chmod(0o600)
    return {"HOME": str(folder), "PATH": os.environ["PATH"]}


def examined(config: Config, environ: Mapping[str, str], clock: SystemClock | None = None) -> dict[str, Check]:
    return {check.name: check for check in examine(config, environ, clock or SystemClock(), crontab=NOWHERE)}


def token_of(config: Config, environ: Mapping[str, str], clock: SystemClock | None = None) -> Check:
    """What the doctor says of the token, and of nothing else."""
    broker = Broker(config, environ, clock or SystemClock(), simulate=False)
    broker.api()
    return check_of("token", broker.token)


def api_of(config: Config) -> Check:
    """What the doctor says of the host of the API, and of nothing else."""
    return check_of("api", Broker(config, {}, SystemClock(), simulate=False).api)


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_all_is_well_with_a_broker_and_a_token(tmp_path: Path, market: Simulator) -> None:
    checks = examined(keep_instruments(config_for(tmp_path, market.api_url)), with_token(tmp_path))
    results = {name: check.result for name, check in checks.items()}
    assert results.pop("schedule") == "warn"
    assert set(results.values()) == {"ok"}, checks
    assert "accepted by the broker" in checks["token"].text
    assert checks["symbols"].text.startswith("2 instruments in mode full: 1 of 2 connections of plan normal")
    assert checks["calendar"].text == (
        "trading today: NSE_EQ and NSE_INDEX 00:00 to 23:59; recorded from 03:30 to 00:30 of the next day"
    )
    assert checks["clock"].text == "within a second of the broker's"
    assert "tickrec schedule --install" in checks["schedule"].hint
    assert "duckdb " in checks["versions"].text
    assert exit_code([*checks.values()]) is ExitCode.DONE


def test_without_a_network_the_rest_is_looked_at_all_the_same(tmp_path: Path) -> None:
    config = config_for(tmp_path, f"http://127.0.0.1:{free_port()}")
    checks = examined(config, with_token(tmp_path), clock_at(MONDAY))
    for name in ("api", "assets", "symbols"):
        assert checks[name].result == "fail"
        assert "connection refused" in checks[name].text
        assert checks[name].hint
    assert checks["clock"].result == checks["token"].result == checks["feed"].result == "warn"
    assert "not tried, as 127.0.0.1 was not reached" in checks["token"].text
    assert checks["calendar"].result == "warn"
    hours = "NSE_EQ 09:15 to 15:30, NSE_FO 09:15 to 15:40"
    assert checks["calendar"].text.startswith(f"trading today: {hours}; recorded from 09:00")
    assert "the built-in one serves" in checks["calendar"].text
    assert checks["store"].result == checks["disk"].result == "ok"
    heads = [lines(page_of(check, 200), 200)[0][:16] for check in checks.values()]
    assert all(head.endswith("  ") for head in heads), "names fit into their column"
    assert exit_code([*checks.values()]) is ExitCode.DATA


def test_a_name_that_nobody_knows_is_said(tmp_path: Path) -> None:
    config = config_for(tmp_path, "https://broker.invalid", assets_url=f"http://127.0.0.1:{free_port()}")
    check = api_of(config)
    assert check.result == "fail"
    assert check.text.startswith("broker.invalid: the host name could not be resolved")
    assert "name servers" in check.hint


def test_a_certificate_that_nobody_vouches_for_fails(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                    context.wrap_socket(connection, server_side=True).close()
                except ssl.SSLError:
                    continue
                except OSError:
                    return

        threading.Thread(target=greet, daemon=True).start()
        url = f"https://localhost:{server.getsockname()[1]}"
        config = config_for(tmp_path, url, assets_url=f"http://127.0.0.1:{free_port()}")
        check = api_of(config)
        server.shutdown(socket.SHUT_RDWR)
    assert check.result == "fail"
    assert "no trusted TLS connection: self-signed certificate" in check.text
    assert "always verified" in check.hint


@pytest.mark.parametrize(
    ("shift", "result", "words"),
    [(0, "ok", "within a second"), (9, "warn", "behind"), (-9, "warn", "ahead of"), (90, "fail", "behind")],
)
def test_a_clock_that_is_off_is_said(tmp_path: Path, shift: int, result: str, words: str) -> None:
    with broker(Settings(token=TOKEN, strikes=2, clock=ShiftedClock(shift * SECOND))) as simulator:
        broker_ = Broker(config_for(tmp_path, simulator.api_url), with_token(tmp_path), SystemClock(), simulate=False)
        broker_.api()
        found = broker_.clock()
    assert found.result == result
    assert words in found.text
    assert ("timedatectl" in found.hint) == (result != "ok")


@pytest.mark.parametrize(
    ("before", "server", "after", "offset"),
    [(10.2, 10, 10.3, 0), (10.9, 10, 11.4, 0), (9.8, 10, 10.1, 0), (12.5, 10, 12.6, 1.5), (8.0, 10, 8.5, -1.5)],
)
def test_the_offset_is_what_whole_seconds_can_prove(before: float, server: int, after: float, offset: float) -> None:
    assert clock_offset(int(before * SECOND), server * SECOND, int(after * SECOND)) == pytest.approx(offset)


# The token


def test_a_token_that_is_missing_expired_or_refused_fails(tmp_path: Path, market: Simulator) -> None:
    config = config_for(tmp_path, market.api_url)
    none = token_of(config, {"HOME": str(tmp_path)})
    assert (none.result, none.text[:15]) == ("fail", "no access token")
    expired = jwt({"exp": MONDAY // SECOND - 3600})
    old = token_of(config, with_token(tmp_path, expired), clock_at(MONDAY))
    assert (old.result, old.text) == ("fail", "the token expired at 09:00 today")
    refused = token_of(config, with_token(tmp_path, "another-token-altogether"))
    assert refused.result == "fail"
    assert refused.text.startswith("the broker refuses it: 401")
    assert "tickrec login" in none.hint
    assert none.hint == old.hint == refused.hint


@posix
def test_a_token_file_that_others_can_read_fails(tmp_path: Path, market: Simulator) -> None:
    environ = with_token(tmp_path)
    (tmp_path / "token").chmod(0o644)
    check = token_of(config_for(tmp_path, market.api_url), environ)
    assert check.result == "fail"
    assert "chmod 600" in check.hint


def test_a_token_that_ends_before_the_next_recording_does_is_said(tmp_path: Path) -> None:
    evening = from_datetime(dt.datetime(2026, 11, 23, 20, 0, tzinfo=IST))
    half_past_three = from_datetime(dt.datetime(2026, 11, 24, 3, 30, tzinfo=IST)) // SECOND
    found = {}
    for name, expires in (("today", half_past_three), ("year", half_past_three + 300 * 86_400)):
        token = jwt({"exp": expires, "isPlusPlan": True})
        clock = clock_at(evening)
        settings = Settings(token=token, strikes=2, plus=True, always_open=False, clock=clock)
        with broker(settings) as simulator:
            folder = tmp_path / name
            config = config_for(folder, simulator.api_url)
            one = Broker(config, with_token(folder, token), clock, simulate=False)
            one.api()
            assert one.calendar().text.startswith("nothing is left to record on Mon 23 Nov 2026")
            found[name] = one.token()
    assert found["today"].result == "warn"
    assert "valid until Tue 03:30, plan plus: not until the next recording ends (Wed 16:01)" in found["today"].text
    assert "--analytics" in found["today"].hint
    assert found["year"].result == "ok"


def test_a_token_of_this_shell_alone_is_said(tmp_path: Path, market: Simulator) -> None:
    config = config_for(tmp_path, market.api_url)
    environ = {"HOME": str(tmp_path), "UPSTOX_ACCESS_TOKEN": TOKEN}
    check = token_of(config, environ)
    assert check.result == "warn"
    assert "in this shell only, not for cron" in check.text
    commanded = dataclasses.replace(config, upstox=dataclasses.replace(config.upstox, token_command="pass upstox"))
    assert token_of(commanded, environ).result == "ok"


def test_the_token_is_in_no_check_whatever_goes_wrong(tmp_path: Path) -> None:
    faults: tuple[Fault | None, ...] = (None, Fault("error", "500"), Fault("unauthorized"), Fault("error", "429"))
    secret = jwt({"exp": SystemClock.wall_ns() // SECOND + 86_400})
    body = f"[record]\nsymbols = [\"NIFTY:opt:2\"]\non_alert = '{secret} now'\n"
    with broker(Settings(token=secret, strikes=2)) as simulator:
        config = keep_instruments(config_for(tmp_path, simulator.api_url, body))
        for fault in faults:
            if fault is not None:
                simulator.strike(fault)
            checks = [*examined(config, with_token(tmp_path, secret)).values()]
            shown = (
                json.dumps(to_json(checks))
                + "".join(line for each in checks for line in lines(page_of(each, 200), 200))
                + repr(checks)
            )
            assert secret not in shown
            assert "[token]" in shown, "the alert's command, which has it, is shown"
            assert "Traceback" not in shown
            assert len(checks) == 15


# What is configured


@pytest.mark.parametrize(
    ("body", "text", "hint"),
    [
        ('[record]\nsymbols = ["RELAINCE"]', "unknown symbol RELAINCE", "RELIANCE"),
        ('[record]\nmode = "full_d30"', "mode full_d30 needs an Upstox Plus plan", "mode full"),
    ],
)
def test_symbols_that_cannot_be_recorded_fail(
    tmp_path: Path, market: Simulator, body: str, text: str, hint: str
) -> None:
    config = keep_instruments(config_for(tmp_path, market.api_url, body))
    one = Broker(config, with_token(tmp_path), SystemClock(), simulate=False)
    check = check_of("symbols", one.symbols)
    assert check.result == "fail"
    assert check.text.startswith(text)
    assert hint in check.hint


def test_an_unknown_name_among_others_is_a_warning_that_names_it(tmp_path: Path, market: Simulator) -> None:
    (tmp_path / "mine.txt").write_text("TCS\nINFI\n")
    body = f'[record]\nsymbols = ["RELAINCE", "RELIANCE", "@{tmp_path}/mine.txt"]'
    config = keep_instruments(config_for(tmp_path, market.api_url, body))
    check = Broker(config, with_token(tmp_path), SystemClock(), simulate=False).symbols()
    assert check.result == "warn"
    assert check.text.startswith("2 instruments in mode full: ")
    assert check.text.endswith("; unknown today and not recorded: RELAINCE, INFI")
    assert "`tickrec symbols RELAINCE`" in check.hint


def test_more_instruments_than_the_plan_takes_fail_with_the_numbers(tmp_path: Path, market: Simulator) -> None:
    body = 'plan = "plus"\n[record]\nsymbols = ["all:NSE_EQ", "NIFTY:opt"]\nmode = "full_d30"'
    config = keep_instruments(config_for(tmp_path, market.api_url, body))
    check = Broker(config, with_token(tmp_path), SystemClock(), simulate=False).symbols()
    assert check.result == "fail"
    assert " need 8 connections of 50" in check.text
    assert "allows 250" in check.text


def test_the_calendar_says_why_nothing_is_recorded_today(tmp_path: Path) -> None:
    clock = clock_at(from_datetime(dt.datetime(2026, 11, 24, 8, 0, tzinfo=IST)))
    config = config_for(tmp_path, f"http://127.0.0.1:{free_port()}")
    check = Broker(config, with_token(tmp_path), clock, simulate=False).calendar()
    assert "closed on Tue 24 Nov 2026 (Guru Nanak Jayanti). Next session: Wed 25 Nov, 09:00" in check.text


def test_a_year_that_no_calendar_knows_is_said(tmp_path: Path) -> None:
    clock = clock_at(from_datetime(dt.datetime(2031, 1, 6, 8, 0, tzinfo=IST)))
    config = config_for(tmp_path, f"http://127.0.0.1:{free_port()}")
    check = check_of("calendar", Broker(config, with_token(tmp_path), clock, simulate=False).calendar)
    assert check.result == "warn"
    assert "no calendar knows 2031-01-06" in check.text


# The machine


@posix
@pytest.mark.skipif(os.name != "nt" and os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_may_not_be_written_fails(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    found = store_folder(Store(tmp_path / "data"))
    tmp_path.chmod(0o700)
    assert found.result == "fail"


def test_a_store_that_is_no_folder_fails(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    found = store_folder(Store(tmp_path / "data"))
    assert found.result == "fail"
    assert "cannot be written" in found.text
    assert found.hint


def sealed_day(store: Store, date: dt.date, size: int) -> None:
    path = store.sealed_path("ticks", date)
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(size)


def recorded_for(store: Store, date: dt.date, *, hours: int) -> None:
    """Let a date that is sealed have been recorded for so long."""
    begin = dt.datetime.combine(date, dt.time(9), IST)
    row = {"seq": 1, "conn": 1, "opened_ts": begin, "closed_ts": begin + dt.timedelta(hours=hours)}
    write_sealed(store, date, {"connections": [row]})
    Manifest(
        schema_version=1, date=str(date), sealed_at="", versions={}, first_seq=1, last_seq=1, messages=0,
        message_bytes=0, rows={"ticks": 0}, missing=[], gaps=[], files={}, instruments={},
    ).publish(store)  # fmt: skip


def test_free_space_is_told_in_days_of_the_usual_size(tmp_path: Path) -> None:
    store, date = Store(tmp_path), dt.date(2026, 11, 19)
    assert "known after a whole day" in disk(store, 1).text
    assert disk(store, 10**18).result == "warn"
    sealed_day(store, date, 10**6)
    assert "known after a whole day" in disk(store, 1).text
    recorded_for(store, date, hours=6)
    roomy = disk(store, 1)
    assert roomy.result == "ok"
    assert "days at 1.0 MB a day" in roomy.text
    sealed_day(store, date + dt.timedelta(days=1), 10**13)
    recorded_for(store, date + dt.timedelta(days=1), hours=6)
    full = disk(store, 1)
    assert (full.result, full.text.rpartition(": ")[2]) == ("fail", "not enough for another day")
    assert "keep_journal" in full.hint


def test_days_that_were_never_sealed_are_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert days(store, today()).result == "ok"
    sealed_day(store, today() - dt.timedelta(days=9), 1)
    assert days(store, today()) == ("ok", "1 day kept, no earlier one unsealed", "")
    today_only = Store(tmp_path / "today")
    today_only.journal(today()).mkdir(parents=True)
    assert days(today_only, today()).text == "1 day kept, no earlier one unsealed, today not sealed yet"
    for back in (0, 2):
        folder = store.journal(today() - dt.timedelta(days=back))
        folder.mkdir(parents=True)
        (folder / "0001.journal").write_bytes(b"")
    check = days(store, today())
    late = today() - dt.timedelta(days=2)
    assert (check.result, check.text) == ("warn", f"1 earlier day not sealed: {late}")
    assert f"tickrec seal {late}" in check.hint


def test_what_the_doctor_itself_stumbles_over_is_a_failed_check(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble() -> Finding:
        return Finding("ok", f"{1 // 0}")

    check = check_of("symbols", stumble, lambda text: text.replace("modulo", "***"))
    (record,) = caplog.records
    assert "in stumble" in record.__dict__["trace"]
    assert "modulo" not in record.getMessage() + record.__dict__["trace"]
    assert (check.result, check.text) == (
        "fail",
        "could not be examined: ZeroDivisionError: integer division or modulo by zero",
    )
    missing = check_of("disk", lambda: disk(Store(tmp_path), len(os.listdir(tmp_path / "gone"))))
    assert missing.result == "fail"
    assert "gone" in missing.text


# The schedule

MACHINE = Machine(system="linux", python="/venv/bin/python", offsets=(dt.timedelta(0),), environment={}, cron_runs=True)


@pytest.fixture
def scheduled(tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """Look at a machine with this crontab; the result and the text."""
    config = config_for(tmp_path, "https://api.upstox.com")

    def examine_schedule(tab: str | list[str], machine: Machine = MACHINE) -> tuple[str, str]:
        (tmp_path / "tab").write_text(tab if isinstance(tab, str) else "".join(f"{line}\n" for line in tab))
        program = tmp_path / "crontab"
        program.write_text(f"#!/bin/sh\nexec cat '{tmp_path}/tab'\n")
        program.chmod(0o755)
        environ = {"HOME": str(tmp_path)}
        found = look(config, machine, environ, MONDAY, simulate=False, crontab=Crontab(str(program)))
        assert (found.result == "ok") != bool(found.hint)
        return found.result, found.text

    return examine_schedule


def lines_of(tmp_path: Path, machine: Machine = MACHINE, at: dt.time | None = None) -> list[str]:
    config = config_for(tmp_path, "https://api.upstox.com")
    return crontab_lines(plan_schedule(config, machine, {}, MONDAY, simulate=False, at=at))


@posix
def test_an_installed_schedule_is_found_and_compared_with_the_machine(
    tmp_path: Path, scheduled: Callable[..., tuple[str, str]]
) -> None:
    lines = lines_of(tmp_path)
    assert scheduled(lines) == ("ok", "crontab: tickrec record, every 5 minutes from 08:55 to 16:00 IST")
    assert scheduled(lines_of(tmp_path, at=dt.time(9, 15))) == ("ok", "crontab: tickrec record, at 09:15 IST")
    moved = dataclasses.replace(MACHINE, offsets=(dt.timedelta(hours=1),))
    assert scheduled(lines, moved)[0] == "fail"
    assert "zone" in scheduled(lines, moved)[1]
    summer = dataclasses.replace(MACHINE, offsets=(dt.timedelta(0), dt.timedelta(hours=1)))
    assert "daylight saving" in scheduled(lines, summer)[1]
    other = dataclasses.replace(MACHINE, python="/new/bin/python")
    assert scheduled(lines, other) == (
        "warn",
        "the crontab starts another tickrec than this one, or with other folders",
    )
    stopped = dataclasses.replace(MACHINE, cron_runs=False)
    assert scheduled(lines, stopped)[0] == "fail"
    assert "no cron daemon runs" in scheduled(lines, stopped)[1]


@posix
def test_lines_of_the_user_s_own_count_and_those_of_other_stores_do_not(
    tmp_path: Path, scheduled: Callable[..., tuple[str, str]]
) -> None:
    nothing = ("warn", "nothing starts the recorder by itself")
    own = ("ok", "a line of your own in the crontab")
    assert scheduled("") == nothing
    assert scheduled("# 0 4 * * * tickrec record\n0 4 * * * tickrec status\n") == nothing
    assert scheduled("30 3 * * 1-5 cd ~/ticks && .venv/bin/tickrec record\n") == own
    assert scheduled(f"30 3 * * 1-5 tickrec record --data {tmp_path}/data\n") == own
    assert scheduled("30 3 * * 1-5 tickrec record --data /elsewhere\n") == nothing
    assert scheduled(lines_of(tmp_path / "another")) == nothing


@posix
def test_a_timer_is_found_and_has_to_be_enabled(tmp_path: Path, scheduled: Callable[..., tuple[str, str]]) -> None:
    config = config_for(tmp_path, "https://api.upstox.com")
    schedule = plan_schedule(config, MACHINE, {}, MONDAY, simulate=False, at=None)
    units = tmp_path / ".config/systemd/user"
    (units / "timers.target.wants").mkdir(parents=True)
    (units / "mine.service").write_text(service_unit(schedule))
    (units / "mine.timer").write_text("[Timer]\n")
    assert scheduled("") == ("warn", f"{units}/mine.timer is not enabled")
    (units / "timers.target.wants/mine.timer").symlink_to(units / "mine.timer")
    assert "while you are not logged in" in scheduled("")[1]
    assert scheduled(lines_of(tmp_path))[0] == "ok", "one that works is enough"


# How it is shown


def test_a_check_says_what_to_do_and_the_last_line_sums_up() -> None:
    token = Check("token", "fail", "the token expired at 03:30 today", "Run `tickrec login`")
    store = Check("store", "ok", "x")
    assert lines(page_of(token, 50), 50) == [
        "fail  token     the token expired at 03:30 today",
        "                Run `tickrec login`",
    ]
    assert lines(page_of(store, 50), 50) == ["ok    store     x"]
    assert lines(summary([token, store], 50)) == ["1 of 2 checks failed"]
    assert lines(summary([store], 50)) == ["ready to record"]
    narrow = lines(page_of(token, 10))
    assert [line[:16].rstrip() for line in narrow] == ["fail  token", "", ""]
    assert "".join(line[16:].rstrip() + " " for line in narrow[:2]) == "the token expired at 03:30 today "


def test_the_worst_result_counts() -> None:
    ok, warn, fail = (Check("a", result, "b") for result in ("ok", "warn", "fail"))
    assert [to_json(checks)["result"] for checks in ([ok], [ok, warn], [fail, ok, warn], [])] == [
        "ok",
        "warn",
        "fail",
        "ok",
    ]
    assert [exit_code(checks) for checks in ([ok, warn], [ok, fail])] == [ExitCode.DONE, ExitCode.DATA]
    assert to_json([fail])["checks"] == [{"name": "a", "result": "fail", "text": "b", "hint": None}]
