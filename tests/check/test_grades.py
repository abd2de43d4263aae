"""How much is missing, as a letter."""

import pytest

from tickrec.check.grades import Grade, day_grade, grade


@pytest.mark.parametrize(
    ("missing", "whole", "letter"),
    [
        (0, 22_500, "A"),
        (1, 22_500, "B"),
        (22, 22_000, "B"),
        (23, 22_000, "C"),
        (220, 22_000, "C"),
        (221, 22_000, "D"),
        (2_200, 22_000, "D"),
        (2_201, 22_000, "F"),
        (22_000, 22_000, "F"),
        (5, 0, "F"),
        (0, 0, "A"),
    ],
)
def test_the_limits_belong_to_the_better_grade(missing: int, whole: int, letter: str) -> None:
    assert grade(missing, whole) == letter


@pytest.mark.parametrize(
    ("letters", "letter"),
    [
        ("A" * 100, "A"),
        ("A" * 99 + "F", "A"),
        ("A" * 98 + "FF", "F"),
        ("A" * 98 + "BF", "B"),
        ("A" * 198 + "FF", "A"),
        ("A" * 20 + "F", "F"),
        ("C", "C"),
        ("", "F"),
    ],
)
def test_a_day_has_the_best_grade_that_99_of_100_reach(letters: str, letter: str) -> None:
    assert day_grade([Grade(each) for each in letters]) == letter


def test_nobody_has_to_look_after_a_and_b() -> None:
    assert [letter for letter in Grade if letter.good] == ["A", "B"]
