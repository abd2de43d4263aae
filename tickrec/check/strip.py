"""Strip: a day as a line of characters, in which the height is how much came and a gap is a gap.

Owns how a time is cut into columns and what a column looks like. Knows no terminal.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from tickrec.check.evidence import Minutes

MINUTE_US: Final = 60_000_000
HEIGHTS: Final = "▁▂▃▄▅▆▇█"
QUIET: Final = "·"
"""Recorded, and nothing came."""
LOST: Final = " "
"""More of the column is missing than was recorded."""
MARK: Final = "×"
"""Stands below a column of which something is missing."""
_STEPS: Final = (1, 2, 3, 5, 10, 15, 20, 30, 60)
"""Minutes that a column may have."""
_HOUR: Final = 60
_LABEL: Final = 5
_MARKED_SHARE: Final = 100
"""A column is marked when one in so many parts of it is missing."""


@dataclass(frozen=True, slots=True)
class Columns:
    """A time cut into columns of whole minutes. Minutes count from the epoch; IST is half an hour off."""

    first: int
    """The minute with which the first column begins."""
    step: int
    """Minutes of a column."""
    count: int

    @classmethod
    def over(cls, begins: int, ends: int, width: int) -> Self:
        """The columns, `width` at most, over a time in microseconds."""
        first, last = begins // MINUTE_US, max(-(-ends // MINUTE_US), begins // MINUTE_US + 1)
        step = next((step for step in _STEPS if -(-(last - first) // step) <= width), -(-(last - first) // width))
        return cls(first, step, -(-(last - first) // step))

    def sums(self, minutes: Iterable[Minutes]) -> list[int]:
        """How much came in each column, over some instruments."""
        found = [0] * self.count
        for each in minutes:
            for minute, ticks in each.items():
                at = (minute - self.first) // self.step
                if 0 <= at < self.count:
                    found[at] += ticks
        return found

    def lengths(self, spans: Iterable[tuple[int, int]]) -> list[int]:
        """How many microseconds of each column lie in the spans, together."""
        found = [0] * self.count
        width = self.step * MINUTE_US
        for begins, ends in spans:
            begins, ends = (moment - self.first * MINUTE_US for moment in (begins, ends))
            for at in range(max(begins // width, 0), min(-(-ends // width), self.count)):
                found[at] += max(min(ends, (at + 1) * width) - max(begins, at * width), 0)
        return found

    def axis(self) -> str:
        """The hours, each below the column in which it begins, as far as they have room."""
        line = ""
        for at in range(self.count):
            minute = self.first + at * self.step
            to_hour = -(minute + 330) % _HOUR  # IST
            label_fits = len(line) + (1 if line else 0) <= at
            if label_fits and (not line or to_hour < self.step):
                moment = minute + 330 + (to_hour if line else 0)
                line = f"{line:<{at}}{moment // _HOUR % 24:02}:{moment % _HOUR:02}"
        return line


def heights(counts: Sequence[int], lost: Sequence[int], whole: Sequence[int]) -> str:
    """A character a column: how much came, against the most. `lost` and `whole` are lengths of time, in any unit."""
    most = max(counts, default=0) or 1
    line = ""
    for count, missing, of in zip(counts, lost, whole, strict=True):
        if of and 2 * missing >= of:
            line += LOST
        else:
            line += HEIGHTS[count * (len(HEIGHTS) - 1) // most] if count else QUIET
    return line


def marks(lost: Sequence[int], whole: Sequence[int]) -> str:
    """A line below the heights: a mark where something is missing."""
    return "".join(MARK if each and each * _MARKED_SHARE >= of else " " for each, of in zip(lost, whole, strict=True))
