"""Lines: pieces of text that make a line, and give way to each other where it is too narrow for all.

Owns the tones and fitting. Does not know what the lines are about.
"""

import textwrap
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text


class Tone(StrEnum):
    """What a piece of text is to the reader, as rich's style for it; never the only thing that says so.

    One accent colour; red is for what needs a person.
    """

    PLAIN = ""
    STRONG = "bold"
    FAINT = "dim"
    ACCENT = "bold cyan"
    ALARM = "bold red"


class Piece(NamedTuple):
    """A piece of a line.

    When the line is too long, pieces give way, the highest `rank` first: to `short`, which goes last, or altogether.
    Rank 0 stays.
    """

    text: str
    tone: Tone = Tone.PLAIN
    rank: int = 0
    short: str = ""


NOTHING = Piece("")


def spread(width: int, left: Sequence[Piece], right: Sequence[Piece] = ()) -> Text:
    """A line of pieces two spaces apart, those of `right` at the right edge, shortened until all fit."""
    left, right = _fit(left, right, width)
    line, tail = _join(left), _join(right)
    if tail:
        line.append(" " * (width - len(line) - len(tail)))
    line.append_text(tail)
    line.truncate(width)
    return line


class Page:
    """Lines below each other, for rich to print."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.lines: list[RenderableType] = []

    def say(self, text: str, tone: Tone = Tone.PLAIN) -> None:
        """Add a text that must not be cut, on as many lines as it takes; those after the first are indented."""
        lines = textwrap.wrap(clean(text), self.width, subsequent_indent="  ")
        self.lines.append(Text("\n".join(lines), tone))

    def spread(self, *pieces: Piece) -> None:
        """Add a line of pieces."""
        self.lines.append(spread(self.width, pieces))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """For rich."""
        yield from self.lines


def clean(text: str) -> str:
    """The text without characters that would move the cursor: names and reasons come from outside."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


def _join(pieces: Sequence[Piece]) -> Text:
    line = Text(no_wrap=True)
    for piece in pieces:
        line.append("  " if line else "")
        line.append(clean(piece.text), piece.tone or None)
    return line


def _fit(left: Sequence[Piece], right: Sequence[Piece], width: int) -> tuple[list[Piece], list[Piece]]:
    pieces = [*left, *right]
    while sum(len(piece.text) + 2 for piece in pieces if piece.text) - 2 > width:
        rank, at = max((piece.rank if piece.text else 0, at) for at, piece in enumerate(pieces))
        if not rank:
            break
        piece = pieces[at]
        pieces[at] = piece._replace(text=piece.short, short="", rank=1)
    split = len(left)
    return [piece for piece in pieces[:split] if piece.text], [piece for piece in pieces[split:] if piece.text]
