"""Fitting text into lines."""

import pytest

from tickrec.screen.page import Chunk, Mark, Page, Tone


def line(left: list[Chunk], right: list[Chunk], width: int) -> str:
    page = Page(width)
    page.spread(left, right)
    return page.text


def test_every_line_is_as_wide_as_the_page() -> None:
    page = Page(10)
    page.add("short")
    page.add("longer than ten")
    page.spread([Chunk("left")], [Chunk("r")])
    assert page.lines == ["short     ", "longer tha", "left     r"]


def test_the_right_side_ends_at_the_right_edge() -> None:
    assert line([Chunk("a"), Chunk("b")], [Chunk("c"), Chunk("d")], 20) == "a  b            c  d"


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (40, "name  long session  clock           disk"),
        (30, "name  long session        disk"),
        (18, "name  sess    disk"),
        (12, "name    disk"),
    ],
)
def test_pieces_give_way_by_rank_and_short_forms_last(width: int, text: str) -> None:
    left = [Chunk("name"), Chunk("long session", rank=2, short="sess"), Chunk("clock", rank=3)]
    assert line(left, [Chunk("disk")], width) == text


def test_what_has_no_rank_is_cut_only_by_the_edge() -> None:
    assert line([Chunk("conn 1"), Chunk("403 on handshake")], [], 12) == "conn 1  403 "


def test_marks_follow_their_text_through_lines_and_gaps() -> None:
    page = Page(20)
    page.add("first")
    page.spread([Chunk("plain"), Chunk("red", Tone.ALARM)], [Chunk("end", Tone.FAINT)])
    assert [(page.text[begin:end], tone) for begin, end, tone in page.marks] == [
        ("red", Tone.ALARM),
        ("end", Tone.FAINT),
    ]


def test_marks_beyond_the_edge_are_dropped() -> None:
    page = Page(4)
    page.add("abcdef", [Mark(2, 6, Tone.ALARM), Mark(5, 6, Tone.ALARM)])
    assert page.marks == [Mark(2, 4, Tone.ALARM)]


def test_a_text_that_must_not_be_cut_is_wrapped_between_words() -> None:
    page = Page(20)
    page.say("the disk is full: the journal could not be written", Tone.ALARM)
    assert [each.rstrip() for each in page.lines] == ["the disk is full:", "  the journal could", "  not be written"]
    assert page.text[page.marks[2].begin : page.marks[2].end].strip() == "not be written"


def test_control_characters_from_outside_cannot_move_the_cursor() -> None:
    page = Page(20)
    page.add("a\x1b[2Jb\nc")
    assert page.lines == ["a?[2Jb?c".ljust(20)]


def test_cut_makes_the_height_exact() -> None:
    page = Page(3)
    for each in ("a", "b", "c"):
        page.add(each, [Mark(0, 1, Tone.STRONG)])
    page.cut(2)
    assert (page.text, len(page.marks)) == ("a  \nb  ", 2)
    page.cut(4)
    assert page.text == "a  \nb  \n   \n   "
