"""The time before a recording: what is waited for in silence, and what is asked for again."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clocks import HandClock, at
from tests.upstox.rest_fixtures import running
from tickrec.config import Config, load
from tickrec.errors import TokenError
from tickrec.record.plan import Options
from tickrec.record.start import Record
from tickrec.status import status
from tickrec.status.runstatus import STOPPED
from tickrec.store.paths import Store


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    """A broker that knows nothing, and an owner who is told."""
    with running() as broker:
        urls = f'api_url = "{broker.url}"\nassets_url = "{broker.url}"\n'
        (tmp_path / "alert").write_text(f"touch {tmp_path}/told\n")
        (tmp_path / "config.toml").write_text(f'[upstox]\n{urls}[record]\non_alert = "sh {tmp_path}/alert"\n')
        yield load(tmp_path / "config.toml", data=None, simulate=False, environ={"HOME": str(tmp_path)})


@pytest.mark.parametrize(
    ("begun", "scheduled", "given_up"),
    [
        ("2026-11-23T08:47", True, "2026-11-23T08:50"),
        ("2026-11-23T08:51", True, "2026-11-23T08:51"),
        ("2026-11-23T10:00", True, "2026-11-23T10:00"),
        ("2026-11-23T08:47", False, "2026-11-23T08:47"),
    ],
    ids=["early", "shortly before the session", "in the session", "by hand"],
)
@pytest.mark.parametrize("is_new", [False, True])
async def test_a_scheduled_start_waits_in_silence_for_a_token_until_ten_minutes_before_the_session(
    tmp_path: Path,
    config: Config,
    caplog: pytest.LogCaptureFixture,
    begun: str,
    scheduled: bool,
    given_up: str,
    is_new: bool,
) -> None:
    store, clock = Store(config.store.data), HandClock(at(begun))
    if not is_new:
        store.state.mkdir(parents=True)
    options = Options(symbols=("RELIANCE",), mode="full", scheduled=scheduled)
    with pytest.raises(TokenError, match="no access token"):
        await Record(config, options, {}, clock, asyncio.Event()).run()
    assert at(given_up) <= clock.wall_ns() < at(given_up) + 31 * 10**9
    assert "token" not in caplog.text
    assert (tmp_path / "told").exists()
    if at(given_up) > at(begun):
        said = status.read(store.status_path)
        assert said is not None
        assert said.state == STOPPED
        assert "no access token" in said.reason
