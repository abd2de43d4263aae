"""What rich makes of something, as lines of text and as pieces with a style."""

import io
from itertools import groupby

from rich.console import Console, RenderableType
from rich.segment import Segment
from rich.style import Style

ALARM = Style.parse("bold red")


def console(width: int, height: int) -> Console:
    """A terminal of a size, whatever this process has."""
    return Console(
        file=io.StringIO(), width=width, height=height, force_terminal=True, color_system="standard", _environ={}
    )


def lines(renderable: RenderableType, width: int = 100, height: int = 30) -> list[str]:
    """The lines that appear, without blanks at their ends."""
    return ["".join(piece.text for piece in line).rstrip() for line in _drawn(renderable, width, height)]


def styled(renderable: RenderableType, style: Style = ALARM, width: int = 100, height: int = 30) -> list[str]:
    """The pieces of text that have a style."""
    return [
        "".join(piece.text for piece in pieces)
        for line in _drawn(renderable, width, height)
        for has, pieces in groupby(line, lambda piece: piece.style is not None and _has(piece.style, style))
        if has
    ]


def _has(shown: Style, style: Style) -> bool:
    return shown.color == style.color and shown.bold == style.bold and shown.reverse == style.reverse


def _drawn(renderable: RenderableType, width: int, height: int) -> list[list[Segment]]:
    terminal = console(width, height)
    return terminal.render_lines(renderable, terminal.options.update(width=width, height=None), pad=False)
