"""The schedule: started when, written how, and put into and taken out of the crontab."""

import dataclasses
import datetime as dt
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import tickrec
from tests.market.fixtures import TODAY, contract, master_of, share
from tickrec.clock import IST, from_datetime, machine_offsets
from tickrec.config import Config, load
from tickrec.errors import NothingToRecord, UsageError
from tickrec.schedule.crontab import Crontab, entry, marks, with_entry, without_entry
from tickrec.schedule.notation import Job, calendar_events, cron_command, cron_times, task_command
from tickrec.schedule.schedule import (
    Machine,
    Schedule,
    crontab_lines,
    install,
    mark_of,
    plan_schedule,
    remove,
    service_unit,
    text,
    this_machine,
    timer_unit,
    to_json,
)
from tickrec.schedule.starts import EVERY, last_end, recorded_segments
from tickrec.store.paths import Store

NOW = from_datetime(dt.datetime.combine(TODAY, dt.time(8), IST))
UTC, INDIA = dt.timedelta(0), dt.timedelta(hours=5, minutes=30)
MACHINE = Machine(system="linux", python="/venv/bin/python", offsets=(UTC,), environment={})
NEW_YORK = dataclasses.replace(MACHINE, offsets=(dt.timedelta(hours=-5), dt.timedelta(hours=-4)))
WINDOWS = dataclasses.replace(MACHINE, system="win32", python=r"C:\Python 3\python.exe", offsets=(INDIA,))
SESSION = range(535, 961, 5)
"""08:55 to 16:00."""

posix = pytest.mark.skipif(os.name == "nt", reason="there is no cron on Windows")


def config_for(folder: Path, body: str = "") -> Config:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.toml"
    path.write_text(body)
    return load(path, data=None, simulate=False, environ={"HOME": str(folder)})


def schedule_for(config: Config, machine: Machine = MACHINE, at: dt.time | None = None) -> Schedule:
    return plan_schedule(config, machine, {}, NOW, simulate=False, at=at)


# When


def numbers(field: str, end: int, dash: str = "-") -> set[int]:
    """What a field of a crontab line or of a systemd calendar event means; the oracle of these tests."""
    found: set[int] = set()
    for part in field.split(","):
        body, _, step = part.partition("/")
        first, _, last = (f"0{dash}{end - 1}" if body == "*" else body).partition(dash)
        found |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


def minutes_of(lines: list[str]) -> list[int]:
    """Minutes of the day at which crontab lines start something, each as often as it does."""
    found: list[int] = []
    for line in lines:
        minute, hour, *rest = line.split(" ", 5)
        assert rest[:3] == ["*", "*", "*"]
        found += [60 * h + m for h in numbers(hour, 24) for m in numbers(minute, 60)]
    return sorted(found)


@pytest.mark.parametrize("starts", [SESSION, range(535, 1436, 5), (555,), (0, 5), range(0, 1440, 5), (3, 7, 8, 61, 62)])
def test_in_every_zone_cron_starts_at_the_same_moments_in_india(starts: range | tuple[int, ...]) -> None:
    for quarters in range(-48, 57):
        offset = dt.timedelta(minutes=15 * quarters)
        there = minutes_of(cron_times(starts, offset))
        assert sorted((minute - 15 * quarters + 330) % 1440 for minute in there) == list(starts), offset


def test_a_session_is_three_lines_on_a_clock_at_utc_and_in_india() -> None:
    assert cron_times(SESSION, UTC) == ["25-55/5 3 * * *", "*/5 4-9 * * *", "0-30/5 10 * * *"]
    assert cron_times(SESSION, INDIA) == ["55 8 * * *", "*/5 9-15 * * *", "0 16 * * *"]


def test_hours_past_midnight_are_joined_with_those_before() -> None:
    assert cron_times(range(535, 1436, 5), dt.timedelta(hours=13)) == [
        "25-55/5 16 * * *",
        "*/5 0-6,17-23 * * *",
        "0-25/5 7 * * *",
    ]


