"""What terminals send for keys."""

import pytest

from tickrec.screen.keys import Decoder, Key


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"rel", ["r", "e", "l"]),
        (b"\x1b[A\x1b[B\x1bOC\x1bOD", [Key.UP, Key.DOWN, Key.RIGHT, Key.LEFT]),
        (b"\x1b[5~\x1b[6~\x1b[H\x1b[F", [Key.PAGE_UP, Key.PAGE_DOWN, Key.HOME, Key.END]),
        (b"\x1b[1~\x1b[4~\x1b[7~\x1b[8~", [Key.HOME, Key.END, Key.HOME, Key.END]),
        (b"\r\n\x7f\x08\x15", [Key.ENTER, Key.ENTER, Key.BACKSPACE, Key.BACKSPACE, Key.CLEAR]),
        (b"\x1b\x1b[B", [Key.ESCAPE, Key.DOWN]),
        (b"\x1b[1;5C\x1b[200~x\x01", ["x"]),
        ("₹".encode(), ["₹"]),
    ],
)
def test_keys_are_known_however_they_are_cut(data: bytes, keys: list[object]) -> None:
    assert Decoder().feed(data) == keys
    decoder = Decoder()
    assert [key for at in range(len(data)) for key in decoder.feed(data[at : at + 1])] == keys


def test_an_escape_that_nothing_follows_is_the_key() -> None:
    decoder = Decoder()
    assert decoder.feed(b"\x1b") == []
    assert decoder.begun
    assert decoder.end() == [Key.ESCAPE]
    assert not decoder.begun
