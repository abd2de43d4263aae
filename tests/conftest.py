"""What all tests share: coroutines are run, and what takes a whole system is marked so."""

import asyncio
import contextlib
import gc
import importlib
import inspect
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT
from tests.days import DATE, Written, open_ns, write_day, write_instruments
from tests.processes import simulated_broker, wait_for
from tickrec.clock import SECOND
from tickrec.files import Lock
from tickrec.query.session import Session
from tickrec.seal.seal import seal
from tickrec.store.paths import Store

SYSTEM = ROOT / "tests" / "system"
MEMORY = Path("/dev/shm")
"""Where files need no disk, on Linux."""
MOST_BYTES = 2 * 10**9
"""What all tests together have there at a time, and as much again."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that nothing has been recorded into yet."""
    return Store(tmp_path / "data")


@pytest.fixture(scope="session")
def recorded_day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Written]:
    """A small date of which there are journals only, and what it holds. To be copied."""
    root = tmp_path_factory.mktemp("recorded") / "data"
    return root, write_day(Store(root), messages=12, each=5, instruments=12)


@pytest.fixture(scope="session")
def written(recorded_day: tuple[Path, Written]) -> Written:
    """What the dates of `days_to_copy` hold."""
    return recorded_day[1]


@pytest.fixture(scope="session")
def days_to_copy(recorded_day: tuple[Path, Written], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The date of `recorded_day` as two stores: `sealed`, `with_day_file`. To be copied. One process makes them."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "days"
    try:
        folder.mkdir()
    except FileExistsError:
        wait_for((folder / "whole").exists, "another process has made them")
        return folder
    for name in ("sealed", "with_day_file"):
        store = Store(folder / name)
        shutil.copytree(recorded_day[0], store.root)
        if name == "with_day_file":
            write_instruments(store, ["A", "B"])
        seal(store, DATE, duckdb=name == "with_day_file")
    (folder / "whole").touch()
    return folder


@pytest.fixture
def journalled(store: Store, recorded_day: tuple[Path, Written]) -> Store:
    """A store with a date of which there are journals only."""
    shutil.copytree(recorded_day[0], store.root)
    return store


@pytest.fixture
def sealed(store: Store, days_to_copy: Path) -> Store:
    """A store with a sealed date that has all that days have, but no DuckDB file."""
    shutil.copytree(days_to_copy / "sealed", store.root)
    return store


@pytest.fixture
def with_day_file(store: Store, days_to_copy: Path) -> Store:
    """A store with a sealed date, its DuckDB file, and the broker's list with A and B."""
    shutil.copytree(days_to_copy / "with_day_file", store.root)
    return store


@pytest.fixture(scope="module")
def module_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A session in the evening of the usual date."""
    evening_ns = open_ns(DATE) + 14 * 3600 * SECOND
    with Session(Store(tmp_path_factory.mktemp("asked") / "data"), now_ns=evening_ns) as session:
        yield session


@pytest.fixture
def asking(module_session: Session) -> Session:
    """The session that a module's tests share, in the evening of the usual date; its store is empty again."""
    shutil.rmtree(module_session.store.root, ignore_errors=True)
    return module_session


@pytest.fixture
def recorded(store: Store) -> Iterator[None]:
    """The usual date of the store is being recorded, as far as others can tell."""
    with Lock(store.day_lock(DATE)) as lock:
        lock.acquire({})
        yield


@pytest.fixture(scope="module")
def broker_config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A config file that names a simulated broker, which a module's tests share."""
    with simulated_broker(tmp_path_factory.mktemp("broker")) as config:
        yield config


@pytest.fixture
def with_broker(tmp_path: Path, broker_config: Path) -> Path:
    """The test's folder, with a config.toml that names the simulated broker of the module."""
    shutil.copy(broker_config, tmp_path)
    return tmp_path


def pytest_configure() -> None:
    """Tests run at the lowest priority, as the children that let everything else go first do: these would starve beside
    so many tests, and every test that waits for one would take as long as all others. Signals that a script ignores for
    what it starts in the background are heard again: children would ignore what tests send them."""
    for number in (getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if hasattr(os, "nice"):
        os.nice(19)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each child would compile all of the package anew
    sys.dont_write_bytecode = False  # and each worker all of the tests
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MOST_BYTES:  # a busy disk would double the time
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as cores: whole systems wait for each other, but every worker imports and collects it all."""
    return 3 * (os.cpu_count() or 1) // 2 or 1


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is not to run is not even compiled."""
    return True if collection_path == SYSTEM and config.option.markexpr == "not system" else None


def pytest_collection(session: pytest.Session) -> None:
    """When all tests are to run, each worker begins elsewhere to compile them, which takes as long as hundreds of them
    take, and finds the rest done by the others. What fails here fails again, and is told, when it is collected."""
    config, worker = session.config, getattr(session.config, "workerinput", None)
    if worker is None or config.args != config.getini("testpaths"):
        return
    folders = [path for path in sorted(SYSTEM.parent.iterdir()) if not pytest_ignore_collect(path, config)]
    paths = [path for folder in folders for path in (folder, *sorted(folder.rglob("*"))) if path.match("test_*.py")]
    first = len(paths) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for path in (*paths[first:], *paths[:first]):
        with contextlib.suppress(Exception, pytest.skip.Exception):
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever is in `tests/system/` runs whole programs: `-m "not system"` leaves it out."""
    for item in items:
        if SYSTEM in item.path.parents:
            item.add_marker(pytest.mark.system)


def pytest_collection_finish() -> None:
    """What was collected stays until the end: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine; it must not leave a task behind."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def run() -> None:
        await pyfuncitem.obj(**arguments)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks are left: {left}"

    asyncio.run(run())
    return True
