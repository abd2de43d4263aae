"""The table of results: what was measured, ours, the alternative, the ratio, the target."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

HEADINGS: Final = ("what", "ours", "alternative", "ratio", "target", "")


@dataclass(frozen=True, slots=True)
class Row:
    """One measured thing."""

    what: str
    ours: str
    alternative: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None
    """Whether the target was reached; None: there is none."""

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as texts."""
        verdict = {None: "", True: "reached", False: "missed"}[self.met]
        return self.what, self.ours, self.alternative, self.ratio, self.target, verdict


def text(rows: Iterable[Row]) -> str:
    """The table for a terminal."""
    lines = [HEADINGS, *(row.cells for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


def markdown(rows: Iterable[Row]) -> str:
    """The table for a page."""
    rule = tuple("---" for _ in HEADINGS)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (HEADINGS, rule, *(row.cells for row in rows)))


def rate(per_second: float) -> str:
    """Ticks a second."""
    return f"{per_second:,.0f} ticks/s"


def times(ratio: float) -> str:
    """How many times as fast."""
    return f"{ratio:.1f}x"


def milliseconds(seconds: float) -> str:
    """A short time."""
    return f"{seconds * 1000:,.0f} ms"


def megabytes(size: float) -> str:
    """An amount of memory or disk."""
    return f"{size / 1e6:,.0f} MB"
