"""The user's alert command: told until it succeeds, told again when it is over, and never in the way."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clocks import HandClock
from tests.recordings import until
from tickrec.children import split_command
from tickrec.clock import SystemClock
from tickrec.record.alerts import QUIET_SECONDS, RETRY_SECONDS, Alert, Alerts

GAP = Alert("gap 1", "no data for 61s; it's broken")
DISK = Alert("disk", "2 GB free")


class Owner:
    """An alert command that writes down what it is told, and fails while a file says so."""

    def __init__(self, folder: Path) -> None:
        self._told, self._failing = folder / "told", folder / "failing"
        self._program = folder / "alert.sh"
        self._program.write_text(
            f'[ ! -e "{self._failing}" ] || {{ echo "no such channel" >&2; exit 7; }}\n'
            f'for text; do :; done\necho "$text" >> "{self._told}"\n'
        )
        self.clock = HandClock()
        self._path = folder / "state" / "alerts.json"

    def alerts(self) -> Alerts:
        """Those of another process: nothing but the file is remembered."""
        return Alerts(f"sh '{self._program}' --urgent", self.clock, self._path)

    def fail(self, failing: bool = True) -> None:
        if failing:
            self._failing.touch()
        else:
            self._failing.unlink()

    @property
    def told(self) -> list[str]:
        return self._told.read_text().splitlines() if self._told.exists() else []


async def report(alerts: Alerts, now: list[Alert], **judged: Callable[[str], bool]) -> None:
    """Report, and wait until everything has been told."""
    alerts.report(now, **judged)
    await alerts.finish()


async def send(alerts: Alerts, alert: Alert) -> None:
    alerts.send(alert)
    await alerts.finish()


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path)


async def test_the_text_is_the_last_argument_and_what_lasts_is_told_once_in_half_an_hour(owner: Owner) -> None:
    alerts = owner.alerts()
    await report(alerts, [GAP])
    await report(alerts, [GAP._replace(text="no data for 62s"), DISK])
    await report(owner.alerts(), [GAP._replace(text="from the next run"), DISK])
    assert owner.told == [GAP.text, DISK.text]
    owner.clock.pass_s(QUIET_SECONDS)
    await report(alerts, [GAP._replace(text="no data for 31m"), DISK])
    assert owner.told[2:] == ["no data for 31m", DISK.text]


async def test_what_is_over_is_told_once_whether_or_not_there_are_words_for_it(owner: Owner) -> None:
    alerts, ended = owner.alerts(), Alert("gap 1", "no data for 3m, from 10:00 to 10:03", lasting=False)
    await report(alerts, [GAP, DISK])
    await report(alerts, [ended, DISK])
    await report(alerts, [ended])
    for _ in range(2):
        await report(alerts, [ended])
        await report(owner.alerts(), [])
    assert owner.told == [GAP.text, DISK.text, f"over: {ended.text}", f"over: {DISK.text}"]


async def test_what_was_told_as_over_and_is_back_is_told_again(owner: Owner) -> None:
    alerts = owner.alerts()
    await report(alerts, [GAP])
    await report(alerts, [])
    await report(alerts, [GAP])  # at once: it may be flapping
    owner.clock.pass_s(61)
    await report(alerts, [GAP])
    assert owner.told == [GAP.text, f"over: {GAP.text}", GAP.text]


async def test_what_has_ended_before_anybody_was_told_is_told(owner: Owner) -> None:
    ended = Alert("gap 1", "no data for 3m, from 10:00 to 10:03: the recorder died", lasting=False)
    await report(owner.alerts(), [ended])
    await report(owner.alerts(), [ended])
    assert owner.told == [ended.text]


async def test_a_command_that_fails_is_run_again_after_a_minute_until_it_succeeds(
    owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    alerts = owner.alerts()
    owner.fail()
    for _ in range(3):
        await report(alerts, [GAP])
        owner.clock.pass_s(RETRY_SECONDS / 2)
    assert caplog.text.count("on_alert ended with exit code 7: no such channel") == 2
    owner.fail(False)
    owner.clock.pass_s(RETRY_SECONDS)
    await report(alerts, [GAP])
    await report(alerts, [GAP])
    assert len(owner.told) == 1
    assert owner.told[0].startswith(f"{GAP.text} (since 09:4")


@pytest.mark.parametrize("process", ["the same", "another"])
async def test_what_nobody_could_be_told_is_told_when_it_is_over_already(owner: Owner, process: str) -> None:
    alerts = owner.alerts()
    owner.fail()
    await send(alerts, Alert("end", "tickrec stopped recording: the disk is full"))
    owner.fail(False)
    owner.clock.pass_s(12 * 3600)
    alerts = alerts if process == "the same" else owner.alerts()
    await report(alerts, [])
    await report(alerts, [])
    assert owner.told == ["tickrec stopped recording: the disk is full (since 09:41)"]


async def test_an_end_that_could_not_be_told_while_it_lasted_is_told_as_over(owner: Owner) -> None:
    alerts = owner.alerts()
    await report(alerts, [GAP])
    owner.fail()
    await report(alerts, [])
    owner.fail(False)
    await report(alerts, [])
    assert owner.told == [GAP.text]
    owner.clock.pass_s(RETRY_SECONDS)
    await report(alerts, [])
    assert owner.told == [GAP.text, f"over: {GAP.text}"]


async def test_where_nothing_can_be_written_it_is_told_once_all_the_same(owner: Owner, tmp_path: Path) -> None:
    (tmp_path / "state").touch()  # in the place of the folder
    alerts = owner.alerts()
    for now in ([GAP], [GAP], [], []):
        await report(alerts, now)
    assert owner.told == [GAP.text, f"over: {GAP.text}"]
    (tmp_path / "state").unlink()
    await report(alerts, [DISK])
    await report(owner.alerts(), [DISK])
    assert owner.told[2:] == [DISK.text]


async def test_topics_that_a_caller_does_not_judge_are_not_over(owner: Owner) -> None:
    sealing = Alert("seal 2026-11-20", "2026-11-20 could not be sealed")
    await send(owner.alerts(), sealing)
    await report(owner.alerts(), [], judged=lambda topic: not topic.startswith("seal "))
    assert owner.told == [sealing.text]


class SlowOwner:
    """An alert command that begins, and ends when it may."""

    def __init__(self, folder: Path) -> None:
        self.begun, self._may_end, self._told = folder / "begun", folder / "going", folder / "told"
        program = folder / "slow.sh"
        program.write_text(
            f'touch "{self.begun}"\nuntil [ -e "{self._may_end}" ]; do sleep 0.02; done\n'
            f'for text; do :; done\necho "$text" >> "{self._told}"\n'
        )
        self._command, self._path = f"sh '{program}'", folder / "alerts.json"

    def alerts(self) -> Alerts:
        return Alerts(self._command, SystemClock(), self._path)

    def let_end(self) -> None:
        self._may_end.touch()

    @property
    def told(self) -> list[str]:
        return self._told.read_text().splitlines() if self._told.exists() else []


async def test_a_command_that_is_killed_has_told_nobody(tmp_path: Path) -> None:
    """As when the process ends in spite of it."""
    owner = SlowOwner(tmp_path)
    owner.alerts().send(GAP)
    await until(owner.begun.exists)
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    owner.let_end()
    assert not owner.told
    for _ in range(2):
        await send(owner.alerts(), GAP)
    assert owner.told == [GAP.text]


async def test_what_comes_while_the_command_runs_is_told_after_it_and_nobody_waits(tmp_path: Path) -> None:
    owner = SlowOwner(tmp_path)
    alerts = owner.alerts()
    alerts.report([GAP])
    await until(owner.begun.exists)
    for seconds in (61, 62):
        alerts.report([GAP._replace(text=f"no data for {seconds}s"), DISK._replace(text=f"{seconds} GB free")])
    assert not owner.told
    owner.let_end()
    await alerts.finish()
    assert owner.told == [GAP.text, "62 GB free"]


async def test_a_command_that_is_not_there_is_only_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await send(Alerts("/no/such/command", SystemClock(), tmp_path / "alerts.json"), GAP)
    assert "on_alert could not be run" in caplog.text


async def test_what_a_command_says_stays_out_of_the_terminal(
    owner: Owner, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    owner.fail()
    await send(owner.alerts(), GAP)
    assert capfd.readouterr() == ("", "")
    assert "no such channel" in caplog.text


async def test_a_memory_of_earlier_versions_is_taken_over(owner: Owner, tmp_path: Path) -> None:
    path = tmp_path / "state" / "alerts.json"
    path.parent.mkdir()
    path.write_text(f'{{"disk": {owner.clock.wall_ns()}}}')
    await report(owner.alerts(), [DISK])
    assert owner.told == []
    owner.clock.pass_s(QUIET_SECONDS)
    await report(owner.alerts(), [DISK])
    assert owner.told == [DISK.text]


async def test_without_a_command_nothing_is_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    alerts = Alerts(None, SystemClock(), tmp_path / "alerts.json")
    await report(alerts, [GAP])
    assert caplog.text == ""
    assert not (tmp_path / "alerts.json").exists()


@pytest.mark.parametrize(
    ("text", "windows", "words"),
    [
        (r"C:\tools\alert.exe --to me", True, [r"C:\tools\alert.exe", "--to", "me"]),
        (r'"C:\Program Files\alert.exe" "it is mine"', True, [r"C:\Program Files\alert.exe", "it is mine"]),
        (r"python C:\new\tell.py '\\server\share\a b'", True, ["python", r"C:\new\tell.py", r"\\server\share\a b"]),
        (r"/opt/my\ tools/alert 'it is' \"x", False, ["/opt/my tools/alert", "it is", '"x']),
    ],
)
def test_a_command_line_is_read_as_the_shell_of_the_platform_reads_it(
    text: str, windows: bool, words: list[str]
) -> None:
    assert split_command(text, windows=windows) == words


def test_the_platform_decides_unless_told() -> None:
    assert split_command(r"a\b") == ([r"a\b"] if sys.platform == "win32" else ["ab"])
