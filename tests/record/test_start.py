"""What comes before a recording, and what an error that nobody expected does to a run: it winds down and says so."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clocks import ShiftedClock, at
from tests.recordings import FAST, SELECTORS, config_for, until
from tickrec.clock import SystemClock
from tickrec.errors import ExitCode, StorageError, TickrecError
from tickrec.journal import Journal
from tickrec.journal.entry import EntryKind
from tickrec.record.plan import Bar, Options
from tickrec.record.start import Record
from tickrec.serve.synthetic.simulator import Simulator
from tickrec.status import status
from tickrec.status.runstatus import STOPPED
from tickrec.store.coverage import coverage
from tickrec.store.paths import Store

NOW = Options(symbols=SELECTORS, mode="full", now=True)


class Owner:
    """An alert command that writes down what it is told."""

    def __init__(self, folder: Path) -> None:
        self._told, self._program = folder / "told", folder / "alert.sh"
        self._program.write_text(f'for text; do :; done\necho "$text" >> "{self._told}"\n')
        self.config = f"[record]\non_alert = \"sh '{self._program}'\"\n[store]\nduckdb = false\n"

    @property
    def told(self) -> list[str]:
        return self._told.read_text().splitlines() if self._told.exists() else []


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path)


@contextlib.contextmanager
def odd_bar() -> Iterator[None]:
    """What shows how far a download is; it does what nobody has thought of."""
    raise ValueError("proxy URL with no authority: 'http:/proxy'")
    yield


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    raise OSError(28, "No space left on device", "yesterday.parquet")
    yield


def morning() -> ShiftedClock:
    """A clock that shows ten on a Monday."""
    return ShiftedClock(at("2026-11-23T10:00") - SystemClock.wall_ns())


async def run_with(tmp_path: Path, owner: Owner, bar: Bar, options: Options = NOW) -> None:
    async with Simulator(FAST) as simulator:
        config = config_for(tmp_path, simulator, owner.config)
        environ = {"UPSTOX_ACCESS_TOKEN": "simulated"}
        await Record(config, options, environ, morning(), asyncio.Event(), bar=bar).run()


@pytest.mark.parametrize(
    ("bar", "kind", "code", "words"),
    [
        (odd_bar, TickrecError, ExitCode.INTERNAL, "an unexpected error: ValueError: proxy URL with no authority"),
        (full_disk, StorageError, ExitCode.STORAGE, "No space left on device (yesterday.parquet)"),
    ],
)
async def test_an_error_that_nobody_expected_before_the_recording_is_told_and_stands_in_the_status(
    tmp_path: Path, owner: Owner, bar: Bar, kind: type[TickrecError], code: ExitCode, words: str
) -> None:
    store = Store(tmp_path / "data")
    store.state.mkdir(parents=True)
    with pytest.raises(kind) as raised:
        await run_with(tmp_path, owner, bar)
    assert words in str(raised.value)
    assert raised.value.code == code
    (line,) = owner.told
    assert line.startswith("tickrec cannot record: ")
    assert words in line
    said = status.read(store.status_path)
    assert said is not None
    assert (said.state, said.exit_code) == (STOPPED, code)
    assert said.reason


async def test_its_traceback_is_for_the_log_file_alone(
    tmp_path: Path, owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TickrecError):
        await run_with(tmp_path, owner, odd_bar)
    (record,) = [each for each in caplog.records if hasattr(each, "trace")]
    assert "in odd_bar" in record.trace
    assert "Traceback" not in record.getMessage()


async def test_a_store_that_is_not_there_is_not_made_before_the_plan_stands(tmp_path: Path, owner: Owner) -> None:
    silent = Owner(tmp_path)
    silent.config = "[store]\nduckdb = false\n"
    with pytest.raises(TickrecError):
        await run_with(tmp_path, silent, odd_bar)
    assert not (tmp_path / "data").exists()


class Breaking(asyncio.Event):
    """A wish to stop that raises what nobody expected, once it is asked to."""

    broken = False

    async def wait(self) -> bool:  # type: ignore[override]
        while not self.broken:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    return await super().wait()
        raise KeyError("a bug")


async def test_an_unexpected_error_winds_the_run_down_in_order(
    tmp_path: Path, owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    async with Simulator(FAST) as simulator:
        config = config_for(tmp_path, simulator, owner.config)
        store, stopping = Store(config.store.data), Breaking()
        record = Record(config, NOW, {"UPSTOX_ACCESS_TOKEN": "simulated"}, morning(), stopping)
        running = asyncio.create_task(record.run())
        await until(lambda: bool((said := status.read(store.status_path)) and said.ticks > 20))
        stopping.broken = True
        last = await running
    assert (last.state, last.exit_code) == (STOPPED, ExitCode.INTERNAL)
    assert last.reason.startswith("an unexpected error: KeyError: 'a bug'")
    assert status.read(store.status_path) == last
    assert [line for line in owner.told if line.startswith("tickrec stopped recording: an unexpected error: KeyError")]
    (date,) = store.dates()
    assert store.instruments_path(date).exists(), "what was asked before there was a store is kept in it"
    assert (store.state / "calendar.json").exists()
    entries = list(Journal(store.journal(date)).entries())
    assert entries[-1].kind is EntryKind.CLOSED
    assert coverage(store, date).next_seq == len(entries) + 1
    assert last.unflushed_ticks == 0
    assert any("in wait" in getattr(record, "trace", "") for record in caplog.records)
