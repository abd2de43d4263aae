"""The newest entries of a journal, without reading the rest."""

from pathlib import Path

import pytest

from tests.journal.fixtures import messages, write
from tickrec.journal import Follow, Position, compress
from tickrec.journal.entry import Entry
from tickrec.journal.format import FILE_HEADER_BYTES, file_path
from tickrec.journal.tail import read_from, read_from_seq, read_newest

EVERYTHING = 1 << 30


def seqs(entries: list[Entry] | None) -> list[int] | None:
    return None if entries is None else [entry.seq for entry in entries]


def test_an_empty_store_has_nothing_recent(tmp_path: Path) -> None:
    assert read_newest(tmp_path / "none", EVERYTHING) == ([], None)


def test_only_the_end_is_read_from_wherever_it_begins(tmp_path: Path) -> None:
    written = write(tmp_path, messages(200, 100))
    length = file_path(tmp_path, 1).stat().st_size
    for size in range(500, 5000, 37):
        found = read_newest(tmp_path, size)
        assert found.entries == written[-len(found.entries) :]
        assert 0 < len(found.entries) < 50
        assert found.position == (1, length)


def test_looking_back_goes_on_over_files_while_bytes_are_left(tmp_path: Path) -> None:
    write(tmp_path, messages(50), segment_bytes=1000)
    assert seqs(read_newest(tmp_path, EVERYTHING).entries) == list(range(1, 51))
    some = seqs(read_newest(tmp_path, 1500).entries)
    assert some is not None
    assert 10 < len(some) < 40
    assert some == list(range(51 - len(some), 51))


def test_following_goes_on_right_behind(tmp_path: Path) -> None:
    write(tmp_path, messages(20))
    found = read_newest(tmp_path, 300)
    assert found.position is not None
    follow = Follow(tmp_path, start=found.position)
    assert follow.poll() == []
    write(tmp_path, messages(5), next_seq=21)
    assert seqs(follow.poll()) == [21, 22, 23, 24, 25]


def test_a_torn_tail_is_left_out_and_followed_once_it_is_whole(tmp_path: Path) -> None:
    write(tmp_path, messages(20))
    path = file_path(tmp_path, 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    found = read_newest(tmp_path, 300)
    assert found.entries[-1].seq == 19
    follow = Follow(tmp_path, start=found.position)
    path.write_bytes(whole)
    assert seqs(follow.poll()) == [20]


def test_a_file_that_has_just_been_begun_leads_back_to_the_one_before(tmp_path: Path) -> None:
    write(tmp_path, messages(20))
    write(tmp_path, [], next_seq=21)
    found = read_newest(tmp_path, 400)
    assert found.entries[-1].seq == 20
    assert found.position == (2, FILE_HEADER_BYTES)


def test_compressed_files_are_not_looked_into(tmp_path: Path) -> None:
    write(tmp_path, messages(20))
    compress(file_path(tmp_path, 1))
    assert read_newest(tmp_path, EVERYTHING).entries == []


def test_since_a_position_come_the_entries_behind_it(tmp_path: Path) -> None:
    write(tmp_path, messages(20))
    end = file_path(tmp_path, 1).stat().st_size
    write(tmp_path, messages(5), next_seq=21)
    assert seqs(read_from(tmp_path, Position(1, end), EVERYTHING)) == [21, 22, 23, 24, 25]
    assert read_from(tmp_path, Position(2, file_path(tmp_path, 2).stat().st_size), EVERYTHING) == []


@pytest.mark.parametrize("position", [Position(1, FILE_HEADER_BYTES + 8), Position(1, 1 << 20), Position(9, 64)])
def test_a_position_that_is_none_has_no_answer(tmp_path: Path, position: Position) -> None:
    write(tmp_path, messages(20))
    assert read_from(tmp_path, position, EVERYTHING) is None


def test_more_than_is_wanted_has_no_answer(tmp_path: Path) -> None:
    write(tmp_path, messages(20))
    assert read_from(tmp_path, Position(1, FILE_HEADER_BYTES), 100) is None


def test_what_lies_beyond_a_seq_is_found_from_a_hint_or_from_the_first_plain_file(tmp_path: Path) -> None:
    assert read_from_seq(tmp_path / "none", 1, None, EVERYTHING) == []
    write(tmp_path, messages(20))
    middle = read_newest(tmp_path, EVERYTHING).position
    write(tmp_path, messages(5), next_seq=21)
    assert seqs(read_from_seq(tmp_path, 18, None, EVERYTHING)) == list(range(18, 26))
    assert seqs(read_from_seq(tmp_path, 21, middle, EVERYTHING)) == list(range(21, 26))
    assert read_from_seq(tmp_path, 1, None, 100) is None
    compress(file_path(tmp_path, 1))
    assert seqs(read_from_seq(tmp_path, 23, middle, EVERYTHING)) == [23, 24, 25]
    assert read_from_seq(tmp_path, 1, None, EVERYTHING) is None
