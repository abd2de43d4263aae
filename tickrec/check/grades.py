"""Grades: how much of something is missing, as a letter.

Owns the limits. Knows neither instruments nor days.
"""

from collections.abc import Collection
from enum import StrEnum
from typing import Final


class Grade(StrEnum):
    """From A, nothing is missing, to F, more than a tenth is."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"
    F = "F"

    @property
    def good(self) -> bool:
        """Nobody has to do anything about it."""
        return self in (Grade.A, Grade.B)


_LIMITS: Final = ((Grade.B, 1000), (Grade.C, 100), (Grade.D, 10))
"""The grade of what misses at most one in so many."""
_REACHED_BY: Final = 100
"""All but one in so many instruments reach the grade of a day."""


def grade(missing: int, whole: int) -> Grade:
    """The grade of something of which so much is missing, in any unit."""
    if missing <= 0:
        return Grade.A
    return next((letter for letter, least in _LIMITS if missing * least <= whole), Grade.F)


def worst(grades: Collection[Grade]) -> Grade:
    """The last in the alphabet; of none, F."""
    return max(grades, default=Grade.F)


def day_grade(grades: Collection[Grade]) -> Grade:
    """The best grade that at least 99 % of the instruments reach; F when there are none."""
    return worst(sorted(grades)[: len(grades) - len(grades) // _REACHED_BY])
