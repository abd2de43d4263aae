"""The user's alert command: told until it succeeds, told again when it is over, and never in the way."""

import asyncio
import sys
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


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path)


async def test_the_text_is_the_last_argument_and_what_lasts_is_told_once_in_half_an_hour(owner: Owner) -> None:
    alerts = owner.alerts()
    await alerts.report([GAP])
    await alerts.report([GAP._replace(text="no data for 62s"), DISK])
    await owner.alerts().report([GAP._replace(text="from the next run"), DISK])
    assert owner.told == [GAP.text, DISK.text]
    owner.clock.pass_s(QUIET_SECONDS)
    await alerts.report([GAP._replace(text="no data for 31m"), DISK])
    assert owner.told[2:] == ["no data for 31m", DISK.text]


async def test_what_is_over_is_told_once_whether_or_not_there_are_words_for_it(owner: Owner) -> None:
    alerts, ended = owner.alerts(), Alert("gap 1", "no data for 3m, from 10:00 to 10:03", lasting=False)
    await alerts.report([GAP, DISK])
    await alerts.report([ended, DISK])
    await alerts.report([ended])
    for _ in range(2):
        await alerts.report([ended])
        await owner.alerts().report([])
    assert owner.told == [GAP.text, DISK.text, f"over: {ended.text}", f"over: {DISK.text}"]


async def test_what_was_told_as_over_and_is_back_is_told_again(owner: Owner) -> None:
    alerts = owner.alerts()
    await alerts.report([GAP])
    await alerts.report([])
    await alerts.report([GAP])  # at once: it may be flapping
    owner.clock.pass_s(61)
    await alerts.report([GAP])
    assert owner.told == [GAP.text, f"over: {GAP.text}", GAP.text]


async def test_what_has_ended_before_anybody_was_told_is_told(owner: Owner) -> None:
    ended = Alert("gap 1", "no data for 3m, from 10:00 to 10:03: the recorder died", lasting=False)
    await owner.alerts().report([ended])
    await owner.alerts().report([ended])
    assert owner.told == [ended.text]


async def test_a_command_that_fails_is_run_again_after_a_minute_until_it_succeeds(
    owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    alerts = owner.alerts()
    owner.fail()
    for _ in range(3):
        await alerts.report([GAP])
        owner.clock.pass_s(RETRY_SECONDS / 2)
    assert caplog.text.count("on_alert ended with exit code 7: no such channel") == 2
    owner.fail(False)
    owner.clock.pass_s(RETRY_SECONDS)
    await alerts.report([GAP])
    await alerts.report([GAP])
    assert len(owner.told) == 1
    assert owner.told[0].startswith(f"{GAP.text} (since 09:4")


@pytest.mark.parametrize("process", ["the same", "another"])
async def test_what_nobody_could_be_told_is_told_when_it_is_over_already(owner: Owner, process: str) -> None:
    alerts = owner.alerts()
    owner.fail()
    await alerts.send(Alert("end", "tickrec stopped recording: the disk is full"))
    owner.fail(False)
    owner.clock.pass_s(12 * 3600)
    alerts = alerts if process == "the same" else owner.alerts()
    await alerts.report([])
    await alerts.report([])
    assert owner.told == ["tickrec stopped recording: the disk is full (since 09:41)"]


async def test_an_end_that_could_not_be_told_while_it_lasted_is_told_as_over(owner: Owner) -> None:
    alerts = owner.alerts()
    await alerts.report([GAP])
    owner.fail()
    await alerts.report([])
    owner.fail(False)
    await alerts.report([])
    assert owner.told == [GAP.text]
    owner.clock.pass_s(RETRY_SECONDS)
    await alerts.report([])
    assert owner.told == [GAP.text, f"over: {GAP.text}"]


async def test_topics_that_a_caller_does_not_judge_are_not_over(owner: Owner) -> None:
    sealing = Alert("seal 2026-11-20", "2026-11-20 could not be sealed")
    await owner.alerts().send(sealing)
    await owner.alerts().report([], judged=lambda topic: not topic.startswith("seal "))
    assert owner.told == [sealing.text]


async def test_a_command_under_way_is_finished_and_counts_only_then(tmp_path: Path) -> None:
    """Whoever told is cancelled, as when a run ends; what is killed has told nobody."""
    going, told = tmp_path / "going", tmp_path / "told"
    program = tmp_path / "slow.sh"
    program.write_text(f'touch "{tmp_path}/begun"\nuntil [ -e "{going}" ]; do sleep 0.02; done\necho x >> "{told}"\n')
    path = tmp_path / "alerts.json"
    for waited in (False, True):
        alerts = Alerts(f"sh '{program}'", SystemClock(), path)
        telling = asyncio.create_task(alerts.send(GAP))
        await until((tmp_path / "begun").exists)
        (tmp_path / "begun").unlink()
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        if waited:
            going.touch()
            await alerts.finish()
        else:
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            assert not told.exists()
    assert told.read_text() == "x\n"
    await Alerts(f"sh '{program}'", SystemClock(), path).send(GAP)
    assert told.read_text() == "x\n"


async def test_a_command_that_is_not_there_is_only_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await Alerts("/no/such/command", SystemClock(), tmp_path / "alerts.json").send(GAP)
    assert "on_alert could not be run" in caplog.text


async def test_what_a_command_says_stays_out_of_the_terminal(
    owner: Owner, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    owner.fail()
    await owner.alerts().send(GAP)
    assert capfd.readouterr() == ("", "")
    assert "no such channel" in caplog.text


async def test_a_memory_of_earlier_versions_is_taken_over(owner: Owner, tmp_path: Path) -> None:
    path = tmp_path / "state" / "alerts.json"
    path.parent.mkdir()
    path.write_text(f'{{"disk": {owner.clock.wall_ns()}}}')
    await owner.alerts().report([DISK])
    assert owner.told == []
    owner.clock.pass_s(QUIET_SECONDS)
    await owner.alerts().report([DISK])
    assert owner.told == [DISK.text]


async def test_without_a_command_nothing_is_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    alerts = Alerts(None, SystemClock(), tmp_path / "alerts.json")
    await alerts.report([GAP])
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
