"""Where the token comes from, what it says, and that it does not show."""

import base64
import copy
import json
import logging
import pickle
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.upstox.feed_fixtures import SECRET, TokenSettings
from tests.upstox.rest_fixtures import ist_ns, jwt
from tickrec.errors import ExitCode, TokenError
from tickrec.upstox.auth import Token, TokenSource, check_expiry, parse_token, store_token

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def read(environ: Mapping[str, str] = {}, **settings: Any) -> str:
    return TokenSource(TokenSettings(**settings), environ).read().reveal()


def test_the_sources_are_asked_in_order(tmp_path: Path) -> None:
    file = private(tmp_path / "token", "from-file\n")
    everything: dict[str, Any] = {"token_file": file, "token_command": "echo from-command"}
    assert read({"UPSTOX_ACCESS_TOKEN": " from-environment \n"}, **everything) == "from-environment"
    assert read({"UPSTOX_ACCESS_TOKEN": ""}, **everything) == "from-file"
    file.unlink()
    assert read(**everything) == "from-command"


def test_sources_are_read_anew_each_time(tmp_path: Path) -> None:
    file = private(tmp_path / "token", "first")
    source = TokenSource(TokenSettings(token_file=file), {})
    assert source.read().reveal() == "first"
    file.write_text("second")
    assert source.read().reveal() == "second"


def test_no_source_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TokenError) as caught:
        read(token_file=tmp_path / "token")
    assert str(caught.value) == (
        f"no access token: UPSTOX_ACCESS_TOKEN is not set and {tmp_path / 'token'} does not exist. "
        "Run `tickrec login`, or set UPSTOX_ACCESS_TOKEN"
    )
    assert caught.value.code is ExitCode.TOKEN


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o666, 0o620])
def test_a_file_that_others_can_reach_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    file = private(tmp_path / "token", SECRET)
    file.chmod(mode)
    with pytest.raises(TokenError) as caught:
        read(token_file=file)
    assert "can be read by others" in caught.value.what
    assert caught.value.hint == f"Run: chmod 600 '{file}'"
    assert SECRET not in str(caught.value)


@posix
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_is_read(tmp_path: Path, mode: int) -> None:
    file = private(tmp_path / "token", f"\ufeff{SECRET}\r\n")
    file.chmod(mode)
    assert read(token_file=file) == SECRET


def test_a_folder_in_the_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match="cannot be read"):
        read(token_file=tmp_path)


@pytest.mark.parametrize("text", ["", "  \n", "two words", "line\nbreak", "bearer\x00", "tokén"])
def test_what_cannot_be_a_token_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(TokenError) as caught:
        parse_token(text, "somewhere")
    assert caught.value.where == "somewhere"
    if text.strip():
        assert text not in str(caught.value)


def test_a_command_goes_through_the_shell() -> None:
    assert read(token_command=f"printf '%s\\n' {SECRET} | cat") == SECRET


def test_a_failing_command_is_named_without_its_output(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TokenError, match="exit code 3") as caught:
        read(token_command=f"echo {SECRET}; echo {SECRET} >&2; exit 3")
    assert SECRET not in str(caught.value)
    assert SECRET not in "".join(capfd.readouterr())


def test_a_command_that_hangs_is_given_up() -> None:
    source = TokenSource(TokenSettings(token_command="sleep 3 & sleep 3"), {}, command_seconds=0.1)
    with pytest.raises(TokenError, match="did not end within"):
        source.read()


def test_a_command_without_output_is_an_error() -> None:
    with pytest.raises(TokenError, match="empty"):
        read(token_command="true")


def test_the_brokers_token_says_when_it_expires_and_whether_it_is_plus() -> None:
    expiry = ist_ns(2026, 11, 24, 3, 30)
    token = Token(jwt({"sub": "AB1234", "isPlusPlan": True, "exp": expiry // 10**9}))
    assert token.expires_ns == expiry
    assert token.plus is True
    assert not token.expired(expiry - 1)
    assert token.expired(expiry)


@pytest.mark.parametrize(
    "value",
    [
        "simulated",
        "a.b.c",
        "..",
        "a.b",
        jwt([1]),
        jwt("text"),
        jwt({"exp": "soon", "isPlusPlan": "yes"}),
        jwt({"exp": True}),
        jwt({"exp": -1}),
        jwt({"exp": 10**30}),
        "x." + base64.urlsafe_b64encode(b"\xff\xfe").decode() + ".y",
        "x." + base64.urlsafe_b64encode(b"[" * 100_000).decode() + ".y",
        "x.é.y",
    ],
)
def test_any_other_text_is_a_token_that_says_nothing(value: str) -> None:
    token = Token(value)
    assert token.expires_ns is None
    assert token.plus is None
    assert token.reveal() == value
    assert not token.expired(2**62)


def test_an_expired_token_is_refused_saying_when() -> None:
    token = Token(jwt({"exp": ist_ns(2026, 11, 23, 3, 30) // 10**9}))
    check_expiry(token, ist_ns(2026, 11, 23, 3, 29))
    with pytest.raises(TokenError) as caught:
        check_expiry(token, ist_ns(2026, 11, 23, 8, 0))
    assert str(caught.value) == ("the token expired at 03:30 today. Run `tickrec login`, or set UPSTOX_ACCESS_TOKEN")
    with pytest.raises(TokenError, match="expired at 03:30 on Mon 23 Nov 2026"):
        check_expiry(token, ist_ns(2026, 11, 25, 8, 0))


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, vars])
def test_a_token_cannot_be_copied_out(leak: Callable[[object], object]) -> None:
    with pytest.raises(TypeError) as caught:
        leak(Token(SECRET))
    assert SECRET not in str(caught.value)


def test_a_token_does_not_show(caplog: pytest.LogCaptureFixture) -> None:
    token = Token(SECRET)
    logging.getLogger("test").error("%s %r", token, token)
    shown = [repr(token), str(token), f"{token}", f"{token:>40}", repr([token]), caplog.text]
    assert not [text for text in shown if SECRET in text]
    assert "***" in repr(token)
    assert token.redact(f"bad token {SECRET}!") == "bad token [token]!"


def test_the_repr_tells_the_expiry() -> None:
    token = Token(jwt({"exp": ist_ns(2026, 11, 24, 3, 30) // 10**9}))
    assert repr(token) == "Token(***, expires 2026-11-24 03:30)"


def test_tokens_are_equal_by_value() -> None:
    assert Token("a") == Token("a")
    assert Token("a") != Token("b")
    assert Token("a") != "a"
    assert len({Token("a"), Token("a"), Token("b")}) == 2


@posix
def test_a_stored_token_is_private_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "config" / "tickrec" / "token"
    store_token(path, Token(SECRET))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read(token_file=path) == SECRET
    assert [each.name for each in path.parent.iterdir()] == ["token"]


@posix
def test_storing_replaces_a_file_that_was_open_to_others(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")
    path.chmod(0o644)
    store_token(path, Token(SECRET))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == SECRET + "\n"


def test_a_token_that_cannot_be_stored_is_an_error_without_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TokenError, match="could not be stored") as caught:
        store_token(tmp_path / "file" / "token", Token(SECRET))
    assert SECRET not in str(caught.value)
