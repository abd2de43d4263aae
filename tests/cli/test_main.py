"""The command line as users meet it: exit codes, one line for what and one for what to do."""

import datetime as dt
import shutil
from pathlib import Path

import pytest

from tests.processes import called
from tickrec.cli import COMMANDS
from tickrec.errors import ExitCode
from tickrec.files import Lock
from tickrec.store.paths import Store

ADDRESSES = ('api_url = "http://127.0.0.1:9"', 'assets_url = "http://127.0.0.1:9"')
"""Where nobody listens."""
DATE = dt.date(2026, 11, 20)
RECORD = ("record", "--now", "--no-live", "--symbols", "RELIANCE,TCS,NIFTY")


@pytest.fixture(scope="module")
def kept(broker_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the broker's list of today, to be copied."""
    folder = tmp_path_factory.mktemp("kept")
    shutil.copy(broker_config, folder)
    (folder / "data" / "state").mkdir(parents=True)
    called("symbols", "RELIANCE", folder=folder)
    return folder / "data"


def test_exit_codes_are_the_numbers_that_scripts_know() -> None:
    names = "DONE INTERNAL USAGE NOTHING TOKEN DATA STORAGE LOCKED UNREACHABLE"
    assert [(code.name, code.value) for code in ExitCode] == [*zip(names.split(), range(9), strict=True)]


def test_an_unknown_symbol_is_refused_with_the_nearest_and_leaves_nothing(
    with_broker: Path, kept: Path, tmp_path: Path
) -> None:
    command = ("record", "--now", "--symbols", "RELAINCE")
    refused = called(*command, "--data", tmp_path / "new" / "store", folder=tmp_path, check=ExitCode.USAGE)
    assert not (tmp_path / "new").exists()
    shutil.copytree(kept, tmp_path / "data")
    (tmp_path / "data" / "state" / "calendar.json").unlink(missing_ok=True)
    called(*command, folder=tmp_path, check=ExitCode.USAGE)
    assert "RELAINCE" in refused.stderr
    assert "RELIANCE" in refused.stderr
    assert (tmp_path / "data" / "state" / "calendar.json").exists(), "a store that was there keeps what it got"
    log = (tmp_path / "data" / "state" / "tickrec.log").read_text()
    assert "RELAINCE" in log, "it is kept where it is seen when stderr leads nowhere"


def test_how_much_is_said_is_an_option_before_or_after_the_command(
    with_broker: Path, kept: Path, tmp_path: Path
) -> None:
    shutil.copytree(kept, tmp_path / "data")
    for command in (("symbols", "NIFTY:opt:1", "-v"), ("-q", "symbols", "NIFTY:opt:1")):
        said = called(*command, folder=tmp_path)
        assert "strikes follow the money" in said.stdout
        assert ("DEBUG asking http" in said.stderr) == ("-v" in command)


def test_symbols_without_their_option_are_told_what_it_is(tmp_path: Path) -> None:
    said = called("record", "RELIANCE", "TCS", folder=tmp_path, check=ExitCode.USAGE).stderr
    assert said == "tickrec: RELIANCE is no option. Name it so: --symbols RELIANCE,TCS\n"


def test_options_of_the_simulated_market_are_for_it_alone(tmp_path: Path) -> None:
    said = called("record", "--trend", "2%", folder=tmp_path, check=ExitCode.USAGE).stderr
    assert said == "tickrec: --trend is for the simulated market. Add --simulate\n"
    for option, value in (("--rate", "none"), ("--trend", "2"), ("--fault", "earthquake")):
        said = called("record", "--simulate", option, value, folder=tmp_path, check=ExitCode.USAGE).stderr
        assert option.strip("-") in said
        assert value in said


def test_what_it_says_to_run_is_about_the_same_store(tmp_path: Path) -> None:
    said = called("status", "--data", "my data", "--simulate", folder=tmp_path).stdout
    assert "Start with: tickrec record --data 'my data' --simulate" in said
    store = Store(tmp_path / "my data" / "simulated")
    store.sealed_path("ticks", DATE).parent.mkdir(parents=True)
    store.sealed_path("ticks", DATE).write_bytes(b"PAR1")
    refused = called("verify", DATE, "--data", "my data", "--simulate", folder=tmp_path, check=ExitCode.DATA)
    assert "`tickrec rebuild" in refused.stderr
    assert "--data 'my data' --simulate`" in refused.stderr


def test_the_simulated_store_is_recorded_into_with_its_option_only(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "simulated"
    refused = called("record", "--now", "--data", folder, folder=tmp_path, check=ExitCode.USAGE)
    assert "--simulate" in refused.stderr
    assert not folder.exists()


def test_watching_needs_a_terminal(tmp_path: Path) -> None:
    refused = called("status", "--watch", folder=tmp_path, check=ExitCode.USAGE)
    assert "--watch needs a terminal" in refused.stderr
    assert refused.stdout == ""


def test_the_help_of_the_simulator_lists_its_faults(tmp_path: Path) -> None:
    said = called("simulate", "--help", folder=tmp_path).stdout
    assert "--fault drop@30" in said
    assert "REST answers 500" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[record]\nsymbol = ['fno']\n", ("record.symbol", "record.symbols")),
        ("[record]\nflush_interval = 60\n", ("record.flush_interval", "60s")),
        ("[upstox]\napi_url = 'http://api.upstox.com'\n", ("upstox.api_url", "loopback")),
        ("[recod]\n", ("[recod]", "[record]")),
    ],
)
def test_a_config_that_is_not_understood_is_refused(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    (tmp_path / "config.toml").write_text(text)
    refused = called("record", folder=tmp_path, check=ExitCode.USAGE)
    assert refused.stderr.startswith("tickrec: ")
    assert refused.stderr.count("\n") == 1
    assert all(word in refused.stderr for word in words)


def test_two_ends_of_a_recording_are_one_too_many(tmp_path: Path) -> None:
    refused = called(*RECORD, "--for", "5s", "--until", "15:30", folder=tmp_path, check=ExitCode.USAGE)
    assert "--for and --until both say when to end" in refused.stderr


@pytest.mark.parametrize("arguments", [RECORD, ("symbols", "NIFTY:opt:2", "--data", "elsewhere")])
def test_without_a_token_nothing_is_recorded_and_no_price_is_asked(
    with_broker: Path, kept: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    shutil.copytree(kept, tmp_path / "elsewhere")
    done = called(*arguments, folder=tmp_path, token=False, check=ExitCode.TOKEN)
    assert "UPSTOX_ACCESS_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_scheduled_start_beside_a_recorder_is_silent(store: Store, tmp_path: Path) -> None:
    (store.root / "state").mkdir(parents=True)
    with Lock(store.record_lock) as lock:
        lock.acquire({"doing": "recording"})
        said = called("record", "--now", "--symbols", "RELIANCE", folder=tmp_path, check=ExitCode.LOCKED).stderr
        assert said.count("\n") == 1
        silent = ("record", "--scheduled", "--now", "--symbols", "RELIANCE")
        done = called(*silent, folder=tmp_path, check=ExitCode.LOCKED)
    assert done.stdout == done.stderr == ""


@pytest.mark.parametrize("place", ["before", "after"])
def test_the_common_options_stand_before_or_after_the_command(tmp_path: Path, place: str) -> None:
    options = ("--data", "elsewhere", "--simulate")
    arguments = (*options, "status") if place == "before" else ("status", *options)
    assert "Start with: tickrec record --data elsewhere --simulate" in called(*arguments, folder=tmp_path).stdout


def test_an_option_after_the_command_counts_more(tmp_path: Path) -> None:
    said = called("--data", "here", "status", "--data", "there", folder=tmp_path).stdout
    assert "tickrec record --data there" in said


def test_help_is_asked_for_by_name(tmp_path: Path) -> None:
    assert called("help", "seal", folder=tmp_path).stdout == called("seal", "--help", folder=tmp_path).stdout
    assert "Commands:" in called("help", folder=tmp_path).stdout
    assert "No such command 'seel'" in called("help", "seel", folder=tmp_path, check=ExitCode.USAGE).stderr


@pytest.mark.parametrize("command", [*COMMANDS, "help"])
def test_help_shows_what_to_put_in_place_of_a_type(tmp_path: Path, command: str) -> None:
    shown = called(command, "--help", folder=tmp_path).stdout
    assert "<str>" not in shown
    assert "<path>" not in shown
    assert "<bool>" not in shown


@pytest.mark.parametrize(
    "options",
    [
        *(("--fault", f"mute:{number}") for number in ("nan", "inf", "-1", "1e400", "-inf", "x")),
        *(("--fault", f"drop@{number}") for number in ("nan", "inf", "-1", "1e400")),
        *(
            ("--fault", text)
            for text in ("error:503/nan", "error:503/-1", "oversize:inf", "oversize:1e400", "stall:1e300")
        ),
        *(("--rate", number) for number in ("nan", "inf", "0", "-1", "1e400", "x")),
        *(("--interval", text) for text in ("0s", "-1s", "nan", "1e400s")),
        *(("--port", text) for text in ("-1", "65536", "x", "9" * 5000)),
        ("--seed", "1.5"),
    ],
    ids=" ".join,
)
def test_a_market_that_cannot_be_simulated_is_refused_in_one_line(options: tuple[str, str], tmp_path: Path) -> None:
    said = called("simulate", *options, "--until-eof", folder=tmp_path, check=ExitCode.USAGE).stderr
    assert said.count("\n") == 1


def test_doctor_runs_the_commands_of_the_user_when_asked_to(tmp_path: Path) -> None:
    (tmp_path / "tell").write_text('#!/bin/sh\necho "$1: $2" >>told\ncat >>told\n')
    (tmp_path / "tell").chmod(0o700)
    lines = (f'{key} = "{tmp_path}/tell {key}"' for key in ("on_alert", "on_done"))
    (tmp_path / "config.toml").write_text("\n".join(["[record]", *lines, "[upstox]", *ADDRESSES]))
    called("doctor", folder=tmp_path, check=ExitCode.DATA)
    assert not (tmp_path / "told").exists()
    called("doctor", "--test-alert", folder=tmp_path, check=ExitCode.DATA)
    alert, done = (tmp_path / "told").read_text().splitlines()[:2]
    assert alert.startswith("on_alert: a test by tickrec doctor")
    assert done.startswith("on_done: a test by tickrec doctor")
    assert '"grade"' in (tmp_path / "told").read_text()