def test_systemd_is_told_the_time_in_india() -> None:
    assert calendar_events(SESSION) == [
        "*-*-* 08:55:00 Asia/Kolkata",
        "*-*-* 09..15:00..55/5:00 Asia/Kolkata",
        "*-*-* 16:00:00 Asia/Kolkata",
    ]
    for starts in (SESSION, (555,), range(0, 1440, 5), (3, 7, 8, 61, 62)):
        found = []
        for event in calendar_events(starts):
            hour, minute, _ = event.split(" ")[1].split(":")
            found += [60 * h + m for h in numbers(hour, 24, "..") for m in numbers(minute, 60, "..")]
        assert sorted(found) == list(starts)


def test_the_machine_s_zone_is_that_of_its_daemons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zones = next((path for path in (Path("/usr/share/zoneinfo"),) if path.is_dir()), None)
    if zones is None or os.name == "nt":
        pytest.skip("no zone files on this machine")
    monkeypatch.setenv("TZ", "Europe/London")
    assert machine_offsets(NOW, zones / "Asia/Kolkata") == (INDIA,)
    assert machine_offsets(NOW, zones / "America/New_York") == NEW_YORK.offsets
    assert machine_offsets(NOW, tmp_path / "none") == (UTC,)


@pytest.mark.parametrize(
    ("body", "end"),
    [
        ("", "16:01"),
        ('[record]\nsymbols = ["NSE_FO|125841"]', "15:46"),
        ('[record]\nsymbols = ["fno", "MCX_FO|1"]', "23:56"),
        ('[record]\nsymbols = ["all:NCD_FO"]', "17:01"),
        ('[record]\nsymbols = ["MCX_FO|1"]\nstop = "21:00"', "21:00"),
        ('[record]\nsymbols = ["gold"]\n[universes]\ngold = ["all:MCX_FO:FUT"]', "23:56"),
    ],
)
def test_the_last_close_of_the_year_ends_the_starts(tmp_path: Path, body: str, end: str) -> None:
    config = config_for(tmp_path, body)
    segments = recorded_segments(config, TODAY)
    assert not segments.guessed
    hours, minutes = divmod(last_end(config, segments.names, TODAY), 60)
    assert f"{hours:02}:{minutes:02}" == end
    starts = schedule_for(config).minutes
    assert starts[0] == 8 * 60 + 55
    assert 0 < 60 * hours + minutes - starts[-1] <= EVERY


def test_names_are_looked_up_in_the_newest_stored_instruments(tmp_path: Path) -> None:
    config = config_for(tmp_path, '[record]\nsymbols = ["RELIANCE", "GOLD:fut", "GOLD:opt:10"]')
    guess = schedule_for(config)
    assert guess.minutes == tuple(SESSION)
    assert any("the store has no instruments yet" in note for note in guess.notes)
    gold = "MCX_INDEX|GOLD"
    records = [share("RELIANCE", "INE002A01018"), contract("GOLD", gold, "FUT", dt.date(2026, 12, 4), segment="MCX_FO")]
    records.append(contract("GOLD", gold, "CE", dt.date(2026, 12, 4), segment="MCX_FO", strike=130000.0))
    path = Store(config.store.data).instruments_path(TODAY - dt.timedelta(days=3))
    path.parent.mkdir(parents=True)
    master_of(path.parent, records)
    known = schedule_for(config)
    assert known.minutes[-1] == 23 * 60 + 55
    assert not any("stored" in note or "selectors" in note for note in known.notes)


def test_an_unknown_name_is_told_and_taken_for_a_share(tmp_path: Path) -> None:
    config = config_for(tmp_path, '[record]\nsymbols = ["RELAINCE"]')
    path = Store(config.store.data).instruments_path(TODAY)
    path.parent.mkdir(parents=True)
    master_of(path.parent, [share("RELIANCE", "INE002A01018")])
    found = schedule_for(config)
    assert found.minutes == tuple(SESSION)
    assert any("RELAINCE" in note and "RELIANCE" in note for note in found.notes)


def test_a_single_start_is_one_line(tmp_path: Path) -> None:
    found = schedule_for(config_for(tmp_path), at=dt.time(9, 15))
    (_, line) = crontab_lines(found)
    assert line.startswith("45 3 * * * /venv/bin/python -m tickrec record ")
    assert found.times == "at 09:15 IST"


