"""The viewer: a recording on a terminal, and the keys that say what of it.

Owns the loop: look at the files, draw, listen to the keys, twice a second or when one is pressed. It is `status
--watch` by itself, and beside `record` a process of its own, `python -m tickrec.screen.viewer DATA ...` (see
`beside`), that ends with the recorder. It may be slow, stopped or killed: nobody waits for it.
"""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final, TextIO, cast

from rich.console import Console
from rich.live import Live

from tickrec.clock import SECOND, Clock, SystemClock
from tickrec.screen.instrument_rows import CALM, MARKET, Palette
from tickrec.screen.keys import Decoder
from tickrec.screen.live_table import Frame
from tickrec.screen.terminal import Ended, Terminal
from tickrec.screen.view import View
from tickrec.screen.watch import Watch
from tickrec.screen.windows_console import WindowsConsole
from tickrec.store.paths import Store

FRAME_SECONDS: Final = 0.5
ESCAPE_SECONDS: Final = 0.05
"""How long the rest of a key's sequence may take to come."""
PALETTES: Final[Mapping[str, Palette]] = {"calm": CALM, "market": MARKET}
_ENDING: Final = "ending: what is left is written"
_SEALING: Final = "sealing {date}; Ctrl-C leaves that to the next recording"


class Viewer:
    """Shows what `watch` sees on a terminal; with `beside`, to somebody for whom Ctrl-C ends the recording."""

    def __init__(
        self,
        watch: Watch,
        clock: Clock,
        terminal: Terminal | WindowsConsole,
        *,
        palette: Palette = CALM,
        beside: bool = False,
    ) -> None:
        self._watch = watch
        self._clock = clock
        self._terminal = terminal
        self._palette = palette
        self._beside = beside
        self._view = View()
        self._decoder = Decoder()

    def run(self) -> None:
        """Show it until there is no recorder any more. Raises OSError, DataError."""
        console = _console(self._terminal)
        with contextlib.closing(self._watch), self._terminal, contextlib.suppress(Ended):
            options: dict[str, Any] = {"redirect_stdout": False, "redirect_stderr": False}
            with Live(console=console, screen=True, auto_refresh=False, **options) as screen:
                while self._watch.going or self._beside:
                    self._watch.look()
                    if self._terminal.retake():
                        console.set_alt_screen(True)
                    if self._terminal.foreground:
                        size = self._terminal.size
                        console.size = size
                        frame = self._frame().draw(self._watch.live, self._view, size.width, size.height)
                        screen.update(frame, refresh=True)
                    self._listen()

    def _frame(self) -> Frame:
        run = self._watch.run
        said = ""
        if self._watch.report.leaving:
            said = _SEALING.format(date=run.date) if self._beside and not run.reason else ""
        elif self._watch.is_closing:
            said = _ENDING
        return Frame(
            run,
            self._clock.wall_ns(),
            said=said,
            keys=self._terminal.has_keyboard,
            palette=self._palette,
            catching_up=self._watch.is_catching_up,
            grade=self._watch.grade,
        )

    def _listen(self) -> None:
        """Take keys until the next frame is due; those that come together make one frame."""
        until_ns = self._clock.monotonic_ns() + int(FRAME_SECONDS * SECOND)
        pressed = False
        while not pressed and (left := (until_ns - self._clock.monotonic_ns()) / SECOND) > 0:
            keys = self._decoder.feed(self._terminal.keys(left))
            while self._decoder.begun:
                data = self._terminal.keys(ESCAPE_SECONDS)
                keys += self._decoder.feed(data) if data else self._decoder.end()
            for key in keys:
                self._view.press(key)
            pressed = bool(keys)


def _console(terminal: Terminal | WindowsConsole) -> Console:
    console = Console(file=cast(IO[str], terminal), force_terminal=True, legacy_windows=False, highlight=False)
    console.size = terminal.size
    return console


def open_terminal(stream: TextIO, recorder: int | None) -> Terminal | WindowsConsole:
    """The terminal of a stream; its keys are taken where stdin is a terminal, too."""
    if sys.platform == "win32":
        return WindowsConsole(stream, recorder=recorder)
    keyboard = 0 if os.isatty(0) else None
    return Terminal(stream.fileno(), keyboard=keyboard, recorder=recorder, encoding=stream.encoding)


def watch(store: Store, clock: Clock, stream: TextIO, colours: str) -> None:
    """Show the recorder that works on the store until it ends; returns at once when there is none.

    Raises KeyboardInterrupt, having given the terminal back; OSError, DataError.
    """
    watching = Watch(store, clock)
    if watching.going:
        _end_by_signals()
        Viewer(watching, clock, open_terminal(stream, None), palette=PALETTES[colours]).run()


def _end_by_signals() -> None:
    """Let the terminal be given back whatever ends the process, where it can be."""
    for name in ("SIGTERM", "SIGQUIT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: sys.exit())


def main() -> None:
    """The viewer of a recorder that has started this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--recorder", type=int, required=True, help="a pipe that ends with the recorder")
    parser.add_argument("--colours", choices=PALETTES, default="calm")
    given = parser.parse_args()
    clock = SystemClock()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the recorder
    _end_by_signals()
    terminal = open_terminal(sys.stdout, given.recorder)
    Viewer(Watch(Store(given.data), clock), clock, terminal, palette=PALETTES[given.colours], beside=True).run()


if __name__ == "__main__":
    main()
