"""The time before a recording: what is waited for in silence, and what is asked for again."""

import asyncio
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clocks import HandClock, at
from tests.market.fixtures import TODAY, Record, chain, index, share
from tests.record.broker import Broker, broker, keep_list, told
from tests.recordings import until
from tests.upstox.rest_fixtures import running
from tickrec.clock import Stopped
from tickrec.config import Config, load
from tickrec.errors import TokenError
from tickrec.logs import Warnings
from tickrec.record.alerts import Alerts
from tickrec.record.plan import Options, Plan, no_bar
from tickrec.record.setup import Setup
from tickrec.record.start import Record as Process
from tickrec.record.waiting import FIRST_RENEWAL_NS, LONG_SECONDS, Waiting
from tickrec.status import status
from tickrec.status.runstatus import STOPPED
from tickrec.store.paths import Store
from tickrec.upstox.auth import TokenSource
from tickrec.upstox.rest import MASTER, Rest


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
        ("2026-11-23T08:49", True, "2026-11-23T08:50"),
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
        await Process(config, options, {}, clock, asyncio.Event()).run()
    assert at(given_up) <= clock.wall_ns() < at(given_up) + 31 * 10**9
    assert "token" not in caplog.text
    assert (tmp_path / "told").exists()
    if at(given_up) > at(begun):
        said = status.read(store.status_path)
        assert said is not None
        assert said.state == STOPPED
        assert "no access token" in said.reason


SHARES = [share(f"S{number}", f"INE{number:03}A01018") for number in range(40)]
NEW = share("NEW", "INE999A01018")
LAST_DAY = TODAY - dt.timedelta(days=3)


class SlowClock(HandClock):
    """Some seconds pass at least whenever somebody sleeps."""

    def __init__(self, wall_ns: int, least_s: float) -> None:
        super().__init__(wall_ns)
        self._least_s = least_s

    async def sleep(self, seconds: float) -> None:
        await super().sleep(max(seconds, self._least_s))


class Early:
    """A process that waits for the session, at twenty to nine."""

    def __init__(
        self,
        asked: Broker,
        folder: Path,
        on_alert: str = "",
        *,
        symbols: str = "all:NSE_EQ",
        clock: HandClock | None = None,
    ) -> None:
        record = f"on_alert = {on_alert!r}" if on_alert else ""
        config, self.asked, self.folder = asked.config(folder, record), asked, folder
        self.clock, self.stopping = clock or SlowClock(at(f"{TODAY}T08:40"), 20), asyncio.Event()
        self.store = Store(config.store.data)
        self.alerts = Alerts(config.record.on_alert, self.clock, self.store.state / "alerts.json")
        self.waiting = Waiting(
            Setup(
                config,
                Options(symbols=(symbols,), mode="full", kept=True),
                self.store,
                Rest(asked.script.url, asked.script.url),
                TokenSource(config.upstox, {"UPSTOX_ACCESS_TOKEN": "token"}),
                self.clock,
                self.stopping,
                self.alerts,
                Warnings(),
                lambda: None,
                no_bar,
            )
        )

    async def planned(self) -> Plan:
        """The plan with which the session begins."""
        return await self.waiting.until_session(await self.waiting.plan())

    def keep_list(self, records: list[Record], date: dt.date = TODAY, before: dt.date | None = None) -> None:
        """Let the store have a list of the broker's."""
        keep_list(self.store, date, records, self.folder, before=before)

    async def with_a_short_list(self) -> "asyncio.Task[Plan]":
        """Begin to wait on the day after a whole list, with a short one; the broker has none."""
        self.keep_list(SHARES, LAST_DAY)
        self.keep_list(SHARES[:5], before=LAST_DAY)
        return asyncio.create_task(self.planned())


@pytest.fixture
def asked() -> Iterator[Broker]:
    with broker() as one:
        one.timings = told(TODAY, **dict.fromkeys(("NSE", "NFO", "BSE", "BFO", "CDS", "BCD"), dt.time(15, 30)))
        one.timings += told(TODAY, **dict.fromkeys(("MCX", "NSCOM"), dt.time(23, 30)))
        yield one