def test_a_start_that_could_record_nothing_is_refused(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    with pytest.raises(UsageError, match="--at 16:01 is too late: the recording ends at 16:01 IST"):
        schedule_for(config, at=dt.time(16, 1))
    with pytest.raises(UsageError, match="whole minute"):
        schedule_for(config, at=dt.time(9, 15, 30))
    with pytest.raises(NothingToRecord):
        schedule_for(config_for(tmp_path, '[record]\nstart = "17:00"'))


def test_starts_begin_before_the_configured_one(tmp_path: Path) -> None:
    assert schedule_for(config_for(tmp_path, '[record]\nstart = "09:10"')).minutes[0] == 9 * 60 + 5
    assert schedule_for(config_for(tmp_path, '[record]\nstart = "00:02"')).minutes[0] == 0


# What


def test_the_command_names_everything_in_full(tmp_path: Path) -> None:
    config = config_for(tmp_path, '[store]\ndata = "ticks"')
    command = schedule_for(config).job.command
    assert command == (
        *("/venv/bin/python", "-m", "tickrec", "record", "--scheduled"),
        *("--config", str(tmp_path / "config.toml"), "--data", str(tmp_path / "ticks")),
    )
    assert crontab_lines(schedule_for(config))[1].endswith(
        f" >>{tmp_path}/ticks/state/cron.log 2>&1 # {mark_of(config)}"
    )


def test_the_simulated_store_is_scheduled_as_such(tmp_path: Path) -> None:
    config = load(None, data=tmp_path / "ticks", simulate=True, environ={"HOME": str(tmp_path)})
    found = plan_schedule(config, MACHINE, {}, NOW, simulate=True, at=None)
    assert found.job.command[-3:] == ("--data", str(tmp_path / "ticks"), "--simulate")
    assert found.log == tmp_path / "ticks/simulated/state/cron.log"


@posix
def test_what_cron_hands_to_the_shell_is_the_command_whatever_the_paths(tmp_path: Path) -> None:
    folder = tmp_path / "100% of 'my' \"data\" $HOME `x` #1"
    folder.mkdir()
    told = "import os, sys; print([*sys.argv[1:], os.environ['WHERE']])"
    job = Job((sys.executable, "-c", told, str(folder), "b%c"), {"WHERE": f"{folder}/%"})
    line = cron_command(job, str(folder / "cron.log"), "tickrec-00000000")
    assert "\n" not in line
    assert not re.search(r"(?<!\\)%", line), "cron would end the line here"
    subprocess.run(["/bin/sh", "-c", line.replace(r"\%", "%")], check=True)
    assert (folder / "cron.log").read_text() == f"{[str(folder), 'b%c', f'{folder}/%']}\n"


def test_paths_that_cron_cannot_take_are_refused() -> None:
    for word in ("a\\b", "a\nb"):
        with pytest.raises(UsageError, match="line break or a backslash"):
            cron_command(Job((word,), {}), "log", "mark")
    with pytest.raises(UsageError, match="characters"):
        cron_command(Job(("x" * 1000,), {}), "log", "mark")


def test_the_other_folder_of_settings_is_handed_on(tmp_path: Path) -> None:
    environ = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "settings")}
    if os.name == "nt":
        pytest.skip("Windows has no such variable")
    machine = this_machine(environ, NOW)
    assert machine.environment["XDG_CONFIG_HOME"] == str(tmp_path / "settings")
    assert machine.python == os.path.abspath(sys.executable)
    assert machine.environment["HOME"] == str(tmp_path), "cron and systemd would set another"
    same = {**environ, "XDG_CONFIG_HOME": str(tmp_path / ".config")}
    assert "XDG_CONFIG_HOME" not in this_machine(same, NOW).environment
    line = crontab_lines(schedule_for(config_for(tmp_path), dataclasses.replace(machine, offsets=(UTC,))))[1]
    assert f" HOME={tmp_path} XDG_CONFIG_HOME={tmp_path}/settings {machine.python} -m tickrec" in line


