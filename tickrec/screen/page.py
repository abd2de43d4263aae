"""Page: lines of text of one width, parts of which have a tone.

Owns fitting text into lines. Does not know colours, terminals, or what the lines are about.
"""

import textwrap
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple


class Tone(Enum):
    """What a piece of text is to the reader; never the only thing that says so."""

    PLAIN = "plain"
    STRONG = "strong"
    FAINT = "faint"
    ACCENT = "accent"
    ALARM = "alarm"
    """Needs a person."""


class Mark(NamedTuple):
    """A tone of the characters from `begin` up to `end` of a page's text."""

    begin: int
    end: int
    tone: Tone


class Chunk(NamedTuple):
    """A piece of a line.

    When the line is too long, pieces give way, the highest `rank` first: to `short`, which goes last, or altogether.
    Rank 0 stays.
    """

    text: str
    tone: Tone = Tone.PLAIN
    rank: int = 0
    short: str = ""


class Page:
    """Lines, each filled up or cut to `width` characters, joined by newlines in `text`."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.lines: list[str] = []
        self.marks: list[Mark] = []
        """In order, none overlapping."""

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(self.lines)

    def add(self, text: str = "", marks: Iterable[Mark] = ()) -> None:
        """Add a line; marks count from its first character."""
        start = len(self.lines) * (self.width + 1)
        for begin, end, tone in marks:
            if begin < min(end, self.width):
                self.marks.append(Mark(start + begin, start + min(end, self.width), tone))
        self.lines.append(_clean(text).ljust(self.width)[: self.width])

    def say(self, text: str, tone: Tone = Tone.PLAIN) -> None:
        """Add a text that must not be cut, on as many lines as it takes."""
        for line in textwrap.wrap(text, self.width, subsequent_indent="  ") or [""]:
            self.add(line, [Mark(0, len(line.rstrip()), tone)] if tone is not Tone.PLAIN else [])

    def spread(self, left: Sequence[Chunk], right: Sequence[Chunk] = ()) -> None:
        """Add a line of chunks two spaces apart, those of `right` at the right edge, shortened until all fit."""
        left, right = _fit(left, right, self.width)
        text, marks = _join(left)
        tail, tail_marks = _join(right)
        if tail:
            text = text.ljust(self.width - len(tail))
        at = len(text)
        self.add(text + tail, [*marks, *(Mark(at + begin, at + end, tone) for begin, end, tone in tail_marks)])

    def cut(self, height: int) -> None:
        """Make the page exactly `height` lines."""
        del self.lines[height:]
        end = height * (self.width + 1)
        self.marks = [mark for mark in self.marks if mark.begin < end]
        while len(self.lines) < height:
            self.add()


def _clean(text: str) -> str:
    """The text without characters that would move the cursor: names and reasons come from outside."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


def _join(chunks: Sequence[Chunk]) -> tuple[str, list[Mark]]:
    text, marks = "", []
    for chunk in chunks:
        text += "  " if text else ""
        marks.append(Mark(len(text), len(text) + len(chunk.text), chunk.tone))
        text += chunk.text
    return text, [mark for mark in marks if mark.tone is not Tone.PLAIN]


def _fit(left: Sequence[Chunk], right: Sequence[Chunk], width: int) -> tuple[list[Chunk], list[Chunk]]:
    chunks = [*left, *right]
    while sum(len(chunk.text) + 2 for chunk in chunks if chunk.text) - 2 > width:
        rank, at = max((chunk.rank if chunk.text else 0, at) for at, chunk in enumerate(chunks))
        if not rank:
            break
        chunk = chunks[at]
        chunks[at] = chunk._replace(text=chunk.short, short="", rank=1)
    split = len(left)
    return [chunk for chunk in chunks[:split] if chunk.text], [chunk for chunk in chunks[split:] if chunk.text]