async def test_a_plan_of_a_short_list_is_made_again_while_it_waits_until_the_list_is_whole(
    tmp_path: Path, asked: Broker
) -> None:
    early = Early(asked, tmp_path)
    waiting = await early.with_a_short_list()
    before = asked.asked(MASTER)
    await until(lambda: asked.asked(MASTER) == before + 2)
    assert early.clock.now_ns < at(f"{TODAY}T08:40") + 3 * FIRST_RENEWAL_NS
    asked.records = [*SHARES, NEW]
    plan = await waiting
    assert plan.whole
    assert len(plan.instruments) == len(SHARES) + 1
    assert at(f"{TODAY}T09:00") <= early.clock.now_ns < at(f"{TODAY}T09:01")
    assert asked.asked(MASTER) <= before + 4  # none after the whole one


async def test_a_plan_that_cannot_be_made_again_stays(tmp_path: Path, asked: Broker) -> None:
    early = Early(asked, tmp_path)
    waiting = await early.with_a_short_list()
    before = asked.asked(MASTER)
    await until(lambda: asked.asked(MASTER) == before + 1)
    asked.refused = 503
    plan = await waiting
    assert not plan.whole
    assert len(plan.instruments) == len(SHARES)


@pytest.mark.parametrize("refused", [0, 503], ids=["it tells the new one", "it cannot be asked"])
async def test_a_plan_of_early_in_the_morning_is_made_again_before_the_session_and_delays_nothing(
    tmp_path: Path, asked: Broker, refused: int
) -> None:
    early = Early(asked, tmp_path, clock=SlowClock(at(f"{TODAY}T07:50"), 60))
    early.keep_list(SHARES)
    waiting = asyncio.create_task(early.planned())
    await until(lambda: early.clock.now_ns > at(f"{TODAY}T07:55"))
    asked.records, asked.refused, before = [*SHARES, NEW], refused, asked.asked(MASTER)
    early.store.instruments_path(TODAY).unlink()  # as if the broker had renewed its list since
    plan = await waiting
    assert at(f"{TODAY}T09:00") <= early.clock.now_ns < at(f"{TODAY}T09:01")
    assert len(plan.instruments) == len(SHARES) + (not refused)
    assert asked.asked(MASTER) > before


async def test_an_alert_command_that_hangs_delays_no_attempt_to_plan(tmp_path: Path, asked: Broker) -> None:
    begun, may_end = tmp_path / "begun", tmp_path / "end"
    (tmp_path / "hang").write_text(f"touch {begun}\nuntil [ -e {may_end} ]; do sleep 0.02; done\n")
    early = Early(asked, tmp_path, f"sh {tmp_path}/hang")
    asked.refused = 503
    waiting = asyncio.create_task(early.planned())
    await until(begun.exists)
    tries = asked.asked(MASTER)
    await until(lambda: asked.asked(MASTER) > tries + 2)
    assert early.clock.now_ns > at(f"{TODAY}T08:40") + LONG_SECONDS * 10**9
    early.stopping.set()
    with pytest.raises(Stopped):
        await waiting
    may_end.touch()
    await early.alerts.finish()


async def test_prices_that_do_not_come_are_told_to_the_owner(tmp_path: Path, asked: Broker) -> None:
    told, program = tmp_path / "words", tmp_path / "tell"
    program.write_text(f'echo "$1" >> {told}\n')
    on = index("NIFTY", "Nifty 50")
    chained = chain("NIFTY", on["instrument_key"], TODAY + dt.timedelta(days=1), range(24_000, 25_000, 50))
    early = Early(asked, tmp_path, f"sh {program}", symbols="NIFTY:opt:1")
    early.keep_list([on, *chained])
    waiting = asyncio.create_task(early.planned())
    await until(told.exists)
    asked.prices = {on["instrument_key"]: 24_410.0}
    assert len((await waiting).instruments) == 7  # six options and what they are on
    await early.alerts.finish()
    line = told.read_text().splitlines()[0]
    assert line.startswith("tickrec cannot record yet, for 1m")
    assert "no last prices" in line
