"""Keys: what a terminal sends for them, as keys."""

import codecs
from enum import Enum
from typing import Final, TypeAlias


class Key(Enum):
    """A key that is no character."""

    UP = "up"
    DOWN = "down"
    LEFT = "left"
    RIGHT = "right"
    PAGE_UP = "page up"
    PAGE_DOWN = "page down"
    HOME = "home"
    END = "end"
    ENTER = "enter"
    ESCAPE = "escape"
    BACKSPACE = "backspace"
    CLEAR = "ctrl-u"


Pressed: TypeAlias = Key | str
"""A key, or the character that was typed."""

_ESCAPE: Final = "\x1b"
_SEQUENCES: Final = {
    **{f"{intro}{letter}": key for intro in ("[", "O") for letter, key in zip(
        "ABCDHF", (Key.UP, Key.DOWN, Key.RIGHT, Key.LEFT, Key.HOME, Key.END), strict=True)},
    **{"[5~": Key.PAGE_UP, "[6~": Key.PAGE_DOWN, "[1~": Key.HOME, "[7~": Key.HOME, "[4~": Key.END, "[8~": Key.END},
}  # fmt: skip
"""What follows an escape, by xterm, the Linux console, screen and tmux."""
_CONTROLS: Final = {
    "\r": Key.ENTER, "\n": Key.ENTER, "\x7f": Key.BACKSPACE, "\x08": Key.BACKSPACE, "\x15": Key.CLEAR
}  # fmt: skip


class Decoder:
    """Turns what is read from a terminal into keys; what is not known is passed over."""

    def __init__(self) -> None:
        self._text = ""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    @property
    def begun(self) -> bool:
        """Whether a sequence has begun that may be an escape by itself."""
        return bool(self._text)

    def feed(self, data: bytes) -> list[Pressed]:
        """The keys that are complete with `data`."""
        self._text += self._decode(data)
        found: list[Pressed] = []
        while self._text:
            length = self._length()
            if not length:
                break
            one, self._text = self._text[:length], self._text[length:]
            found += self._key(one)
        return found

    def end(self) -> list[Pressed]:
        """Nothing followed for a while: an escape that was begun is the key."""
        begun, self._text = self._text, ""
        return [Key.ESCAPE] if begun else []

    def _length(self) -> int:
        """Characters of the first key; 0 while it is not complete."""
        text = self._text
        if text[0] != _ESCAPE:
            return 1
        if len(text) == 1:
            return 0
        if text[1] not in "[O":
            return 1
        for at, char in enumerate(text[2:], 3):
            if "@" <= char <= "~":
                return at
        return 0

    @staticmethod
    def _key(one: str) -> list[Pressed]:
        if one == _ESCAPE:
            return [Key.ESCAPE]
        known = _SEQUENCES.get(one[1:]) if one[0] == _ESCAPE else _CONTROLS.get(one)
        if known is not None:
            return [known]
        return [one] if one.isprintable() else []