def test_a_package_that_is_not_installed_is_found_all_the_same(tmp_path: Path) -> None:
    libraries = [each for each in sys.path if "site-packages" in each]
    if any((Path(each) / "tickrec").exists() for each in libraries):
        pytest.skip("tickrec is installed among its libraries")
    copy = tmp_path / "checkout"
    shutil.copytree(Path(tickrec.__file__).parent, copy / "tickrec", ignore=shutil.ignore_patterns("__pycache__"))
    venv.create(tmp_path / "venv", symlinks=os.name != "nt")
    next(tmp_path.glob("venv/**/site-packages")).joinpath("libraries.pth").write_text("\n".join(libraries))
    python = next(tmp_path.glob("venv/[bS]*/python*"))
    program = (
        "import os; from tickrec.schedule.schedule import this_machine; "
        "print(this_machine(os.environ, 0).environment['PYTHONPATH'])"
    )
    environ = {**os.environ, "PYTHONPATH": "more"}
    done = subprocess.run([python, "-c", program], env=environ, cwd=copy, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.strip() == os.pathsep.join([str(copy), "more"])


def test_what_the_schedule_lacks_is_said(tmp_path: Path) -> None:
    body = '[upstox]\ntoken_file = "token"\n[record]\non_alert = "my-own-alert --loud"'
    config = config_for(tmp_path, body)
    token = "eyJ0b2tlbiI6InNlY3JldCJ9"
    environ = {"UPSTOX_ACCESS_TOKEN": token, "https_proxy": "http://user:word@proxy:1"}
    found = plan_schedule(config, MACHINE, environ, NOW, simulate=False, at=None)
    said = " ".join(found.notes)
    assert f"UPSTOX_ACCESS_TOKEN is set in this shell only. A scheduled recorder takes it from {tmp_path}/token" in said
    assert "tickrec login" in said
    assert "my-own-alert in on_alert" in said
    assert "proxy" in said
    everything = said + text(found) + str(to_json(found))
    assert token not in everything
    assert "word" not in everything
    (tmp_path / "token").write_text("there")
    quiet = plan_schedule(config, MACHINE, {}, NOW, simulate=False, at=dt.time(9))
    assert not any("token" in note or "proxy" in note or "again" in note for note in quiet.notes)


# Daylight saving time


def test_no_crontab_line_is_given_in_a_zone_with_daylight_saving_time(tmp_path: Path) -> None:
    found = schedule_for(config_for(tmp_path), NEW_YORK)
    with pytest.raises(UsageError, match=r"daylight saving time \(UTC-05:00 and UTC-04:00\)"):
        crontab_lines(found)
    shown = text(found)
    assert "no crontab line is right all year" in shown
    assert "* * *" not in shown
    assert "OnCalendar=*-*-* 08:55:00 Asia/Kolkata" in shown
    assert to_json(found)["crontab"] is None


@posix
def test_it_is_not_put_into_the_crontab_there_either(tmp_path: Path) -> None:
    crontab = crontab_on(tmp_path)
    with pytest.raises(UsageError, match="daylight saving"):
        install(schedule_for(config_for(tmp_path / "a"), NEW_YORK), crontab)
    assert crontab.read() == ""


# Windows


def test_windows_gets_a_task(tmp_path: Path) -> None:
    found = schedule_for(config_for(tmp_path), WINDOWS)
    assert text(found) == (
        'schtasks /create /tn tickrec /sc daily /st 08:55 /ri 5 /du 07:10 /tr "\\"C:\\Python 3\\python.exe\\" -m '
        f'tickrec record --scheduled --no-live --config {tmp_path / "config.toml"} --data {tmp_path / "data"}"\n'
    )
    with pytest.raises(UsageError, match="Windows"):
        crontab_lines(found)


def test_a_task_reaches_over_the_starts_of_summer_and_winter() -> None:
    job = Job(("python",), {})
    assert "/st 22:25 /ri 5 /du 08:10 " in task_command(job, "t", SESSION, NEW_YORK.offsets)
    assert task_command(job, "t", (555,), (INDIA,)) == 'schtasks /create /tn t /sc daily /st 09:15 /tr "python"'
    with pytest.raises(UsageError, match="characters"):
        task_command(Job(("x" * 300,), {}), "t", SESSION, (INDIA,))


# The crontab

PROGRAM = """#!/bin/sh
# What `crontab` does, on a file of its own.
case "$1" in
    -l) [ -f '{0}' ] && exec cat '{0}'; echo "no crontab for somebody" >&2; exit 1 ;;
    -r) exec rm '{0}' ;;
    -) exec cat >'{0}' ;;
esac
exit 2
"""
THEIRS = "MAILTO=me\n# tickrec is below\n0 1 * * * backup # weekly\n*/5 * * * * python -m tickrec status\n\n\n"


def program(folder: Path, body: str) -> Crontab:
    path = folder / "crontab"
    path.write_text(body)
    path.chmod(0o755)
    return Crontab(str(path))


def crontab_on(folder: Path) -> Crontab:
    return program(folder, PROGRAM.format(folder / "tab"))


@posix
def test_an_entry_is_put_in_once_and_taken_out_without_a_trace(tmp_path: Path) -> None:
    crontab, tab = crontab_on(tmp_path), tmp_path / "tab"
    before = THEIRS.encode() + b"# caf\xe9, not UTF-8\n"
    tab.write_bytes(before)
    config = config_for(tmp_path / "a")
    found = schedule_for(config)
    said = install(found, crontab)
    assert said.startswith("put into the crontab: every 5 minutes from 08:55 to 16:00 IST")
    assert entry(crontab.read(), found.mark) == crontab_lines(found)
    assert len(crontab_lines(found)) == 4
    assert tab.read_bytes().startswith(before)
    assert found.log.parent.is_dir(), "the shell could not write there"
    once = tab.read_bytes()
    assert install(found, crontab).startswith("already in the crontab")
    assert tab.read_bytes() == once
    assert remove(mark_of(config), crontab) == "taken out of the crontab"
    assert tab.read_bytes() == before
    assert "no entry" in remove(mark_of(config), crontab)


@posix
def test_a_crontab_that_was_not_there_is_not_there_afterwards(tmp_path: Path) -> None:
    crontab = crontab_on(tmp_path)
    found = schedule_for(config_for(tmp_path / "a"))
    install(found, crontab)
    assert (tmp_path / "tab").read_text().splitlines() == crontab_lines(found)
    remove(found.mark, crontab)
    assert not (tmp_path / "tab").exists()


@posix
def test_a_new_time_replaces_the_old_and_other_stores_stay(tmp_path: Path) -> None:
    crontab = crontab_on(tmp_path)
    one, other = config_for(tmp_path / "a"), config_for(tmp_path / "b")
    install(schedule_for(one), crontab)
    install(schedule_for(other), crontab)
    install(schedule_for(one, at=dt.time(9, 15)), crontab)
    assert marks(crontab.read()) == [mark_of(other), mark_of(one)]
    assert len(entry(crontab.read(), mark_of(one))) == 2
    remove(mark_of(one), crontab)
    assert crontab.read().splitlines() == crontab_lines(schedule_for(other))


def test_a_line_of_the_user_s_inside_the_entry_stays() -> None:
    mark = "tickrec-0123abcd"
    text = with_entry("a", [f"x # {mark}", f"y # {mark}"], mark)
    assert text == f"a\nx # {mark}\ny # {mark}\n"
    edited = text.replace(f"y # {mark}\n", f"mine\nCHANGED y # {mark}\n0 1 * * * tickrec-0123abcd\n")
    assert without_entry(edited, mark) == "a\nmine\n0 1 * * * tickrec-0123abcd\n"


def test_an_entry_stays_out_of_another_zone_of_the_crontab() -> None:
    mark = "tickrec-0123abcd"
    text = "A=1\nCRON_TZ=Asia/Tokyo\n0 1 * * * x\n"
    assert with_entry(text, [f"y # {mark}"], mark) == f"A=1\ny # {mark}\nCRON_TZ=Asia/Tokyo\n0 1 * * * x\n"


@posix
def test_a_crontab_that_cannot_be_read_is_never_replaced(tmp_path: Path) -> None:
    written = tmp_path / "written"
    body = f"#!/bin/sh\n[ $1 = -l ] || touch '{written}'\necho 'You are not allowed to use this program' >&2\nexit 1"
    crontab = program(tmp_path, body)
    found = schedule_for(config_for(tmp_path / "a"))
    with pytest.raises(UsageError, match="cannot be read: You are not allowed"):
        install(found, crontab)
    with pytest.raises(UsageError, match="cannot be read: You are not allowed"):
        remove(found.mark, crontab)
    assert not written.exists()
    with pytest.raises(UsageError, match="no crontab on this machine"):
        Crontab(str(tmp_path / "none")).read()


@posix
def test_a_crontab_that_is_not_written_is_told(tmp_path: Path) -> None:
    found = schedule_for(config_for(tmp_path / "a"))
    with pytest.raises(UsageError, match="cannot be written: disk full"):
        install(found, program(tmp_path, "#!/bin/sh\n[ $1 = -l ] && exit 0\necho disk full >&2\nexit 1"))
    with pytest.raises(UsageError, match="not what was written"):
        install(found, program(tmp_path, "#!/bin/sh\ncat >/dev/null\nexit 0"))


# The real programs, where they are


@pytest.mark.parametrize("at", [None, dt.time(9, 15)])
def test_debian_s_crontab_accepts_the_lines(tmp_path: Path, at: dt.time | None) -> None:
    usage = subprocess.run(["crontab", "-h"], capture_output=True, text=True).stderr if shutil.which("crontab") else ""
    if "-n" not in usage:
        pytest.skip("no crontab here that only checks: not installed, or not Debian's")
    for offset in (UTC, INDIA, dt.timedelta(hours=-3, minutes=-30), dt.timedelta(hours=12, minutes=45)):
        machine = dataclasses.replace(MACHINE, offsets=(offset,))
        lines = crontab_lines(schedule_for(config_for(tmp_path / "100% mine"), machine, at))
        (tmp_path / "tab").write_text("".join(f"{line}\n" for line in lines))
        done = subprocess.run(["crontab", "-n", str(tmp_path / "tab")], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    (tmp_path / "tab").write_text("61 3 * * * x\n")
    assert subprocess.run(["crontab", "-n", str(tmp_path / "tab")], capture_output=True).returncode != 0


needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")


@needs_systemd
@pytest.mark.parametrize("root", [False, True])
def test_systemd_accepts_the_units(tmp_path: Path, root: bool) -> None:
    machine = dataclasses.replace(
        MACHINE, python=sys.executable, root=root, environment={"XDG_CONFIG_HOME": '/a b/50% "c"'}
    )
    found = schedule_for(config_for(tmp_path / 'my $data "here" 100%'), machine)
    units = [tmp_path / "tickrec.service", tmp_path / "tickrec.timer"]
    units[0].write_text(service_unit(found))
    units[1].write_text(timer_unit(found))
    command = ["systemd-analyze", "verify", "--man=no", *(() if root else ("--user",)), *map(str, units)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)})
    complaints = [line for line in done.stderr.splitlines() if "tickrec" in line]
    assert not complaints
    assert done.returncode == 0, done.stderr


@needs_systemd
def test_systemd_elapses_when_cron_starts(tmp_path: Path) -> None:
    found = schedule_for(config_for(tmp_path))
    elapses: set[str] = set()
    for event in re.findall("^OnCalendar=(.*)$", timer_unit(found), re.MULTILINE):
        command = ["systemd-analyze", "calendar", "--iterations=84", "--base-time=2026-11-23 00:00:00 UTC", event]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TZ": "UTC"})
        if "base-time" in done.stderr:
            pytest.skip("this systemd-analyze is too old to be given a date")
        assert done.returncode == 0, done.stderr
        elapses |= set(re.findall(r"2026-11-23 (\d\d:\d\d):00 UTC", done.stdout))
    cron = minutes_of(cron_times(found.minutes, UTC))
    assert elapses == {f"{minute // 60:02}:{minute % 60:02}" for minute in cron}
