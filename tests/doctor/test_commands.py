"""The user's own commands: whether they can be run, and what becomes of them when they are."""

import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from tickrec.doctor.commands import TRIAL, command, tried


def python(code: str) -> str:
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}"


def test_a_command_that_cannot_be_run_fails(tmp_path: Path) -> None:
    unset = command("on_done", None, "nobody is told")
    assert (unset.result, unset.text) == ("ok", "not set, so nobody is told")
    assert command("on_done", "no-such-program --loud", "").result == "fail"
    program = tmp_path / "alert.exe"
    program.write_text("")
    program.chmod(0o700)
    assert command("on_done", f"'{program}' loudly", "").result == "ok"
    script = command("on_done", f"'{program}' '{tmp_path / 'gone.sh'}'", "")
    assert (script.result, script.text) == (
        "fail",
        f"on_done runs {program} with {tmp_path / 'gone.sh'}, which is not there",
    )
    assert command("on_done", f"'{program}' '{tmp_path}' https://example.org/gone", "").result == "ok"
    relative = command("on_done", f"'{program}' {os.path.join('bin', 'tell.sh')}", "")
    assert (relative.result, relative.hint) == ("warn", "Write its full path")


def test_a_command_that_is_tried_gets_a_text_and_what_it_may_read(tmp_path: Path) -> None:
    code = f"import sys; open({str(tmp_path / 'told')!r}, 'w').write(sys.argv[-1] + sys.stdin.read())"
    assert tried("on_done", python(code), json.dumps({"grade": "A"})).result == "ok"
    assert (tmp_path / "told").read_text() == TRIAL + '{"grade": "A"}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no-such-program", "could not be run"),
        (python("raise SystemExit(3)"), "exit code 3: it said nothing"),
        (python("print('first'); print('last'); raise SystemExit(1)"), "exit code 1: last"),
        (python("import threading; threading.Event().wait()"), "took more than 0.3 s"),
    ],
)
def test_a_command_that_does_not_succeed_fails_with_what_it_said(text: str, said: str) -> None:
    found = tried("on_alert", text, "", seconds=0.3 if "took" in said else 30)
    assert found.result == "fail"
    assert said in found.text


def test_a_command_that_reads_nothing_does_no_harm() -> None:
    assert tried("on_done", python("pass"), "x" * 1_000_000).result == "ok"


def test_secrets_are_not_for_a_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UPSTOX_ACCESS_TOKEN", "secret")
    code = f"import os; open({str(tmp_path / 'told')!r}, 'w').write(str(sorted(os.environ)))"
    assert tried("on_alert", python(code), "").result == "ok"
    assert "UPSTOX_ACCESS_TOKEN" not in (tmp_path / "told").read_text()
