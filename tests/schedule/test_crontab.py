import dataclasses
import datetime as dt
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.schedule.fixtures import INDIA, MACHINE, NEW_YORK, SESSION, UTC, config_for, minutes_of, schedule_for
from tickrec.errors import UsageError
from tickrec.schedule.crontab import (
    Crontab,
    cron_command,
    cron_times,
    crontab_lines,
    entry,
    install,
    marks,
    remove,
    with_entry,
    without_entry,
)
from tickrec.schedule.schedule import Job, mark_of

posix = pytest.mark.skipif(os.name == "nt", reason="there is no cron on Windows")


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


def test_a_single_start_is_one_line(tmp_path: Path) -> None:
    found = schedule_for(config_for(tmp_path), at=dt.time(9, 15))
    (_, line) = crontab_lines(found)
    assert line.startswith("45 3 * * * /venv/bin/python -m tickrec record ")
    assert found.times == "at 09:15 IST"


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


@posix
def test_it_is_not_put_into_the_crontab_there_either(tmp_path: Path) -> None:
    crontab = crontab_on(tmp_path)
    with pytest.raises(UsageError, match="daylight saving"):
        install(schedule_for(config_for(tmp_path / "a"), NEW_YORK), crontab)
    assert crontab.read() == ""


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
