"""What goes on beside a recording may fail; only a journal that cannot be written may not."""

from typing import NoReturn

import pytest

from tests.clocks import HandClock
from tickrec.clock import SECOND
from tickrec.errors import StorageError
from tickrec.record.background import FAILING_NS, Background


async def test_work_that_fails_is_logged_once_with_its_traceback_and_begun_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, begun = HandClock(), 0
    background = Background(clock)

    async def work() -> NoReturn:
        nonlocal begun
        begun += 1
        if begun < 4:
            raise KeyError("a bug")
        assert background.failing() == ["flushing failed, and goes on: KeyError('a bug')"]
        clock.pass_s(FAILING_NS / SECOND)
        assert background.failing() == []
        raise StorageError("the disk is full")

    with pytest.raises(StorageError, match="the disk is full"):
        await background.keep_doing("flushing", work)
    (record,) = caplog.records
    assert record.getMessage() == "flushing failed, and goes on: KeyError('a bug')"
    assert "in work" in record.trace  # type: ignore[attr-defined]
