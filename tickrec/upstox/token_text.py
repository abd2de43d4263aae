"""Token text: the ways in which people and programs write an access token down.

Owns what around a token is not part of it: quotes, the name of a variable, JSON, `Bearer`, a byte order mark. Does not
know where the text comes from.
"""

import json
import re
from collections.abc import Iterator
from typing import Final

_NAMED: Final = re.compile(r"(?:(?:export|set|setx)\s+|\$env:)?[\"']?\w*token\w*[\"']?\s*[=:]\s*(.*)", re.IGNORECASE)
"""UPSTOX_ACCESS_TOKEN=..., export ...=..., $env:...=..., access_token: ..."""
_BEARER: Final = re.compile(r"(?:authorization\s*:\s*)?bearer\s+(.+)", re.IGNORECASE)
_QUOTES: Final = (('"', '"'), ("'", "'"), ("`", "`"), ("“", "”"), ("‘", "’"))
_NAMES: Final = ("access_token", "accessToken", "UPSTOX_ACCESS_TOKEN", "token", "extended_token")
_BLANKS: Final = " \t\r\n\v\f\ufeff\u200b\u00a0"


def token_in(text: str) -> str:
    """The token in a text, without what is written around it; empty when there is none.

    What cannot be told is left as it is: whoever asks sees by its blanks that it is no token.
    """
    text = text.strip(_BLANKS)
    if text.startswith("{"):
        return _in_json(text)
    lines = [line.strip(_BLANKS) for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    named = [found[1] for line in lines if (found := _NAMED.fullmatch(line))]
    if len(named) == 1 or (len(lines) == 1 and lines):
        return _bare(named[0] if named else lines[0])
    return text if lines else ""


def _bare(text: str) -> str:
    """A value without the quotes, the semicolon and the `Bearer` around it."""
    while True:
        before = text
        text = text.strip(_BLANKS).rstrip(";,")
        for opening, closing in _QUOTES:
            if len(text) > 1 and text[0] == opening and text[-1] == closing:
                text = text[1:-1]
        if found := _BEARER.fullmatch(text):
            text = found[1]
        if text == before:
            return text


def _in_json(text: str) -> str:
    """The token in a JSON object, such as the broker's own answer to a login; the text itself where none is found."""
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return next((_bare(value) for value in _values(facts)), text)


def _values(facts: object) -> Iterator[str]:
    """What stands under one of the names of a token, nearest to the top first."""
    if not isinstance(facts, dict):
        return
    yield from (facts[name] for name in _NAMES if isinstance(facts.get(name), str) and facts[name])
    for inner in facts.values():
        yield from _values(inner)
