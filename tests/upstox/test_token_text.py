"""How people write a token down: what is around it is not sent to the broker."""

import json

import pytest

from tickrec.errors import TokenError
from tickrec.upstox.auth import parse_token
from tickrec.upstox.token_text import token_in

TOKEN = "eyJ0eXAiOiJKV1QifQ.eyJzdWIiOiJBQiJ9.c2lnbmF0dXJl-_9"

WRITTEN = [
    "{}",
    "{}\r\n",
    "\ufeff{}\r\n",
    "\ufeff\n  {}\t\n\n",
    "'{}'",
    '"{}"\n',
    "“{}”",
    "UPSTOX_ACCESS_TOKEN={}",
    'UPSTOX_ACCESS_TOKEN="{}"\r\n',
    "export UPSTOX_ACCESS_TOKEN='{}';",
    "set UPSTOX_ACCESS_TOKEN={}",
    '$env:UPSTOX_ACCESS_TOKEN = "{}"',
    "access_token: {}",
    'access_token = "{}"  ',
    "# from the broker\n{}\n",
    "UPSTOX_CLIENT_ID=abc\n# the token\nUPSTOX_ACCESS_TOKEN={}\nUPSTOX_CLIENT_SECRET=def\n",
    "Bearer {}",
    "Authorization: Bearer {}",
    'ACCESS_TOKEN="Bearer {}"',
    json.dumps({"access_token": "{}"}).replace('"{}"', '"<>"'),
    json.dumps({"status": "success", "data": {"user": "AB", "access_token": "<>"}}, indent=2),
    json.dumps({"token": "<>", "extended_token": "another"}),
    '"access_token": "{}",',
]


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("token", [TOKEN, "opaque", "b3BhcXVl==", "a=b", "x" * 2000])
def test_the_token_alone_is_left(written: str, token: str) -> None:
    text = written.replace("{}", token).replace("<>", token)
    assert parse_token(text, "a file").reveal() == token


@pytest.mark.parametrize(
    "text",
    [
        "two words",
        "first\nsecond",
        "A_TOKEN=first\nB_TOKEN=second",
        '{"status": "error"}',
        '{"access_token": ',
        '{"access_token": 5}',
        '"unfinished',
        "https://api.upstox.com/v2/login?code=SECRET",
        "http://127.0.0.1:8765/callback?code=SECRET",
        "naïve",
        "t\0o\0k\0e\0n\0",
    ],
)
def test_what_is_no_token_is_named_and_not_quoted(text: str) -> None:
    with pytest.raises(TokenError) as caught:
        parse_token(text, "a file")
    assert "access token" in caught.value.what
    assert "SECRET" not in str(caught.value)
    assert "first" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", " ", "\ufeff", "\r\n", "# nothing", '""', "UPSTOX_ACCESS_TOKEN= ", '{"access_token": ""}']
)
def test_nothing_is_no_token(text: str) -> None:
    with pytest.raises(TokenError):
        parse_token(text, "a file")


def test_what_cannot_be_told_is_left_as_it_is() -> None:
    assert token_in(" two words ") == "two words"
