"""The user's alert command: run once per topic and time, and never in the way."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.clocks import HandClock
from tickrec.clock import SECOND, SystemClock
from tickrec.record.alerts import QUIET_SECONDS, Alerts


def command(out: Path) -> str:
    program = out.with_suffix(".py")
    program.write_text(f"import sys\nopen({str(out)!r}, 'a').write(sys.argv[-1] + '\\n')\n")
    return f"'{sys.executable}' '{program}' --urgent"


async def test_the_text_is_the_last_argument_and_a_topic_is_told_once(tmp_path: Path) -> None:
    out, clock = tmp_path / "said", HandClock()
    alerts = Alerts(command(out), clock, tmp_path / "state" / "alerts.json")

    await alerts.send("gap", "no data for 61s; it's broken")
    await alerts.send("gap", "no data for 62s")
    await alerts.send("disk", "2 GB free")
    await Alerts(command(out), clock, tmp_path / "state" / "alerts.json").send("gap", "from the next run")
    clock.now_ns += QUIET_SECONDS * SECOND
    await alerts.send("gap", "no data for 11m")
    assert out.read_text().splitlines() == ["no data for 61s; it's broken", "2 GB free", "no data for 11m"]


@pytest.mark.parametrize("broken", ["/no/such/command", f"'{sys.executable}' -c 'raise SystemExit(3)'"])
def test_a_command_that_fails_is_only_logged(tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture) -> None:
    asyncio.run(Alerts(broken, SystemClock(), tmp_path / "alerts.json").send("gap", "text"))
    assert "on_alert" in caplog.text


def test_what_a_command_says_stays_out_of_the_terminal_and_its_last_line_is_logged_when_it_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "alert.py"
    program.write_text("import sys\nprint('hello')\nprint('no such channel', file=sys.stderr)\nsys.exit(7)\n")
    alerts = Alerts(f"'{sys.executable}' '{program}'", SystemClock(), tmp_path / "alerts.json")
    asyncio.run(alerts.send("gap", "text"))
    assert capfd.readouterr() == ("", "")
    assert "on_alert ended with exit code 7: no such channel" in caplog.text


def test_without_a_command_nothing_is_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    asyncio.run(Alerts(None, SystemClock(), tmp_path / "alerts.json").send("gap", "text"))
    assert caplog.text == ""
