"""The console of Windows, for the viewer: what `terminal` is elsewhere."""

import os
import sys
import threading
import time
from types import TracebackType
from typing import Final, Self, TextIO

from tickrec.screen.terminal import LEAVE, Ended, Size, size_of

_POLL_S: Final = 0.02
"""Between two looks at the keyboard, which cannot be waited for together with a pipe."""
_SEQUENCES: Final = dict(zip("HPKMIQGO", ("[A", "[B", "[D", "[C", "[5~", "[6~", "[H", "[F"), strict=True))
"""Scan codes of keys that are no characters, as other terminals send them."""


class WindowsConsole:
    """The console of a stream, from `with` to the end of it; a file for rich's Console to write to."""

    has_keyboard: Final = True
    foreground: Final = True

    def __init__(self, stream: TextIO, *, recorder: int | None) -> None:
        self.encoding = stream.encoding
        self._stream = stream
        self._over = threading.Event()
        if recorder is not None:
            threading.Thread(target=self._watch, args=(recorder,), daemon=True).start()

    @property
    def size(self) -> Size:
        """Columns and lines."""
        return size_of(self._stream.fileno())

    def isatty(self) -> bool:
        """For rich."""
        return True

    def write(self, text: str) -> int:
        """Write a text."""
        return self._stream.write(text)

    def flush(self) -> None:
        """Let it be seen."""
        self._stream.flush()

    def keys(self, seconds: float) -> bytes:
        """What was typed, within so long. Raises Ended."""
        for _ in range(max(1, round(seconds / _POLL_S))):
            if self._over.is_set():
                raise Ended
            if typed := self._typed():
                return typed.encode()
            time.sleep(_POLL_S)
        return b""

    def retake(self) -> bool:
        """Nobody else has had the console."""
        return False

    def _watch(self, recorder: int) -> None:
        while os.read(recorder, 1):
            pass
        self._over.set()

    @staticmethod
    def _typed() -> str:
        text = ""
        if sys.platform == "win32":
            import msvcrt

            while msvcrt.kbhit():
                char = msvcrt.getwch()
                text += f"\x1b{_SEQUENCES.get(msvcrt.getwch(), '[~')}" if char in "\x00\xe0" else char
        return text

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.write(LEAVE)
        self.flush()
