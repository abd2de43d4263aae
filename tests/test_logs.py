"""The log: IST times, a rotated file, and the newest line for the live table."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tickrec import logs

log = logging.getLogger("tickrec")


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    before, level = list(log.handlers), log.level
    log.setLevel(logging.INFO)
    yield
    for handler in set(log.handlers) - set(before):
        log.removeHandler(handler)
        handler.close()
    log.setLevel(level)


def test_a_line_of_the_file_has_date_level_and_text_and_makes_no_folder(tmp_path: Path) -> None:
    logs.log_to_file(tmp_path / "state" / "tickrec.log")
    log.warning("before there is a folder")
    assert not (tmp_path / "state").exists()
    (tmp_path / "state").mkdir()
    log.warning("conn %d lost", 1)
    (line,) = (tmp_path / "state" / "tickrec.log").read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d WARN  conn 1 lost", line)


def test_the_file_is_rotated(tmp_path: Path) -> None:
    logs.log_to_file(tmp_path / "tickrec.log", 2_000)
    for number in range(500):
        log.info("line %d", number)
    files = sorted(tmp_path.glob("tickrec.log*"))
    assert len(files) == logs.LOG_FILES
    assert all(path.stat().st_size <= 2_000 for path in files)
    assert "line 499" in (tmp_path / "tickrec.log").read_text()


def test_a_log_that_cannot_be_written_disturbs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.log_to_file(tmp_path / "tickrec.log")
    (tmp_path / "tickrec.log").mkdir()
    log.info("into a folder")
    assert capsys.readouterr().err == ""


def test_a_log_that_a_shell_appends_to_is_emptied_when_it_is_long(tmp_path: Path) -> None:
    path = tmp_path / "cron.log"
    logs.keep_short(path)
    with path.open("a") as shell:
        shell.write("first\n" * 10)
        shell.flush()
        logs.keep_short(path, 60)
        assert path.stat().st_size == 60
        logs.keep_short(path, 59)
        shell.write("second\n")
    assert path.read_text() == "second\n"
    assert path.with_name("cron.log.1").read_text() == "first\n" * 10


def test_how_much_is_said_leaves_the_file_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = {}
    for level in (logging.WARNING, logging.INFO, logging.DEBUG):
        handlers = logs.log_to_stderr(level=level), logs.log_to_file(tmp_path / f"{level}.log")
        log.debug("a step")
        log.info("news")
        logs.log_unexpected("trouble", ValueError("what"))
        said[level] = [line[9:] for line in capsys.readouterr().err.splitlines()]
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()
        kept = [line[20:] for line in (tmp_path / f"{level}.log").read_text().splitlines()]
        assert kept[:2] == ["INFO  news", "ERROR trouble"], "and a traceback"
        assert len(kept) > 2
    assert said[logging.WARNING] == ["ERROR trouble"]
    assert said[logging.INFO] == ["INFO  news", "ERROR trouble"]
    assert said[logging.DEBUG][:3] == ["DEBUG a step", "INFO  news", "ERROR trouble"]
    assert len(said[logging.DEBUG]) > 3


def test_an_error_is_kept_in_the_file_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.log_to_stderr()
    file = logs.log_to_file(tmp_path / "tickrec.log")
    logs.keep_error(file, ValueError("100 % wrong"))
    assert (tmp_path / "tickrec.log").read_text().endswith("ERROR 100 % wrong\n")
    assert capsys.readouterr().err == ""


def test_the_newest_warnings_are_remembered() -> None:
    warnings = logs.Warnings(2)
    log.info("nothing")
    for text in ("first", "second", "third"):
        log.warning(text)
    assert [line.partition(" WARN  ")[2] for line in warnings.lines] == ["second", "third"]


def test_a_line_that_is_repeated_in_attempts_is_logged_once(tmp_path: Path) -> None:
    logs.log_to_file(tmp_path / "tickrec.log")
    once = logs.Once()
    for why in ("503", "503", "timeout"):
        with once:
            log.warning("the calendar could not be had: %s", why)
        log.warning("retry in 1s")
    texts = [line.split("WARN  ")[1] for line in (tmp_path / "tickrec.log").read_text().splitlines()]
    retry = "retry in 1s"
    calendar = "the calendar could not be had: "
    assert texts == [f"{calendar}503", retry, retry, f"{calendar}timeout", retry]
